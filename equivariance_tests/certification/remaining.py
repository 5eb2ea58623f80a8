"""How far a certification is, over all its checks, and how long the rest will take.

Checks take very different times. What they take of a whole, ``Check.part``, is about the same for
networks of very different cost; the pace is that of the machine and the network at hand.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from equivariance_tests.checks import CHECKS, Check


class Remaining:
    """Told how far each check is, says how far all of them are.

    Args:
        checks: those that will run, in their order.
        clock: seconds.

    >>> now = iter([0.0, 10.0])  # determinism and batching come before, asked for or not
    >>> chosen = [check for check in CHECKS if check.name in ("equivariance", "parity")]
    >>> bar = Remaining(chosen, clock=lambda: next(now))
    >>> bar.tell("equivariance", 50, 100)
    >>> round(bar.part, 2), round(bar.seconds)
    (0.59, 7)
    """

    def __init__(
        self, checks: Sequence[Check], clock: Callable[[], float] = time.monotonic
    ) -> None:
        early = [check for check in CHECKS if check.decides]
        self.early = {check.name for check in early}
        # of each check its part of the time, in their order
        self.parts = {check.name: check.part for check in (*early, *checks)}
        self.names = [one.name for one in (*(e for e in early if e not in checks), *checks)]
        self.clock, self.start = clock, clock()
        self.done: set[str] = set()
        self.current = ""
        self.within = 0.0

    def tell(self, check: str, done: int, total: int) -> None:
        """A check has judged so many of its clouds."""
        if check != self.current:
            self.done |= {self.current}
            # those before it in the order have had nothing to say
            if check not in self.early and check in self.names:
                self.done |= set(self.names[: self.names.index(check)])
        self.current, self.within = check, done / max(1, total)

    @property
    def part(self) -> float:
        """How much is done, from 0 to 1."""
        whole = sum(self.parts.values())
        done = float(sum(self.parts[name] for name in self.names if name in self.done))
        if self.current in self.names and self.current not in self.done:
            done += self.within * self.parts[self.current]
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
