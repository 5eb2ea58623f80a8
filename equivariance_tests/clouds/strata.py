"""Clouds of every degenerate stratum, by name, simplest first.

A stratum is a set of clouds on which something that is unique elsewhere is not: the axis of a
collinear cloud, the principal axes of a square pyramid, which neighbor is the nearest of several.
Each has a builder, ``(number, seed) -> (points, 3)`` float64, of about ``number`` points within
about 2 of the origin; ``seed`` says which ones. Coordinates are small dyadic numbers where the
shape allows it. ``CUTOFF`` stands for the cutoff of the model.

To add a stratum, add a builder to ``FINITE``: every check and every strategy then has it.
"""

import itertools
import math
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from equivariance_tests.clouds.clusters import CLUSTERS
from equivariance_tests.clouds.solids import SOLIDS

Builder = Callable[[int, int], Float[Tensor, "points 3"]]
CUTOFF = 3.0
# The cutoff, and an ulp within and beyond it
ULP = 2.0**-52
EYE = torch.eye(3, dtype=torch.float64)
# How far from a stratum clouds still lie near it, as powers of ten
NEAR = (2, 3, 4, 5, 6, 8, 10, 12, 14)


def _generic(number: int, seed: int) -> Tensor:
    """Points on a grid of spacing 1/4 within (-1.5, 1.5)^3, no two in one place."""
    rng = np.random.default_rng(seed)
    cells = rng.choice(11**3, size=number, replace=False)
    grid = np.stack(np.unravel_index(cells, (11, 11, 11)), -1) - 5.0
    return torch.from_numpy(grid / 4)


def _line(number: int, seed: int) -> Tensor:
    places = np.random.default_rng(seed).choice(13, size=max(number, 2), replace=False) - 6.0
    return torch.from_numpy(places / 4)[:, None] * EYE[2]


def _off_line(distance: float) -> Builder:
    def build(number: int, seed: int) -> Tensor:
        away = _generic(number, seed + 1) * torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64)
        return _line(number, seed)[:number] + distance * away

    return build


def _antiparallel(number: int, seed: int) -> Tensor:
    """A center with two neighbors on opposite sides, and others."""
    others = _generic(number, seed)
    return torch.cat([0 * others[:1], others, -others[:1]])


def _with_copy(distance: float) -> Builder:
    def build(number: int, seed: int) -> Tensor:
        points = _generic(number, seed)
        return torch.cat([points, points[:1] + distance * EYE[:1]])

    return build


def _on_the_centroid(number: int, seed: int) -> Tensor:
    """A cloud of which one point is the mean of all."""
    points = _generic(number, seed)
    return torch.cat([points, points.mean(0, keepdim=True)])


def _polygon(number: int, seed: int) -> Tensor:
    angle = 2 * torch.pi * torch.arange(number, dtype=torch.float64) / number
    return torch.stack([angle.cos(), angle.sin(), 0 * angle], -1)


def _prism(number: int, seed: int) -> Tensor:
    height = 0.5 * EYE[2] * (1 + seed % 3)
    return torch.cat([_polygon(number, 0) + height, _polygon(number, 0) - height])


# A square pyramid of this height on a square of half side 1 has three equal moments of inertia
EQUAL_INERTIA = math.sqrt(5.0)


def _pyramid(excess: float) -> Builder:
    def build(number: int, seed: int) -> Tensor:
        base = [[x, y, 0.0] for x, y in itertools.product((1.0, -1.0), repeat=2)]
        apex = [0.0, 0.0, EQUAL_INERTIA * (1 + excess)]
        return 0.75 * torch.tensor([*base, apex], dtype=torch.float64)

    return build


def _fixed(points: Tensor) -> Builder:
    return lambda number, seed: points.clone()


def _round_inertia(number: int, seed: int) -> Tensor:
    """Points without any symmetry whose three moments of inertia are equal."""
    points = _generic(max(number, 5), seed)
    points = points - points.mean(0)
    values, vectors = torch.linalg.eigh(points.T @ points)
    if float(values[0]) < 1e-6:  # all in a plane
        return _round_inertia(number + 1, seed + 1)
    return points @ (vectors / values.sqrt()) @ vectors.T * math.sqrt(number / 2)


def _symmetric_top(number: int, seed: int) -> Tensor:
    """Points without any symmetry of which two moments of inertia are equal."""
    return _round_inertia(number, seed) * torch.tensor([1.0, 1.0, 0.5], dtype=torch.float64)


def _helix(hand: float) -> Builder:
    def build(number: int, seed: int) -> Tensor:
        step = torch.arange(max(number, 4), dtype=torch.float64)
        angle = hand * 1.75 * step
        return torch.stack([angle.cos(), angle.sin(), 0.5 * step - 0.75], -1)

    return build


def _tied(number: int, seed: int) -> Tensor:
    """A center whose neighbors all have one distance."""
    points = _generic(number, seed)
    points = points[points.norm(dim=-1) > 0]
    return torch.cat([0 * EYE[:1], points / points.norm(dim=-1, keepdim=True)])


def _at_cutoff(factor: float) -> Builder:
    """A center, neighbors, and one point at ``CUTOFF * factor`` from the center."""

    def build(number: int, seed: int) -> Tensor:
        return torch.cat([0 * EYE[:1], _generic(number, seed), CUTOFF * factor * EYE[:1]])

    return build


def _last_neighbor(factor: float) -> Builder:
    """Two points at ``CUTOFF * factor`` from each other, which see nothing else."""
    return lambda number, seed: torch.cat([0 * EYE[:1], CUTOFF * factor * EYE[:1]])


def _fragments(number: int, seed: int) -> Tensor:
    """Two clusters, 128 apart."""
    return torch.cat([_generic(number, seed), _generic(number, seed + 1) + 128 * EYE[0]])


FINITE: dict[str, Builder] = {
    "atom": lambda number, seed: _generic(1, seed),
    "empty": lambda number, seed: torch.zeros(0, 3, dtype=torch.float64),
    "pair": lambda number, seed: _line(2, seed),
    "generic": _generic,
    "polygon": _polygon,
    "line": _line,
    "plane": lambda number, seed: _generic(number, seed) * torch.tensor([1.0, 1.0, 0.0]).double(),
    "pyramid": _pyramid(-0.25),
    "pyramid of equal inertia": _pyramid(0.0),
    "ties": _tied,
    "coincident": lambda number, seed: _generic(1, seed).repeat(number, 1),
    "point and copy": _with_copy(0.0),
    "point and copy off by 1e-12": _with_copy(1e-12),
    "point and copy off by 1e-8": _with_copy(1e-8),
    "on the centroid": _on_the_centroid,
    "antiparallel": _antiparallel,
    # subtracting its part along itself from this vector leaves rounding along it, not zero
    "pair whose rounding lies along it": lambda number, seed: torch.stack(
        [0 * EYE[0], torch.tensor([-2.0, -0.5, 0.5], dtype=torch.float64)]
    ),
    "polygon and center": lambda number, seed: torch.cat([0 * EYE[:1], _polygon(number, 0)]),
    "prism": _prism,
    # more corners than turns that stand for a circle, or than a coarse density resolves
    "ring of 12": lambda number, seed: _polygon(12, 0),
    **{name: _fixed(points) for name, points in SOLIDS.items()},
    "symmetric top": _symmetric_top,
    "equal inertia": _round_inertia,
    "left helix": _helix(-1.0),
    "right helix": _helix(1.0),
    "at the cutoff": _at_cutoff(1.0),
    "an ulp beyond the cutoff": _at_cutoff(1 + ULP),
    "an ulp within the cutoff": _at_cutoff(1 - ULP / 2),
    **{f"1e-{k} within the cutoff": _at_cutoff(1 - 10.0**-k) for k in (8, 4)},
    **{f"1e-{k} beyond the cutoff": _at_cutoff(1 + 10.0**-k) for k in (8, 4)},
    "last neighbor within the cutoff": _last_neighbor(1 - 1e-4),
    "last neighbor at the cutoff": _last_neighbor(1.0),
    "fragments": _fragments,
    **{name: _fixed(points) for name, points in CLUSTERS.items()},
    **{f"line off by 1e-{k}": _off_line(10.0**-k) for k in NEAR},
    **{f"pyramid off by 1e-{k}": _pyramid(10.0**-k) for k in (12, 8, 4)},
}
