"""Frames and the settings of a wrapper as plain values, as JSON holds them, and back.

Models within (the network, an auxiliary one) are the caller's: functions that describe and make
them are passed in.
"""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

from symmetrize import frames as families
from symmetrize.declaration import Declaration
from symmetrize.frames import Frames
from symmetrize.frames.hierarchical import Preset, Selection, Steadiness
from symmetrize.frames.pairs import Pruning
from symmetrize.plain import Plain, fields, made_with, plain
from symmetrize.symmetrizer import Symmetrizer

# Arguments of a wrapper that are not plain by themselves, or go by another name than its attribute
SPECIAL = ("net", "outputs", "inputs", "frames", "training", "generator", "prepare", "progress")


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
        "prune": lambda given: made_with(Pruning, given, "`prune`"),
        "selection": lambda given: made_with(
            Preset, {name: _choices(name, one) for name, one in given.items()}, "`selection`"
        ),
    }
    settings = {
        name: read[name](value) if name in read and value is not None else value
        for name, value in found["settings"].items()
    }
    return made_with(_families()[found["family"]], settings, "`frames`")


def _choices(name: str, found: Plain) -> Selection | Steadiness:
    """What a preset says of the environments of centers, or of whole structures."""
    pairs = {n: tuple(value) if isinstance(value, list) else value for n, value in found.items()}
    return made_with(Selection if name == "centers" else Steadiness, pairs, "`selection`")


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
        "outputs": model.declaration.plain(),
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
        Declaration.of_plain(given.pop("outputs")),
        frames=frames_from_plain(described, make) if frames is None else frames,
        prepare=prepare,
        **given,
    )
