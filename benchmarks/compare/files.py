"""Structures of extended-XYZ files, with targets by the names that they have there."""

from __future__ import annotations

from pathlib import Path

from torch_geometric.data import Data

from benchmarks.compare.configuration import ConfigurationError, DataChoice
from benchmarks.compare.data import DataSet, Target, shape, told
from symmetrize import from_ase


def of_xyz(choice: DataChoice) -> DataSet:
    """Any extended-XYZ file, targets by the names that they have in it."""
    names, targets = told(choice.targets or {"energy": "energy", "forces": "forces"})
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
    shape(structures, {name: targets[name] for name in names})
    return structures
