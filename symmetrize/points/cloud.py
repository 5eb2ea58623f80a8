"""Points and vectors: whose frames are sought, and what they are made from.

``Points`` are structures as the user has them: positions, owners, perhaps a cell. ``Vectors`` have
one origin for each owner and turn with it: the points of a molecule from their centroid, or the
neighbors of a center from that center. Both are flat batches: rows, and the index of the owner of
each row. Either may carry a ``Field``: what else turns with an owner.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from symmetrize.arrays.safe import safe_sqrt
from symmetrize.arrays.segments import counts, segment_sum
from symmetrize.arrays.switching import cutoff_switch
from symmetrize.arrays.vectors import dot, safe_norm
from symmetrize.points.axis import Axis
from symmetrize.representation import Representation

# A cloud that rounding alone could have spread over this many units in the last place of its
# coordinates is one point: rotating or shifting coordinates costs a few of them.
NOISE_ULPS = 16.0
# Part of the cutoff over which a neighbor fades, for frames without a width of their own
FADE = 0.5


@dataclass(frozen=True)
class Field:
    """What turns with structures or centers beside their points: a field, normals, a strain.

    Attributes:
        representation: how it turns: a single irrep of degree 1 or more, or a Cartesian tensor.
        values: (T, dim) float64, in units in which a size of 1 matters to the network.
        index: (T,), the structure or center of each.
    """

    representation: Representation
    values: Float[Tensor, "rows dim"]
    index: Int[Tensor, "rows"]

    @property
    def is_vector(self) -> bool:
        """Whether a value is one vector, polar or axial: three numbers of degree 1."""
        return self.representation.dim == 3 and self.representation.lmax == 1

    @property
    def is_axial(self) -> bool:
        """Whether the inversion leaves the values as they are."""
        return all(irrep.p == 1 for _, irrep in self.representation.irreps)


@dataclass(frozen=True)
class Points:
    """A batch of structures.

    Attributes:
        positions: (P, 3), in the unit of the data.
        batch: (P,), structure of each point, 0 to ``size`` - 1.
        size: number of structures; some may have no points.
        log_scores: (P,) float64, logarithm of an invariant factor of each point's quality.
        species: (P,) integers, such as atomic numbers, or None.
        cell: (size, 3, 3), lattice vectors as rows, or None for finite clouds.
        pbc: (size, 3), whether each lattice vector is a period, or None.
        fields: what else turns with the structures.
        axis: of each structure, if frames turn about one.
    """

    positions: Float[Tensor, "points 3"]
    batch: Int[Tensor, "points"]
    size: int
    log_scores: Float[Tensor, "points"]
    species: Int[Tensor, "points"] | None
    cell: Float[Tensor, "size 3 3"] | None
    pbc: Bool[Tensor, "size 3"] | None
    fields: Collection[Field] = ()
    axis: Axis | None = None

    @classmethod
    def of(
        cls,
        positions: Float[Tensor, "points 3"],
        batch: Int[Tensor, "points"] | None = None,
        size: int | None = None,
        *,
        scores: Float[Tensor, "points"] | None = None,
        species: Int[Tensor, "points"] | None = None,
        cell: Float[Tensor, "size 3 3"] | None = None,
        pbc: Bool[Tensor, "size 3"] | None = None,
    ) -> "Points":
        """Points with what was left out filled in: one structure, equal scores, no cell.

        >>> pair = Points.of(torch.eye(3)[:2])
        >>> pair.batch.tolist(), pair.size, pair.log_scores.tolist(), pair.periodic
        ([0, 0], 1, [0.0, 0.0], False)
        """
        if batch is None:
            batch = torch.zeros(len(positions), dtype=torch.long, device=positions.device)
        if size is None:
            size = int(batch.max()) + 1 if len(batch) else 1
        none = positions.new_zeros(len(positions)).double()
        return cls(
            positions=positions,
            batch=batch,
            size=size,
            log_scores=none if scores is None else scores.double().log(),
            species=species,
            cell=None if cell is None else cell.reshape(size, 3, 3),
            pbc=None if pbc is None else pbc.reshape(size, 3),
        )

    @cached_property
    def from_centroid(self) -> "Vectors":
        """The points of each structure as vectors from its centroid."""
        return centered_cloud(self)

    def take(self, structures: Int[Tensor, "some"]) -> "Points":
        """Some of the structures, in ascending order, numbered anew."""
        place = torch.full((self.size,), -1, device=self.batch.device)
        place[structures] = torch.arange(len(structures), device=place.device)
        kept = torch.nonzero(place[self.batch] >= 0)[:, 0]
        fields = [(field, torch.nonzero(place[field.index] >= 0)[:, 0]) for field in self.fields]
        return Points(
            self.positions[kept],
            place[self.batch[kept]],
            len(structures),
            self.log_scores[kept],
            None if self.species is None else self.species[kept],
            None if self.cell is None else self.cell[structures],
            None if self.pbc is None else self.pbc[structures],
            [replace(f, values=f.values[k], index=place[f.index[k]]) for f, k in fields],
            None if self.axis is None else self.axis.of(structures),
        )

    @property
    def periodic(self) -> bool:
        """Whether any structure has a period."""
        return bool(self.is_periodic.any())

    @property
    def is_periodic(self) -> Bool[Tensor, "size"]:
        """(size,) which structures have a period."""
        if self.pbc is None:
            return torch.zeros(self.size, dtype=torch.bool, device=self.positions.device)
        return self.pbc.any(-1)


@dataclass(frozen=True)
class Vectors:
    """Vectors from the origin of their owner, and what invariant is known of them.

    ``Vectors.of`` fills in what is not known.

    Attributes:
        vectors: (P, 3) float64, from the origin of each owner.
        index: (P,), owner of each vector, 0 to ``size`` - 1.
        size: number of owners; some may have no vectors.
        log_scores: (P,), logarithm of an invariant positive factor of each vector's quality.
        resolution: (size,), length below which the vectors of an owner are rounding noise.
        cutoff: radius at which points come and go, for the environment of a center; None for a
            whole structure.
        fields: what else turns with the owners.
        axis: of each owner, if frames turn about one.
    """

    vectors: Float[Tensor, "points 3"]
    index: Int[Tensor, "points"]
    size: int
    log_scores: Float[Tensor, "points"]
    resolution: Float[Tensor, "size"]
    cutoff: float | None = None
    fields: Collection[Field] = ()
    axis: Axis | None = None

    @classmethod
    def of(
        cls,
        vectors: Float[Tensor, "points 3"],
        index: Int[Tensor, "points"],
        size: int,
        cutoff: float | None = None,
        *,
        log_scores: Float[Tensor, "points"] | None = None,
        resolution: Float[Tensor, "size"] | None = None,
        fields: Collection[Field] = (),
        axis: Axis | None = None,
    ) -> "Vectors":
        """Vectors with what was left out filled in: equal scores, exact vectors, no fields.

        >>> pair = Vectors.of(torch.eye(3)[:2], torch.tensor([0, 0]), size=1)
        >>> pair.vectors.dtype, pair.log_scores.tolist(), pair.resolution.tolist()
        (torch.float64, [0.0, 0.0], [0.0])
        """
        vectors = vectors.double()
        return cls(
            vectors=vectors,
            index=index,
            size=size,
            log_scores=vectors.new_zeros(len(vectors)) if log_scores is None else log_scores,
            resolution=vectors.new_zeros(size) if resolution is None else resolution,
            cutoff=cutoff,
            fields=fields,
            axis=axis,
        )

    @property
    def lengths(self) -> Float[Tensor, "points"]:
        """(P,) length of each vector."""
        return safe_norm(self.vectors)

    @property
    def fade(self) -> Float[Tensor, "points"]:
        """(P,) 1 near the center, 0 at the cutoff with all derivatives; 1 for whole structures."""
        if self.cutoff is None:
            return torch.ones_like(self.vectors[:, 0])
        return cutoff_switch(self.lengths, self.cutoff, FADE * self.cutoff)

    def scaled(self, unit: Float[Tensor, "size"]) -> "Vectors":
        """The same vectors with lengths in the given unit, one for each owner."""
        return replace(
            self, vectors=self.vectors / unit[self.index, None], resolution=self.resolution / unit
        )

    def seen_in(self, axes: Float[Tensor, "size 3 3"]) -> "Vectors":
        """Vectors, fields and axis in a frame of each owner, whose axes are columns."""
        vectors = (self.vectors[:, None] @ axes[self.index])[:, 0]
        fields = [
            replace(f, values=f.representation.rotate(f.values, axes[f.index].transpose(1, 2)))
            for f in self.fields
        ]
        axis = self.axis
        if axis is not None:
            axis = replace(axis, directions=(axis.directions[:, None] @ axes)[:, 0])
        return replace(self, vectors=vectors, fields=fields, axis=axis)


def about_centroid(
    structures: Points,
) -> tuple[Float[Tensor, "points 3"], Float[Tensor, "size"]]:
    """Positions from the centroid of their structure, in float64, and their resolution.

    The resolution follows the precision of the positions and their distance from the origin of the
    coordinates, so that coincident points far from it count as one. It carries no gradient.
    """
    positions, batch, size = structures.positions.double(), structures.batch, structures.size
    number = counts(batch, size).clamp(min=1).to(positions.dtype)
    centroid = segment_sum(positions, batch, size) / number[:, None]
    vectors = positions - centroid[batch]
    # far from the origin the centroid has few digits, and a symmetric cloud lies about it unevenly
    vectors = vectors - (segment_sum(vectors, batch, size) / number[:, None])[batch]
    mean_square = segment_sum(dot(positions, positions).detach(), batch, size) / number
    ulp = torch.finfo(structures.positions.dtype).eps
    return vectors, NOISE_ULPS * ulp * mean_square.sqrt()


def centered_cloud(structures: Points) -> Vectors:
    """The points of each structure as vectors from its centroid."""
    vectors, resolution = about_centroid(structures)
    return Vectors.of(
        vectors,
        structures.batch,
        structures.size,
        log_scores=structures.log_scores,
        resolution=resolution,
        fields=structures.fields,
        axis=structures.axis,
    )


def root_mean_square(cloud: Vectors) -> Float[Tensor, "size"]:
    """Root mean square length of the vectors of each owner, 0 where there are none."""
    number = counts(cloud.index, cloud.size).clamp(min=1).to(cloud.vectors.dtype)
    return safe_sqrt(
        segment_sum(dot(cloud.vectors, cloud.vectors), cloud.index, cloud.size) / number
    )
