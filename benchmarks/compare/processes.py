"""Several processes that train together, as ``torchrun`` starts them; one otherwise.

Each takes its part of the structures of a step, and torch's DistributedDataParallel averages their
gradients. A loss is divided by the rows of the whole step and multiplied by the number of
processes, so that the average is the gradient of one process that sees all.
"""

from __future__ import annotations

import os
import time
from typing import TypeVar

import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")
SETTLED = 0.5  # s


def begin() -> None:
    """Meet the other processes, if ``torchrun`` started several."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        dist.init_process_group("gloo")


def number() -> int:
    """How many there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Which one this is; the first writes and speaks."""
    return dist.get_rank() if dist.is_initialized() else 0


def part_of(rows: list[T]) -> list[T]:
    """What this process takes of the structures of a step; nothing, if there are too few."""
    return rows[rank() :: number()]


def shared(net: nn.Module) -> nn.Module:
    """A network whose gradients are averaged over processes."""
    has_weights = any(weight.requires_grad for weight in net.parameters())
    return DistributedDataParallel(net) if number() > 1 and has_weights else net


def summed(value: Tensor) -> Tensor:
    """A number, added up over processes."""
    value = value.detach().clone()
    if number() > 1:
        dist.all_reduce(value)
    return value


def wait() -> None:
    """Until all processes are here."""
    if number() > 1:
        dist.barrier()


def end() -> None:
    """Part from the others.

    A group that is destroyed waits for its thread, which may wait for Python's lock to forget its
    last work: so that both do not wait forever, the thread gets some time before.
    """
    if dist.is_initialized():
        time.sleep(SETTLED)
        dist.destroy_process_group()
