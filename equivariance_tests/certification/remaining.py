"""How far a certification is, over all its checks, and how long the rest will take.

Checks take very different times. What they take of a whole, for networks that are right, is known
from ``benchmarks.certify_durations``; the pace is that of the machine and the network at hand.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

# Parts of the time of all checks, in hundredths, about the same for networks of very different cost
PARTS = {
    "history": 8,
    "stabilizer": 4,
    "precision ladder": 5,
    "equivariance": 5,
    "gradients": 5,
    "work closure": 4,
    "cutoff crossing": 13,
    "path scan": 28,
    "stratum approach": 9,
}
OTHERS = 2
# Checks that run before their turn
EARLY = ("determinism", "batching")


class Remaining:
    """Told how far each check is, says how far all of them are.

    Args:
        names: of the checks that will run, in their order.
        clock: seconds.

    >>> now = iter([0.0, 10.0])  # determinism and batching come before, asked for or not
    >>> bar = Remaining(["equivariance", "parity"], clock=lambda: next(now))
    >>> bar.tell("equivariance", 50, 100)
    >>> round(bar.part, 2), round(bar.seconds)
    (0.59, 7)
    """

    def __init__(self, names: Sequence[str], clock: Callable[[], float] = time.monotonic) -> None:
        early = [name for name in EARLY if name not in names]
        self.names, self.clock, self.start = [*early, *names], clock, clock()
        self.done: set[str] = set()
        self.current = ""
        self.within = 0.0

    def tell(self, check: str, done: int, total: int) -> None:
        """A check has judged so many of its clouds."""
        if check != self.current:
            self.done |= {self.current}
            # those before it in the order have had nothing to say
            if check not in EARLY and check in self.names:
                self.done |= set(self.names[: self.names.index(check)])
        self.current, self.within = check, done / max(1, total)

    @property
    def part(self) -> float:
        """How much is done, from 0 to 1."""
        whole = sum(map(_part, self.names))
        done = sum((_part(name) for name in self.names if name in self.done), 0.0)
        if self.current in self.names and self.current not in self.done:
            done += self.within * _part(self.current)
        return min(1.0, done / whole) if whole else 1.0

    @property
    def seconds(self) -> float | None:
        """That the rest will take at this pace; None before anything is done."""
        part = self.part
        return (self.clock() - self.start) * (1 - part) / part if part > 0 else None

    def said(self) -> str:
        """The time that is left, in words."""
        seconds = self.seconds
        if seconds is None:
            return ""
        return f"{seconds:.0f} s left" if seconds < 100 else f"{seconds / 60:.0f} min left"


def _part(check: str) -> int:
    return PARTS.get(check, OTHERS)
