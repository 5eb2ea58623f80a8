"""Directions that turn with a cloud: candidates for the axes of its frames.

A frame is built from two choices, an x axis and an azimuth about it. Candidates come from the
points themselves, from fields and normals, and for whole clouds from moments
(``moments``). Each carries the logarithm of a positive, smooth, invariant
quality; it falls to -inf before the candidate becomes ill defined. Lengths are in the unit of the
cloud.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from symmetrize.arrays.safe import safe_log, safe_sqrt
from symmetrize.arrays.segments import equal_rows, join, segment_sum
from symmetrize.arrays.vectors import dot, transverse, unit_vectors
from symmetrize.frames.hierarchical.settings import Selection
from symmetrize.points.cloud import Vectors

# Distance from the origin, in the unit of the cloud, below which angles count less
ANGLE_CORE = 0.1


@dataclass(frozen=True)
class Offer:
    """Vectors that a cloud offers for its frames, as axes and as azimuths.

    Attributes:
        vectors: (R, 3), in the unit of the cloud.
        log_quality: (R,), logarithm of the quality as an axis; -inf leaves a vector out.
        presence: (R,), between 0 and 1, how much of a vector there is for the network to see.
        index: (R,), cloud of each, 0 to ``size`` - 1.
        size: number of clouds.
    """

    vectors: Float[Tensor, "rows 3"]
    log_quality: Float[Tensor, "rows"]
    presence: Float[Tensor, "rows"]
    index: Int[Tensor, "rows"]
    size: int


@dataclass(frozen=True)
class Axes:
    """Candidates for the x axis.

    Attributes:
        directions: (A, 3) unit vectors.
        log_quality: (A,).
        index: (A,), cloud of each.
    """

    directions: Float[Tensor, "axes 3"]
    log_quality: Float[Tensor, "axes"]
    index: Int[Tensor, "axes"]


@dataclass(frozen=True)
class Azimuths:
    """Candidates for the y axis, given an x axis.

    Attributes:
        directions: (Y, 3) unit vectors orthogonal to their x axis.
        log_quality: (Y,).
        axis: (Y,), row of the x axis of each.
    """

    directions: Float[Tensor, "azimuths 3"]
    log_quality: Float[Tensor, "azimuths"]
    axis: Int[Tensor, "azimuths"]


def joined_axes(axes: list[Axes]) -> Axes:
    """Several sets of axes of the same clouds as one."""
    columns = zip(*((a.directions, a.log_quality, a.index) for a in axes), strict=True)
    return Axes(*(torch.cat(column) for column in columns))


def joined_azimuths(azimuths: list[Azimuths]) -> Azimuths:
    """Several sets of azimuths about the same axes as one."""
    columns = zip(*((a.directions, a.log_quality, a.axis) for a in azimuths), strict=True)
    return Azimuths(*(torch.cat(column) for column in columns))


def united(
    directions: Float[Tensor, "rows 3"],
    weights: Float[Tensor, "rows"],
    index: Int[Tensor, "rows"],
) -> tuple[Float[Tensor, "groups 3"], Float[Tensor, "groups"], Int[Tensor, "groups"]]:
    """Equal directions of one owner as one, with the sum of their weights.

    In a perfect crystal all bonds along one direction are one. First derivatives survive merging,
    second ones do not.
    """
    group, first = equal_rows(directions, index)
    if len(first) == len(group):
        return directions, weights, index
    total = segment_sum(weights, group, len(first))
    mean, _ = unit_vectors(segment_sum(weights[:, None] * directions, group, len(first)))
    return mean, total, index[first]


def point_offer(cloud: Vectors, log_fade: Float[Tensor, "points"], selection: Selection) -> Offer:
    """The points of a cloud: quality fade r^2 / (r^2 + core^2) exp(-decay (r^2 + core^2)^(1/2))."""
    squared = dot(cloud.vectors, cloud.vectors)
    softened = squared + selection.core**2
    presence = log_fade.exp() * squared / softened
    log_quality = log_fade + safe_log(squared) - softened.log() - selection.decay * softened.sqrt()
    return Offer(cloud.vectors, log_quality + cloud.log_scores, presence, cloud.index, cloud.size)


# Fields and normals choose frames only where points leave a choice
LOG_DIRECTION_QUALITY = -6.0


def direction_offer(cloud: Vectors) -> Offer:
    """The vectors among the fields of a cloud: quality d^2 / (d^2 + 1), and low.

    Axial vectors come with both signs: so the set belongs to the cloud under inversion, too.
    """
    vectors, index = [cloud.vectors[:0]], [cloud.index[:0]]
    for field in cloud.fields:
        for sign in ((1.0, -1.0) if field.is_axial else (1.0,)) if field.is_vector else ():
            vectors.append(sign * field.values)
            index.append(field.index)
    directions = torch.cat(vectors)
    squared = dot(directions, directions)
    presence = squared / (squared + 1)
    quality = safe_log(presence) + LOG_DIRECTION_QUALITY
    return Offer(directions, quality, presence, torch.cat(index), cloud.size)


def joined(offers: list[Offer]) -> Offer:
    """Several offers to the same clouds as one."""
    return Offer(
        torch.cat([offer.vectors for offer in offers]),
        torch.cat([offer.log_quality for offer in offers]),
        torch.cat([offer.presence for offer in offers]),
        torch.cat([offer.index for offer in offers]),
        offers[0].size,
    )


def offered_axes(offer: Offer) -> Axes:
    """Axes along the offered vectors."""
    directions, _ = unit_vectors(offer.vectors)
    return Axes(directions, offer.log_quality, offer.index)


def offered_azimuths(
    offer: Offer, axes: Axes, angle_power: float, line_width: Float[Tensor, "axes"]
) -> tuple[Azimuths, Float[Tensor, "axes"]]:
    """Azimuths along the transverse parts t of the offered vectors, and how much there is of them.

    The quality of a vector is multiplied by (|t|^2 / (r^2 + ANGLE_CORE^2))^angle_power. The amount
    is (sum (presence |t|^2 / (|t|^2 + line_width^2))^2)^(1/2), zero for clouds collinear with the
    axis.
    """
    axis, row = join(axes.index, offer.index, offer.size)
    vectors = offer.vectors[row]
    directions, length = unit_vectors(transverse(vectors, axes.directions[axis]))
    squared = length.square()
    sine = safe_log(squared) - (dot(vectors, vectors) + ANGLE_CORE**2).log()
    azimuths = Azimuths(directions, offer.log_quality[row] + angle_power * sine, axis)
    parts = offer.presence[row] * squared / (squared + line_width[axis].square())
    return azimuths, safe_sqrt(segment_sum(parts.square(), axis, len(axes.index)))
