"""ASE calculators as models: one ``Atoms`` for each structure.

Outputs go by the names of ASE's properties: "energy" as "0e", "forces" as per_point("1o"),
"stress" as "ij=ji", the full (3, 3) tensor, and "dipole" as "1o". They have the units of ASE, and
no derivatives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Batch

from symmetrize import Contract

if TYPE_CHECKING:
    from ase import Atoms

# Of each property that is understood, the shape of its value; forces have one for each point
SHAPES: dict[str, tuple[int, ...]] = {
    "energy": (1,),
    "forces": (3,),
    "stress": (3, 3),
    "dipole": (3,),
}
HYDROGEN = 1


def is_calculator(model: Any) -> bool:
    """Whether a model is a calculator of ASE."""
    return hasattr(model, "calculate") and hasattr(model, "implemented_properties")


def is_of_torch_sim(model: Any) -> bool:
    """Whether a model is one of torch-sim, which need not be installed to say so."""
    bases = {f"{one.__module__}.{one.__name__}" for one in type(model).__mro__}
    return "torch_sim.models.interface.ModelInterface" in bases


def properties_of(model: Any) -> tuple[str, ...]:
    """What a calculator of ASE, or a model of torch-sim, answers; nothing of other models."""
    if is_calculator(model):
        return tuple(name for name in SHAPES if name in model.implemented_properties)
    if is_of_torch_sim(model):
        asked = {"forces": model.compute_forces, "stress": model.compute_stress}
        return ("energy", *(name for name, is_there in asked.items() if is_there))
    return ()


def check_properties(model: Any, contract: Contract) -> None:
    """Raise unless all outputs of a contract are properties of a model, declared as such."""
    known = properties_of(model)
    for name, output in contract.outputs.items():
        if name not in known:
            raise ValueError(
                f"the output {name!r} is not a property of {type(model).__name__} that can be "
                f"checked: name the outputs of the contract by {', '.join(known)}, as in "
                'Contract({"energy": "0e"})'
            )
        if output.per_point != (name == "forces"):
            wanted = 'per_point("1o")' if name == "forces" else "a plain representation"
            raise ValueError(f"the output {name!r} must be declared as {wanted}")


class OfAtoms:
    """A network of data, from an ASE calculator.

    ``data.z`` holds atomic numbers, as given by ``species=[29]``; all points are of
    the element ``default`` where the data has none. ``data.cell`` and ``data.pbc`` are passed on.

    A calculator that is asked for the same structure again forgets first what it computed, so that
    ASE does not answer from its cache; whether it sees that another one is another is its own
    matter. An empty structure has an energy, a stress and a dipole of zero, and the stress of a
    structure without a volume is zero.

    Args:
        calculator: any ASE calculator.
        contract: what it claims; says which properties are asked for.
        default: atomic number of points without ``z``.

    Raises:
        ValueError: if an output is not a property that is understood, or that the calculator has,
            or is declared for structures where it belongs to points.
    """

    def __init__(self, calculator: Any, contract: Contract, default: int = HYDROGEN) -> None:
        self.calculator, self.outputs, self.default = calculator, contract.outputs, default
        self.last: Atoms | None = None
        check_properties(calculator, contract)

    def __call__(self, data: Batch) -> Any:
        """What the calculator says of each structure, in the dtype of the positions."""
        found: dict[str, list[Tensor]] = {name: [] for name in self.outputs}
        for atoms in self._atoms(data):
            for name, value in self._properties(atoms).items():
                found[name].append(torch.as_tensor(value, dtype=torch.float64))
        values = {
            name: (torch.cat if name == "forces" else torch.stack)(rows).to(data.pos)
            for name, rows in found.items()
        }
        return self.outputs.unnamed(values)

    def _atoms(self, data: Batch) -> list[Atoms]:
        from ase import Atoms

        numbers = data.get("z")
        if numbers is None:
            numbers = torch.full_like(data.batch, self.default)
        cell, pbc = data.get("cell"), data.get("pbc")
        sizes = torch.bincount(data.batch, minlength=data.num_graphs).tolist()
        parts = zip(numbers.split(sizes), data.pos.detach().double().split(sizes), strict=True)
        return [
            Atoms(
                numbers=kinds.cpu().numpy(),
                positions=positions.cpu().numpy(),
                cell=None if cell is None else cell[i].detach().double().cpu().numpy(),
                pbc=None if pbc is None else pbc[i].cpu().numpy(),
            )
            for i, (kinds, positions) in enumerate(parts)
        ]

    def _properties(self, atoms: Atoms) -> dict[str, np.ndarray]:
        """The properties of one structure."""
        from ase.stress import voigt_6_to_full_3x3_stress

        if len(atoms) == 0:
            return {
                name: np.zeros((0, 3) if name == "forces" else SHAPES[name])
                for name in self.outputs
            }
        if self.last == atoms:
            self.calculator.reset()
        self.last = atoms
        found = {}
        # what is not finite is judged by the checks: numpy need not warn of it
        with np.errstate(all="ignore"):
            for name in self.outputs:
                if name == "stress" and atoms.cell.rank < 3:
                    found[name] = np.zeros(SHAPES[name])
                    continue
                value = np.asarray(self.calculator.get_property(name, atoms))
                is_voigt = name == "stress" and value.shape == (6,)
                value = voigt_6_to_full_3x3_stress(value) if is_voigt else value
                found[name] = (
                    value.reshape(-1, 3) if name == "forces" else value.reshape(SHAPES[name])
                )
        return found
