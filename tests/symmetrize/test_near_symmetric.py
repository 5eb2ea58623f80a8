"""Near-symmetric structures as a whole: as many frames as their symmetry asks for, and smooth."""

import math

import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.cluster import Octahedron
from ase.cluster.icosahedron import Icosahedron
from torch import Tensor
from torch_geometric.data import Batch, Data

from symmetrize import HierarchicalFrames, Symmetrizer
from symmetrize.arrays.switching import cutoff_switch
from symmetrize.frames import Vectors, random_rotations
from symmetrize.frames.hierarchical import TooManyFramesError, density
from symmetrize.points.neighbors import neighbor_list
from tests.common.laws import draw

# Shapes are checked in other tests: here they would take most of the time
pytestmark = pytest.mark.usefixtures("unchecked_shapes")

CUTOFF = 5.0
CRYSTALS = {
    "Si": lambda: bulk("Si", cubic=True),
    "Si, primitive": lambda: bulk("Si"),
    "Cu": lambda: bulk("Cu", cubic=True),
    "NaCl": lambda: bulk("NaCl", "rocksalt", 5.64, cubic=True),
    "Fe": lambda: bulk("Fe", cubic=True) * 2,
    "Mg": lambda: bulk("Mg"),
}
CLUSTERS = {
    "C60": lambda: molecule("C60"),
    "CH4": lambda: molecule("CH4"),
    "C6H6": lambda: molecule("C6H6"),
    "38 atoms": lambda: Octahedron("Cu", 4, 1),
    "55 atoms": lambda: Icosahedron("Cu", 3),
}
# Elements of the point group of each, or a bound where it is not one orbit of frames
MOST = {"C60": 240, "CH4": 24, "C6H6": 24, "38 atoms": 240, "55 atoms": 240}
RATTLES = (0.0, 1e-12, 1e-6, 1e-4, 1e-3, 1e-2)


def structure(atoms: Atoms, rattle: float = 0.0, seed: int = 0) -> Data:
    noise = torch.randn(len(atoms), 3, generator=torch.Generator().manual_seed(seed)).double()
    data = Data(pos=torch.tensor(atoms.positions) + rattle * noise / math.sqrt(3))
    data.z = torch.tensor(atoms.numbers)
    if atoms.pbc.any():
        data.cell, data.pbc = torch.tensor(atoms.cell.array), torch.tensor(atoms.pbc)[None]
    return data


class Local(torch.nn.Module):
    """A smooth network of local energies, blind to species, that knows no symmetry."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        self.inner, self.bias = 0.5 * normal(3, 16), 2 * normal(16)
        self.middle, self.outer = normal(16, 16) / 4, normal(16) / 4

    def forward(self, data: Data) -> Tensor:
        cell, pbc = (data.cell.reshape(-1, 3, 3), data.pbc) if "cell" in data else (None, None)
        pairs = neighbor_list(data.pos, CUTOFF, data.batch, cell, pbc)
        fade = cutoff_switch(pairs.vectors.norm(dim=-1), CUTOFF, 2.0)
        hidden = fade[:, None] * torch.tanh(pairs.vectors @ self.inner + self.bias)
        pooled = hidden.new_zeros(len(data.pos), 16).index_add(0, pairs.center, hidden)
        energies = torch.tanh(pooled @ self.middle) @ self.outer
        return energies.new_zeros(data.num_graphs).index_add(0, data.batch, energies)[:, None]


def model(**options: object) -> Symmetrizer:
    return Symmetrizer(Local(), "0e", frames=HierarchicalFrames(CUTOFF, **options))


def energy(found: Symmetrizer | Local, data: Data) -> Tensor:
    return found(Batch.from_data_list([data])).sum()


def forces(found: Symmetrizer | Local, data: Data) -> Tensor:
    data.pos = data.pos.detach().requires_grad_()
    return -torch.autograd.grad(energy(found, data), data.pos)[0]


def spread(data: Data) -> float:
    """Standard deviation of the energy over rotations."""
    turned = []
    for rotation in random_rotations(50, torch.Generator().manual_seed(1)):
        other = data.clone()
        other.pos = data.pos.detach() @ rotation
        if "cell" in data:
            other.cell = data.cell @ rotation
        turned.append(energy(Local(), other))
    return float(torch.stack(turned).std())


@pytest.mark.parametrize("name", CRYSTALS)
def test_crystals_take_no_more_frames_than_twice_their_group(name: str) -> None:
    for rattle in RATTLES:
        ensemble = model().ensemble(Batch.from_data_list([structure(CRYSTALS[name](), rattle)]))
        assert len(ensemble) <= 96, rattle


@pytest.mark.parametrize("name", CLUSTERS)
def test_clusters_are_never_refused(name: str) -> None:
    for rattle in (*RATTLES, 0.05, 0.2):
        ensemble = model().ensemble(Batch.from_data_list([structure(CLUSTERS[name](), rattle)]))
        assert len(ensemble) <= (MOST[name] if rattle < 1e-2 else 240), rattle


@pytest.mark.parametrize("name", ["Si", "Cu", "NaCl", "C60"])
def test_what_frames_add_to_forces_vanishes_with_the_distortion(name: str) -> None:
    atoms = (CRYSTALS | CLUSTERS)[name]()
    frames, unit = model(), spread(structure(atoms))
    perfect = forces(frames, structure(atoms)) / unit
    for rattle in (1e-6, 1e-4, 1e-3):
        moved = forces(frames, structure(atoms, rattle)) / unit
        # the second derivatives are finite: a few hundred spreads per square angstrom
        assert float((moved - perfect).norm(dim=1).max()) <= 300 * rattle


@pytest.mark.parametrize("name", ["Si", "Cu", "NaCl", "Mg", "C60", "38 atoms"])
def test_energies_are_continuous_through_perfection(name: str) -> None:
    atoms = (CRYSTALS | CLUSTERS)[name]()
    frames, unit = model(), spread(structure(atoms))
    perfect = float(energy(frames, structure(atoms)))
    for rattle in (1e-12, 1e-9, 1e-6):
        found = float(energy(frames, structure(atoms, rattle)))
        assert abs(found - perfect) <= unit * (1e-10 + 100 * rattle)


@pytest.mark.parametrize("name", ["Si", "Cu", "NaCl", "Fe", "Mg"])
def test_the_supercell_does_not_matter(name: str) -> None:
    atoms = CRYSTALS[name]()
    one = energy(model(), structure(atoms)) / len(atoms)
    many = energy(model(), structure(atoms * (2, 2, 2))) / (8 * len(atoms))
    assert abs(float(one - many)) <= 1e-12


def test_curvatures_of_a_perfect_crystal_are_those_of_differences() -> None:
    atoms, frames = CRYSTALS["Cu"](), model()
    along = torch.randn(len(atoms), 3, generator=torch.Generator().manual_seed(3)).double()
    data = structure(atoms)
    data.pos = data.pos.requires_grad_()
    (slope,) = torch.autograd.grad(energy(frames, data), data.pos, create_graph=True)
    (curvature,) = torch.autograd.grad((slope * along).sum(), data.pos)

    def moved(step: float) -> Tensor:
        other = structure(atoms)
        other.pos = other.pos + step * along
        return -forces(frames, other)

    difference = (moved(1e-4) - moved(-1e-4)) / 2e-4
    scale = float(difference.abs().max())
    assert float((curvature - difference).abs().max()) <= 1e-4 * scale


def test_each_advice_of_the_message_works() -> None:
    data = structure(molecule("C60"))
    with pytest.raises(
        TooManyFramesError, match=r"120 frames.*frame_scores.*scope='center'.*raise"
    ):
        model(max_frames=60).ensemble(Batch.from_data_list([data]))
    assert len(model(max_frames=120).ensemble(Batch.from_data_list([data]))) == 120
    told = data.clone()
    told.frame_scores = torch.ones(60, dtype=torch.float64)
    told.frame_scores[0] = 3.0
    assert len(model(max_frames=60).ensemble(Batch.from_data_list([told]))) <= 60
    centers = Symmetrizer(
        Local(), "0e", frames=HierarchicalFrames(CUTOFF, max_frames=60), scope="center"
    )
    assert len(centers.ensemble(Batch.from_data_list([data]))) <= 60 * 60
    salt = structure(CRYSTALS["NaCl"]())
    with pytest.raises(TooManyFramesError, match="species_scores"):
        model(max_frames=10).ensemble(Batch.from_data_list([salt]))


def test_faint_members_are_not_evaluated_and_change_nothing() -> None:
    rows = [structure(molecule("NH3"), 0.3, seed) for seed in range(40)]
    batch = Batch.from_data_list(rows)
    frames = HierarchicalFrames()
    whole = frames(batch.pos, batch.batch, species=batch.z)
    single = batch.clone()
    single.pos = batch.pos.float()
    heard = Symmetrizer(Local(), "0e", frames=frames).ensemble(single)
    assert len(heard) < len(whole)
    lost = 1 - heard.weights.new_zeros(40).index_add(0, heard.index, heard.weights)
    assert float(lost.abs().max()) <= 1e-6


def maxima_that_count(degree: int, spacing: float, monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """Of densities of clouds without symmetry: those that have a weight, on a grid of a spacing."""
    monkeypatch.setattr(density, "SPACING", spacing)
    density._grid.cache_clear()
    density._products_on_the_grid.cache_clear()
    points = torch.cat([draw(40 * n, 3, seed=n) for n in (4, 7, 20)])
    index = torch.arange(120).repeat_interleave(torch.tensor([4, 7, 20]).repeat_interleave(40))
    cloud = Vectors.of(points, index, 120)
    axes, _ = density.density_axes(density.density_of(cloud, torch.ones(len(points)), degree))
    density._grid.cache_clear()
    density._products_on_the_grid.cache_clear()
    return [axes.directions[axes.index == owner] for owner in range(120)]


@pytest.mark.parametrize("degree", [8, 16])
def test_all_maxima_that_count_are_found(degree: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def missed(spacing: float) -> int:
        found = maxima_that_count(degree, spacing, monkeypatch)
        pairs = zip(found, finest, strict=True)
        return sum(int(((one @ all_.T).amax(0) < 1 - 1e-9).sum()) for one, all_ in pairs)

    usual = density.SPACING
    finest = maxima_that_count(degree, usual / 2, monkeypatch)
    assert missed(usual) == 0
    assert missed(6 * usual) > 0
