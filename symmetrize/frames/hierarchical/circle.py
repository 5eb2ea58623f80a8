"""Azimuths of whole structures about their axes, the steadiest first.

First the axis of what is transverse, in the sense of the vectors that point away from the x axis:
what second moments have between the axis and the rest, and the dipoles. Then these vectors
themselves. Last the circular harmonics of the density of directions: m azimuths, the roots of the
phase of the m-th, for clouds that look the same after a turn by 2 pi / m; and where m is more than
a density resolves, those of the points themselves. Levers are in units of how far a structure
reaches from the axis, as there may be little off it.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from symmetrize.arrays.safe import safe_log, safe_sqrt
from symmetrize.arrays.segments import ranges, segment_sum
from symmetrize.arrays.switching import ramp, select, step
from symmetrize.arrays.vectors import dot, unit_vectors
from symmetrize.frames.hierarchical.candidates import Candidates
from symmetrize.frames.hierarchical.density import Density, harmonics_about, sensitivity
from symmetrize.frames.hierarchical.settings import Steadiness
from symmetrize.frames.hierarchical.shape import Shape
from symmetrize.frames.hierarchical.succession import Succession

# A harmonic below this is rounding, and has no phase: second derivatives of the phase contain its
# inverse square, which overflows
FAINTEST = 1e-14
# Harmonics of points are looked at up to this order: a ring of more points is a circle. In blocks
# of so many points, and distance from the axis, in units of the reach, at which they count less
RING_ORDERS, RING_BLOCK, RING_CORE = 128, 1024, 0.1
# Reach below which a structure is a line, whose azimuths do not matter
LINE = 1e-6
# Ratios to the best harmonic, and to the best root of one, at which others enter and count fully.
# Those about an axis that was not chosen for being a good one are fainter, and change places faster
CHOSEN, ABOUT_ANY, ORDER = (0.7, 1.0), (0.3, 1.0), 2.0


@dataclass(frozen=True)
class Circle:
    """The directions about x axes, one row for each axis.

    Attributes:
        frames: (rows, 3, 3), whose columns are the axis and two that complete it.
        reach: (rows,), how far the directions of its structure reach from it, 0 for a line.
    """

    frames: Float[Tensor, "rows 3 3"]
    reach: Float[Tensor, "rows"]

    def take(self, rows: Tensor) -> "Circle":
        """Some of the circles."""
        return Circle(self.frames[rows], self.reach[rows])

    def relative(self, values: Float[Tensor, "rows *shape"]) -> Float[Tensor, "rows *shape"]:
        """Values in units of the reach; zero for a line."""
        there = self.reach > LINE
        inverse = torch.where(there, 1 / torch.where(there, self.reach, 1.0), 0.0)
        return values * inverse.reshape(-1, *(1,) * (values.ndim - 1))

    def vectors(self, across: Float[Tensor, "rows 2"]) -> Float[Tensor, "rows 3"]:
        """Transverse vectors with these components."""
        return torch.bmm(self.frames[:, :, 1:], across[..., None])[..., 0]

    def roots(
        self, wave: Float[Tensor, "rows 2"], order: Int[Tensor, "rows"]
    ) -> tuple[Float[Tensor, "roots 3"], Int[Tensor, "roots"]]:
        """The ``order`` directions of azimuth psi with exp(i order psi) along the wave, by row."""
        row, turn = ranges(order)
        turn = 2 * math.pi * turn.to(wave.dtype)
        angle = (phases(wave)[row] + turn) / order[row]
        return self.take(row).at(angle), row

    def at(self, azimuth: Float[Tensor, "rows"]) -> Float[Tensor, "rows 3"]:
        """Unit vectors of these azimuths."""
        return self.vectors(torch.stack([azimuth.cos(), azimuth.sin()], dim=-1))


def phases(wave: Float[Tensor, "rows 2"]) -> Float[Tensor, "rows"]:
    """The phase of each wave; of what is rounding, zero."""
    usable = wave.square().sum(-1) > FAINTEST**4
    cosine, sine = torch.where(usable[:, None], wave, wave.new_tensor([1.0, 0.0])).unbind(-1)
    return torch.atan2(sine, cosine)


def steady_azimuths(
    circle: Circle, seen: Shape, levels: Steadiness
) -> tuple[Succession, Float[Tensor, "rows 3"]]:
    """Azimuths that the shape gives, as a succession that leaves the rest to densities.

    Args:
        circle: the axes.
        seen: the shape of the owner of each, in the frame of its circle.
        levels: what is trusted.

    Returns:
        the succession, and (rows, 3) the sum of all vectors that mark azimuths, as levers.
    """
    # azimuths about a line do not matter
    succession = Succession((circle.reach > LINE).to(circle.reach.dtype))
    marks = circle.vectors(circle.relative(seen.marks()))
    wave, lever = _principal_wave(circle, seen)
    # the two roots of the wave are opposite
    direction = circle.at(phases(wave) / 2)
    size = (1 + dot(marks, marks)).sqrt()
    sense = dot(direction, marks) / (2 * levels.azimuth_sense * size)
    shares = step(0.5 + torch.stack([sense, -sense], dim=-1))
    directions = torch.stack([direction, -direction], dim=1)
    succession.take(directions, shares, ramp(lever, *levels.transverse))
    if len(succession.waiting()):
        directions, lever = unit_vectors(marks)
        whole = torch.ones_like(lever)[:, None]
        succession.take(directions[:, None], whole, ramp(lever, *levels.mark))
    return succession, marks


def _principal_wave(
    circle: Circle, seen: Shape
) -> tuple[Float[Tensor, "rows 2"], Float[Tensor, "rows"]]:
    """Cosine and sine of twice the azimuth of the transverse principal axis, and its lever."""
    second, noise = seen.pointing[:, 0], seen.noise[:, 0]
    wave = torch.stack([second[:, 1, 1] - second[:, 2, 2], 2 * second[:, 1, 2]], dim=-1)
    scale = (noise[:, 1] + noise[:, 2] + seen.stillness).sqrt()
    return wave, circle.relative(safe_sqrt(wave.square().sum(-1)) / scale)


@dataclass(frozen=True)
class Waves:
    """Circular harmonics about x axes, one row for each axis.

    Attributes:
        values: (rows, orders, 2), cosine and sine of the m-th from the first on, relative to the
            whole.
        scale: (rows,), lever of a first one of size one.
    """

    values: Float[Tensor, "rows orders 2"]
    scale: Float[Tensor, "rows"]


def waves_of_density(
    circle: Circle, density: Density, latitude: float, number: Float[Tensor, "rows"]
) -> Waves:
    """Those of the density of the owner of each axis.

    Args:
        circle: the axes.
        density: of the owner of each.
        latitude: of the circle on which it is looked at.
        number: of directions that are independent of each other.
    """
    scale = number.sqrt() / sensitivity(density.degree)[1]
    scale = scale / torch.where(circle.reach > 0, circle.reach, 1.0)
    return Waves(harmonics_about(density, circle.frames, latitude), scale)


def waves_of_points(
    circle: Circle,
    vectors: Float[Tensor, "points 3"],
    weights: Float[Tensor, "points"],
    row: Int[Tensor, "points"],
    number: Float[Tensor, "rows"],
) -> Waves:
    """Those of points: the m-th is the mean of (x + i y)^m / (x^2 + y^2 + core^2)^(m/2) / m across.

    Args:
        circle: the axes.
        vectors: points of the owner of each axis, once for each.
        weights: of the points.
        row: the axis of each.
        number: of points that are independent of each other.
    """
    rows = len(circle.reach)
    total = segment_sum(weights, row, rows)
    sums = weights.new_zeros(rows, RING_ORDERS, 2)
    for some in torch.arange(len(row), device=row.device).split(RING_BLOCK):
        whose = row[some]
        across = torch.bmm(vectors[some, None], circle.frames[whose][:, :, 1:])[:, 0]
        core = RING_CORE * circle.reach[whose]
        # of what lies on the axis nothing is left, smoothly
        size = (across.square().sum(-1) + core.square() + FAINTEST**2).sqrt()
        powers = torch.complex(*(across / size[:, None]).unbind(-1))[:, None]
        while powers.size(1) < RING_ORDERS:
            powers = torch.cat([powers, powers * powers[:, -1:]], dim=1)
        terms = weights[some, None, None] * torch.view_as_real(powers[:, :RING_ORDERS])
        sums = sums + segment_sum(terms, whose, rows)
    whole = torch.where(total > 0, total, 1.0)[:, None, None]
    # on a ring of m points the second, of 2 m roots, is as large as the first
    order = torch.arange(1, RING_ORDERS + 1, device=sums.device).to(sums.dtype)
    return Waves(sums / (whole * order[:, None]), number.sqrt())


def harmonic_azimuths(
    circle: Circle,
    waves: Waves,
    faint: float,
    marks: Tensor,
    levels: Steadiness,
    window: tuple[float, float] = CHOSEN,
) -> tuple[Candidates, Float[Tensor, "rows"]]:
    """Azimuths from the best circular harmonics about each axis.

    Args:
        circle: the axes.
        waves: the harmonics.
        faint: lever at which a harmonic has lost half of its quality.
        marks: (rows, 3), what tells the roots of a harmonic apart.
        levels: by how much.
        window: of harmonics and of their roots.

    Returns:
        the azimuths, with weights that sum to one for each axis that has any, and the lever of the
        best harmonic.
    """
    values = waves.values
    rows, orders = values.shape[:2]
    order = torch.arange(1, orders + 1, device=values.device).to(values.dtype)
    size = safe_sqrt(values.square().sum(-1))
    size = torch.where(size > FAINTEST, size, 0.0)
    lever = order * size * waves.scale[:, None]
    # the lever is m times the size, but low orders have fewer azimuths
    quality = safe_log(size) - order.log()
    squared = lever.square()
    quality = quality + safe_log(squared) - (squared + faint**2).log()
    owner = torch.arange(rows, device=values.device).repeat_interleave(orders)
    weights = select(quality.reshape(-1), owner, rows, window, ORDER).reshape(rows, orders)
    found = _rooted(circle, values, weights, marks, levels, window)
    found = Candidates.normalized(found.directions, found.weights, found.index, rows)
    # a smooth mean of the levers, near the largest
    total = squared.sum(-1)
    best = squared.square().sum(-1) / torch.where(total > 0, total, 1.0)
    return found, safe_sqrt(best)


def _rooted(
    circle: Circle,
    waves: Float[Tensor, "rows orders 2"],
    weights: Tensor,
    marks: Tensor,
    levels: Steadiness,
    window: tuple[float, float],
) -> Candidates:
    """The roots of the phases of harmonics of positive weight, which share it."""
    row, column = torch.nonzero(weights > 0, as_tuple=True)
    directions, harmonic = circle.take(row).roots(waves[row, column], column + 1)
    sense = dot(directions, marks[row[harmonic]]) / levels.azimuth_sense
    shares = select(sense, harmonic, len(row), window, ORDER)
    roots = Candidates.normalized(directions, shares, harmonic, len(row))
    roots = roots.shared(weights[row, column])
    return Candidates(roots.directions, roots.weights, row[harmonic])
