"""Functions with an infinite slope at zero, with a gradient of zero there."""

import torch
from jaxtyping import Float
from torch import Tensor


def safe_sqrt(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Square root of non-negative values whose gradient at zero is zero, not infinite."""
    positive = x > 0
    # mask before the square root, not after it: 0 times infinity is NaN
    return torch.where(positive, torch.where(positive, x, 1.0).sqrt(), 0.0)


def safe_log(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Natural logarithm of non-negative values, -inf (with zero gradient) at zero."""
    positive = x > 0
    return torch.where(positive, torch.where(positive, x, 1.0).log(), -torch.inf)
