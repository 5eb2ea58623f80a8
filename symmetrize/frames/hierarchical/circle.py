"""Azimuths of whole structures about their axes, the steadiest first.

First the axis of what is transverse, in the sense of the vectors that point away from the x axis:
what second moments have between the axis and the rest, and the dipoles. Then these vectors
themselves. Last the circular harmonics of the density of directions: m azimuths, the roots of the
phase of the m-th, for clouds that look the same after a turn by 2 pi / m. Levers are in units of
how far a structure reaches from the axis, as there may be little off it.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from symmetrize.arrays.safe import safe_log, safe_sqrt
from symmetrize.arrays.segments import ranges
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
# Reach below which a structure is a line, whose azimuths do not matter
LINE = 1e-6
# Ratios to the best harmonic, and to the best root of one, at which others enter and count fully
WINDOW, ORDER = (0.7, 1.0), 2.0


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


def harmonic_azimuths(
    circle: Circle,
    density: Density,
    latitude: float,
    faint: float,
    number: Tensor,
    marks: Tensor,
    levels: Steadiness,
) -> tuple[Candidates, Float[Tensor, "rows"]]:
    """Azimuths from the best circular harmonics of a density about each axis.

    Args:
        circle: the axes.
        density: of the owner of each.
        latitude: of the circle on which it is looked at.
        faint: lever at which a harmonic has lost half of its quality.
        number: (rows,), of directions that are independent of each other.
        marks: (rows, 3), what tells the roots of a harmonic apart.
        levels: by how much.

    Returns:
        the azimuths, with weights that sum to one for each axis that has any, and the lever of the
        best harmonic.
    """
    waves = harmonics_about(density, circle.frames, latitude)
    rows, orders = waves.shape[:2]
    order = torch.arange(1, orders + 1, device=waves.device).to(waves.dtype)
    size = safe_sqrt(waves.square().sum(-1))
    size = torch.where(size > FAINTEST, size, 0.0)
    scale = number.sqrt() / sensitivity(density.degree)[1]
    scale = scale / torch.where(circle.reach > 0, circle.reach, 1.0)
    lever = order * size * scale[:, None]
    # the lever is m times the size, but low orders have fewer azimuths
    quality = safe_log(size) - order.log()
    squared = lever.square()
    quality = quality + safe_log(squared) - (squared + faint**2).log()
    owner = torch.arange(rows, device=waves.device).repeat_interleave(orders)
    weights = select(quality.reshape(-1), owner, rows, WINDOW, ORDER).reshape(rows, orders)
    found = _rooted(circle, waves, weights, marks, levels)
    found = Candidates.normalized(found.directions, found.weights, found.index, rows)
    # a smooth mean of the levers, near the largest
    total = squared.sum(-1)
    best = squared.square().sum(-1) / torch.where(total > 0, total, 1.0)
    return found, safe_sqrt(best)


def _rooted(
    circle: Circle, waves: Tensor, weights: Tensor, marks: Tensor, levels: Steadiness
) -> Candidates:
    """The roots of the phases of harmonics of positive weight, which share it."""
    row, column = torch.nonzero(weights > 0, as_tuple=True)
    directions, harmonic = circle.take(row).roots(waves[row, column], column + 1)
    sense = dot(directions, marks[row[harmonic]]) / levels.azimuth_sense
    shares = select(sense, harmonic, len(row), WINDOW, ORDER)
    roots = Candidates.normalized(directions, shares, harmonic, len(row))
    roots = roots.shared(weights[row, column])
    return Candidates(roots.directions, roots.weights, row[harmonic])
