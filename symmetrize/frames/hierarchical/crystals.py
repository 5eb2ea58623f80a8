"""What a periodic structure offers for its frames.

An extended system has no centroid. Its points have local vectors instead,

    m_i = sum_j fade(r_ij) r_ij / (r_ij^2 + core^2),

which turn with the structure, and the set of them plays the part that positions play in a molecule.
In a nearly perfect crystal they are tiny and their directions are noise: against an absolute scale
they fade there, and bonds take over; where nothing is within the cutoff, the shortest lattice
vectors do.

Lengths are in the unit of the environment of a center, a part of the cutoff.
"""

from dataclasses import replace

import torch

from symmetrize.arrays.safe import safe_log
from symmetrize.arrays.segments import segment_sum
from symmetrize.arrays.switching import cutoff_switch
from symmetrize.arrays.vectors import dot, safe_norm
from symmetrize.frames.hierarchical.candidates import Offer
from symmetrize.points.cloud import FADE, Points, Vectors
from symmetrize.points.neighbors import neighbors

# Size of local vectors below which the structure counts as a perfect crystal
FAINT = 0.05
# Distance from a point below which its neighbors count less for its local vector
LOCAL_CORE = 0.5
# How fast bonds lose in quality with their length, and what the best of them, and of the lattice
# vectors, are worth beside a local vector of length 1
BOND_DECAY = 4.0
LOG_BOND_QUALITY = -6.0
LOG_LATTICE_QUALITY = -30.0
# Power of the mean that stands for the shortest lattice vector
SHORTEST_POWER = 8


def with_local_vectors(
    cloud: Vectors, structures: Points, cutoff: float, unit: float
) -> tuple[Vectors, list[Offer]]:
    """Whole structures of which some are periodic, and what these offer beside their cloud.

    Args:
        cloud: the structures seen from their centroids, which finite ones keep.
        structures: the same structures.
        cutoff: up to which neighbors count, in the unit of the positions.
        unit: length in which local vectors and bonds are measured.

    Returns:
        the cloud with local vectors for the points of periodic structures, and the bonds and the
        lattice vectors of these.
    """
    periodic = structures.is_periodic
    pairs = neighbors(structures, cutoff)
    vectors = pairs.vectors / unit
    length = safe_norm(vectors)
    owner = structures.batch[pairs.center]
    fade = cutoff_switch(length, cutoff / unit, FADE * cutoff / unit) * periodic[owner]
    weights = fade / (length.square() + LOCAL_CORE**2)
    local = segment_sum(weights[:, None] * vectors, pairs.center, len(cloud.vectors))
    crystal = replace(
        cloud,
        vectors=torch.where(periodic[cloud.index, None], local, cloud.vectors),
        resolution=torch.where(periodic, FAINT, cloud.resolution),
    )
    quality = safe_log(fade) + 2 * safe_log(length) - BOND_DECAY * length + LOG_BOND_QUALITY
    bonds = Offer(vectors, quality, fade, owner, structures.size)
    return crystal, [bonds, lattice_offer(structures)]


def lattice_offer(structures: Points) -> Offer:
    """The lattice vectors of each periodic structure, up to one period along each, shortest best.

    In units of the shortest, so that they are offered at any size of the cell.
    """
    assert structures.cell is not None
    assert structures.pbc is not None
    cell = structures.cell.double()
    steps = torch.cartesian_prod(*[torch.arange(-1, 2, device=cell.device)] * 3)
    steps = steps[steps.abs().sum(-1) > 0]
    periodic = structures.pbc
    # a step along a direction without period is not a lattice vector
    allowed = ~((steps[None] != 0) & ~periodic[:, None, :]).any(-1)
    vectors = (steps.to(cell.dtype) @ cell).reshape(-1, 3)
    owner = torch.arange(structures.size, device=cell.device).repeat_interleave(len(steps))
    kept = torch.nonzero(allowed.reshape(-1))[:, 0]
    vectors, owner = vectors[kept], owner[kept]
    # a power mean instead of the shortest, which has a kink where two tie
    closeness = dot(vectors, vectors).pow(-SHORTEST_POWER / 2)
    shortest = segment_sum(closeness, owner, structures.size).pow(-1 / SHORTEST_POWER)
    vectors = vectors / shortest[owner, None]
    ratio = safe_norm(vectors)
    return Offer(
        vectors,
        LOG_LATTICE_QUALITY - BOND_DECAY * ratio,
        torch.ones_like(ratio),
        owner,
        structures.size,
    )
