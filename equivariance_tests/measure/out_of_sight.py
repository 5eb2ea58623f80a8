"""Structures out of sight of each other: beside a cloud, and at the ends of chains of points."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from equivariance_tests.clouds import Cloud, Structure
from equivariance_tests.measure.trial import Trial
from symmetrize import Contract

# Just beyond reach, where what is left of an interaction is largest
BEYOND_REACH = 1 + 2.0**-10
FAR_POINT = Cloud("atom")
# Shifts are multiples of about this part of the unit: short numbers, which take no rounding
GRID = 2.0**-10
# Where coordinates are large, so many last digits of them are within reach as well
DIGITS = 4.0
# How far apart the points of a chain are, in cutoffs: just under it, and just beyond it, for what
# reaches a little farther than it says. One more is found from the number of rounds
SPACINGS = (31 / 32, 7 / 8, 5 / 8, BEYOND_REACH)
# By how much points of a chain lie aside, in cutoffs, so that it is not straight
ASIDE = 1 / 16
SIDEWAYS = ((0, 0), (1, 0), (1, 1), (0, 1))
# Where the second chain is, in receptive fields from the first
APART = 4.0
# Along which axis, on which side, and how far away, in receptive fields
Direction = tuple[int, float, float]


def spacings(contract: Contract, apart: int | float = 0.0) -> list[float]:
    """How far the points of chains are apart, in cutoffs, where that is no less than ``apart``.

    With one round more than is claimed, the middle of a chain of 2 (rounds + 1) steps sees both of
    its ends: in steps of just more than rounds / (rounds + 1) cutoffs these are out of sight, and
    what is handed on is as large as it can be.

    >>> spacings(Contract("0e", cutoff=5.0))[-1]
    0.515625
    """
    rounds = contract.rounds
    found = [*SPACINGS, rounds / (rounds + 1) * (1 + 1 / 32)]
    return [spacing for spacing in found if spacing * (contract.cutoff or 0.0) >= apart]


class Chain:
    """A cloud with two equal chains of points, one of which begins at it, and a point at an end.

    Attributes:
        hops: steps from the cloud to the end.
        at_the_cloud: the point is at the end of the chain that begins at the cloud.
        elsewhere: it is at the end of the other one.
        partners: for each point of the first structure, the one of the second with the same
            surroundings within the receptive field.
    """

    def __init__(self, trial: Trial, structure: Structure, spacing: float, axis: int) -> None:
        cutoff = trial.contract.cutoff or 0.0
        reach = _reach(trial, structure, 1.0)
        grid = _grid(trial)
        step = math.ceil(spacing * cutoff / grid) * grid
        if spacing < 1 and step >= cutoff:
            step -= grid
        self.hops = math.floor(2 * reach / step) + 1
        places = self._places(step, axis, ASIDE * cutoff if spacing < 1 else 0.0, grid)
        start = (_end(structure, axis, 1.0) / grid).ceil() * grid
        aside = torch.zeros(3, dtype=torch.float64)
        side = (axis + 1) % 3
        span = float(structure.positions[:, side].max() - start[side]) if len(structure) else 0.0
        aside[side] = math.ceil((APART * reach + max(span, 0.0) + 2 * ASIDE * cutoff) / grid) * grid
        inner = torch.cat([start + places[:-1], start + aside + places[:-1]])
        self.at_the_cloud = _joined(trial, structure, torch.cat([inner, start + places[-1:]]))
        moved = torch.cat([inner, start + aside + places[-1:]])
        self.elsewhere = _joined(trial, structure, moved)
        self.partners = self._partners(len(structure), places, reach)

    @property
    def ends(self) -> Bool[Tensor, "points 1"]:
        """Which points are not between the ends of a chain."""
        whole = len(self.partners)
        number = whole - 1 - 2 * (self.hops - 1)
        place = torch.arange(whole)[:, None]
        return (place < number) | (place == whole - 1)

    def _places(self, step: float, axis: int, aside: float, grid: float) -> Float[Tensor, "hops 3"]:
        """All points of a chain but the first, from it."""
        k = torch.arange(1, self.hops + 1)
        places = torch.zeros(self.hops, 3, dtype=torch.float64)
        places[:, axis] = k * step
        sideways = torch.tensor(SIDEWAYS, dtype=torch.float64)[k % len(SIDEWAYS)]
        for i in (1, 2):
            places[:, (axis + i) % 3] = sideways[:, i - 1] * math.floor(aside / grid) * grid
        return places

    def _partners(
        self, number: int, places: Float[Tensor, "hops 3"], reach: float
    ) -> Int[Tensor, "points"]:
        """Points of a chain that see its end have them in the other one."""
        sees = (places[:-1] - places[-1]).norm(dim=1) <= reach
        length = self.hops - 1
        first = number + torch.arange(length)
        second = first + length
        swapped = torch.where(sees, second, first), torch.where(sees, first, second)
        last = torch.tensor([number + 2 * length])
        return torch.cat([torch.arange(number), *swapped, last])


def beside(trial: Trial, structure: Structure, other: Structure, place: Direction) -> Structure:
    """Another structure, moved out of the sight of the first.

    Args:
        trial: knows how far a point sees, and the unit.
        structure: stays where it is.
        other: is moved.
        place: axis and side on which it comes to lie, and the gap in receptive fields; the two
            points that face each other are no farther apart than that.
    """
    axis, side, gap = place
    grid = _grid(trial)
    shift = _end(structure, axis, side) - _end(other, axis, -side)
    shift = (shift / grid).round() * grid
    # of two boxes, the far face of one to the near face of the other
    end = max((side * structure.all_positions[:, axis]).tolist(), default=0.0)
    start = min((side * other.all_positions[:, axis]).tolist(), default=0.0)
    reach = _reach(trial, structure, gap)
    shift[axis] = side * math.ceil((end + reach - start) / grid) * grid
    return other.moved(shift).rounded(trial.dtype)


def _grid(trial: Trial) -> float:
    return GRID * 2.0 ** math.floor(math.log2(trial.setting.unit))


def _reach(trial: Trial, structure: Structure, gap: float) -> float:
    """A number of receptive fields, and the last digits of coordinates."""
    digits = DIGITS * torch.finfo(trial.dtype).eps * structure.largest
    return gap * (trial.contract.receptive_field or 0.0) + digits


def _end(structure: Structure, axis: int, side: float) -> Float[Tensor, "3"]:
    """The point that is farthest along an axis."""
    points = structure.positions
    return points[(side * points[:, axis]).argmax()] if len(points) else points.new_zeros(3)


def _joined(trial: Trial, structure: Structure, positions: Float[Tensor, "more 3"]) -> Structure:
    """A structure and further points, all of one kind."""
    (point,) = trial.structures([FAR_POINT])
    more = point.permuted(torch.zeros(len(positions), dtype=torch.long)).at(positions)
    return structure.joined(more).rounded(trial.dtype)


def with_far_point(
    trial: Trial, structures: Sequence[Structure], place: Direction
) -> list[Structure]:
    """Each structure with one more point that is out of its sight."""
    (point,) = trial.structures([FAR_POINT])
    return [one.joined(beside(trial, one, point, place)) for one in structures]
