"""Whose the rows of one value are, as far as data says so, or else as their number tells.

Slices that a ``Batch`` keeps come first, then what follows an attribute, then how many rows there
are: of points, of edges, or a multiple of the structures.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from symmetrize.arrays.segments import counts
from symmetrize.data.attributes import below
from symmetrize.data.forms import plain_tensor
from symmetrize.data.numbering import COUNTED, Increments, columns
from symmetrize.data.owners import slices_of
from symmetrize.data.rows import Kind, Rows, own_kind, path_of, several_of_structures

if TYPE_CHECKING:
    from torch_geometric.data import Data

# Attributes of a structure, also where they happen to have as many rows as there are points
OF_STRUCTURES = frozenset({"cell", "pbc"})
# Most points that a row of an index tensor is about, as of torsions of torsions
LONGEST_TUPLE = 5


@dataclass(frozen=True)
class Reader:
    """Finds the rows of one value after the other.

    Attributes:
        data, size: the batch, and its number of structures.
        owner_of: the structure of each row of the kinds that were found so far.
        increments: what counts rows.
        columns: those of these kinds that are rows of single numbers.
        sizes: how many rows of a kind each structure has, as far as that was asked.
    """

    data: Data
    size: int
    owner_of: dict[Kind, Tensor]
    increments: Increments
    columns: set[Kind] = field(default_factory=set)
    sizes: dict[Kind, Tensor] = field(default_factory=dict)

    @property
    def alone(self) -> bool:
        """Whether the data is a single structure that was not collated."""
        return self.size == 1 and slices_of(self.data) is None

    def index(self, path: str, key: str, value: Any) -> Rows | None:
        """The rows of an index tensor, and what their entries count."""
        if path == "edge_index":
            return self._edges(value)
        counted = self.increments.of_all(path)
        if counted is None:
            found = self.rows(path, key, value)
            assert found is not None, "what counts rows has rows"
            kind, owner, dim = found.kind, found.owner, found.dim
            if dim == -1 and kind in COUNTED:  # tuples, of which there are as many by chance
                kind = own_kind(path)
        else:
            dim = self._dim(path, key, value)
            assert dim is not None
            entries = columns(plain_tensor(value).movedim(dim, 0))
            if dim == 0 and len(entries) == len(self.owner_of["point"]):
                kind, owner = "point", self.owner_of["point"]
            else:
                kind, owner = own_kind(path), self._owner_of_entries(path, entries.amax(1), counted)
        numbers = self.increments.numbers(path, plain_or_number(value), owner, dim)
        # a number of each structure, such as that of its center, has no rows of its own
        has_own = dim == -1 or not torch.equal(owner, self.owner_of["structure"])
        if numbers is not None and has_own and kind not in COUNTED:
            kind = self._table(path, owner, is_column=value.ndim == 1)
            self.owner_of[kind] = owner
        return Rows(kind, owner, dim, numbers)

    def _table(self, path: str, owner: Tensor, is_column: bool) -> Kind:
        """The rows of a tensor that counts others, or of the table that it is a column of.

        Columns are as ``idx_kj`` and ``idx_ji`` of triplets, which are left out together.
        """
        if not is_column:
            return own_kind(path)
        found = (kind for kind in self.columns if torch.equal(self.owner_of[kind], owner))
        kind = next(found, own_kind(path))
        self.columns.add(kind)
        return kind

    def rows(self, path: str, key: str, value: Any) -> Rows | None:
        """What the rows of a value stand for, and whose they are; None if it is shared by all."""
        structures = self.owner_of["structure"]
        slices = below(slices_of(self.data), path)
        if isinstance(value, np.ndarray) and value.ndim and slices is None and not self.alone:
            value = torch.empty(value.shape, device="meta")  # its rows are as those of a tensor
        if not isinstance(value, Tensor):
            if self.alone:
                return Rows("structure", structures, None)
            items = isinstance(value, list | tuple) and len(value) == self.size
            return Rows("structure", structures) if items else None
        if value.layout != torch.strided:
            return self._sparse(path, key, value)
        if value.is_nested:
            raise ValueError(
                f"{path!r} is a nested tensor, which cannot be copied structure by structure: put "
                "its rows under each other, and say in an attribute of their own whose they are"
            )
        dim = self._dim(path, key, value)
        if dim is None:
            return Rows("structure", structures, None) if self.alone else None
        number = value.size(dim)
        known: Tensor | None = None
        if isinstance(slices, Tensor) and slices.ndim == 1 and int(slices[-1]) == number:
            known = slices.diff()
        follower = self.data.get(f"{path}_batch")
        if known is None and isinstance(follower, Tensor) and follower.shape == (number,):
            return Rows(own_kind(path), follower.to(structures.device), dim)
        kind = self._told_by_number(path, number, known)
        if kind is not None:
            return Rows(kind, self.owner_of[kind], dim)
        if known is None and self.size > 0 and number % self.size == 0:
            known = torch.full((self.size,), number // self.size)
        if known is not None:
            if bool((known == 1).all()):
                return Rows("structure", structures, dim)
            each = torch.repeat_interleave(structures, known.to(structures))
            return Rows(several_of_structures(path), each, dim)
        if self.size == 0:
            return None
        raise ValueError(
            f"{path!r} of shape {tuple(value.shape)} has {number} rows, which belong neither to "
            f"points nor to edges nor to the {self.size} structures, so that they cannot be copied "
            "with them: collate with torch_geometric's Batch.from_data_list, which keeps track of "
            "them; what all structures share belongs to the network"
        )

    def _edges(self, value: Tensor) -> Rows:
        """The edges, with the structure of the point that each leads from."""
        entries = plain_tensor(value)
        if self.increments.of_all("edge_index") is None:  # not between points, says their class
            found = self.rows("edge_index", "edge_index", entries)
            assert found is not None, "edges are a tensor with rows"
            self.owner_of["edge"] = found.owner
        else:
            points = len(self.owner_of["point"])
            if entries.ndim != 2 or len(entries) != 2 or entries.dtype != torch.long:
                raise ValueError(
                    f"`edge_index` is {entries.dtype} of shape {tuple(entries.shape)} but must be "
                    "int64 of shape (2, edges)"
                )
            if entries.numel() and not 0 <= int(entries.min()) <= int(entries.max()) < points:
                raise ValueError(
                    f"`edge_index` reaches from {int(entries.min())} to {int(entries.max())} but "
                    f"there are {points} points, numbered from 0"
                )
            self.owner_of["edge"] = self.owner_of["point"][entries[0]]
            return Rows("edge", self.owner_of["edge"], -1, self.increments.of_edges(entries))
        owner = self.owner_of["edge"]
        return Rows("edge", owner, -1, self.increments.numbers("edge_index", entries, owner, -1))

    def _dim(self, path: str, key: str, value: Tensor) -> int | None:
        """The dimension that counts rows; None for a value without any."""
        dim = self.data.__cat_dim__(key, value)
        if value.ndim == 0 or (dim is None and self.alone):
            return None
        points = len(self.owner_of["point"])
        if dim == -1 and value.ndim == 2 and value.size(0) == points and path != "edge_index":
            # a table of the neighbors of each point, which cannot grow to the side, and no tuples
            padded = points > 2 and below(slices_of(self.data), path) is None
            if padded and (points > LONGEST_TUPLE or bool((value < 0).any())):
                return 0
        return int(dim or 0)

    def _sparse(self, path: str, key: str, value: Tensor) -> Rows:
        """A matrix between points, or rows of points."""
        points = len(self.owner_of["point"])
        dim = self.data.__cat_dim__(key, value)
        square = value.ndim == 2 and value.shape == (points, points)
        if (isinstance(dim, tuple) and square) or (dim == 0 and len(value) == points):
            return Rows("point", self.owner_of["point"], None if isinstance(dim, tuple) else 0)
        raise ValueError(
            f"{path!r} is a sparse tensor of shape {tuple(value.shape)} but only sparse matrices "
            f"between the {points} points, and sparse rows of points, can be copied: use "
            "`edge_index` and attributes of edges, or exclude it before the data is wrapped"
        )

    def _owner_of_entries(self, path: str, entries: Tensor, counted: str) -> Tensor:
        """The structure of rows that count points or edges of all structures."""
        owner = self.owner_of[counted]
        bad = (entries < 0) | (entries >= len(owner))
        if bool(bad.any()):
            raise ValueError(
                f"{path!r} contains {int(entries[bad][0])} but there are {len(owner)} {counted}s: "
                "whose that row is cannot be told; collate with torch_geometric's "
                "Batch.from_data_list, which keeps track of rows"
            )
        return owner[entries]

    def _told_by_number(self, path: str, number: int, known: Tensor | None) -> Kind | None:
        """The kind of rows of which there are as many, in each structure if that is known."""
        name = path.partition(".")[0]
        if name in OF_STRUCTURES:
            return None
        others = {kind: of for kind in self.owner_of if (of := path_of(kind)) is not None}
        # rows of other index tensors: angle_attr beside angle_index
        for kind, of in others.items():
            if name.startswith(of.rpartition("_")[0] or of) and self._fits(kind, number, known):
                return kind
        # edges may have been replaced since they were collated
        if name.startswith("edge") and self._fits("edge", number, None):
            return "edge"
        if "edge" in name and self._fits("edge", number, known):  # as torch-geometric has it
            return "edge"
        # rows that the batch knows to be of other structures than the edges are not of edges
        if number != len(self.owner_of["point"]) and self._fits("edge", number, known):
            return "edge"
        if self._fits("point", number, known):
            return "point"
        if number != self.size or (known is not None and bool((known != 1).any())):
            return next((kind for kind in others if self._fits(kind, number, known)), None)
        return None

    def _fits(self, kind: Kind, number: int, known: Tensor | None) -> bool:
        """Whether there are as many rows of a kind, in each structure if that is known."""
        owner = self.owner_of.get(kind)
        if owner is None or len(owner) != number:
            return False
        if known is None:
            return True
        # in whatever order: points and edges may have been permuted since they were collated
        if kind not in self.sizes:
            self.sizes[kind] = counts(owner, self.size).cpu()
        return torch.equal(known.cpu(), self.sizes[kind])


def plain_or_number(value: Any) -> Any:
    """A tensor without what subclasses know beside it; a number of Python as it is."""
    return plain_tensor(value) if isinstance(value, Tensor) else value
