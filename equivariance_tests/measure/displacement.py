"""A displacement of all points, along which derivatives are looked at."""

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from equivariance_tests.clouds import Structure
from equivariance_tests.measure.trial import SEED, Trial


def displacement(trial: Trial, structure: Structure, seed: int = 0) -> Float[Tensor, "points 3"]:
    """A random displacement of all points, about as long as the cloud is large.

    Twice as short as what brings points closer than the contract says, where it has a distance.
    Numbers are small multiples of a power of two, to be printed and read.
    """
    single = len(structure) == 0 or bool((structure.positions == structure.positions[0]).all())
    length = trial.setting.unit if single else structure.extent
    rng = np.random.default_rng([SEED, seed])
    steps = torch.from_numpy(rng.integers(-4, 5, size=(len(structure), 3)) / 4.0)
    power = round(math.log2(length))
    if trial.setting.room < math.inf:
        power = min(power, math.floor(math.log2(trial.setting.room / 2)))
    return steps * 2.0**power
