"""Edges between points within a cutoff, over which local networks pass messages.

They are found once, and attached to the data, before a ``Symmetrizer`` makes copies of it.

Row 0 of ``edge_index`` is the neighbor j that sends, row 1 the center i that receives, as in
torch_geometric. Edge vectors lead from the center to the neighbor, ``x_j + shift @ cell - x_i``.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.data import Data

from backbones.radial import gaussians
from backbones.structures import structures_of
from symmetrize import Neighbors, cutoff_switch, neighbor_list, periods, safe_norm

# Which edges that come with the data are left as they are
Keep = Literal["any", "wide", "none"]
# Neighbors fade out over this part of the cutoff
FADE = 0.5


@dataclass(frozen=True)
class Edges:
    """Edges to every neighbor, and one from each point to itself, at distance zero.

    Attributes:
        source, target: (E,) neighbor j and center i.
        vectors: (E, 3) from center to neighbor.
        distances: (E,).
        cutoff: at which neighbors vanish, in the unit of the positions.
    """

    source: Int[Tensor, "edges"]
    target: Int[Tensor, "edges"]
    vectors: Float[Tensor, "edges 3"]
    distances: Float[Tensor, "edges"]
    cutoff: float

    def weights(self, scale: int | float = 1.0) -> Float[Tensor, "edges"]:
        """1 for near neighbors, 0 from ``scale * cutoff`` on; C-infinity."""
        radius = scale * self.cutoff
        return cutoff_switch(self.distances, radius, FADE * radius)

    def shapes(self, length: float, radial: int = 0) -> Float[Tensor, "edges columns"]:
        """Vectors in a unit of length, (r^2 + 1)^(1/2) - 1, and Gaussians of r; C-infinity.

        Also at r = 0: 4 + ``radial`` columns.
        """
        scaled = self.vectors / length
        # the distance itself has a kink where two points coincide
        rounded = (scaled.square().sum(-1, keepdim=True) + 1).sqrt() - 1
        return torch.cat([scaled, rounded, gaussians(self.vectors, self.cutoff, radial)], 1)


def attach_edges(
    data: Data,
    find: Callable[[], Mapping[str, Tensor]],
    keep: Keep,
    cutoff: int | float = 0.0,
) -> Data:
    """A shallow copy with edges that are found once, before copies of the data are made.

    Edges and all that is said of them (``edge_*``) are left as they came, or all are replaced: what
    was said of other edges does not stay. This is the only place where edges are put on data.

    Args:
        data: perhaps with edges.
        find: makes ``edge_index`` and what else there is to say of the edges; called if needed.
        keep: which edges of the data are left: ``"any"``, for a network whose user connects the
            points at will; ``"wide"``, those that say in ``edge_cutoff`` that they are all pairs up
            to ``cutoff`` or farther, as others may be bonds; ``"none"``, for a network that needs
            to know more of its edges than they would say.
        cutoff: in the unit of the positions.

    Raises:
        ValueError: if wide edges of periodic structures come without ``edge_shift``.
    """
    comes = data.edge_index is not None
    if comes and (keep == "any" or (keep == "wide" and _are_wide(data, cutoff))):
        return data
    prepared = copy.copy(data)
    for name in list(prepared.keys()):
        if name.startswith("edge_"):
            del prepared[name]
    for name, values in find().items():
        prepared[name] = values
    return prepared


def _are_wide(data: Data, cutoff: int | float) -> bool:
    known = data.get("edge_cutoff")
    if known is None:
        return False
    if data.get("edge_shift") is None and is_periodic(data):
        raise ValueError(
            f"`edge_index` has {data.edge_index.size(1)} edges of periodic structures but no "
            "`edge_shift` says which images they lead to: add integers (edges, 3), or leave "
            "`edge_index` out and it is found here"
        )
    # in single precision a number may be less than itself
    return len(known) > 0 and float(known.min()) >= (1 - 1e-6) * cutoff


def is_periodic(data: Data) -> bool:
    """Whether any structure is."""
    lattice = periods(data)
    return lattice is not None and bool(lattice.pbc.any())


def pairs_within(data: Data, cutoff: int | float) -> Neighbors:
    """All pairs closer than the cutoff, images included; without gradients."""
    positions, (batch, _), lattice = data.pos.detach(), structures_of(data), periods(data)
    if lattice is None:
        return neighbor_list(positions, cutoff, batch)
    return neighbor_list(positions, cutoff, batch, lattice.cell.detach(), lattice.pbc)


def with_edges(data: Data, cutoff: int | float, rounds: int = 2) -> Data:
    """Data with ``edge_index`` and, where there is a cell, integers ``edge_shift``.

    All pairs closer than the cutoff, which stands beside them as ``edge_cutoff``; data with edges
    of at least that cutoff is returned as it is. Of environments (``is_center``) only edges of the
    center are there if there is one round of messages.

    Raises:
        ValueError: if edges of periodic structures come without ``edge_shift``.
    """

    def found() -> dict[str, Tensor]:
        pairs, (_, size) = pairs_within(data, cutoff), structures_of(data)
        kept = torch.ones_like(pairs.center, dtype=torch.bool)
        if rounds == 1 and data.get("is_center") is not None:
            kept = data.is_center[pairs.center] | data.is_center[pairs.neighbor]
        edges = {"edge_index": torch.stack([pairs.neighbor[kept], pairs.center[kept]])}
        if data.get("cell") is not None:
            edges["edge_shift"] = pairs.shift[kept]
        edges["edge_cutoff"] = torch.full((size, 1), float(cutoff), dtype=data.pos.dtype)
        return edges

    return attach_edges(data, found, "wide", cutoff)


def edge_vectors(data: Data) -> Float[Tensor, "edges 3"]:
    """From center to neighbor, images included; differentiable in positions and cell."""
    source, target = data.edge_index
    vectors = data.pos[source] - data.pos[target]
    if data.get("edge_shift") is not None:
        cells = data.cell.reshape(-1, 3, 3).to(vectors.dtype)[structures_of(data)[0][target]]
        # not as a product of matrices: autocast would round the lattice to half precision
        vectors = vectors + (data.edge_shift.to(vectors.dtype)[:, :, None] * cells).sum(1)
    return vectors


def edges_of(data: Data, cutoff: float) -> Edges:
    """Edges of data that has ``edge_index``; differentiable in positions and cell."""
    pos, own = data.pos, torch.arange(len(data.pos), device=data.pos.device)
    source, target = data.edge_index
    vectors = torch.cat([edge_vectors(data), pos.new_zeros(len(pos), 3)])
    source, target = torch.cat([source, own]), torch.cat([target, own])
    return Edges(source, target, vectors, safe_norm(vectors), cutoff)
