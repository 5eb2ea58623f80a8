"""Environments: each point as a center, seen with its neighbors within a cutoff.

A point that comes within the cutoff enters with an envelope of zero; networks that look at one
environment are smooth if they weight each point by it, or by a cutoff of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from symmetrize.batches import OF_STRUCTURES, Layout, Rows, new_batch
from symmetrize.cloud import Cloud, Points
from symmetrize.copies import Source
from symmetrize.neighbors import Neighbors, neighbors
from symmetrize.representation import Representation
from symmetrize.segments import join
from symmetrize.switching import cutoff_switch
from symmetrize.vectors import safe_norm

if TYPE_CHECKING:
    from torch_geometric.data import Data

# The envelope falls from 1 to 0 over this part of the cutoff
ENVELOPE_WIDTH = 0.5


@dataclass(frozen=True)
class Environments:
    """One environment for each point of a batch; rows of an environment start with its center.

    Attributes:
        owner: (R,), center (row of the points) that each row belongs to, ascending.
        source: (R,), point that the row is a copy of.
        shift: (R, 3) integers, lattice vectors added to the source.
        vectors: (R, 3) float64, from the center.
        is_center: (R,), one in each environment.
        envelope: (R,) float64, 1 near the center, 0 at the cutoff with all derivatives.
        cloud: the neighbors without their centers, as frames want them.
    """

    owner: Int[Tensor, "rows"]
    source: Int[Tensor, "rows"]
    shift: Int[Tensor, "rows 3"]
    vectors: Float[Tensor, "rows 3"]
    is_center: Bool[Tensor, "rows"]
    envelope: Float[Tensor, "rows"]
    cloud: Cloud


def environments(structures: Points, cutoff: float) -> Environments:
    """The environment of every point within ``cutoff``, in the unit of the positions."""
    pairs = neighbors(structures, cutoff)
    number = len(structures.positions)
    own = torch.arange(number, device=structures.positions.device)
    owner = torch.cat([own, pairs.center])
    order = torch.argsort(owner, stable=True)
    vectors = torch.cat([pairs.vectors.new_zeros(number, 3), pairs.vectors])
    envelope = cutoff_switch(safe_norm(vectors), cutoff, ENVELOPE_WIDTH * cutoff)
    return Environments(
        owner=owner[order],
        source=torch.cat([own, pairs.neighbor])[order],
        shift=torch.cat([torch.zeros_like(pairs.shift[:1]).expand(number, 3), pairs.shift])[order]
        if len(pairs.shift)
        else pairs.shift.new_zeros(number, 3),
        vectors=vectors[order],
        is_center=(torch.arange(len(owner), device=owner.device) < number)[order],
        envelope=envelope[order],
        cloud=_cloud(structures, pairs, cutoff),
    )


def neighbor_environments(structures: Points, cutoff: float) -> Cloud:
    """The neighbors of every point within ``cutoff``, one cloud for each center."""
    return _cloud(structures, neighbors(structures, cutoff), cutoff)


def _cloud(structures: Points, pairs: Neighbors, cutoff: float) -> Cloud:
    number = len(structures.positions)
    return Cloud(
        vectors=pairs.vectors,
        index=pairs.center,
        size=number,
        log_scores=structures.log_scores[pairs.neighbor],
        resolution=pairs.vectors.new_zeros(number),
        directions=pairs.vectors[:0],
        directions_index=pairs.center[:0],
        cutoff=cutoff,
    )


def environment_source(
    data: Data, layout: Layout, found: Environments, inputs: Mapping[str, Representation]
) -> Source:
    """Every environment as a structure of its own, with positions from the center.

    Points carry ``is_center`` and ``envelope`` beside the attributes they had; edges are those
    whose ends are both in the environment. The cell is left out: images are points like others.

    Raises:
        ValueError: if a periodic structure comes with edges.
    """
    owner, source = found.owner, found.source
    number = len(layout.batch)
    batch = new_batch(data, number, owner)
    rows = {}
    if bool((found.shift != 0).any()) and data.edge_index is not None:
        raise ValueError(
            'scope "center" cannot tell which image of a point an edge of a periodic structure '
            "leads to: leave `edge_index` out and let the network connect the points of each "
            'environment by their positions, or use scope="structure"'
        )
    edges: tuple[Tensor, Tensor, Tensor] | None = None
    shared: dict[int, tuple[Tensor, Tensor]] = {}
    for name, value in data.to_dict().items():
        # an environment is a finite cluster: images of its points are points of their own
        if name in batch or name in OF_STRUCTURES:
            continue
        kind = layout.rows.get(name)
        if kind is None:
            batch[name] = value
        elif kind.kind == "point":
            batch[name] = value.index_select(kind.dim, source)
            rows[name] = replace(kind, owner=owner)
        elif kind.kind == "edge":
            if edges is None:
                edges = _induced_edges(data.edge_index, owner, source, number)
            edge_owner, edge, ends = edges
            batch[name] = ends if name == "edge_index" else value.index_select(kind.dim, edge)
            rows[name] = replace(kind, owner=edge_owner)
        else:
            if id(kind.owner) not in shared:
                shared[id(kind.owner)] = join(layout.batch, kind.owner, layout.size)
            row_owner, chosen = shared[id(kind.owner)]
            batch[name] = value.index_select(kind.dim, chosen)
            rows[name] = replace(kind, owner=row_owner)
    batch.pos = found.vectors.to(data.pos.dtype)
    batch.is_center = found.is_center
    batch.envelope = found.envelope.to(data.pos.dtype)
    for name in ("pos", "is_center", "envelope"):
        rows[name] = Rows("point", owner, 0, False)
    # points that are about to leave are far out, points that merge with the center far in
    leaving = found.envelope < 1
    return Source(batch, Layout(number, owner, rows), found.vectors, inputs, leaving)


def _induced_edges(
    edge_index: Int[Tensor, "2 edges"],
    owner: Int[Tensor, "rows"],
    source: Int[Tensor, "rows"],
    number: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Edges with both ends in one environment: their environment, the edge, and the new ends."""
    if len(owner) == 0 or edge_index.size(1) == 0:
        return owner[:0], owner[:0], edge_index[:, :0]
    start, edge = join(source, edge_index[0], number)
    keys = owner * number + source
    order = torch.argsort(keys)
    wanted = owner[start] * number + edge_index[1][edge]
    found = torch.searchsorted(keys[order], wanted).clamp(max=len(keys) - 1)
    end = order[found]
    inside = torch.nonzero(keys[end] == wanted)[:, 0]
    start, edge, end = start[inside], edge[inside], end[inside]
    return owner[start], edge, torch.stack([start, end])
