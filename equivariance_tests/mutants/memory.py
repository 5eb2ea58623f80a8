"""Models whose answer depends on more than the structure: the batch, or what came before."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch_geometric.data import Batch

from equivariance_tests.mutants.averaged import OUTPUTS
from equivariance_tests.mutants.mutant import Mutant
from equivariance_tests.mutants.pairs import CONTRACT, CUTOFF, PairNetwork, Pairs, within
from symmetrize import Contract, neighbor_list

# Neighbor lists reach so far beyond the cutoff, and may be kept while no point moves by half of it
SKIN = 0.5
# What is seen, in units of what is said
FARTHER = 1.5


class StaleNeighbors(PairNetwork):
    """Keeps its neighbor list while points move little, but searched without a margin for that."""

    margin, allowed = 0.0, SKIN

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self.known: tuple[Tensor, Tensor, Tensor, Tensor] | None = None

    def pairs(self, data: Batch) -> Pairs:
        """The pairs that were within the cutoff and the margin when the list was made."""
        if self.known is None or not self._moved_little(data):
            found = neighbor_list(data.pos.detach(), CUTOFF + self.margin, data.batch)
            self.known = data.pos.detach().clone(), data.batch, found.center, found.neighbor
        center, neighbor = self.known[2:]
        return Pairs(center, neighbor, data.pos[neighbor] - data.pos[center])

    def _moved_little(self, data: Batch) -> bool:
        assert self.known is not None
        positions, batch = self.known[:2]
        if not torch.equal(batch, data.batch):
            return False
        return bool(((data.pos.detach() - positions).norm(dim=-1) < self.allowed).all())


class LateNeighbors(StaleNeighbors):
    """Has the margin, but waits until a point moved by all of it: two move by twice as much."""

    margin = SKIN


class BatchStatistics(PairNetwork):
    """Normalizes densities by their mean and spread over the batch, as in training."""

    def of_points(
        self, density: Float[Tensor, "points kinds"], arrows: Float[Tensor, "points kinds 3"]
    ) -> tuple[Float[Tensor, "points"], Float[Tensor, "points 3"]]:
        """Those of the network from normalized densities."""
        mean = density.mean(0) if len(density) else density.sum(0)
        spread = (density - mean).square().mean(0) if len(density) else density.sum(0)
        return super().of_points((density - mean) / (spread + 0.1).sqrt(), arrows)


class FarSighted(PairNetwork):
    """Sees half as far again as it says."""

    def pairs(self, data: Batch) -> Pairs:
        """Up to the distance at which the switch is zero."""
        return within(FARTHER * CUTOFF, data)

    def weights(self, pairs: Pairs) -> Float[Tensor, "pairs kinds"]:
        """Those of pairs that are nearer by half."""
        return super().weights(pairs._replace(vectors=pairs.vectors / FARTHER))


MUTANTS: dict[str, Mutant] = {
    "stale neighbor cache": Mutant(StaleNeighbors, CONTRACT, frozenset({"history"})),
    "late neighbor cache": Mutant(LateNeighbors, CONTRACT, frozenset({"history"})),
    "batch statistics leak": Mutant(BatchStatistics, Contract(OUTPUTS), frozenset({"batching"})),
    # fragments that the contract has out of sight of each other are not
    "sees beyond its cutoff": Mutant(
        FarSighted, CONTRACT, frozenset({"locality", "size extensivity"})
    ),
}
