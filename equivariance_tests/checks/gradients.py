"""The gradient is that of the function: against central differences along displacements.

Differences over steps that shrink by factors of four are extrapolated to no step at all
(Richardson). Of all entries of the table the one counts that its neighbors agree with best. How
well they agree, and what rounding does to a difference, is what the slope is known to, and bounds
the error: no step and no tolerance is chosen.

Source: Ridders, Adv. Eng. Software 4, 75 (1982).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from equivariance_tests.checks.base import GENERIC_ORIENTATION
from equivariance_tests.checks.derivatives import (
    DerivativeLaw,
    Measured,
    displacement,
    gradient_rounding,
    small_clouds,
)
from equivariance_tests.clouds import Cloud, Structure
from equivariance_tests.measure.yardstick import EXACT, ROUNDINGS
from equivariance_tests.model.subject import Subject
from equivariance_tests.report.failures import WrongGradient
from symmetrize import Contract

# Where a network with kinks has a gradient, and clouds of each of these strata
UNBROKEN, SEEDS = ("generic", "symmetric top"), (1, 2, 3)
# Steps are powers of this, from its first negative power on
RATIO, STEPS = 4.0, 9
# An extrapolation is off by up to this many times what its neighbors in the table differ by
SAFETY = 10.0
# A slope that is known no better than this part of it, or of the spread, says nothing
RESOLVED = 1e-2


class Gradients(DerivativeLaw):
    """Slopes along random displacements of all points, by backpropagation and by differences.

    On every stratum where the contract claims a continuous gradient. Where it claims kinks, on
    generic clouds only; one that lies on a kink by chance may have any slope between both sides.
    """

    name = "gradients"
    law = "grad F(x) . u = d/dt F(x + t u) at t = 0"
    failure = WrongGradient
    order = 0

    def cases(self, contract: Contract) -> list[Cloud]:
        """All strata, or the generic ones only."""
        if _has_kinks(contract):
            return [Cloud(s, 5, seed, GENERIC_ORIENTATION) for s in UNBROKEN for seed in SEEDS]
        return small_clouds(contract)

    def unclaimed(self, subject: Subject, cloud: Cloud) -> str:
        """A network with kinks may have one on any other stratum."""
        if _has_kinks(subject.contract) and cloud.stratum not in UNBROKEN:
            return "a kink may lie on this stratum"
        return ""

    def measured(self, subject: Subject, structures: Sequence[Structure]) -> list[Measured]:
        """Both slopes at each structure, for one covector and one displacement."""
        covector = subject.covector(subject.yardstick.scales)
        along = [displacement(subject, one) for one in structures]
        gradient = subject.gradients(structures, covector)
        assert gradient is not None, "asked only of models that have gradients"
        each = gradient.split([len(one) for one in structures])
        ours = torch.stack([(g * u).sum() for g, u in zip(each, along, strict=True)])
        lines = _on_lines(subject, structures, along, covector, each)
        slope, known = lines.slope()
        bounds = SAFETY * known + EXACT[subject.dtype]
        if _has_kinks(subject.contract):
            bounds = bounds + lines.kink()
        large = (~((ours - slope).abs() <= bounds)).nonzero()[:, 0].tolist()
        digits = gradient_rounding(subject, [structures[i] for i in large], covector)
        for i, noise in zip(large, digits, strict=True):
            bounds[i] += ROUNDINGS * float((noise * along[i].norm(dim=1)).sum())
        return [
            _compared(float(a), float(b), float(c), u)
            for a, b, c, u in zip(ours, slope, bounds, along, strict=True)
        ]


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


def _compared(ours: float, slope: float, bound: float, along: Tensor) -> Measured:
    if not bound <= RESOLVED * max(1.0, abs(slope)):
        return Measured(skipped="differences do not converge")
    said = (
        f"backpropagation gives the slope {ours:.6g}, and differences {slope:.6g}: off by "
        f"{ours - slope:.2g}, where they are known to {bound:.1g}"
    )
    return Measured(abs(ours - slope), bound, said, details={"along": along.tolist()})


def _on_lines(
    subject: Subject,
    structures: Sequence[Structure],
    along: Sequence[Tensor],
    covector: Mapping[str, Tensor],
    gradients: Sequence[Tensor],
) -> Differences:
    """The weighed outputs on lines through the structures."""
    steps = RATIO ** -torch.arange(1.0, 1 + STEPS, dtype=torch.float64)
    moved = [
        one.at(one.positions + float(t) * u)
        for t in torch.cat([steps, -steps])
        for one, u in zip(structures, along, strict=True)
    ]
    values = subject.scalars([*moved, *structures], covector).reshape(-1, len(structures))
    eps = torch.finfo(subject.dtype).eps
    slopes = torch.stack([gradient.abs().sum() for gradient in gradients])
    largest = torch.tensor([one.largest for one in structures], dtype=torch.float64)
    digits = eps * (values.abs().amax(0) + slopes * largest)
    return Differences(values[-1], values[:STEPS], values[STEPS:-1], steps[:, None], digits)


def _has_kinks(contract: Contract) -> bool:
    return contract.smoothness is not None and contract.smoothness < 1
