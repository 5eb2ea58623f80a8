"""Sums and maxima over the members of flat batches, and index arithmetic between them.

A flat batch is a tensor of rows and an index that says whose each row is: no padding, no loops.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor


def segment_sum(
    values: Float[Tensor, "rows *shape"], index: Int[Tensor, "rows"], size: int
) -> Float[Tensor, "size *shape"]:
    """Sum of the rows of each owner; zero for an owner without rows."""
    return values.new_zeros((size, *values.shape[1:])).index_add(0, index, values)


def segment_max(
    values: Float[Tensor, "rows"], index: Int[Tensor, "rows"], size: int
) -> Float[Tensor, "size"]:
    """Largest row of each owner; -inf for an owner without rows."""
    empty = values.new_full((size,), -torch.inf)
    return empty.scatter_reduce(0, index, values, "amax", include_self=True)


def segment_normalize(
    values: Float[Tensor, "rows"], index: Int[Tensor, "rows"], size: int
) -> Float[Tensor, "rows"]:
    """Each row divided by the sum over its owner; rows of an owner that sums to 0 stay 0."""
    total = segment_sum(values, index, size)
    return values / torch.where(total > 0, total, 1.0)[index]


def segment_log_mean(
    values: Float[Tensor, "rows *shape"],
    weights: Float[Tensor, "rows"],
    index: Int[Tensor, "rows"],
    size: int,
) -> Float[Tensor, "size *shape"]:
    """log(sum_i w_i exp(v_i)) over the rows of each owner; -inf for a sum of zero, or of no rows.

    Neither overflows nor underflows, and has finite gradients at values of -inf.

    >>> values = torch.tensor([[0.0, -1000.0], [-torch.inf, -1000.0]])
    >>> segment_log_mean(values, torch.tensor([0.5, 0.5]), torch.tensor([0, 0]), 1)
    tensor([[-6.9315e-01, -1.0000e+03]])
    """
    rows = (-1, *(1,) * (values.ndim - 1))
    spread = index.reshape(rows).expand_as(values)
    largest = values.new_full((size, *values.shape[1:]), -torch.inf)
    largest = largest.scatter_reduce(0, spread, values.detach(), "amax", include_self=True)
    largest = torch.where(largest == -torch.inf, 0.0, largest)
    total = segment_sum(weights.reshape(rows) * (values - largest[index]).exp(), index, size)
    # the gradient of the logarithm is infinite at 0: mask before it, not after it
    none = total == 0
    return torch.where(none, -torch.inf, largest + torch.where(none, 1.0, total).log())


def counts(index: Int[Tensor, "rows"], size: int) -> Int[Tensor, "size"]:
    """Number of rows of each owner."""
    return torch.bincount(index, minlength=size)


def offsets(sizes: Int[Tensor, "n"]) -> Int[Tensor, "n_plus_1"]:
    """Where each run starts when runs of the given sizes stand one after the other."""
    return torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])


def places(index: Int[Tensor, "rows"], size: int) -> Int[Tensor, "rows"]:
    """The place of each row among the rows of its owner.

    >>> places(torch.tensor([1, 0, 1]), 2).tolist()
    [0, 0, 1]
    """
    order = torch.argsort(index, stable=True)
    first = offsets(counts(index, size))
    within = torch.arange(len(order), device=order.device) - first[index[order]]
    return torch.empty_like(order).scatter_(0, order, within)


def join(
    owners: Int[Tensor, "left"], index: Int[Tensor, "right"], size: int
) -> tuple[Int[Tensor, "pairs"], Int[Tensor, "pairs"]]:
    """All pairs (left row, right row) with one owner, as two index tensors.

    ``owners`` says whose each left row is, ``index`` whose each right row is; neither needs to be
    sorted. Pairs come in the order of the left rows.

    >>> left, right = join(torch.tensor([1, 0]), torch.tensor([0, 1, 1]), 2)
    >>> left.tolist(), right.tolist()
    ([0, 0, 1], [1, 2, 0])
    """
    return Groups.of(index, size).join(owners)


@dataclass(frozen=True)
class Groups:
    """The rows of each owner: made once, they are looked up in no more time than is asked for.

    Attributes:
        order: (rows,), all rows, those of an owner next to each other.
        starts, sizes: (size,), where those of each owner start, and their number.
    """

    order: Int[Tensor, "rows"]
    starts: Int[Tensor, "size"]
    sizes: Int[Tensor, "size"]

    @classmethod
    def of(cls, index: Int[Tensor, "rows"], size: int) -> "Groups":
        """By the owner of each row."""
        sizes = counts(index, size)
        return cls(torch.argsort(index, stable=True), offsets(sizes)[:-1], sizes)

    def join(
        self, owners: Int[Tensor, "left"]
    ) -> tuple[Int[Tensor, "pairs"], Int[Tensor, "pairs"]]:
        """All pairs of a left row and a row of its owner."""
        # index_select: several times faster than indexing
        left, within = ranges(self.sizes.index_select(0, owners))
        starts = self.starts.index_select(0, owners).index_select(0, left)
        return left, self.order.index_select(0, starts + within)


def ranges(sizes: Int[Tensor, "n"]) -> tuple[Int[Tensor, "total"], Int[Tensor, "total"]]:
    """For runs of the given sizes: the run of each element, and its place within the run.

    >>> run, place = ranges(torch.tensor([2, 0, 3]))
    >>> run.tolist(), place.tolist()
    ([0, 0, 2, 2, 2], [0, 1, 0, 1, 2])
    """
    run = torch.repeat_interleave(torch.arange(len(sizes), device=sizes.device), sizes)
    place = torch.arange(len(run), device=sizes.device)
    place = place - offsets(sizes)[:-1].index_select(0, run)
    return run, place


# Rows whose entries fall into the same bins of this width are one: replacing them by their mean
# leaves an error of the square of the width
BIN = 2.0**-24


@cache
def _constants(number: int) -> list[int]:
    return np.random.default_rng(0).integers(2**62, size=number).tolist()


def equal_rows(
    values: Float[Tensor, "rows columns"], index: Int[Tensor, "rows"]
) -> tuple[Int[Tensor, "rows"], Int[Tensor, "groups"]]:
    """Group rows of one owner that are equal up to rounding.

    Returns:
        the group of each row, and the first row of each group; groups are sorted by owner.

    >>> equal_rows(torch.tensor([[1.0], [2.0], [1.0]]), torch.tensor([0, 0, 0]))[1].numel()
    2
    """
    # one number for each row: products with random constants, modulo 2^64
    *constants, own = _constants(values.size(1) + 1)
    bins = torch.round(values.detach() / BIN).long()
    key = (bins * torch.tensor(constants, device=values.device)).sum(-1) + own * index
    every = torch.arange(len(index), device=index.device)
    if not bool((key.sort().values.diff() == 0).any()):
        # the usual case
        return every, every
    order = torch.argsort(key, stable=True)
    order = order[torch.argsort(index[order], stable=True)]
    fresh = torch.ones_like(order, dtype=torch.bool)
    fresh[1:] = (key[order].diff() != 0) | (index[order].diff() != 0)
    group = torch.empty_like(order).scatter_(0, order, fresh.cumsum(0) - 1)
    return group, order[fresh]
