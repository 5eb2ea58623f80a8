"""Public data sets that are downloaded from their homes once, and checked.

Where a checksum is published, or found alike in several public programs, it stands here, and a
file of another one is refused. Of the others that of the first download is kept beside the file,
and what is found there later is compared with it. They lie in the folder that SYMMETRIZE_DOWNLOADS
names, or in that of the system for such files.
"""

from __future__ import annotations

import io
import os
import re
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from torch_geometric.data import Data

from benchmarks.compare.configuration import ConfigurationError, DataChoice
from benchmarks.compare.data import ENERGY, FORCES, DataSet, Target, taken
from benchmarks.compare.shapes import of_shapes

# In eV and Å
KILOCALORIE, HARTREE, BOHR = 0.0433641153087705, 27.211386245988, 0.529177210903
MOLECULES = 133_885  # of QM9


@dataclass(frozen=True)
class Download:
    """A file in public.

    Attributes:
        url: where it is.
        file: what it is called here.
        checksum: "md5:..." or "sha256:...", if it is known.
        source: whose it is, and its licence.
    """

    url: str
    file: str
    checksum: str | None
    source: str


DOWNLOADS = {
    "rMD17": Download(
        "https://figshare.com/ndownloader/files/23950376",
        "rmd17.tar.bz2",
        "sha256:cddeea2ec2c4b22a9de16a9a65a3eeedac5b29da9c99c20bbff0153912bf922b",
        "revised MD17, Christensen and von Lilienfeld, doi 10.6084/m9.figshare.12672038, CC0",
    ),
    "QM9": Download(
        "https://ndownloader.figshare.com/files/3195389",
        "dsgdb9nsd.xyz.tar.bz2",
        "md5:ad1ebd51ee7f5b3a6e32e974e5d54012",
        "QM9, Ramakrishnan et al., doi 10.1038/sdata.2014.22, CC0",
    ),
    "water": Download(
        "https://raw.githubusercontent.com/BingqingCheng/ab-initio-thermodynamics-of-water/"
        "master/training-set/dataset_1593.xyz",
        "dataset_1593.xyz",
        None,
        "liquid water, Cheng et al., doi 10.1073/pnas.1815117116; see there for its licence",
    ),
    "ModelNet10": Download(
        "https://3dvision.princeton.edu/projects/2014/3DShapeNets/ModelNet10.zip",
        "ModelNet10.zip",
        None,
        "ModelNet10, Wu et al., arXiv 1406.5670, for academic use",
    ),
    "ModelNet40": Download(
        "https://modelnet.cs.princeton.edu/ModelNet40.zip",
        "ModelNet40.zip",
        None,
        "ModelNet40, Wu et al., arXiv 1406.5670, for academic use",
    ),
}


def downloads_folder() -> Path:
    """Where downloads are kept."""
    import pooch

    return Path(os.environ.get("SYMMETRIZE_DOWNLOADS") or pooch.os_cache("symmetrize"))


def downloaded(name: str) -> Path:
    """The file of one of ``DOWNLOADS``, there already or fetched now.

    Raises:
        ConfigurationError: if it cannot be had, or is another one than it was.
    """
    import pooch

    one, folder = DOWNLOADS[name], downloads_folder()
    kept = folder / f"{one.file}.sha256"
    checksum = one.checksum or (kept.read_text().strip() if kept.is_file() else None)
    pooch.get_logger().setLevel("WARNING")  # the bar says enough
    try:
        path = pooch.retrieve(one.url, checksum, one.file, folder, progressbar=True)
    except ValueError as error:  # another checksum
        raise ConfigurationError(
            f"{name}: what is at {one.url} is not what it was: {error}. Delete {folder / one.file} "
            f"if it is there{'' if one.checksum else f', and {kept} if you trust the new one'}"
        ) from None
    except Exception as error:  # no network, another address, a full disk
        raise ConfigurationError(
            f"{name} cannot be downloaded from {one.url}: {error}. Fetch it yourself and put it at "
            f"{folder / one.file}; SYMMETRIZE_DOWNLOADS names another folder"
        ) from None
    if checksum is None:
        kept.write_text(f"sha256:{pooch.file_hash(path)}\n")
    return Path(path)


def of_rmd17(choice: DataChoice) -> DataSet:
    """100,000 conformations of a molecule, energies and forces; {molecule = "ethanol"}."""
    archive = downloaded("rMD17")
    with tarfile.open(archive) as tar:
        members = {
            PurePosixPath(one.name).stem.removeprefix("rmd17_"): one
            for one in tar
            if one.name.endswith(".npz")
        }
        name = choice.options.get("molecule", "ethanol")
        if name not in members:
            raise ConfigurationError(
                f"[data.options] molecule is {name!r} but must be one of {', '.join(members)}"
            )
        file = tar.extractfile(members[name])
        assert file is not None, "it is a file of the archive"
        with np.load(io.BytesIO(file.read()), allow_pickle=False) as found:
            stored = {
                key: found[key] for key in ("nuclear_charges", "coords", "energies", "forces")
            }
    rows = _some(len(stored["coords"]), choice)
    z = torch.tensor(stored["nuclear_charges"].astype(np.int64))
    structures = [
        Data(
            pos=torch.tensor(stored["coords"][row]).double(),
            z=z,
            energy=KILOCALORIE * torch.tensor([[float(stored["energies"][row])]]).double(),
            forces=KILOCALORIE * torch.tensor(stored["forces"][row]).double(),
        )
        for row in rows
    ]
    targets = taken(choice, {"energy": ENERGY, "forces": FORCES})
    return DataSet(structures, targets, f"{name} of {DOWNLOADS['rMD17'].source}")


# Columns of the second line of a file of QM9, and factors to our units
PROPERTIES = {
    "dipole norm": (5, 1.0, Target("0e", unit="D")),
    "polarizability": (6, 1.0, Target("0e", unit="bohr³")),
    "homo": (7, HARTREE, Target("0e", unit="eV")),
    "lumo": (8, HARTREE, Target("0e", unit="eV")),
    "gap": (9, HARTREE, Target("0e", unit="eV")),
    "energy": (12, HARTREE, ENERGY),  # U0
}


def of_qm9(choice: DataChoice) -> DataSet:
    """Molecules at rest of up to nine heavy atoms, and scalars: the energy U0 if none are named."""
    targets = taken(choice, {n: one[2] for n, one in PROPERTIES.items()}, usual=("energy",))
    wanted = set(_some(MOLECULES, choice))
    structures = []
    with tarfile.open(downloaded("QM9")) as tar:
        for row, text in enumerate(_texts(tar)):
            if row in wanted:
                structures.append(_of_qm9(text, list(targets)))
    return DataSet(structures, targets, DOWNLOADS["QM9"].source)


def _texts(tar: tarfile.TarFile) -> Iterator[str]:
    for member in tar:
        file = tar.extractfile(member) if member.name.endswith(".xyz") else None
        if file is not None:
            yield file.read().decode()


def _of_qm9(text: str, names: list[str]) -> Data:
    """One file; powers of ten are written as 1.2*^-6."""
    from ase.data import atomic_numbers

    lines = text.replace("*^", "e").splitlines()
    values = re.split(r"\s+", lines[1].strip())
    atoms = [line.split() for line in lines[2 : 2 + int(lines[0])]]
    return Data(
        pos=torch.tensor([[float(x) for x in atom[1:4]] for atom in atoms], dtype=torch.float64),
        z=torch.tensor([atomic_numbers[atom[0]] for atom in atoms]),
        **{
            name: torch.tensor(
                [[PROPERTIES[name][1] * float(values[PROPERTIES[name][0]])]]
            ).double()
            for name in names
        },
    )


def of_water(choice: DataChoice) -> DataSet:
    """1593 structures of liquid water, 64 molecules each, energies and forces; in atomic units."""
    from ase.io import read

    structures = [
        Data(
            pos=BOHR * torch.tensor(atoms.positions),
            z=torch.tensor(atoms.numbers),
            cell=BOHR * torch.tensor(atoms.cell.array)[None],
            pbc=torch.ones(1, 3, dtype=torch.bool),
            energy=HARTREE * torch.tensor([[float(atoms.info["TotEnergy"])]]).double(),
            forces=HARTREE / BOHR * torch.tensor(atoms.arrays["force"]).double(),
        )
        for atoms in read(downloaded("water"), ":", format="extxyz")
    ]
    targets = taken(choice, {"energy": ENERGY, "forces": FORCES})
    return DataSet(structures, targets, DOWNLOADS["water"].source)


def of_modelnet(name: str, choice: DataChoice) -> DataSet:
    """Meshes of 10 or 40 classes of objects, points drawn on their surfaces, by the given split."""
    archive = downloaded(name)
    folder = archive.parent / name
    if not folder.is_dir():
        unfinished = archive.parent / f"{name}.unfinished"
        with zipfile.ZipFile(archive) as file:
            file.extractall(unfinished)
        (unfinished / name).rename(folder)
    return replace(of_shapes(replace(choice, path=str(folder))), source=DOWNLOADS[name].source)


def _some(number: int, choice: DataChoice) -> list[int]:
    """As many rows as are asked for, drawn by the seed: a large set is not read whole."""
    wanted = choice.train + choice.validation + choice.test
    order = np.random.default_rng(choice.seed).permutation(number)
    return sorted(order[:wanted].tolist())
