"""The k nearest points of each point, in space or among features of any number of columns.

Ties go to the smaller index (``ties.py``): a choice that does not depend on how the cloud lies in
space. It does depend on the order of points, as any choice of some among equals must.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from backbones.graphs.pairs import ChosenPairs, Flow, Sorted, batch_or_one, blocks, directed, same
from backbones.graphs.ties import nearest_first, noise_of
from backbones.graphs.tree import nearest_by_tree

# Clouds of more points go to a k-d tree, on a CPU and in up to three dimensions
LARGE = 2048


def knn(
    x: Float[Tensor, "points_x columns"],
    y: Float[Tensor, "points_y columns"],
    k: int,
    batch_x: Int[Tensor, "points_x"] | None = None,
    batch_y: Int[Tensor, "points_y"] | None = None,
    cosine: bool = False,
) -> Int[Tensor, "2 pairs"]:
    """For each point of ``y`` the ``k`` nearest points of ``x`` in its structure, nearest first.

    Args:
        x: points to choose from, or their features; no gradient flows through the choice.
        y: points whose neighbors are sought.
        k: number of neighbors; all there are in a smaller structure, none in an empty one.
        batch_x: structure of each point of ``x``; None for a single one.
        batch_y: the same for ``y``.
        cosine: whether to compare directions instead of places.

    Returns:
        rows of y, sorted, over rows of x, as in torch_geometric. Where ``y`` is ``x``, each point
        is its own nearest one, also among points in the same place.

    Raises:
        ValueError: if k is not positive, or x and y differ in their number of columns.

    >>> square = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    >>> knn(square, torch.tensor([[-1.0, 0.0], [0.0, 0.0]]), k=2).tolist()
    [[0, 0, 1, 1], [0, 1, 0, 1]]
    """
    return torch.stack(_nearest(x, y, k, batch_x, batch_y, cosine, same(x, y), True)[:2])


def knn_graph(
    x: Float[Tensor, "points columns"],
    k: int,
    batch: Int[Tensor, "points"] | None = None,
    loop: bool = False,
    flow: Flow = "source_to_target",
    cosine: bool = False,
) -> Int[Tensor, "2 edges"]:
    """Edges from the ``k`` nearest points of its structure to each point, nearest first.

    Args:
        x: points, or their features; no gradient flows through the choice.
        k: number of neighbors; a structure of n points has no more than n - 1 (n with loops).
        batch: structure of each point; None for a single one.
        loop: whether a point counts among its neighbors.
        flow: "source_to_target", neighbors over centers, or the reverse.
        cosine: whether to compare directions instead of places.

    Raises:
        ValueError: if k is not positive or ``flow`` is unknown.

    >>> knn_graph(torch.tensor([[0.0], [1.0], [3.0]]), k=1).tolist()
    [[1, 0, 1], [0, 1, 2]]
    """
    pairs = torch.stack(_nearest(x, x, k, batch, batch, cosine, True, loop)[:2])
    return directed(pairs, flow)


def nearest(
    x: Float[Tensor, "points_x columns"],
    y: Float[Tensor, "points_y columns"],
    batch_x: Int[Tensor, "points_x"] | None = None,
    batch_y: Int[Tensor, "points_y"] | None = None,
) -> Int[Tensor, "points_x"]:
    """For each point of ``x`` the row of the nearest point of ``y`` in its structure.

    Raises:
        ValueError: if a structure has points x but no points y.

    >>> nearest(torch.tensor([[0.0], [2.0]]), torch.tensor([[0.5], [1.9], [2.1]])).tolist()
    [0, 1]
    """
    found, row, _ = _nearest(y, x, 1, batch_y, batch_x, False, False, True)
    if len(found) < len(x):
        missing = torch.ones(len(x), dtype=torch.bool, device=x.device)
        missing[found] = False
        raise ValueError(
            f"point {int(missing.nonzero()[0])} of `x` has no nearest one: its structure has no "
            "points in `y`. Sample at least one point of each structure"
        )
    return row


def _nearest(
    x: Tensor,
    y: Tensor,
    k: int,
    batch_x: Tensor | None,
    batch_y: Tensor | None,
    cosine: bool,
    one_cloud: bool,
    loop: bool,
) -> ChosenPairs:
    """Points y, points x and distances, at most k for each point y, without itself if not loop."""
    if k < 1:
        raise ValueError(f"`k` is {k} but must be at least 1 neighbor")
    batch_x, batch_y, size = batch_or_one(x, y, batch_x, batch_y)
    x, y = x.detach(), y.detach()
    if cosine:
        x, y = (torch.nn.functional.normalize(values, dim=1) for values in (x, y))
    noise = torch.maximum(noise_of(x, batch_x, size), noise_of(y, batch_y, size))
    found = list(_candidates(x, y, k, batch_x, batch_y, noise, one_cloud and not loop))
    none = batch_x[:0], batch_x[:0], noise[:0]
    center, neighbor, distance = (torch.cat(part) for part in zip(none, *found, strict=True))
    # a point comes before those that lie in the same place
    index = torch.where(center == neighbor, -1, neighbor) + 1 if one_cloud else neighbor
    kept = nearest_first(center, index, distance, noise[batch_y], k)
    return center[kept], neighbor[kept], distance[kept]


def _candidates(
    x: Tensor, y: Tensor, k: int, batch_x: Tensor, batch_y: Tensor, noise: Tensor, no_loop: bool
) -> Iterator[ChosenPairs]:
    """The k nearest pairs of each point y, and all that are as near as the last of them."""
    sorted_x, sorted_y = Sorted.of(batch_x, len(noise)), Sorted.of(batch_y, len(noise))
    present = (sorted_x.number > 0) & (sorted_y.number > 0)
    large = present & (sorted_x.number > LARGE)
    if x.size(1) > 3 or x.is_cuda:
        large = torch.zeros_like(present)
    if bool(large.any()):
        rows_x, rows_y = (torch.nonzero(large[b])[:, 0] for b in (batch_x, batch_y))
        yield nearest_by_tree(x, y, rows_x, rows_y, k, batch_x, batch_y, noise, no_loop)
    for block in blocks(x, y, sorted_x, sorted_y, torch.nonzero(present & ~large)[:, 0]):
        distance = block.distance
        if no_loop:
            itself = block.rows_y[:, :, None] == block.rows_x[:, None, :]
            distance = distance.masked_fill_(itself, torch.inf)
        last = distance.topk(min(k, distance.size(-1)), dim=-1, largest=False).values[..., -1:]
        yield block.where(distance <= last + noise[batch_y[block.rows_y[:, :1]]][..., None])
