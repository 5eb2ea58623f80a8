"""Clouds whose points keep apart, for models that stand from a least distance on.

A cloud of a stratum stays in it as it grows: where its points are too close it is made larger by a
factor that keeps its coordinates short. Where a length counts, the cutoff or that of a cell, points
are left out instead. Where neither is enough, as for points in one place, there is no such cloud.
Periodic images are points like others.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from equivariance_tests.clouds.structure import Structure

# Clouds are made no larger than by this factor; factors are multiples of a quarter
LARGEST, QUARTER = 16.0, 4.0


class Pairs(NamedTuple):
    """Pairs of points, one of them perhaps an image, and the vector from one to the other."""

    one: Int[Tensor, "pairs"]
    other: Int[Tensor, "pairs"]
    vectors: Float[Tensor, "pairs 3"]


class Fit(NamedTuple):
    """Which points of a cloud are kept, and by which factor all are moved apart."""

    kept: list[int]
    factor: float


def pairs_within(
    points: Float[Tensor, "points 3"],
    cell: Float[Tensor, "3 3"] | None,
    pbc: Bool[Tensor, "3"] | None,
    radius: float,
) -> Pairs:
    """All pairs of points, with all images that may be closer than a radius.

    >>> one = torch.zeros(1, 3, dtype=torch.float64)
    >>> cell, pbc = 2.0 * torch.eye(3, dtype=torch.float64), torch.tensor([True, False, False])
    >>> pairs_within(one, cell, pbc, 2.5).vectors.norm(dim=1).min()
    tensor(2., dtype=torch.float64)
    """
    number = len(points)
    one, other = torch.triu_indices(number, number, 1)
    vectors = points[other] - points[one]
    if cell is None or pbc is None or not bool(pbc.any()):
        return Pairs(one, other, vectors)
    periods = cell[pbc]
    back = torch.linalg.pinv(periods)
    every = torch.arange(number)
    one, other = torch.cat([one, every]), torch.cat([other, every])
    vectors = torch.cat([vectors, torch.zeros_like(points)])
    # to the nearest image, about; then all that may be as close
    vectors = vectors - (vectors @ back).round() @ periods
    most = [math.ceil(radius * float(column.norm()) + 0.5) for column in back.T]
    steps = itertools.product(*(range(-n, n + 1) for n in most))
    shifts = torch.tensor(list(steps), dtype=torch.float64)
    images = vectors[:, None] + shifts @ periods
    itself = (one == other)[:, None] & (shifts == 0).all(1)
    pair, image = (~itself).nonzero(as_tuple=True)
    return Pairs(one[pair], other[pair], images[pair, image])


def least_distance(structure: Structure, radius: float) -> float:
    """Between two points, images among them; infinite if there is none within the radius."""
    found = pairs_within(structure.positions, structure.cell, structure.pbc, radius)
    least = min(found.vectors.norm(dim=1).tolist(), default=math.inf)
    return least if least <= radius else math.inf


def closest(
    structure: Structure, velocity: Tensor, low: float, high: float, radius: float
) -> float:
    """Least distance of two points on a path ``pos + t * velocity``; infinite beyond the radius."""
    found = closest_pairs(structure, velocity, low, high, radius)
    least = min(found[2].tolist(), default=math.inf)
    return least if least <= radius else math.inf


def closest_pairs(
    structure: Structure, velocity: Tensor, low: float, high: float, radius: float
) -> tuple[Int[Tensor, "pairs"], Int[Tensor, "pairs"], Float[Tensor, "pairs"]]:
    """All pairs, and how close each comes on a path."""
    reach = radius + 2 * max(abs(low), abs(high)) * float(velocity.norm(dim=1).max())
    one, other, apart = pairs_within(structure.positions, structure.cell, structure.pbc, reach)
    along = velocity[other] - velocity[one]
    speed = along.square().sum(1)
    when = -(apart * along).sum(1) / torch.where(speed > 0, speed, 1.0)
    nearest = apart + when.clamp(low, high)[:, None] * along
    return one, other, nearest.norm(dim=1)


def fitted(structure: Structure, distance: float, thinned: bool, scaled: bool) -> Fit | None:
    """How the points of a structure get to be a distance apart; None if they do not.

    Args:
        structure: of any stratum.
        distance: that all points, and images, are to be apart.
        thinned: whether points may be left out, but for the first and the last one.
        scaled: whether the structure may be made larger.
    """
    kept = list(range(len(structure)))
    if thinned:
        kept = _thinned(structure, distance)
    few = structure.permuted(torch.tensor(kept, dtype=torch.long))
    least = least_distance(few, distance)
    # what is a factor of one apart but for rounding stays as it is
    if least >= distance * (1 - 1e-9):
        return Fit(kept, 1.0)
    factor = math.ceil(QUARTER * distance / least) / QUARTER if least > 0 else math.inf
    return Fit(kept, factor) if scaled and factor <= LARGEST else None


def _thinned(structure: Structure, distance: float) -> list[int]:
    """The first and the last point, and of the others those that are apart from all before."""
    number = len(structure)
    near = pairs_within(structure.positions, structure.cell, structure.pbc, distance)
    close = torch.zeros(number, number, dtype=torch.bool)
    short = near.vectors.norm(dim=1) < distance * (1 - 1e-9)
    close[near.one[short], near.other[short]] = True
    close |= close.T.clone()
    close.fill_diagonal_(False)
    kept = sorted({0, number - 1} & set(range(number)))
    if structure.pbc is not None and bool(structure.pbc.any()):
        kept = kept[:1]
    for point in range(number):  # each depends on those before
        if point not in kept and not bool(close[point, kept].any()):
            kept.append(point)
    return sorted(kept)
