"""What a data set is: structures, what is learned of them, where they come from, and its parts.

Structures are ``Data`` in float64 with ``pos``, ``z`` and ``cell`` where they have them, and their
targets by name, with one row for each structure or point. Energies, forces and stress go by these
names: forces and stress are derivatives of the energy, not outputs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch_geometric.data import Data

from benchmarks.compare.configuration import ConfigurationError, DataChoice
from symmetrize import per_point
from symmetrize.representation import as_representation

DERIVED = ("forces", "stress")


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
        varied: ways to change the structures of the test, which then are tested on, too, by name.
    """

    structures: list[Data]
    targets: dict[str, Target]
    source: str
    test: list[Data] = field(default_factory=list)
    also: dict[str, list[Data]] = field(default_factory=dict)
    varied: dict[str, Callable[[list[Data]], list[Data]]] = field(default_factory=dict)

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


def taken(
    choice: DataChoice, known: dict[str, Target], usual: Sequence[str] = ()
) -> dict[str, Target]:
    """The targets that are asked for, among those that there are; else the usual ones, or all."""
    if choice.also:
        raise ConfigurationError(
            f"[data] also: {choice.set!r} takes no further files to test on, as files of "
            'extended XYZ do (set = "xyz"), and no changes, as shapes do'
        )
    names = list(choice.targets) or list(usual) or list(known)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigurationError(f"[data.targets] {unknown[0]!r} is none of {', '.join(known)}")
    return {name: known[name] for name in names}


def told(given: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Target]]:
    """Targets of a set that does not say how they turn: their names there, and what they are.

    Raises:
        ConfigurationError: if one is not told how it turns.
    """
    names, targets = {}, {}
    for name, one in given.items():
        plain = {"energy": ENERGY, "forces": FORCES, "stress": STRESS}.get(name)
        one = {"key": one} if isinstance(one, str) else dict(one)
        names[name] = one.get("key", name)
        if "representation" in one:
            rows = one.get("rows", "structure")
            plain = Target(one["representation"], rows, one.get("unit", ""))
        if plain is None:
            raise ConfigurationError(
                f"[data.targets] {name}: say how it turns, as in "
                f'{name} = {{key = "{names[name]}", representation = "1o"}}'
            )
        targets[name] = plain
    return names, targets


def shape(structures: list[Data], targets: Mapping[str, Target]) -> None:
    """Targets as rows of the shape of one value; no cells if nothing is periodic."""
    is_finite = not any(one.get("pbc") is not None and bool(one.pbc.any()) for one in structures)
    for one in structures:
        if is_finite:
            for name in ("cell", "pbc"):
                if name in one:
                    del one[name]
        for name, target in targets.items():
            value = as_representation(target.representation).value_shape
            one[name] = one[name].reshape(-1, *value)
