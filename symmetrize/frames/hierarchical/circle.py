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
from jaxtyping import Float
from torch import Tensor

from symmetrize.arrays.safe import safe_log, safe_sqrt
from symmetrize.arrays.switching import ramp, select, step
from symmetrize.arrays.vectors import dot, transverse_basis, unit_vectors
from symmetrize.frames.hierarchical.candidates import Candidates
from symmetrize.frames.hierarchical.density import Density, harmonics_about, sensitivity
from symmetrize.frames.hierarchical.settings import Steadiness
from symmetrize.frames.hierarchical.shape import Shape, along
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
    """The shapes of structures about x axes, one row for each axis.

    Attributes:
        axes: (rows, 3) unit vectors.
        first, second: (rows, 3), which complete them to frames.
        shape: of the owner of each.
        reach: (rows,), how far directions reach from the axis, 0 for a line.
    """

    axes: Float[Tensor, "rows 3"]
    first: Float[Tensor, "rows 3"]
    second: Float[Tensor, "rows 3"]
    shape: Shape
    reach: Float[Tensor, "rows"]

    @classmethod
    def about(cls, axes: Float[Tensor, "rows 3"], shape: Shape, reach: Tensor) -> "Circle":
        """The circles about axes, of shapes with one row for each."""
        return cls(axes, *transverse_basis(axes), shape, reach)

    def take(self, rows: Tensor) -> "Circle":
        """Some of the circles."""
        return Circle(
            self.axes[rows],
            self.first[rows],
            self.second[rows],
            self.shape.take(rows),
            self.reach[rows],
        )

    def relative(self, vectors: Float[Tensor, "rows 3"]) -> Float[Tensor, "rows 3"]:
        """The transverse part of vectors, in units of the reach."""
        there = self.reach > LINE
        # rounding is kept: where symmetry leaves nothing, derivatives are not zero
        once = vectors - dot(vectors, self.axes)[:, None] * self.axes
        # near a line the first subtraction leaves rounding of the order of the vector itself
        part = once - dot(once, self.axes)[:, None] * self.axes
        return torch.where(there[:, None], part / torch.where(there, self.reach, 1.0)[:, None], 0.0)

    def tilts(self) -> tuple[Float[Tensor, "rows 3"], Float[Tensor, "rows 3"]]:
        """What second moments have between the axis and the rest, and those of species: levers."""
        found = []
        for matrix, noise, part in (
            (self.shape.second, self.shape.second, self.shape.evenness),
            (self.shape.marked, self.shape.noise, 1.0),
        ):
            mixed = (matrix @ self.axes[..., None])[..., 0]
            straight = along(noise, self.axes, self.axes)
            trace = noise.diagonal(dim1=-2, dim2=-1).sum(-1)
            squared = (straight + 0.5 * (trace - straight)) * part + self.shape.stillness()
            found.append(self.relative(mixed / squared.sqrt()[:, None]))
        return found[0], found[1]

    def dipoles(self) -> tuple[Float[Tensor, "rows 3"], Float[Tensor, "rows 3"]]:
        """The transverse parts of the dipoles of species and of distances: levers."""
        one, other = self.shape.dipoles.unbind(1)
        return self.relative(one), self.relative(other)

    def axis_of_the_rest(self) -> tuple[Float[Tensor, "rows 2"], Float[Tensor, "rows"]]:
        """Cosine and sine of twice the azimuth of the transverse principal axis, and its lever."""
        second = self.shape.second
        one = along(second, self.first, self.first)
        other = along(second, self.second, self.second)
        mixed = 2 * along(second, self.first, self.second)
        wave = torch.stack([one - other, mixed], dim=-1)
        noise = ((one + other) * self.shape.evenness + self.shape.stillness()).sqrt()
        scale = noise * self.reach
        there = (scale > 0) & (self.reach > LINE)
        size = safe_sqrt(wave.square().sum(-1))
        return wave, torch.where(there, size / torch.where(there, scale, 1.0), 0.0)

    def roots(
        self, wave: Float[Tensor, "rows 2"], order: int
    ) -> tuple[Float[Tensor, "rows_order 3"], Tensor]:
        """The ``order`` directions of azimuth psi with exp(i order psi) along the wave, by row."""
        usable = wave.square().sum(-1) > FAINTEST**4
        safe = torch.where(usable[:, None], wave, wave.new_tensor([1.0, 0.0]))
        turn = torch.arange(order, device=wave.device).to(wave.dtype) * (2 * math.pi)
        angle = ((torch.atan2(safe[:, 1], safe[:, 0])[:, None] + turn) / order)[..., None]
        directions = angle.cos() * self.first[:, None] + angle.sin() * self.second[:, None]
        row = torch.arange(len(wave), device=wave.device).repeat_interleave(order)
        return directions.flatten(0, 1), row


def steady_azimuths(circle: Circle, levels: Steadiness) -> tuple[Succession, Tensor]:
    """Azimuths that the shape gives, as a succession that leaves the rest to densities.

    Returns:
        the succession, and (rows, 3) the sum of all vectors that mark azimuths, as levers.
    """
    row = torch.arange(len(circle.axes), device=circle.axes.device)
    # azimuths about a line do not matter
    succession = Succession((circle.reach > LINE).to(circle.reach.dtype))
    marks = torch.stack([*circle.tilts(), *circle.dipoles()]).sum(0)
    wave, lever = circle.axis_of_the_rest()
    directions, owner = circle.roots(wave, 2)
    size = (1 + dot(marks, marks)).sqrt()
    sense = dot(directions, marks[owner]) / size[owner]
    weights = step(0.5 + sense / (2 * levels.azimuth_sense))
    succession.take(Candidates(directions, weights, owner), ramp(lever, *levels.transverse))
    directions, lever = unit_vectors(marks)
    whole = Candidates(directions, torch.ones_like(lever), row)
    succession.take(whole, ramp(lever, *levels.mark))
    return succession, marks


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
    waves = harmonics_about(density, circle.axes, circle.first, circle.second, latitude)
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
    found = [Candidates(circle.axes[:0], weights[:0, 0], torch.zeros_like(weights[:0, 0]).long())]
    for column in torch.nonzero((weights > 0).any(0))[:, 0].tolist():
        some = torch.nonzero(weights[:, column] > 0)[:, 0]
        directions, row = circle.take(some).roots(waves[some, column], column + 1)
        sense = dot(directions, marks[some][row]) / levels.azimuth_sense
        share = select(sense, row, len(some), WINDOW, ORDER)
        roots = Candidates.normalized(directions, share, row, len(some))
        roots = roots.shared(weights[some, column])
        found.append(Candidates(roots.directions, roots.weights, some[roots.index]))
    return Candidates.joined(found)
