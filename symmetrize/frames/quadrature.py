"""Fixed rotations that integrate over the group: a Lebedev rule times a circle.

A rotation R is a point R e_z of the sphere and a turn about e_z before it. Turns by 2 pi k / K,
k = 0 to K - 1, average every Wigner matrix entry D^l_mn with 0 < |n| < K to zero; D^l_m0 is a
spherical harmonic of R e_z, which a Lebedev rule of order L averages to zero for 0 < l <= L.

Source: Lebedev and Laikov, Doklady Mathematics 59, 477 (1999), as in ``scipy.integrate``.
"""

import functools
import math

import torch
from jaxtyping import Float
from torch import Tensor

from symmetrize.frames.base import Frames
from symmetrize.frames.ensemble import Ensemble, assemble
from symmetrize.groups import (
    GROUPS,
    Group,
    has_reflections,
    is_axial,
    reflection_along,
    turns_about,
)
from symmetrize.points.cloud import Vectors

# Orders of the rules of Lebedev and Laikov without negative weights.
LEBEDEV_ORDERS = (
    *(3, 5, 7, 9, 11, 15, 17, 19, 21, 23, 29, 31, 35, 41, 47, 53, 59, 65, 71, 77, 83, 89, 95),
    *(101, 107, 113, 119, 125, 131),
)


class QuadratureFrames(Frames):
    """The same rotations for every cloud: a quadrature rule of the group.

    Averages exactly every function of the rotation with angular content up to ``degree``. So the
    output of rank l of a network is exactly equivariant if, as a function of the orientation of its
    input, it has angular content up to ``degree - l``. No ordinary network is that band-limited:
    the error falls with the degree, but at a fixed degree it is of the network and not of rounding.

    Group SO(3), and O(3) with every rotation also inverted; about an axis ``degree`` + 1 turns, and
    under O(2) their reflections. Not exact. As smooth as the network.
    Number of rotations: (points of the Lebedev rule) x (``degree`` + 1), twice that under O(3):

        degree      1   2   3   5    7    9    11
        SO(3)      12  18  24  84   208  380  600

    A rule for products of two Wigner matrices of the same l needs ``degree`` = 2 l. (metatomic uses
    2 l + 1 angles where l + 1 suffice, and the rule of order l: 84 rotations, inversions included,
    for l = 3, of a rule whose degree is 3.)

    Args:
        degree: 1 to 131.
        cutoff: radius of the environment of a center, for scope "center".

    Raises:
        ValueError: if there is no rule of that degree.
    """

    is_exact = False
    fixed = True
    groups = GROUPS

    def __init__(self, degree: int = 5, cutoff: float | None = None) -> None:
        if not 1 <= degree <= LEBEDEV_ORDERS[-1]:
            raise ValueError(
                f"`degree` is {degree} but must lie in 1 to {LEBEDEV_ORDERS[-1]}: there "
                "are no Lebedev rules of higher order"
            )
        self.degree = degree
        self.cutoff = cutoff

    def smoothness(self, degree: int) -> int | float:
        """All derivatives: the rotations do not depend on the cloud."""
        return math.inf

    def of_clouds(self, cloud: Vectors, group: Group, degree: int) -> Ensemble:
        """The rotations, once for each cloud; ``degree`` plays no role."""
        size, device, axis = cloud.size, cloud.vectors.device, cloud.axis
        if is_axial(group) and axis is not None:
            angles = torch.arange(self.degree + 1, dtype=torch.float64) / (self.degree + 1)
            rotations = turns_about(axis.seen, 2 * math.pi * angles)
            weights, reflection = torch.ones_like(angles), reflection_along(axis.seen)
        else:
            rotations, weights = rule(self.degree)
            reflection = -torch.eye(3, dtype=rotations.dtype)
        if has_reflections(group):
            rotations = torch.cat([rotations, rotations @ reflection])
            weights = torch.cat([weights, weights])
        index = torch.arange(size, device=device).repeat_interleave(len(weights))
        rotations = rotations.to(device).repeat(size, 1, 1)
        if axis is not None:
            rotations = axis.upright[index] @ rotations
        return assemble(rotations, weights.to(device).repeat(size), index, size)


@functools.cache
def rule(degree: int) -> tuple[Float[Tensor, "rotations 3 3"], Float[Tensor, "rotations"]]:
    """Rotations and weights (sum 1) that average D^l to zero for 0 < l <= ``degree``."""
    # here and not above: these take longer to import than the rest of the package
    from scipy.integrate import lebedev_rule
    from scipy.spatial.transform import Rotation

    points, weights = lebedev_rule(next(order for order in LEBEDEV_ORDERS if order >= degree))
    turns = degree + 1
    sphere = torch.from_numpy(points).T
    azimuth = torch.atan2(sphere[:, 1], sphere[:, 0])
    polar = torch.atan2(torch.hypot(sphere[:, 0], sphere[:, 1]), sphere[:, 2])
    turn = torch.arange(turns, dtype=torch.float64) * (2 * torch.pi / turns)
    angles = torch.cat(
        [
            torch.stack([azimuth, polar], -1).repeat_interleave(turns, 0),
            turn.repeat(len(sphere))[:, None],
        ],
        -1,
    )
    matrices = Rotation.from_euler("ZYZ", angles.numpy()).as_matrix()
    weight = torch.from_numpy(weights).repeat_interleave(turns)
    return torch.from_numpy(matrices), weight / weight.sum()
