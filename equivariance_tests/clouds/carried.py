"""Data that structures carry beside points: edges, pairs of edges, tables, names, numbers.

What is carried is made anew from the distances of each structure, so that it belongs to it wherever
it lies and however its points are numbered. It has no derivatives: models that read it are asked
about symmetry and batches, and claim no smoothness.

To add a kind, add what makes it to ``CARRIED``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

# Columns of the table of neighbors
COLUMNS = 13
# Structures of more points carry no pairs of edges, of which there would be thousands
FEW = 8


class Carrying(Data):
    """Data that says what its index attributes count, and that tables grow by their rows."""

    def __inc__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        """Pairs of edges count edges, tables count points, and numbers count nothing."""
        if key == "line_graph":
            return self.edge_index.size(1)
        if key == "sample_index":
            return 0
        return len(self.pos) if key == "table" else super().__inc__(key, value, *args, **kwargs)

    def __cat_dim__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        """Pairs of edges stand side by side."""
        return -1 if key == "line_graph" else super().__cat_dim__(key, value, *args, **kwargs)


def _edges(data: Data) -> None:
    """All pairs of points, with an attribute each."""
    number = len(data.pos)
    pairs = (~torch.eye(number, dtype=torch.bool)).nonzero().T.contiguous()
    data.edge_index = pairs
    data.edge_attr = _near(data.pos, pairs)


def _pairs_of_edges(data: Data) -> None:
    """Edges that leave the same point, with an attribute each; edges too. Of a few points only."""
    _edges(data)
    source, target = data.edge_index
    both = (source[:, None] == source) & (target[:, None] != target)
    both &= torch.tensor(len(data.pos) <= FEW)
    data.line_graph = both.nonzero().T.contiguous()
    first, second = data.line_graph
    data.line_attr = data.edge_attr[first] * data.edge_attr[second].sqrt()


def _table(data: Data) -> None:
    """The nearest points of each, padded with -1."""
    number = len(data.pos)
    apart = torch.cdist(data.pos, data.pos).fill_diagonal_(torch.inf)
    nearest = apart.argsort(1)[:, : max(0, min(number - 1, COLUMNS - 1))]
    data.table = torch.full((number, COLUMNS), -1)
    data.table[:, : nearest.size(1)] = nearest


def _names(data: Data) -> None:
    """A word, as names of data sets are, and a dict with another."""
    data.word = ("even", "odd")[len(data.pos) % 2]
    data.words = {"size": "small" if len(data.pos) < 4 else "large"}


def _numbers(data: Data) -> None:
    """Numbers of structures that are no places in them, whatever they are called."""
    data.sample_index = torch.tensor([1000 + len(data.pos)])
    data.charge = 0.25 * len(data.pos)


def _near(points: Tensor, pairs: Tensor) -> Tensor:
    return torch.exp(-(points[pairs[0]] - points[pairs[1]]).square().sum(-1) / 4)


CARRIED: dict[str, Callable[[Data], None]] = {
    "edges": _edges,
    "pairs of edges": _pairs_of_edges,
    "table of neighbors": _table,
    "names": _names,
    "numbers": _numbers,
}


def carrying(data: Data, kinds: Collection[str]) -> Data:
    """The data of a structure with what it carries.

    >>> carrying(Data(pos=torch.eye(3)), ["names"]).word
    'odd'
    """
    if not kinds:
        return data
    made = Carrying(**data.to_dict())
    for kind, add in CARRIED.items():
        if kind in kinds:
            add(made)
    return made


def check_kinds(kinds: Collection[str]) -> frozenset[str]:
    """Kinds of what is carried.

    Raises:
        ValueError: if there is no such kind.
    """
    unknown = [kind for kind in kinds if kind not in CARRIED]
    if isinstance(kinds, str) or unknown:
        raise ValueError(f"`carries` is {kinds!r} but must be a list of some of {list(CARRIED)}")
    return frozenset(kinds)
