"""Which copies go into one call of the network, and how a call is made once more for derivatives.

Memory is bounded by taking some copies at a time. With derivatives that alone would bound nothing,
as every activation is kept until they are asked for: with more than one call, what a call kept is
let go, and made anew, call by call, on the way back. That is one more forward evaluation.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.autograd.grad_mode import _unsafe_preserve_version_counter
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.checkpoint import checkpoint

# Bytes in a unit of memory
UNITS = {"": 1, "b": 1}
UNITS |= {f"{letter}b": 1000**k for k, letter in enumerate("kmgt", start=1)}
UNITS |= {f"{letter}ib": 1024**k for k, letter in enumerate("kmgt", start=1)}
# What is measured once is exceeded by work inside of single operations, and on the way back by
# gradients of what was kept
ROOM, ROOM_WITH_DERIVATIVES = 1.5, 2.5
# Copies of the second call that is measured, as a single one tells little
GROWTH = 8


def bytes_of(memory: int | str) -> int:
    """An amount of memory in bytes: a number, or one with a unit.

    >>> bytes_of("2 GiB"), bytes_of("500 MB"), bytes_of(4096)
    (2147483648, 500000000, 4096)

    Raises:
        TypeError, ValueError: if it is none.
    """
    expected = "a positive number of bytes, or a string such as '2 GiB' or '500 MB'"
    if isinstance(memory, bool) or not isinstance(memory, int | str):
        raise TypeError(f"`memory` is {memory!r} but must be {expected}")
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", str(memory).lower())
    if match is None or match[2] not in UNITS or float(match[1]) <= 0:
        raise ValueError(f"`memory` is {memory!r} but must be {expected}")
    return int(float(match[1]) * UNITS[match[2]])


def evenly(number: int, largest: int | None) -> Iterator[slice]:
    """Slices of a number of copies, of no more than the largest size; one if that is None."""
    step = largest or max(1, number)
    for start in range(0, number, step):
        yield slice(start, min(number, start + step))


class Fitting:
    """Slices of copies that fit into an amount of memory, by what the first of them took.

    Iterate over it, and run each call inside of ``watched``: that of the first copy, and one of a
    few, are measured.

    Args:
        memory: bytes that one call of the network may take.
        points: of each copy.
        derivatives: whether what a call keeps for them counts.
    """

    def __init__(self, memory: int, points: Int[Tensor, "copies"], derivatives: bool) -> None:
        self.memory = memory / (ROOM_WITH_DERIVATIVES if derivatives else ROOM)
        self.device = points.device
        self.points = points.double().clamp(min=1.0).cpu()
        self.total = torch.cat([self.points.new_zeros(1), self.points.cumsum(0)])
        self.taken, self.calls = slice(0, 0), 0
        # bytes of each point, and points of the largest copy, of the last call that was measured
        self.rate, self.largest = 1.0, 1.0

    def __iter__(self) -> Iterator[slice]:
        while self.taken.stop < len(self.points):
            start = self.taken.stop
            copies = (1, GROWTH)[self.calls] if self.is_measured else len(self.points)
            self.taken = slice(start, min(self._end(start), start + copies))
            yield self.taken
            self.calls += 1

    def _end(self, start: int) -> int:
        """How far the next call may reach, one copy at least."""
        stop, most = len(self.points), self.memory / self.rate
        # larger copies may take more for each point, as attention does
        for _ in range(2):
            larger = float(self.points[start : max(stop, start + 1)].max()) / self.largest
            end = self.total[start] + most / max(1.0, larger)
            stop = int(torch.searchsorted(self.total, end, right=True)) - 1
        return min(max(stop, start + 1), len(self.points))

    @property
    def is_measured(self) -> bool:
        """Whether the call is one of those that are."""
        return self.calls < 2

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Measure what is allocated inside."""
        with peak_memory(self.device) as peak:
            yield
        taken = self.points[self.taken]
        self.rate = max(1.0, peak[0] / float(taken.sum()))
        self.largest = float(taken.max())


@contextmanager
def peak_memory(device: torch.device) -> Iterator[list[float]]:
    """The most bytes that were held at once inside beside what was held before."""
    peak = [0.0]
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        yield peak
        peak[0] = float(torch.cuda.max_memory_allocated(device) - before)
        return
    with _Allocations() as seen:
        yield peak
    peak[0] = float(seen.peak)


class _Allocations(TorchDispatchMode):
    """Adds up the storages that operations return, for as long as they live."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.peak = 0, 0
        self.alive: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # what comes in and was not seen before, as parameters, was there before
        self._see((args, kwargs), fresh=False)
        returned = func(*args, **(kwargs or {}))
        self._see(returned, fresh=True)
        return returned

    def _see(self, values: Any, fresh: bool) -> None:
        for value in tree_iter(values):
            if isinstance(value, Tensor) and value.layout == torch.strided:
                self._add(value.untyped_storage(), fresh)

    def _add(self, storage: torch.UntypedStorage, fresh: bool) -> None:
        key = storage._cdata
        if key in self.alive:
            return
        self.alive[key] = storage.nbytes() if fresh else 0
        self.now += self.alive[key]
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._gone, key)

    def _gone(self, key: int) -> None:
        self.now -= self.alive.pop(key, 0)


def recomputed(net: Callable[[Any], Any], call: Callable[[], Any]) -> Any:
    """What a call returns, with nothing kept for derivatives but what makes it once more.

    Args:
        net: the network within, whose statistics the second call leaves as they are.
        call: deterministic, but for random numbers, which are drawn alike.
    """
    return checkpoint(
        call, use_reentrant=False, context_fn=lambda: (nullcontext(), _Untouched(net))
    )


class _Untouched:
    """Buffers that a network changes inside, as running means, are what they were afterwards.

    A context that can be entered as often as derivatives are taken.
    """

    def __init__(self, net: Callable[[Any], Any]) -> None:
        self.net = net
        self.before: list[tuple[Tensor, Tensor]] = []

    def __enter__(self) -> None:
        module = self.net if isinstance(self.net, nn.Module) else None
        buffers = module.buffers() if module is not None and module.training else ()
        self.before = [(each, each.detach().clone()) for each in buffers]

    def __exit__(self, *_: object) -> None:
        with torch.no_grad():
            for buffer, values in self.before:
                if not torch.equal(buffer, values):
                    # as it was, for what was computed with it
                    with _unsafe_preserve_version_counter(buffer):
                        buffer.copy_(values)
        self.before = []
