"""Data sets with one interface: structures, what is learned of them, and where they come from.

Structures are ``Data`` in float64 with ``pos``, ``z`` and ``cell`` where they have them, and their
targets by name, with one row for each structure or point. Energies, forces and stress go by these
names: forces and stress are derivatives of the energy, not outputs.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from benchmarks._data import data_folder
from benchmarks.compare.configuration import ConfigurationError, DataChoice
from benchmarks.compare.networks import own
from symmetrize import from_ase, per_point
from symmetrize.datasets import molecules
from symmetrize.representation import as_representation

DERIVED = ("forces", "stress")
KILOBAR = 6.241509074e-4  # eV/Å³


@dataclass(frozen=True)
class Target:
    """What is learned.

    Attributes:
        representation: how it turns.
        rows: "structure" or "point".
        unit: in words; of energies and lengths, eV and Å.
        classes: names, of a label; empty for what is measured.
    """

    representation: str
    rows: str = "structure"
    unit: str = ""
    classes: tuple[str, ...] = ()

    def output(self) -> Any:
        """As networks declare it."""
        return per_point(self.representation) if self.rows == "point" else self.representation


ENERGY, FORCES = Target("0e", unit="eV"), Target("1o", "point", "eV/Å")
STRESS = Target("ij=ji", unit="eV/Å³")


@dataclass(frozen=True)
class DataSet:
    """Structures with targets.

    Attributes:
        structures: all of them.
        targets: by the names that structures have them under.
        source: where they come from, and their licence.
        test: structures that are kept for the test, if the set says which; else a split does.
        also: further structures to test on, of other kinds, by name.
    """

    structures: list[Data]
    targets: dict[str, Target]
    source: str
    test: list[Data] = field(default_factory=list)
    also: dict[str, list[Data]] = field(default_factory=dict)

    @property
    def species(self) -> list[int]:
        """Atomic numbers; none of shapes."""
        further = itertools.chain(*self.also.values())
        kinds = [one.z for one in (*self.structures, *self.test, *further) if "z" in one]
        return sorted(set(torch.cat(kinds).tolist())) if kinds else []

    @property
    def outputs(self) -> dict[str, Any]:
        """What networks return: all targets that are no derivatives."""
        return {n: one.output() for n, one in self.targets.items() if n not in DERIVED}


@dataclass(frozen=True)
class Split:
    """Structures to learn from, to choose a state by, and to be tested on."""

    train: list[Data]
    validation: list[Data]
    test: list[Data]
    places: dict[str, list[int]]


def split(data: DataSet, choice: DataChoice) -> Split:
    """A random split by the seed, told by the places of structures.

    Raises:
        ConfigurationError: if there are fewer structures than asked for.
    """
    generator = torch.Generator().manual_seed(choice.seed)
    order = torch.randperm(len(data.structures), generator=generator).tolist()
    wanted = choice.train + choice.validation + (0 if data.test else choice.test)
    if wanted > len(order):
        raise ConfigurationError(
            f"the data has {len(order)} structures but {wanted} are asked for: lower [data] "
            "train, validation or test"
        )
    places = {
        "train": order[: choice.train],
        "validation": order[choice.train : choice.train + choice.validation],
        "test": order[choice.train + choice.validation : wanted],
    }
    parts = {name: [data.structures[i] for i in rows] for name, rows in places.items()}
    if data.test:
        parts["test"] = data.test[: choice.test]
        places["test"] = list(range(len(parts["test"])))
    return Split(**parts, places=places)


# --- sets


def of_molecules(choice: DataChoice) -> DataSet:
    """The molecules that ``symmetrize`` ships."""
    found = {name: ENERGY if name == "energy" else FORCES for name in ("energy", "forces")}
    others = {
        "dipole": Target("1o", unit="e Å"),
        "polarizability": Target("ij=ji", unit="Å³"),
        "quadrupole": Target("ij=ji", unit="e Å²"),
    }
    targets = _taken(choice, found | others, usual=("energy", "forces"))
    parts = {part: molecules(part) for part in ("train", "validation", "test")}
    for one in (*parts["train"], *parts["validation"], *parts["test"]):
        one.energy = one.energy.reshape(1, 1)
    source = "symmetrize.datasets.molecules, RHF/aug-cc-pVDZ by its own script, MIT"
    return DataSet(parts["train"] + parts["validation"], targets, source, parts["test"])


def of_xyz(choice: DataChoice) -> DataSet:
    """Any extended-XYZ file, targets by the names that they have in it."""
    names, targets = {}, {}
    given = choice.targets or {"energy": "energy", "forces": "forces"}
    for name, told in given.items():
        plain = {"energy": ENERGY, "forces": FORCES, "stress": STRESS}.get(name)
        told = {"key": told} if isinstance(told, str) else dict(told)
        names[name] = told.get("key", name)
        if "representation" in told:
            plain = Target(
                told["representation"], told.get("rows", "structure"), told.get("unit", "")
            )
        if plain is None:
            raise ConfigurationError(
                f"[data.targets] {name}: say how it turns, as in "
                f'{name} = {{key = "{names[name]}", representation = "1o"}}'
            )
        targets[name] = plain
    structures = _read(choice.path, names, targets)
    also = {name: _read(str(path), names, targets, True) for name, path in choice.also.items()}
    return DataSet(structures, targets, f"the file {Path(choice.path).name}", also=also)


def _read(
    path: str, names: dict[str, str], targets: dict[str, Target], partly: bool = False
) -> list[Data]:
    """The structures of an extended-XYZ file, cells only if one of them is periodic.

    Args:
        path: of the file.
        names: of targets, as the file has them.
        targets: by our names.
        partly: whether targets that the file lacks are left out.
    """
    from ase.io import read

    if not Path(path).is_file():
        raise ConfigurationError(f"[data] path: there is no file {path!r}")
    try:
        atoms = read(path, ":", format="extxyz")
        if partly:
            first = atoms[0]
            there = {*first.info, *first.arrays, *(first.calc.results if first.calc else ())}
            names = {name: key for name, key in names.items() if key in there}
        structures = from_ase(atoms, names)
    except (ValueError, KeyError) as error:
        raise ConfigurationError(f"{path}: {error}") from None
    _shape(structures, {name: targets[name] for name in names})
    return structures


def _shape(structures: list[Data], targets: dict[str, Target]) -> None:
    """Targets as rows of the shape of one value; no cells if nothing is periodic."""
    is_finite = not any(bool(one.pbc.any()) for one in structures)
    for one in structures:
        if is_finite:
            del one.cell, one.pbc
        for name, target in targets.items():
            shape = as_representation(target.representation).value_shape
            one[name] = one[name].reshape(-1, *shape)


def of_shapes(choice: DataChoice) -> DataSet:
    """Labelled shapes: an npz file of points and labels, or a folder with one for each class."""
    path = Path(choice.path)
    if path.is_file():
        stored = np.load(path, allow_pickle=False)
        missing = [name for name in ("points", "label") if name not in stored]
        if missing:
            raise ConfigurationError(f"{path.name} lacks {missing}: it has {list(stored)}")
        labels = stored["label"].astype(np.int64)
        names = (
            [str(name) for name in stored["class_names"]]
            if "class_names" in stored
            else [str(k) for k in range(int(labels.max()) + 1)]
        )
        clouds = [torch.tensor(cloud).double() for cloud in stored["points"]]
        tests = stored["split"] == 1 if "split" in stored else np.zeros(len(labels), bool)
        return _of_clouds(clouds, labels, names, tests, choice, f"the file {path.name}")
    folders = sorted(one for one in path.iterdir() if one.is_dir()) if path.is_dir() else []
    if not folders:
        raise ConfigurationError(
            f"[data] path: {choice.path!r} is no npz file, and no folder of one folder a class"
        )
    clouds, numbers = [], []
    for number, folder in enumerate(folders):
        for file in sorted(folder.iterdir()):
            if file.suffix in READERS:
                clouds.append(READERS[file.suffix](file))
                numbers.append(number)
    names = [folder.name for folder in folders]
    tests = np.zeros(len(numbers), bool)
    return _of_clouds(clouds, np.array(numbers), names, tests, choice, f"the folder {path.name}")


def _of_clouds(
    clouds: Sequence[Tensor],
    labels: np.ndarray,
    names: Sequence[str],
    tests: np.ndarray,
    choice: DataChoice,
    source: str,
) -> DataSet:
    """Shapes, centered and in the unit sphere, thinned to as many points as asked for."""
    generator = torch.Generator().manual_seed(choice.seed)
    parts: tuple[list[Data], list[Data]] = ([], [])
    for cloud, label, is_test in zip(clouds, labels, tests, strict=True):
        pos = cloud - cloud.mean(0)
        pos = pos / pos.norm(dim=1).max()
        if choice.points is not None and choice.points < len(pos):
            pos = pos[torch.randperm(len(pos), generator=generator)[: choice.points]]
        parts[int(is_test)].append(Data(pos=pos, label=torch.tensor([int(label)])))
    target = Target(f"{len(names)}x0e", unit="%", classes=tuple(names))
    return DataSet(parts[0], {"label": target}, source, parts[1])


def _points_of_text(file: Path) -> Tensor:
    return torch.tensor(np.loadtxt(file, comments="#", usecols=(0, 1, 2)))


def _points_of_off(file: Path) -> Tensor:
    from torch_geometric.io import read_off

    return read_off(str(file)).pos.double()


READERS: dict[str, Callable[[Path], Tensor]] = {
    ".xyz": _points_of_text,
    ".txt": _points_of_text,
    ".pts": _points_of_text,
    ".off": _points_of_off,
}


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
    targets = _taken(choice, {"shift": Target("1o", "point", "length")})
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
    targets = _taken(choice, {"energy": ENERGY, "forces": FORCES})
    return DataSet(structures, targets, "liquid water of DeePMD-kit, LGPL-3")


def of_element(name: str) -> Callable[[DataChoice], DataSet]:
    """Bulk, surfaces, vacancies, strained and molten cells of one element, with stress."""

    def make(choice: DataChoice) -> DataSet:
        targets = _taken(choice, {"energy": ENERGY, "forces": FORCES, "stress": STRESS})
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


def _taken(
    choice: DataChoice, known: dict[str, Target], usual: Sequence[str] = ()
) -> dict[str, Target]:
    """The targets that are asked for, among those that there are; else the usual ones, or all."""
    if choice.also:
        raise ConfigurationError(
            f"[data] also: {choice.set!r} takes no further files to test on, as files of "
            'extended XYZ do: set = "xyz"'
        )
    names = list(choice.targets) or list(usual) or list(known)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigurationError(f"[data.targets] {unknown[0]!r} is none of {', '.join(known)}")
    return {name: known[name] for name in names}
