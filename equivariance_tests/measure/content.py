"""How the symmetry breaking of a model is spread over irreps, of its outputs and of its layers.

As a structure is turned by R, an output turned back, h(R) = rho(R)^-1 f(R x), is a function on the
group. If the model is equivariant it is constant. Else it has parts of higher degree, whose powers,
by the theorem of Peter and Weyl, add up to its mean square:

    P_l = (2 l + 1) sum_ij w_i w_j chi_l(R_i^-1 R_j) h(R_i) . h(R_j),

with a quadrature that is exact for products of two such degrees, and the characters chi_l. Even and
odd parts are told apart by the inversion. Of layers, whose features nothing says how to turn, h is
what they are.

Source: symmetry content per irrep, arXiv 2603.24638.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch

from symmetrize import Contract, QuadratureFrames
from symmetrize.representation import as_representation

HIGHER = "higher"
# Below which angle the limit of a character is taken
SMALL = 1e-7


def symmetry_content(
    model: Any,
    data: Any,
    contract: Contract | None = None,
    *,
    layers: Sequence[str] = (),
    degree: int = 4,
) -> dict[str, dict[str, float]]:
    """Shares of each irrep in the outputs of a model on one structure, and in those of its layers.

    Args:
        model: any callable from ``Data``; with layers, a module.
        data: one structure: ``pos``, ``cell``, and the inputs and further positions that the
            contract names, turn.
        contract: what the model claims; says how outputs and inputs turn. ``model.contract`` if
            None.
        layers: names of submodules, as in ``model.named_modules()``.
        degree: of the highest irrep that is told apart; what is above is "higher". The model is
            evaluated a few hundred times.

    Returns:
        by output or layer, then by irrep ("0e", "1o", ...), shares that add up to 1. All of an
        equivariant output is in "0e".

    Raises:
        ValueError: if there is no contract, or no such layer.

    >>> from torch_geometric.data import Data
    >>> def height(data):  # the z component of a vector: of degree 1, odd
    ...     return data.pos[:, 2].sum()[None, None]
    >>> found = symmetry_content(height, Data(pos=torch.rand(4, 3).double()), Contract("0e"))
    >>> max(found["output"], key=found["output"].get)
    '1o'
    """
    contract = getattr(model, "contract", None) if contract is None else contract
    if not isinstance(contract, Contract):
        raise ValueError(
            f"the model {type(model).__name__} declares no contract: give one, as in "
            'Contract({"energy": "0e"})'
        )
    cloud = torch.eye(3, dtype=torch.float64)
    ensemble = QuadratureFrames(2 * degree)(cloud, group="SO(3)", degree=2 * degree)
    rotations, weights = ensemble.rotations, ensemble.weights
    recorder = _Recorder(model, layers)
    by_parity: list[dict[str, Tensor]] = []
    with torch.no_grad(), recorder:
        for sign in (1.0, -1.0):
            rows: dict[str, list[Tensor]] = {}
            for turn in sign * rotations:
                for name, values in _answers(model, data, contract, turn, recorder).items():
                    rows.setdefault(name, []).append(values.double().flatten())
            by_parity.append({name: torch.stack(several) for name, several in rows.items()})
    relative = torch.einsum("aji,bjk->abik", rotations, rotations)
    characters = _characters(relative, degree)
    return {
        name: _shares(by_parity[0][name], by_parity[1][name], weights, characters)
        for name in by_parity[0]
    }


class _Recorder:
    """Keeps what named layers return."""

    def __init__(self, model: Any, layers: Sequence[str]) -> None:
        modules = dict(model.named_modules()) if isinstance(model, nn.Module) else {}
        unknown = [name for name in layers if name not in modules]
        if unknown:
            known = ", ".join(name for name in modules if name)
            raise ValueError(f"there is no layer {unknown[0]!r}: layers are {known or 'none'}")
        self.modules = {name: modules[name] for name in layers}
        self.found: dict[str, Tensor] = {}
        self.handles: list[Any] = []

    def __enter__(self) -> None:
        for name, module in self.modules.items():

            def kept(_: Any, __: Any, returned: Any, name: str = name) -> None:
                tensors = returned if isinstance(returned, list | tuple) else [returned]
                self.found[name] = torch.cat(
                    [one.detach().flatten() for one in tensors if isinstance(one, Tensor)]
                )

            self.handles.append(module.register_forward_hook(kept))

    def __exit__(self, *_: Any) -> None:
        for handle in self.handles:
            handle.remove()


def _answers(
    model: Any, data: Any, contract: Contract, turn: Tensor, recorder: _Recorder
) -> dict[str, Tensor]:
    """Outputs of a turned structure, turned back, and its layers as they are."""
    turned = copy.copy(data)
    dtype = data.pos.dtype
    for name in ("pos", *contract.positions):
        turned[name] = (data[name].double() @ turn.T).to(dtype)
    if data.get("cell") is not None:
        turned.cell = (data.cell.double() @ turn.T).to(dtype)
    for name, representation in contract.inputs.items():
        values = data[name].double()
        flat = as_representation(representation).rotate(
            values.reshape(len(values), -1), turn.expand(len(values), 3, 3)
        )
        turned[name] = flat.reshape(values.shape).to(dtype)
    returned: Mapping[str, Tensor] = contract.outputs.named(model(Batch.from_data_list([turned])))
    found = dict(recorder.found)
    for name, output in contract.outputs.items():
        values = returned[name].double().reshape(len(returned[name]), -1)
        found[name] = output.representation.rotate(values, turn.T.expand(len(values), 3, 3))
    return found


def _characters(rotations: Tensor, degree: int) -> Tensor:
    """chi_l = sin((2 l + 1) angle / 2) / sin(angle / 2) of rotations, for l up to a degree."""
    trace = rotations.diagonal(dim1=-2, dim2=-1).sum(-1)
    half = torch.arccos(((trace - 1) / 2).clamp(-1, 1)) / 2
    orders = 2 * torch.arange(degree + 1, dtype=torch.float64)[:, None, None] + 1
    regular = torch.sin(orders * half) / half.sin().clamp(min=SMALL)
    return torch.where(half < SMALL, orders, regular)


def _shares(
    proper: Tensor, improper: Tensor, weights: Tensor, characters: Tensor
) -> dict[str, float]:
    """Powers by degree of the even and the odd part, of their sum."""
    total = float((weights[:, None] * (proper.square() + improper.square())).sum()) / 2
    found = {}
    for letter, part in (("e", (proper + improper) / 2), ("o", (proper - improper) / 2)):
        products = torch.einsum("an,bn,a,b->ab", part, part, weights, weights)
        powers = (characters * products).sum((1, 2))
        for degree, power in enumerate(powers.tolist()):
            found[f"{degree}{letter}"] = (2 * degree + 1) * max(power, 0.0) / (total or 1.0)
    found = dict(sorted(found.items(), key=lambda one: (int(one[0][:-1]), one[0][-1])))
    found[HIGHER] = max(0.0, 1.0 - sum(found.values())) if total else 0.0
    return found
