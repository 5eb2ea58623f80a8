"""Environments of different sizes as a few dense blocks of tokens, with hardly any padding.

An environment is a row of tokens: its center, then its edges. Environments are sorted by their
number of tokens and cut into blocks; within a block all are padded to the largest. All tokens of
all blocks lie in one flat tensor, block after block, so that whatever acts on single tokens
(linear layers, norms) is one call without copies, and attention sees each block as a view
``(environments, tokens, features)``.

Where to cut is decided by dynamic programming: the fewest padded rows, with a price for each block.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

# What a block costs, in rows of tokens: measured on a processor with a few cores
BLOCK_PRICE = 48


@dataclass(frozen=True)
class Buckets:
    """Where tokens lie in the flat tensor of all blocks.

    Attributes:
        shapes: (environments, tokens) of each block, in the order of the rows.
        rows: number of rows, padding included.
        center: (N,), the row of each center.
        edge: (E,), the row of each edge.
        owner: (rows,), the center that a row belongs to; 0 for padding.
    """

    shapes: tuple[tuple[int, int], ...]
    rows: int
    center: Int[Tensor, "centers"]
    edge: Int[Tensor, "edges"]
    owner: Int[Tensor, "rows"]

    @property
    def padding(self) -> float:
        """Part of the rows that no token is in."""
        used = len(self.center) + len(self.edge)
        return 1.0 - used / self.rows if self.rows else 0.0


def buckets(center: Int[Tensor, "edges"], number: int, price: int = BLOCK_PRICE) -> Buckets:
    """Blocks for ``number`` environments whose edges start at the given centers.

    >>> found = buckets(torch.tensor([0, 0, 0, 2]), 3, price=0)
    >>> found.shapes, found.center.tolist(), found.edge.tolist()
    (((1, 1), (1, 2), (1, 4)), [3, 0, 1], [4, 5, 6, 2])
    """
    device = center.device
    tokens = 1 + torch.bincount(center, minlength=number)
    sizes, environments = torch.unique(tokens, return_counts=True)
    ends = _cuts(np.array(sizes.tolist()), np.array(environments.tolist()), price)

    # the width of the block of each distinct size, and where environments of that width start
    block_of_size = torch.as_tensor(np.repeat(np.arange(len(ends)), np.diff([0, *ends])))
    widths = sizes.cpu()[torch.as_tensor(ends) - 1] if len(ends) else sizes.cpu()
    numbers = torch.zeros_like(widths).index_add(0, block_of_size, environments.cpu())
    shapes = tuple(zip(numbers.tolist(), widths.tolist(), strict=True))

    order = torch.argsort(tokens, stable=True)
    width = widths.to(device).repeat_interleave(numbers.to(device))
    start = torch.empty_like(order).scatter_(0, order, width.cumsum(0) - width)

    by_center = torch.argsort(center, stable=True)
    first = (tokens - 1).cumsum(0) - (tokens - 1)
    place = torch.arange(len(center), device=device) - first[center[by_center]]
    row = torch.empty_like(center)
    row[by_center] = start[center[by_center]] + 1 + place

    rows = int(width.sum())
    owner = torch.zeros(rows, dtype=torch.long, device=device)
    owner[start] = torch.arange(number, device=device)
    owner[row] = center
    return Buckets(shapes, rows, start, row, owner)


def _cuts(sizes: np.ndarray, numbers: np.ndarray, price: int) -> list[int]:
    """Ends of the cheapest runs of ascending sizes, each padded to its last.

    ``best[j]`` is the price of the first j sizes: that of the first i, and one block of the rest.
    """
    total = np.concatenate([[0], np.cumsum(numbers)])
    best = np.zeros(len(sizes) + 1)
    before = np.zeros(len(sizes) + 1, dtype=int)
    for j, size in enumerate(sizes, start=1):
        prices = best[:j] + (total[j] - total[:j]) * size + price
        before[j] = int(np.argmin(prices))
        best[j] = prices[before[j]]
    ends = []
    j = len(sizes)
    while j > 0:
        ends.append(j)
        j = int(before[j])
    return ends[::-1]
