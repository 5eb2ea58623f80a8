"""A calculator of ase for any model of energies, symmetrized or bare."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from symmetrize.atoms.properties import voigt_stress
from symmetrize.atoms.reading import from_ase
from symmetrize.contract import contract_of
from symmetrize.declaration import ONLY
from symmetrize.derivatives import forces_and_stress
from symmetrize.extras import needed_for
from symmetrize.network.parameters import of_parameters
from symmetrize.returned import items
from symmetrize.symmetrizer import Symmetrizer

with needed_for("a calculator of ase", "ase"):
    from ase import Atoms
    from ase.calculators.calculator import Calculator, all_changes

MECHANICAL = ("energy", "free_energy", "forces", "stress")
UNCERTAINTY = "energy_uncertainty"


class SymmetrizedCalculator(Calculator):
    """Energies, forces, stress and whatever else a model returns, for ase and all that speaks it.

    Forces and stress are exact derivatives of the energy, those of the frames included, so that
    energy is conserved, and of a symmetrized model momentum and angular momentum, too.

    Properties are "energy", "free_energy" (the same), "forces" in eV/Å and "stress" in eV/Å^3 in
    Voigt's order and ase's sign; "energies" where the energy is declared per point; every other
    output of the model by its name, a dipole as "dipole"; and, of a symmetrized model,
    "energy_uncertainty": how far the network's energies differ between frames. Outputs beside the
    energy, and the uncertainty, take an evaluation of their own, when they are asked for.

    Nothing is kept from one structure for the next: neighbors are searched in each step.

    Args:
        model: any callable from ``Data`` to energies in eV of positions in Å, or to a dict that
            holds them; a ``Symmetrizer``, or a network by itself.
        energy: name of the energies among what the model returns.
        species: atomic numbers that the model knows; None to let the model refuse others.
        dtype: of positions; that of the parameters of the model if None, else double precision.
        device: where the model is; that of its parameters if None.

    Raises:
        ValueError: when it calculates, if an atom is of a species that is not known.
        ase.calculators.calculator.PropertyNotImplementedError: of a property that there is not.

    >>> from ase.build import molecule
    >>> def springs(data):  # to all other atoms, 1 Å long
    ...     away = torch.pdist(data.pos) - 1.0
    ...     return {"energy": away.square().sum()[None, None]}
    >>> water = molecule("H2O")
    >>> water.calc = SymmetrizedCalculator(springs)
    >>> bool(abs(water.get_forces().sum()) < 1e-12)
    True
    """

    implemented_properties: ClassVar[list[str]] = list(MECHANICAL)  # type: ignore[misc]

    def __init__(
        self,
        model: Callable[[Any], Any],
        *,
        energy: str = "energy",
        species: Sequence[int] | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model, self.energy = model, energy
        self.species = None if species is None else sorted({int(z) for z in species})
        if isinstance(model, nn.Module):
            model.eval()
        usual, there = of_parameters(model)
        self.dtype = usual if dtype is None else dtype
        self.device = torch.device(there if device is None else device)
        contract = contract_of(model)
        declared = {} if contract is None else dict(contract.outputs)
        # the only output of a model that returns a tensor is its energy, whatever it is called
        own = declared.pop(ONLY if list(declared) == [ONLY] else energy, None)
        self.outputs = {
            name: output
            for name, output in declared.items()
            if name not in (*MECHANICAL, "energies")
        }
        # of this instance
        self.implemented_properties = [*MECHANICAL, *self.outputs]  # type: ignore[misc]
        if own is not None and own.per_point:
            self.implemented_properties.append("energies")
        if own is not None and isinstance(model, Symmetrizer):
            self.implemented_properties.append(UNCERTAINTY)

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Energy, forces and, in a cell, stress; others only where they are asked for."""
        super().calculate(atoms, list(properties), list(system_changes))
        assert self.atoms is not None, "of no atoms nothing is asked"
        data = self._data(self.atoms)
        found = forces_and_stress(self.model, data, self.energy)
        energy = found.energy.detach().double().cpu()
        self.results |= {
            "energy": float(energy.sum()),
            "free_energy": float(energy.sum()),
            "forces": found.forces.detach().double().cpu().numpy(),
        }
        if "energies" in self.implemented_properties:
            self.results["energies"] = energy.reshape(-1).numpy()
        if found.stress is not None and bool(self.atoms.pbc.all()):
            stress = found.stress.detach().double().cpu().numpy()[0]
            self.results["stress"] = voigt_stress(stress)
        if any(name in self.outputs for name in properties):
            with torch.no_grad():
                returned = items(self.model(data))
            for name, output in self.outputs.items():
                self.results[name] = _of_one(returned[name], output.per_point)
        if UNCERTAINTY in properties:
            with torch.no_grad():
                spread = self.model.spread(data)  # type: ignore[attr-defined]
            values = spread if isinstance(spread, Tensor) else items(spread)[self.energy]
            # of points that differ between frames together, as far as anybody knows
            self.results[UNCERTAINTY] = float(values.double().sum())

    def _data(self, atoms: Atoms) -> Data:
        """The structure as the model sees it.

        Raises:
            ValueError: if a species is not known.
        """
        if self.species is not None:
            strange = sorted({int(z) for z in atoms.numbers} - set(self.species))
            if strange:
                raise ValueError(
                    f"the atoms have the atomic numbers {strange}, but the model knows "
                    f"{self.species} only: train it with these, or take another model"
                )
        data = from_ase(atoms, [], dtype=self.dtype)
        if not bool(data.pbc.any()):
            del data.cell, data.pbc
        return data.to(self.device)


def _of_one(values: Tensor, per_point: bool) -> np.ndarray | float:
    """An output of one structure as ase has it: without the row of structures."""
    array = values.detach().double().cpu().numpy()
    array = array if per_point else array[0]
    return float(array[0]) if array.shape == (1,) else array
