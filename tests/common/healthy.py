"""Models that hold what they claim, some of them near the edge of it: no check may accuse one.

Each is made in double precision, with weights that are the same each time.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch

from backbones import DGCNN, PET, PointNet, PointNetPlusPlus, PointTransformer
from equivariance_tests.measure.trial import Trial
from equivariance_tests.mutants.averaged import LENGTH, DeepSet
from equivariance_tests.mutants.breaks import HardCutoff, Rectified
from equivariance_tests.mutants.copies import CARRIES, Reader
from equivariance_tests.mutants.edges import Blocks
from equivariance_tests.mutants.forces import Potential
from equivariance_tests.mutants.further import Beside
from equivariance_tests.mutants.memory import SKIN, StaleNeighbors
from equivariance_tests.mutants.pairs import CONTRACT, CUTOFF, PairNetwork, Pairs, summed
from equivariance_tests.mutants.rounds import Messages, claimed
from equivariance_tests.mutants.skins import OPTIONS, Skinned
from equivariance_tests.mutants.symmetry import LevelTerm
from equivariance_tests.mutants.upright import about
from symmetrize import (
    Contract,
    HierarchicalFrames,
    PairFrames,
    Symmetrizer,
    neighbor_list,
    per_point,
)

OUTPUTS = {"energy": "0e", "vector": "1o"}
SPECIES = (1, 8)


@dataclass(frozen=True)
class Healthy:
    """A model, what it claims (or declares itself, if None), and how it is called."""

    make: Callable[[], Any]
    contract: Contract | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def trial(self, **options: Any) -> Trial:
        """The model and its claims, to be checked."""
        return Trial.of(self.make(), self.contract, **{**self.options, **options})


def seeded(make: Callable[[], nn.Module], gain: float = 1.0) -> nn.Module:
    """A network with weights of its own seed, in evaluation mode; larger by a factor."""
    before = torch.get_default_dtype()
    # what e3nn couples with has the precision that is the default when it is made
    torch.set_default_dtype(torch.float64)
    try:
        with torch.random.fork_rng():
            torch.manual_seed(3)
            net = make().eval()
    finally:
        torch.set_default_dtype(before)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(gain)
    return net


# --- networks of pairs, as the mutants derive from


class Verlet(StaleNeighbors):
    """Keeps its neighbor list while nothing can have come within the cutoff."""

    margin, allowed = SKIN, SKIN / 2


class SteepStep(PairNetwork):
    """The energy rises within a millionth of the density, as smoothly as a tanh does."""

    def of_points(self, density: Tensor, arrows: Tensor) -> tuple[Tensor, Tensor]:
        energies, vectors = super().of_points(density, arrows)
        return energies + torch.tanh((density[:, 0] - 0.7) / 1e-6), vectors


class Shifted(PairNetwork):
    """Energies of 1e6 and something of order one."""

    def pooled(self, rows: Tensor, data: Batch) -> Tensor:
        total = super().pooled(rows, data)
        return total + 1e6 if rows.size(1) == 1 else total


class Faint(PairNetwork):
    """Everything is a million millionth of what it was."""

    def pooled(self, rows: Tensor, data: Batch) -> Tensor:
        return 1e-12 * super().pooled(rows, data)


class Tiny(PairNetwork):
    """Lengths in meters, of points micrometers apart."""

    def pairs(self, data: Batch) -> Pairs:
        found = neighbor_list(data.pos, 1e-6 * CUTOFF, data.batch)
        return Pairs(found.center, found.neighbor, 1e6 * found.vectors.to(data.pos.dtype))


class Periodic(PairNetwork):
    """Neighbors are images, too."""

    def pairs(self, data: Batch) -> Pairs:
        found = neighbor_list(data.pos, CUTOFF, data.batch, data.cell, data.pbc)
        return Pairs(found.center, found.neighbor, found.vectors.to(data.pos.dtype))


class InField(PairNetwork):
    """Adds what a field (one vector for each structure) and moments of the points do."""

    def forward(self, data: Batch) -> dict[str, Tensor]:
        _, arrows = self.environments(data)
        here = torch.linalg.cross(arrows[:, 0], data.moment) + data.field[data.batch]
        energies = torch.tanh((arrows[:, 1] * here).sum(-1, keepdim=True))
        outputs = super().forward(data)
        return {
            "energy": outputs["energy"] + self.pooled(energies, data),
            "vector": outputs["vector"] + self.pooled(energies * here, data),
        }


class Colored(PairNetwork):
    """Neighbors count by their species."""

    def weights(self, pairs: Pairs) -> Tensor:
        return super().weights(pairs) * self.charges[pairs.neighbor, None]

    def forward(self, data: Batch) -> dict[str, Tensor]:
        self.charges = data.z.to(data.pos.dtype).sqrt()
        return super().forward(data)


class Tensors(PairNetwork):
    """A symmetric tensor of each structure, an antisymmetric one of each point."""

    def forward(self, data: Batch) -> dict[str, Tensor]:
        _, arrows = self.environments(data)
        product = arrows[:, 0, :, None] * arrows[:, 2, None, :]
        symmetric = self.pooled((product + product.mT).flatten(1), data)
        return {"quadrupole": symmetric.reshape(-1, 3, 3), "twist": product - product.mT}


class OfPoints(PairNetwork):
    """Energies and forces of points."""

    def pooled(self, rows: Tensor, data: Batch) -> Tensor:
        return rows


# --- other ways to write and to call a model


def of_positions(positions: Tensor) -> Tensor:
    """The energy of one structure, from the distances of all its points."""
    apart = (positions[:, None] - positions[None]).square().sum(-1)
    return torch.tanh(torch.exp(-apart / 2).sum(1)).sum()


def of_centered(positions: Tensor) -> Tensor:
    """A dipole, exactly zero for two points but for the rounding of their mean."""
    if len(positions) == 0:
        return positions.new_zeros(3)
    arrows = positions - positions.mean(0)
    return (arrows * torch.exp(-arrows.square().sum(-1, keepdim=True) / 2)).sum(0)


def of_cubic_moments(data: Batch) -> Tensor:
    """A pseudoscalar: the volume that three vectors span, each a sum of x r^2 and less of it.

    The terms of the volume grow with the cloud, and cancel where it is near a line.
    """
    number = torch.bincount(data.batch, minlength=data.num_graphs).clamp(min=1)[:, None]
    arrows = data.pos - (summed(data.pos, data.batch, data.num_graphs) / number)[data.batch]
    squares = arrows.square().sum(-1, keepdim=True)
    weights = (squares, squares / (1 + squares), squares / (1 + squares).square())
    a, b, c = (summed(w * arrows, data.batch, data.num_graphs) for w in weights)
    return (torch.linalg.cross(a, b) * c).sum(-1, keepdim=True)


def of_dense_clouds(clouds: Tensor) -> Tensor:
    """Energy and dipole (b, 4) of dense clouds (b, n, 3)."""
    arrows = clouds[:, None] - clouds[:, :, None]
    near = torch.exp(-arrows.square().sum(-1))
    number = near.sum(2)
    dipole = (torch.sin(number)[:, :, None] * (near[..., None] * arrows).sum(2)).sum(1)
    return torch.cat([torch.cos(number).sum(1, keepdim=True), dipole], 1)


class GatePoints(nn.Module):
    """The example network of e3nn, with edges by structure and a sum over points."""

    def __init__(self, lmax: int) -> None:
        super().__init__()
        from e3nn.nn.models.v2106.gate_points_networks import SimpleNetwork

        class Network(SimpleNetwork):
            def preprocess(self, data: Batch) -> tuple[Tensor, ...]:
                found = neighbor_list(data.pos, self.max_radius, data.batch)
                ones = data.pos.new_ones(len(data.pos), 1)
                vectors = found.vectors.to(data.pos.dtype)
                return data.batch, ones, found.center, found.neighbor, vectors

        sizes = {"num_neighbors": 4.0, "num_nodes": 1.0, "mul": 4, "layers": 1}
        self.net = Network("0e", "0e + 1o", CUTOFF, lmax=lmax, pool_nodes=False, **sizes)

    def forward(self, data: Batch) -> dict[str, Tensor]:
        rows = self.net(data)
        pooled = rows.new_zeros(data.num_graphs, 4).index_add(0, data.batch, rows)
        return {"energy": pooled[:, :1], "vector": pooled[:, 1:]}


def gate_points(lmax: int) -> nn.Module:
    """With all its weights drawn: some of them start at zero, and hide what it does."""
    net = seeded(lambda: GatePoints(lmax))
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in net.parameters():
            drawn = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(torch.where(parameter == 0, drawn, parameter))
    return net


def morse() -> Any:
    """A pair potential of ASE: conical where atoms meet, with two derivatives at its cutoff."""
    from ase.calculators.morse import MorsePotential

    return MorsePotential(rho0=2.0, r0=1.0, rcut1=1.9, rcut2=CUTOFF)


def _symmetrized(make: Callable[[], nn.Module], gain: float = 1.0, **options: Any) -> Healthy:
    return Healthy(lambda: Symmetrizer(seeded(make, gain), **options).eval())


def _local(smoothness: float | None = math.inf) -> Contract:
    return Contract(OUTPUTS, cutoff=CUTOFF, extensive=True, smoothness=smoothness)


# Frames that know no length take a cloud of any size for one of size one, and a jump to a point
WHOLE = HierarchicalFrames(length_scale=LENGTH)
POINTWISE = {"energy": per_point("0e"), "vector": per_point("1o")}
SMALL = {"width": 8, "cutoff": CUTOFF / 2}
PET_OF_POINTS = {"species": SPECIES, "heads": 2, "layers": 1, "cutoff_width": 1.0, **SMALL}
HEALTHY: dict[str, Healthy] = {
    # more than points
    "further positions": Healthy(Beside),
    "reader of what is carried": Healthy(
        lambda: Symmetrizer(Reader(), frames=WHOLE),
        Contract(OUTPUTS, smoothness=None),
        {"carries": CARRIES},
    ),
    # averages over frames
    "deep set": Healthy(lambda: Symmetrizer(DeepSet(), frames=WHOLE)),
    "deep set, rotations only": Healthy(
        lambda: Symmetrizer(DeepSet({"helicity": "0o", "axis": "1e"}), group="SO(3)", frames=WHOLE)
    ),
    "PointNet": _symmetrized(lambda: PointNet(OUTPUTS, width=8, species=1), frames=WHOLE),
    "PointNet of centers": _symmetrized(
        lambda: PointNet(OUTPUTS, width=8, species=1),
        scope="center",
        reduce="sum",
        frames=HierarchicalFrames(cutoff=CUTOFF),
    ),
    "PointNet++": _symmetrized(lambda: PointNetPlusPlus(OUTPUTS, species=1, **SMALL)),
    "DGCNN": _symmetrized(lambda: DGCNN(OUTPUTS, species=1, **SMALL)),
    "point transformer": _symmetrized(lambda: PointTransformer(OUTPUTS, species=1, **SMALL)),
    "PET with species, of points": Healthy(
        lambda: Symmetrizer(seeded(lambda: PET(POINTWISE, **PET_OF_POINTS))),
        options={"species": SPECIES},
    ),
    "pair frames": Healthy(
        lambda: Symmetrizer(DeepSet(), frames=PairFrames(CUTOFF, auxiliary=PairNetwork()))
    ),
    # equivariant by themselves
    "e3nn, l = 1": Healthy(
        lambda: gate_points(1), Contract(OUTPUTS, cutoff=CUTOFF, rounds=2, extensive=True)
    ),
    "e3nn, l = 2": Healthy(
        lambda: gate_points(2), Contract(OUTPUTS, cutoff=CUTOFF, rounds=2, extensive=True)
    ),
    "one round of messages": Healthy(lambda: Messages(1), claimed(1)),
    "two rounds of messages": Healthy(lambda: Messages(2), claimed(2)),
    "function of positions": Healthy(lambda: of_positions, Contract("0e")),
    "dipole of positions": Healthy(lambda: of_centered, Contract("1o")),
    "pseudoscalar of cubic moments": Healthy(lambda: of_cubic_moments, Contract("0o")),
    "neighbor list with a margin": Healthy(Verlet, CONTRACT),
    "dense": Healthy(lambda: of_dense_clouds, Contract("0e + 1o"), {"call": "b n c -> b o"}),
    "periodic": Healthy(Periodic, Contract(OUTPUTS, cutoff=CUTOFF, extensive=True, periodic=True)),
    "field and moments": Healthy(
        InField,
        Contract(OUTPUTS, inputs={"field": "1o", "moment": "1e"}, cutoff=CUTOFF),
        {"of_structures": ["field"]},
    ),
    "energy, forces and stress": Healthy(Potential),
    "a list that is kept while it may": Healthy(Skinned, options=OPTIONS),
    "species": Healthy(Colored, CONTRACT, {"species": SPECIES}),
    "Cartesian tensors": Healthy(
        Tensors, Contract({"quadrupole": "ij=ji", "twist": per_point("ij=-ji")}, cutoff=CUTOFF)
    ),
    "of points": Healthy(OfPoints, Contract(POINTWISE, cutoff=CUTOFF)),
    # about an axis
    "a term along z": Healthy(LevelTerm, about("O(2)")),
    "averaged about an axis": Healthy(
        lambda: Symmetrizer(
            DeepSet(), group="SO(2)", axis=(1, 2, -2), translations="across", frames=WHOLE
        )
    ),
    # near the edge
    "step of width 1e-6": Healthy(SteepStep, CONTRACT),
    "offset of 1e6": Healthy(Shifted, Contract(OUTPUTS, cutoff=CUTOFF)),
    "outputs of 1e-12": Healthy(Faint, CONTRACT),
    "lengths of 1e-6": Healthy(Tiny, Contract(OUTPUTS, cutoff=1e-6 * CUTOFF, extensive=True)),
    "rectifier that claims continuity": Healthy(Rectified, _local(0)),
    "hard cutoff that claims nothing": Healthy(HardCutoff, _local(None)),
    "ASE calculator": Healthy(
        morse, Contract({"energy": "0e"}, cutoff=CUTOFF, extensive=True, smoothness=0)
    ),
    # rows of edges
    "blocks of edges": Healthy(Blocks),
}
