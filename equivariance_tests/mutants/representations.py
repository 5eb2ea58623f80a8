"""Averages over frames that turn the outputs back wrongly: Wigner matrices with a fault."""

from __future__ import annotations

import torch
from e3nn import o3
from jaxtyping import Float
from torch import Tensor

from equivariance_tests.mutants.averaged import LENGTH, DeepSet
from equivariance_tests.mutants.mutant import Mutant
from equivariance_tests.mutants.symmetry import TURNED
from symmetrize import Contract, HierarchicalFrames, Symmetrizer
from symmetrize.representation import IrrepsRepresentation

VECTOR, TENSOR = Contract("1o"), Contract("2e")


class Transposed(IrrepsRepresentation):
    """D of the inverse rotation."""

    def _rotate(
        self, values: Float[Tensor, "*batch extra dim"], rotations: Float[Tensor, "*batch 3 3"]
    ) -> Float[Tensor, "*batch extra dim"]:
        return super()._rotate(values, rotations.mT)


class Reordered(IrrepsRepresentation):
    """D in another order of m: that of (z, x, y), where (x, y, z) is declared."""

    def _rotate(
        self, values: Float[Tensor, "*batch extra dim"], rotations: Float[Tensor, "*batch 3 3"]
    ) -> Float[Tensor, "*batch extra dim"]:
        return super()._rotate(values.roll(1, -1), rotations).roll(-1, -1)


class FromAngles(IrrepsRepresentation):
    """D from Euler angles: an arc cosine loses half of the digits near the pole.

    Its derivative there is infinite.
    """

    def _rotate(
        self, values: Float[Tensor, "*batch extra dim"], rotations: Float[Tensor, "*batch 3 3"]
    ) -> Float[Tensor, "*batch extra dim"]:
        sign = torch.linalg.det(rotations.detach()).sign()[..., None, None]
        alpha, beta, gamma = o3.matrix_to_angles(sign * rotations)
        (degree,) = self.irreps.ls
        matrices = o3.wigner_D(degree, alpha, beta, gamma).to(values.dtype)
        # the parities that are declared below
        return values @ (sign**degree * matrices).mT.to(values.dtype)


def _averaged(representation: IrrepsRepresentation) -> Symmetrizer:
    frames = HierarchicalFrames(length_scale=LENGTH)
    return Symmetrizer(DeepSet(str(representation)), outputs=representation, frames=frames)


# Near a line the turns about it cancel what has no limit, but only if outputs turn back as they do
TURNED_BACK = TURNED | {"copies"}
NEAR_LINES = frozenset({"path scan", "stratum approach"})
MUTANTS: dict[str, Mutant] = {
    "transposed Wigner matrices": Mutant(
        lambda: _averaged(Transposed("1o")), VECTOR, TURNED_BACK, NEAR_LINES
    ),
    "wrong order of m": Mutant(lambda: _averaged(Reordered("2e")), TENSOR, TURNED_BACK, NEAR_LINES),
    "Wigner matrices from angles": Mutant(
        lambda: _averaged(FromAngles("2e")),
        TENSOR,
        TURNED_BACK | {"finiteness"},
        # near the pole half of the digits are lost, which shows wherever two answers are compared
        NEAR_LINES | {"permutation", "translation", "gradients", "work closure"},
    ),
}
