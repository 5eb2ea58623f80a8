"""Which rows copies take, and how what counts rows is numbered anew: each kind of rows once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from symmetrize.arrays.segments import counts, join, offsets, places
from symmetrize.data.attributes import leaves
from symmetrize.data.forms import as_index, following, plain_tensor
from symmetrize.data.numbering import Numbers, columns
from symmetrize.data.rows import Kind, Layout, Rows

if TYPE_CHECKING:
    from torch_geometric.data import Data


@dataclass(frozen=True)
class CopiedRows:
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


class Plan:
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
        self._pairs: dict[Kind, CopiedRows] = {}
        self._items: list[int] | None = None
        # of what was found out together with which rows stay
        self._entries: dict[str, Tensor] = {}

    @property
    def items(self) -> list[int]:
        """The structure of each copy, as numbers of Python."""
        if self._items is None:
            self._items = self.index.tolist()
        return self._items

    def pairs(self, kind: Kind, owner: Int[Tensor, "rows"]) -> CopiedRows:
        """Copies and rows of a kind: what is left out with points that are takes no part."""
        if kind not in self._pairs:
            self._pairs[kind] = self._found(kind, owner)
        return self._pairs[kind]

    def _found(self, kind: Kind, owner: Tensor) -> CopiedRows:
        copy, row = self.layout.groups(kind, owner).join(self.index)
        pairs = CopiedRows(copy, row, offsets(counts(copy, len(self.index)))[:-1])
        if self.leaving is None:
            return pairs
        if kind == "point":
            return _without(pairs, self.collapsed[copy] & self.leaving[row])
        gone = torch.zeros_like(row, dtype=torch.bool)
        entries = []
        for path, lead in self.layout.leads(kind).items():
            assert lead.numbers is not None, "leads count rows"
            counted = self._counted(lead.numbers)
            if counted is not None and counted.kept is not None:
                ends = self._raised(lead.numbers, counted.first, pairs)
                missing = ~_at(counted.kept, ends)
                missing = missing & (ends >= 0) if lead.numbers.padded else missing
                gone = gone | columns(missing).any(1)
                entries.append((path, lead.numbers, counted, ends))
        if not entries:
            return pairs
        pairs = _without(pairs, gone)
        left = torch.nonzero(~gone)[:, 0]
        for path, numbers, counted, ends in entries:
            ends = ends.index_select(0, left)
            assert counted.fresh is not None, "something is left out"
            fresh = _at(counted.fresh, ends)
            self._entries[path] = torch.where(ends < 0, ends, fresh) if numbers.padded else fresh
        return pairs

    def _raised(
        self, numbers: Numbers, start: Int[Tensor, "copies *widths"], pairs: CopiedRows
    ) -> Tensor:
        """Entries that count from ``start`` of their copy on; padding stays what it is."""
        local = numbers.local.index_select(0, pairs.row)
        start = start.index_select(0, pairs.copy)
        raised = local + start.reshape(
            len(start), *start.shape[1:], *(1,) * (local.ndim - start.ndim)
        )
        return torch.where(local < 0, local, raised) if numbers.padded else raised

    def _counted(self, numbers: Numbers) -> CopiedRows | None:
        if numbers.of == "point":
            return self.pairs("point", self.layout.batch)
        if numbers.of == "edge":
            assert self.layout.edges is not None, "edges are counted"
            return self.pairs("edge", self.layout.edges)
        return None

    def copied(self, path: str, value: Any, rows: Rows, pairs: CopiedRows) -> Any:
        """The rows of a value for each copy."""
        if rows.numbers is not None:
            return self._renumbered(path, value, rows, pairs)
        if isinstance(value, Tensor) and value.layout != torch.strided:
            return self._sparse(value, rows, pairs)
        if isinstance(value, Tensor):
            value = plain_tensor(value)
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

    def _renumbered(self, path: str, value: Any, rows: Rows, pairs: CopiedRows) -> Tensor:
        """What counts rows, counting those of its copy."""
        assert rows.numbers is not None
        counted = self._counted(rows.numbers)
        entries = self._entries.get(path)
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

    def _sparse(self, value: Tensor, rows: Rows, pairs: CopiedRows) -> Tensor:
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


def _without(pairs: CopiedRows, gone: Bool[Tensor, "pairs"]) -> CopiedRows:
    """The pairs that are not gone."""
    kept = ~gone
    left = torch.nonzero(kept)[:, 0]
    copy, row = pairs.copy.index_select(0, left), pairs.row.index_select(0, left)
    return CopiedRows(copy, row, pairs.first, kept.cumsum(0) - 1, kept)


def _at(values: Tensor, entries: Int[Tensor, "*shape"]) -> Tensor:
    """Values at places; at padding, anything."""
    if len(values) == 0:
        return values.new_zeros(entries.shape)
    return values.take(entries.clamp(min=0))


def _slices(pairs: CopiedRows, copies: int) -> Tensor:
    return offsets(counts(pairs.copy, copies)).cpu()


def _no_increments(copies: int) -> Tensor:
    return torch.zeros(copies, dtype=torch.long)
