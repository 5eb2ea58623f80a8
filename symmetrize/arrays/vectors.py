"""Vectors in rows: lengths, directions, and what is transverse to an axis.

Components are summed one by one: a sum over a last dimension of three takes several times as long.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from symmetrize.arrays.safe import safe_sqrt

# Transverse part, relative to the vector, that float64 arithmetic makes up
ROUNDING = 1e-14


def dot(a: Float[Tensor, "*#rows 3"], b: Float[Tensor, "*#rows 3"]) -> Float[Tensor, "*#rows"]:
    """Scalar product of each row of one with that of the other."""
    x, y, z = (a * b).unbind(-1)
    return x + y + z


def safe_norm(vectors: Float[Tensor, "*rows 3"]) -> Float[Tensor, "*rows"]:
    """Euclidean norm whose gradient at the zero vector is zero, not NaN."""
    return safe_sqrt(dot(vectors, vectors))


def unit_vectors(
    vectors: Float[Tensor, "rows 3"],
) -> tuple[Float[Tensor, "rows 3"], Float[Tensor, "rows"]]:
    """Vectors divided by their lengths, and the lengths; zero vectors stay zero."""
    # squares of lengths below 1e-154 underflow: scale by the largest component first
    scale = vectors.detach().abs().amax(-1)
    scale = torch.where(scale > 0, scale, 1.0)
    scaled = vectors / scale[:, None]
    squared = dot(scaled, scaled)
    positive = squared > 0
    length = torch.where(positive, squared, 1.0).sqrt() * scale
    return vectors / length[:, None], torch.where(positive, length, 0.0)


def transverse(
    vectors: Float[Tensor, "rows 3"], axes: Float[Tensor, "rows 3"]
) -> Float[Tensor, "rows 3"]:
    """The part of each vector orthogonal to its axis, exactly zero where it is rounding."""
    once = vectors - dot(vectors, axes)[:, None] * axes
    # near the axis the first subtraction leaves rounding of the order of the vector itself
    twice = once - dot(once, axes)[:, None] * axes
    # what is left of a vector along the axis is rounding, in any direction, that of the axis too
    size = vectors.detach().abs().amax(-1)
    kept = dot(twice, twice).detach() > (ROUNDING * size).square()
    return torch.where(kept[:, None], twice, 0.0)


def transverse_basis(
    axes: Float[Tensor, "rows 3"],
) -> tuple[Float[Tensor, "rows 3"], Float[Tensor, "rows 3"]]:
    """Two unit vectors that complete each unit vector to a right-handed frame, any two."""
    smallest = axes.detach().abs().argmin(-1)
    helper = torch.eye(3, dtype=axes.dtype, device=axes.device)[smallest]
    # orthogonal to the last digit, as its components are those of the axis
    across = torch.linalg.cross(axes, helper)
    first = across / dot(across, across).clamp(min=0.5).sqrt()[:, None]
    return first, torch.linalg.cross(axes, first)
