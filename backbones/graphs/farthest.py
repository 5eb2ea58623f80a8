"""Farthest point sampling: points that cover a cloud, each as far as can be from those before it.

The first point is the one farthest from the centroid: turning or shifting the cloud, or batching it
with others, does not change the choice. Ties go to the smaller index (``ties.py``).

Source: Qi, Yi, Su and Guibas, PointNet++, NeurIPS 2017, arXiv 1706.02413, section 3.2.
"""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from backbones.graphs.pairs import Sorted
from backbones.graphs.ties import noise_of

Start = Literal["farthest", "first", "random"]


def fps(
    x: Float[Tensor, "points columns"],
    batch: Int[Tensor, "points"] | None = None,
    ratio: int | float = 0.5,
    number: int | None = None,
    start: Start = "farthest",
    generator: torch.Generator | None = None,
) -> Int[Tensor, "samples"]:
    """Rows of points that are far from each other, for each structure in the order of choice.

    Args:
        x: points of a space of any dimension; no gradient flows through the choice.
        batch: structure of each point; None for a single one.
        ratio: part of the points of each structure to choose, rounded up as torch_geometric does.
        number: how many of each structure instead; all of a smaller one.
        start: "farthest" from the centroid; "first" in the order of points; or "random", which
            makes whatever builds on it a random function, symmetric only on average.
        generator: source of randomness; torch's default if None.

    No point is chosen twice, also where points coincide.

    Raises:
        ValueError: if ``ratio`` is not in (0, 1] or ``number`` is not positive.

    >>> fps(torch.tensor([[0.0], [1.0], [5.0], [9.0]]), number=3).tolist()
    [3, 0, 2]
    """
    if not 0 < ratio <= 1:
        raise ValueError(f"`ratio` is {ratio} but must lie in (0, 1]: a part of the points")
    if number is not None and number < 1:
        raise ValueError(f"`number` is {number} but must be at least 1 point of each structure")
    if batch is None:
        batch = torch.zeros(len(x), dtype=torch.long, device=x.device)
    size = int(batch.max()) + 1 if len(batch) else 0
    there = Sorted.of(batch, size)
    if number is None:
        # in single precision, so that numbers are those of torch_geometric
        wanted = (there.number.float() * ratio).ceil().long()
    else:
        wanted = there.number.clamp(max=number)
    noise = noise_of(x, batch, size)
    x = x.detach().double()

    last = _first(x, batch, there, noise, start, generator)
    chosen, away = [last], torch.full_like(x[:, 0], torch.inf)
    # a sample depends on all before it: a loop over samples, in which all structures take part
    for _ in range(1, int(wanted.max()) if size else 0):
        away = torch.minimum(away, torch.linalg.vector_norm(x - x[last[batch]], dim=1))
        away[last[there.number > 0]] = -torch.inf  # not twice
        last = _best(away, batch, size, noise)
        chosen.append(last)
    table = torch.stack(chosen, 1)
    return table[torch.arange(len(chosen), device=x.device) < wanted[:, None]]


def _first(
    x: Float[Tensor, "points columns"],
    batch: Int[Tensor, "points"],
    there: Sorted,
    noise: Float[Tensor, "structures"],
    start: Start,
    generator: torch.Generator | None,
) -> Int[Tensor, "structures"]:
    """The point of each structure to start from."""
    size = len(noise)
    if start == "first":
        return _best(torch.zeros_like(x[:, 0]), batch, size, noise)
    if start == "random":
        device = x.device if generator is None else generator.device
        drawn = torch.rand(len(x), generator=generator, device=device, dtype=x.dtype)
        return _best(drawn.to(x.device), batch, size, torch.zeros_like(noise))
    total = x.new_zeros(size, x.size(1)).index_add(0, batch, x)
    centroid = total / there.number.clamp(min=1)[:, None]
    return _best(torch.linalg.vector_norm(x - centroid[batch], dim=1), batch, size, noise)


def _best(
    rank: Float[Tensor, "points"],
    batch: Int[Tensor, "points"],
    size: int,
    noise: Float[Tensor, "structures"],
) -> Int[Tensor, "structures"]:
    """The first point of each structure whose rank is the largest up to rounding; 0 if empty."""
    top = rank.new_full((size,), -torch.inf).scatter_reduce(0, batch, rank, "amax")
    index = torch.arange(len(rank), device=rank.device)
    index = torch.where(rank >= (top - noise)[batch], index, len(rank))
    first = batch.new_full((size,), len(rank)).scatter_reduce(0, batch, index, "amin")
    return torch.where(first < len(rank), first, 0)
