"""Random clouds by a seed, from the ranges of the strategies, without Hypothesis."""

from collections.abc import Iterator, Sequence

import numpy as np

from equivariance_tests.clouds import Cloud
from equivariance_tests.clouds.clusters import CLUSTERS
from equivariance_tests.clouds.crystals import CRYSTALS
from equivariance_tests.clouds.rattled import DISTANCES, PERFECT
from equivariance_tests.clouds.strata import FINITE
from equivariance_tests.clouds.strategies import ORIENTATIONS
from symmetrize import Contract

# Which clouds of a stratum: more than a strategy has, so that few are drawn twice
SEEDS = 10_000
# One cloud in so many is of another size, and one in so many is far from the origin. Further out
# functions of r^2 are lost in rounding, by more than their slope over finite displacements tells
RARELY, SCALES, OFFSET = 12, (3, -3), 3
# Of clouds of more points than this, which take most of the time, one in so many is tried, too
LARGE = {name for name, points in CLUSTERS.items() if len(points) > 24}


def drawn(
    contract: Contract, seed: int | Sequence[int], points: int, decorated: bool
) -> Iterator[Cloud]:
    """Clouds without end, the same ones for the same seed.

    Args:
        contract: crystals are drawn if it is periodic.
        seed: which clouds.
        points: their largest number, about: some strata have their own.
        decorated: whether species and inputs may differ from point to point.

    >>> from itertools import islice
    >>> clouds = list(islice(drawn(Contract("0e"), seed=0, points=8, decorated=False), 1000))
    >>> len(set(clouds)) > 950, max(cloud.number for cloud in clouds)
    (True, 8)
    """
    rng = np.random.default_rng(seed)
    strata = (*FINITE, *CRYSTALS) if contract.periodic else tuple(FINITE)
    while True:
        stratum = strata[rng.integers(len(strata))]
        if stratum in LARGE and rng.integers(RARELY):
            continue
        # the number of neighbors in a crystal grows with its density
        scaled = rng.integers(RARELY) == 0 and stratum not in CRYSTALS
        yield Cloud(
            stratum,
            int(rng.integers(1, points + 1)),
            int(rng.integers(SEEDS)),
            ORIENTATIONS[rng.integers(len(ORIENTATIONS))],
            SCALES[rng.integers(len(SCALES))] if scaled else 0,
            OFFSET if rng.integers(RARELY) == 0 else 0,
            bool(decorated and rng.integers(2)),
            rattled=(0.0, *DISTANCES)[rng.integers(1 + len(DISTANCES)) * (stratum in PERFECT)],
        )
