"""What whole structures choose their frames from, the steadiest directions first.

A finite structure is seen from its centroid, in units of its rms radius; a periodic one as the set
of its local vectors (``crystals``). The dipoles and second moments of either give an axis, and an
azimuth about it, in nearly every structure (``shape``, ``circle``). Where symmetry leaves nothing
of them, the density of directions of the points, or of the bonds, takes over (``density``). Fields
and tensors that a structure carries settle what its points leave open.
"""

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from symmetrize.arrays.safe import safe_sqrt
from symmetrize.arrays.segments import counts, join, segment_sum
from symmetrize.arrays.switching import ramp, select, step
from symmetrize.arrays.vectors import dot, transverse_basis, unit_vectors
from symmetrize.frames.hierarchical.candidates import Candidates
from symmetrize.frames.hierarchical.choosing import (
    Azimuths,
    Choice,
    part_of_a_cloud,
    part_off_the_line,
)
from symmetrize.frames.hierarchical.circle import (
    ABOUT_ANY,
    CHOSEN,
    Circle,
    Waves,
    harmonic_azimuths,
    steady_azimuths,
    waves_of_density,
    waves_of_points,
)
from symmetrize.frames.hierarchical.crystals import bonds_of
from symmetrize.frames.hierarchical.density import Density, density_axes, density_of
from symmetrize.frames.hierarchical.offers import direction_offer, offered_azimuths
from symmetrize.frames.hierarchical.principal import principal_axes
from symmetrize.frames.hierarchical.settings import LINE_WIDTH, Steadiness, unit_of
from symmetrize.frames.hierarchical.shape import Shape, shape_of
from symmetrize.frames.hierarchical.succession import Succession
from symmetrize.frames.hierarchical.tensors import tensor_azimuths
from symmetrize.points.axis import Axis
from symmetrize.points.cloud import Points, Vectors, root_mean_square

# Whole clouds of a smaller rms radius count as one point. With a length scale it is this part of
# it; without one it is this many units of the data, far below any structure.
COLLAPSED, COLLAPSED_WITHOUT_SCALE = 1e-2, 1e-9
# In units of that radius: between which radii a cloud passes from a point to a shape
SOLID = (1.0, 4.0)
# Distance from the origin, in units of the structure, at which a point counts half as a direction
CORE = 0.5
# Ratios to the best lever, or the best vector of a field, at which others enter and count fully
WINDOW, ORDER = (0.5, 1.0), 8.0
# Degrees of the densities of directions, the coarsest first, and the levers between which their
# maxima, and harmonics about an axis, are trusted, in units of the structure
DEGREES = (8, 16, 32)
MAXIMUM, HARMONIC = (0.012, 0.02), (0.02, 0.045)
# Lever at which a harmonic has lost half of its quality beside others
FAINT = 0.05
# Latitude of the circles about an axis on which azimuths are sought, south before north: not the
# equator, which does not tell a prism from an antiprism.
LATITUDE = 0.6
CIRCLES = tuple((degree, sign * LATITUDE) for degree in DEGREES for sign in (-1, 1))
# By how much the handedness about an axis that was not chosen must be larger for one mirror image
HAND_ABOUT_ANY = 2.0
# Part of the points in all that there is off an axis, between which turns begin to start from the
# azimuths of points instead of fields, and do so fully
START = (0.2, 0.6)
# Differences between principal moments, relative to their sum, that are no matter
HELD = 1e-3
# Independent directions that count for the steadiness of a crystal, the same in every supercell
BONDS = 9.0


@dataclass(frozen=True)
class Seen:
    """Structures as frames see them.

    Attributes:
        cloud: positions from the centroid or local vectors, in the unit of each structure.
        directions: what densities are made of: the same positions, or bonds.
        weights: (rows,), of the directions in densities.
        presence: (rows,), between 0 and 1, how much of each there is for the network to see.
        number: (size,), of directions that are independent of each other.
        trust: (size,) how far the shape of each is to be trusted, 0 to 1.
        line_width: (size,), distance from the axis, in the unit of the directions, at which a
            direction counts half for the azimuth.
    """

    cloud: Vectors
    directions: Vectors
    weights: Float[Tensor, "rows"]
    presence: Float[Tensor, "rows"]
    number: Float[Tensor, "size"]
    trust: Float[Tensor, "size"]
    line_width: Float[Tensor, "size"]


@dataclass(frozen=True)
class StructureChoice(Choice):
    """Whole structures, which take the steadiest directions that they have.

    Attributes:
        basis: axes in which everything is seen, as columns.
        seen: the structures.
        shape: of each, in its unit; its extent is of the directions by presence and trust.
        levels: which directions are trusted.
    """

    basis: Float[Tensor, "size 3 3"]
    seen: Seen
    shape: Shape
    levels: Steadiness
    kind: str = "structure"
    _known: dict[int, tuple[Tensor, Density]] = field(default_factory=dict, compare=False)

    @property
    def size(self) -> int:  # type: ignore[override]
        """Number of structures."""
        return self.seen.cloud.size

    @property
    def axis(self) -> Axis | None:
        """About which frames turn."""
        return self.seen.cloud.axis

    def axes(self) -> Candidates:
        """Dipoles, principal axes and maxima of densities; vectors of fields for single points."""
        levels, index = self.levels, self.seen.directions.index
        presence = self.seen.trust[index] * self.seen.presence
        cloudy = part_of_a_cloud(safe_sqrt(segment_sum(presence.square(), index, self.size)))
        succession = Succession(cloudy)
        directions, lever = unit_vectors(self.shape.dipole)
        whole = torch.ones_like(lever)[:, None]
        succession.take(directions[:, None], whole, ramp(lever, *levels.dipole))
        if len(succession.waiting()):
            self._take_principal_axes(succession)
        for degree in DEGREES:
            waiting = succession.waiting()
            if not len(waiting):
                break
            density = self._density(degree, waiting)
            found, lever = density_axes(density)
            lever = lever * self.seen.number[waiting].sqrt()
            # the finest density has the last word
            last = degree == DEGREES[-1]
            trust = (lever > 0).to(lever.dtype) if last else ramp(lever, *MAXIMUM)
            succession.give(found.shared(trust), trust, waiting)
        axes = succession.taken()
        if not self.seen.cloud.fields:
            return axes
        return Candidates.joined([axes, self._axes_of_fields(1 - cloudy)])

    def _take_principal_axes(self, succession: Succession) -> None:
        """The first, then the last principal axis, in the senses of the dipole."""
        levels, shape = self.levels, self.shape
        directions, lever = principal_axes(shape.pointing[:, 0], shape.evenness)
        sense = dot(directions, shape.dipole[:, None]) / (2 * levels.axis_sense)
        shares = step(0.5 + torch.stack([sense, -sense], dim=-1))
        directions = torch.stack([directions, -directions], dim=2)
        trust = ramp(lever, *levels.principal)
        for column in range(2):
            succession.take(directions[:, column], shares[:, column], trust[:, column])

    def _axes_of_fields(self, left: Float[Tensor, "size"]) -> Candidates:
        """Directions of the vectors that single points carry, as far as they are there."""
        offer = direction_offer(self.seen.cloud)
        weights = select(offer.log_quality, offer.index, self.size, WINDOW, ORDER)
        directions, _ = unit_vectors(offer.vectors)
        found = Candidates.normalized(directions, weights, offer.index, self.size)
        return found.shared(left * part_of_a_cloud(offer.amount())).present()

    def azimuths(self, axes: Candidates) -> Azimuths:
        """Azimuths of the shape, of densities, and of fields and tensors near a line."""
        owner = axes.index
        frames = torch.stack([axes.directions, *transverse_basis(axes.directions)], dim=-1)
        seen = self.shape.seen_in(frames, owner)
        extent = seen.extent
        spread, whole = extent[:, 1] + extent[:, 2], extent.sum(-1)
        circle = Circle(frames, safe_sqrt(spread / torch.where(whole > 0, whole, 1.0)))
        succession, marks = steady_azimuths(circle, seen, self.levels)
        self._take_harmonics(succession, circle, owner, marks)
        found = succession.taken()
        found = Candidates.normalized(found.directions, found.weights, found.index, len(owner))
        line = self.seen.line_width[owner].square()
        amount = spread / (spread + line)
        off = part_off_the_line(amount)
        if self.axis is not None:
            # no x axis fades as a cloud collapses: its azimuths do, as slowly
            trust = self.seen.trust[owner]
            whole = spread + trust * line
            off = trust * part_off_the_line(spread / torch.where(whole > 0, whole, 1.0))
        if not self.seen.cloud.fields:
            return Azimuths(found, off[found.index], amount, off)
        fields, marked, much = self._azimuths_of_fields(axes)
        # near a line fields take over what the points leave, and turns what these leave, from
        # where there is more to see; as long as turns do, the azimuth must not be told from the
        # weights of mirror images
        both = amount + much
        start = torch.where(much > 0, amount / torch.where(both > 0, both, 1.0), 1.0)
        start = ramp(start, *START)
        turned = (1 - off) * (1 - marked)
        of_points, of_fields = off + turned * start, (1 - off) * marked + turned * (1 - start)
        points, fields = found.shared(of_points), fields.shared(of_fields)
        joined = Candidates.joined([points, fields])
        plain = [
            torch.where(share > 0, part / torch.where(share > 0, share, 1.0), 0.0)[some.index]
            for part, share, some in (
                (off, of_points, points),
                ((1 - off) * marked, of_fields, fields),
            )
        ]
        kept = torch.nonzero(joined.weights > 0)[:, 0]
        return Azimuths(joined.present(), torch.cat(plain)[kept], both, off)

    def _take_harmonics(
        self, succession: Succession, circle: Circle, owner: Tensor, marks: Tensor
    ) -> None:
        """Azimuths from densities, the coarsest first; of what no density resolves, from points."""
        window = CHOSEN if self.axis is None else ABOUT_ANY
        for circles in (*CIRCLES, None):
            waiting = succession.waiting()
            if not len(waiting):
                return
            some, whose = circle.take(waiting), owner[waiting]
            number = self.seen.number[whose]
            if circles is None:
                waves = self._waves_of_points(some, whose, number)
            else:
                which, row = whose.unique(return_inverse=True)
                density = self._density(circles[0], which).take(row)
                waves = waves_of_density(some, density, circles[1], number)
            found, lever = harmonic_azimuths(
                some, waves, FAINT, marks[waiting], self.levels, window
            )
            # the points have the last word, whatever they say
            trust = (lever > 0).to(lever.dtype) if circles is None else ramp(lever, *HARMONIC)
            succession.give(found.shared(trust), trust, waiting)

    def _waves_of_points(self, circle: Circle, owner: Tensor, number: Tensor) -> Waves:
        """The circular harmonics of all directions of the owner of each axis."""
        directions = self.seen.directions
        row, point = join(owner, directions.index, self.size)
        weights = self.seen.weights * directions.log_scores.exp()
        return waves_of_points(circle, directions.vectors[point], weights[point], row, number)

    def _azimuths_of_fields(
        self, axes: Candidates
    ) -> tuple[Candidates, Float[Tensor, "axes"], Float[Tensor, "axes"]]:
        """Azimuths of fields, how far to trust them, and how much there is of them."""
        number = len(axes.index)
        carried = self.seen.cloud.fields
        directions, quality, axis, amount = offered_azimuths(
            direction_offer(self.seen.cloud), axes.directions, axes.index, 1.0, LINE_WIDTH
        )
        tensors = [one for one in carried if not one.is_vector]
        if tensors:
            marked, squared = tensor_azimuths(tensors, axes, self.size)
            directions = torch.cat([directions, *(m[0] for m in marked)])
            quality = torch.cat([quality, *(m[1] for m in marked)])
            axis = torch.cat([axis, *(m[2] for m in marked)])
            amount = amount + squared
        weights = select(quality, axis, number, WINDOW, ORDER)
        found = Candidates.normalized(directions, weights, axis, number)
        return found, part_off_the_line(amount), amount

    def hand(
        self, frames: Float[Tensor, "frames 3 3"], owner: Int[Tensor, "frames"]
    ) -> Float[Tensor, "frames"]:
        """The handedness of the shape, less that of collapsed clouds."""
        hand = self.shape.seen_in(frames, owner).handedness() / self.levels.hand
        return hand * self.seen.trust[owner]

    def _density(self, degree: int, owners: Int[Tensor, "some"]) -> Density:
        """The densities of directions of some structures, in their order."""
        # azimuths ask for some of what axes had asked for, mostly
        if degree in self._known:
            rows, density = self._known[degree]
            if bool((rows[owners] >= 0).all()):
                return density.take(rows[owners])
        rows = torch.full((self.size,), -1, device=owners.device)
        rows[owners] = torch.arange(len(owners), device=owners.device)
        self._known[degree] = rows, self._made_density(degree, rows, len(owners))
        return self._known[degree][1]

    def _made_density(self, degree: int, rows: Int[Tensor, "size"], number: int) -> Density:
        """The densities of those structures that have a row, -1 for the others."""
        directions, place = self.seen.directions, rows[self.seen.directions.index]
        kept = torch.nonzero(place >= 0)[:, 0]
        some = replace(
            directions,
            vectors=directions.vectors[kept],
            index=place[kept],
            size=number,
            log_scores=directions.log_scores[kept],
            resolution=directions.resolution[rows >= 0],
            fields=(),
        )
        weights = self.seen.weights[kept] * some.log_scores.exp()
        return density_of(some, weights, degree)


def choice_of_structures(
    cloud: Vectors,
    species: Int[Tensor, "points"] | None,
    levels: Steadiness,
    scale: float | None,
) -> StructureChoice:
    """What finite structures, seen from their centroid, have to choose from.

    Args:
        cloud: the structures.
        species: of their points, or None.
        levels: which directions are trusted.
        scale: length on which the network varies; without one structures are alike at any scale.
    """
    radius = root_mean_square(cloud)
    low = COLLAPSED_WITHOUT_SCALE if scale is None else COLLAPSED * scale
    unit = torch.where(radius > 0, radius, 1.0)
    line = torch.full_like(unit, levels.line)
    if scale is not None:
        # two fragments far apart are nearly collinear to the eye, not to the network
        line = levels.line * (scale / unit).clamp(max=1.0)
    trust = ramp(radius / (cloud.resolution + low), *SOLID)
    scaled = cloud.scaled(unit)
    squared = dot(scaled.vectors, scaled.vectors)
    presence = squared / (squared + CORE**2)
    number = counts(cloud.index, cloud.size).to(unit.dtype)
    seen = Seen(scaled, scaled, presence, presence, number, trust, line)
    return _choice(seen, species, levels)


def choice_of_crystals(
    structures: Points, levels: Steadiness, cutoff: float, length_scale: float | None
) -> StructureChoice:
    """What periodic structures have to choose from.

    Args:
        structures: all of them periodic.
        levels: which directions are trusted.
        cutoff: distance up to which neighbors make local vectors.
        length_scale: length on which the network varies; None for a part of the cutoff.
    """
    found = bonds_of(structures, cutoff, unit_of(length_scale, cutoff))
    cloud = structures.from_centroid
    local = replace(cloud, vectors=found.local).scaled(found.length)
    ones = torch.ones_like(found.length)
    line = levels.line * ones
    seen = Seen(local, found.directions, found.weights, found.presence, BONDS * ones, ones, line)
    return _choice(seen, structures.species, levels)


def _choice(
    seen: Seen, species: Int[Tensor, "points"] | None, levels: Steadiness
) -> StructureChoice:
    if seen.cloud.axis is not None:
        levels = replace(levels, hand=HAND_ABOUT_ANY * levels.hand)
    axes = _long_axes(seen.cloud)
    cloud = seen.cloud.seen_in(axes)
    alike = seen.directions is seen.cloud
    directions = cloud if alike else seen.directions.seen_in(axes)
    seen = replace(seen, cloud=cloud, directions=directions)
    vectors, index = directions.vectors, directions.index
    presence = seen.presence * seen.trust[index]
    outer = presence[:, None, None] * vectors[:, :, None] * vectors[:, None, :]
    extent = segment_sum(outer, index, cloud.size)
    shape = shape_of(cloud, species, extent)
    return StructureChoice(axes, seen, shape, levels)


@torch.no_grad()
def _long_axes(cloud: Vectors) -> Float[Tensor, "size 3 3"]:
    """Any frame of each owner, along its principal axes where these are far from equal.

    In it moments of an elongated cloud keep the digits of what is small beside what is large. It
    takes no part in the choice, which is the same in any axes up to rounding.
    """
    vectors = cloud.vectors.detach()  # forward derivatives, too
    outer = vectors[:, :, None] * vectors[:, None, :]
    second = segment_sum(outer, cloud.index, cloud.size)
    whole = second.diagonal(dim1=-2, dim2=-1).sum(-1)
    second = second / torch.where(whole > 0, whole, 1.0)[:, None, None]
    # equal ones are held in place, so that rounding does not turn them
    held = HELD * torch.arange(3, dtype=second.dtype, device=second.device)
    axes = torch.linalg.eigh(second + torch.diag(held)).eigenvectors
    # orthogonal to the last digit
    axes = 1.5 * axes - 0.5 * torch.bmm(axes, torch.bmm(axes.transpose(1, 2), axes))
    x, y, z = axes.unbind(-1)
    return axes * dot(torch.linalg.cross(x, y), z).sign()[:, None, None]
