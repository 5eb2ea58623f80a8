"""The slope of a function from differences over steps that shrink, and how well it is known.

Differences over steps that shrink by factors of four are extrapolated to no step at all
(Richardson). Of all entries of the table the one counts that its neighbors agree with best. How
well they agree, and what rounding does to a difference, is what the slope is known to, and bounds
the error: no step and no tolerance is chosen.

Source: Ridders, Adv. Eng. Software 4, 75 (1982).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from equivariance_tests.measure.rounding import ROUNDINGS

# Steps are powers of this, from its first negative power on
RATIO, STEPS = 4.0, 9
# An extrapolation is off by up to this many times what its neighbors in the table differ by
SAFETY = 10.0
# A slope that is known no better than this part of it, or of the spread, says nothing
RESOLVED = 1e-2
# Strata on whose generic clouds a function with kinks has a slope, and which of them are tried
UNBROKEN, SEEDS = ("generic", "symmetric top"), (1, 2, 3)


def shrinking_steps() -> Float[Tensor, "steps"]:
    """The steps, the longest first."""
    return RATIO ** -torch.arange(1.0, 1 + STEPS, dtype=torch.float64)


@dataclass(frozen=True)
class Differences:
    """A function on lines through some structures, at steps that shrink by ``RATIO``.

    Attributes:
        here: its value in the middle of each line.
        ahead, behind: at each step in either direction.
        steps: the steps.
        digits: of each value, what may be rounding.
    """

    here: Float[Tensor, "lines"]
    ahead: Float[Tensor, "steps lines"]
    behind: Float[Tensor, "steps lines"]
    steps: Float[Tensor, "steps 1"]
    digits: Float[Tensor, "lines"]

    def rougher(self, lines: Sequence[int], noise: Float[Tensor, "some"]) -> Differences:
        """Some of the lines, where more of each value may be rounding."""
        return Differences(
            self.here[lines],
            self.ahead[:, lines],
            self.behind[:, lines],
            self.steps,
            self.digits[lines] + noise,
        )

    def slope(self) -> tuple[Float[Tensor, "lines"], Float[Tensor, "lines"]]:
        """The slope in the middle of each line, and how well it is known.

        >>> t = 0.25 ** torch.arange(1, 9.0, dtype=torch.float64)[:, None]
        >>> zero = torch.zeros(1, dtype=torch.float64)
        >>> slope, known = Differences(zero, t.sin(), -t.sin(), t, zero + 1e-16).slope()
        >>> bool((slope - 1).abs() < known), bool(known < 1e-9)
        (True, True)
        """
        digits = self.digits / self.steps
        column = (self.ahead - self.behind) / (2 * self.steps)
        best, known = column[0], torch.full_like(column[0], torch.inf)
        for power in range(1, len(self.steps)):
            factor = RATIO ** (2 * power)
            before, column = column, (factor * column[1:] - column[:-1]) / (factor - 1)
            for k, found in enumerate(column):
                apart = torch.maximum((found - before[k]).abs(), (found - before[k + 1]).abs())
                # what is seen over long steps only is not the slope, however well two of them
                # agree: about a step of a tanh they may, as its values are few
                finer = (column[k:] - found).abs() - ROUNDINGS * digits[k + power :]
                apart = torch.maximum(apart, finer.amax(0)) + digits[k + power]
                best = torch.where(apart < known, found, best)
                known = torch.fmin(apart, known)
        return best, known

    def kink(self) -> Float[Tensor, "lines"]:
        """By how much the slopes ahead and behind differ, at the step where they differ least."""
        return ((self.ahead - 2 * self.here + self.behind) / self.steps).abs().amin(0)
