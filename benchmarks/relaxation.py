"""Do relaxations, molecular dynamics and phonons of symmetrized potentials go as with the bare one?

A network that breaks rotations a little, a Stillinger-Weber potential and a random network, relaxes
rattled crystals and C60, bare and symmetrized; runs at constant energy; keeps, or breaks, the space
group of a crystal that it relaxes without constraints; and splits, or does not, what symmetry makes
equal in the phonons of silicon at Gamma, from finite displacements.

Run: python -m benchmarks.relaxation (2 minutes on one core; needs ase and spglib). Writes
results/relaxation.json and prints the tables of docs/frames.md.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS, FIRE
from torch import Tensor

from backbones.adapters import connect
from benchmarks._paths import RandomNetworks
from benchmarks._phonons import frequencies
from benchmarks._record import read_result, write_result
from benchmarks._text import markdown, progress, short
from symmetrize import HierarchicalFrames, SymmetrizedCalculator, Symmetrizer, owners
from symmetrize.arrays import join, segment_sum

if TYPE_CHECKING:
    from torch_geometric.data import Data

REACH = 5.0  # Å, of the random network, and of the frames
BREAKING = 0.02  # eV, size of the random part of the energy of one atom
FORCE = 1e-3  # eV/Å, where relaxations end
STEPS = 400  # at most
RATTLE = 0.1  # Å, standard deviation of the displacements of each atom
TIME, DURATION = 1.0, 300  # fs of one step of dynamics, and steps
DISPLACEMENT = 1e-3  # Å, of phonons
THREADS = 1
BARE, SYMMETRIZED = "bare", "symmetrized"


@dataclass(frozen=True)
class Bonds:
    """The Stillinger-Weber potential (Phys. Rev. B 31, 5262, 1985) for one kind of bonds.

    Attributes:
        size, energy: sigma in Å and epsilon in eV.
        cosine: of the angle that bonds prefer; -1/3 for silicon.
    """

    size: float
    energy: float
    cosine: float

    def of_atoms(self, vectors: Tensor, center: Tensor, atoms: int) -> Tensor:
        """(atoms,) energies, of vectors from each to its neighbors."""
        reduced = vectors / self.size
        length = reduced.norm(dim=1)
        near = torch.nonzero(length < 1.8 - 1e-6)[:, 0]
        reduced, length, center = reduced[near], length[near], center[near]
        inverse = 1 / (length - 1.8)
        pairs = 7.049556277 * (0.6022245584 * length**-4 - 1) * inverse.exp() / 2
        one, other = join(center, center, atoms)
        one, other = one[one < other], other[one < other]
        cosine = (reduced[one] * reduced[other]).sum(1) / (length[one] * length[other])
        tail = (1.2 * (inverse[one] + inverse[other])).exp()
        triples = 21 * (cosine - self.cosine).square() * tail
        total = segment_sum(pairs, center, atoms) + segment_sum(triples, center[one], atoms)
        return self.energy * total


SILICON = Bonds(2.0951, 2.1683, -1 / 3)
CARBON = Bonds(1.27, 3.0, -1 / 2)


class Potential:
    """Energy of a structure: bonds, and a random network that knows no symmetry."""

    def __init__(self, bonds: Bonds) -> None:
        self.bonds = bonds
        self.network = RandomNetworks(REACH, scale=0.5, number=1)
        self.prepare = connect(radius=REACH)

    def __call__(self, data: "Data") -> Tensor:
        """(structures, 1) energies in eV."""
        size, batch = owners(data)
        neighbor, center = data.edge_index
        vectors = data.pos[neighbor] - data.pos[center]
        if "edge_shift" in data:
            cell = data.cell.reshape(-1, 3, 3)[batch[center]]
            vectors = vectors + torch.einsum("ei,eij->ej", data.edge_shift.to(cell.dtype), cell)
        atoms = len(data.pos)
        random = self.network(vectors, self.network.fade(vectors), center, atoms)[:, 0]
        each = self.bonds.of_atoms(vectors, center, atoms) + BREAKING * random
        return segment_sum(each, batch, size)[:, None]


def with_model(atoms: Atoms, bonds: Bonds, which: str) -> Atoms:
    """A copy of the atoms whose forces are those of a model."""
    potential = Potential(bonds)
    model: Callable[[Data], Tensor] = lambda data: potential(potential.prepare(data))  # noqa: E731
    if which == SYMMETRIZED:
        model = Symmetrizer(potential, "0e", frames=HierarchicalFrames(REACH))
    copy = atoms.copy()
    copy.calc = SymmetrizedCalculator(model)
    return copy


def rattled(atoms: Atoms) -> Atoms:
    copy = atoms.copy()
    copy.rattle(RATTLE / 3**0.5, seed=1)
    return copy


def relaxations() -> dict[str, dict[str, int]]:
    """Steps until the largest force is small: structure and optimizer, then model."""
    structures = {
        "Si, 8 atoms": (bulk("Si", cubic=True), SILICON),
        "Si, 16 atoms": (bulk("Si") * 2, SILICON),
        "C60": (molecule("C60"), CARBON),
    }
    found: dict[str, dict[str, int]] = {}
    for name, (atoms, bonds) in progress(structures.items(), "relaxations"):
        for kind in (FIRE, BFGS):
            steps = {}
            for which in (BARE, SYMMETRIZED):
                run = kind(with_model(rattled(atoms), bonds, which), logfile=None)
                done = run.run(fmax=FORCE, steps=STEPS)
                steps[which] = run.get_number_of_steps() if done else -1
            found[f"{name}, {kind.__name__}"] = steps
    return found


def dynamics() -> dict[str, dict[str, float]]:
    """Standard deviation of the conserved energy of an atom, in meV: temperature, then model."""
    found: dict[str, dict[str, float]] = {}
    for kelvin in progress((10, 300), "dynamics"):
        row = {}
        for which in (BARE, SYMMETRIZED):
            atoms = with_model(bulk("Si") * 2, SILICON, which)
            random = np.random.default_rng(2)
            MaxwellBoltzmannDistribution(atoms, temperature_K=2 * kelvin, rng=random)
            Stationary(atoms)
            run = VelocityVerlet(atoms, TIME * units.fs)
            energies = [atoms.get_total_energy() / len(atoms) for _ in run.irun(DURATION)]
            row[which] = 1e3 * float(np.std(energies))
        found[f"{kelvin} K"] = row
    return found


def space_groups() -> dict[str, dict[str, str]]:
    """Space groups before and after relaxations without constraints, to 1e-6 Å: crystal, model."""
    from spglib import get_spacegroup

    def group(atoms: Atoms) -> str:
        return get_spacegroup((atoms.cell, atoms.get_scaled_positions(), atoms.numbers), 1e-6)

    wurtzite = bulk("ZnO", "wurtzite", a=3.84, c=6.27, u=0.37)
    wurtzite.numbers[:] = 14  # hexagonal diamond, whose layers are not where they want to be
    found: dict[str, dict[str, str]] = {}
    for name, atoms in progress(
        {"Si, hexagonal": wurtzite, "Si, cubic": bulk("Si", cubic=True)}.items(), "space groups"
    ):
        row = {"before": group(atoms)}
        for which in (BARE, SYMMETRIZED):
            relaxed = with_model(atoms, SILICON, which)
            BFGS(relaxed, logfile=None).run(fmax=1e-5, steps=STEPS)
            row[which] = group(relaxed)
        found[name] = row
    return found


def phonons() -> dict[str, list[float]]:
    """Frequencies of silicon at Gamma in THz, by model; the last three are equal by symmetry."""
    found = {}
    for which in progress((BARE, SYMMETRIZED), "phonons"):
        atoms = with_model(bulk("Si"), SILICON, which)
        found[which] = frequencies(atoms, DISPLACEMENT)
    return found


def measure() -> dict[str, Any]:
    """All of it."""
    torch.set_num_threads(THREADS)
    return {
        "relaxations": relaxations(),
        "dynamics": dynamics(),
        "space_groups": space_groups(),
        "phonons": phonons(),
    }


def relaxation_table(found: dict[str, dict[str, int]]) -> str:
    return markdown(
        ["steps to 1 meV/Å", BARE, SYMMETRIZED],
        ([name, *map(str, (row[BARE], row[SYMMETRIZED]))] for name, row in found.items()),
    )


def dynamics_table(found: dict[str, dict[str, float]]) -> str:
    return markdown(
        ["meV an atom", BARE, SYMMETRIZED],
        ([name, short(row[BARE]), short(row[SYMMETRIZED])] for name, row in found.items()),
    )


def group_table(found: dict[str, dict[str, str]]) -> str:
    return markdown(
        ["", "before", BARE, SYMMETRIZED],
        ([name, row["before"], row[BARE], row[SYMMETRIZED]] for name, row in found.items()),
    )


def phonon_table(found: dict[str, list[float]]) -> str:
    return markdown(
        ["THz", "optical modes", "largest minus smallest"],
        (
            [which, ", ".join(f"{f:.4f}" for f in row[3:]), f"{max(row[3:]) - min(row[3:]):.0e}"]
            for which, row in found.items()
        ),
    )


TABLES: dict[str, Callable[[Any], str]] = {
    "relaxations": relaxation_table,
    "dynamics": dynamics_table,
    "space_groups": group_table,
    "phonons": phonon_table,
}


def table(key: str) -> str:
    """One of the stored ``TABLES``."""
    return TABLES[key](read_result("relaxation")[key])


def main() -> None:
    path = write_result("relaxation", measure())
    print(*(f"{key}\n\n{table(key)}" for key in TABLES), path, sep="\n\n")


if __name__ == "__main__":
    main()
