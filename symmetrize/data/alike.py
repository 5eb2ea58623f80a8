"""Turned copies that the network cannot tell apart, of which one is evaluated.

A planar structure looks the same as it is reflected in its plane, and a line as it is turned about
itself: frames that differ by no more than that give one and the same input. What the network
returns is still turned back by each of the frames, so that the average is the same.

Values are alike then, derivatives are not: where a planar structure bends, its reflection bends the
other way.
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from symmetrize.arrays.segments import join, places, segment_sum
from symmetrize.arrays.transforms import carries_derivatives
from symmetrize.data.attributes import leaves
from symmetrize.data.copies import Source

# Combinations of the positions of a structure that stand for all of them: three would do, but for
# chance
COMBINATIONS = 4
# The sine of large numbers, times another, has digits that look drawn at random
SCATTER = (12.9898, 78.233, 43758.5453)
# Squared volume of the combinations, relative to that of orthogonal ones of the same size, above
# which they fill space, and no turn leaves them as they are
SOLID = 1e-10
# Differences that are rounding, relative to the largest combination: of these, which are in double
# precision, and of positions in the precision of the data, in units in the last place of either
ULPS_OF_COMBINATIONS, ULPS = 16, 2


def alike(
    source: Source,
    index: Int[Tensor, "copies"],
    rotations: Float[Tensor, "copies 3 3"],
    collapsed: Bool[Tensor, "copies"],
) -> tuple[Int[Tensor, "different"], Int[Tensor, "copies"]]:
    """The copies that differ, and which of these stands for each, as ``turned_copies`` makes them.

    All of them where derivatives are asked for, and where more than positions turns: a cell or a
    field that is not zero.
    """
    every = torch.arange(len(index), device=index.device)
    differentiated = carries_derivatives(source.vectors) or carries_derivatives(rotations)
    if source.further or differentiated:
        return every, every
    combined = _combined(source)
    is_shared = _is_flat(combined) & ~_turns_further(source)
    flat = torch.nonzero(is_shared[index] & ~collapsed)[:, 0]
    if not len(flat):
        return every, every
    owner = index[flat]
    turned = combined[owner] @ rotations[flat].to(combined.dtype)
    size = turned.abs().amax((1, 2))
    one, other = join(owner, owner, source.layout.size)
    rounding = max(
        ULPS_OF_COMBINATIONS * torch.finfo(turned.dtype).eps,
        ULPS * torch.finfo(source.data.pos.dtype).eps,
    )
    same = (turned[one] - turned[other]).abs().amax((1, 2)) <= rounding * size[one]
    first = every.scatter_reduce(0, flat[one[same]], flat[other[same]], "amin")
    return first.unique(return_inverse=True)


def _combined(source: Source) -> Float[Tensor, "structures combinations 3"]:
    """Sums of the positions of each structure, each time with other factors."""
    batch, size = source.layout.batch, source.layout.size
    number = torch.arange(COMBINATIONS, device=batch.device)
    angle = places(batch, size)[:, None] * SCATTER[0] + number * SCATTER[1]
    factors = torch.frac(angle.double().sin() * SCATTER[2])
    return segment_sum(factors[..., None] * source.vectors[:, None], batch, size)


def _turns_further(source: Source) -> Bool[Tensor, "structures"]:
    """Whether more than the positions of a structure turns: values that are not zero."""
    found = torch.zeros(source.layout.size, dtype=torch.bool, device=source.vectors.device)
    for name in source.inputs:
        if name == "pos" or name not in source.data:
            continue
        for path, _, value in leaves(source.data[name], name):
            rows = source.layout.rows.get(path)
            if rows is None or len(rows.owner) != len(value) or carries_derivatives(value):
                return torch.ones_like(found)
            moves = (value != 0).reshape(len(value), math.prod(value.shape[1:])).any(1)
            found = found.index_put((rows.owner[moves],), found.new_ones(()))
    return found


def _is_flat(combined: Float[Tensor, "structures combinations 3"]) -> Bool[Tensor, "structures"]:
    """Whether the vectors lie in a plane, or may do so up to rounding."""
    moments = combined.transpose(1, 2) @ combined
    scale = moments.diagonal(dim1=-2, dim2=-1).sum(-1) / 3
    return torch.linalg.det(moments) <= SOLID * scale**3
