"""Plain values for JSON, without anything that is of one machine."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any


def plain(value: Any) -> Any:
    """The same in what JSON has: numbers that are not finite by name, what is unknown as code.

    >>> plain({"a": (1, math.inf), "b": {2: None}})
    {'a': [1, 'inf'], 'b': {'2': None}}
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(one) for one in value]
    return plain(value.tolist()) if hasattr(value, "tolist") else repr(value)


def without_folders(text: str) -> str:
    """Absolute paths shortened to the name of the file: a report is about a model, not a machine.

    >>> without_folders("no file '" + "/home" + "/me/net.pt' at 1/2")
    "no file 'net.pt' at 1/2"
    """
    return re.sub(r"(?<![\w./])(?:[A-Za-z]:[\\/]|/)(?:[^\s/\\'\"]+[/\\])+", "", text)
