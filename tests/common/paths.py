"""Paths through what is degenerate, and a scan that tells what is smooth on them to third order.

F is followed on straight paths. Its finite differences of order k, divided by the k-th power of the
step, tend to its k-th derivative as the step is halved if F is smooth; if F jumps they grow by a
factor of 2^k with each halving, by 2^(k-1) if it has a kink, by 2^(k-2) if its curvature jumps.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from tests.common.strata import (
    EQUAL_INERTIA,
    SOLIDS,
    collate,
    turn,
)

# Steps of the first grid: weights change over a few hundredths of a path, so that each change has
# a dozen points and none is missed
GRID = 801
# About each place where a derivative is largest the step is halved this many times. The last is
# 1/25600 of a path: third differences of outputs of order 1 then have an error of 0.02 by rounding
HALVINGS = 5
# Half the width of the finer grids, in steps of the one before
REACH = 6


@dataclass(frozen=True)
class Scan:
    """Largest derivatives of first to third order, on ever finer grids about where they are."""

    maxima: Tensor  # (halvings + 1, 3)

    @property
    def growth(self) -> Tensor:
        """(3,) factor by which the largest differences grow with each of the last three halvings.

        Over several, as a kink counts for more or less by where it lies between two places.
        """
        return (self.maxima[-1] / self.maxima[-4]) ** (1 / 3)


def scan(function: Callable[[Tensor], Tensor], low: float, high: float) -> Scan:
    """Finite differences of ``function``, (n,) parameters to (n, values), over an interval."""
    step = (high - low) / (GRID - 1)
    grids = torch.linspace(low, high, GRID, dtype=torch.float64)[None].expand(3, -1)
    values = function(grids[0])[None].expand(3, -1, -1)
    maxima = []
    for _ in range(HALVINGS + 1):
        largest, places = [], []
        for order in (1, 2, 3):
            found = values[order - 1].diff(n=order, dim=0).abs().amax(-1) / step**order
            place = int(found.argmax())
            largest.append(found[place])
            places.append(grids[order - 1, place] + order / 2 * step)
        maxima.append(torch.stack(largest))
        step /= 2
        offsets = step * torch.arange(-2 * REACH, 2 * REACH + 1, dtype=torch.float64)
        grids = torch.stack(places)[:, None] + offsets
        values = function(grids.reshape(-1)).reshape(3, len(offsets), -1)
    return Scan(torch.stack(maxima))


# --- paths


@dataclass(frozen=True)
class Path:
    """Points ``base + s * velocity`` for s from ``low`` to ``high``."""

    base: Tensor
    velocity: Tensor
    low: float
    high: float
    scopes: tuple[str, ...] = ("structure", "center")
    length_scale: float | None = None

    def rows(self, parameters: Tensor) -> list[Tensor]:
        """The clouds at some places of the path, in a generic orientation."""
        moved = self.base + parameters[:, None, None] * self.velocity
        return list(moved @ turn(1).T)


def points(*rows: tuple[float, float, float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def moving_last(others: Tensor, start: tuple[float, ...], velocity: tuple[float, ...]) -> Any:
    """The base and the velocity of a cloud of which only the last point moves."""
    base = torch.cat([others, torch.tensor([start], dtype=torch.float64)])
    rest = torch.zeros_like(others)
    return base, torch.cat([rest, torch.tensor([velocity], dtype=torch.float64)])


REST = points((0, 0, 0))
PAIR = points((0, 0, 0), (1.1, 0.2, -0.1))
TRIO = points((0, 0, 0), (1.2, 0.1, -0.2), (-0.4, 0.9, 0.5))
CLOUD = points((0, 0, 0), (1.2, 0.1, -0.2), (-0.4, 0.9, 0.5), (0.3, -0.7, 0.8))
FLAT = points((1.0, 0.2, 0), (-0.8, 0.9, 0), (-0.3, -1.1, 0), (0.6, -0.7, 0))
ROD = points((0, 0, -1.2), (0, 0, 0.2), (0, 0, 1.4), (0, 0, -0.6))
STRAIGHT = points((0, 0, -1.0), (0, 0, 1.2))


def pyramid(width: float) -> tuple[Tensor, Tensor]:
    """A pyramid on a rectangle of half sides 1 and ``width``, whose height is the parameter."""
    corners = [(x, width * y, 0.0) for x, y in ((1, 1), (1, -1), (-1, 1), (-1, -1))]
    return moving_last(points(*corners), (0, 0, 0), (0, 0, 1))


WHOLE, CENTERS = ("structure",), ("center",)
PATHS: dict[str, Path] = {
    "bent through straight": Path(*moving_last(STRAIGHT, (0, 0, 0.1), (1, 0.3, 0)), -0.8, 0.8),
    "flattened onto a line and out": Path(
        ROD, points((1, 0, 0), (-0.5, 0.9, 0), (0, -1, 0), (0.7, 0.4, 0)), -0.6, 0.6
    ),
    "a dimer dissociates": Path(*moving_last(REST, (0, 0, 0), (0.6, 0, 0.8)), 0.3, 3.3, CENTERS),
    "a dimer passes within the cutoff": Path(
        *moving_last(REST, (0, 1.5, 0), (1, 0, 0)), -3.0, 3.0, CENTERS
    ),
    "a dimer passes through itself": Path(
        *moving_last(REST, (0, 0, 0), (0.6, 0, 0.8)), -1.0, 1.0, CENTERS
    ),
    "a dimer with a length scale passes through itself": Path(
        *moving_last(REST, (0, 0, 0), (0.6, 0, 0.8)), -0.1, 0.1, WHOLE, length_scale=1.0
    ),
    "a cloud and an atom part": Path(*moving_last(CLOUD, (0, 0, 0), (-0.48, 0.6, -0.64)), 1.2, 4.2),
    "a pair and an atom part": Path(*moving_last(PAIR, (0, 0.5, 0), (-0.6, 0, 0.8)), 1.0, 4.2),
    "an atom grazes the cutoff": Path(
        *moving_last(CLOUD, (0, 2.4, 0.3), (1, 0, 0)), -2.5, 2.5, CENTERS
    ),
    "an atom passes through another": Path(
        *moving_last(CLOUD, (0, 0, 0), (0.48, 0.6, -0.64)), -1.0, 1.0, WHOLE
    ),
    # what is nearest wins by far in small environments, until it is within 0.01 of the center
    "an atom passes through a center": Path(
        *moving_last(CLOUD, (0, 0, 0), (0.48, 0.6, -0.64)), -0.1, 0.1, CENTERS
    ),
    "an atom passes by a center": Path(
        *moving_last(CLOUD, (0, 1e-3, 0), (0.6, 0, 0.8)), -0.1, 0.1, CENTERS
    ),
    "an atom passes through the centroid": Path(
        *moving_last(CLOUD - CLOUD.mean(0), (0, 0, 0), (0.48, 0.6, -0.64)), -1.0, 1.0, WHOLE
    ),
    "a hand becomes the other": Path(*moving_last(FLAT, (0.2, 0.3, 0), (0.1, 0, 1)), -1.0, 1.0),
    "equal moments of a square pyramid": Path(
        *pyramid(1.0), EQUAL_INERTIA - 0.8, EQUAL_INERTIA + 0.8
    ),
    "equal moments of a pyramid": Path(*pyramid(0.8), EQUAL_INERTIA - 1.2, EQUAL_INERTIA + 0.6),
    "through a tetrahedron": Path(
        0.8 * SOLIDS["tetrahedron"],
        points((1, 0, 0.2), (0, 1, 0), (0.3, 0, 1), (0, 0, 0)),
        -0.6,
        0.6,
    ),
    "nearest neighbors swap": Path(
        points((0, 0, 0), (1, 0, 0), (0.3, 1.0, 0.2), (-0.9, -0.9, 0.9)),
        points((0, 0, 0), (0.5, 0, 0), (-0.15, -0.5, -0.1), (0, 0, 0)),
        -0.8,
        0.8,
    ),
    "collapse to a point and out": Path(0 * CLOUD, CLOUD, -0.08, 0.08, WHOLE, length_scale=1.0),
    "neighbors collapse onto their center": Path(0 * CLOUD, CLOUD, -0.8, 0.8, CENTERS),
}


def scan_of(path: Path, model: Callable[[Data], Tensor]) -> Scan:
    """A scan of all outputs; the clouds of all places of a grid are one batch."""

    def function(parameters: Tensor) -> Tensor:
        with torch.no_grad():
            return model(collate(path.rows(parameters))).reshape(len(parameters), -1)

    return scan(function, path.low, path.high)


# Once the step resolves a path, halving it changes a derivative by the square of the step. The
# steepest path changes third derivatives by 1 part in 1000, and rounding by 1 in 50.
SMOOTH = 1.03
