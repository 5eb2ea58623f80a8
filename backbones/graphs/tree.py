"""Nearest points in large clouds, by a k-d tree.

All structures go into one tree, kept apart by another coordinate.
"""

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from backbones.graphs.pairs import ChosenPairs

# Neighbors beyond k that the tree is asked for at first, to see whether a tie ends there
BEYOND = 4


def nearest_by_tree(
    x: Tensor,
    y: Tensor,
    rows_x: Tensor,
    rows_y: Tensor,
    k: int,
    batch_x: Tensor,
    batch_y: Tensor,
    noise: Tensor,
    no_loop: bool,
) -> ChosenPairs:
    """The k nearest points of each row of y, and all that are as near as the last of them.

    Args:
        x: points to choose from, on a CPU, in a space of few dimensions.
        y: points whose neighbors are sought.
        rows_x: which points of ``x`` take part.
        rows_y: which points of ``y`` take part.
        k: number of neighbors.
        batch_x: structure of each point of ``x``.
        batch_y: structure of each point of ``y``.
        noise: for each structure, differences of distances that count as none.
        no_loop: whether points x and y with one index are no pair.

    Returns:
        points y, points x and distances of the pairs.
    """
    owner_x, owner_y = batch_x[rows_x].numpy(), batch_y[rows_y].numpy()
    points, centers = x[rows_x].double().numpy(), y[rows_y].double().numpy()
    # further than any two points of one structure
    apart = 4.0 * max(np.abs(points).max(), np.abs(centers).max()) * points.shape[1] + 1.0
    tree = cKDTree(np.column_stack([points, apart * owner_x]))
    queries = np.column_stack([centers, apart * owner_y])
    margin = noise.numpy()[owner_y]
    found, unfinished, width = [], np.arange(len(queries)), k + BEYOND
    while len(unfinished):
        width = min(width, len(points))
        # the result for one neighbor lacks its column
        distance, place = (
            table.reshape(-1, width) for table in tree.query(queries[unfinished], k=width)
        )
        excluded = owner_x[place] != owner_y[unfinished, None]
        seen_all = excluded[:, -1] | (width == len(points))
        if no_loop:
            excluded |= rows_x.numpy()[place] == rows_y.numpy()[unfinished, None]
        own = np.where(excluded, np.inf, distance)
        end = np.partition(own, min(k, width) - 1, axis=1)[:, min(k, width) - 1]
        end = end + margin[unfinished]
        # a tie may go on beyond what was asked for
        done = seen_all | (distance[:, -1] > end)
        some, column = np.nonzero((own <= end[:, None]) & np.isfinite(own) & done[:, None])
        found.append((unfinished[some], place[some, column], own[some, column]))
        unfinished, width = unfinished[~done], 4 * width
    center, neighbor, length = (np.concatenate(part) for part in zip(*found, strict=True))
    return rows_y[torch.tensor(center)], rows_x[torch.tensor(neighbor)], torch.tensor(length)
