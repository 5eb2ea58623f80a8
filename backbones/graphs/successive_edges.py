"""Pairs of successive edges k -> j -> i, whose angles directional networks look at."""

import torch
from jaxtyping import Int
from torch import Tensor


def triplets(
    edge_index: Int[Tensor, "2 edges"], num_nodes: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """All paths of two edges that do not lead back to where they start.

    Args:
        edge_index: edges j -> i, sources over targets.
        num_nodes: number of points.

    Returns:
        as in torch_geometric's DimeNet: for each edge its target ``i`` and source ``j``; for each
        triplet its points ``idx_i``, ``idx_j``, ``idx_k`` and its edges ``idx_kj``, ``idx_ji``.
        Triplets come in the order of their second edge, then of their first point.

    >>> path = torch.tensor([[0, 1], [1, 2]])  # 0 -> 1 -> 2
    >>> [part.tolist() for part in triplets(path, 3)[2:]]
    [[2], [1], [0], [0], [1]]
    """
    source, target = edge_index
    # the edges into each point stand together, sorted by where they come from
    order = torch.argsort(target * num_nodes + source, stable=True)
    number = torch.bincount(target, minlength=num_nodes)
    first = number.cumsum(0) - number
    edge = torch.arange(len(source), device=source.device)
    second = torch.repeat_interleave(edge, number[source])
    start = number[source].cumsum(0) - number[source]
    place = torch.arange(len(second), device=source.device) - start[second]
    incoming = order[first[source[second]] + place]
    ahead = torch.nonzero(source[incoming] != target[second])[:, 0]
    incoming, second = incoming[ahead], second[ahead]
    return (
        target,
        source,
        target[second],
        source[second],
        source[incoming],
        incoming,
        second,
    )
