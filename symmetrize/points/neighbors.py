"""Neighbor lists of batches of finite and periodic structures.

Finite structures go to a k-d tree, which minds neither huge distances nor coincident points; all of
a batch in one search, kept apart by a fourth coordinate. Periodic ones go to vesin.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from symmetrize.arrays.transforms import numbers_of
from symmetrize.arrays.vectors import dot
from symmetrize.extras import needed_for
from symmetrize.points.cloud import Points
from symmetrize.points.periods import periods_of


@dataclass(frozen=True)
class Neighbors:
    """Ordered pairs of points within a cutoff, each point with every image of its neighbors.

    Attributes:
        center, neighbor: (N,), rows of the points; a point is its own neighbor only as an image.
        shift: (N, 3) integers, lattice vectors added to the neighbor.
        vectors: (N, 3) float64, from center to neighbor; differentiable.
    """

    center: Int[Tensor, "pairs"]
    neighbor: Int[Tensor, "pairs"]
    shift: Int[Tensor, "pairs 3"]
    vectors: Float[Tensor, "pairs 3"]


def neighbor_list(
    positions: Float[Tensor, "points 3"],
    cutoff: int | float,
    batch: Int[Tensor, "points"] | None = None,
    cell: Float[Tensor, "size 3 3"] | None = None,
    pbc: Bool[Tensor, "size 3"] | None = None,
) -> Neighbors:
    """All neighbors closer than ``cutoff`` of each point of a batch of structures.

    Args:
        positions: (P, 3).
        cutoff: in the unit of the positions.
        batch: (P,) structure of each point; None for a single one.
        cell: (B, 3, 3) lattice vectors as rows, for periodic structures.
        pbc: (B, 3) whether each lattice vector is a period, if it is not zero; all if None.

    Raises:
        ValueError: if ``cutoff`` is not a positive length, or periods are linearly dependent.
        ImportError: if a structure is periodic and vesin is not installed.

    >>> pairs = neighbor_list(torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]), cutoff=2.0)
    >>> pairs.center.tolist(), pairs.neighbor.tolist()
    ([0, 1], [1, 0])
    """
    if not 0 < cutoff < torch.inf:
        raise ValueError(f"`cutoff` is {cutoff} but must be a positive length")
    if cell is None:
        return neighbors(Points.of(positions, batch), float(cutoff))
    cell, pbc = periods_of(cell, pbc)
    return neighbors(Points.of(positions, batch, len(cell), cell=cell, pbc=pbc), float(cutoff))


def neighbors(structures: Points, cutoff: float) -> Neighbors:
    """All neighbors closer than ``cutoff`` (in the unit of the positions) of each point.

    Raises:
        ImportError: if a structure is periodic and vesin is not installed.
    """
    positions = structures.positions.double()
    # searched once in numbers; vectors are then formed anew, so that gradients flow. The margin
    # keeps pairs whose distance rounds differently there: the exact distance decides.
    reach = cutoff * (1 + 1e-9)
    numbers = numbers_of(positions)
    batch = numbers_of(structures.batch)
    if structures.periodic:
        found = _periodic(structures, numbers, batch, reach)
    else:
        found = _finite(numbers, batch, reach)
    device = positions.device
    center, neighbor = (torch.as_tensor(a, device=device) for a in found[:2])
    shift = torch.as_tensor(found[2], device=device)
    vectors = positions[neighbor] - positions[center]
    if structures.cell is not None:
        cell = structures.cell.double()[structures.batch[center]]
        vectors = vectors + (shift.double()[:, None, :] @ cell)[:, 0]
    near = torch.nonzero(dot(vectors, vectors).detach() < cutoff**2)[:, 0]
    return Neighbors(center[near], neighbor[near], shift[near], vectors[near])


Found = tuple[np.ndarray, np.ndarray, np.ndarray]


def _finite(positions: np.ndarray, batch: np.ndarray, reach: float) -> Found:
    from scipy.spatial import cKDTree

    if len(positions) < 2:
        empty = np.zeros(0, dtype=np.int64)
        return empty, empty, np.zeros((0, 3), dtype=np.int64)
    apart = np.concatenate([positions, 2.0 * reach * batch[:, None]], axis=1)
    pairs = cKDTree(apart).query_pairs(reach, output_type="ndarray").astype(np.int64)
    center = np.concatenate([pairs[:, 0], pairs[:, 1]])
    neighbor = np.concatenate([pairs[:, 1], pairs[:, 0]])
    order = np.lexsort((neighbor, center))
    return center[order], neighbor[order], np.zeros((len(order), 3), dtype=np.int64)


def _periodic(structures: Points, positions: np.ndarray, batch: np.ndarray, reach: float) -> Found:
    with needed_for("the neighbor list of a periodic structure", "neighbors"):
        from vesin import NeighborList

    assert structures.cell is not None
    assert structures.pbc is not None
    cells = numbers_of(structures.cell.double())
    periods = numbers_of(structures.pbc).tolist()
    is_periodic = np.any(numbers_of(structures.pbc), axis=-1)
    search = NeighborList(cutoff=reach, full_list=True, sorted=True)
    finite = np.nonzero(~is_periodic[batch])[0]
    center, neighbor, shift = _finite(positions[finite], batch[finite], reach)
    parts = [(finite[center], finite[neighbor], shift)]
    order = np.argsort(batch, kind="stable")
    ends = np.cumsum(np.bincount(batch, minlength=len(cells)))
    each = np.split(order, ends[:-1])
    # one call for each cell: the library searches one box at a time
    for structure in np.nonzero(is_periodic)[0]:
        rows = each[structure]
        if len(rows) == 0:
            continue
        first, second, images = search.compute(
            positions[rows], cells[structure], periods[structure], "ijS"
        )
        parts.append(
            (rows[first.astype(np.int64)], rows[second.astype(np.int64)], images.astype(np.int64))
        )
    center, neighbor, shift = (np.concatenate(p) for p in zip(*parts, strict=True))
    order = np.argsort(center, kind="stable")
    return center[order], neighbor[order], shift[order]
