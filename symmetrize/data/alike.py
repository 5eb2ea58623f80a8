"""Turned copies that the network cannot tell apart, of which one is evaluated.

A planar structure looks the same as it is reflected in its plane, and a line as it is turned about
itself: frames that differ by no more than that give one and the same input. What the network
returns is still turned back by each of the frames, so that the average is the same.

Values are alike then, derivatives are not: where a planar structure bends, its reflection bends the
other way.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.autograd import forward_ad

from symmetrize.arrays.segments import join, places, segment_sum
from symmetrize.data.copies import Source
from symmetrize.frames.ensemble import Ensemble

# Combinations of the positions of a structure that stand for all of them: three would do, but for
# chance
COMBINATIONS = 4
# Irrational, so that no two points have the same factors in these
SILVER = 2**0.5 - 1
# Squared volume of the combinations, relative to that of orthogonal ones of the same size, above
# which they fill space, and no turn leaves them as they are
SOLID = 1e-10
# Differences, in units in the last place of the largest position, that are rounding
ULPS = 16


def alike(
    source: Source, members: Ensemble
) -> tuple[Int[Tensor, "different"], Int[Tensor, "members"]]:
    """The members that the network is to be evaluated on, and which of these stands for each.

    All of them where derivatives are asked for, and where more than positions turns.
    """
    every = torch.arange(len(members), device=members.index.device)
    turning = [name for name in source.inputs if name != "pos" and name in source.data]
    differentiated = map(_carries_derivatives, (source.vectors, members.rotations, members.weights))
    if turning or source.further or any(differentiated):
        return every, every
    combined = _combined(source)
    flat = torch.nonzero(_is_flat(combined)[members.index] & ~members.isotropic)[:, 0]
    if not len(flat):
        return every, every
    turned = combined[members.index[flat]] @ members.rotations[flat].to(combined.dtype)
    size = turned.abs().amax((1, 2))
    one, other = join(members.index[flat], members.index[flat], members.size)
    ulp = torch.finfo(source.data.pos.dtype).eps
    same = (turned[one] - turned[other]).abs().amax((1, 2)) <= ULPS * ulp * size[one]
    first = every.scatter_reduce(0, flat[one[same]], flat[other[same]], "amin")
    return first.unique(return_inverse=True)


def _carries_derivatives(values: Tensor) -> bool:
    return values.requires_grad or forward_ad.unpack_dual(values).tangent is not None


def _combined(source: Source) -> Float[Tensor, "structures combinations 3"]:
    """Sums of the positions of each structure, each time with other factors."""
    batch, size = source.layout.batch, source.layout.size
    place = places(batch, size)[:, None].double() + 1
    number = torch.arange(1, COMBINATIONS + 1, device=batch.device)
    factors = torch.frac(place * SILVER * number + place.square() * SILVER) - 0.5
    return segment_sum(factors[..., None] * source.vectors[:, None], batch, size)


def _is_flat(combined: Float[Tensor, "structures combinations 3"]) -> Bool[Tensor, "structures"]:
    """Whether the vectors lie in a plane, or may do so up to rounding."""
    moments = combined.transpose(1, 2) @ combined
    scale = moments.diagonal(dim1=-2, dim2=-1).sum(-1) / 3
    return torch.linalg.det(moments) <= SOLID * scale**3
