"""Plain values, as JSON holds them: what writes them, and reads them without running code.

Names are looked up in short tables, and what is not in them is refused.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from e3nn import o3

from symmetrize.representation import Representation

Plain = dict[str, Any]


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


def made_with(make: Callable[..., Any], arguments: Mapping[str, Any], place: str) -> Any:
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
