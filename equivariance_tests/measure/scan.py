"""Where a function along a path breaks, and in which derivative.

The path is cut into panels, and the function is expanded in Chebyshev polynomials on each. Where it
is smooth, the last coefficients fall to rounding as panels shrink, however steep it is; about a
jump in its p-th derivative they fall as the p-th power of the length of the panel only. So every
panel whose tail is above rounding is followed: of two halves and the middle between them, the one
with the largest tail comes next, which keeps the place of the break away from the ends. The slope
of log(tail) over log(length), on the last levels above rounding, is the order: 0 for a jump, 1 for
a kink, 2 for a break of the curvature.

What is steep but smooth, a tanh of width 1e-6 say, keeps its tail at first and loses it faster
than any power once panels are as short as it is wide.

What rounding does inside the function is measured where a tail falls as slowly as that of a break,
and not where it falls faster: most of what is smooth needs no more than the panels themselves.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

# Places of a panel, and how many of its last coefficients make the tail
NODES, TAIL = 13, 4
# Rounding of a value, and of a place at which a steep function is evaluated, in units of eps
ROUNDING = 30.0
# Places of a panel at which inner rounding is measured, and how far above it a tail may lie
JITTERED, INNER = slice(0, None, 3), 10.0
# A tail that falls by this factor as its panel is halved is that of no break of any order
FALLS = 2.0**-4
# Short panels that tell the rounding of a function, their length in that of the path, and how far
# above their tails a break must be
SHORT_PANELS, SHORT, STAIRS = 9, 1e-6, 10.0
# A tail that is this far above rounding counts, and this many levels of it make an order
ABOVE, LEVELS = 4.0, 6
# A panel is not halved below this many units in the last place of its ends
SHORTEST = 2.0**8
# A break that is this much beyond the path, in units of its length, is not on it
AT_THE_END = 1e-6
# Slopes of breaks lie on whole numbers, scattered by where in its panel the break is
SCATTER = 0.45

Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Break:
    """A place where a function, or one of its derivatives, jumps.

    Attributes:
        place: parameter of the path.
        order: of the derivative that jumps: 0 a jump, 1 a kink, 2 a break of the curvature.
        size: of its jump, in units of the function and of the parameter.
        slope: as measured, close to ``order``.
        levels: number of halvings that it was measured over.
    """

    place: float
    order: int
    size: float
    slope: float
    levels: int

    @property
    def name(self) -> str:
        """What such a break is called."""
        names = ("jump", "kink", "break of the curvature")
        return names[self.order] if self.order < len(names) else f"break of order {self.order}"


def find_breaks(
    function: Function,
    low: float,
    high: float,
    panels: int = 16,
    orders: int = 3,
    jittered: Function | None = None,
    least: int | float = 0.0,
    most: int | None = None,
) -> list[Break]:
    """The breaks of a function of one parameter, by place, of orders below ``orders``.

    Args:
        function: (n,) float64 parameters to (n, values), each row by itself. Evaluated a few dozen
            times at once, and up to a panel before and after the path.
        low: where the path starts.
        high: where it ends.
        panels: to begin with; a break within reach of another may hide it.
        orders: breaks of the derivatives of order 0 to ``orders - 1`` are looked for.
        jittered: the same function with its inputs changed by rounding, where what it computes
            inside loses more digits than show in its value. Half of the places about a break tell
            how many.
        least: changes below this are rounding, whatever the function is there.
        most: number of breaks to stop after, the strongest first; all of them if not given.

    A break is seen if its tail rises above rounding on at least six levels: jumps of 1e-10 and
    kinks of 1e-6 of a function of order one are, after 1,000 to 2,000 evaluations.

    >>> find_breaks(lambda t: (t - 0.3).abs()[:, None], -1.0, 1.0)[0].name
    'kink'
    >>> find_breaks(lambda t: torch.tanh(1e6 * (t - 0.3))[:, None], -1.0, 1.0)
    []
    """
    least = max(float(least), torch.finfo(torch.float64).tiny)
    curve = _Curve(function, jittered, (low, high), least)
    ends = torch.linspace(low, high, panels + 1, dtype=torch.float64)
    # neighbors share half a panel, and the first and last reach beyond the path by half of one, so
    # that no break lies at the end of all that hold it
    half = float(ends[1] - ends[0]) / 2
    starts = torch.cat([ends[:-1], ends - half])
    first = curve.panels(starts, 2 * half)
    margin = AT_THE_END * (high - low)
    found: list[Break] = []
    visited: list[float] = []
    hard = torch.argsort(first.excess, descending=True).tolist()
    hard = [k for k in hard if first.excess[k] > ABOVE]
    while hard:
        apart = _apart(hard, starts, 2 * half)
        tails = [first.tail(k) for k in apart]
        followed = _followed(curve, starts[apart], 2 * half, tails, orders)
        for start, (place, one) in zip(starts[apart].tolist(), followed, strict=True):
            if _visited(start, half, visited):  # by one of those it was followed with
                continue
            visited.append(place)
            if one is not None and low - margin <= place <= high + margin:
                found.append(one)
                if len(found) == most:
                    return sorted(found, key=lambda one: one.place)
        others = [k for k in hard if k not in apart]
        hard = [k for k in others if not _visited(float(starts[k]), half, visited)]
    return sorted(found, key=lambda one: one.place)


def _visited(start: float, half: float, places: Sequence[float]) -> bool:
    """Whether a panel of two halves holds, or nearly holds, one of some places."""
    return any(start - half <= place <= start + 3 * half for place in places)


def _apart(panels: Sequence[int], starts: Float[Tensor, "panels"], length: float) -> list[int]:
    """Of some panels, in their order, those that have nothing in common with one before."""
    chosen: list[int] = []
    for k in panels:
        if all(abs(float(starts[k] - starts[j])) >= length for j in chosen):
            chosen.append(k)
    return chosen


def _followed(
    curve: "_Curve",
    starts: Float[Tensor, "panels"],
    length: float,
    last: Sequence[float],
    orders: int,
) -> list[tuple[float, Break | None]]:
    """Where each of some panels is hardest, and the break there if its tail falls as a power.

    Args:
        curve: the function.
        starts: where the panels begin.
        length: of all panels.
        last: their tails.
        orders: breaks of this order and above are not looked for.
    """
    trails = [_Trail(float(start), length, tail) for start, tail in zip(starts, last, strict=True)]
    on = trails
    while on and length > SHORTEST * np.spacing(max(map(abs, curve.ends))):
        length /= 2
        parts = length * torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
        places = torch.tensor([one.start for one in on], dtype=torch.float64)[:, None] + parts
        panels = curve.panels(places.reshape(-1), length)
        best = panels.excess.reshape(places.shape).argmax(1) + 3 * torch.arange(len(on))
        panels = panels.of(best)
        doubtful = [
            k
            for k, one in enumerate(on)
            if panels.tail(k) > max(ABOVE * panels.floor(k), FALLS * one.last)
        ]
        if doubtful:
            panels = curve.with_inner_rounding(panels, doubtful)
        for k, one in enumerate(on):
            one.step(float(places.reshape(-1)[best[k]]), length, panels.tail(k), panels.floor(k))
        on = [one for one in on if not one.ended]
    return [one.end(curve.function, orders) for one in trails]


@dataclass
class _Trail:
    """A panel that is halved again and again: where it begins, its length, and its tails so far."""

    start: float
    length: float
    last: float
    lengths: list[float] = field(default_factory=list)
    tails: list[float] = field(default_factory=list)
    ended: bool = False

    def step(self, start: float, length: float, tail: float, floor: float) -> None:
        """On to one of the halves; the last one is that whose tail is rounding."""
        self.start, self.length = start, length
        if tail <= ABOVE * floor:
            self.ended = True
        else:
            self.last = tail
            self.lengths.append(length)
            self.tails.append(tail)

    def end(self, function: Function, orders: int) -> tuple[float, Break | None]:
        """Where it led to, and the break there."""
        place = self.start + self.length / 2
        if len(self.tails) < LEVELS:
            return place, None
        logs = np.log2(self.lengths), np.log2(self.tails)
        slope, offset = np.polyfit(logs[0][-LEVELS:], logs[1][-LEVELS:], 1)
        away = (logs[1] - slope * logs[0] - offset)[-LEVELS:]
        scatter = float(np.sqrt(np.mean(away**2)))
        # a root has a slope between two whole numbers: the next derivative is the first to fail
        order = max(0, math.ceil(slope - SCATTER))
        if order >= orders or scatter > 1.0:
            return place, None
        # its size is measured on the longest panels on which all that is left is the break
        half, power = len(self.tails) // 2, logs[1] - order * logs[0]
        others = np.nonzero(np.abs(power[:half] - np.median(power[half:])) > 1.0)[0]
        longest = self.lengths[int(others[-1]) + 1 if len(others) else 0]
        before, after = _sides(function, place, longest, order)
        size = float((after - before).abs().max())
        if order == 0:  # a single value may be off, where both sides agree
            values = function(place + self.length / 2 * _chebyshev()[0]).detach().double()
            off = torch.minimum((values - before).abs(), (values - after).abs())
            size = max(size, float(off.max()))
        return place, Break(place, order, size, float(slope), len(self.tails))


def _staircase(
    function: Function, low: float, high: float, least: float
) -> Float[Tensor, "values"]:
    """Tails of panels too short for anything but rounding: of half of them, those of a break less.

    A function that is the sum of large numbers inside is a staircase, and each of its steps a jump.
    """
    places = torch.linspace(low, high, SHORT_PANELS + 2, dtype=torch.float64)[1:-1]
    nodes, to_coefficients = _chebyshev()
    values = _at(function, places[:, None] + SHORT * (high - low) * nodes)
    tails = torch.einsum("kn,pnv->pkv", to_coefficients[-TAIL:], values).abs().amax(1)
    return (STAIRS * tails.median(0).values).clamp(min=least)


@dataclass
class _Curve:
    """A function, the same with its inputs changed by rounding, its ends, the least that counts."""

    function: Function
    jittered: Function | None
    ends: tuple[float, float]
    least: float

    @cached_property
    def steps(self) -> Float[Tensor, "values"]:
        """Tails that are rounding wherever they are."""
        return _staircase(self.function, *self.ends, self.least)

    def panels(self, starts: Float[Tensor, "panels"], length: float) -> "_Panels":
        """Tails of panels, and what rounding of values and places makes of them."""
        nodes, to_coefficients = _chebyshev()
        places = starts[:, None] + length * (nodes + 1) / 2
        values = _at(self.function, places)
        coefficients = torch.einsum("kn,pnv->pkv", to_coefficients, values)
        eps = torch.finfo(torch.float64).eps
        spread = values.amax(1) - values.amin(1)
        reach = torch.maximum(starts.abs(), (starts + length).abs())[:, None]
        floors = ROUNDING * eps * (values.abs().amax(1) + spread * reach / length)
        tails = coefficients[:, -TAIL:].abs().amax(1)
        return _Panels(places, values, tails, floors.clamp(min=self.least))

    def with_inner_rounding(self, panels: "_Panels", some: Sequence[int]) -> "_Panels":
        """Panels, and what rounding makes of some of them that is done inside the function."""
        floors = panels.floors.clone()
        inner = torch.maximum(floors[some], self.steps)
        if self.jittered is not None:
            places, values = panels.places[some][:, JITTERED], panels.values[some][:, JITTERED]
            change = _at(self.jittered, places) - values
            # one place may lie within rounding of a break, half of them do not
            inner = torch.maximum(inner, INNER * change.abs().median(1).values)
        floors[some] = inner
        return replace(panels, floors=floors)


@dataclass(frozen=True)
class _Panels:
    """Panels of one length: the largest of their last coefficients, and what rounding makes."""

    places: Float[Tensor, "panels nodes"]
    values: Float[Tensor, "panels nodes values"]
    tails: Float[Tensor, "panels values"]
    floors: Float[Tensor, "panels values"]

    def of(self, some: Int[Tensor, "some"]) -> "_Panels":
        """Some of them."""
        parts = self.places, self.values, self.tails, self.floors
        return _Panels(*(part[some] for part in parts))

    @property
    def excess(self) -> Float[Tensor, "panels"]:
        """By how much the worst value of each is above rounding, as a factor."""
        return (self.tails / self.floors).amax(1)

    def tail(self, panel: int) -> float:
        """That of the worst value."""
        return float(self.tails[panel, self._worst(panel)])

    def floor(self, panel: int) -> float:
        """That of the worst value."""
        return float(self.floors[panel, self._worst(panel)])

    def _worst(self, panel: int) -> int:
        return int((self.tails[panel] / self.floors[panel]).argmax())


def _at(
    function: Function, places: Float[Tensor, "panels nodes"]
) -> Float[Tensor, "panels nodes values"]:
    """Values of a function."""
    return function(places.reshape(-1)).detach().double().reshape(*places.shape, -1)


def _sides(
    function: Function, place: float, length: float, order: int
) -> tuple[Float[Tensor, "values"], Float[Tensor, "values"]]:
    """The derivative at a place, extrapolated from a panel before it and one after it."""
    sides = []
    nodes, to_coefficients = _chebyshev()
    for start in (place - length, place):
        values = function(start + length * (nodes + 1) / 2).detach().double()
        coefficients = (to_coefficients @ values).numpy()
        slopes = np.polynomial.chebyshev.chebder(coefficients, order)
        at = 2 * (place - start) / length - 1
        found = np.polynomial.chebyshev.chebval(at, slopes)
        sides.append(torch.as_tensor((2 / length) ** order * found))
    return sides[0], sides[1]


def _chebyshev() -> tuple[Float[Tensor, "nodes"], Float[Tensor, "orders nodes"]]:
    """Chebyshev nodes of the first kind, and the map from values there to coefficients."""
    k = torch.arange(NODES, dtype=torch.float64)
    angles = torch.pi * (k + 0.5) / NODES
    to_coefficients = 2 / NODES * torch.cos(k[:, None] * angles)
    to_coefficients[0] /= 2
    return torch.cos(angles), to_coefficients
