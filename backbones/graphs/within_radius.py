"""Points within a distance of each other.

A point at the distance itself, up to rounding, is outside: turning the cloud must not move it in.
Where the number of neighbors is limited the nearest stay, so that no direction is preferred.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from backbones.graphs.pairs import ChosenPairs, Flow, Sorted, batch_or_one, blocks, directed, same
from backbones.graphs.ties import nearest_first, noise_of
from symmetrize import neighbor_list


def radius(
    x: Float[Tensor, "points_x columns"],
    y: Float[Tensor, "points_y columns"],
    r: int | float,
    batch_x: Int[Tensor, "points_x"] | None = None,
    batch_y: Int[Tensor, "points_y"] | None = None,
    max_num_neighbors: int | None = None,
    ignore_same_index: bool = False,
) -> Int[Tensor, "2 pairs"]:
    """For each point of ``y`` the points of ``x`` in its structure that are closer than ``r``.

    Args:
        x: points to choose from, in a space of any dimension; no gradient flows through the choice.
        y: points whose neighbors are sought.
        r: a positive length.
        batch_x: structure of each point of ``x``; None for a single one.
        batch_y: the same for ``y``.
        max_num_neighbors: keep the nearest only, of equally near ones those with smaller index;
            None keeps all.
        ignore_same_index: leave out pairs with one index, loops where ``y`` is ``x``.

    Returns:
        rows of y, sorted, over rows of x, as in torch_geometric; nearest first if limited, else by
        index.

    Raises:
        ValueError: if ``r`` or ``max_num_neighbors`` is not positive.

    >>> square = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    >>> radius(square, torch.tensor([[-1.0, 0.0], [1.0, 0.0]]), r=1.5).tolist()
    [[0, 0, 1, 1], [0, 1, 2, 3]]
    """
    if not 0 < r < torch.inf:
        raise ValueError(f"`r` is {r} but must be a positive length")
    if max_num_neighbors is not None and max_num_neighbors < 1:
        raise ValueError(
            f"`max_num_neighbors` is {max_num_neighbors} but must be at least 1; None keeps all"
        )
    one_cloud = same(x, y)
    batch_x, batch_y, size = batch_or_one(x, y, batch_x, batch_y)
    x, y = x.detach(), y.detach()
    noise = torch.maximum(noise_of(x, batch_x, size, r), noise_of(y, batch_y, size, r))
    if x.size(1) > 3:
        center, neighbor, distance = _from_blocks(x, y, r, batch_x, batch_y, size)
    elif one_cloud:
        center, neighbor, distance = _from_list(x, r, batch_x)
        if not ignore_same_index:
            own = torch.arange(len(x), device=x.device)
            center, neighbor = torch.cat([center, own]), torch.cat([neighbor, own])
            distance = torch.cat([distance, distance.new_zeros(len(x))])
    else:
        center, neighbor, distance = _from_list(torch.cat([x, y]), r, torch.cat([batch_x, batch_y]))
        across = (center >= len(x)) & (neighbor < len(x))
        center, neighbor, distance = center[across] - len(x), neighbor[across], distance[across]

    inside = distance < r - noise[batch_y[center]]
    if ignore_same_index:
        inside &= center != neighbor
    center, neighbor, distance = center[inside], neighbor[inside], distance[inside]
    if max_num_neighbors is None:
        order = torch.argsort(center * max(1, len(x)) + neighbor)
    else:
        index = torch.where(center == neighbor, -1, neighbor) + 1 if one_cloud else neighbor
        order = nearest_first(center, index, distance, noise[batch_y], max_num_neighbors)
    return torch.stack([center[order], neighbor[order]])


def radius_graph(
    x: Float[Tensor, "points columns"],
    r: int | float,
    batch: Int[Tensor, "points"] | None = None,
    loop: bool = False,
    max_num_neighbors: int | None = None,
    flow: Flow = "source_to_target",
) -> Int[Tensor, "2 edges"]:
    """Edges to each point from all points of its structure that are closer than ``r``.

    Args:
        x: points of a space of any dimension; no gradient flows through the choice.
        r: a positive length.
        batch: structure of each point; None for a single one.
        loop: whether a point counts among its neighbors.
        max_num_neighbors: keep the nearest only, of equally near ones those with smaller index;
            None keeps all.
        flow: "source_to_target", neighbors over centers, or the reverse.

    Raises:
        ValueError: if ``r`` or ``max_num_neighbors`` is not positive, or ``flow`` is unknown.

    >>> radius_graph(torch.tensor([[0.0], [1.0], [3.0]]), r=1.5).tolist()
    [[1, 0], [0, 1]]
    """
    pairs = radius(x, x, r, batch, batch, max_num_neighbors, not loop)
    return directed(pairs, flow)


def _from_list(x: Tensor, r: int | float, batch: Tensor) -> ChosenPairs:
    """All pairs of different points, from the neighbor list; a plane lies in space."""
    space = torch.nn.functional.pad(x, (0, 3 - x.size(1)))
    found = neighbor_list(space, float(r), batch)
    return found.center, found.neighbor, found.vectors.norm(dim=1)


def _from_blocks(
    x: Tensor, y: Tensor, r: int | float, batch_x: Tensor, batch_y: Tensor, size: int
) -> ChosenPairs:
    sorted_x, sorted_y = Sorted.of(batch_x, size), Sorted.of(batch_y, size)
    present = torch.nonzero((sorted_x.number > 0) & (sorted_y.number > 0))[:, 0]
    found = [b.where(b.distance < r) for b in blocks(x, y, sorted_x, sorted_y, present)]
    none = batch_x[:0], batch_x[:0], x.new_zeros(0, dtype=torch.float64)
    center, neighbor, distance = (torch.cat(part) for part in zip(none, *found, strict=True))
    return center, neighbor, distance
