"""Copies of structures, each turned by a rotation, as one batch for one call of the network.

The batch is what torch-geometric would make of the copies: every attribute, nested ones and lists
included, is copied with its structure, and what counts rows counts those of its copy. Neighbor
lists do not change as a structure turns: they are never searched again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from symmetrize.arrays.segments import counts, join, offsets, places
from symmetrize.data.attributes import leaves, rebuilt
from symmetrize.data.forms import as_index, following, new_batch, plain
from symmetrize.data.layout import Kind, Layout, Rows
from symmetrize.data.numbering import Numbers, columns
from symmetrize.frames.ensemble import Ensemble
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
    """

    data: Data
    layout: Layout
    vectors: Float[Tensor, "points 3"]
    inputs: Mapping[str, Representation]
    leaving: Bool[Tensor, "points"] | None = None
    further: Mapping[str, Float[Tensor, "others 3"]] = field(default_factory=dict)


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
    collapsed = members.isotropic
    any_collapsed = bool(collapsed.any())
    left_out = source.leaving if any_collapsed else None
    plan = _Plan(layout, members.index, collapsed, left_out)
    points = plan.pairs("point", layout.batch)
    inverse = members.rotations.transpose(-1, -2)

    def moved(vectors: Tensor, pairs: Pairs) -> Tensor:
        turned = torch.einsum("pi,pij->pj", vectors[pairs.row], members.rotations[pairs.copy])
        return torch.where(collapsed[pairs.copy, None], 0.0, turned) if any_collapsed else turned

    batch = new_batch(data, len(members), points.copy)
    batch.pos = moved(source.vectors, points).to(data.pos.dtype)
    slices: dict[str, Any] = {"pos": partial(_slices, points, len(members))}
    increments: dict[str, Any] = {"pos": partial(_no_increments, len(members))}
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
            chosen = plan.copied(value, rows, pairs)
            if name in source.inputs:
                representation = source.inputs[name]
                chosen = representation.rotate(chosen, inverse[pairs.copy])
                # a cell without volume is no cell: it keeps its shape
                if any_collapsed and name != "cell":
                    gone = collapsed[pairs.copy].reshape(-1, *(1,) * (chosen.ndim - 1))
                    chosen = torch.where(gone, representation.project_invariant(chosen), chosen)
            made[path] = chosen
        batch[name] = rebuilt(whole, name, made)
        slices[name] = partial(_tree, whole, name, layout, plan.slices)
        increments[name] = partial(_tree, whole, name, layout, plan.increments)
    # as a batch that was collated: `to_data_list`, `batch[k]` and `get_example` work
    batch._slice_dict, batch._inc_dict = Lazy(slices), Lazy(increments)
    return Copies(batch, points.copy, points.row)


@dataclass(frozen=True)
class Pairs:
    """Every copy with every row of its structure, but for rows that it leaves out.

    Attributes:
        copy, row: of each pair.
        first: (copies,), where the rows of each copy start if none is left out.
        fresh: for each pair if none were left out, the number of those that stay before it; None
            if all stay.
        kept: which pairs stay, with ``fresh``.
    """

    copy: Int[Tensor, "pairs"]
    row: Int[Tensor, "pairs"]
    first: Int[Tensor, "copies"]
    fresh: Int[Tensor, "all_pairs"] | None = None
    kept: Bool[Tensor, "all_pairs"] | None = None


class _Plan:
    """Which rows are copied, and how what counts them is renumbered; each kind of rows once.

    Args:
        layout: of what is copied.
        index: the structure of each copy.
        collapsed: which copies are.
        leaving: points that collapsed copies leave out, or None.
    """

    def __init__(
        self, layout: Layout, index: Tensor, collapsed: Tensor, leaving: Tensor | None
    ) -> None:
        self.layout, self.index = layout, index
        self.collapsed, self.leaving = collapsed, leaving
        self._pairs: dict[Kind, Pairs] = {}
        self._items: list[int] | None = None
        # of what was found out together with which rows stay
        self._entries: dict[int, Tensor] = {}

    @property
    def items(self) -> list[int]:
        """The structure of each copy, as numbers of Python."""
        if self._items is None:
            self._items = self.index.tolist()
        return self._items

    def pairs(self, kind: Kind, owner: Int[Tensor, "rows"]) -> Pairs:
        """Copies and rows of a kind: what is left out with points that are takes no part."""
        # rows that belong to structures as a whole come in several numbers
        key = kind if kind != "structure" else f"structure {id(owner)}"
        if key not in self._pairs:
            self._pairs[key] = self._found(kind, owner)
        return self._pairs[key]

    def _found(self, kind: Kind, owner: Tensor) -> Pairs:
        copy, row = join(self.index, owner, self.layout.size)
        pairs = Pairs(copy, row, offsets(counts(copy, len(self.index)))[:-1])
        if self.leaving is None:
            return pairs
        if kind == "point":
            return _without(pairs, self.collapsed[copy] & self.leaving[row])
        gone = torch.zeros_like(row, dtype=torch.bool)
        entries = []
        for lead in self.layout.leads(kind).values():
            assert lead.numbers is not None, "leads count rows"
            counted = self._counted(lead.numbers)
            if counted is not None and counted.kept is not None:
                ends = self._raised(lead.numbers, counted.first, pairs)
                missing = ~_at(counted.kept, ends)
                missing = missing & (ends >= 0) if lead.numbers.padded else missing
                gone = gone | columns(missing).any(1)
                entries.append((lead.numbers, counted, ends))
        if not entries:
            return pairs
        pairs = _without(pairs, gone)
        left = torch.nonzero(~gone)[:, 0]
        for numbers, counted, ends in entries:
            ends = ends.index_select(0, left)
            assert counted.fresh is not None, "something is left out"
            fresh = _at(counted.fresh, ends)
            self._entries[id(numbers)] = (
                torch.where(ends < 0, ends, fresh) if numbers.padded else fresh
            )
        return pairs

    def _raised(
        self, numbers: Numbers, start: Int[Tensor, "copies *widths"], pairs: Pairs
    ) -> Tensor:
        """Entries that count from ``start`` of their copy on; padding stays what it is."""
        local = numbers.local.index_select(0, pairs.row)
        start = start.index_select(0, pairs.copy)
        raised = local + start.reshape(
            len(start), *start.shape[1:], *(1,) * (local.ndim - start.ndim)
        )
        return torch.where(local < 0, local, raised) if numbers.padded else raised

    def _counted(self, numbers: Numbers) -> Pairs | None:
        if numbers.of == "point":
            return self.pairs("point", self.layout.batch)
        if numbers.of == "edge":
            return self.pairs("edge", self.layout.rows["edge_index"].owner)
        return None

    def copied(self, value: Any, rows: Rows, pairs: Pairs) -> Any:
        """The rows of a value for each copy."""
        if rows.numbers is not None:
            return self._renumbered(value, rows, pairs)
        if isinstance(value, Tensor) and value.layout != torch.strided:
            return self._sparse(value, rows, pairs)
        if isinstance(value, Tensor):
            value = plain(value)
            if rows.dim is None:  # of a single structure
                return value.repeat(len(self.index), *(1,) * value.ndim)
            return value.index_select(rows.dim, pairs.row)
        if isinstance(value, np.ndarray) and rows.dim is not None:
            return value.take(pairs.row.cpu().numpy(), rows.dim)
        if rows.dim is not None:
            return [value[item] for item in self.items]
        if isinstance(value, int | float):  # as torch-geometric collates them
            return torch.tensor(value, device=self.index.device).repeat(len(self.index))
        return [value] * len(self.index)

    def _renumbered(self, value: Any, rows: Rows, pairs: Pairs) -> Tensor:
        """What counts rows, counting those of its copy."""
        assert rows.numbers is not None
        counted = self._counted(rows.numbers)
        entries = self._entries.get(id(rows.numbers))
        if entries is None:
            start = self.base(rows.numbers) if counted is None else counted.first
            entries = self._raised(rows.numbers, start, pairs)
            if counted is not None and counted.fresh is not None and counted.kept is not None:
                # in a table, what is left out is padding
                left = torch.where(_at(counted.kept, entries), _at(counted.fresh, entries), -1)
                entries = torch.where(entries < 0, entries, left)
        entries = entries if rows.dim is None else entries.movedim(0, rows.dim)
        number = None if counted is None else len(counted.copy)
        return as_index(value, entries.contiguous(), number)

    def base(self, numbers: Numbers) -> Int[Tensor, "copies *widths"]:
        """What is added to entries that count something else than points and edges."""
        step = numbers.step[self.index]
        return step.cumsum(0) - step

    def _sparse(self, value: Tensor, rows: Rows, pairs: Pairs) -> Tensor:
        """Rows of points, or a matrix between points, of which each copy gets a block."""
        matrix = value.to_sparse_coo().coalesce()
        ends, entries = matrix.indices(), matrix.values()
        points = self.pairs("point", self.layout.batch)
        place = places(self.layout.batch, self.layout.size)
        copy, entry = join(self.index, self.layout.batch[ends[0]], self.layout.size)
        count = 2 if rows.dim is None else 1
        full = place[ends[:count, entry]] + points.first[copy]
        if points.kept is not None and points.fresh is not None:
            whole = torch.nonzero(points.kept[full].all(0))[:, 0]
            full, entry = points.fresh[full[:, whole]], entry[whole]
        shape = (len(points.copy),) * count + tuple(value.shape[count:])
        made = torch.sparse_coo_tensor(
            torch.cat([full, ends[count:, entry]]), entries[entry], shape
        ).coalesce()
        if value.layout == torch.sparse_csr:
            return made.to_sparse_csr()
        return made.to_sparse_csc() if value.layout == torch.sparse_csc else made

    def following(self, name: str, of: str, data: Data) -> Any:
        """What `follow_batch` made, made anew."""
        rows = {path: self.layout.rows.get(path) for path, _, _ in leaves(data[of], of)}
        copy = {
            path: self.pairs(found.kind, found.owner).copy
            for path, found in rows.items()
            if found is not None and found.dim is not None
        }
        return following(name, of, data[of], copy, len(self.index))

    def slices(self, rows: Rows | None) -> Tensor:
        """Where the rows of each copy start, as torch-geometric keeps it."""
        if rows is None or rows.dim is None:
            return torch.arange(len(self.index) + 1)
        return _slices(self.pairs(rows.kind, rows.owner), len(self.index))

    def increments(self, rows: Rows | None) -> Tensor:
        """What was added to the entries of each copy, likewise."""
        numbers = None if rows is None else rows.numbers
        if numbers is None or rows is None:
            return _no_increments(len(self.index))
        counted = self._counted(numbers)
        if counted is not None:
            new = counts(counted.copy, len(self.index))
            return (new.cumsum(0) - new).cpu()
        base = self.base(numbers)
        if base[0].numel() == 1:
            return base.flatten().cpu()
        assert rows.dim is not None
        return base[:, None].movedim(1, 1 + rows.dim % numbers.local.ndim).cpu()


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


def _without(pairs: Pairs, gone: Bool[Tensor, "pairs"]) -> Pairs:
    """The pairs that are not gone."""
    kept = ~gone
    left = torch.nonzero(kept)[:, 0]
    copy, row = pairs.copy.index_select(0, left), pairs.row.index_select(0, left)
    return Pairs(copy, row, pairs.first, kept.cumsum(0) - 1, kept)


def _at(values: Tensor, entries: Int[Tensor, "*shape"]) -> Tensor:
    """Values at places; at padding, anything."""
    if len(values) == 0:
        return values.new_zeros(entries.shape)
    return values.take(entries.clamp(min=0))


def _tree(whole: Any, name: str, layout: Layout, of: Callable[[Rows | None], Tensor]) -> Any:
    """Slices or increments of an attribute, in the form of its values."""
    made = {path: of(layout.rows.get(path)) for path, _, _ in leaves(whole, name)}
    return rebuilt(whole, name, made)


def _slices(pairs: Pairs, copies: int) -> Tensor:
    return offsets(counts(pairs.copy, copies)).cpu()


def _no_increments(copies: int) -> Tensor:
    return torch.zeros(copies, dtype=torch.long)
