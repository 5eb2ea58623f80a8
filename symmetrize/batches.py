"""Which rows of a torch_geometric ``Data`` or ``Batch`` belong to which structure.

Every tensor of a batch is a stack of rows, each of which belongs to one structure: rows of points,
of edges, of structures, or anything else. Copying structures is then index arithmetic, the same
for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Int
from torch import Tensor

if TYPE_CHECKING:
    from torch_geometric.data import Data

Kind = Literal["point", "edge", "structure"]

# Rebuilt for every batch of copies, not copied
BOOKKEEPING = frozenset({"batch", "ptr", "num_nodes"})
# Attributes of a structure, also where they happen to have as many rows as there are points
OF_STRUCTURES = frozenset({"cell", "pbc"})


@dataclass(frozen=True)
class Rows:
    """The rows of one attribute.

    Attributes:
        kind: what a row stands for; "structure" also covers any other number of rows.
        owner: (rows,), the structure that each row belongs to.
        dim: the dimension that counts rows: the last of index tensors, else the first.
        are_points: whether the entries are rows of points (``edge_index``).
    """

    kind: Kind
    owner: Int[Tensor, "rows"]
    dim: int
    are_points: bool


@dataclass(frozen=True)
class Layout:
    """The structures of a batch and the rows of its tensors; what is not in ``rows`` is shared."""

    size: int
    batch: Int[Tensor, "points"]
    rows: dict[str, Rows]


def layout(data: Data) -> Layout:
    """The layout of a batch, or of a single structure.

    A ``Batch`` knows its rows. In a ``Data`` with a ``batch`` vector rows are told by their number:
    points, edges, or a multiple of the structures; anything else is shared by all structures.
    """
    size, batch = _structures(data)
    # one tensor for each kind of rows: those with one owner tensor are copied alike
    edge_owner = None if data.edge_index is None else batch[data.edge_index[0]]
    rows = {}
    for name, value in data.to_dict().items():
        if name in BOOKKEEPING or not isinstance(value, Tensor) or value.ndim == 0:
            continue
        dim = int(data.__cat_dim__(name, value) or 0)
        found = _rows(data, name, value.size(dim), size, batch, edge_owner)
        if found is not None:
            kind, owner = found
            rows[name] = Rows(kind, owner, dim, "index" in name or name == "face")
    return Layout(size, batch, rows)


def extended(known: Layout, data: Data) -> Layout:
    """The layout with the rows of attributes that the data has gained since."""
    whole = layout(data)
    fresh = {name: rows for name, rows in whole.rows.items() if name not in known.rows}
    return Layout(known.size, known.batch, known.rows | fresh)


def _structures(data: Data) -> tuple[int, Tensor]:
    """Number of structures, and the structure of each point."""
    batch, ptr = data.batch, data.get("ptr")
    if ptr is not None:
        size = len(ptr) - 1
    elif _slices(data) is not None:
        size = int(data.num_graphs)
    elif batch is not None:
        size = int(batch.max()) + 1 if len(batch) else 0
    else:
        size = 1
    if batch is None:
        points = torch.tensor([0, len(data.pos)]) if ptr is None else ptr
        structures = torch.arange(size, device=data.pos.device)
        batch = torch.repeat_interleave(structures, points.diff().to(data.pos.device))
    return size, batch


def _slices(data: Data) -> dict[str, Tensor] | None:
    """Where each structure's rows start, if the data was collated from a list."""
    return getattr(data, "_slice_dict", None)


def _rows(
    data: Data, name: str, number: int, size: int, batch: Tensor, edge_owner: Tensor | None
) -> tuple[Kind, Tensor] | None:
    """What the rows of one attribute stand for, and whose they are."""
    structures = torch.arange(size, device=batch.device)
    slices = (_slices(data) or {}).get(name)
    known: Tensor | None = None
    if slices is not None and int(slices[-1]) == number:
        known = torch.repeat_interleave(structures, torch.as_tensor(slices).diff().to(batch.device))
    if edge_owner is not None and number == len(edge_owner) and name not in OF_STRUCTURES:
        # rows that the batch knows to be of other structures than the edges are not of edges
        told = known is not None and not torch.equal(known, edge_owner)
        if name.startswith("edge") or (number != len(batch) and not told):
            return "edge", edge_owner
    is_point = number == len(batch) and name not in OF_STRUCTURES
    if is_point and (known is None or torch.equal(known, batch)):
        return "point", batch
    if known is not None:
        return "structure", known
    if size > 0 and number % size == 0:
        return "structure", torch.repeat_interleave(structures, number // size)
    return None


def new_batch(like: Data, size: int, batch: Tensor) -> Any:
    """A ``Batch`` of the same kind of data, with structures and points but no attributes."""
    from torch_geometric.data import Batch, Data

    kinds = [k for k in type(like).__mro__ if issubclass(k, Data) and not issubclass(k, Batch)]
    fresh = Batch(_base_cls=kinds[0])
    fresh.batch = batch
    fresh.ptr = torch.cat([batch.new_zeros(1), torch.bincount(batch, minlength=size).cumsum(0)])
    fresh._num_graphs = size
    fresh.num_nodes = len(batch)
    return fresh
