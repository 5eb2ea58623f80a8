"""Environments as structures of their own, for a network that looks at one center at a time.

Scope "center" needs no other machinery than scope "structure": its batch of structures is the batch
of all environments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from jaxtyping import Int
from torch import Tensor

from symmetrize.batches import OF_STRUCTURES, Layout, Rows, new_batch
from symmetrize.copies import Source
from symmetrize.environments import Environments
from symmetrize.representation import Representation
from symmetrize.segments import join

if TYPE_CHECKING:
    from torch_geometric.data import Data


def clusters(
    data: Data, layout: Layout, found: Environments, inputs: Mapping[str, Representation]
) -> Source:
    """Every environment as a structure of its own, with positions from the center.

    Points carry ``is_center`` and ``envelope`` beside the attributes they had; edges are those
    whose ends are both in the environment. The cell is left out: images are points like others.

    Raises:
        ValueError: if a periodic structure comes with edges, or there are indices of points other
            than edges.
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
        elif kind.are_points and kind.kind != "edge":
            raise ValueError(
                f'scope "center" cannot renumber {name!r}, whose entries are points: leave it out, '
                'or use scope="structure"'
            )
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
