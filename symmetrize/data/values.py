"""Numbers that the user hands over, as tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


def as_numbers(value: Any, name: str, like: Tensor | None = None) -> Tensor:
    """A tensor of floating-point numbers: those of another type get the precision of ``like``.

    If there is none to be like, arrays of float64 keep theirs, and all else gets float32.

    Raises:
        TypeError: if it is not made of numbers.
    """
    if isinstance(value, Tensor):
        if value.is_floating_point():
            return value
        return value.to(torch.float32 if like is None else like.dtype)
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "fiu":
            raise TypeError(f"it holds {array.dtype}")
        numbers = torch.from_numpy(np.array(array, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"`{name}` is a {type(value).__name__} that is no array of numbers ({error}): give a "
            "tensor"
        ) from error
    if like is not None:
        return numbers.to(like)
    is_double = hasattr(value, "dtype") and array.dtype.itemsize == 8
    return numbers if is_double else numbers.float()


def is_single_or_double(dtype: np.dtype[Any]) -> bool:
    """Whether an array holds numbers of float32 or float64, in any order of bytes."""
    return dtype.kind == "f" and dtype.itemsize in (4, 8)
