"""Which of several distances is the smallest, decided alike however the cloud is turned.

Turning a cloud changes distances in their last bits. Where they are equal by symmetry, rounding
would choose the neighbors, another set after each turn, and no average over frames could undo it.
So distances that differ by no more than their rounding are equal, and the index of the point
decides among them.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

# Coordinates of a turned cloud are off by a few units in the last place of the largest one, and
# distances by as many; a tie must hold well above that, and real differences lie further above.
NOISE_ULPS = 64.0
# What coordinates themselves are rounded to, for clouds far from the origin
ORIGIN_ULPS = 2.0


def noise_of(
    x: Float[Tensor, "points columns"],
    batch: Int[Tensor, "points"],
    size: int,
    reach: int | float = 0.0,
) -> Float[Tensor, "structures"]:
    """Differences of distances that count as none, for each structure, in float64.

    They follow the precision of the coordinates, the extent of the structure about its centroid,
    ``reach``, another length of which distances are compared with, and, by less, the distance of
    the structure from the origin.

    Raises:
        ValueError: if a coordinate is not finite.
    """
    coordinates = x.detach().double()
    if not bool(torch.isfinite(coordinates).all()):
        row = int(torch.nonzero(~torch.isfinite(coordinates).all(1))[0])
        raise ValueError(
            f"point {row} has coordinates {x[row].tolist()} but distances need finite ones: "
            "remove the point, or find out where a network that makes them diverges"
        )
    number = torch.bincount(batch, minlength=size).clamp(min=1)[:, None]
    total = coordinates.new_zeros(size, x.size(1)).index_add(0, batch, coordinates)
    extent = torch.linalg.vector_norm(coordinates - (total / number)[batch], dim=1)
    far = torch.linalg.vector_norm(coordinates, dim=1)
    length = NOISE_ULPS * extent + ORIGIN_ULPS * far
    largest = length.new_full((size,), NOISE_ULPS * float(reach))
    largest = largest.scatter_reduce(0, batch, length, "amax", include_self=True)
    # what half precision cannot tell apart is not a tie: nothing turns exactly there
    ulp = min(torch.finfo(x.dtype).eps, torch.finfo(torch.float32).eps)
    return ulp * largest


def nearest_first(
    center: Int[Tensor, "pairs"],
    index: Int[Tensor, "pairs"],
    distance: Float[Tensor, "pairs"],
    noise: Float[Tensor, "centers"],
    limit: int | None = None,
) -> Int[Tensor, "kept"]:
    """Rows of pairs by center, then by distance, then by ``index``; at most ``limit`` a center.

    Args:
        center: (N,) whose neighbor it is.
        index: (N,) what decides among equal distances, smallest first.
        distance: (N,) of the pair.
        noise: for each center, the step between successive distances up to which they are equal.
        limit: number of pairs to keep for each center; None for all.

    >>> rounded = torch.tensor([1.0, 1.0 - 1e-15, 2.0], dtype=torch.float64)
    >>> zeros, noise = torch.zeros(3).long(), torch.tensor([1e-12])
    >>> nearest_first(zeros, torch.arange(3), rounded, noise, limit=1).tolist()
    [0]
    """
    order = torch.argsort(distance, stable=True)
    order = order[torch.argsort(center[order], stable=True)]
    owner, sorted_distance = center[order], distance[order]
    fresh = torch.ones_like(owner, dtype=torch.bool)
    fresh[1:] = (owner.diff() != 0) | (sorted_distance.diff() > noise[owner[1:]])
    span = int(index.max()) + 2 if len(index) else 1
    order = order[torch.argsort(fresh.cumsum(0) * span + index[order])]
    if limit is None:
        return order
    number = torch.bincount(owner, minlength=len(noise))
    place = torch.arange(len(owner), device=owner.device) - (number.cumsum(0) - number)[owner]
    return order[place < limit]
