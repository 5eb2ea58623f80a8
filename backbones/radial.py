"""Distances told apart: Gaussians of a distance, which a network then need not learn to resolve.

From a displacement and its length alone, a network learns slowly what changes within a tenth of the
cutoff, as the energy of a bond does: among many neighbors it learns nothing for thousands of steps.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def gaussians(
    vectors: Float[Tensor, "rows 3"], cutoff: float, number: int
) -> Float[Tensor, "rows number"]:
    """One column for each of ``number`` Gaussians, as wide as they are apart, up to the cutoff.

    Of the length of vectors, rounded off at zero over that width, (r^2 + width^2)^(1/2): C-infinity
    also where two points coincide.

    >>> gaussians(torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 2.0]]), cutoff=4.0, number=2)
    tensor([[1.0000, 0.4658],
            [0.9178, 0.7134]])
    """
    if number == 0:
        return vectors.new_zeros(len(vectors), 0)
    width = cutoff / number
    rounded = (vectors.square().sum(-1) + width**2).sqrt()
    first, last = width, (cutoff**2 + width**2) ** 0.5
    centers = torch.linspace(first, last, number, dtype=rounded.dtype, device=rounded.device)
    return (-0.5 * ((rounded[:, None] - centers) / width).square()).exp()
