"""Frames along single points, or along single bonds of a crystal: exact, smooth, and too steep.

As the default frames of this package once were. Each point of a molecule is a candidate for the
axis and for the azimuth, and those are kept whose quality is near that of the best. Each point of a
crystal has a local vector, a sum over its bonds, and these play the part of points; bonds stand in
where local vectors vanish. On clouds without symmetry nothing is wrong with that. Next to a
symmetric one it takes too many frames, or too steep ones.

Frames of clouds that are refused, as they take more than 1,000, by how far their points are moved:

|                | 0 to 1e-9 | 1e-6  | 1e-4  | 1e-3  | 1e-2  | 0.05  | 0.3   |
|----------------|-----------|-------|-------|-------|-------|-------|-------|
| C60            | 2,880     | 2,880 | 2,880 | 2,880 | 2,703 | 2,605 | 1,113 |
| shell of 50    | 1,872     | 1,872 | 1,872 | 1,872 | 1,865 | 1,844 | 1,135 |
| fcc cell       | -         | 1,280 | 1,536 | 1,536 | -     | -     | -     |
| diamond cell   | -         | 1,424 | 1,536 | -     | -     | -     | -     |
| rock salt cell | -         | 1,276 | 1,536 | -     | -     | -     | -     |

What frames and weights add to the gradient of the energy of the others, in spreads of the network
over rotations a unit of length. Directions of local vectors, of a size s, change at 1/s; next to a
perfect crystal, where these are smallest, they lose against bonds:

|                | 0 to 1e-9 | 1e-6 | 1e-4 | 1e-3  | 1e-2 | 0.05 | 0.3 |
|----------------|-----------|------|------|-------|------|------|-----|
| bcc cell       | 0         | 0    | 0    | 0     | 314  | 35   | 10  |
| hcp cell       | 0         | 0    | 0    | 417   | 42   | 4    | 0   |
| fcc cell       | 0         | -    | -    | -     | 823  | 145  | 18  |
| diamond cell   | 0         | -    | -    | 2,610 | 229  | 74   | 43  |
| rock salt cell | 0         | -    | -    | 1,380 | 213  | 40   | 5   |
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch_geometric.data import Batch

from equivariance_tests.mutants.averaged import HIDDEN, OUTPUTS, DeepSet
from equivariance_tests.mutants.mutant import Mutant
from equivariance_tests.mutants.pairs import CUTOFF, WIDTH, PairNetwork, Pairs
from symmetrize import Contract, Ensemble, Frames, Symmetrizer, cutoff_switch, neighbor_list
from symmetrize import safe_norm as norm
from symmetrize.arrays import join, segment_sum, step
from symmetrize.frames import Points, Vectors, assemble, chirality, mirrored
from symmetrize.groups import Group, has_reflections

# Quality of a point, in units of the rms radius: r^2 / (r^2 + CORE^2) exp(FAR r). That of a bond,
# in units of LENGTH: r^2 exp(-NEAR r - FAINTER)
CORE, FAR, NEAR, FAINTER, LENGTH = 0.5, 5.0, 4.0, 6.0, CUTOFF / 4
# Ratios to the best at which a candidate enters and counts fully, and the power of the mean that
# stands for the best
LOW, HIGH, ORDER = 0.45, 1.0, 8
# Directions that differ by no more are one, and candidates that are closer to the axis no azimuth
SAME, ALONG = 1e-7, 1e-6
# What is smaller is a point, or a perfect crystal
SMALL, PERFECT = 0.1, 0.05
# How much there is off every line where frames begin, and where they are all there is
PLANE = (0.02, 0.3)
MOST = 1000


@dataclass(frozen=True)
class Candidates:
    """Directions (n, 3) for axes and azimuths, their quality, how much is there, and of whom."""

    directions: Float[Tensor, "rows 3"]
    quality: Float[Tensor, "rows"]
    presence: Float[Tensor, "rows"]
    owner: Int[Tensor, "rows"]


class SinglePoints(Frames):
    """A frame for every pair of candidates that are nearly as good as the best.

    Args:
        auxiliary: an equivariant model that answers for small clouds, and for those on a line.
        finite: whether it does not answer for all that are not periodic.
    """

    def __init__(self, auxiliary: nn.Module, finite: bool = True) -> None:
        self.auxiliary, self.finite = auxiliary, finite

    def of_structures(self, structures: Points, group: Group, degree: int) -> Ensemble:
        """Frames of the points from their centroid, or of the local vectors of a crystal."""
        cloud, bonds = structures.from_centroid, None
        least = torch.full((cloud.size,), SMALL, dtype=torch.float64)
        if structures.periodic:
            cloud, bonds = crystals(structures)
            least = torch.where(structures.is_periodic, PERFECT, least)
        square = segment_sum(cloud.vectors.square().sum(1), cloud.index, cloud.size)
        square = square / torch.bincount(cloud.index, minlength=cloud.size).clamp(min=1)
        unit = (square + least.square()).sqrt()
        trust = square / unit.square() * (structures.is_periodic | self.finite)
        offered = [points(cloud.scaled(unit), trust), *([] if bonds is None else [bonds])]
        together = zip(*(vars(one).values() for one in offered), strict=True)
        return chosen(Candidates(*map(torch.cat, together)), cloud, trust, group)

    def of_clouds(self, cloud: Vectors, group: Group, degree: int) -> Ensemble:
        """Environments have none."""
        raise NotImplementedError


def points(cloud: Vectors, trust: Float[Tensor, "size"]) -> Candidates:
    """The vectors of clouds, far ones preferred."""
    squared, trusted = cloud.vectors.square().sum(1), trust[cloud.index]
    softened = squared + CORE**2
    presence = trusted * squared / softened
    return Candidates(
        units(cloud.vectors), presence * (FAR * softened.sqrt()).exp(), presence, cloud.index
    )


def crystals(structures: Points) -> tuple[Vectors, Candidates]:
    """Structures with local vectors where they are periodic, and the bonds of those."""
    found = neighbor_list(
        structures.positions, CUTOFF, structures.batch, structures.cell, structures.pbc
    )
    vectors, owner = found.vectors.double() / LENGTH, structures.batch[found.center]
    lengths = norm(vectors)
    fade = cutoff_switch(lengths, CUTOFF / LENGTH, WIDTH / LENGTH)
    fade = fade * structures.is_periodic[owner]
    squared = lengths.square()
    cloud = structures.from_centroid
    summands = (fade / (squared + CORE**2))[:, None] * vectors
    local = segment_sum(summands, found.center, len(cloud.vectors))
    periodic = structures.is_periodic[cloud.index, None]
    quality = fade * squared * (-NEAR * lengths - FAINTER).exp()
    return (
        replace(cloud, vectors=torch.where(periodic, local, cloud.vectors)),
        Candidates(units(vectors), quality, fade, owner),
    )


def chosen(
    offered: Candidates, cloud: Vectors, trust: Float[Tensor, "size"], group: Group
) -> Ensemble:
    """An axis, then an azimuth about it, then mirror images.

    Raises:
        ValueError: if a structure has more than ``MOST`` frames.
    """
    x, share, owner = kept(offered.directions, offered.quality, offered.owner, cloud.size)
    axis, row = join(owner, offered.owner, cloud.size)
    across = offered.directions[row]
    across = across - (across * x[axis]).sum(1, keepdim=True) * x[axis]
    sine = across.square().sum(1)
    sine = torch.where(sine > ALONG**2, sine, 0.0)
    y, part, axis = kept(units(across), offered.quality[row] * sine, axis, len(x))
    y = units(y - (y * x[axis]).sum(1, keepdim=True) * x[axis])
    rotations = torch.stack([x[axis], y, torch.linalg.cross(x[axis], y)], -1)
    weights, owner = share[axis] * part, owner[axis]
    refuse_many(owner)
    if has_reflections(group):
        hand = chirality(cloud, rotations, owner) * trust[owner]
        rotations, weights, owner = mirrored(rotations, weights, owner, hand)
        refuse_many(owner)
    # sum over pairs of candidates of the squared sine between them
    outer = offered.directions[:, :, None] * offered.directions[:, None, :]
    spread = segment_sum(offered.presence[:, None, None] * outer, offered.owner, cloud.size)
    plane = spread.diagonal(dim1=1, dim2=2).sum(1).square() - spread.square().sum((1, 2))
    solid = step((plane - PLANE[0]) / (PLANE[1] - PLANE[0]))
    return assemble(rotations, weights * solid[owner], owner, cloud.size, auxiliary=1 - solid)


def kept(
    directions: Float[Tensor, "rows 3"],
    quality: Float[Tensor, "rows"],
    owner: Int[Tensor, "rows"],
    size: int,
) -> tuple[Float[Tensor, "kept 3"], Float[Tensor, "kept"], Int[Tensor, "kept"]]:
    """Directions nearly as good as the best of their owner, and weights that sum to one.

    Equal ones are one: first derivatives survive that.
    """
    best = quality.new_zeros(size).scatter_reduce(0, owner, quality.detach(), "amax")
    ratio = quality / torch.where(best > 0, best, 1.0)[owner]
    power = ratio**ORDER
    below = segment_sum(power, owner, size)
    mean = segment_sum(power * ratio, owner, size) / torch.where(below > 0, below, 1.0)
    ratio = ratio / torch.where(below > 0, mean, 1.0)[owner]
    weights = step((ratio - LOW) / (HIGH - LOW))
    some = (weights > 0).nonzero()[:, 0]
    directions, weights, owner = directions[some], weights[some], owner[some]
    places = (directions.detach() / SAME).round().long()
    one, group = torch.unique(torch.cat([owner[:, None], places], 1), dim=0, return_inverse=True)
    total = segment_sum(weights, group, len(one))
    # the least weights underflow as squares: divided by their sum first
    parts = (weights / total[group])[:, None] * directions
    mean = segment_sum(parts, group, len(one))
    whole = segment_sum(total, one[:, 0], size)
    return units(mean), total / whole[one[:, 0]], one[:, 0]


def units(vectors: Float[Tensor, "rows 3"]) -> Float[Tensor, "rows 3"]:
    """Of length one, or zero."""
    lengths = norm(vectors)
    return vectors / torch.where(lengths > 0, lengths, 1.0)[:, None]


def refuse_many(owner: Int[Tensor, "frames"]) -> None:
    """No more frames than what is reasonable."""
    most = int(torch.bincount(owner).max()) if len(owner) else 0
    if most > MOST:
        raise ValueError(f"a structure needs {most} frames: more than {MOST}")


class Images(nn.Module):
    """The healthy network of crystals that is averaged: of neighbors, images too, by direction."""

    contract = Contract(OUTPUTS, group=None, cutoff=CUTOFF, extensive=True, periodic=True)

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.inner = nn.Parameter(torch.randn(3, HIDDEN, generator=generator))
        self.outer = nn.Parameter(torch.randn(HIDDEN, 4, generator=generator) / math.sqrt(HIDDEN))

    def forward(self, data: Batch) -> dict[str, Tensor]:
        """One row for each structure: sums over points of sums over neighbors, bent."""
        pairs = images(data)
        fade = cutoff_switch(norm(pairs.vectors), CUTOFF, WIDTH)
        each = fade[:, None] * torch.sin(pairs.vectors @ self.inner + 1.0)
        hidden = torch.tanh(segment_sum(each, pairs.center, len(data.pos)))
        pooled = segment_sum(hidden @ self.outer, data.batch, data.num_graphs)
        return {"energy": pooled[:, :1], "vector": pooled[:, 1:]}


class PairsOfImages(PairNetwork):
    """The equivariant network, of images too."""

    def pairs(self, data: Batch) -> Pairs:
        """Neighbors and their images."""
        return images(data)


def images(data: Batch) -> Pairs:
    """All pairs within the cutoff, in a crystal too."""
    periods = (data.cell, data.pbc) if "cell" in data else ()
    found = neighbor_list(data.pos, CUTOFF, data.batch, *periods)
    return Pairs(found.center, found.neighbor, found.vectors.to(data.pos.dtype))


# What jumps at a symmetric cloud is steep next to it
ALSO = {
    "steepness": frozenset(
        {"principal axes with signs", "frame averaging", "frames of collinear pairs"}
    )
}
MUTANTS: dict[str, Mutant] = {
    "frames along single points": Mutant(
        lambda: Symmetrizer(DeepSet(), frames=SinglePoints(PairNetwork())),
        Contract(OUTPUTS, smoothness=1),
        # refused as they are, they have neither paths nor approaches
        frozenset({"finiteness"}),
    ),
    "frames along single bonds": Mutant(
        lambda: Symmetrizer(Images(), frames=SinglePoints(PairsOfImages(), finite=False)),
        Contract(OUTPUTS, smoothness=1, periodic=True),
        # refused next to a perfect crystal, too
        frozenset({"finiteness", "steepness", "gradients", "path scan", "stratum approach"}),
    ),
}
