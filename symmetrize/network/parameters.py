"""Where a model is and in which precision, by its parameters."""

from collections.abc import Callable
from typing import Any

import torch


def of_parameters(model: Callable[[Any], Any]) -> tuple[torch.dtype, torch.device]:
    """Dtype and device of the floating-point parameters; float64 on the CPU if there are none."""
    parameters = getattr(model, "parameters", lambda: iter(()))()
    known = next((one for one in parameters if one.is_floating_point()), None)
    if known is None:
        return torch.float64, torch.device("cpu")
    return known.dtype, known.device
