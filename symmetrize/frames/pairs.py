"""Frames from neighbor pairs: the published ensemble, with its faults repaired.

One frame for each ordered pair of neighbors (j, j') of a center: x along r_j, z along r_j times
r_j', y = z times x, as columns: ``positions @ frame`` expresses row vectors in it. With `step` the
C-infinity step from 0 to 1, switch_off(r, R) = step((R - r) / width) and u_j = r_j / |r_j|, a pair
weighs

    w_jj' = a_j a_j' switch_off(r_j, R_in) switch_off(r_j', R_in) q(|u_j x u_j'|^2)
    q(z)  = step((z - (omega - omega_width)) / omega_width)
    a_j   = switch_off(r_j, cutoff) step(r_j / width)

q removes collinear pairs, R_in distant ones. It adapts to the neighbors:

    R_in = width + SmoothMin{ cutoff                      with weight 1,
                              SmoothMax(r_j, r_j') + T    with weight b_j b_j' step((z - omega)
                                                                               / omega_width) }

SmoothMax is the Boltzmann average sum x e^(beta x) / sum e^(beta x), SmoothMin the same with -beta,
and T = W(1/e) / beta (Lambert's W) the most by which the average of two lies below their maximum.
So the nearest pair that counts fully in R_in also counts fully as a frame: the switches of R_in are
the stricter ones, b_j = switch_off(r_j, cutoff) step(r_j / width - 1).

The published z axis is the y axis here and its third axis is -z: the same frames turned by one
fixed rotation, which no average over them can see.

Repaired: a_j is not part of the published weight. R_in exceeds the cutoff where no pair is good, so
that a neighbor could enter with a full weight; and u_j has no limit at the center, so that a
neighbor there gave NaN. Nothing is drawn at random, and all structures of a batch go together.

Source: Pozdnyakov and Ceriotti, arXiv 2305.19302, section 4 and its public implementation.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from symmetrize.arrays.segments import join, segment_sum
from symmetrize.arrays.switching import cutoff_switch, ramp, step
from symmetrize.frames.base import Frames
from symmetrize.frames.ensemble import Ensemble, assemble
from symmetrize.frames.mirror import WIDTH, chirality, mirrored
from symmetrize.groups import Group, has_reflections
from symmetrize.points.cloud import Points, Vectors
from symmetrize.points.environments import neighbor_environments

# W(1/e) of Lambert's W: the maximum of x / (1 + e^x)
LAMBERT_W = 0.2784645427610738
# e^(beta cutoff) and its cube, which second derivatives need, must fit into a float64
LARGEST_EXPONENT = 200.0
# Frames below this weight are left out: second derivatives divide by the cube of a sum of weights
NEGLIGIBLE = 1e-100
# A window may end this far above 1, as sums of decimal fractions do
ROUNDING = 1e-12


@dataclass(frozen=True)
class Pruning:
    """How frames of small weight are removed, smoothly.

    A frame of weight w keeps the part step((w / m - ``threshold``) / ``width``) of it, m the soft
    maximum of the weights of its owner, in each of ``rounds`` rounds. As m falls from ``full`` to
    ``off``, measured before the first round, pruning is switched off.

    Source: the public implementation of arXiv 2305.19302, whose defaults these are.
    """

    threshold: float = 0.9
    width: float = 0.1
    rounds: int = 4
    off: float = 0.25
    full: float = 0.5

    def __post_init__(self) -> None:
        if not (0 < self.threshold < 1 and 0 < self.width <= 1 - self.threshold + ROUNDING):
            raise ValueError(
                f"the pruning window is {self.threshold} to {self.threshold + self.width} but must "
                "lie in (0, 1]: above 1 it could remove every frame"
            )
        if not 0 < self.off < self.full:
            raise ValueError(
                f"pruning is off below {self.off} and full above {self.full}: these must be "
                "positive and ascend"
            )


PUBLISHED_PRUNING = Pruning()


class PairFrames(Frames):
    """ECSE, the equivariant coordinate system ensemble of arXiv 2305.19302.

    Group SO(3), and O(3) by mirror images (``symmetrize.frames.mirror``, not in the paper). Exact.
    C-infinity everywhere with an ``auxiliary`` model; without one only where some pair of neighbors
    is far from collinear, as weights are divided by a sum that is not bounded away from zero.
    Number of frames: at most n (n - 1) for n neighbors, few for each center after pruning, and up
    to twice that under O(3). Scores of points play no role.

    What is inherent to these frames, and gone in ``HierarchicalFrames``:

    - Atoms, dimers and linear molecules have no frame. They depend wholly on the ``auxiliary``
      model; without one they raise a ValueError.
    - Without one the average has no limit as a cloud becomes collinear: the pair whose weight
      vanishes last decides alone, and which one that is depends on the way there.
    - For structures the frames of all centers are pooled and normalized together: the average is
      not additive over distant fragments, and one fragment decides the frames of the other. Use
      these frames for centers where additivity matters.

    Args:
        cutoff: radius of the environment, in the unit of the data.
        beta: sharpness of SmoothMin and SmoothMax, inverse length: larger values take fewer frames
            and change weights faster. ``beta * cutoff`` is at most 200.
        width: of the switches at ``cutoff`` and R_in. Neighbors closer than this to the center
            fade out, too.
        omega, omega_width: squared sine of the angle between neighbors above which a pair has its
            full weight, and the range over which it gets there.
        linear_factor: multiply q(z) by (z - (omega - omega_width)) / omega_width, which prefers
            right angles, as the public implementation does by default.
        prune: how frames of small weight are removed; None keeps them all.
        auxiliary: a model that is equivariant by itself, for owners without good frames. Its weight
            is 1 where the soft maximum of the pair weights is below
            ``auxiliary_threshold - auxiliary_width`` and 0 above ``auxiliary_threshold``.
        auxiliary_threshold, auxiliary_width: see above.
        weight_beta: sharpness of the soft maximum of weights, for ``prune`` and ``auxiliary``.
        mirror_width: chirality at which a frame needs no mirror image, under O(3).

    >>> frames = PairFrames(cutoff=4.0)
    >>> bent = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    >>> len(frames(bent, group="SO(3)"))
    2
    """

    cutoff: float

    def __init__(
        self,
        cutoff: float,
        *,
        beta: float = 5.0,
        width: float = 0.15,
        omega: float = 0.2,
        omega_width: float = 0.15,
        linear_factor: bool = True,
        prune: Pruning | None = PUBLISHED_PRUNING,
        auxiliary: Callable | None = None,
        auxiliary_threshold: float = 0.5,
        auxiliary_width: float = 0.5,
        weight_beta: float = 1.0,
        mirror_width: float = WIDTH,
    ) -> None:
        if not 0 < width <= cutoff / 2:
            raise ValueError(
                f"`width` is {width} but must lie in (0, {cutoff / 2}]: a zero width makes the "
                "output jump at the cutoff, and neighbors must be able to count fully between the "
                "center and the cutoff"
            )
        if not (0 < omega_width <= omega and omega + omega_width <= 1):
            raise ValueError(
                f"`omega` is {omega} and `omega_width` {omega_width}, but omega - omega_width must "
                "be at least 0 and omega + omega_width at most 1, the squared sine of a right angle"
            )
        if not 0 < beta * cutoff <= LARGEST_EXPONENT:
            raise ValueError(
                f"`beta` times `cutoff` is {beta * cutoff} but must lie in "
                f"(0, {LARGEST_EXPONENT}]: its exponential overflows"
            )
        if not 0 < auxiliary_width <= auxiliary_threshold:
            raise ValueError(
                f"`auxiliary_width` is {auxiliary_width} but must lie in (0, {auxiliary_threshold}]"
                ", up to `auxiliary_threshold`: without frames the auxiliary weight must be 1"
            )
        self.cutoff = cutoff
        self.beta = beta
        self.width = width
        self.omega = omega
        self.omega_width = omega_width
        self.linear_factor = linear_factor
        self.prune = prune
        self.auxiliary = auxiliary
        self.auxiliary_threshold = auxiliary_threshold
        self.auxiliary_width = auxiliary_width
        self.weight_beta = weight_beta
        self.mirror_width = mirror_width

    def smoothness(self, degree: int) -> int | float | None:
        """All derivatives with an auxiliary model; no claim without one."""
        return None if self.auxiliary is None else math.inf

    def of_clouds(self, cloud: Vectors, group: Group, degree: int) -> Ensemble:
        """The ensemble of each cloud; ``degree`` plays no role."""
        own = torch.arange(cloud.size, device=cloud.index.device)
        return self.pooled(cloud, own, cloud.size, group)

    def of_structures(self, structures: Points, group: Group, degree: int) -> Ensemble:
        """The ensemble of each structure, pooled from the environments of all its points."""
        environments = neighbor_environments(structures, self.cutoff)
        return self.pooled(environments, structures.batch, structures.size, group)

    def pooled(
        self, cloud: Vectors, owner: Int[Tensor, "centers"], size: int, group: Group
    ) -> Ensemble:
        """One ensemble from the frames of many centers, normalized together.

        Args:
            cloud: the environments of the centers.
            owner: (C,) ensemble that the frames of each center belong to.
            size: number of ensembles.
            group: "O(3)" or "SO(3)".
        """
        rotations, weights, center = self.weighted_frames(cloud)
        best = soft_maximum(weights, owner[center], size, self.weight_beta)
        aside = None
        if self.auxiliary is not None:
            aside = cutoff_switch(best, self.auxiliary_threshold, self.auxiliary_width)
        if self.prune is not None:
            weights = pruned(weights, owner[center], best, self.weight_beta, self.prune)
        if has_reflections(group):
            kept = torch.nonzero(weights > 0)[:, 0]
            rotations, weights, center = rotations[kept], weights[kept], center[kept]
            chi = chirality(cloud, rotations, center)
            rotations, weights, center = mirrored(
                rotations, weights, center, chi, self.mirror_width
            )
        return assemble(rotations, weights, owner[center], size, auxiliary=aside)

    def weighted_frames(
        self, cloud: Vectors
    ) -> tuple[Float[Tensor, "frames 3 3"], Float[Tensor, "frames"], Int[Tensor, "frames"]]:
        """Frames that count, their weights before pruning and their centers."""
        lengths = cloud.lengths
        near, fade = lengths / self.width, cutoff_switch(lengths, self.cutoff, self.width)
        # vectors of weight zero go first: the rest has lengths that can be divided by
        vector = torch.nonzero(fade * step(near) > 0)[:, 0]
        lengths, near, fade = lengths[vector], near[vector], fade[vector]
        index = cloud.index[vector]
        directions = cloud.vectors[vector] / lengths[:, None]

        one, other = join(index, index, cloud.size)
        once = one < other
        one, other = one[once], other[once]
        center = index[one]
        cross = torch.linalg.cross(directions[one], directions[other])
        squared_sine = cross.square().sum(-1)

        choice = fade * step(near - 1)
        inner = self.inner_cutoff(
            smooth_maximum(lengths[one], lengths[other], self.beta),
            choice[one]
            * choice[other]
            * ramp(squared_sine, self.omega, self.omega + self.omega_width),
            center,
            cloud.size,
        )
        weights = self.collinearity_switch(squared_sine)
        for member in (one, other):
            weights = weights * fade[member] * step(near[member])
            weights = weights * cutoff_switch(lengths[member], inner[center], self.width)

        kept = torch.nonzero(weights > NEGLIGIBLE)[:, 0]
        one, other, weights, center = one[kept], other[kept], weights[kept], center[kept]
        normal = cross[kept] / squared_sine[kept].sqrt()[:, None]
        x, z = torch.cat([directions[one], directions[other]]), torch.cat([normal, -normal])
        rotations = torch.stack([x, torch.linalg.cross(z, x), z], -1)
        return rotations, torch.cat([weights, weights]), torch.cat([center, center])

    def inner_cutoff(
        self,
        reach: Float[Tensor, "pairs"],
        weights: Float[Tensor, "pairs"],
        center: Int[Tensor, "pairs"],
        size: int,
    ) -> Float[Tensor, "size"]:
        """R_in of each center, from the soft maximum of the two lengths of each pair."""
        reach = reach + LAMBERT_W / self.beta
        # the cutoff, which is always there, has the factor 1: the sum is at least that
        factors = weights * (self.beta * (self.cutoff - reach)).exp()
        top = self.cutoff + segment_sum(factors * reach, center, size)
        return self.width + top / (1 + segment_sum(factors, center, size))

    def collinearity_switch(self, squared_sine: Float[Tensor, "pairs"]) -> Float[Tensor, "pairs"]:
        """The factor q of the squared sine of the angle between two neighbors."""
        scaled = (squared_sine - self.omega) / self.omega_width + 1
        return step(scaled) * scaled if self.linear_factor else step(scaled)


def smooth_maximum(
    a: Float[Tensor, "pairs"], b: Float[Tensor, "pairs"], beta: float
) -> Float[Tensor, "pairs"]:
    """Boltzmann average of two, at most W(1/e) / beta below the larger one."""
    return b + (a - b) * torch.sigmoid(beta * (a - b))


def soft_maximum(
    weights: Float[Tensor, "frames"], index: Int[Tensor, "frames"], size: int, beta: float
) -> Float[Tensor, "size"]:
    """Sum w^2 e^(beta w) / sum w e^(beta w) for each owner, 0 for an owner without frames.

    Never above the largest weight.
    """
    factors = weights * (beta * weights).exp()
    bottom = segment_sum(factors, index, size)
    present = bottom > 0
    top = segment_sum(factors * weights, index, size)
    return torch.where(present, top / torch.where(present, bottom, 1.0), 0.0)


def pruned(
    weights: Float[Tensor, "frames"],
    index: Int[Tensor, "frames"],
    best: Float[Tensor, "size"],
    beta: float,
    pruning: Pruning,
) -> Float[Tensor, "frames"]:
    """Weights after all rounds of pruning; ``best`` is their soft maximum before."""
    strength = ramp(best, pruning.off, pruning.full)[index]
    for _ in range(pruning.rounds):
        maximum = soft_maximum(weights, index, len(best), beta)[index]
        kept = ramp(weights / maximum, pruning.threshold, pruning.threshold + pruning.width)
        # as 1 - strength * (1 - kept) parts below 1e-16 would end at once, derivatives and all
        weights = weights * ((1 - strength) + strength * kept)
    return weights
