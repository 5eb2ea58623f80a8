"""The shape of a structure in a few tensors, and how steadily they point.

Of a cloud of vectors r_j these are two dipoles, sum_j w_j (c_j - <c>) r_j, with c one fixed number
for each species, or the squared distance from the origin, and second moments, sum_j w_j r_j r_j^T,
with and without that number as a factor. They are linear in the points: no visit to the points
comes after them, whatever the number of frames.

A direction is as good as it is steady. Its *lever* is the reciprocal of how fast it turns: as the
points move by a small distance in all, it turns by no more than that distance divided by its lever.
A single point at distance r from the origin has the lever r, the dipole of n points one of the
order of n^(1/2) r if it is not there by chance. All that points in a structure compares by levers,
in the unit of the structure.

The construction is this library's own.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from symmetrize.arrays.segments import segment_max, segment_sum
from symmetrize.arrays.vectors import dot
from symmetrize.points.cloud import Vectors

# The numbers of species differ in their first digits, however many species there are
GOLDEN = (5**0.5 - 1) / 2
# Differences between the numbers of points, or logarithms of their scores, that tell little
FAINT = 0.3
# Part of the whole of second moments that is added to those across a plane or a line, which may be
# rounding
THIN = 0.01
# Size of vectors, in the unit of the structure, below which they are no more than a distortion
STILL = 0.05
# Squared sensitivity of r^2 r to a displacement of its point beyond that of r^2 times a fixed
# vector, in units of r^4: the mean over directions of |2 r r^T|^2 + 2 r^2 tr(2 r r^T) is 8/3
RADIAL = 8 / 3


@dataclass(frozen=True)
class Shape:
    """Low moments of the clouds of several owners, lengths in the unit of each.

    Attributes:
        dipoles: (size, 2, 3), of species and of distances, each divided by its sensitivity: its
            length is its lever.
        second: (size, 3, 3), second moments.
        marked: (size, 3, 3), second moments with the numbers of species as a factor.
        noise: (size, 3, 3), likewise with their squares: what ``marked`` is by chance.
        evenness: (size,), sum of squared weights / sum of weights.
        total: (size,), sum of weights; 1 for an owner without points.
    """

    dipoles: Float[Tensor, "size 2 3"]
    second: Float[Tensor, "size 3 3"]
    marked: Float[Tensor, "size 3 3"]
    noise: Float[Tensor, "size 3 3"]
    evenness: Float[Tensor, "size"]
    total: Float[Tensor, "size"]

    def stillness(self) -> Float[Tensor, "size"]:
        """Squared noise of second moments of vectors of the size ``STILL``.

        Added to theirs, it keeps what is relative to it smooth where all vectors vanish, as the
        local vectors of a perfect crystal do.
        """
        return STILL**2 * (self.total * self.evenness + 1e-12)

    def take(self, owners: Int[Tensor, "rows"]) -> "Shape":
        """The shapes of the given owners, in this order, with repetitions."""
        return Shape(
            self.dipoles[owners],
            self.second[owners],
            self.marked[owners],
            self.noise[owners],
            self.evenness[owners],
            self.total[owners],
        )


def number_of(species: Int[Tensor, "points"]) -> Float[Tensor, "points"]:
    """One fixed number for each species, 20 at most."""
    return torch.frac(species.double() * GOLDEN) * 20


def shape_of(cloud: Vectors, species: Int[Tensor, "points"] | None) -> Shape:
    """The shape of each owner of a cloud of vectors, which are in the unit of their owner."""
    vectors, index, size = cloud.vectors, cloud.index, cloud.size
    # scores weigh points, and tell them apart as species do
    best = segment_max(cloud.log_scores.detach(), index, size)
    weights = (cloud.log_scores - best[index]).exp()
    marks = cloud.log_scores if species is None else cloud.log_scores + number_of(species)
    squared = dot(vectors, vectors)
    marks = torch.stack([marks, squared], dim=-1)

    total = segment_sum(weights, index, size)
    safe_total = torch.where(total > 0, total, 1.0)
    mean = segment_sum(weights[:, None] * marks, index, size) / safe_total[:, None]
    marks = marks - mean[index]
    own = torch.stack([torch.zeros_like(squared), RADIAL * squared.square()], dim=-1)
    spread = segment_sum(weights.square()[:, None] * (marks.square() + own + FAINT**2), index, size)
    moments = segment_sum((weights[:, None] * marks)[..., None] * vectors[:, None], index, size)
    present = spread > 0
    dipoles = moments / torch.where(present, spread, 1.0).sqrt()[..., None]

    outer = vectors[:, :, None] * vectors[:, None, :]
    mark = marks[:, 0]
    squares = weights.square()
    factors = torch.stack([weights, weights * mark, squares * (mark.square() + FAINT**2)], dim=-1)
    products = segment_sum(factors[:, :, None, None] * outer[:, None], index, size)
    evenness = segment_sum(weights.square(), index, size) / safe_total
    return Shape(dipoles, products[:, 0], products[:, 1], products[:, 2], evenness, safe_total)


def along(matrix: Float[Tensor, "rows 3 3"], one: Tensor, other: Tensor) -> Float[Tensor, "rows"]:
    """one^T matrix other, for each row."""
    return dot(one, (matrix @ other[..., None])[..., 0])


def handedness(shape: Shape, frames: Float[Tensor, "rows 3 3"]) -> Float[Tensor, "rows"]:
    """A pseudoscalar of each shape in its frame, as a lever: odd in the z axis.

    The sum of the components of the dipoles along z, and of the second moments between z and the
    other axes. Zero for what is symmetric under the reflection of z.
    """
    x, y, z = frames.unbind(-1)
    found = dot(shape.dipoles.sum(1), z)
    for matrix, noise, part in (
        (shape.second, shape.second, shape.evenness),
        (shape.marked, shape.noise, torch.ones_like(shape.evenness)),
    ):
        floor = along(noise, z, z) + THIN * noise.diagonal(dim1=-2, dim2=-1).sum(-1)
        for axis in (x, y):
            squared = (along(noise, axis, axis) + floor) * part + shape.stillness()
            found = found + along(matrix, axis, z) / squared.sqrt()
    return found
