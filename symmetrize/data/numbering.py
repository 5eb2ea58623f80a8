"""What the entries of index tensors count, as the data itself declares it.

torch-geometric raises the entries of an attribute by ``data.__inc__(name, value)`` from one
structure of a batch to the next: by the number of points for ``edge_index``, by that of edges for
pairs of edges. Here increments are taken off again, so that entries count within their structure,
and copies can be given increments of their own. A negative entry is padding and counts nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import torch
from jaxtyping import Int
from torch import Tensor

from symmetrize.arrays.segments import counts, places
from symmetrize.data.attributes import below

if TYPE_CHECKING:
    from torch_geometric.data import Data

Counted: TypeAlias = Literal["point", "edge"]
# Kinds of rows that may be left out of a copy, so that what counts them is renumbered
COUNTED: tuple[Counted, Counted] = ("point", "edge")


@dataclass(frozen=True)
class Numbers:
    """Entries that count rows, from 0 within each structure.

    Attributes:
        local: (rows, ...), the entries, rows first; negative ones are padding.
        step: (size, ...), how many there are to count in each structure; widths may be 1.
        of: "point" or "edge" if they are known to count these, else None.
        padded: whether any is padding.
    """

    local: Int[Tensor, "rows *shape"]
    step: Int[Tensor, "size *widths"]
    of: Counted | None
    padded: bool = True


@dataclass(frozen=True)
class Increments:
    """How the entries of each attribute grow from structure to structure.

    Attributes:
        data: the batch, or the single structure.
        owner_of: the structure of each point and, where there are edges, of each edge.
        size: number of structures.
        last: the last structure of a batch, which alone can tell its own increments; the data
            itself if it is a single structure.
        declared: whether its class declares increments of its own.
    """

    data: Data
    owner_of: Mapping[str, Tensor]
    size: int
    last: Data
    declared: bool
    _steps: dict[str, Tensor | str | None] = field(default_factory=dict)
    _places: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, data: Data, size: int, owner_of: Mapping[str, Tensor]) -> Increments:
        """The increments of a batch."""
        from torch_geometric.data import Data

        declared = type(data).__inc__ is not Data.__inc__
        last = data
        if declared and size > 0 and getattr(data, "_slice_dict", None) is not None:
            last = _last_structure(data, size)
        return cls(data, owner_of, size, last, declared)

    def counts(self, path: str, key: str, value: Any) -> bool:
        """Whether the entries of a value count rows."""
        if path not in self._steps:
            self._steps[path] = self._step(path, key, value)
        return self._steps[path] is not None

    def of_all(self, path: str) -> str | None:
        """What is counted, of all structures together, if nothing else is known of a value.

        "point" or "edge"; None for what else they may count.
        """
        step = self._steps.get(path)
        return step if isinstance(step, str) and step in COUNTED else None

    def numbers(self, path: str, value: Any, owner: Tensor, dim: int | None) -> Numbers | None:
        """The entries of a value, within their structures; None if they are just numbers.

        A number of a structure that is no place in it, such as that of a sample, is left alone.

        Raises:
            ValueError: if an entry of several is neither padding nor a place in its structure.
        """
        step = self._steps[path]
        assert step is not None, "asked only of what counts rows"
        entries = torch.as_tensor(value, device=owner.device)
        entries = entries[None] if dim is None else entries.movedim(dim, 0)
        of: Counted | None = None
        if isinstance(step, str):
            local, step, of = self._within(entries, step, owner)
        elif self._remembers(path, entries, dim):
            base = _rows_first(below(self.data._inc_dict, path), entries, dim, path)
            step = _rows_first(step, entries, dim, path)
            local = entries - base.to(owner.device)[owner]
        else:
            local, step = entries, _rows_first(step, entries, dim, path)
        step = step.to(owner.device)
        if of is None and step.numel() == self.size:
            each = step.flatten()
            # where there are as many points as edges, the name says what torch-geometric counts
            by_name = "index" in path or path == "face"
            kinds = COUNTED if by_name else COUNTED[::-1]
            of = next((kind for kind in kinds if self._are(each, kind)), None)
        if local.numel() and bool((local >= step[owner]).any()):
            if len(owner) == self.size:  # a number of each structure, as of a sample
                return None
            worst = int((local - step[owner]).flatten().argmax())
            raise ValueError(
                f"{path!r} counts {'rows' if of is None else of + 's'} by what its data says "
                f"(`__inc__`), but contains {int(local.flatten()[worst])} where a structure has "
                f"{int(step[owner].expand_as(local).flatten()[worst])}: pad with -1; give data "
                "whose entries count something else an `__inc__` that says so, which is 0 for "
                "plain numbers; and change the edges of a batch before it is collated"
            )
        return Numbers(local, step, of, bool((local < 0).any()))

    def of_edges(self, edges: Int[Tensor, "2 edges"]) -> Numbers:
        """The ends of edges between points, of which there are as many as they say.

        Raises:
            ValueError: if an edge leads from one structure to another.
        """
        owner = self.owner_of["point"]
        start, end = owner[edges]
        if not torch.equal(start, end):
            i = int(torch.nonzero(start != end)[0])
            raise ValueError(
                f"`edge_index` leads from {int(edges[0, i])}, a point of structure "
                f"{int(start[i])}, to {int(edges[1, i])}, one of structure {int(end[i])}: "
                "structures of a batch are turned one by one, so put what is connected into one"
            )
        local = self.places("point")[edges.T].contiguous()
        return Numbers(local, counts(owner, self.size)[:, None], "point", padded=False)

    def places(self, kind: Counted) -> Int[Tensor, "rows"]:
        """The place of each point, or edge, among those of its structure."""
        if kind not in self._places:
            self._places[kind] = places(self.owner_of[kind], self.size)
        return self._places[kind]

    def _are(self, each: Tensor, kind: str) -> bool:
        """Whether there are as many rows of a kind in each structure."""
        owner = self.owner_of.get(kind)
        return owner is not None and torch.equal(each, counts(owner, self.size))

    def _remembers(self, path: str, entries: Tensor, dim: int | None) -> bool:
        """Whether the batch knows what was added to these entries, and they were not replaced."""
        known = below(getattr(self.data, "_inc_dict", None), path)
        slices = below(getattr(self.data, "_slice_dict", None), path)
        if not isinstance(known, Tensor) or not isinstance(slices, Tensor) or dim is None:
            return False
        return int(slices[-1]) == len(entries)

    def _step(self, path: str, key: str, value: Any) -> Tensor | str | None:
        """How much is added from each structure to the next, if anything.

        "point", "edge" or "batch" if only the increment of all structures together is known, and
        is that of points, of edges, or of numbers of structures.
        """
        whole = isinstance(value, int) and not isinstance(value, bool)
        if isinstance(value, Tensor):
            strided = value.layout == torch.strided and not value.is_nested
            whole = strided and not (value.is_floating_point() or value.is_complex())
            whole = whole and value.dtype != torch.bool
        if not whole:
            return None
        of_batches = "batch" in key and isinstance(value, Tensor)
        if of_batches and value.numel() == 0:  # torch-geometric takes the maximum
            return None
        if not self.declared and not of_batches and "index" not in key and key != "face":
            return None
        if path == "edge_index" and self._between_points(value):
            return "point"
        slices = below(getattr(self.data, "_slice_dict", None), path)
        base = below(getattr(self.data, "_inc_dict", None), path)
        if isinstance(slices, Tensor) and isinstance(base, Tensor):
            dim = int(self.data.__cat_dim__(key, value) or 0)
            if slices.ndim == 1 and int(slices[-1]) == value.size(dim):
                own = self._last_step(path, key, value, slices, base, dim)
                step = torch.cat([base.diff(dim=0), own.to(base)[None]])
                return step if bool((step != 0).any()) else None
        total = torch.as_tensor(self.data.__inc__(key, value, self.data._store))
        if not bool((total != 0).any()):
            return None
        if self.size == 1:
            return total[None]
        if not self.declared and of_batches:
            return "batch"
        for kind in COUNTED:
            if total.ndim == 0 and kind in self.owner_of and int(total) == len(self.owner_of[kind]):
                return kind
        raise ValueError(
            f"{path!r} counts rows by what its data says (`__inc__` is {total.tolist()}), but "
            "neither points nor edges, and how many of them each structure has is not known: "
            "collate with torch_geometric's Batch.from_data_list, which keeps track of that"
        )

    def _between_points(self, edges: Tensor) -> bool:
        """Whether edges lead from points to points, as they do unless their class says otherwise.

        They are looked at where they are, as many networks replace them after collation.
        """
        if not self.declared:
            return True
        total = torch.as_tensor(self.data.__inc__("edge_index", edges, self.data._store))
        return total.ndim == 0 and int(total) == len(self.owner_of["point"])

    def _last_step(
        self, path: str, key: str, value: Tensor, slices: Tensor, base: Tensor, dim: int
    ) -> Tensor:
        """What the last structure of a batch would add to the next."""
        if self.declared:
            # as its data class knows it, by the key and value that collation showed it
            own = below(self.last.to_dict(), path)
            return torch.as_tensor(self.last.__inc__(key, own, self.last._store))
        if "batch" in key:
            own = value.narrow(dim, int(slices[-2]), int(slices[-1] - slices[-2]))
            own = own - base[-1].to(own)
            return own.max() + 1 if own.numel() else own.new_zeros(())
        return counts(self.owner_of["point"], self.size)[-1]

    def _within(
        self, entries: Tensor, kind: str, owner: Tensor
    ) -> tuple[Tensor, Tensor, Counted | None]:
        """Entries that count rows of all structures together, as places in their own."""
        if kind == "batch":  # numbers of parts of structures: no two structures share one
            flat = columns(entries)
            low = _extreme(flat.amin(1), owner, self.size, "amin")
            step = _extreme(flat.amax(1), owner, self.size, "amax") - low + 1
            shape = (-1, *(1,) * (entries.ndim - 1))
            return entries - low[owner].reshape(shape), step.reshape(shape), None
        counted = self.owner_of[kind]
        place = self.places("point" if kind == "point" else "edge")
        inside = (entries >= 0) & (entries < len(place))
        local = torch.where(inside, place[entries.clamp(0, max(len(place) - 1, 0))], entries)
        step = counts(counted, self.size).reshape(-1, *(1,) * (entries.ndim - 1))
        # what is no row of any structure stays as large as it is
        return local, step, "point" if kind == "point" else "edge"


def columns(entries: Tensor) -> Tensor:
    """Entries (rows, ...) as (rows, columns)."""
    return entries.flatten(1) if entries.ndim > 1 else entries[:, None]


def _last_structure(data: Data, size: int) -> Data:
    """The last structure of a batch, of what was not replaced since it was collated."""
    from torch_geometric.data.separate import separate

    def is_known(name: str, slices: Any) -> bool:
        value = data.get(name)
        if not isinstance(value, Tensor) or not isinstance(slices, Tensor):
            return value is not None
        if value.layout != torch.strided or slices.ndim != 1:
            return False
        return int(slices[-1]) == value.size(int(data.__cat_dim__(name, value) or 0))

    kept = {name: slices for name, slices in data._slice_dict.items() if is_known(name, slices)}
    return separate(type(data).__bases__[-1], data, size - 1, kept, data._inc_dict)


def _rows_first(step: Tensor, entries: Tensor, dim: int | None, path: str) -> Tensor:
    """Increments (size, ...) in the order of entries (rows, ...), which they are added to.

    Raises:
        ValueError: if they differ from row to row.
    """
    if step.ndim == 1:
        return step.reshape(-1, *(1,) * (entries.ndim - 1))
    if step.ndim == entries.ndim + 1 and dim is not None:
        moved = step.movedim(1 + dim % entries.ndim, 1)
        if moved.size(1) == 1:
            return moved[:, 0]
    raise ValueError(
        f"{path!r} has increments of shape {tuple(step.shape[1:])} (`__inc__`) that cannot be told "
        "apart by structure: return a number, or a tensor that has size 1 along the dimension "
        "along which structures are put together (`__cat_dim__`)"
    )


def _extreme(values: Tensor, owner: Tensor, size: int, which: Literal["amin", "amax"]) -> Tensor:
    start = values.new_zeros(size)
    return start.scatter_reduce(0, owner, values, which, include_self=False)
