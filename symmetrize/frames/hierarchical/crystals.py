"""What a periodic structure offers for its frames.

An extended system has no centroid. Its points have local vectors instead, from the point to the
weighted mean of its neighbors,

    m_i = sum_j w_ij r_ij / (sum_j w_ij + small),    w_ij = fade(r_ij) exp(-decay r_ij),

which turn with the structure and move by as much as its points do. The set of them plays the part
that positions play in a molecule: it points well in liquids and glasses. In a crystal the vectors
are as small as its distortion, and lose their say with it; there the density of the directions of
its bonds takes over, and where nothing is within the cutoff, that of the shortest lattice vectors.

Local vectors are compared with the mean length of the bonds; both scale with the crystal.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from symmetrize.arrays.segments import counts, segment_sum
from symmetrize.arrays.switching import cutoff_switch, ramp
from symmetrize.arrays.vectors import dot, safe_norm
from symmetrize.points.cloud import FADE, Points, Vectors
from symmetrize.points.neighbors import neighbors

# How fast bonds lose weight with their length
BOND_DECAY = 4.0
# Weight of neighbors, beside that of the lone one at distance 1, at which a point counts as alone
ALONE = 1e-3
# Mean weight of the bonds of a point between which they take over from lattice vectors, and the
# weight of these; it is not smaller, as the end of a bond is steep in units of its own weight
BONDED = (1e-6, 1e-4)
LATTICE_WEIGHT = 1e-5
# Power of the mean that stands for the shortest lattice vector
SHORTEST_POWER = 8


@dataclass(frozen=True)
class Bonds:
    """What is seen of periodic structures.

    Attributes:
        local: (points, 3), the local vector of each point, in the unit of the positions.
        length: (size,), mean length of the bonds of each structure, in the same unit.
        directions: bonds and lattice vectors, in the unit of an environment.
        weights: (rows,), of each of these in the density of directions.
        presence: (rows,), between 0 and 1, how much of each there is for the network to see.
    """

    local: Float[Tensor, "points 3"]
    length: Float[Tensor, "size"]
    directions: Vectors
    weights: Float[Tensor, "rows"]
    presence: Float[Tensor, "rows"]


def bonds_of(structures: Points, cutoff: float, unit: float) -> Bonds:
    """Local vectors and bonds of periodic structures.

    Args:
        structures: all of them periodic.
        cutoff: up to which neighbors count, in the unit of the positions.
        unit: length of an environment, in that unit.
    """
    pairs = neighbors(structures, cutoff)
    owner = structures.batch[pairs.center]
    vectors = pairs.vectors / unit
    length = safe_norm(vectors)
    fade = cutoff_switch(length, cutoff / unit, FADE * cutoff / unit)
    weights = fade * torch.exp(BOND_DECAY * (1 - length))
    number = len(structures.positions)
    total = segment_sum(weights, pairs.center, number) + ALONE
    local = segment_sum(weights[:, None] * vectors, pairs.center, number) / total[:, None]
    # that of a structure without bonds does not matter, as it has no local vectors either
    sums = segment_sum(torch.stack([weights, weights * length], -1), owner, structures.size)
    mean = (sums[:, 1] + ALONE) / (sums[:, 0] + ALONE)
    lattice, lattice_weights = lattice_vectors(structures)
    bonded = ramp(sums[:, 0] / counts(structures.batch, structures.size).clamp(min=1), *BONDED)
    lattice_weights = LATTICE_WEIGHT * (1 - bonded)[lattice.index] * lattice_weights
    directions = Vectors.of(
        torch.cat([vectors, lattice.vectors]), torch.cat([owner, lattice.index]), structures.size
    )
    return Bonds(
        unit * local,
        unit * mean,
        directions,
        torch.cat([weights, lattice_weights]),
        torch.cat([fade, (1 - bonded)[lattice.index]]),
    )


def lattice_vectors(structures: Points) -> tuple[Vectors, Float[Tensor, "rows"]]:
    """The lattice vectors of each periodic structure, up to one period along each, and weights.

    In units of the shortest, so that they are there at any size of the cell.
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
    weights = (-BOND_DECAY * safe_norm(vectors)).exp()
    return Vectors.of(vectors, owner, structures.size), weights
