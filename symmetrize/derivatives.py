"""Forces, virial and stress: derivatives of an energy by positions and strain.

A strain e deforms space, positions and cells alike: rows become x + x e. It is symmetric, as an
antisymmetric one is a rotation, which changes no energy that is invariant. With the volume V,

    forces = -dE/dx,    virial = -dE/de,    stress = dE/de / V = -virial / V,

so that stress is positive under tension, as in ase, and the pressure is minus a third of its trace.

Source: Knuth et al., Comput. Phys. Commun. 190, 33 (2015), for stress as a derivative by strain.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from symmetrize.contract import contract_of
from symmetrize.data.boundary import accepted
from symmetrize.data.layout import layout
from symmetrize.data.owners import owners
from symmetrize.data.periods import periods
from symmetrize.data.plane import is_flat
from symmetrize.network.calling import without_autocast
from symmetrize.returned import described, items

if TYPE_CHECKING:
    from torch_geometric.data import Data


class Derivatives(NamedTuple):
    """An energy and its derivatives.

    Attributes:
        energy: as the model returns it.
        forces: (P, 3), -dE/dx, in units of energy by length; (P, 2) of a cloud in the plane.
        virial: (B, 3, 3), -dE/de, symmetric, in units of energy; of a molecule, too; (B, 2, 2) in
            the plane.
        stress: (B, 3, 3), -virial / V, in units of energy by volume, or None without a cell; nan
            for a structure that is not periodic in three directions and so has no volume.
    """

    energy: Tensor
    forces: Float[Tensor, "points axes"]
    virial: Float[Tensor, "structures axes axes"]
    stress: Float[Tensor, "structures 3 3"] | None


def forces_and_stress(
    model: Callable[[Any], Any],
    data: Data,
    energy: str | int = "energy",
    create_graph: bool = False,
) -> Derivatives:
    """Forces and stress of any model that returns energies, symmetrized or not.

    Exact derivatives of what the model returns, those of its frames included: of a symmetrized
    energy they are exactly equivariant, and conserve energy, momentum and angular momentum.

    Args:
        model: any callable from data to energies, or to a dict, tuple or object that holds them. It
            must find its geometry from ``pos`` and ``cell``: stored edge vectors are not strained.
        data: one structure or several, as for ``Symmetrizer``; it is not changed.
        energy: name of the energies among what the model returns: a key or a field, a path such as
            ``"head.energy"``, or the place in a tuple; rows of points count for their structure.
        create_graph: whether results can be differentiated in turn, as in a loss on forces.

    Returns:
        all in the dtype of ``pos``, but the energy; zeros for an energy that does not depend on
        where points are.

    Raises:
        ValueError: if there is no such energy, or not one number for each structure or point.

    >>> from torch_geometric.data import Data
    >>> spring = lambda data: (data.pos[1] - data.pos[0]).norm().sub(1).square()[None] / 2
    >>> stretched = Data(pos=torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 3.0]]))
    >>> forces_and_stress(spring, stretched).forces[:, 2].tolist()
    [2.0, -2.0]
    """
    if torch.is_inference_mode_enabled():
        # tensors made in inference mode take part in no derivative: leave it, with copies
        with torch.inference_mode(False):
            copied = copy.copy(data).apply(torch.clone)
            return forces_and_stress(model, copied, energy, create_graph)
    data = data if is_flat(data) else accepted(data)
    size, batch = owners(data)
    further = _further(model, data, batch)
    with torch.enable_grad():
        pos = data.pos if data.pos.requires_grad else data.pos.detach().requires_grad_()
        axes = pos.size(1)
        strain = torch.zeros(size, axes, axes, dtype=pos.dtype, device=pos.device)
        strain.requires_grad_()
        symmetric = (strain + strain.mT) / 2
        strained = copy.copy(data)
        with without_autocast():
            for name, owner in {"pos": batch, **further}.items():
                points = pos if name == "pos" else data[name]
                moved = torch.einsum("pi,pij->pj", points, symmetric[owner].to(points.dtype))
                strained[name] = points + moved
            cell = data.get("cell")
            if cell is not None:
                rows = cell.reshape(size, 3, 3)
                strained.cell = (rows + rows @ symmetric.to(cell.dtype)).reshape(cell.shape)

        values = _energies(model(strained), energy)
        if not values.is_floating_point():
            raise TypeError(
                f"the energy is {values.dtype} but must be floating-point to have derivatives: "
                "name another output by `energy`"
            )
        if values.numel() not in (size, len(batch)):
            raise ValueError(
                f"the energy has shape {tuple(values.shape)} but must have one number for each of "
                f"{size} structures, or for each of {len(batch)} points: add up what belongs to "
                "edges in the model"
            )
        slopes: tuple[Tensor, ...] = (torch.zeros_like(pos), torch.zeros_like(strain))
        if values.requires_grad:
            with without_autocast():  # what ran in half precision goes back in it, and nothing else
                slopes = torch.autograd.grad(
                    values.sum(), (pos, strain), create_graph=create_graph, materialize_grads=True
                )
    forces, virial = -slopes[0], -slopes[1]
    return Derivatives(values, forces, virial, _stress(data, virial))


def _energies(returned: Any, name: str | int) -> Tensor:
    """The energies among what a model returned."""
    if isinstance(returned, Tensor):
        return returned
    found = items(returned)
    if isinstance(name, int) and isinstance(returned, tuple | list):  # of named tuples, too
        found = {str(place): each for place, each in enumerate(returned)}
    tensors = [path for path, each in found.items() if isinstance(each, Tensor)]
    if str(name) not in tensors:
        way_out = "return a tensor of energies"
        if tensors:
            places = isinstance(returned, tuple | list) and tensors[0].isdigit()
            first = tensors[0] if places else repr(tensors[0])
            way_out = f"name its energy, as in energy={first}, one of: {', '.join(tensors)}"
        raise ValueError(f"the model returns {described(returned)} but no {name!r}: {way_out}")
    return found[str(name)]


def _further(model: object, data: Data, batch: Tensor) -> dict[str, Tensor]:
    """Further positions that the model declares, with the structure of each: they strain, too."""
    declared = contract_of(model)
    names = () if declared is None else declared.positions
    if not names:
        return {}
    rows = layout(data).rows
    return {name: rows[name].owner for name in names}


def _stress(data: Data, virial: Tensor) -> Tensor | None:
    found = periods(data)
    if found is None:
        return None
    volume = torch.linalg.det(found.cell).abs().to(virial.dtype)
    periodic = found.pbc.all(-1)
    # a volume of 0 would send nan through the gradients of the other structures
    safe = torch.where(periodic, volume, 1.0)[:, None, None]
    return torch.where(periodic[:, None, None], -virial / safe, torch.nan)
