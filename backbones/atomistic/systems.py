"""torch_geometric data as metatomic systems, with neighbor lists that are searched once.

The lists that a model asks for (of several cutoffs, full or half) are columns of one list with the
largest cutoff: ``edge_lists[e, k]`` says whether edge e is in list k. Like ``edge_index`` and
``edge_shift`` they do not change as a structure turns, so that copies of it share them. Row 0 of
``edge_index`` is the neighbor j, row 1 the center i; vectors lead from the center to the neighbor,
``x_j + shift @ cell - x_i``, and are formed anew from positions and cell, so that gradients flow.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch_geometric.data import Data

from backbones.atomistic.libraries import metatensor, metatomic
from backbones.edges import attach_edges, pairs_within
from backbones.structures import structures_of
from symmetrize import periods

LENGTH_UNIT = "angstrom"
PAIR = ["first_atom", "second_atom", "cell_shift_a", "cell_shift_b", "cell_shift_c"]


@dataclass(frozen=True)
class Places:
    """Where the points of a batch go: metatomic counts atoms anew in each system.

    Structures without points are left out: models need not know what to do with them.

    Attributes:
        structure: (S,) the structure that each system is.
        size: number of structures.
        system, place: (P,) system of each point, and its number among the atoms of it.
        order: (P,) points sorted by system.
        number: (S,) atoms of each system, at least one.
    """

    structure: Int[Tensor, "systems"]
    size: int
    system: Int[Tensor, "points"]
    place: Int[Tensor, "points"]
    order: Int[Tensor, "points"]
    number: Int[Tensor, "systems"]

    @classmethod
    def of(cls, data: Data) -> "Places":
        """Read from ``batch``, which need not be sorted."""
        batch, size = structures_of(data)
        structure, system, number = batch.unique(return_inverse=True, return_counts=True)
        order = torch.argsort(system, stable=True)
        first = number.cumsum(0) - number
        place = torch.empty_like(order)
        place[order] = torch.arange(len(order), device=order.device) - first[system[order]]
        return cls(structure, size, system, place, order, number)

    def points(self, system: Tensor, atom: Tensor) -> Int[Tensor, "samples"]:
        """The points that are these atoms of these systems."""
        first = self.number.cumsum(0) - self.number
        return self.order[first[system] + atom]


def with_neighbors(data: Data, requests: Sequence[Any]) -> Data:
    """A shallow copy with ``edge_index``, ``edge_shift`` and ``edge_lists``, for these requests.

    Edges that the data has are replaced: they do not say which list they are in.
    """

    def found() -> dict[str, Tensor]:
        if not requests:  # nothing to search
            none = torch.zeros(2, 0, dtype=torch.long, device=data.pos.device)
            lists = none.new_zeros(0, 0, dtype=torch.bool)
            return {"edge_index": none, "edge_shift": none.new_zeros(0, 3), "edge_lists": lists}
        cutoffs = [request.engine_cutoff(LENGTH_UNIT) for request in requests]
        pairs = pairs_within(data, max(cutoffs))
        center, neighbor, shift = pairs.center, pairs.neighbor, pairs.shift
        distance = pairs.vectors.norm(dim=-1)
        # one of the two edges of a pair: from the lower index, or, between images, the lower shift
        signs = shift.sign() * torch.tensor([4, 2, 1], device=shift.device)
        first = (center < neighbor) | ((center == neighbor) & (signs.sum(-1) > 0))
        columns = [
            (distance < cutoff) & (first | request.full_list)
            for request, cutoff in zip(requests, cutoffs, strict=True)
        ]
        lists = torch.stack([first, *columns], 1)[:, 1:]
        return {
            "edge_index": torch.stack([neighbor, center]),
            "edge_shift": shift,
            "edge_lists": lists,
        }

    return attach_edges(data, found, "none")


def systems_of(
    data: Data, places: Places, requests: Sequence[Any], dtype: torch.dtype
) -> list[Any]:
    """One ``System`` for each structure, with its neighbor lists; differentiable."""
    # Systems are objects: this loop, over structures and not over points, is metatomic's interface
    numbers, size = places.number.tolist(), len(places.number)
    positions = data.pos.to(dtype)
    cells, pbc = (both[places.structure] for both in _cells(data, places.size, dtype))
    kinds = data.z.to(torch.int32)[places.order].split(numbers)
    systems = [
        metatomic.System(*parts)
        for parts in zip(kinds, positions[places.order].split(numbers), cells, pbc, strict=True)
    ]
    neighbor, center = data.edge_index
    shift = data.edge_shift
    owner = places.system[center]
    vectors = positions[neighbor] - positions[center]
    # not as a product of matrices: autocast would round the lattice to half precision
    vectors = vectors + (shift.to(dtype)[:, :, None] * cells[owner]).sum(1)
    pairs = torch.cat([places.place[torch.stack([center, neighbor], 1)], shift], 1).int()
    xyz = metatensor.Labels("xyz", torch.arange(3, device=pairs.device)[:, None])
    distance = metatensor.Labels("distance", pairs.new_zeros(1, 1))
    for column, request in zip(data.edge_lists.unbind(1), requests, strict=True):
        chosen = torch.nonzero(column)[:, 0]
        chosen = chosen[torch.argsort(owner[chosen], stable=True)]
        sizes = torch.bincount(owner[chosen], minlength=size).tolist()
        parts = zip(
            systems, pairs[chosen].split(sizes), vectors[chosen, :, None].split(sizes), strict=True
        )
        for system, names, values in parts:
            samples = metatensor.Labels(PAIR, names, assume_unique=True)
            system.add_neighbor_list(
                request, metatensor.TensorBlock(values, samples, [xyz], distance)
            )
    return systems


def add_inputs(
    systems: Sequence[Any], data: Data, places: Places, requested: Mapping[str, Any], dtype: Any
) -> None:
    """Give systems the scalars that a model asks for, such as ``charge``, from ``data[name]``.

    Raises:
        ValueError: if one is missing or has not one number for each structure or atom.
    """
    for name, request in requested.items():
        per_atom = request.sample_kind == "atom"
        number = len(places.order) if per_atom else places.size
        values = data.get(name)
        if values is None or values.numel() != number:
            found = "is missing" if values is None else f"has shape {tuple(values.shape)}"
            raise ValueError(
                f"the model asks for {name!r}, which {found} but must have one number for each of "
                f"the {number} {'points' if per_atom else 'structures'}: set data[{name!r}]"
            )
        rows = places.order if per_atom else places.structure
        values = values.reshape(number, 1).to(dtype)[rows]
        parts = values.split(places.number.tolist() if per_atom else 1)
        names = ["system", "atom"] if per_atom else ["system"]
        keys = metatensor.Labels("_", rows.new_zeros(1, 1))
        kind = metatensor.Labels(name.rpartition("::")[2], rows.new_zeros(1, 1))
        for system, part in zip(systems, parts, strict=True):
            index = torch.arange(len(part), device=part.device)[:, None]
            samples = metatensor.Labels(names, torch.cat([0 * index, index], 1)[:, -len(names) :])
            block = metatensor.TensorBlock(part, samples, [], kind)
            system.add_data(name, metatensor.TensorMap(keys, [block]))


def _cells(
    data: Data, size: int, dtype: torch.dtype
) -> tuple[Float[Tensor, "structures 3 3"], Bool[Tensor, "structures 3"]]:
    """Cells, zero along what is not a period, as metatomic wants them, and the periods."""
    found = periods(data)
    if found is None:
        cells = torch.zeros(size, 3, 3, dtype=dtype, device=data.pos.device)
        return cells, torch.zeros(size, 3, dtype=torch.bool, device=data.pos.device)
    return torch.where(found.pbc[..., None], found.cell.to(dtype), 0.0), found.pbc
