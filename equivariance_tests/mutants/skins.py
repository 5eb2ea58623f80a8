"""Neighbor lists that are kept while nothing moves far, and what they forget to look at.

The list reaches a margin beyond the cutoff, and stands until a point has moved by half of that, a
point comes or goes, a cell changes, or a point becomes another kind. A mutant looks away from one
of these.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch_geometric.data import Batch

from equivariance_tests.mutants.forces import Energy
from equivariance_tests.mutants.memory import SKIN
from equivariance_tests.mutants.mutant import Mutant
from equivariance_tests.mutants.pairs import CUTOFF, Pairs, summed
from symmetrize import Contract, neighbor_list, safe_norm

CONTRACT = Contract({"energy": "0e"}, cutoff=CUTOFF, extensive=True, periodic=True)
SPECIES = (1, 6)
OPTIONS = {"species": SPECIES}


class Kept(NamedTuple):
    """A list, what it was made for, and the charges of the points then."""

    positions: Float[Tensor, "points 3"]
    batch: Int[Tensor, "points"]
    cell: Float[Tensor, "size 3 3"]
    pbc: Bool[Tensor, "size 3"]
    species: Int[Tensor, "points"]
    center: Int[Tensor, "pairs"]
    neighbor: Int[Tensor, "pairs"]
    shift: Int[Tensor, "pairs 3"]
    charges: Float[Tensor, "points"]


class Skinned(Energy):
    """Keeps a list while it may; right if it looks at everything.

    Args:
        away: what it does not look at: "cell", "wrapping" or "species".
    """

    contract = CONTRACT

    def __init__(self, away: str = "") -> None:
        super().__init__()
        self.away = away
        self.kept: Kept | None = None

    def pairs(self, data: Batch) -> Pairs:
        """Of points and images, from the list."""
        kept = self.list_of(data)
        cells = data.cell[data.batch[kept.center]]
        images = torch.einsum("pi,pij->pj", kept.shift.to(cells), cells)
        vectors = data.pos[kept.neighbor] - data.pos[kept.center] + images
        # what the list reaches beyond the cutoff is no neighbor yet
        near = vectors.detach().square().sum(-1) < CUTOFF**2
        return Pairs(kept.center[near], kept.neighbor[near], vectors[near])

    def second(self, data: Batch) -> Tensor:
        """Charges that attract and repel."""
        pairs, charges = self.pairs(data), self.list_of(data).charges
        each = self.switch(safe_norm(pairs.vectors))
        each = each * charges[pairs.center] * charges[pairs.neighbor]
        return summed(each[:, None], data.batch[pairs.center], data.num_graphs)

    def list_of(self, data: Batch) -> Kept:
        """The one that is kept, if it may be, and a new one otherwise."""
        if self.kept is None or not self._stands(self.kept, data):
            place = data.pos.detach().clone()
            found = neighbor_list(place, CUTOFF + SKIN, data.batch, data.cell, data.pbc)
            told = (place, data.batch, data.cell.detach().clone(), data.pbc, data.z)
            charges = (data.z - 3.0).to(place) / 3
            self.kept = Kept(*told, found.center, found.neighbor, found.shift, charges)
        return self.kept

    def _stands(self, kept: Kept, data: Batch) -> bool:
        if not (torch.equal(kept.batch, data.batch) and torch.equal(kept.pbc, data.pbc)):
            return False
        if self.away != "species" and not torch.equal(kept.species, data.z):
            return False
        if self.away != "cell" and not torch.equal(kept.cell, data.cell):
            return False
        moved = data.pos.detach() - kept.positions
        if self.away == "wrapping":
            # by the nearest image, as if all was well with a point on the other side
            inverse = torch.linalg.pinv(data.cell.detach())[data.batch]
            whole = torch.einsum("pi,pij->pj", moved, inverse).round()
            moved = moved - torch.einsum("pi,pij->pj", whole, data.cell.detach()[data.batch])
        return bool((moved.norm(dim=-1) < SKIN / 2).all())


HISTORY = frozenset({"history"})
MUTANTS: dict[str, Mutant] = {
    "a skin that ignores the cell": Mutant(
        lambda: Skinned("cell"), CONTRACT, HISTORY, options=OPTIONS
    ),
    "a skin that ignores wrapping": Mutant(
        lambda: Skinned("wrapping"), CONTRACT, HISTORY, frozenset({"translation"}), options=OPTIONS
    ),
    "a skin that ignores species": Mutant(
        lambda: Skinned("species"), CONTRACT, HISTORY, options=OPTIONS
    ),
}
