"""The choice of frames: axes, then azimuths about each, turns near lines, mirror images.

Whatever is offered, by environments or by whole structures, becomes frames in the same way.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from symmetrize.arrays.segments import counts, segment_sum
from symmetrize.arrays.switching import ramp
from symmetrize.arrays.vectors import transverse, transverse_basis, unit_vectors
from symmetrize.frames.ensemble import Ensemble, assemble
from symmetrize.frames.hierarchical.candidates import Candidates
from symmetrize.frames.hierarchical.refinement import refined
from symmetrize.frames.mirror import mirrored
from symmetrize.groups import Group, has_reflections
from symmetrize.points.axis import Axis

# Distance from the axis, in units of that at which a point counts half, below which derivatives of
# an azimuth are left out. They add less than rounding there, of the order of this distance to the
# power EXTRA_TURNS - 1, but as a sum of turns that cancel, each of the order of its inverse.
COLLINEAR = 5e-6
# Amount of points between which an owner passes from a single point to a cloud, and of points off
# the axis between which it passes from a line, whose frames are refined
POINT_TO_CLOUD = (0.02, 0.3)
LINE_TO_CLOUD = (0.02, 0.3)


class TooManyFramesError(ValueError):
    """A cloud ties in so many ways that it needs more frames than the user allows."""


@dataclass(frozen=True)
class Azimuths:
    """Candidates for the y axis, given x axes.

    Attributes:
        candidates: orthogonal to their x axis, whose row is their index; their weights sum to one
            for each axis that has any.
        plain: (rows,), part of the weight of each that needs no turns about the axis.
        amount: (axes,), how much there is off each axis: 0 for what is collinear with it.
        handed: (axes,), how far mirror images about each axis may weigh differently, 0 to 1.
    """

    candidates: Candidates
    plain: Float[Tensor, "rows"]
    amount: Float[Tensor, "axes"]
    handed: Float[Tensor, "axes"]


class Choice(ABC):
    """What frames are chosen from: environments, or whole structures.

    Attributes:
        size: number of them.
        kind: what they are, in errors.
        basis: (size, 3, 3), axes in which directions are given, as columns; None if they are not.
    """

    size: int
    kind: str
    basis: Float[Tensor, "size 3 3"] | None

    @property
    @abstractmethod
    def axis(self) -> Axis | None:
        """The axis of each, in its basis, if frames turn about one; None to choose x axes."""

    @abstractmethod
    def axes(self) -> Candidates:
        """The x axes of positive weight; the weights of an owner sum to 1, to 0 for a point."""

    @abstractmethod
    def azimuths(self, axes: Candidates) -> Azimuths:
        """The y axes of positive weight for each x axis, if it has any."""

    @abstractmethod
    def hand(
        self, frames: Float[Tensor, "frames 3 3"], owner: Int[Tensor, "frames"]
    ) -> Float[Tensor, "frames"]:
        """A pseudoscalar of each owner in its frame, from -1 on one mirror image is enough."""


def chosen(choice: Choice, group: Group, turns: int, max_frames: int) -> Ensemble:
    """The ensemble of a choice: axes, azimuths, turns near lines, mirror images, what is isotropic.

    Args:
        choice: what to choose from.
        group: mirror images are for "O(3)" and "O(2)".
        turns: that stand for a frame whose azimuth is ill defined.
        max_frames: largest number of frames of one owner.

    Raises:
        TooManyFramesError: if an owner needs more than ``max_frames``.
    """
    axes = choice.axes() if choice.axis is None else _given(choice.axis)
    framed = segment_sum(axes.weights, axes.index, choice.size)
    _check_number(axes.index, choice, max_frames)
    azimuths = choice.azimuths(axes)
    frames, weights, row, plain = _framed(axes, azimuths)
    weights = axes.weights[row] * weights
    _check_number(axes.index[row], choice, max_frames)
    frames, weights, row = refined(frames, weights, row, plain, turns)
    owner = axes.index[row]
    if has_reflections(group):
        hand = choice.hand(frames, owner) * azimuths.handed[row]
        frames, weights, owner = mirrored(frames, weights, owner, hand, width=1.0)
    _check_number(owner, choice, max_frames)
    if choice.basis is not None:
        frames = choice.basis[owner] @ frames
    if choice.axis is not None:
        frames = choice.axis.placed(frames)
    # sums of weights that are one up to rounding leave nothing
    isotropic = torch.where(framed < 1 - 1e-12, 1 - framed, 0.0)
    return assemble(frames, weights, owner, choice.size, isotropic=isotropic)


def _given(axis: Axis) -> Candidates:
    """The axis of each owner as its only x axis."""
    directions = axis.directions
    owner = torch.arange(len(directions), device=directions.device)
    return Candidates(directions, torch.ones_like(directions[:, 0]), owner)


def _framed(
    axes: Candidates, azimuths: Azimuths
) -> tuple[Float[Tensor, "frames 3 3"], Tensor, Tensor, Tensor]:
    """Frames, their weights, the row of the axis of each, and how plain each is.

    An axis without any azimuth gets an arbitrary one: its cloud is collinear, and all of its
    frames will be refined. Azimuths about the axis of a collinear cloud carry no gradient of their
    own.
    """
    found = azimuths.candidates
    y, weights, row, plain = found.directions, found.weights, found.index, azimuths.plain
    bare = torch.nonzero(counts(row, len(axes.index)) == 0)[:, 0]
    if len(bare):
        y = torch.cat([y, transverse_basis(axes.directions[bare])[0]])
        weights = torch.cat([weights, weights.new_ones(len(bare))])
        plain = torch.cat([plain, plain.new_zeros(len(bare))])
        row = torch.cat([row, bare])
    x = axes.directions[row]
    collinear = azimuths.amount[row] < COLLINEAR**2
    if bool(collinear.any()):
        y = torch.where(collinear[:, None], unit_vectors(transverse(y.detach(), x))[0], y)
        weights = torch.where(collinear, weights.detach(), weights)
    return torch.stack([x, y, torch.linalg.cross(x, y)], dim=-1), weights, row, plain


def part_of_a_cloud(amount: Float[Tensor, "owners"]) -> Float[Tensor, "owners"]:
    """How far an owner with this amount of points is a cloud and not a single point, 0 to 1."""
    return ramp(amount, *POINT_TO_CLOUD)


def part_off_the_line(amount: Float[Tensor, "axes"]) -> Float[Tensor, "axes"]:
    """How far what has this amount of points off an axis is a cloud and not a line, 0 to 1."""
    return ramp(amount, *LINE_TO_CLOUD)


def _check_number(owner: Int[Tensor, "members"], choice: Choice, max_frames: int) -> None:
    """Refuse what would take more frames than the user allows."""
    if len(owner) <= max_frames:
        return
    number = counts(owner, choice.size)
    if int(number.max()) > max_frames:
        worst = int(number.argmax())
        other = "scope='center'" if choice.kind == "structure" else "scope='structure'"
        raise TooManyFramesError(
            f"{choice.kind} {worst} needs at least {int(number[worst])} frames, more than "
            f"`max_frames` = {max_frames}, as many of its directions are equally good: it is "
            "nearly symmetric, and needs as many frames as its symmetry group has elements. Tell "
            "points apart by data.frame_scores, or species by `species_scores`, take "
            f"{other}, or raise `max_frames`"
        )
