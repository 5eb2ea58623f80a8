"""Inversion: each frame beside its mirror image, weighted by a smooth pseudoscalar.

A proper frame R (axes x, y, z as columns) has the mirror image R diag(1, 1, -1), which turns z
around. Inverting a cloud turns x and y of its frames around, as they are made of differences of
points, and leaves z = x times y: the frame of the inverted cloud is the mirror image of the
inverted frame. With weights p and 1 - p for the two, and p a function of a number that changes
sign under inversion, the weighted set of frames belongs to the cloud under O(3). A chiral cloud
needs one frame of each pair, a planar or mirror-symmetric one needs both.

The construction is this library's own.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from symmetrize.arrays.segments import counts, join, segment_sum
from symmetrize.arrays.switching import step
from symmetrize.arrays.vectors import dot
from symmetrize.points.cloud import Vectors

# Chirality at which a frame needs no mirror image. Smaller values leave fewer frames and steeper
# weights, whose slope is at most 1 / WIDTH for each unit of chirality.
WIDTH = 0.1
# Length below which a point counts less, in units of the cutoff or of the rms radius: up to 0.5 it
# hardly changes how many frames need an image, and a wide core is smooth at the origin.
CORE = 0.3
# Weight of the second moment beside the first in clouds seen from their centroid, whose first
# moment nearly vanishes (it does vanish for points on a sphere).
SECOND_MOMENT = 2.0


def mirrored(
    rotations: Float[Tensor, "frames 3 3"],
    weights: Float[Tensor, "frames"],
    index: Int[Tensor, "frames"],
    chirality: Float[Tensor, "frames"],
    width: float = WIDTH,
) -> tuple[
    Float[Tensor, "members 3 3"],
    Float[Tensor, "members"],
    Int[Tensor, "members"],
]:
    """Frames and their mirror images R diag(1, 1, -1), with weights that share the frame's.

    The frame keeps p = step(1/2 + chirality / (2 width)) of its weight, the image gets the rest.
    Whichever of the two has weight zero is left out. The order of smoothness is that of the
    chirality and the weights: the step is C-infinity.

    Args:
        rotations: (F, 3, 3) proper frames, axes as columns.
        weights: (F,).
        index: (F,) owner of each frame.
        chirality: (F,) a number that changes sign as the cloud of the owner is inverted; see
            ``chirality``.
        width: chirality at which one frame is enough, positive.

    Returns:
        rotations, weights and index of at most 2 F members, frames before images.

    >>> one = torch.eye(3)[None]
    >>> mirrored(one, torch.ones(1), torch.tensor([0]), chirality=torch.tensor([0.0]))[1]
    tensor([0.5000, 0.5000])
    >>> mirrored(one, torch.ones(1), torch.tensor([0]), chirality=torch.tensor([-1.0]))[1]
    tensor([1.])
    """
    hand = chirality / (2 * width)
    # the image takes step(1/2 - x) = 1 - step(1/2 + x), computed so that it reaches 0 exactly
    shares = step(0.5 + torch.stack([hand, -hand]))
    flip = rotations.new_tensor([1.0, 1.0, -1.0])
    weights = (weights * shares).flatten()
    rotations = torch.cat([rotations, rotations * flip])
    index = torch.cat([index, index])
    kept = torch.nonzero(weights > 0)[:, 0]
    return rotations[kept], weights[kept], index[kept]


def chirality(
    cloud: Vectors, rotations: Float[Tensor, "frames 3 3"], index: Int[Tensor, "frames"]
) -> Float[Tensor, "frames"]:
    """A smooth pseudoscalar of each frame's cloud, of order one for a chiral cloud.

    With n_k = r_k / (r_k^2 + CORE^2)^(1/2) in the axes of the frame,

        chi = sum_k c_k n_k,z (1 + s n_k,x) / (1 + sum_k c_k^2)^(1/2)

    where c_k fades out at the cutoff of an environment. For a whole cloud c_k = 1, lengths are in
    units of the rms radius (chi does not change with scale) and s = ``SECOND_MOMENT``; for an
    environment lengths are in units of the cutoff and s = 0. It does not change as cloud and frame
    are rotated together or points are permuted, changes sign under inversion with z kept and x and
    y turned around, and is zero for points in the plane of x and y. C-infinity in the vectors, also
    as points pass the origin or the cutoff.

    Args:
        cloud: the vectors.
        rotations: (F, 3, 3) proper frames.
        index: (F,) owner of each frame, in the numbering of the cloud.

    Returns:
        (F,). Only the points of the owners that have frames are visited: frames x points.

    >>> from symmetrize.frames import Vectors
    >>> corner = Vectors.of(torch.eye(3), torch.tensor([0, 0, 0]), size=1, cutoff=2.0)
    >>> frame = torch.eye(3, dtype=torch.float64)[None]
    >>> image = frame * frame.new_tensor([1.0, 1.0, -1.0])
    >>> hands = chirality(corner, torch.cat([frame, image]), torch.tensor([0, 0]))
    >>> bool(hands[0] > 0), bool(hands.sum() == 0)
    (True, True)
    """
    if cloud.cutoff is None:
        owners = counts(cloud.index, cloud.size).clamp(min=1).to(cloud.vectors.dtype)
        mean_square = (
            segment_sum(dot(cloud.vectors, cloud.vectors), cloud.index, cloud.size) / owners
        )
        # a cloud within rounding of one point has no shape: its noise is not blown up
        squared_unit = mean_square + cloud.resolution.square()
        squared_unit = torch.where(squared_unit > 0, squared_unit, 1.0)
        second_moment = SECOND_MOMENT
    else:
        squared_unit = torch.full_like(cloud.resolution, cloud.cutoff**2)
        second_moment = 0.0
    fade = cloud.fade
    squared_core = CORE**2 * squared_unit[cloud.index]
    length = (dot(cloud.vectors, cloud.vectors) + squared_core).sqrt()
    directions = cloud.vectors / length[:, None]
    norm = (1 + segment_sum(fade.square(), cloud.index, cloud.size)).sqrt()

    frame, point = join(index, cloud.index, cloud.size)
    x, _, z = torch.einsum("ki,kij->kj", directions[point], rotations[frame]).unbind(-1)
    terms = fade[point] * z * (1 + second_moment * x)
    return segment_sum(terms, frame, len(index)) / norm[index]
