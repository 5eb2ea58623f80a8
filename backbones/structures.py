"""Whose each point is, and sums, maxima and soft means over the points of a structure."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.data import Data

from symmetrize import owners

# Logits of soft means stay below this in size: weights between 5e-5 and 2e4, also in float32
LOGIT_BOUND = 10.0


def structures_of(data: Data) -> tuple[Int[Tensor, "points"], int]:
    """The structure of each point, and the number of structures, empty ones included."""
    size, batch = owners(data)
    return batch, size


def kinds_of(data: Data) -> Int[Tensor, "points"]:
    """The species ``z`` of each point; 0 for all where there is none.

    Raises:
        TypeError: if ``z`` is no tensor.
        ValueError: if it is not one integer for each point.
    """
    kinds = data.get("z")
    if kinds is None:
        return torch.zeros(len(data.pos), dtype=torch.long, device=data.pos.device)
    if not isinstance(kinds, Tensor):
        raise TypeError(
            f"`z` is a {type(kinds).__name__} but must be a tensor of integers, one for each "
            "point: data.z = torch.as_tensor(data.z)"
        )
    if kinds.shape != data.pos.shape[:1] or kinds.is_floating_point():
        raise ValueError(
            f"`z` is {kinds.dtype} of shape {tuple(kinds.shape)} but must be one integer for each "
            f"of {len(data.pos)} points: the species, such as the atomic number, as in "
            "data.z = data.z.long()"
        )
    return kinds.long()


def sum_over(
    values: Float[Tensor, "points *shape"],
    batch: Int[Tensor, "points"],
    size: int,
    weights: Float[Tensor, "points"] | None = None,
) -> Float[Tensor, "structures *shape"]:
    """Sum of the rows of each structure, perhaps weighted; zero for an empty one."""
    if weights is not None:
        values = values * weights.reshape(-1, *(1,) * (values.ndim - 1))
    if size == 1:  # as a sum over indices into one number, torch 2.13 cannot compile it
        return values.sum(0, keepdim=True)
    return values.new_zeros(size, *values.shape[1:]).index_add(0, batch, values)


def number_over(
    like: Float[Tensor, "points *shape"],
    batch: Int[Tensor, "points"],
    size: int,
    weights: Float[Tensor, "points"] | None = None,
) -> Float[Tensor, "structures 1"]:
    """Number of points of each structure, or sum of their weights, to divide by: 1 for none."""
    number = sum_over(torch.ones_like(like[:, :1]), batch, size, weights)
    return torch.where(number > 0, number, 1.0)


def centered(
    positions: Float[Tensor, "points 3"],
    batch: Int[Tensor, "points"],
    size: int,
    weights: Float[Tensor, "points"] | None = None,
) -> Float[Tensor, "points 3"]:
    """Positions from the centroid, perhaps weighted, of their structure."""
    number = number_over(positions, batch, size, weights)
    return positions - (sum_over(positions, batch, size, weights) / number)[batch]


def max_over(
    values: Float[Tensor, "points features"], batch: Int[Tensor, "points"], size: int
) -> Float[Tensor, "structures features"]:
    """Maximum over the rows of each structure; zero for an empty one. Continuous, with kinks."""
    index = batch[:, None].expand_as(values)
    # no row, no maximum: zero stands for it
    return values.new_zeros(size, values.size(1)).scatter_reduce(
        0, index, values, "amax", include_self=False
    )


def soft_mean_over(
    values: Float[Tensor, "rows features"],
    logits: Float[Tensor, "rows features"],
    weights: Float[Tensor, "rows"],
    index: Int[Tensor, "rows"],
    size: int,
) -> Float[Tensor, "owners features"]:
    """Mean of the rows of each owner, in each feature weighted by ``weights * exp(logits)``.

    C-infinity, also where a weight vanishes, if a row of each owner has weight 1. Logits are bent
    to stay within ``LOGIT_BOUND``, so that none is too large for ``exp`` and no denominator too
    small; with a maximum subtracted instead, a far greater logit of weight 0 would leave 0/0.

    >>> logits = torch.tensor([[0.0], [9.0], [9.0]])
    >>> soft_mean_over(logits, logits, torch.tensor([1.0, 1.0, 0.0]), torch.zeros(3).long(), 1)
    tensor([[8.9930]])
    """
    share = weights[:, None] * (LOGIT_BOUND * torch.tanh(logits / LOGIT_BOUND)).exp()
    return sum_over(share * values, index, size) / sum_over(share, index, size)
