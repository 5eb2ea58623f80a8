"""Copies of structures, each turned by a rotation, as one batch for one call of the network.

The batch is what torch-geometric would make of the copies: every attribute, nested ones and lists
included, is copied with its structure, and what counts rows counts those of its copy. Neighbor
lists do not change as a structure turns: they are never searched again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from symmetrize.data.attributes import leaves, with_leaves
from symmetrize.data.forms import new_batch
from symmetrize.data.plan import CopiedRows, Plan
from symmetrize.data.plane import flattened
from symmetrize.data.rows import Layout, Rows, RowsOf
from symmetrize.representation import Representation

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
        further: further positions by name, from the origin of their structure, as ``vectors``.
        is_flat: whether the network takes data in the plane; here it lies at z = 0.
    """

    data: Data
    layout: Layout
    vectors: Float[Tensor, "points 3"]
    inputs: Mapping[str, Representation]
    leaving: Bool[Tensor, "points"] | None = None
    further: Mapping[str, Float[Tensor, "others 3"]] = field(default_factory=dict)
    is_flat: bool = False


class Origin(NamedTuple):
    """Where rows of copies come from.

    Attributes:
        copy: (R,), the copy that each row belongs to.
        row: (R,), the row of the source that it is.
    """

    copy: Int[Tensor, "rows"]
    row: Int[Tensor, "rows"]


@dataclass(frozen=True)
class Copies:
    """A batch of turned copies, and where its rows come from.

    Attributes:
        data: what the network is called with.
        structures, points, edges: for each of its rows, the copy that it belongs to and the row of
            the source that it is; None for edges where there are none to count.
    """

    data: Data
    structures: Origin
    points: Origin
    edges: Origin | None

    def __len__(self) -> int:
        return len(self.structures.copy)

    @property
    def numbers(self) -> dict[RowsOf, int]:
        """How many rows of each kind there are; of edges, only where there are some to count."""
        found: dict[RowsOf, Origin | None]
        found = {"structure": self.structures, "point": self.points, "edge": self.edges}
        return {kind: len(origin.copy) for kind, origin in found.items() if origin is not None}

    def on(self, device: torch.device | None) -> Copies:
        """The same with the data on another device; as they are if that is None."""
        return self if device is None else replace(self, data=self.data.to(device))

    def of(self, kind: RowsOf) -> Origin | None:
        """Where the rows of a kind come from."""
        return {"structure": self.structures, "point": self.points, "edge": self.edges}[kind]


def turned_copies(
    source: Source,
    index: Int[Tensor, "copies"],
    rotations: Float[Tensor, "copies 3 3"],
    collapsed: Bool[Tensor, "copies"],
) -> Copies:
    """Copies of structures, each expressed in the axes of its frame: row vectors turn as ``v @ R``.

    Args:
        source: the structures.
        index: which of them each copy is of.
        rotations: its frame, axes as columns.
        collapsed: whether only what no rotation can change is left of it: its points lie at the
            origin.
    """
    data, layout = source.data, source.layout
    number = len(index)
    any_collapsed = bool(collapsed.any())
    left_out = source.leaving if any_collapsed else None
    plan = Plan(layout, index, collapsed, left_out)
    points = plan.pairs("point", layout.batch)
    inverse = rotations.transpose(-1, -2)

    def moved(vectors: Tensor, pairs: CopiedRows) -> Tensor:
        turned = torch.einsum("pi,pij->pj", vectors[pairs.row], rotations[pairs.copy])
        return torch.where(collapsed[pairs.copy, None], 0.0, turned) if any_collapsed else turned

    batch = new_batch(data, number, points.copy)
    batch.pos = moved(source.vectors, points).to(data.pos.dtype)
    slices: dict[str, Any] = {"pos": partial(plan.slices, layout.rows["pos"])}
    increments: dict[str, Any] = {"pos": partial(plan.increments, layout.rows["pos"])}
    for name, whole in data.to_dict().items():
        if name in batch:
            continue
        made: dict[str, Any] = {}
        if name in layout.followed:
            batch[name] = plan.following(name, layout.followed[name], data)
            continue
        for path, _, value in leaves(whole, name):
            rows = layout.rows.get(path)
            if rows is None:
                made[path] = value
                continue
            pairs = plan.pairs(rows.kind, rows.owner)
            if name in source.further:
                made[path] = moved(source.further[name], pairs).to(value.dtype)
                continue
            chosen = plan.copied(path, value, rows, pairs)
            if name in source.inputs:
                representation = source.inputs[name]
                chosen = representation.rotate(chosen, inverse[pairs.copy])
                # a cell without volume is no cell: it keeps its shape
                if any_collapsed and name != "cell":
                    gone = collapsed[pairs.copy].reshape(-1, *(1,) * (chosen.ndim - 1))
                    chosen = torch.where(gone, representation.project_invariant(chosen), chosen)
            made[path] = chosen
        batch[name] = with_leaves(whole, name, made)
        slices[name] = partial(_tree, whole, name, layout, plan.slices)
        increments[name] = partial(_tree, whole, name, layout, plan.increments)
    # as a batch that was collated: `to_data_list`, `batch[k]` and `get_example` work
    batch._slice_dict, batch._inc_dict = Lazy(slices), Lazy(increments)
    edges = plan.pairs("edge", layout.edges) if layout.edges is not None else None
    return Copies(
        flattened(batch, source.inputs, [*source.further]) if source.is_flat else batch,
        structures=Origin(torch.arange(number, device=index.device), index),
        points=Origin(points.copy, points.row),
        edges=None if edges is None else Origin(edges.copy, edges.row),
    )


def as_they_are(source: Source) -> Copies:
    """One copy of each structure, not turned."""
    index = torch.arange(source.layout.size, device=source.vectors.device)
    rotations = torch.eye(3, dtype=source.vectors.dtype, device=index.device)
    collapsed = torch.zeros_like(index, dtype=torch.bool)
    return turned_copies(source, index, rotations.expand(len(index), 3, 3), collapsed)


class Lazy(Mapping[str, Any]):
    """What is seldom asked for, by name, and made when it is."""

    def __init__(self, known: Mapping[str, Callable[[], Any]]) -> None:
        self.known = dict(known)

    def __getitem__(self, name: str) -> Any:
        return self.known[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self.known)

    def __len__(self) -> int:
        return len(self.known)


def _tree(whole: Any, name: str, layout: Layout, of: Callable[[Rows | None], Tensor]) -> Any:
    """Slices or increments of an attribute, in the form of its values."""
    made = {path: of(layout.rows.get(path)) for path, _, _ in leaves(whole, name)}
    return with_leaves(whole, name, made)
