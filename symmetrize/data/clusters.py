"""Environments as structures of their own, for a network that looks at one center at a time.

Scope "center" needs no other machinery than scope "structure": its batch of structures is the batch
of all environments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from symmetrize.arrays.segments import counts, join, offsets, places
from symmetrize.data.attributes import leaves, with_leaves
from symmetrize.data.copies import Source
from symmetrize.data.forms import as_index, following, new_batch, plain_tensor
from symmetrize.data.numbering import Numbers, columns
from symmetrize.data.rows import Kind, Layout, Rows
from symmetrize.data.whose import OF_STRUCTURES
from symmetrize.points.environments import Environments
from symmetrize.representation import Representation

if TYPE_CHECKING:
    from torch_geometric.data import Data


class Clusters(NamedTuple):
    """Environments as structures, and where their edges come from.

    Attributes:
        source: what copies are made of.
        edges: for each edge of the environments, the edge of the structures that it is; None
            where structures have none.
    """

    source: Source
    edges: Int[Tensor, "edges"] | None


def clusters(
    data: Data, layout: Layout, found: Environments, inputs: Mapping[str, Representation]
) -> Clusters:
    """Every environment as a structure of its own, with positions from the center.

    Points carry ``is_center`` and ``envelope`` beside the attributes they had; edges, and other
    tuples of points or edges, are those that lie in the environment as a whole. The cell is left
    out: images are points like others.

    Raises:
        ValueError: if a periodic structure comes with edges, or something counts points that an
            environment may not have.
    """
    owner, number = found.owner, len(layout.batch)
    periodic = bool((found.shift != 0).any())
    taken = _Taken(layout, found)
    batch = new_batch(data, number, owner)
    rows: dict[str, Rows] = {}
    for name, whole in data.to_dict().items():
        # an environment is a finite cluster: images of its points are points of their own
        if name in batch or name in OF_STRUCTURES or name in layout.followed:
            continue
        made = {}
        for path, _, value in leaves(whole, name):
            known = layout.rows.get(path)
            if known is None:
                made[path] = value
                continue
            _refuse(path, value, known, periodic)
            made[path], rows[path] = taken.of(path, value, known)
        batch[name] = with_leaves(whole, name, made)
    followed = {name: of for name, of in layout.followed.items() if of in batch}
    for name, of in followed.items():
        whose = {path: rows[path].owner for path, _, _ in leaves(data[of], of) if path in rows}
        batch[name] = following(name, of, data[of], whose, number)
    batch.pos = found.vectors.to(data.pos.dtype)
    batch.is_center = found.is_center
    batch.envelope = found.envelope.to(data.pos.dtype)
    for name in ("pos", "is_center", "envelope"):
        rows[name] = Rows("point", owner)
    # points that are about to leave are far out, points that merge with the center far in
    leaving = found.envelope < 1
    source = Source(batch, Layout(number, owner, rows, followed), found.vectors, inputs, leaving)
    edges = taken.taken.get("edge")
    return Clusters(source, None if edges is None else edges[1])


def _refuse(path: str, value: Any, rows: Rows, periodic: bool) -> None:
    """What has no meaning for the environments of centers."""
    numbers = rows.numbers
    if periodic and numbers is not None and numbers.of is not None:
        raise ValueError(
            f'scope "center" cannot tell which image of a point {path!r} of a periodic structure '
            "means: leave it out and let the network connect the points of each environment by "
            'their positions, or use scope="structure"'
        )
    between = isinstance(value, Tensor) and value.layout != torch.strided
    if between or (numbers is not None and numbers.step.numel() > len(numbers.step)):
        raise ValueError(
            f'scope "center" cannot say which part of {path!r} belongs to an environment: leave it '
            'out, write it as `edge_index` with attributes of edges, or use scope="structure"'
        )


class _Taken:
    """Which rows each environment takes; each kind of rows once.

    Args:
        layout: of the structures.
        found: the environments.
    """

    def __init__(self, layout: Layout, found: Environments) -> None:
        self.layout, self.number = layout, len(layout.batch)
        self.taken: dict[Kind, tuple[Tensor, Tensor]] = {"point": (found.owner, found.source)}
        # by path, of what decides which rows are taken: its entries, as rows of the environments
        self.ends: dict[str, Int[Tensor, "rows entries"]] = {}

    def of(self, path: str, value: Any, rows: Rows) -> tuple[Any, Rows]:
        """The rows of a value, environment after environment, and whose they are.

        Raises:
            ValueError: if it counts a point or an edge that an environment does not have.
        """
        owner, chosen = self._rows(rows)
        numbers, moved = rows.numbers, replace(rows, owner=owner)
        if numbers is not None and numbers.of is not None:
            entries = self.ends.get(path)
            if entries is None:
                entries = self._looked_up(path, numbers, owner, chosen)
            entries = entries.reshape(len(entries), *numbers.local.shape[1:])
            counted = self.taken[numbers.of][0]
            local = places(counted, self.number)[entries.clamp(min=0)]
            local = torch.where(entries < 0, entries, local)
            step = counts(counted, self.number).reshape(-1, *(1,) * (local.ndim - 1))
            return _laid_out(entries, value, rows, len(counted)), replace(
                moved, numbers=Numbers(local, step, numbers.of, numbers.padded)
            )
        if numbers is not None:
            local, step = numbers.local[chosen], numbers.step[self.layout.batch]
            base = (step.cumsum(0) - step)[owner]
            entries = torch.where(local < 0, local, local + base)
            return _laid_out(entries, value, rows), replace(
                moved, numbers=Numbers(local, step, None, numbers.padded)
            )
        if rows.dim is None:  # one value of a single structure
            several = replace(moved, dim=0)
            if isinstance(value, Tensor):
                return value.repeat(self.number, *(1,) * value.ndim), several
            if isinstance(value, int | float):
                return torch.tensor(value, device=owner.device).repeat(self.number), several
            return [value] * self.number, several
        if isinstance(value, Tensor):
            return plain_tensor(value).index_select(rows.dim, chosen), moved
        if isinstance(value, np.ndarray):
            return value.take(chosen.cpu().numpy(), rows.dim), moved
        return [value[item] for item in chosen.tolist()], moved

    def _rows(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """The environment and the row of everything of a kind that an environment takes."""
        if rows.kind not in self.taken:
            leads = self.layout.leads(rows.kind)
            self.taken[rows.kind] = (
                self._inside(leads)
                if leads
                else join(self.layout.batch, rows.owner, self.layout.size)
            )
        return self.taken[rows.kind]

    def _inside(self, leads: Mapping[str, Rows]) -> tuple[Tensor, Tensor]:
        """Rows all of whose entries are in one environment, in their order, and which it is."""
        known = {
            path: (rows.numbers, self._whole(rows.numbers, columns(rows.numbers.local), rows.owner))
            for path, rows in leads.items()
            if rows.numbers is not None
        }
        owners, found = [], []
        any_owner = next(iter(leads.values())).owner
        without = torch.ones_like(any_owner, dtype=torch.bool)
        for numbers, entries in known.values():
            # one entry is found in all environments, the others where that one is
            lead = entries.amax(1) if entries.numel() else entries.new_full((len(entries),), -1)
            rows = torch.nonzero(without & (lead >= 0))[:, 0]
            members, source = self._members(numbers)
            member, row = join(source, lead[rows], self._number(numbers))
            owners.append(members[member])
            found.append(rows[row])
            without[rows] = False
        owner, row = torch.cat(owners), torch.cat(found)
        order = torch.argsort(owner * len(without) + row)
        owner, row = owner[order], row[order]
        ends = {
            path: (entries[row], self._ends(numbers, entries[row], owner))
            for path, (numbers, entries) in known.items()
        }
        inside = torch.cat([(end >= 0) | (entry < 0) for entry, end in ends.values()], 1).all(1)
        self.ends |= {path: end[inside] for path, (_, end) in ends.items()}
        return owner[inside], row[inside]

    def _looked_up(
        self, path: str, numbers: Numbers, owner: Tensor, chosen: Tensor
    ) -> Int[Tensor, "rows entries"]:
        """Entries of a table; what an environment does not have is padding, where there is any."""
        local = columns(numbers.local[chosen])
        entries = self._whole(numbers, local, self.layout.batch[owner])
        ends = self._ends(numbers, entries, owner)
        if not numbers.padded and bool((ends < 0).any()):
            raise ValueError(
                f"{path!r} counts a {numbers.of} that is not in every environment where it is "
                'counted: pad with -1 for what is not there, leave it out, or use scope="structure"'
            )
        return ends

    def _members(self, numbers: Numbers) -> tuple[Tensor, Tensor]:
        """The environment and the row of all points, or edges, that environments take."""
        assert numbers.of is not None, "asked only of what counts points or edges"
        return self._rows(Rows(numbers.of, self._owner(numbers)))

    def _owner(self, numbers: Numbers) -> Tensor:
        of_points = numbers.of == "point"
        owner = self.layout.batch if of_points else self.layout.edges
        assert owner is not None, "edges are counted"
        return owner

    def _number(self, numbers: Numbers) -> int:
        return len(self._owner(numbers))

    def _whole(self, numbers: Numbers, local: Tensor, owner: Tensor) -> Tensor:
        """Entries as rows of all structures, from places in the structure of each."""
        order = torch.argsort(self._owner(numbers), stable=True)
        start = offsets(counts(self._owner(numbers), self.layout.size))[owner, None]
        there = (start + local).clamp(0, max(len(order) - 1, 0))
        return torch.where(local < 0, local, order[there] if len(order) else local)

    def _ends(self, numbers: Numbers, entries: Tensor, owner: Tensor) -> Tensor:
        """Entries as rows of environments; -1 for what an environment does not have."""
        members, source = self._members(numbers)
        if len(members) == 0:
            return torch.full_like(entries, -1)
        keys = members * self._number(numbers) + source
        order = torch.argsort(keys)
        wanted = owner[:, None] * self._number(numbers) + entries
        found = order[torch.searchsorted(keys[order], wanted).clamp(max=len(keys) - 1)]
        return torch.where((entries >= 0) & (keys[found] == wanted), found, -1)


def _laid_out(
    entries: Int[Tensor, "rows *shape"], value: Any, rows: Rows, number: int | None = None
) -> Tensor:
    """Entries, rows first, in the order of dimensions of the value they replace.

    What was sorted no longer is: an environment starts with its center.
    """
    if rows.dim is None:
        return entries
    return as_index(value, entries.movedim(0, rows.dim).contiguous(), number, keeps_order=False)
