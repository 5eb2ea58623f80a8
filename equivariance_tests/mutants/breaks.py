"""Networks that are less smooth than they claim. All turn exactly with their cloud."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch_geometric.data import Batch

from equivariance_tests.mutants.averaged import OUTPUTS
from equivariance_tests.mutants.mutant import Mutant
from equivariance_tests.mutants.pairs import CONTRACT, CUTOFF, PairNetwork, Pairs, all_pairs
from symmetrize import Contract, safe_norm

NEAREST = 3
# Density above which a point counts
CROWDED = 0.75
DECIMALS = 4


class HardCutoff(PairNetwork):
    """Neighbors count fully up to the cutoff."""

    def switch(self, lengths: Float[Tensor, "pairs"]) -> Float[Tensor, "pairs"]:
        """One."""
        return torch.ones_like(lengths)


class CosineCutoff(PairNetwork):
    """Neighbors fade by a cosine, whose second derivative is not zero at the cutoff."""

    def switch(self, lengths: Float[Tensor, "pairs"]) -> Float[Tensor, "pairs"]:
        """(1 + cos(pi r / cutoff)) / 2."""
        return 0.5 * (1 + torch.cos(math.pi * lengths / CUTOFF))


class LinearCutoff(PairNetwork):
    """Neighbors fade along a straight line, which ends in a kink."""

    def switch(self, lengths: Float[Tensor, "pairs"]) -> Float[Tensor, "pairs"]:
        """1 - r / cutoff from half of the cutoff on."""
        return (2 * (1 - lengths / CUTOFF)).clamp(0.0, 1.0)


class NearestNeighbors(PairNetwork):
    """Sees the nearest three points, however far; one more comes as another goes."""

    def pairs(self, data: Batch) -> Pairs:
        """The nearest of each point, the first in order among equals."""
        one, other = all_pairs(data.batch, data.num_graphs)
        vectors = data.pos[other] - data.pos[one]
        order = torch.argsort(vectors.detach().square().sum(-1), stable=True)
        order = order[torch.argsort(one[order], stable=True)]
        number = torch.bincount(one, minlength=len(data.pos))
        rank = torch.arange(len(order), device=order.device)
        rank = rank - (number.cumsum(0) - number)[one[order]]
        kept = order[rank < NEAREST]
        return Pairs(one[kept], other[kept], vectors[kept])

    def switch(self, lengths: Float[Tensor, "pairs"]) -> Float[Tensor, "pairs"]:
        """One: it is their number that is limited."""
        return torch.ones_like(lengths)


class HardThreshold(PairNetwork):
    """Points count if they have enough neighbors."""

    def of_points(
        self, density: Float[Tensor, "points kinds"], arrows: Float[Tensor, "points kinds 3"]
    ) -> tuple[Float[Tensor, "points"], Float[Tensor, "points 3"]]:
        """Those of the network, or zero."""
        crowded = (density[:, 0] > CROWDED).to(density.dtype)
        energies, vectors = super().of_points(density, arrows)
        return energies * crowded, vectors * crowded[:, None]


class Rounded(PairNetwork):
    """Returns a few decimals."""

    def pooled(self, rows: Float[Tensor, "points dim"], data: Batch) -> Tensor:
        """The rounded scalar, whose derivative is zero, and the vector as it is."""
        total = super().pooled(rows, data)
        return total if rows.size(1) > 1 else total.round(decimals=DECIMALS)


class MaxPooled(PairNetwork):
    """The point with the largest energy speaks for all."""

    def pooled(self, rows: Float[Tensor, "points dim"], data: Batch) -> Tensor:
        """The maximum of scalars, the sum of vectors."""
        if rows.size(1) > 1:
            return super().pooled(rows, data)
        empty = rows.new_zeros(data.num_graphs, 1)
        return empty.scatter_reduce(0, data.batch[:, None], rows, "amax", include_self=False)


class Rectified(PairNetwork):
    """Kinks at a positive density, where a rectifier switches."""

    def of_points(
        self, density: Float[Tensor, "points kinds"], arrows: Float[Tensor, "points kinds 3"]
    ) -> tuple[Float[Tensor, "points"], Float[Tensor, "points 3"]]:
        """The energy of the network, and a rectified density."""
        energies, vectors = super().of_points(density, arrows)
        return energies + torch.relu(density[:, 0] - CROWDED), vectors


class PlainDistances(PairNetwork):
    """Sums exp(-r): conical where two points meet."""

    def weights(self, pairs: Pairs) -> Float[Tensor, "pairs kinds"]:
        """With a factor exp(-r)."""
        return super().weights(pairs) * torch.exp(-safe_norm(pairs.vectors))[:, None]


def _claim(smoothness: int | float) -> Contract:
    return Contract(OUTPUTS, cutoff=CUTOFF, extensive=True, smoothness=smoothness)


SCANNED = frozenset({"path scan", "stratum approach"})
AT_THE_CUTOFF = SCANNED | {"cutoff crossing"}
# Of two points at exactly the cutoff, or at equal distances, rounding decides which one counts
DECIDED = frozenset(
    {"equivariance", "parity", "stabilizer", "precision ladder", "translation", "gradients"}
)
MUTANTS: dict[str, Mutant] = {
    "hard cutoff": Mutant(HardCutoff, CONTRACT, AT_THE_CUTOFF, DECIDED),
    # a kink has no derivative, and distances on a grid meet it
    "linear cutoff": Mutant(LinearCutoff, CONTRACT, AT_THE_CUTOFF | {"gradients"}),
    "cosine cutoff declared C2": Mutant(CosineCutoff, _claim(2), AT_THE_CUTOFF),
    "nearest neighbors": Mutant(
        NearestNeighbors, Contract(OUTPUTS), SCANNED | {"permutation"}, DECIDED
    ),
    "hard threshold": Mutant(HardThreshold, CONTRACT, frozenset({"path scan"})),
    # flat between its jumps: the derivative is right there, and its integral is not
    "rounded output": Mutant(
        Rounded,
        Contract(OUTPUTS, cutoff=CUTOFF),
        frozenset({"path scan", "cutoff crossing", "work closure"}),
    ),
    # equal points share the derivative; one may become the largest on its way past the cutoff
    "maximum declared C1": Mutant(
        MaxPooled,
        Contract(OUTPUTS, cutoff=CUTOFF, smoothness=1),
        AT_THE_CUTOFF | {"gradients"},
    ),
    "rectifier declared smooth": Mutant(Rectified, CONTRACT, frozenset({"path scan"})),
    "conical where points meet": Mutant(PlainDistances, CONTRACT, SCANNED | {"gradients"}),
}
