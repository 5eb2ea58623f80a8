"""Models of metatomic, as files or in memory, as modules that can be asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SUFFIXES = (".pt", ".ckpt")


def opened(model: Any) -> Any:
    """The module of a file of metatomic or metatrain; any other model as it is.

    A file ".pt" is a program, which runs as it is loaded and asked.

    Args:
        model: a path, an ``AtomisticModel`` of metatomic, or anything else.

    Raises:
        ValueError: if a path is none of a model.
    """
    if isinstance(model, str | Path):
        if Path(model).suffix not in SUFFIXES:
            raise ValueError(
                f"the model is the path {str(model)!r} but files that can be asked are those of "
                f"metatomic ({SUFFIXES[0]}) and checkpoints of metatrain's PET ({SUFFIXES[1]})"
            )
    elif getattr(model, "original_name", type(model).__name__) != "AtomisticModel":
        return model
    from backbones.adapters.metatomic import from_metatomic

    return from_metatomic(model)
