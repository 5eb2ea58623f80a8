"""Whose each point of a batch is: one rule, for frames, copies, networks and derivatives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Int
from torch import Tensor

if TYPE_CHECKING:
    from torch_geometric.data import Data


def owners(data: Data) -> tuple[int, Int[Tensor, "points"]]:
    """The number of structures, empty ones included, and the structure of each point.

    As ``ptr`` says, then a ``Batch``, then ``batch``; a single structure where there is none.
    """
    batch, ptr = data.batch, data.get("ptr")
    if ptr is not None:
        size = len(ptr) - 1
    elif slices_of(data) is not None:
        size = int(data.num_graphs)
    elif batch is not None:
        size = int(batch.max()) + 1 if len(batch) else 0
    else:
        size = 1
    if batch is None and ptr is None:
        batch = torch.zeros(len(data.pos), dtype=torch.long, device=data.pos.device)
    elif batch is None:
        structures = torch.arange(size, device=data.pos.device)
        batch = torch.repeat_interleave(structures, ptr.diff().to(data.pos.device))
    return size, batch


def slices_of(data: Data) -> Mapping[str, Any] | None:
    """Where each structure's rows start, if the data was collated from a list."""
    return getattr(data, "_slice_dict", None)
