"""What torch-geometric makes of rows: batches, index tensors, and what follows an attribute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Int
from torch import Tensor

from symmetrize.arrays.segments import counts, offsets
from symmetrize.data.attributes import leaves, with_leaves

if TYPE_CHECKING:
    from torch_geometric.data import Data


def new_batch(like: Data, size: int, batch: Int[Tensor, "points"]) -> Any:
    """A ``Batch`` of the same kind of data, with structures and points but no attributes."""
    from torch_geometric.data import Batch, Data

    kinds = [k for k in type(like).__mro__ if issubclass(k, Data) and not issubclass(k, Batch)]
    fresh = Batch(_base_cls=kinds[0])
    fresh.batch = batch
    fresh.ptr = torch.cat([batch.new_zeros(1), torch.bincount(batch, minlength=size).cumsum(0)])
    fresh._num_graphs = size
    fresh.num_nodes = len(batch)
    return fresh


def plain_tensor(value: Tensor) -> Tensor:
    """A tensor without what torch-geometric's ``EdgeIndex`` and ``Index`` know beside it."""
    return value.as_tensor() if hasattr(value, "as_tensor") else value


def as_index(
    value: Any, entries: Int[Tensor, "*shape"], number: int | None, keeps_order: bool = True
) -> Tensor:
    """Entries as what they replace is: in its dtype, as an ``EdgeIndex`` or ``Index`` if it is one.

    Args:
        value: what they replace.
        entries: what they are now.
        number: how many rows there are to count, if that is known.
        keeps_order: whether they are sorted where those of the value are.
    """
    if isinstance(value, Tensor):
        entries = entries.to(value.dtype)
    if hasattr(value, "sort_order"):  # torch_geometric.EdgeIndex
        return type(value)(
            entries,
            sparse_size=(number, number),
            sort_order=value.sort_order if keeps_order else None,
            is_undirected=value.is_undirected,
        )
    if hasattr(value, "dim_size"):  # torch_geometric.Index
        return type(value)(entries, dim_size=number, is_sorted=keeps_order and value.is_sorted)
    return entries


def following(name: str, of: str, whole: Any, owner: Mapping[str, Tensor], size: int) -> Any:
    """What `follow_batch` makes of an attribute: whose its rows are, or where those of each start.

    Args:
        name: what it is called, with the ending of one or the other.
        of: the name of the attribute that it follows.
        whole: that attribute.
        owner: whose the rows of its values are, by path.
        size: number of structures.
    """
    if not name.endswith("_batch"):
        owner = {path: offsets(counts(rows, size)) for path, rows in owner.items()}
    return with_leaves(whole, of, {path: owner.get(path) for path, _, _ in leaves(whole, of)})
