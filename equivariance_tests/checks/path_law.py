"""Does the output, or a derivative of it, break along a path? A base of checks.

Points stay the same points, and neighbor lists are made anew at each place. ``scan`` finds the
breaks; here is what they are of.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from equivariance_tests.checks.base import Check, Outcome, unless_refused
from equivariance_tests.clouds import Cloud, Structure
from equivariance_tests.clouds.apart import closest
from equivariance_tests.measure.orders import HIGHEST, Order, claimed_order, orders
from equivariance_tests.measure.scan import Break, Function, find_breaks
from equivariance_tests.measure.trial import COME_AND_GO, SEED, Trial
from equivariance_tests.measure.walk import places
from equivariance_tests.report.failures import Broken, NonFinite, broken

PANELS = 8
# The part of a path that is seen beyond its ends
BEYOND = 1 / 8
# Lengths of paths that are tried where points have to keep apart
LENGTHS = (1.0, 0.5, 0.25, 0.125, 1 / 32, 1 / 128)
# Derivatives are followed on paths through these strata, up to this order; elsewhere the output,
# whose own scan sees kinks of 1e-6 and breaks of the curvature of 1e-2 of its spread
DERIVATIVES = {
    "generic": 2,
    "last neighbor at the cutoff": 2,
    "at the cutoff": 1,
    "line": 1,
    "plane": 1,
}
# Breaks of the three functions up to this order are looked for
ORDERS = 3
# Changes of the output, its gradient and Hessian below this part of the spread are rounding:
# what is steep, as a switch of width 0.01, loses two digits with each derivative
LEAST = (1e-14, 1e-12, 1e-9)
# Places at which a function must be finite
SEEN = 9
# Places of the drawing of a break, and the part of the path that it shows
DRAWN, SHOWN = 81, 0.05


@dataclass(frozen=True)
class Path:
    """Positions ``base + t * velocity`` for t from ``low`` to ``high``."""

    structure: Structure
    velocity: Float[Tensor, "points 3"]
    low: float
    high: float

    def at(self, t: Float[Tensor, "places"]) -> Float[Tensor, "places points 3"]:
        """Positions at some places."""
        return self.structure.positions + t[:, None, None] * self.velocity


class PathLaw(Check):
    """No break of the output, its gradient or Hessian on a path through each cloud.

    In double precision. Subclasses say which path.
    """

    slow = True
    unanswered = "no answer, or no path through it"

    @abstractmethod
    def path(self, trial: Trial, cloud: Cloud) -> Path | None:
        """The path that belongs to a cloud; None if it has none."""

    def highest(self, trial: Trial, cloud: Cloud) -> int:
        """Order of the highest derivative that is scanned on the path of a cloud."""
        most = HIGHEST if trial.subject.batched else trial.highest_alone
        return min(most, DERIVATIVES.get(cloud.stratum, 0))

    def reason_to_skip(self, trial: Trial) -> str:
        """What claims no continuity may jump."""
        if claimed_order(trial.contract) < 0:
            return "no continuity is claimed"
        return "" if trial.lasting else COME_AND_GO

    def as_asked(self, trial: Trial) -> Trial:
        """In double precision."""
        return trial.at(torch.float64)

    def unfit(self, trial: Trial, cloud: Cloud) -> str:
        """What has no path."""
        return self.unanswered if self.path(trial, cloud) is None else ""

    def judged(self, trial: Trial, clouds: Sequence[Cloud]) -> list[Outcome]:
        """The first break on the path of each cloud."""
        return unless_refused(trial, clouds, lambda some: self._judged(trial, some))

    def _judged(self, trial: Trial, clouds: Sequence[Cloud]) -> list[Outcome]:
        paths = [(cloud, self.path(trial, cloud)) for cloud in clouds]
        return [
            scanned(trial, cloud, path, self.highest(trial, cloud))
            for cloud, path in paths
            if path is not None
        ]


def keeps_apart(
    structure: Structure, velocity: Tensor, low: float, high: float, least: float
) -> bool:
    """Whether all points are apart on a path, and on the panels that reach beyond its ends."""
    return closest(structure, velocity, *with_ends(low, high), least) > least


def with_ends(low: float, high: float) -> tuple[float, float]:
    """A path with what is seen beyond its ends."""
    more = BEYOND * (high - low)
    return low - more, high + more


def scanned(trial: Trial, cloud: Cloud, path: Path, highest: int) -> Outcome:
    """The first break on a path, up to some derivative, that the contract does not allow."""
    claimed = claimed_order(trial.contract)
    smoothness = trial.contract.smoothness
    noise = 0.0
    for order in orders(trial, path.structure, highest):
        # a kink of the gradient is a break of the curvature: orders add
        allowed = ORDERS if smoothness == math.inf else min(ORDERS, claimed - order.order + 1)
        function, jittered = along(order, path)
        places = torch.linspace(path.low, path.high, SEEN, dtype=torch.float64)
        here = function(places)
        if not bool(torch.isfinite(here).all()):
            said = f"{order.name} is not finite on a path through this cloud"
            bad = places[~torch.isfinite(here).all(1)][:1]
            code = path.structure.at(path.at(bad)[0]).code()
            details = {"order": order.order, "place": float(bad[0])}
            return Outcome(cloud, failure=NonFinite(said, cloud, code, details=details))
        if order.order == 0:
            noise = float((jittered(places) - here).abs().amax(1).median())
        breaks = find_breaks(
            function,
            path.low,
            path.high,
            PANELS,
            allowed,
            jittered,
            LEAST[order.order],
            most=1,
        )
        if breaks:
            failure = _failure(cloud, path, order, breaks[0])
            return Outcome(cloud, failure.error, noise, failure)
    return Outcome(cloud, 0.0, noise)


def along(order: Order, path: Path) -> tuple[Function, Function]:
    """A function on a path, and the same with the last digits of the coordinates changed."""
    ulp = torch.finfo(torch.float64).eps * max(path.structure.largest, path.structure.extent)

    def function(t: Tensor) -> Tensor:
        return order.function(path.at(t))

    def jittered(t: Tensor) -> Tensor:
        positions = path.at(t)
        generator = torch.Generator().manual_seed(SEED)
        change = torch.randn(positions.shape, dtype=positions.dtype, generator=generator)
        return order.function(positions + ulp * change)

    return function, jittered


def _failure(cloud: Cloud, path: Path, order: Order, one: Break) -> Broken:
    """What is said of a break."""
    total = order.order + one.order
    kind = broken(total)
    half = SHOWN * (path.high - path.low)
    places = torch.linspace(one.place - half, one.place + half, DRAWN, dtype=torch.float64)
    values = order.function(path.at(places))
    # the component whose break shows best against its range
    bends = values.diff(n=one.order + 1, dim=0).abs().amax(0)
    column = int((bends / (values.amax(0) - values.amin(0)).clamp(min=1e-300)).argmax())
    # and the one that it is largest in
    about = order.about(int(bends.argmax()), one.size)
    own = ""
    if about:
        own = f", or {about['error in its unit']:.2g} in the unit of the output {about['output']!r}"
    said = (
        f"{order.name} has a {one.name} on a path through this cloud: derivative {total} of the "
        f"output jumps by {one.size:.2g} of its spread at t = {one.place:.9g}"
        f"{own}"
    )
    details = {
        **about,
        "place": one.place,
        "order": total,
        "size": one.size,
        "slope": one.slope,
        "levels": one.levels,
        "path": "pos + t * velocity",
        "velocity": f"torch.tensor({path.velocity.tolist()}, dtype=torch.float64)",
    }
    curve = {
        "x": places.tolist(),
        "y": values[:, column].tolist(),
        "xlabel": "t along the path",
        "ylabel": order.name,
        "log": False,
        "title": f"{kind.kind} at t = {one.place:.6g}, {cloud!r}",
    }
    return kind(said, cloud, path.structure.code(), one.size, details=details, curve=curve)
