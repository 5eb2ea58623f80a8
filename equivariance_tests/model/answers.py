"""What a model answered: rows of numbers, and of which structure, point or edge each of them is.

Here, and nowhere else, is known what a row of an output stands for. Rows are compared by what they
stand for, not by where they stand: edges of a structure may be listed in any order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch_geometric.data import Batch

from symmetrize import Contract, Output


@dataclass(frozen=True)
class Rows:
    """What the rows of an output stand for.

    Attributes:
        owner: (rows,) the structure of each row.
        ends: (rows, n) points of that structure, counted from its first one: none for a row of a
            structure, one for a row of a point, two for a row of an edge.
    """

    owner: Int[Tensor, "rows"]
    ends: Int[Tensor, "rows ends"]

    def keys(self) -> list[tuple[int, ...]]:
        """One for each row, the same for rows of the same thing; edges of the same ends counted."""
        found: list[tuple[int, ...]] = []
        seen: dict[tuple[int, ...], int] = {}
        for key in torch.cat([self.owner[:, None], self.ends], 1).tolist():
            number = seen[tuple(key)] = seen.get(tuple(key), -1) + 1
            found.append((*key, number))
        return found

    def same(self, other: Rows) -> bool:
        """Whether they are of the same things, in the same order."""
        return torch.equal(self.owner, other.owner) and torch.equal(self.ends, other.ends)

    def on_cpu(self) -> Rows:
        """The same, where answers are kept."""
        return Rows(self.owner.cpu(), self.ends.cpu())

    def taken(self, rows: Tensor) -> Rows:
        """Some of them: a mask, or places."""
        return Rows(self.owner[rows], self.ends[rows])

    def becoming(
        self, permutations: Int[Tensor, "elements points"]
    ) -> Int[Tensor, "elements rows"]:
        """Of one structure: where the row stands of what each becomes, if points become others.

        -1 for an edge that becomes none.
        """
        places = torch.arange(len(self.owner))
        if self.ends.size(1) == 0:
            return places.expand(len(permutations), -1)
        table = torch.full([permutations.size(1)] * self.ends.size(1), -1)
        table[tuple(self.ends.T)] = places
        return table[tuple(permutations[:, end] for end in self.ends.T)]

    def sorted(self) -> Int[Tensor, "rows"]:
        """Places of the rows by structure, then by points."""
        keys = self.keys()
        order = sorted(range(len(keys)), key=keys.__getitem__)
        return torch.tensor(order, dtype=torch.long)


def rows_of(output: Output, batch: Batch, edges: Int[Tensor, "2 edges"] | None) -> Rows:
    """What the rows of an output stand for, on the device of the batch.

    Args:
        output: as it is declared.
        batch: of structures.
        edges: points of the batch at both ends of each edge that the model saw.

    Raises:
        ValueError: if there are no edges for an output of edges.
    """
    if output.rows == "structure":
        owner = torch.arange(batch.num_graphs, device=batch.batch.device)
        return Rows(owner, owner.new_zeros(len(owner), 0))
    if output.rows == "point":
        owner = batch.batch
        place = torch.arange(len(owner), device=owner.device) - batch.ptr[owner]
        return Rows(owner, place[:, None])
    if edges is None:
        raise ValueError(
            "an output of edges has one row for each column of `edge_index`, and the data has "
            "none: let `prepare` add edges, such as connect(radius=5.0) from backbones.adapters"
        )
    owner = batch.batch[edges[0]]
    return Rows(owner, (edges - batch.ptr[owner]).T)


class RowsError(ValueError):
    """An output does not have the rows that it is declared with."""


# How an output is declared with a row for each of these
DECLARED = {
    "structure": "without per_point or per_edge",
    "point": "with per_point(...)",
    "edge": "with per_edge(...)",
}


def fitting(
    output: Output, found: Tensor, batch: Batch, edges: Int[Tensor, "2 edges"] | None
) -> str:
    """What would fit the rows that an output has, or else where one row for each comes from.

    Args:
        output: as it is declared.
        found: what was returned for it, with another number of rows.
        batch: of structures.
        edges: those that the model saw.
    """
    numbers = {"structure": batch.num_graphs, "point": len(batch.batch)}
    if edges is not None:
        numbers["edge"] = edges.size(1)
    rows = len(found) if found.ndim else None
    if output.rows == "edge" and rows and 2 * rows == numbers["edge"]:
        return (
            "there is one for half of the edges: return one row for each column of `edge_index`, "
            "that is for both directions"
        )
    fits = [kind for kind, number in numbers.items() if number == rows and kind != output.rows]
    if fits:
        ways = ", or ".join(f"declare it {DECLARED[kind]}" for kind in fits)
        return f"there is one for each {' and each '.join(fits)}: {ways}"
    if output.rows == "structure":
        return "pool with the size `data.num_graphs`"
    attribute = "pos" if output.rows == "point" else "edge_index"
    return f"return one for each {'row' if output.rows == 'point' else 'column'} of `{attribute}`"


@dataclass(frozen=True)
class Answers:
    """What a model returned for some structures.

    Attributes:
        values: (rows, dim) float64 of each output, in the order of the contract.
        rows: what they stand for.
        size: number of structures.
    """

    values: Mapping[str, Float[Tensor, "rows dim"]]
    rows: Mapping[str, Rows]
    size: int

    def finite(self) -> Bool[Tensor, "structures"]:
        """Whether all values of a structure are."""
        return torch.isfinite(self.largest({name: torch.ones(1).double() for name in self.values}))

    def minus(self, other: Answers) -> Answers:
        """Row by row; of edges, those that both have."""
        values, rows = {}, {}
        for name, mine in self.rows.items():
            ours, theirs, kept = self.values[name], other.values[name], mine
            if not mine.same(other.rows[name]):
                here, there = _shared(mine, other.rows[name])
                ours, theirs, kept = ours[here], theirs[there], mine.taken(here)
            values[name], rows[name] = ours - theirs, kept
        return Answers(values, rows, self.size)

    def turned(self, matrix: Float[Tensor, "3 3"], contract: Contract) -> Answers:
        """As the contract says that they turn."""
        turned = {
            name: values @ contract.outputs[name].representation.matrices(matrix).T
            for name, values in self.values.items()
        }
        return replace(self, values=turned)

    def largest(self, scales: Mapping[str, Float[Tensor, "dim"]]) -> Float[Tensor, "structures"]:
        """Largest absolute value of each structure, in units of the scales; NaN stays."""
        worst = torch.zeros(self.size, dtype=torch.float64)
        for name, values in self.values.items():
            rows = (values.abs() / scales[name]).amax(1) if values.numel() else values[:, 0]
            # what is not finite is so for the whole structure
            rows = torch.where(torch.isfinite(rows), rows, torch.inf)
            worst = worst.scatter_reduce(0, self.rows[name].owner, rows, "amax")
        return torch.where(torch.isinf(worst), torch.nan, worst)

    def taken(self, structures: Sequence[int]) -> Answers:
        """The answers to some of the structures, in that order."""
        place = torch.full((self.size,), -1)
        place[list(structures)] = torch.arange(len(structures))
        values, rows = {}, {}
        for name, mine in self.rows.items():
            moved = place[mine.owner]
            kept = torch.argsort(moved, stable=True)[int((moved < 0).sum()) :]
            values[name] = self.values[name][kept]
            rows[name] = Rows(moved[kept], mine.ends[kept])
        return Answers(values, rows, len(structures))

    def of(self, structure: int) -> Answers:
        """The answer to one structure."""
        return self.taken([structure])

    def reordered(self, orders: Sequence[Int[Tensor, "_"]]) -> Answers:
        """As if the points of each structure stood in another order.

        Args:
            orders: of each structure: point k is the one that was point ``order[k]``.
        """
        sizes = [len(order) for order in orders]
        starts = torch.tensor([0, *sizes[:-1]], dtype=torch.long).cumsum(0)
        # where each point goes
        places = torch.cat([torch.zeros(0, dtype=torch.long), *(one.argsort() for one in orders)])
        values, rows = {}, {}
        for name, mine in self.rows.items():
            ends = places[mine.ends + starts[mine.owner][:, None]] if places.numel() else mine.ends
            moved = Rows(mine.owner, ends)
            order = moved.sorted()
            values[name], rows[name] = self.values[name][order], moved.taken(order)
        return Answers(values, rows, self.size)

    def of_points_below(self, sizes: Sequence[int]) -> Answers:
        """Rows of points and edges alone, of the first points of each structure."""
        limits = torch.tensor(sizes, dtype=torch.long)
        names = [name for name, mine in self.rows.items() if mine.ends.size(1)]
        values, rows = {}, {}
        for name in names:
            mine = self.rows[name]
            kept = (mine.ends < limits[mine.owner][:, None]).all(1)
            values[name], rows[name] = self.values[name][kept], mine.taken(kept)
        return Answers(values, rows, self.size)

    def beside(self, other: Answers, sizes: Sequence[int]) -> Answers:
        """What a fragment of each structure and another one amount to.

        Args:
            other: the answers to the other fragments.
            sizes: numbers of points of the first ones, which the others come after.
        """
        before = torch.tensor(sizes, dtype=torch.long)
        values, rows = {}, {}
        for name, mine in self.rows.items():
            theirs = other.rows[name]
            if mine.ends.size(1) == 0:  # structures add up
                values[name], rows[name] = self.values[name] + other.values[name], mine
                continue
            ends = theirs.ends + before[theirs.owner][:, None]
            both = Rows(torch.cat([mine.owner, theirs.owner]), torch.cat([mine.ends, ends]))
            order = both.sorted()
            values[name] = torch.cat([self.values[name], other.values[name]])[order]
            rows[name] = both.taken(order)
        return Answers(values, rows, self.size)


def joined(parts: Sequence[Answers], contract: Contract) -> Answers:
    """The answers of several calls as those of one."""
    size = 0
    owners: dict[str, list[Tensor]] = {name: [] for name in contract.outputs}
    for part in parts:
        for name, mine in part.rows.items():
            owners[name].append(mine.owner + size)
        size += part.size
    values = {name: torch.cat([part.values[name] for part in parts]) for name in owners}
    rows = {
        name: Rows(torch.cat(owner), torch.cat([part.rows[name].ends for part in parts]))
        for name, owner in owners.items()
    }
    return Answers(values, rows, size)


def _shared(one: Rows, other: Rows) -> tuple[Int[Tensor, "rows"], Int[Tensor, "rows"]]:
    """Places of what both have in either of them."""
    there = {key: place for place, key in enumerate(other.keys())}
    pairs = [(place, there[key]) for place, key in enumerate(one.keys()) if key in there]
    places = torch.tensor(pairs, dtype=torch.long).reshape(-1, 2)
    return places[:, 0], places[:, 1]
