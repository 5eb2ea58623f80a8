"""What the environment of a center offers for its frames: vectors, by the quality of each.

Points first, fields and normals where points leave a choice. Each vector carries the logarithm of
a positive, smooth, invariant quality; it falls to -inf before its direction becomes ill defined.
Lengths are in the unit of the cloud.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from symmetrize.arrays.safe import safe_log, safe_sqrt
from symmetrize.arrays.segments import join, segment_sum
from symmetrize.arrays.vectors import dot, transverse, unit_vectors
from symmetrize.frames.hierarchical.settings import Selection
from symmetrize.points.cloud import Vectors

# Distance from the origin, in the unit of the cloud, below which angles count less
ANGLE_CORE = 0.1
# Fields and normals choose frames only where points leave a choice
LOG_DIRECTION_QUALITY = -6.0


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

    def amount(self) -> Float[Tensor, "size"]:
        """How much there is of all vectors of each cloud."""
        return safe_sqrt(segment_sum(self.presence.square(), self.index, self.size))


def point_offer(cloud: Vectors, log_fade: Float[Tensor, "points"], selection: Selection) -> Offer:
    """The points of a cloud: quality fade r^2 / (r^2 + core^2) exp(-decay (r^2 + core^2)^(1/2))."""
    squared = dot(cloud.vectors, cloud.vectors)
    softened = squared + selection.core**2
    presence = log_fade.exp() * squared / softened
    log_quality = log_fade + safe_log(squared) - softened.log() - selection.decay * softened.sqrt()
    return Offer(cloud.vectors, log_quality + cloud.log_scores, presence, cloud.index, cloud.size)


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


def offered_azimuths(
    offer: Offer,
    axes: Float[Tensor, "axes 3"],
    owner: Int[Tensor, "axes"],
    angle_power: float,
    line_width: float,
) -> tuple[Float[Tensor, "rows 3"], Float[Tensor, "rows"], Int[Tensor, "rows"], Tensor]:
    """Transverse parts t of the offered vectors about each axis, as azimuths.

    The quality of a vector is multiplied by (|t|^2 / (r^2 + ANGLE_CORE^2))^angle_power. The amount
    is (sum (presence |t|^2 / (|t|^2 + line_width^2))^2)^(1/2), zero for clouds collinear with the
    axis.

    Returns:
        directions, logarithms of their qualities, the axis of each, and the amount about each axis.
    """
    axis, row = join(owner, offer.index, offer.size)
    vectors = offer.vectors[row]
    directions, length = unit_vectors(transverse(vectors, axes[axis]))
    squared = length.square()
    sine = safe_log(squared) - (dot(vectors, vectors) + ANGLE_CORE**2).log()
    quality = offer.log_quality[row] + angle_power * sine
    parts = offer.presence[row] * squared / (squared + line_width**2)
    amount = safe_sqrt(segment_sum(parts.square(), axis, len(axes)))
    return directions, quality, axis, amount
