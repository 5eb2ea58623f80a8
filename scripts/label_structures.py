"""Label the molecules and crystals that the small potential of ``backbones`` learns from.

Molecules of H, C, N and O, alone and in pairs and clusters, from molecular dynamics with GFN2-xTB
at 300 to 1000 K; crystals of Si, Al, Cu and NaCl, strained, rattled and with vacancies, labelled by
SevenNet-0. The two teachers share no species, so that their energies need no common zero.

Both are tools of this script alone: no code or weights of theirs is shipped. Usage, in an
environment of its own with ``pip install ase tblite sevenn`` (about 5 minutes on one core; what is
there is not labelled again)::

    python scripts/label_structures.py FOLDER

Sources: Bannwarth, Ehlert and Grimme, J. Chem. Theory Comput. 15, 1652 (2019) for GFN2-xTB (tblite,
LGPL-3); Park et al., J. Chem. Theory Comput. 20, 4857 (2024) for SevenNet-0 (GPL-3).
"""

import argparse
import warnings
from pathlib import Path

import ase
import numpy as np
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator
from ase.io import write
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution

SEED = 20261128
MOLECULES = (
    *("H2O", "NH3", "CH4", "CO2", "HCN", "N2", "H2", "CO", "C2H2", "C2H4", "C2H6"),
    *("CH3OH", "CH3CH2OH", "CH3OCH3", "H2CO", "HCOOH", "CH3CHO", "CH3COOH", "H2CCO"),
    *("H3CNH2", "CH3CH2NH2", "CH3CN", "CH3CONH2", "C6H6", "C5H5N", "C4H4NH", "C4H4O"),
    *("C3H8", "C3H4_C3v", "C3H6_D3h", "trans-butane", "isobutane", "butadiene", "CH3COCH3"),
    *("N2H4", "H2O2", "HCOOCH3", "C2H6NH", "NCCN", "OCHCHO", "CH3NO2"),
)
SNAPSHOTS = 40  # of each molecule
CLUSTERS = 500  # of two to four molecules
CRYSTALS = {
    "Si": {"crystalstructure": "diamond", "a": 5.43},
    "Al": {"crystalstructure": "fcc", "a": 4.05},
    "Cu": {"crystalstructure": "fcc", "a": 3.61},
    "NaCl": {"crystalstructure": "rocksalt", "a": 5.64},
}
CELLS = 300  # of each crystal
STEP, EVERY = 0.5 * units.fs, 40  # of the dynamics, and steps between snapshots


def labelled(atoms: Atoms, calculator: Calculator) -> Atoms | None:
    """Positions in single precision with energy and forces; None if forces are beyond 25 eV/Å."""
    found = atoms.copy()
    found.set_positions(atoms.positions.astype(np.float32).astype(float))
    found.calc = calculator
    energy, forces = found.get_potential_energy(), found.get_forces()
    if not np.isfinite(energy) or np.abs(forces).max() > 25:
        return None
    plain = Atoms(found.numbers, found.positions, cell=found.cell, pbc=found.pbc)
    plain.info["energy"] = float(energy)
    plain.arrays["forces"] = forces
    return plain


def moving(atoms: Atoms, calculator: Calculator, number: int, rng: np.random.Generator) -> list:
    """Snapshots of dynamics whose temperature rises from 300 to 1000 K."""
    atoms = atoms.copy()
    atoms.calc = calculator
    MaxwellBoltzmannDistribution(atoms, temperature_K=300, rng=rng)
    engine = Langevin(atoms, STEP, temperature_K=300, friction=0.02 / units.fs, rng=rng)
    found = []
    for place in range(number):
        engine.set_temperature(temperature_K=300 + 700 * place / number)
        engine.run(EVERY)
        found.append(labelled(atoms, calculator))
    return [one for one in found if one is not None]


def cluster(rng: np.random.Generator) -> Atoms:
    """Two to four small molecules in random poses, no two atoms closer than 1.6 Å."""
    names = ("H2O", "H2O", "NH3", "CH4", "CO2", "CH3OH", "H2CO", "HCN")
    parts = [molecule(str(rng.choice(names))) for _ in range(rng.integers(2, 5))]
    total = Atoms()
    for part in parts:
        rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        part.positions = (part.positions - part.positions.mean(0)) @ rotation
        part.positions += rng.normal(size=part.positions.shape) * 0.03
        reach = 1.6
        while True:
            arm = rng.normal(size=3)
            place = part.positions + arm / np.linalg.norm(arm) * reach * rng.uniform(0.5, 2)
            apart = [np.linalg.norm(place - one, axis=1).min() for one in total.positions]
            if not apart or 1.6 < min(apart) < 6.0:
                break
            reach *= 1.05
            if reach > 12:
                reach = 1.6
        part.positions = place
        total += part
    return total


def crystal(name: str, rng: np.random.Generator) -> Atoms:
    """A conventional cell or two of them, strained by up to 6 %, rattled by up to 0.25 Å."""
    atoms = bulk(name, cubic=True, **CRYSTALS[name])
    if rng.random() < 0.3:
        atoms = atoms.repeat([int(n) for n in rng.permutation([2, 1, 1])])
        if rng.random() < 0.3 and name != "NaCl":
            del atoms[int(rng.integers(len(atoms)))]
    strain = rng.uniform(-0.03, 0.03, size=(3, 3))
    strain = (strain + strain.T) / 2 + rng.uniform(-0.04, 0.04) * np.eye(3)
    atoms.set_cell(atoms.cell @ (np.eye(3) + strain), scale_atoms=True)
    atoms.positions += rng.normal(size=atoms.positions.shape) * 0.25 * rng.random() ** 1.5
    return atoms


def of_molecules() -> list[Atoms]:
    """All molecules and clusters."""
    from tblite.ase import TBLite

    found = []
    for name in MOLECULES:
        rng = np.random.default_rng([SEED, *name.encode()])
        calculator = TBLite(method="GFN2-xTB", verbosity=0)
        found += moving(molecule(name), calculator, SNAPSHOTS, rng)
        print(name, len(found), flush=True)
    rng = np.random.default_rng([SEED, 1])
    for _ in range(CLUSTERS):
        found.append(labelled(cluster(rng), TBLite(method="GFN2-xTB", verbosity=0)))
    return [one for one in found if one is not None]


def of_crystals() -> list[Atoms]:
    """All crystals."""
    from sevenn.calculator import SevenNetCalculator

    calculator = SevenNetCalculator("7net-0", device="cpu")
    found = []
    for name in CRYSTALS:
        rng = np.random.default_rng([SEED, *name.encode()])
        found += [labelled(crystal(name, rng), calculator) for _ in range(CELLS)]
        print(name, len(found), flush=True)
    return [one for one in found if one is not None]


def main() -> None:
    """Write ``molecules.xyz``, ``crystals.xyz``, and both in random order as ``structures.xyz``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore")
    total = []
    for name, make in (("molecules", of_molecules), ("crystals", of_crystals)):
        path = folder / f"{name}.xyz"
        if not path.exists():
            write(path, make(), format="extxyz")
        total += ase.io.read(path, ":", format="extxyz")
    order = np.random.default_rng(SEED).permutation(len(total))
    write(folder / "structures.xyz", [total[i] for i in order], format="extxyz")
    print(f"{len(total)} structures in {folder / 'structures.xyz'}")


if __name__ == "__main__":
    main()
