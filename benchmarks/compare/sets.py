"""Data sets by name, and those of a user."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch_geometric.data import Data

from benchmarks._data import data_folder
from benchmarks.compare.configuration import ConfigurationError, DataChoice
from benchmarks.compare.data import ENERGY, FORCES, STRESS, DataSet, Target, taken
from benchmarks.compare.downloads import of_modelnet, of_qm9, of_rmd17, of_water
from benchmarks.compare.files import of_xyz
from benchmarks.compare.networks import own
from benchmarks.compare.pyg import of_pyg
from benchmarks.compare.shapes import of_shapes
from symmetrize.datasets import molecules

KILOBAR = 6.241509074e-4  # eV/Å³


def of_molecules(choice: DataChoice) -> DataSet:
    """The molecules that ``symmetrize`` ships."""
    found = {name: ENERGY if name == "energy" else FORCES for name in ("energy", "forces")}
    others = {
        "dipole": Target("1o", unit="e Å"),
        "polarizability": Target("ij=ji", unit="Å³"),
        "quadrupole": Target("ij=ji", unit="e Å²"),
    }
    targets = taken(choice, found | others, usual=("energy", "forces"))
    parts = {part: molecules(part) for part in ("train", "validation", "test")}
    for one in (*parts["train"], *parts["validation"], *parts["test"]):
        one.energy = one.energy.reshape(1, 1)
    source = "symmetrize.datasets.molecules, RHF/aug-cc-pVDZ by its own script, MIT"
    return DataSet(parts["train"] + parts["validation"], targets, source, parts["test"])


def of_charges(choice: DataChoice) -> DataSet:
    """Charged particles that move by their Coulomb forces: where they are a time later.

    Source: the n-body system of Kipf et al., arXiv 1802.04687, as in E(n) equivariant networks.
    """
    number = choice.train + choice.validation + choice.test
    generator = torch.Generator().manual_seed(1000 + choice.seed)
    charge = torch.randint(0, 2, (number, 5), generator=generator) * 2.0 - 1.0
    start = torch.randn(number, 5, 3, generator=generator, dtype=torch.float64)
    velocity = 0.5 * torch.randn(number, 5, 3, generator=generator, dtype=torch.float64)
    charge = charge.double()
    place, speed, step = start.clone(), velocity.clone(), 1e-3
    for _ in range(1000):
        away = place[:, :, None] - place[:, None]
        cubed = (away.square().sum(-1) + 0.1).pow(1.5)
        force = (charge[:, :, None] * charge[:, None])[..., None] * away / cubed[..., None]
        speed = speed + step * force.sum(2)
        place = place + step * speed
    structures = [
        Data(pos=x, z=(q > 0).long() + 1, velocity=v, shift=y - x)
        for x, q, v, y in zip(start, charge, velocity, place, strict=True)
    ]
    targets = taken(choice, {"shift": Target("1o", "point", "length")})
    return DataSet(structures, targets, "simulated, MIT")


def _in_folder(part: str, **more: Any) -> Callable[[DataChoice], DataSet]:
    """A file of the folder of data sets."""

    def make(choice: DataChoice) -> DataSet:
        folder = data_folder()
        also = {name: str(folder / path) for name, path in more.get("also", {}).items()}
        also |= choice.also
        read = of_shapes if part.endswith(".npz") else of_xyz
        told = choice.targets or more.get("targets", {})
        found = read(replace(choice, path=str(folder / part), targets=told, also=also))
        return replace(found, source=more["source"])

    return make


def of_liquid_water(choice: DataChoice) -> DataSet:
    """Liquid water, 192 atoms in a periodic cell."""
    with np.load(data_folder() / "deepmd_water" / "water192.npz", allow_pickle=False) as stored:
        given = {name: torch.tensor(stored[name]) for name in stored.files}
    structures = [
        Data(
            pos=pos.double(),
            z=given["numbers"].long(),
            cell=cell.double()[None],
            pbc=torch.ones(1, 3, dtype=torch.bool),
            energy=energy.double().reshape(1, 1),
            forces=forces.double(),
        )
        for pos, cell, energy, forces in zip(
            *(given[name] for name in ("positions", "cell", "energy", "forces")), strict=True
        )
    ]
    targets = taken(choice, {"energy": ENERGY, "forces": FORCES})
    return DataSet(structures, targets, "liquid water of DeePMD-kit, LGPL-3")


def of_element(name: str) -> Callable[[DataChoice], DataSet]:
    """Bulk, surfaces, vacancies, strained and molten cells of one element, with stress."""

    def make(choice: DataChoice) -> DataSet:
        targets = taken(choice, {"energy": ENERGY, "forces": FORCES, "stress": STRESS})
        parts = []
        for part in ("training", "test"):
            path = data_folder() / "mlearn" / f"{name}_{part}.json"
            parts.append([_of_pymatgen(one) for one in json.loads(path.read_text())])
        return DataSet(parts[0], targets, f"{name} of mlearn, BSD-3", parts[1])

    return make


def _of_pymatgen(stored: dict[str, Any]) -> Data:
    """A structure as pymatgen writes it, stress of the sign of VASP in kbar.

    The last two components are yz and zx, in some groups of structures the other way round: so says
    the stress of SevenNet-0, which correlates with one order by 0.6 to 0.99 and not with the other.
    """
    from ase.data import atomic_numbers

    structure, outputs = stored["structure"], stored["outputs"]
    cell = torch.tensor(structure["lattice"]["matrix"], dtype=torch.float64)
    places = torch.tensor([site["abc"] for site in structure["sites"]], dtype=torch.float64)
    symbols = [site["species"][0]["element"] for site in structure["sites"]]
    xx, yy, zz, xy, yz, zx = (-KILOBAR * one for one in outputs["virial_stress"])
    if symbols[0] == "Mo" or (symbols[0] == "Si" and stored["group"] != "Elastic"):
        yz, zx = zx, yz
    return Data(
        pos=places @ cell,
        z=torch.tensor([atomic_numbers[one] for one in symbols]),
        cell=cell[None],
        pbc=torch.ones(1, 3, dtype=torch.bool),
        energy=torch.tensor([[outputs["energy"]]], dtype=torch.float64),
        forces=torch.tensor(outputs["forces"], dtype=torch.float64),
        stress=torch.tensor([[[xx, xy, zx], [xy, yy, yz], [zx, yz, zz]]], dtype=torch.float64),
    )


ACAC = "BOTNet data sets, MIT"
SETS: dict[str, Callable[[DataChoice], DataSet]] = {
    "molecules": of_molecules,
    "xyz": of_xyz,
    "shapes": of_shapes,
    "charges": of_charges,
    "acetylacetone": _in_folder(
        "botnet/dataset_acac/train_300K.xyz.gz",
        source=ACAC,
        also={
            "300 K": "botnet/dataset_acac/test_MD_300K.xyz.gz",
            "600 K": "botnet/dataset_acac/test_MD_600K.xyz.gz",
            "dihedral": "botnet/dataset_acac/test_dihedral.xyz.gz",
            "H transfer": "botnet/dataset_acac/test_H_transfer.xyz.gz",
        },
    ),
    "methane": _in_folder(
        "pet_methane/methane_train.xyz", source="CH4 of Pozdnyakov and Ceriotti, MIT"
    ),
    "water dimers": _in_folder(
        "tensoap/water_dimer_1000.xyz.gz",
        source="TENSOAP, LGPL-3",
        targets={
            "dipole": {"key": "mu", "representation": "1o", "unit": "a.u."},
            "polarizability": {"key": "alpha", "representation": "ij=ji", "unit": "a.u."},
        },
    ),
    "liquid water": of_liquid_water,
    "Si": of_element("Si"),
    "Mo": of_element("Mo"),
    "Li": of_element("Li"),
    "Li3PS4": _in_folder("li3ps4/li3ps4_train.xyz", source="Li3PS4, MIT"),
    "furniture": _in_folder(
        "furniture11_1024.npz", source="libraries of Sweet Home 3D, CC-BY-3.0 and CC0"
    ),
    "pyg": of_pyg,
    "rMD17": of_rmd17,
    "QM9": of_qm9,
    "water": of_water,
    "ModelNet10": partial(of_modelnet, "ModelNet10"),
    "ModelNet40": partial(of_modelnet, "ModelNet40"),
}


def data_of(choice: DataChoice) -> DataSet:
    """The set that is chosen, by its name or by a loader "module:loader" of one's own.

    Raises:
        ConfigurationError: if it is not there, or does not fit.
    """
    if choice.set in SETS:
        try:
            return SETS[choice.set](choice)
        except SystemExit as missing:  # the folder of data sets
            raise ConfigurationError(str(missing)) from None
    found = own(choice.set, "data sets", SETS)(choice)
    if not isinstance(found, DataSet):
        raise ConfigurationError(
            f"{choice.set!r} returned a {type(found).__name__} but must return a DataSet of "
            "benchmarks.compare.data"
        )
    return found
