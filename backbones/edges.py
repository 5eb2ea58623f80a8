"""Edges between points within a cutoff, over which local networks pass messages.

Row 0 of ``edge_index`` is the neighbor j that sends, row 1 the center i that receives, as in
torch_geometric. Edge vectors lead from the center to the neighbor, ``x_j + shift @ cell - x_i``.
"""

import copy
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.data import Data

from backbones.structures import structures_of
from symmetrize import Periods, cutoff_switch, neighbor_list, periods, safe_norm

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

    def shapes(self, length: float) -> Float[Tensor, "edges 4"]:
        """Vectors in a unit of length, and (r^2 + 1)^(1/2) - 1, C-infinity also at r = 0."""
        scaled = self.vectors / length
        # the distance itself has a kink where two points coincide
        rounded = (scaled.square().sum(-1, keepdim=True) + 1).sqrt() - 1
        return torch.cat([scaled, rounded], 1)


def with_edges(data: Data, cutoff: int | float, rounds: int = 2) -> Data:
    """A shallow copy with ``edge_index`` and, where there is a cell, integers ``edge_shift``.

    All pairs closer than the cutoff, which stands beside them as ``edge_cutoff``. Data with edges
    of at least that cutoff is returned as it is. Edges without ``edge_cutoff`` are something else,
    such as bonds: they are left out, with all other attributes of edges. Of environments
    (``is_center``) only edges of the center are kept if there is one round of messages.

    Raises:
        ValueError: if edges of periodic structures come without ``edge_shift``.
    """
    batch, size = structures_of(data)
    known = data.get("edge_cutoff")
    if known is not None and data.edge_index is not None:
        if data.get("edge_shift") is None and _is_periodic(periods(data)):
            raise ValueError(
                f"`edge_index` has {data.edge_index.size(1)} edges of periodic structures but no "
                "`edge_shift` says which images they lead to: add integers (edges, 3), or leave "
                "`edge_index` out and it is found here"
            )
        # in single precision a number may be less than itself
        if len(known) and float(known.min()) >= (1 - 1e-6) * cutoff:
            return data
    positions, lattice = data.pos.detach(), periods(data)
    if lattice is not None and _is_periodic(lattice):
        found = neighbor_list(positions, cutoff, batch, lattice.cell.detach(), lattice.pbc)
    else:
        found = neighbor_list(positions, cutoff, batch)
    prepared = copy.copy(data)
    for name in list(prepared.keys()):
        if name.startswith("edge_"):
            del prepared[name]
    kept = torch.ones_like(found.center, dtype=torch.bool)
    if rounds == 1 and data.get("is_center") is not None:
        kept = data.is_center[found.center] | data.is_center[found.neighbor]
    prepared.edge_index = torch.stack([found.neighbor[kept], found.center[kept]])
    if lattice is not None:
        prepared.edge_shift = found.shift[kept]
    prepared.edge_cutoff = torch.full((size, 1), float(cutoff), dtype=positions.dtype)
    return prepared


def _is_periodic(lattice: Periods | None) -> bool:
    return lattice is not None and bool(lattice.pbc.any())


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
