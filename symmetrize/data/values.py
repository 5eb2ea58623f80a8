"""Numbers that the user hands over: as tensors, and finite."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


def as_numbers(value: Any, name: str, like: Tensor) -> Tensor:
    """A tensor of floating-point numbers; arrays keep their precision, lists get that of ``like``.

    Raises:
        TypeError: if it is not made of numbers.
    """
    if isinstance(value, Tensor):
        return value if value.is_floating_point() else value.to(like.dtype)
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "fiu":
            raise TypeError(f"it holds {array.dtype}")
        kept = array.dtype in (np.float32, np.float64) and hasattr(value, "dtype")
        numbers = torch.from_numpy(np.array(array, dtype=np.float64)).to(like.device)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"`{name}` is a {type(value).__name__} that is no array of numbers ({error}): give a "
            "tensor"
        ) from error
    return numbers.to(torch.float32 if kept and array.dtype == np.float32 else like.dtype)


def check_finite(name: str, value: Tensor) -> None:
    """Refuse what is not finite.

    Raises:
        ValueError: naming the value and its place.
    """
    bad = ~torch.isfinite(value.detach())
    if bool(bad.any()):
        where = torch.nonzero(bad)[0].tolist()
        raise ValueError(
            f"`{name}` is {value[tuple(where)].item()} at {where} but must be finite: remove or "
            "repair that row"
        )
