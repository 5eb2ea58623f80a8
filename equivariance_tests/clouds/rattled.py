"""Clouds next to a symmetric one: every point is moved a little, in a direction of its own.

What is equal in a perfect crystal, a cluster or a solid, distances, directions, moments, is nearly
equal there: many things tie, and what tells them apart is as small as the displacements.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from equivariance_tests.clouds.clusters import CLUSTERS
from equivariance_tests.clouds.crystals import CELLS
from equivariance_tests.clouds.solids import SOLIDS

# Strata of many symmetries, which are also tried rattled
PERFECT = (*SOLIDS, *CLUSTERS, *CELLS)
# How far points are moved, where neighbors are 1 to 2 apart: from rounding to what melts a crystal
DISTANCES = (1e-12, 1e-9, 1e-6, 1e-4, 1e-3, 1e-2, 0.05, 0.3)
# Seeds of a cloud are also those of its points
STREAM = 60


def rattled(
    points: Float[Tensor, "points 3"], distance: float, seed: int
) -> Float[Tensor, "points 3"]:
    """Each point moved by a distance in a random direction.

    >>> moved = rattled(torch.zeros(2, 3, dtype=torch.float64), 0.5, seed=1)
    >>> moved.norm(dim=1)
    tensor([0.5000, 0.5000], dtype=torch.float64)
    """
    drawn = np.random.default_rng([STREAM, seed]).standard_normal((len(points), 3))
    away = torch.from_numpy(drawn)
    return points + distance * away / away.norm(dim=1, keepdim=True)
