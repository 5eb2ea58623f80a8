"""What networks return: tensors by themselves, or in dicts, tuples and objects, one in another.

Every item has a name, its path with dots in between: ``energy``, ``head.energy``, and the place in
a tuple or list, ``0`` or ``heads.1``. Named tuples, data classes and such as transformers'
``ModelOutput`` hold their items by field. Whatever else there is, is an item and nothing is
searched in it.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor


def parts(value: Any, by_place: bool = False) -> dict[str, Any] | None:
    """What a container holds, by name; None for anything else.

    Args:
        value: anything.
        by_place: whether the items of a named tuple go by their place, as those of a tuple do.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): each for key, each in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields") and not by_place:
        return dict(zip(value._fields, value, strict=True))
    if isinstance(value, tuple | list):
        return {str(place): each for place, each in enumerate(value)}
    return None


def items(value: Any, names: Collection[str] = (), at: str = "") -> dict[str, Any]:
    """Everything that is no container, by its path; ``names`` end the search where they are met.

    >>> items({"head": {"energy": 1.0}, "extra": (2.0, None)})
    {'head.energy': 1.0, 'extra.0': 2.0, 'extra.1': None}
    """
    held = None if at in names else parts(value, _by_place(names, at))
    if held is None:
        return {at: value}
    found = {}
    for name, each in held.items():
        found.update(items(each, names, f"{at}.{name}" if at else name))
    return found


def rebuilt(like: Any, values: Mapping[str, Any], names: Collection[str] = (), at: str = "") -> Any:
    """Values by path in the containers that ``like`` has.

    What has no value is left out of mappings, and None in tuples, lists and objects, which have a
    place for it. A mapping that cannot be made anew becomes a dict.

    >>> rebuilt({"head": {"energy": 1.0}, "more": (2.0, 3.0)}, {"head.energy": 5.0, "more.1": 6.0})
    {'head': {'energy': 5.0}, 'more': (None, 6.0)}
    """
    if at in values:
        return values[at]
    held = parts(like, _by_place(names, at))
    start = f"{at}." if at else ""
    if held is None or not any(path.startswith(start) for path in values):
        return None
    made = {name: rebuilt(each, values, names, start + name) for name, each in held.items()}
    if dataclasses.is_dataclass(like) and not isinstance(like, Mapping):
        like = copy.copy(like)
        for name, each in made.items():
            object.__setattr__(like, name, each)  # a frozen one, too
        return like
    if isinstance(like, Mapping):
        kept = {key: made[str(key)] for key in like if made[str(key)] is not None}
        return kept if type(like) is dict else _as_mapping(like, kept)
    if hasattr(like, "_fields"):
        return type(like)._make(made.values())
    return list(made.values()) if isinstance(like, list) else tuple(made.values())


def _as_mapping(like: Mapping[Any, Any], kept: dict[Any, Any]) -> Mapping[Any, Any]:
    """A mapping of the same kind as another; a dict where that kind cannot be made or changed."""
    try:
        if dataclasses.is_dataclass(like):  # knows its fields from its own making only
            return type(like)(**kept)
        filled: Any = copy.copy(like)
        filled.clear()
        filled.update(kept)
        return filled
    except (TypeError, ValueError, AttributeError, RuntimeError):
        # a view, or one that ties its items to each other, as tensordict does by their rows
        return kept


def described(value: Any, inside: bool = False) -> str:
    """The type of a value, and of what it holds names and shapes.

    >>> import torch
    >>> described({"energy": torch.zeros(2, 1), "extra": [None, 3.0]})
    "a dict of {'energy': (2, 1), 'extra': [None, float]}"
    """
    kind = type(value).__name__
    shape = getattr(value, "shape", None)
    held = parts(value)
    if value is None:
        return "None"
    if held is not None:
        within = {name: described(each, True) for name, each in held.items()}
        if type(value) is dict:
            text = "{" + ", ".join(f"{name!r}: {each}" for name, each in within.items()) + "}"
        elif type(value) is list:
            text = f"[{', '.join(within.values())}]"
        elif type(value) is tuple:
            text = f"({', '.join(within.values())}{',' * (len(within) == 1)})"
        else:
            named = ", ".join(f"{name}={each}" for name, each in within.items())
            return f"{kind}({named})" if inside else f"a {kind}({named})"
        return text if inside else f"a {kind} of {text}"
    if isinstance(value, Tensor):
        return str(tuple(value.shape)) if inside else f"a Tensor of shape {tuple(value.shape)}"
    said = kind if shape is None else f"{kind} of shape {tuple(shape)}"
    return said if inside else f"a {said}"


def _by_place(names: Collection[str], at: str) -> bool:
    """Whether names know items of a container by their place."""
    first = f"{at}.0" if at else "0"
    return any(name == first or name.startswith(f"{first}.") for name in names)
