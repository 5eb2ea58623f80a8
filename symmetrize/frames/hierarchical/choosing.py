"""The choice of frames: axes, then azimuths about each, turns near lines, mirror images.

Whatever is offered, by environments or by whole structures, is chosen from in the same way: each
step keeps the candidates whose quality is near the best, with weights that sum to one.
"""

import warnings
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from symmetrize.arrays.safe import safe_sqrt
from symmetrize.arrays.segments import counts, segment_normalize, segment_sum
from symmetrize.arrays.switching import ramp, select
from symmetrize.arrays.vectors import transverse, transverse_basis, unit_vectors
from symmetrize.frames.ensemble import Ensemble, assemble
from symmetrize.frames.hierarchical.candidates import (
    Axes,
    Azimuths,
    Offer,
    joined_axes,
    joined_azimuths,
    offered_axes,
    offered_azimuths,
    united,
)
from symmetrize.frames.hierarchical.moments import Moments
from symmetrize.frames.hierarchical.refinement import refined
from symmetrize.frames.hierarchical.settings import Selection
from symmetrize.frames.hierarchical.tensors import tensor_azimuths
from symmetrize.frames.mirror import chirality, mirrored
from symmetrize.groups import Group, has_reflections
from symmetrize.points.cloud import Vectors

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
class Choice:
    """What frames are chosen from, and how.

    Attributes:
        offer: the vectors to choose from.
        moments: what else there is to choose from: moments of the clouds, or nothing.
        log_trust: (owners,) logarithm of how far the shape of a cloud is to be trusted: a
            collapsed one has none.
        line_width: (owners,) distance from the axis at which a vector counts half for the azimuth.
        selection: how to choose.
        cloud: the clouds, whose fields mark azimuths and whose chirality weighs mirror images.
    """

    offer: Offer
    moments: tuple[Moments, ...]
    log_trust: Float[Tensor, "owners"]
    line_width: Float[Tensor, "owners"]
    selection: Selection
    cloud: Vectors

    @property
    def carries_gradients(self) -> bool:
        """Whether what is chosen will be differentiated."""
        return self.offer.vectors.requires_grad or self.offer.log_quality.requires_grad


def chosen(choice: Choice, group: Group, turns: int, max_frames: int) -> Ensemble:
    """The ensemble of a choice.

    Equal directions are merged, but not where positions carry gradients and it can be afforded:
    first derivatives survive merging, second ones do not.

    Args:
        choice: what to choose from.
        group: mirror images are for "O(3)".
        turns: that stand for a frame whose azimuth is ill defined.
        max_frames: largest number of frames of one owner.

    Raises:
        TooManyFramesError: if an owner needs more than ``max_frames``.
    """
    if not choice.carries_gradients:
        return _chosen(choice, group, turns, max_frames, merge=True)
    try:
        return _chosen(choice, group, turns, max_frames, merge=False)
    except TooManyFramesError:
        ensemble = _chosen(choice, group, turns, max_frames, merge=True)
    warnings.warn(
        f"more than `max_frames` = {max_frames} equal frames, as in a perfect crystal, "
        "were merged: first derivatives are exact, second ones are not",
        stacklevel=2,
    )
    return ensemble


def _chosen(choice: Choice, group: Group, turns: int, max_frames: int, merge: bool) -> Ensemble:
    """Axes, azimuths, refined azimuths, mirror images and the isotropic part, in this order."""
    size = choice.offer.size
    framed = _framed(choice.offer)
    axes, axis_weights = _selected_axes(_axes(choice), framed, choice.selection, merge)
    _check_number(axes.index, size, max_frames)
    azimuths, amount = _azimuths(choice, axes)
    collinear = amount < COLLINEAR**2
    frames, weights, row = _selected_frames(azimuths, axes, collinear, choice.selection, merge)
    weights = axis_weights[row] * weights
    _check_number(axes.index[row], size, max_frames)
    frames, weights, row = refined(frames, weights, row, ramp(amount, *LINE_TO_CLOUD), turns)
    owner = axes.index[row]
    weights = weights * framed[owner]
    if has_reflections(group):
        hand = chirality(choice.cloud, frames, owner) * choice.log_trust.exp()[owner]
        frames, weights, owner = mirrored(frames, weights, owner, hand)
    _check_number(owner, size, max_frames)
    return assemble(frames, weights, owner, size, isotropic=1 - framed)


def _framed(offer: Offer) -> Float[Tensor, "owners"]:
    """How far each owner is a cloud and not a single point, from 0 to 1."""
    amount = safe_sqrt(segment_sum(offer.presence.square(), offer.index, offer.size))
    return ramp(amount, *POINT_TO_CLOUD)


def _axes(choice: Choice) -> Axes:
    """All candidates for the x axis."""
    axes = [offered_axes(choice.offer)]
    for moments in choice.moments:
        axes += moments.axes()
    return joined_axes(axes)


def _azimuths(choice: Choice, axes: Axes) -> tuple[Azimuths, Float[Tensor, "axes"]]:
    """All candidates for the y axis, given the x axes, and how much there is off each axis."""
    azimuths, amount = offered_azimuths(
        choice.offer, axes, choice.selection.angle_power, choice.line_width[axes.index]
    )
    found = [azimuths, *(moments.azimuths(axes) for moments in choice.moments)]
    tensors = [field for field in choice.cloud.fields if not field.is_vector]
    if tensors:
        marked, squared = tensor_azimuths(tensors, axes, choice.offer.size)
        found += marked
        amount = safe_sqrt(amount.square() + squared)
    return joined_azimuths(found), amount


def _selected_axes(
    axes: Axes, framed: Float[Tensor, "owners"], selection: Selection, merge: bool
) -> tuple[Axes, Float[Tensor, "chosen"]]:
    """Axes of positive weight, and their weights, which sum to one for each framed owner."""
    size = len(framed)
    quality = torch.where(framed[axes.index] > 0, axes.log_quality, -torch.inf)
    weights = select(quality, axes.index, size, selection.axis_window, selection.order)
    kept = torch.nonzero(weights > 0)[:, 0]
    index = axes.index[kept]
    weights = segment_normalize(weights[kept], index, size)
    directions = axes.directions[kept]
    if merge:
        directions, weights, index = united(directions, weights, index)
    return Axes(directions, weights.log(), index), weights


def _selected_frames(
    azimuths: Azimuths,
    axes: Axes,
    collinear: Bool[Tensor, "axes"],
    selection: Selection,
    merge: bool,
) -> tuple[Float[Tensor, "frames 3 3"], Float[Tensor, "frames"], Int[Tensor, "frames"]]:
    """Frames of positive weight, their weights, which sum to one for each axis, and its row.

    An axis without any azimuth gets an arbitrary one: its cloud is collinear, and all of its
    frames will be refined. Azimuths about the axis of a ``collinear`` cloud carry no gradient of
    their own.
    """
    number = len(axes.index)
    weights = select(
        azimuths.log_quality, azimuths.axis, number, selection.azimuth_window, selection.order
    )
    kept = torch.nonzero(weights > 0)[:, 0]
    row = azimuths.axis[kept]
    weights = segment_normalize(weights[kept], row, number)
    directions = azimuths.directions[kept]
    if merge:
        directions, weights, row = united(directions, weights, row)
    bare = torch.nonzero(counts(row, number) == 0)[:, 0]
    y = torch.cat([directions, transverse_basis(axes.directions[bare])[0]])
    weights = torch.cat([weights, weights.new_ones(len(bare))])
    row = torch.cat([row, bare])
    x = axes.directions[row]
    y = torch.where(collinear[row, None], unit_vectors(transverse(y.detach(), x))[0], y)
    weights = torch.where(collinear[row], weights.detach(), weights)
    frames = torch.stack([x, y, torch.linalg.cross(x, y)], dim=-1)
    return frames, weights, row


def _check_number(owner: Int[Tensor, "members"], size: int, max_frames: int) -> None:
    """Refuse what would take more frames than the user allows."""
    number = counts(owner, size)
    if len(owner) > max_frames and int(number.max()) > max_frames:
        worst = int(number.argmax())
        raise TooManyFramesError(
            f"structure or center {worst} needs at least {int(number[worst])} frames, more "
            f"than `max_frames` = {max_frames}: too many of its directions are equally "
            "good, as in a perfect lattice or on a regular sphere. Break ties with "
            "`species_scores` or data.frame_scores, take preset='lean' or scope='center', or "
            "raise `max_frames`"
        )
