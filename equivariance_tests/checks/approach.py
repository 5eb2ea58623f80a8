"""Is there one limit as a cloud comes close to a stratum, whichever way it comes?

At a collinear cloud, a square pyramid, two coincident points, what is unique elsewhere is not. The
output, and each derivative that is claimed to be continuous, is compared over directions in which
the cloud leaves the stratum: its range over directions, at a distance eps, falls as eps if there is
one limit, and does not fall if there are several. No path shows this: along each there is a limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from equivariance_tests.checks.base import Check, Outcome, unless_refused
from equivariance_tests.clouds import Cloud, Structure
from equivariance_tests.clouds.cases import degenerate
from equivariance_tests.measure.orders import HIGHEST, MOST_POINTS, Order, claimed_order, orders
from equivariance_tests.measure.trial import COME_AND_GO, SEED, Trial
from equivariance_tests.report.failures import NonFinite, broken
from symmetrize import Contract

DIRECTIONS = 24
# Distances from the stratum, in units of length: a few tell what is continuous, all what is not
FEW = (1e-3, 1e-7)
ALL = tuple(10.0 ** (-k / 2) for k in range(2, 19))
# The range falls as the distance if continuous, by 1e4 over the few; by less if it is rough
FALLS = 1e-3
# Ranges below this are rounding; ranges this far above what the last digit does are resolved
ROUNDING, RESOLVED = 1e-11, 100.0
# Distances that an exponent is fit over, and exponents below which there is no limit
LEVELS, FLAT = 6, 0.15


@dataclass(frozen=True)
class Approach:
    """The range over directions of a function at several distances from a stratum.

    Attributes:
        distances: (n,), falling.
        ranges: (n,) largest minus smallest value over directions, of the worst component.
        noise: (n,) what the last digit of coordinates changes.
        column: the worst component at the shortest distance.
    """

    distances: Float[Tensor, "levels"]
    ranges: Float[Tensor, "levels"]
    noise: Float[Tensor, "levels"]
    column: int = 0

    @property
    def resolved(self) -> Tensor:
        """Levels at which the range is no rounding."""
        return self.ranges > torch.clamp(RESOLVED * self.noise, min=ROUNDING)

    @property
    def exponent(self) -> float:
        """The power of the distance with which the range falls, at its smallest resolved levels."""
        kept = self.resolved.nonzero()[:, 0]
        if len(kept) < LEVELS:
            return float("inf")
        last = kept[-LEVELS:]
        slope, _ = np.polyfit(self.distances[last].log(), self.ranges[last].log(), 1)
        return float(slope)


class StratumApproach(Check):
    """One limit at each degenerate cloud, of the output and of its derivatives."""

    name = "stratum approach"
    claim = "smoothness"
    law = "F, its gradient and Hessian have one limit at a degenerate cloud"
    part = 9
    slow = True
    unanswered = "no answer"
    telling = (
        *("fcc cell", "line", "pyramid", "octahedron", "point and copy", "coincident"),
        "at the cutoff",
    )

    def reason_to_skip(self, trial: Trial) -> str:
        """What claims no continuity may have several limits."""
        if claimed_order(trial.contract) < 0:
            return "no continuity is claimed"
        return "" if trial.lasting else COME_AND_GO

    def cases(self, contract: Contract) -> list[Cloud]:
        """A cloud on each stratum."""
        return [c for c in degenerate(contract) if c.stratum != "fragments"]

    def as_asked(self, trial: Trial) -> Trial:
        """In double precision."""
        return trial.at(torch.float64)

    def judged(self, trial: Trial, clouds: Sequence[Cloud]) -> list[Outcome]:
        """Each cloud by itself."""
        return unless_refused(
            trial, clouds, lambda some: [approached(trial, cloud) for cloud in some]
        )


def approached(trial: Trial, cloud: Cloud) -> Outcome:
    """Whether the model is continuous at one cloud."""
    structure = trial.setting.structure(cloud)
    if len(structure) == 0:
        return Outcome(cloud)
    worst = Outcome(cloud)
    highest = HIGHEST if len(structure) <= MOST_POINTS else 0
    # directions have length one, over all points: none moves by more than a tenth of this
    unit = min(trial.setting.unit, 10 * trial.setting.room)
    for order in orders(trial, structure, highest):
        few = over_directions(order, structure, FEW, unit, jitter=False)
        ratio = float(few.ranges[-1] / few.ranges[0].clamp(min=ROUNDING))
        if float(few.ranges[-1]) <= ROUNDING or ratio < FALLS:
            continue
        found = over_directions(order, structure, ALL, unit)
        if not bool(torch.isfinite(found.ranges).all()):
            said = f"{order.name} is not finite close to this cloud"
            failure = NonFinite(said, cloud, structure.code(), details={"order": order.order})
            return Outcome(cloud, failure=failure)
        limit = float(found.ranges[found.resolved][-1]) if bool(found.resolved.any()) else 0.0
        outcome = Outcome(cloud, limit, float(found.noise.max()))
        if found.exponent < FLAT:
            return _failed(outcome, order, structure, found, limit)
        worst = max(worst, outcome, key=lambda one: one.error)
    return worst


def over_directions(
    order: Order, structure: Structure, distances: Sequence[float], unit: float, jitter: bool = True
) -> Approach:
    """Ranges of a function over directions, at some distances from a structure."""
    generator = torch.Generator().manual_seed(SEED)
    shape = (DIRECTIONS, *structure.positions.shape)
    away = torch.randn(shape, dtype=torch.float64, generator=generator)
    away = away / away.square().sum((1, 2), keepdim=True).sqrt()
    steps = unit * torch.tensor(distances, dtype=torch.float64)
    places = structure.positions + steps[:, None, None, None] * away
    values = order.function(places.flatten(0, 1)).reshape(len(distances), DIRECTIONS, -1)
    each = values.amax(1) - values.amin(1)
    ranges = each.amax(1)
    noise = torch.zeros_like(ranges)
    if jitter:
        ulp = torch.finfo(torch.float64).eps * structure.largest
        moved = places + ulp * torch.randn(places.shape, dtype=places.dtype, generator=generator)
        change = order.function(moved.flatten(0, 1)).reshape(values.shape) - values
        noise = change.abs().amax(2).median(1).values
    return Approach(steps / unit, ranges, noise, int(each[-1].argmax()))


def _failed(
    outcome: Outcome, order: Order, structure: Structure, found: Approach, limit: float
) -> Outcome:
    kind = broken(order.order)
    said = (
        f"{order.name} has no limit at this cloud: over directions of approach it ranges over "
        f"{limit:.2g} of its spread down to a distance of {float(found.distances[-1]):.0e}, as the "
        f"distance to the power {found.exponent:.2f} where a continuous function has 1"
    )
    curve = {
        "x": found.distances.tolist(),
        "y": found.ranges.tolist(),
        "xlabel": "distance from the cloud",
        "ylabel": f"range of {order.name} over directions",
        "log": True,
        "title": f"{kind.kind} at {outcome.cloud!r}",
    }
    details = {
        **order.about(found.column, limit),
        "order": order.order,
        "size": limit,
        "exponent": found.exponent,
    }
    failure = kind(said, outcome.cloud, structure.code(), limit, outcome.bound, details, curve)
    return Outcome(outcome.cloud, limit, outcome.bound, failure)
