"""Copies of structures, each turned by a rotation, as one batch for one call of the network.

Neighbor lists do not change as a structure turns: indices are replicated with offsets, never
searched again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from symmetrize.batches import Layout, new_batch
from symmetrize.frames.ensemble import Ensemble
from symmetrize.representation import Representation
from symmetrize.segments import counts, join, offsets

if TYPE_CHECKING:
    from torch_geometric.data import Data


@dataclass(frozen=True)
class Source:
    """What copies are made of.

    Attributes:
        data, layout: structures (or environments, each of which is a structure to the network).
        vectors: (P, 3) float64, positions from the origin of their structure.
        inputs: how each attribute turns; what is not named does not.
        leaving: (P,), points that a collapsed copy leaves out, or None if it keeps all.
    """

    data: Data
    layout: Layout
    vectors: Float[Tensor, "points 3"]
    inputs: Mapping[str, Representation]
    leaving: Bool[Tensor, "points"] | None = None


@dataclass(frozen=True)
class Copies:
    """A batch of turned copies, and where its points come from.

    Attributes:
        data: what the network is called with.
        copy: (R,), the copy that each point of ``data`` belongs to.
        point: (R,), the point of the source that it is.
    """

    data: Data
    copy: Int[Tensor, "rows"]
    point: Int[Tensor, "rows"]


def turned_copies(source: Source, members: Ensemble) -> Copies:
    """A copy of the structure of each member, expressed in the axes of its frame.

    Row vectors turn as ``v @ R``. A copy for the isotropic part of the average is collapsed: only
    what no rotation can change is left, and its points lie at the origin.
    """
    data, layout = source.data, source.layout
    rotations, collapsed = members.rotations, members.isotropic
    inverse = rotations.transpose(-1, -2)
    any_collapsed = bool(collapsed.any())

    copy, point = join(members.index, layout.batch, layout.size)
    kept = torch.ones_like(copy, dtype=torch.bool)
    if any_collapsed and source.leaving is not None:
        kept = ~(collapsed[copy] & source.leaving[point])
    first = offsets(counts(copy, len(members)))
    place = _places(layout)
    new_row = kept.cumsum(0) - 1  # of each pair of a copy and a point
    copy, point = copy[kept], point[kept]

    turned = torch.einsum("pi,pij->pj", source.vectors[point], rotations[copy])
    if any_collapsed:
        turned = torch.where(collapsed[copy, None], 0.0, turned)
    batch = new_batch(data, len(members), copy)
    batch.pos = turned.to(data.pos.dtype)

    pairs = {id(layout.batch): (copy, point)}
    for name, value in data.to_dict().items():
        if name in batch:
            continue
        rows = layout.rows.get(name)
        if rows is None:
            batch[name] = value
            continue
        if id(rows.owner) not in pairs:
            owner, row = join(members.index, rows.owner, layout.size)
            if rows.kind == "edge":
                ends = place[data.edge_index[:, row]] + first[owner]
                whole = torch.nonzero(kept[ends].all(0))[:, 0]
                owner, row = owner[whole], row[whole]
            pairs[id(rows.owner)] = owner, row
        owner, row = pairs[id(rows.owner)]
        chosen = value.index_select(rows.dim, row)
        if rows.are_points:
            shape = [1] * chosen.ndim
            shape[rows.dim] = -1
            chosen = new_row[place[chosen] + first[owner].reshape(shape)]
        if name in source.inputs:
            representation = source.inputs[name]
            chosen = representation.rotate(chosen, inverse[owner])
            # a cell without volume is no cell: it keeps its shape
            if any_collapsed and name != "cell":
                gone = collapsed[owner].reshape(-1, *(1,) * (chosen.ndim - 1))
                chosen = torch.where(gone, representation.project_invariant(chosen), chosen)
        batch[name] = chosen
    return Copies(batch, copy, point)


def _places(layout: Layout) -> Int[Tensor, "points"]:
    """The place of each point among the points of its structure."""
    order = torch.argsort(layout.batch, stable=True)
    first = offsets(counts(layout.batch, layout.size))
    within = torch.arange(len(order), device=order.device) - first[layout.batch[order]]
    return torch.empty_like(order).scatter_(0, order, within)
