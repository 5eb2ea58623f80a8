"""Environments: each point as a center, seen with its neighbors within a cutoff.

A point that comes within the cutoff enters with an envelope of zero; networks that look at one
environment are smooth if they weight each point by it, or by a cutoff of their own.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from symmetrize.arrays.switching import cutoff_switch
from symmetrize.arrays.vectors import safe_norm
from symmetrize.points.cloud import Points, Vectors
from symmetrize.points.neighbors import Neighbors, neighbors

# The envelope falls from 1 to 0 over this part of the cutoff
ENVELOPE_WIDTH = 0.5


@dataclass(frozen=True)
class Environments:
    """One environment for each point of a batch; rows of an environment start with its center.

    Attributes:
        owner: (R,), center (row of the points) that each row belongs to, ascending.
        source: (R,), point that the row is a copy of.
        shift: (R, 3) integers, lattice vectors added to the source.
        vectors: (R, 3) float64, from the center.
        is_center: (R,), one in each environment.
        envelope: (R,) float64, 1 near the center, 0 at the cutoff with all derivatives.
        cloud: the neighbors without their centers, as frames want them.
    """

    owner: Int[Tensor, "rows"]
    source: Int[Tensor, "rows"]
    shift: Int[Tensor, "rows 3"]
    vectors: Float[Tensor, "rows 3"]
    is_center: Bool[Tensor, "rows"]
    envelope: Float[Tensor, "rows"]
    cloud: Vectors


def environments(structures: Points, cutoff: float) -> Environments:
    """The environment of every point within ``cutoff``, in the unit of the positions."""
    pairs = neighbors(structures, cutoff)
    number = len(structures.positions)
    own = torch.arange(number, device=structures.positions.device)
    owner = torch.cat([own, pairs.center])
    order = torch.argsort(owner, stable=True)
    vectors = torch.cat([pairs.vectors.new_zeros(number, 3), pairs.vectors])
    envelope = cutoff_switch(safe_norm(vectors), cutoff, ENVELOPE_WIDTH * cutoff)
    return Environments(
        owner=owner[order],
        source=torch.cat([own, pairs.neighbor])[order],
        shift=torch.cat([torch.zeros_like(pairs.shift[:1]).expand(number, 3), pairs.shift])[order]
        if len(pairs.shift)
        else pairs.shift.new_zeros(number, 3),
        vectors=vectors[order],
        is_center=(torch.arange(len(owner), device=owner.device) < number)[order],
        envelope=envelope[order],
        cloud=_cloud(structures, pairs, cutoff),
    )


def neighbor_environments(structures: Points, cutoff: float) -> Vectors:
    """The neighbors of every point within ``cutoff``, as vectors from that center."""
    return _cloud(structures, neighbors(structures, cutoff), cutoff)


def _cloud(structures: Points, pairs: Neighbors, cutoff: float) -> Vectors:
    return Vectors.of(
        pairs.vectors,
        pairs.center,
        len(structures.positions),
        cutoff,
        log_scores=structures.log_scores[pairs.neighbor],
        axis=None if structures.axis is None else structures.axis.of(structures.batch),
    )
