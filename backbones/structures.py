"""Whose each point is, and sums over the points of a structure."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.data import Batch, Data


def structures_of(data: Data) -> tuple[Int[Tensor, "points"], int]:
    """The structure of each point, and the number of structures, empty ones included."""
    if data.batch is None:
        return torch.zeros(len(data.pos), dtype=torch.long, device=data.pos.device), 1
    if isinstance(data, Batch):
        return data.batch, data.num_graphs
    return data.batch, int(data.batch.max()) + 1 if len(data.batch) else 0


def kinds_of(data: Data) -> Int[Tensor, "points"]:
    """The species ``z`` of each point; 0 for all where there is none."""
    if data.get("z") is None:
        return torch.zeros(len(data.pos), dtype=torch.long, device=data.pos.device)
    return data.z


def sum_over(
    values: Float[Tensor, "points *shape"], batch: Int[Tensor, "points"], size: int
) -> Float[Tensor, "structures *shape"]:
    """Sum of the rows of each structure; zero for an empty one."""
    return values.new_zeros(size, *values.shape[1:]).index_add(0, batch, values)


def max_over(
    values: Float[Tensor, "points features"], batch: Int[Tensor, "points"], size: int
) -> Float[Tensor, "structures features"]:
    """Maximum over the rows of each structure; zero for an empty one."""
    index = batch[:, None].expand_as(values)
    # no row, no maximum: zero stands for it
    return values.new_zeros(size, values.size(1)).scatter_reduce(
        0, index, values, "amax", include_self=False
    )
