"""Models with wrong numbers: none, not finite, of low precision, or with wrong derivatives."""

from __future__ import annotations

import torch
from e3nn import o3
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import Batch

from equivariance_tests.mutants.mutant import Mutant
from equivariance_tests.mutants.pairs import CONTRACT, PairNetwork, Pairs
from equivariance_tests.mutants.symmetry import TURNED


class Zero(PairNetwork):
    """Answers zero to everything."""

    def pooled(self, rows: Float[Tensor, "points dim"], data: Batch) -> Tensor:
        """Zero, which depends on the positions as far as derivatives go."""
        return 0.0 * super().pooled(rows, data)


class NotANumber(PairNetwork):
    """Answers NaN to everything."""

    def pooled(self, rows: Float[Tensor, "points dim"], data: Batch) -> Tensor:
        """NaN."""
        return torch.nan * super().pooled(rows, data)


class Unguarded(PairNetwork):
    """Divides by distances, of points in one place too."""

    def pairs(self, data: Batch) -> Pairs:
        """With vectors that are lengths times directions."""
        pairs = super().pairs(data)
        lengths = pairs.vectors.square().sum(-1, keepdim=True).sqrt()
        return pairs._replace(vectors=lengths * (pairs.vectors / lengths))


class UnguardedGradient(PairNetwork):
    """Takes the square root of squares that may be zero: finite itself, unlike its derivative."""

    def weights(self, pairs: Pairs) -> Float[Tensor, "pairs kinds"]:
        """Times exp(-r^2), of r that is a square root."""
        lengths = pairs.vectors.square().sum(-1, keepdim=True).sqrt()
        return super().weights(pairs) * torch.exp(-lengths.square())


class SingleConstant(nn.Module):
    """Couples l = 2 and l = 1 to a vector, with coefficients that were kept in single precision."""

    contract = CONTRACT

    def __init__(self) -> None:
        super().__init__()
        self.net = PairNetwork()

    def forward(self, data: Batch) -> dict[str, Tensor]:
        """The vector of each structure, in double precision if the positions are."""
        coupling = o3.wigner_3j(2, 1, 1, dtype=torch.float32).to(data.pos)
        _, arrows = self.net.environments(data)
        squares = o3.spherical_harmonics(2, arrows[:, 0], normalize=False)
        vectors = torch.einsum("pi,pj,ijk->pk", squares, arrows[:, 2], coupling)
        energies = torch.einsum("pc,pc->p", vectors, arrows[:, 1])[:, None]
        return {
            "energy": self.net.pooled(energies, data),
            "vector": self.net.pooled(vectors, data),
        }


class Detached(PairNetwork):
    """Weighs pairs as the healthy network does, but keeps the weights out of the derivative."""

    def weights(self, pairs: Pairs) -> Float[Tensor, "pairs kinds"]:
        """Without their derivative."""
        return super().weights(pairs).detach() * torch.exp(-pairs.vectors.square().sum(-1))[:, None]


class AlwaysDouble(PairNetwork):
    """Returns double precision, whatever it is given."""

    def pooled(self, rows: Float[Tensor, "points dim"], data: Batch) -> Tensor:
        """In float64."""
        return super().pooled(rows, data).double()


MUTANTS: dict[str, Mutant] = {
    "zero output": Mutant(Zero, CONTRACT, frozenset({"vacuity"})),
    "NaN output": Mutant(NotANumber, CONTRACT, frozenset({"finiteness"})),
    "unguarded direction": Mutant(Unguarded, CONTRACT, frozenset({"finiteness"})),
    "unguarded square root": Mutant(UnguardedGradient, CONTRACT, frozenset({"finiteness"})),
    # wrong in the eighth digit: exact enough for single precision
    "single-precision constant": Mutant(SingleConstant, CONTRACT, TURNED),
    "detached weights": Mutant(Detached, CONTRACT, frozenset({"gradients", "work closure"})),
    "always double": Mutant(AlwaysDouble, CONTRACT, frozenset({"dtype and device"})),
}
