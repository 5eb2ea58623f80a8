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
        rows: (size, 16, 3), five symmetric matrices and the dipole under each other, so that all
            are turned at once; see the properties.
        evenness: (size,), sum of squared weights / sum of weights.
        stillness: (size,), squared noise of second moments of vectors of the size ``STILL``. Added
            to theirs, it keeps what is relative to it smooth where all vectors vanish, as the
            local vectors of a perfect crystal do.
    """

    rows: Float[Tensor, "size 16 3"]
    evenness: Float[Tensor, "size"]
    stillness: Float[Tensor, "size"]

    @property
    def dipole(self) -> Float[Tensor, "size 3"]:
        """Sum of the dipoles of species and of distances, each divided by its sensitivity.

        So its length is a lever.
        """
        return self.rows[:, 15]

    @property
    def moments(self) -> Float[Tensor, "size 5 3 3"]:
        """All matrices."""
        return self.rows[:, :15].unflatten(1, (5, 3))

    @property
    def pointing(self) -> Float[Tensor, "size 2 3 3"]:
        """Second moments, and those with the numbers of species as a factor."""
        return self.moments[:, :2]

    @property
    def noise(self) -> Float[Tensor, "size 2 3"]:
        """The diagonals of what these are by chance, squared, along the axes."""
        return self.moments[:, 2:4].diagonal(dim1=-2, dim2=-1)

    @property
    def extent(self) -> Float[Tensor, "size 3"]:
        """Sums of the squares of all that there is to be seen, along the axes."""
        return self.moments[:, 4].diagonal(dim1=-2, dim2=-1)

    def seen_in(self, frames: Float[Tensor, "rows 3 3"], owner: Int[Tensor, "rows"]) -> "Shape":
        """The shape of the owner of each frame, in its axes, which are columns."""
        # R^T M R is (M R)^T R, as M is symmetric
        once = torch.bmm(self.rows[owner], frames)
        across = once[:, :15].unflatten(1, (5, 3)).transpose(2, 3).flatten(1, 2)
        rows = torch.cat([torch.bmm(across, frames), once[:, 15:]], dim=1)
        return Shape(rows, self.evenness[owner], self.stillness[owner])

    def marks(self) -> Float[Tensor, "size 2"]:
        """The y and z components of all that points away from the x axis, as levers.

        The dipole, and what second moments have between the axis and the rest.
        """
        noise = self.noise
        across = noise[..., 0] + 0.5 * (noise[..., 1] + noise[..., 2]) + self.stillness[:, None]
        tilts = self.pointing[:, :, 0, 1:] / across.sqrt()[..., None]
        return tilts.sum(1) + self.dipole[:, 1:]

    def handedness(self) -> Float[Tensor, "size"]:
        """A pseudoscalar of each shape in its frame, as a lever: odd in the z axis.

        The sum of the component of the dipole along z, and of the second moments between z and the
        other axes. Zero for what is symmetric under the reflection of z.
        """
        noise = self.noise
        floor = noise[..., 2] + THIN * noise.sum(-1) + self.stillness[:, None]
        tilts = self.pointing[:, :, :2, 2] / (noise[..., :2] + floor[..., None]).sqrt()
        return self.dipole[:, 2] + tilts.sum((1, 2))


def number_of(species: Int[Tensor, "points"]) -> Float[Tensor, "points"]:
    """One fixed number for each species, 20 at most."""
    return torch.frac(species.double() * GOLDEN) * 20


def shape_of(
    cloud: Vectors, species: Int[Tensor, "points"] | None, extent: Float[Tensor, "size 3 3"]
) -> Shape:
    """The shape of each owner of a cloud of vectors, which are in the unit of their owner.

    Args:
        cloud: the vectors.
        species: of them, or None.
        extent: second moments of all that there is to be seen.
    """
    vectors, index, size = cloud.vectors, cloud.index, cloud.size
    # scores weigh points, and tell them apart as species do
    best = segment_max(cloud.log_scores.detach(), index, size)
    weights = (cloud.log_scores - best[index]).exp()
    marks = cloud.log_scores if species is None else cloud.log_scores + number_of(species)
    squared = dot(vectors, vectors)
    marks = torch.stack([marks, squared], dim=-1)
    sums = torch.stack([weights, weights.square(), *(weights[:, None] * marks).unbind(-1)], -1)
    total, squares, *means = segment_sum(sums, index, size).unbind(-1)
    total = torch.where(total > 0, total, 1.0)
    marks = marks - (torch.stack(means, dim=-1) / total[:, None])[index]
    own = torch.stack([torch.zeros_like(squared), RADIAL * squared.square()], dim=-1)
    own = marks.square() + own + FAINT**2
    pointing = weights[:, None] * marks
    # each row: spread of both marks, the vector times each, and products of coordinates
    factors = torch.stack([weights, pointing[:, 0], weights.square() * own[:, 0]], dim=-1)
    outer = (vectors[:, :, None] * vectors[:, None, :]).flatten(1)
    rows = [
        weights.square()[:, None] * own,
        (pointing[..., None] * vectors[:, None]).flatten(1),
        (factors[..., None] * outer[:, None]).flatten(1),
    ]
    spread, dipoles, products = segment_sum(torch.cat(rows, dim=1), index, size).split(
        [2, 6, 27], dim=1
    )
    lever = torch.where(spread > 0, spread, 1.0).sqrt()
    dipole = (dipoles.reshape(-1, 2, 3) / lever[..., None]).sum(1)
    second, marked, noise = products.reshape(-1, 3, 3, 3).unbind(1)
    evenness = squares / total
    moments = [second, marked, second * evenness[:, None, None], noise, extent]
    stillness = STILL**2 * (squares + 1e-12)
    return Shape(torch.cat([*moments, dipole[:, None]], dim=1), evenness, stillness)
