"""Vectors in rows: lengths, directions, and what is transverse to an axis.

Components are written out: a sum over a last dimension of three takes several times as long.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from symmetrize.arrays.safe import safe_sqrt

# Transverse part, relative to the vector, that float64 arithmetic makes up
ROUNDING = 1e-14


def dot(a: Float[Tensor, "*rows 3"], b: Float[Tensor, "*rows 3"]) -> Float[Tensor, "*rows"]:
    """Scalar product of each row of one with that of the other."""
    return a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2]


def safe_norm(vectors: Float[Tensor, "*rows 3"]) -> Float[Tensor, "*rows"]:
    """Euclidean norm whose gradient at the zero vector is zero, not NaN."""
    return safe_sqrt(dot(vectors, vectors))


def unit_vectors(
    vectors: Float[Tensor, "rows 3"],
) -> tuple[Float[Tensor, "rows 3"], Float[Tensor, "rows"]]:
    """Vectors divided by their lengths, and the lengths; zero vectors stay zero."""
    # squares of lengths below 1e-154 underflow: scale by the largest component first
    scale = vectors.detach().abs().amax(-1) if len(vectors) else vectors.new_zeros(0)
    scale = torch.where(scale > 0, scale, 1.0)
    length = safe_norm(vectors / scale[:, None])
    return vectors / (scale * torch.where(length > 0, length, 1.0))[:, None], length * scale


def transverse(
    vectors: Float[Tensor, "rows 3"], axes: Float[Tensor, "rows 3"]
) -> Float[Tensor, "rows 3"]:
    """The part of each vector orthogonal to its axis, exactly zero where it is rounding."""
    once = vectors - dot(vectors, axes)[:, None] * axes
    # near the axis the first subtraction leaves rounding of the order of the vector itself
    twice = once - dot(once, axes)[:, None] * axes
    # what is left of a vector along the axis is rounding, in any direction, that of the axis too
    size = torch.linalg.vector_norm(vectors.detach(), ord=torch.inf, dim=-1)
    kept = dot(twice, twice).detach() > (ROUNDING * size).square()
    return torch.where(kept[:, None], twice, 0.0)


def transverse_basis(
    axes: Float[Tensor, "rows 3"],
) -> tuple[Float[Tensor, "rows 3"], Float[Tensor, "rows 3"]]:
    """Two unit vectors that complete each axis to a right-handed frame; which ones is arbitrary."""
    smallest = axes.detach().abs().argmin(-1)
    helper = torch.nn.functional.one_hot(smallest, 3).to(axes.dtype)
    first, _ = unit_vectors(transverse(helper, axes))
    return first, torch.linalg.cross(axes, first)
