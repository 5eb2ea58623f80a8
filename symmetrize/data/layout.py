"""Which rows of a torch_geometric ``Data`` or ``Batch`` belong to which structure.

Every tensor of a batch is a stack of rows, each of which belongs to one structure: rows of points,
of edges, of structures, or anything else. Copying structures is then index arithmetic, the same
for all of them. How rows are stacked, and which entries count other rows, the data itself says, as
it does to torch-geometric: ``__cat_dim__``, ``__inc__``, and what a ``Batch`` remembers of both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from symmetrize.data.attributes import leaves
from symmetrize.data.numbering import Increments
from symmetrize.data.owners import owners, slices_of
from symmetrize.data.rows import Kind, Layout, Rows
from symmetrize.data.whose import Reader

if TYPE_CHECKING:
    from torch_geometric.data import Data

# Rebuilt for every batch of copies, not copied
BOOKKEEPING = frozenset({"batch", "ptr", "num_nodes"})
# What `follow_batch` of torch-geometric's loaders appends to the name of an attribute
FOLLOWING = ("_batch", "_ptr")


def layout(data: Data) -> Layout:
    """The layout of a batch, or of a single structure.

    A ``Batch`` knows its rows. In a ``Data`` with a ``batch`` vector rows are told by their number:
    points, edges, or a multiple of the structures; numbers, strings and other objects are shared by
    all structures, lists with one item for each are not.

    Raises:
        ValueError: if it cannot be told whose some rows are, or what an index tensor counts.
    """
    size, batch = owners(data)
    owner_of: dict[Kind, Tensor] = {
        "point": batch,
        "structure": torch.arange(size, device=batch.device),
    }
    reader = Reader(data, size, owner_of, Increments.of(data, size, owner_of))
    values = {
        path: (key, value)
        for name, whole in data.to_dict().items()
        if name not in BOOKKEEPING
        for path, key, value in leaves(whole, name)
    }
    followed = {name: of for name in data.to_dict() if (of := _followed(data, name, size))}
    paths = [path for path in values if path.partition(".")[0] not in followed]
    rows: dict[str, Rows] = {}

    def read(paths: list[str], find: Callable[[str, str, Any], Rows | None]) -> None:
        for path in paths:
            found = find(path, *values[path])
            if found is not None:
                rows[path] = found

    # edges first, then what counts them, or points: others may have rows that belong to theirs
    increments = reader.increments
    read([p for p in paths if p == "edge_index" and increments.counts(p, *values[p])], reader.index)
    rest = [path for path in paths if path not in rows]
    read([path for path in rest if increments.counts(path, *values[path])], reader.index)
    read([path for path in rest if path not in rows], reader.rows)
    return Layout(size, batch, rows, followed)


def renewed(known: Layout, before: Mapping[str, Any], data: Data) -> Layout:
    """The layout of data some of whose attributes were added, replaced or taken out since.

    Args:
        known: the layout before.
        before: the attributes before, by name.
        data: as it is now, with the same points and structures.
    """
    whole = layout(data)
    kept = {name for name, value in before.items() if is_same(value, data.get(name))}
    rows = {
        path: known.rows[path] if path.partition(".")[0] in kept and path in known.rows else now
        for path, now in whole.rows.items()
    }
    return Layout(known.size, known.batch, rows, known.followed)


def is_same(one: Any, other: Any) -> bool:
    """Whether two values are one, or equal tensors."""
    if one is other:
        return True
    tensors = isinstance(one, Tensor) and isinstance(other, Tensor)
    if not tensors or one.layout != torch.strided or other.layout != torch.strided:
        return False
    return one.shape == other.shape and one.dtype == other.dtype and torch.equal(one, other)


def _followed(data: Data, name: str, size: int) -> str | None:
    """What an attribute follows, if `follow_batch` made it: then nobody else knows of it."""
    for end in FOLLOWING:
        of = name.removesuffix(end)
        if of == name or of not in data or not of or name in (slices_of(data) or {}):
            continue
        if end == "_ptr":
            whole = isinstance(data[name], Tensor) and data[name].shape == (size + 1,)
            return of if whole or isinstance(data[name], Mapping | list) else None
        return of if slices_of(data) is not None or size > 1 else None
    return None
