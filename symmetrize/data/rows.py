"""The rows of attributes: what each stands for, whose it is, and what its entries count."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from jaxtyping import Int
from torch import Tensor

from symmetrize.arrays.segments import Groups
from symmetrize.data.numbering import Numbers

# What a row of an output can stand for; an edge is a column of ``edge_index``
RowsOf: TypeAlias = Literal["structure", "point", "edge"]
# "point", "edge" or "structure", of which there is one row each; else made by ``own_kind`` or
# ``several_of_structures``, which no name of an attribute can be taken for
Kind: TypeAlias = str
OWN, SEVERAL = "rows of ", "structure, rows of "


@dataclass(frozen=True)
class Rows:
    """The rows of one attribute.

    Attributes:
        kind: what a row stands for; rows of one kind are copied, and left out, together.
        owner: (rows,), the structure that each row belongs to.
        dim: the dimension that counts rows: the last of index tensors, else the first; None where
            a structure has one item of a list, or of a number of Python.
        numbers: what the entries count, if they count rows.
    """

    kind: Kind
    owner: Int[Tensor, "rows"]
    dim: int | None = 0
    numbers: Numbers | None = None

    @property
    def of_structures(self) -> bool:
        """Whether they belong to structures as a whole, whatever their number."""
        return self.kind == "structure" or self.kind.startswith(SEVERAL)


@dataclass(frozen=True)
class Layout:
    """The structures of a batch and the rows of its attributes.

    Attributes:
        size: number of structures.
        batch: (P,), the structure of each point.
        rows: of each attribute, or of each value of a nested one, by its path; what is not here is
            the same for all structures.
        followed: attributes that ``follow_batch`` made, by name, with the name of what they follow.
    """

    size: int
    batch: Int[Tensor, "points"]
    rows: dict[str, Rows]
    followed: dict[str, str] = field(default_factory=dict)
    _groups: dict[Kind, Groups] = field(default_factory=dict, compare=False)

    def groups(self, kind: Kind, owner: Int[Tensor, "rows"]) -> Groups:
        """The rows of a kind by their structure, sorted once."""
        if kind not in self._groups:
            self._groups[kind] = Groups.of(owner, self.size)
        return self._groups[kind]

    @property
    def edges(self) -> Int[Tensor, "edges"] | None:
        """(E,), the structure of each column of ``edge_index``; None without edges."""
        found = self.rows.get("edge_index")
        return None if found is None or found.kind != "edge" else found.owner

    def leads(self, kind: Kind) -> dict[str, Rows]:
        """By path, what decides whether a row of a kind is there: whether all that it counts is."""
        if kind in ("point", "structure"):
            return {}
        return {
            path: rows
            for path, rows in self.rows.items()
            if rows.kind == kind
            and (kind != "edge" or path == "edge_index")
            and rows.numbers is not None
            and rows.numbers.of is not None
        }


def own_kind(path: str) -> Kind:
    """The kind of rows that are nothing else than those of one attribute, and what goes with it."""
    return f"{OWN}{path}"


def path_of(kind: Kind) -> str | None:
    """The attribute whose rows a kind is named after; None for the others.

    >>> path_of(own_kind("angles")), path_of("edge")
    ('angles', None)
    """
    return kind.removeprefix(OWN) if kind.startswith(OWN) else None


def several_of_structures(path: str) -> Kind:
    """The kind of an attribute of structures of which each has any number of rows."""
    return f"{SEVERAL}{path}"
