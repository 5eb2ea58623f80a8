"""What is compared, as a TOML file: read, checked at once, and taken apart into runs.

A mistake is answered with its line and what to write instead. A file may extend another, whose
tables it then changes key by key; lists, such as that of the networks, it replaces.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import itertools
import json
import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

SHIPPED = Path(__file__).parent / "configurations"
MODES = ("sampled", "random", "all", "plain")


class ConfigurationError(ValueError):
    """A file that says something that cannot be."""


@dataclass(frozen=True)
class NetworkChoice:
    """One network.

    Attributes:
        make: the name of one of ``networks.NETWORKS``, or "module:factory" of one's own, which is
            called with the outputs by name, the species, and the settings.
        name: what it is called in the report; ``make`` if not given.
        settings: further arguments.
        symmetrized: whether frames are put around it; not around what is invariant by itself.
        trained: whether it is trained, or only evaluated, as a calculator is.
        on: names of the data that it is for, if it is not for all.
        seeds: of this network, if it is not trained from all of the comparison.
    """

    make: str
    name: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    symmetrized: bool = True
    trained: bool = True
    on: list[str] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class DataChoice:
    """What is learned, and what is tested on.

    Attributes:
        set: the name of one of ``sets.SETS``, "xyz" or "shapes" with a path, or "module:loader".
        name: what it is called in the report; ``set`` if not given.
        path: of an extended-XYZ file, or of shapes.
        options: of a set that comes in kinds: {molecule = "ethanol"} of "rMD17"; of "pyg" the
            class of torch-geometric and its arguments.
        also: what else to test on, by the names that the report gives it: further extended-XYZ
            files; of shapes how they are changed, {noise = 0.02}.
        targets: of an extended-XYZ file: the names of energies, forces, stress as they stand there,
            and for others {key = "mu", representation = "1o"}; of other sets, which ones to take.
        train, validation, test: numbers of structures.
        seed: of the split.
        points: of each shape; None for all.
    """

    set: str = "molecules"
    name: str = ""
    path: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    also: dict[str, Any] = field(default_factory=dict)
    targets: dict[str, Any] = field(default_factory=dict)
    train: int = 400
    validation: int = 50
    test: int = 100
    seed: int = 0
    points: int | None = None


@dataclass(frozen=True)
class FramesChoice:
    """How networks are symmetrized.

    Attributes:
        name: what they are called in the report, where there are several.
        preset, cutoff, length_scale: of ``HierarchicalFrames``.
        group, axis, scope: of ``Symmetrizer``.
    """

    name: str = ""
    preset: str = "smooth"
    cutoff: float | None = None
    length_scale: float | None = None
    group: str = "O(3)"
    axis: list[float] | None = None
    scope: str = "structure"


@dataclass(frozen=True)
class TrainingChoice:
    """How networks learn.

    Attributes:
        mode: what they see: "sampled" frames, "random" rotations, "all" frames, "plain" data.
        steps, batch: number of steps, and of structures in each.
        points: of all structures of a step, at most, for sets of small and large ones; None for as
            many as there are. One structure is always taken.
        exact: number of steps at the end in which a symmetrized network sees all frames, so that
            it learns what their derivatives add to forces.
        rate, decay, warm_up, clip: of AdamW: the learning rate, which falls along a cosine, the
            weight decay, the steps of its rise, the norm of gradients.
        average: part of the averaged weights that each step keeps.
        weights: of targets in the loss, by name, as factors of what they have anyway: 1, and of
            energies beside forces 0.001 in the first step to 0.1 in the last.
        every: steps between looks at the validation set, and states that a run goes on from.
        patience: looks without a better one after which training ends; 0 for never.
        dtype: "float32" or "float64".
    """

    mode: str = "sampled"
    steps: int = 2000
    batch: int = 16
    points: int | None = None
    exact: int = 0
    rate: float = 2e-3
    decay: float = 1e-4
    warm_up: int = 50
    clip: float = 1.0
    average: float = 0.99
    weights: dict[str, float] = field(default_factory=dict)
    every: int = 200
    patience: int = 0
    dtype: str = "float32"


@dataclass(frozen=True)
class Run:
    """One network, in one training, from one seed."""

    network: NetworkChoice
    frames: FramesChoice
    data: DataChoice
    training: TrainingChoice
    seed: int

    def plain(self) -> dict[str, Any]:
        """As JSON holds it."""
        return dataclasses.asdict(self)

    @property
    def identity(self) -> str:
        """A name that no other run has."""
        told = self.plain()
        for name in ("on", "seeds"):  # which runs there are, not what they are
            del told["network"][name]
        if not told["data"]["options"]:
            del told["data"]["options"]  # of which most sets have none
        text = json.dumps(told, sort_keys=True)
        mark = hashlib.sha256(text.encode()).hexdigest()[:8]
        name = "".join(c if c.isalnum() else "-" for c in self.network.name or self.network.make)
        return f"{name}-{self.training.mode}-{self.seed}-{mark}"


@dataclass(frozen=True)
class Comparison:
    """All that a file says.

    Attributes:
        name: of the comparison, and of its folder.
        networks: which ones.
        data, frames: on what, in which frames; each with each where there are several.
        training: how.
        modes: ways of training, each in turn; that of ``training`` if none are given.
        seeds: of weights and order.
    """

    name: str
    networks: list[NetworkChoice]
    data: list[DataChoice] = field(default_factory=lambda: [DataChoice()])
    frames: list[FramesChoice] = field(default_factory=lambda: [FramesChoice()])
    training: TrainingChoice = TrainingChoice()
    modes: list[str] = field(default_factory=list)
    seeds: list[int] = field(default_factory=lambda: [0])

    def runs(self) -> list[Run]:
        """Every network on all data, in all frames, in every mode, from every seed."""
        modes = self.modes or [self.training.mode]
        found: dict[str, Run] = {}
        for data, network, frames, mode, seed in itertools.product(
            self.data, self.networks, self.frames, modes, self.seeds
        ):
            if network.on and (data.name or data.set) not in network.on:
                continue
            if network.seeds and seed not in network.seeds:
                continue
            # without frames there is nothing to sample
            seen = mode if network.symmetrized else "plain"
            training = dataclasses.replace(self.training, mode=seen)
            frames = frames if network.symmetrized else self.frames[0]
            run = Run(network, frames, data, training, seed)
            found.setdefault(run.identity, run)
        return list(found.values())


def shipped() -> dict[str, Path]:
    """The files that come along, by name."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.toml"))}


def read(name: str | Path) -> Comparison:
    """A comparison by the path of its file, or by the name of one that comes along.

    Raises:
        ConfigurationError: with the line of what is wrong, and what to write instead.
    """
    path = Path(name)
    if not path.is_file():
        if str(name) not in shipped():
            raise ConfigurationError(
                f"there is no file {str(name)!r}, and none of that name comes along: "
                f"{', '.join(shipped())}"
            )
        path = shipped()[str(name)]
    table = _table(path)
    table.setdefault("name", path.stem)
    return _made(Comparison, table, Place(path))


def _table(path: Path) -> dict[str, Any]:
    """What a file says, on top of what it extends."""
    try:
        table = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path.name} is not TOML: {error}") from None
    base = table.pop("extends", None)
    if base is None:
        return table
    below = path.parent / base
    if not below.is_file():
        below = shipped().get(str(base), below)
    if not below.is_file():
        raise ConfigurationError(f"{path.name} extends {base!r}, which is not there")
    return _changed(_table(below), table)


def _changed(one: dict[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """A table with what another says of the same keys."""
    for key, value in other.items():
        both = isinstance(value, Mapping) and isinstance(one.get(key), dict)
        one[key] = _changed(one[key], value) if both else value
    return one


@dataclass(frozen=True)
class Place:
    """Where in a file something stands, to be told in errors.

    Attributes:
        path: of the file.
        within: name of the table; empty for the file itself.
        number: which one of several tables of this name.
    """

    path: Path
    within: str = ""
    number: int = 0

    def at(self, key: str) -> str:
        """The file, the line if it can be found, and the table."""
        table, seen = "", Counter[str]()
        for number, line in enumerate(self.path.read_text().splitlines(), start=1):
            name = line.split("=")[0].strip().strip('[]"')
            if line.lstrip().startswith("["):
                table = name
                seen[name] += 1
            # a table of the file itself is named by its own line
            is_here = table == self.within and seen[table] in (self.number + 1, 0)
            if name == key and (is_here or not self.within):
                return f"{self.path.name}, line {number}: "
        return f"{self.path.name}{f' in [{self.within}]' if self.within else ''}: "

    def inside(self, key: str, number: int = 0) -> Place:
        """The place of a table in this one."""
        return Place(self.path, f"{self.within}.{key}" if self.within else key, number)


def _made(kind: type, table: Mapping[str, Any], place: Place) -> Any:
    """A data class of a table, of the right types.

    Raises:
        ConfigurationError: if a key is not known or missing, or a value of another type.
    """
    hints = get_type_hints(kind)
    known = [one.name for one in dataclasses.fields(kind)]
    for key in table:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"it may be {', '.join(known)}"
            raise ConfigurationError(f"{place.at(key)}{key!r} is not known here: {hint}")
    given = {key: _value(hints[key], value, key, place) for key, value in table.items()}
    try:
        made = kind(**given)
    except TypeError as error:
        missing = str(error).rpartition("argument: ")[2]
        table_name = f"[{place.within}]" if place.within else "the file"
        raise ConfigurationError(f"{place.path.name}: {table_name} lacks {missing}") from None
    _check(made, place)
    return made


def _value(hint: Any, value: Any, key: str, place: Place) -> Any:
    """A value of the type that is asked for, tables as data classes."""
    if dataclasses.is_dataclass(hint):
        if isinstance(value, Mapping):
            return _made(hint, value, place.inside(key))  # type: ignore[arg-type]
    elif get_origin(hint) is list:
        (inner,) = get_args(hint)
        # one table stands for a list of one
        if dataclasses.is_dataclass(inner) and isinstance(value, Mapping):
            value = [value]
        if isinstance(value, list):
            if dataclasses.is_dataclass(inner) and all(isinstance(o, Mapping) for o in value):
                tables = enumerate(value)
                return [_made(inner, one, place.inside(key, k)) for k, one in tables]  # type: ignore[arg-type]
            return [_value(inner, one, key, place) for one in value]
    elif get_origin(hint) is dict:
        if isinstance(value, Mapping):
            (_, inner) = get_args(hint)
            here = place.inside(key)
            return {k: v if inner is Any else _value(inner, v, k, here) for k, v in value.items()}
    else:
        # one type, or one of several and None
        kinds = get_args(hint) or (hint,)
        plain = tuple(get_origin(one) or one for one in kinds)
        if isinstance(value, bool) and bool not in plain:
            pass
        elif float in plain and isinstance(value, int):
            return float(value)
        elif isinstance(value, list) and list in plain:
            return [_value(float, one, key, place) for one in value]
        elif isinstance(value, plain):
            return value
    wanted = getattr(hint, "__name__", str(hint))
    raise ConfigurationError(f"{place.at(key)}{key!r} is {value!r} but must be of type {wanted}")


# The values that a key may have
CHOICES = {
    "mode": MODES,
    "modes": MODES,
    "dtype": ("float32", "float64"),
    "preset": ("smooth", "lean"),
    "group": ("O(3)", "SO(3)", "O(2)", "SO(2)"),
    "scope": ("structure", "center"),
}
POSITIVE = ("steps", "batch", "rate", "every", "train", "test", "points", "clip")


def _check(made: Any, place: Place) -> None:
    """Refuse values that mean nothing."""
    for one in dataclasses.fields(made):
        value = getattr(made, one.name)
        for each in value if isinstance(value, list) else [value]:
            if one.name in CHOICES and each not in CHOICES[one.name]:
                options = CHOICES[one.name]
                close = difflib.get_close_matches(str(each), options, n=1)
                hint = f"did you mean {close[0]!r}?" if close else ""
                raise ConfigurationError(
                    f"{place.at(one.name)}{one.name!r} is {each!r} but must be one of "
                    f"{', '.join(map(repr, options))}. {hint}".rstrip(" ")
                )
        if one.name in POSITIVE and value is not None and value <= 0:
            raise ConfigurationError(
                f"{place.at(one.name)}{one.name!r} is {value} but must be positive"
            )
    if isinstance(made, Comparison):
        names = [one.name or one.set for one in made.data]
        for number, network in enumerate(made.networks):
            unknown = [name for name in network.on if name not in names]
            if unknown:
                raise ConfigurationError(
                    f"{place.inside('networks', number).at('on')}'on' names {unknown[0]!r}, but "
                    f"the data is {', '.join(names)}"
                )
    if isinstance(made, Comparison) and not made.networks:
        raise ConfigurationError(
            f"{place.path.name}: there are no networks: add a table [[networks]] with make = ..."
        )
