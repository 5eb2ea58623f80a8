"""Geometry on devices without double precision: it is worked out on the CPU.

Frames that are exact to rounding need the digits of float64. Where a device has none, as Apple's
MPS, frames are chosen and copies are turned on the CPU; the network is called where the data is,
in single precision, and what comes back is there, too. Derivatives pass through.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from torch_geometric.data import Data

# Types of devices without float64
SINGLE_ONLY = ("mps",)


def abroad(data: Any) -> torch.device | None:
    """The device of data where it has no double precision; None where there is nothing to do."""
    pos = data.get("pos") if hasattr(data, "get") else None
    if isinstance(pos, Tensor) and pos.device.type in SINGLE_ONLY:
        return pos.device
    return None


def at_home(data: Data) -> Data:
    """The data where geometry is worked out; itself where it is."""
    return data if abroad(data) is None else copy.copy(data).to("cpu")
