"""Declarations, frames and the settings of a wrapper as plain values, as JSON holds them, and back.

Reading plain values runs no code but that of this library: names are looked up in short tables, and
what is not in them is refused. Models within (the network, an auxiliary one) are the caller's:
functions that describe and make them are passed in.
"""

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from e3nn import o3

from symmetrize import frames as families
from symmetrize.contract import Contract
from symmetrize.frames import Frames
from symmetrize.frames.hierarchical import Preset, Selection
from symmetrize.frames.pairs import Pruning
from symmetrize.outputs import Output, Outputs
from symmetrize.representation import Representation, as_representation
from symmetrize.symmetrizer import Symmetrizer

Plain = dict[str, Any]

# Arguments of a wrapper that are not plain by themselves, or go by another name than its attribute
SPECIAL = ("net", "outputs", "inputs", "frames", "training", "generator", "prepare")


def plain(value: Any) -> Any:
    """A value as JSON knows it: numpy and torch numbers as Python's, sequences as lists.

    Representations become their names. What is none of these stays as it is: ``json`` refuses it.

    >>> plain({"cutoff": 5, "species": (1, 8), "spin": o3.Irreps("1e")})
    {'cutoff': 5, 'species': [1, 8], 'spin': '1x1e'}
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, o3.Irreps | o3.Irrep | Representation):
        return str(value)
    if isinstance(value, Mapping):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, Sequence):
        return [plain(one) for one in value]
    return plain(value.tolist()) if hasattr(value, "tolist") else value


def called(make: Callable[..., Any], arguments: Mapping[str, Any], place: str) -> Any:
    """``make(**arguments)``, where the names of the arguments come from a file.

    Raises:
        ValueError: if ``make`` has no arguments of these names, or needs others.
    """
    signature, name = inspect.signature(make), getattr(make, "__name__", type(make).__name__)
    try:
        signature.bind(**arguments)
    except TypeError as error:
        raise ValueError(
            f"{place} has {sorted(arguments)} for {name}{signature}, which does not fit: {error}. "
            "A checkpoint of a later version is read by that version"
        ) from None
    return make(**arguments)


def fields(found: Any, wanted: set[str], place: str, also: Sequence[str] = ()) -> Plain:
    """An object with the wanted fields and no others but ``also``.

    Raises:
        ValueError: naming the fields that are missing or not known.
    """
    if not isinstance(found, dict) or not wanted <= set(found) <= wanted | set(also):
        has = sorted(found) if isinstance(found, dict) else f"a {type(found).__name__}"
        raise ValueError(
            f"{place} must have the fields {sorted(wanted)} but has {has}: fields that are not "
            "known may change what a model computes, so nothing is guessed"
        )
    return found


# --- how values turn


def outputs_to_plain(outputs: Outputs) -> Any:
    """Declared outputs: how each turns, whether it belongs to points, and what else is declared.

    In the form of the declaration: lists for tuples, None for what is left out.

    >>> outputs_to_plain({"energy": "0e", "hidden": None})
    {'energy': {'turns': '0e', 'rows': 'structure'}, 'hidden': None}
    """
    declared = Contract(outputs).outputs

    def described(form: Any) -> Any:
        if isinstance(form, dict):
            return {name: described(one) for name, one in form.items()}
        if isinstance(form, tuple):
            return [described(one) for one in form]
        return None if form in declared.left_out else _output_to_plain(declared[form])

    return described(declared.form)


def outputs_from_plain(found: Any) -> Any:
    """What ``outputs_to_plain`` wrote.

    Raises:
        ValueError: if an output has other fields.
    """
    if found is None:
        return None
    if isinstance(found, list):
        return tuple(outputs_from_plain(one) for one in found)
    if isinstance(found, dict) and isinstance(found.get("turns"), str):
        others = [f.name for f in dataclasses.fields(Output) if f.name not in ("representation",)]
        given = dict(fields(found, {"turns"}, "an output", [*others, "per_point"]))
        if given.pop("per_point", False):  # as earlier versions wrote it
            given["rows"] = "point"
        return Output(as_representation(given.pop("turns")), **given)
    if not isinstance(found, dict):
        raise ValueError(f"`outputs` is {found!r} but must hold outputs by name")
    return {name: outputs_from_plain(one) for name, one in found.items()}


def _output_to_plain(output: Output) -> Plain:
    described = {"turns": str(output.representation), "rows": output.rows}
    for field in dataclasses.fields(output):
        value = getattr(output, field.name)
        if field.name not in ("representation", "rows") and value != field.default:
            described[field.name] = plain(value)
    return described


# --- frames


def frames_to_plain(frames: Frames, describe: Callable[[Any], Plain]) -> Plain:
    """The family and all its settings; of a family of one's own, its name alone.

    Args:
        frames: of any family.
        describe: makes a plain value of an auxiliary model.
    """
    name = type(frames).__name__
    if _families().get(name) is not type(frames):
        return {"own": name}
    settings: Plain = {}
    for setting, value in frames.settings().items():
        if setting == "auxiliary":
            settings[setting] = None if value is None else describe(value)
        elif setting == "species_scores":  # names are strings in JSON
            settings[setting] = None if value is None else [[int(k), v] for k, v in value.items()]
        else:
            settings[setting] = plain(
                dataclasses.asdict(value) if dataclasses.is_dataclass(value) else value  # type: ignore[arg-type]
            )
    return {"family": name, "settings": settings}


def frames_from_plain(found: Any, make: Callable[[Plain], Any]) -> Frames:
    """What ``frames_to_plain`` wrote; ``make`` makes an auxiliary model.

    Raises:
        ValueError: if the family or one of its settings is not known.
    """
    fields(found, {"family", "settings"}, "`frames`")
    if found["family"] not in _families():
        raise ValueError(
            f"`frames` is of the family {found['family']!r} but must be one of "
            f"{sorted(_families())}"
        )
    read = {
        "auxiliary": make,
        "species_scores": lambda pairs: {int(k): float(v) for k, v in pairs},
        "prune": lambda given: called(Pruning, given, "`prune`"),
        "selection": lambda given: called(
            Preset, {name: _selection(one) for name, one in given.items()}, "`selection`"
        ),
    }
    settings = {
        name: read[name](value) if name in read and value is not None else value
        for name, value in found["settings"].items()
    }
    return called(_families()[found["family"]], settings, "`frames`")


def _selection(found: Plain) -> Selection:
    pairs = {n: tuple(value) if isinstance(value, list) else value for n, value in found.items()}
    return called(Selection, pairs, "`selection`")


def _families() -> dict[str, type[Frames]]:
    public = {name: getattr(families, name) for name in families.__all__}
    return {
        name: family
        for name, family in public.items()
        if isinstance(family, type) and issubclass(family, Frames) and family is not Frames
    }


# --- the wrapper


def settings_to_plain(model: Symmetrizer, describe: Callable[[Any], Plain]) -> Plain:
    """All that a wrapper was made with, but for the network and the source of randomness.

    Args:
        model: the wrapper.
        describe: makes a plain value of an auxiliary model.
    """
    others = [name for name in inspect.signature(Symmetrizer).parameters if name not in SPECIAL]
    known = ("pos", "cell", *model.positions)
    turning = {name: str(turns) for name, turns in model.inputs.items() if name not in known}
    inputs: Plain = turning | dict.fromkeys(sorted(model.unturned))
    return {
        "outputs": outputs_to_plain(model.declaration),
        "inputs": inputs,
        "frames": frames_to_plain(model.frames, describe),
        "training": model.train_with,
        "prepare": model.given_prepare is not None,
        **{name: plain(getattr(model, name)) for name in others},
    }


def wrapped(
    net: Callable[[Any], Any],
    settings: Any,
    make: Callable[[Plain], Any],
    frames: Frames | None = None,
    prepare: Callable[[Any], Any] | None = None,
) -> Symmetrizer:
    """A network in a wrapper of these settings.

    Args:
        net: the network.
        settings: what ``settings_to_plain`` wrote.
        make: makes an auxiliary model.
        frames: instead of those that are described.
        prepare: as in ``Symmetrizer``.

    Raises:
        ValueError: if settings are not understood, or frames or ``prepare`` are missing that only
            the user has.
    """
    known = {"outputs", "inputs", "frames", "training", "prepare"}
    others = [name for name in inspect.signature(Symmetrizer).parameters if name not in SPECIAL]
    given = dict(fields(settings, known, "`symmetrizer`", others))
    if given.pop("prepare") and prepare is None:
        raise ValueError(
            "the symmetrizer was made with a `prepare` of its own, which a file cannot hold: pass "
            "it again, as in load(folder, prepare=connect(radius=5.0))"
        )
    described = given.pop("frames")
    if frames is None and isinstance(described, dict) and set(described) == {"own"}:
        raise ValueError(
            f"the frames are {described['own']}, no family of this package: pass them again, as in "
            f"load(folder, frames={described['own']}(...))"
        )
    return Symmetrizer(
        net,
        outputs_from_plain(given.pop("outputs")),
        frames=frames_from_plain(described, make) if frames is None else frames,
        prepare=prepare,
        **given,
    )
