"""Where ``Preset`` and ``Selection`` were: they are in ``symmetrize.frames.hierarchical`` now."""

import warnings
from typing import Any

from symmetrize.frames import hierarchical

MOVED = ("Preset", "Selection")


def __getattr__(name: str) -> Any:
    if name not in MOVED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(
        f"{name} has moved: import it from symmetrize.frames.hierarchical",
        DeprecationWarning,
        stacklevel=2,
    )
    return getattr(hierarchical, name)
