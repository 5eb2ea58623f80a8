"""Does the output, or a derivative of it, break on a straight path through a degenerate cloud?

In generic directions. Through what is nearly symmetric, a rattled crystal or cluster, paths are as
long as its points are moved: all that changes there does so within that length.
"""

from __future__ import annotations

import torch

from equivariance_tests.checks.path_law import LENGTHS, Path, PathLaw, keeps_apart
from equivariance_tests.clouds import Cloud
from equivariance_tests.clouds.cases import degenerate, rattled_clouds
from equivariance_tests.measure.orders import MOST_POINTS
from equivariance_tests.measure.trial import SEED, Trial
from symmetrize import Contract

# Where paths end: not symmetric about the cloud, which then is neither at an end nor at the middle
ENDS = (-0.35, 0.45)
# Where points have to keep apart: lengths of paths, and directions drawn for each length
DRAWS = 16
# Strata through which paths always go
THROUGH = (
    "generic",
    "pair",
    "line",
    "plane",
    "pyramid",
    "ties",
    "point and copy",
    "on the centroid",
    "antiparallel",
    "tetrahedron",
)
# Solids, clusters and crystals through which paths go, and past which they go at this distance
SYMMETRIC = (
    *("cuboctahedron", "icosahedron and center", "C60"),
    *("bcc cell", "fcc cell", "diamond cell", "rock salt cell"),
)
PAST = 1e-2
# Paths past a cloud are as long as it is rattled, but no shorter than this: the last digits of
# coordinates would show
SHORTEST = 1e-3


class PathScan(PathLaw):
    """No break of the output, its gradient or Hessian on a path through each stratum."""

    name = "path scan"
    claim = "smoothness"
    law = "F, its gradient and Hessian are as smooth as declared along paths"
    part = 28
    telling = ("fcc cell", "generic", "point and copy", "line", "pyramid", "antiparallel", "ties")

    def cases(self, contract: Contract) -> list[Cloud]:
        """A path through a cloud on each stratum, and past those that are symmetric."""
        through = [one for one in degenerate(contract) if one.stratum in (*THROUGH, *SYMMETRIC)]
        past = [one for one in rattled_clouds(contract) if one.stratum in SYMMETRIC]
        return through + [one for one in past if one.rattled == PAST]

    def path(self, trial: Trial, cloud: Cloud) -> Path | None:
        """The path that belongs to a cloud; None if it has none."""
        structure = trial.setting.structure(cloud)
        few = len(structure) <= MOST_POINTS or cloud.stratum in SYMMETRIC
        if not (few and len(structure)):
            return None
        generator = torch.Generator().manual_seed(SEED + cloud.seed)
        shape = structure.positions.shape
        unit, least = trial.setting.unit, trial.contract.min_distance
        reach = unit * (max(cloud.rattled, SHORTEST) if cloud.rattled else 1.0)
        for length in LENGTHS if least is not None else LENGTHS[:1]:
            for _ in range(DRAWS):
                drawn = torch.randn(shape, dtype=torch.float64, generator=generator)
                velocity = length * reach * drawn
                if least is None or keeps_apart(structure, velocity, *ENDS, least):
                    return Path(structure, velocity, *ENDS)
        return None
