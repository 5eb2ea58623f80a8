"""Averages over frames that turn exactly with a generic cloud, and jump where it is special.

Tests at random clouds do not tell them from smooth and exact averages.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from equivariance_tests.mutants.averaged import OUTPUTS, DeepSet
from equivariance_tests.mutants.mutant import Mutant
from equivariance_tests.mutants.pairs import all_pairs
from symmetrize import Contract, Ensemble, FrameAveraging, Frames, Symmetrizer, cutoff_switch
from symmetrize.arrays import segment_sum
from symmetrize.frames import Vectors, assemble, mirrored
from symmetrize.groups import Group, has_reflections

# Distance from the centroid below which a point has less weight, and none at all at the centroid
CORE = 0.5
# Squared sine of an angle above which two directions are far from collinear
SINE = 0.1
BEST = 4

Weigh = Callable[[Float[Tensor, "pairs"], Int[Tensor, "pairs"]], Float[Tensor, "pairs"]]


class OfPairs(Frames):
    """One frame for each ordered pair of points: x along the first, y toward the second.

    Under O(3) each comes with its mirror image. A cloud without frames is answered by the
    invariant part alone.

    Args:
        weigh: weights from the squared sines of pairs and the clouds that they belong to.
    """

    def __init__(self, weigh: Weigh) -> None:
        self.weigh = weigh

    def of_clouds(self, cloud: Vectors, group: Group, degree: int) -> Ensemble:
        """The frames of each cloud."""
        length = cloud.lengths
        safe = torch.where(length > 0, length, 1.0)
        directions = cloud.vectors / safe[:, None]
        presence = 1 - cutoff_switch(length, CORE, CORE)
        one, other = all_pairs(cloud.index, cloud.size)
        normal = torch.linalg.cross(directions[one], directions[other])
        squared_sine = normal.square().sum(-1)
        weights = self.weigh(squared_sine, cloud.index[one]) * presence[one] * presence[other]
        kept = torch.nonzero((weights > 0) & (squared_sine > 0))[:, 0]
        x, z = directions[one[kept]], normal[kept] / squared_sine[kept].sqrt()[:, None]
        rotations = torch.stack([x, torch.linalg.cross(z, x), z], -1)
        return ensemble(rotations, weights[kept], cloud.index[one[kept]], cloud.size, group)


class SignedAxes(Frames):
    """Principal axes, each pointing to where the cloud has its long tail."""

    def of_clouds(self, cloud: Vectors, group: Group, degree: int) -> Ensemble:
        """One frame for each cloud, improper for half of them."""
        products = cloud.vectors[:, :, None] * cloud.vectors[:, None, :]
        axes = torch.linalg.eigh(segment_sum(products, cloud.index, cloud.size)).eigenvectors
        along = torch.einsum("pc,pca->pa", cloud.vectors, axes[cloud.index])
        skew = segment_sum(along**3, cloud.index, cloud.size).detach()
        axes = axes * torch.where(skew < 0, -1.0, 1.0)[:, None, :].to(axes)
        owner = torch.arange(cloud.size, device=axes.device)
        return ensemble(axes, torch.ones_like(axes[:, 0, 0]), owner, cloud.size, "SO(3)")


def ensemble(
    rotations: Float[Tensor, "frames 3 3"],
    weights: Float[Tensor, "frames"],
    owner: Int[Tensor, "frames"],
    size: int,
    group: Group,
) -> Ensemble:
    """Frames and their mirror images alike; owners without any have the invariant part."""
    if has_reflections(group):
        rotations, weights, owner = mirrored(rotations, weights, owner, torch.zeros_like(weights))
    alone = (torch.bincount(owner, minlength=size) == 0).to(weights.dtype)
    return assemble(rotations, weights, owner, size, isotropic=alone)


def all_alike(squared_sine: Tensor, owner: Tensor) -> Tensor:
    """Every pair has a frame, but collinear ones, which have none."""
    return torch.ones_like(squared_sine)


def by_area(squared_sine: Tensor, owner: Tensor) -> Tensor:
    """Collinear pairs fade; where all pairs do, their ratios have no limit."""
    return squared_sine


def best_only(squared_sine: Tensor, owner: Tensor) -> Tensor:
    """The pairs nearest to a right angle; which ones these are changes all at once."""
    order = torch.argsort(squared_sine, descending=True, stable=True)
    order = order[torch.argsort(owner[order], stable=True)]
    number = torch.bincount(owner)
    first = (number.cumsum(0) - number)[owner[order]]
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device) - first
    far = 1 - cutoff_switch(squared_sine, SINE, SINE)
    return far * (rank < BEST)


def _averaged(frames: Frames) -> Symmetrizer:
    return Symmetrizer(DeepSet(), frames=frames)


CLAIM = Contract(OUTPUTS)
# At special clouds rounding decides on frames: turned, moved or in another order, they have others
DECIDED = frozenset(
    {"equivariance", "parity", "stabilizer", "permutation", "translation", "stratum approach"}
)
# The derivatives of what jumps are as wrong, where the cases of those checks come near enough
NEARBY = frozenset({"Lie derivative", "gradients", "work closure", "path scan"})
MUTANTS: dict[str, Mutant] = {
    # the derivative of an eigenvector divides by the difference of eigenvalues
    "principal axes with signs": Mutant(
        lambda: _averaged(SignedAxes()), CLAIM, DECIDED | {"path scan", "finiteness"}, NEARBY
    ),
    "frame averaging": Mutant(
        lambda: _averaged(FrameAveraging()), CLAIM, DECIDED | {"finiteness"}, NEARBY
    ),
    "frames of collinear pairs": Mutant(
        lambda: _averaged(OfPairs(all_alike)), CLAIM, DECIDED, NEARBY
    ),
    "frames without a limit": Mutant(lambda: _averaged(OfPairs(by_area)), CLAIM, DECIDED, NEARBY),
    "best frames only": Mutant(
        lambda: _averaged(OfPairs(best_only)), CLAIM, DECIDED | {"path scan"}, NEARBY
    ),
}
