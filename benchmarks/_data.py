"""Data sets of the benchmarks, as torch_geometric data in float64; lengths in Å."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from symmetrize.datasets import molecules as shipped

# Molecules of a set that are looked at
MOLECULES = 100


def data_folder() -> Path:
    """Where the data sets are.

    Raises:
        SystemExit: if they are not there.
    """
    folder = Path(os.environ.get("SYMMETRIZE_DATA", ""))
    if "SYMMETRIZE_DATA" not in os.environ or not folder.is_dir():
        raise SystemExit(
            "this benchmark measures on data sets that are not part of the package: set the "
            "environment variable SYMMETRIZE_DATA to the folder that holds pet_methane/, botnet/, "
            "tensoap/, deepmd_water/, furniture11_1024.npz and qm9_alpha_aligned_2281.npz"
        )
    return folder


def molecules(path: str, number: int) -> list[Data]:
    """The first molecules of an extended XYZ file, in Å."""
    from ase.io import read

    found = read(data_folder() / path, f":{number}", format="extxyz")
    return [Data(pos=torch.tensor(m.positions), z=torch.tensor(m.numbers)) for m in found]


def methane() -> list[Data]:
    return molecules("pet_methane/methane_test.xyz", MOLECULES)


def acetylacetone() -> list[Data]:
    return molecules("botnet/dataset_acac/train_300K.xyz.gz", MOLECULES)


def water_dimers() -> list[Data]:
    return molecules("tensoap/water_dimer_1000.xyz.gz", MOLECULES)


def small_organic(fewest: int, most: int) -> list[Data]:
    """The first molecules of QM9 with a number of atoms between the given ones."""
    stored = np.load(data_folder() / "qm9_alpha_aligned_2281.npz", allow_pickle=False)
    sizes = stored["n_atoms"].astype(np.int64)
    last = sizes.cumsum()
    chosen = np.nonzero((sizes >= fewest) & (sizes <= most))[0][:MOLECULES]
    rows = [slice(last[k] - sizes[k], last[k]) for k in chosen]
    return [
        Data(
            pos=torch.tensor(stored["positions"][row], dtype=torch.float64),
            z=torch.tensor(stored["numbers"][row].astype(np.int64)),
        )
        for row in rows
    ]


def ethanol(rattle: float) -> list[Data]:
    """Ethanol at rest, whose atoms are displaced at random, per component."""
    from ase.build import molecule

    atoms = molecule("CH3CH2OH")
    noise = np.random.default_rng(0).normal(size=(MOLECULES, len(atoms), 3))
    numbers = torch.tensor(atoms.numbers)
    return [Data(pos=torch.tensor(atoms.positions + rattle * n), z=numbers) for n in noise]


def smallest_molecules() -> list[Data]:
    """The 162 atoms and molecules of the G2 set, at rest: most of them symmetric."""
    from ase.build import molecule
    from ase.collections import g2

    found = [molecule(name) for name in g2.names]
    return [Data(pos=torch.tensor(m.positions), z=torch.tensor(m.numbers)) for m in found]


def clouds(points: int) -> list[Data]:
    """Points of one kind, each with three normal random coordinates."""
    generator = torch.Generator().manual_seed(0)
    shape = (MOLECULES, points, 3)
    drawn = torch.randn(shape, dtype=torch.float64, generator=generator)
    return [Data(pos=pos) for pos in drawn]


def of_the_demo() -> list[Data]:
    """The test molecules of the demo: six kinds, of three to six atoms, as they vibrate."""
    return [Data(pos=m.pos, z=m.z) for m in shipped("test")]


def furniture() -> list[Data]:
    """364 objects of 1024 surface points, of rms radius of order 1."""
    stored = np.load(data_folder() / "furniture11_1024.npz", allow_pickle=False)
    return [Data(pos=torch.tensor(p, dtype=torch.float64)) for p in stored["points"]]


def water(snapshots: Iterable[int]) -> list[Data]:
    """Snapshots of 192 atoms of liquid water, in Å."""
    stored = np.load(data_folder() / "deepmd_water" / "water192.npz")
    numbers = torch.tensor(stored["numbers"].astype(np.int64))
    return [periodic(stored["positions"][k], stored["cell"][k], numbers) for k in snapshots]


def periodic(positions: Any, cell: Any, numbers: Tensor) -> Data:
    return Data(
        pos=torch.tensor(positions, dtype=torch.float64),
        cell=torch.tensor(cell, dtype=torch.float64),
        pbc=torch.ones(1, 3, dtype=torch.bool),
        z=numbers,
    )


def crystal(name: str, shape: str, constant: float, rattle: float) -> list[Data]:
    """A cubic crystal of 3 x 3 x 3 cells whose atoms are displaced at random, per component."""
    from ase.build import bulk

    atoms = bulk(name, shape, constant, cubic=True) * (3, 3, 3)
    noise = np.random.default_rng(0).normal(size=atoms.positions.shape)
    positions = atoms.positions + rattle * noise
    return [periodic(positions, atoms.cell.array, torch.tensor(atoms.numbers))]
