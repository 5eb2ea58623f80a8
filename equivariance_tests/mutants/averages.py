"""Averages over rotations that are not exact, and frames that know too much."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch_geometric.data import Batch

from equivariance_tests.mutants.averaged import OUTPUTS, DeepSet, DirectedPairs
from equivariance_tests.mutants.mutant import Mutant
from equivariance_tests.mutants.pairs import CONTRACT, CUTOFF
from equivariance_tests.mutants.symmetry import TURNED
from symmetrize import Contract, HierarchicalFrames, QuadratureFrames, RandomFrames, Symmetrizer

CLAIM = Contract(OUTPUTS)
ROTATIONS = 8
# All checks that compare two answers: none of them can say anything of what is random
COMPARED = TURNED | {
    *("batching", "history", "negative control", "permutation", "translation"),
    *("gradients", "work closure", "path scan", "stratum approach"),
}


class DrawnAnew(nn.Module):
    """An average over other random rotations in every call."""

    def __init__(self) -> None:
        super().__init__()
        self.net = DeepSet()
        self.calls = 0

    def forward(self, data: Batch) -> Any:
        """The average over the rotations of this call."""
        self.calls += 1
        return Symmetrizer(self.net, frames=RandomFrames(ROTATIONS, seed=self.calls))(data)


def pooled_frames() -> Symmetrizer:
    """Frames of the whole structure: those of one fragment serve another one, out of its sight."""
    return Symmetrizer(DirectedPairs(), frames=HierarchicalFrames(CUTOFF, preset="lean"))


MUTANTS: dict[str, Mutant] = {
    "quadrature": Mutant(
        lambda: Symmetrizer(DeepSet(), frames=QuadratureFrames(degree=5)), CLAIM, TURNED
    ),
    "random rotations": Mutant(
        lambda: Symmetrizer(DeepSet(), frames=RandomFrames(ROTATIONS)), CLAIM, TURNED
    ),
    "rotations drawn anew": Mutant(DrawnAnew, CLAIM, frozenset({"determinism"}), COMPARED),
    # what one fragment is turned by depends on the other, however far
    "frames pooled over fragments": Mutant(
        pooled_frames, CONTRACT, frozenset({"size extensivity", "locality"})
    ),
}
