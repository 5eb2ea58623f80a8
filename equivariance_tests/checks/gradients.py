"""The gradient is that of the function: against central differences along displacements.

How the slope is found from differences, and how well it is known, see ``measure.differences``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from equivariance_tests.checks.derivative_law import DerivativeLaw
from equivariance_tests.clouds import Cloud, Structure
from equivariance_tests.clouds.turns import GENERIC_ORIENTATION
from equivariance_tests.measure.differences import (
    RESOLVED,
    SAFETY,
    SEEDS,
    UNBROKEN,
    Differences,
    shrinking_steps,
)
from equivariance_tests.measure.displacement import displacement
from equivariance_tests.measure.gradients import gradient, gradient_rounding
from equivariance_tests.measure.measured import Measured
from equivariance_tests.measure.rounding import EXACT, ROUNDINGS, inner_rounding, own_rounding
from equivariance_tests.measure.trial import Trial
from equivariance_tests.model.slopes import Covector, scalars
from equivariance_tests.report.failures import Failure
from symmetrize import Contract


class WrongGradient(Failure):
    """The gradient is not that of the function."""

    kind = "wrong gradient"


class Gradients(DerivativeLaw):
    """Slopes along random displacements of all points, by backpropagation and by differences.

    On every stratum where the contract claims a continuous gradient. Where it claims kinks, on
    generic clouds only; one that lies on a kink by chance may have any slope between both sides.
    """

    name = "gradients"
    law = "grad F(x) . u = d/dt F(x + t u) at t = 0"
    part = 5
    failure = WrongGradient
    order = 0

    def cases(self, contract: Contract) -> list[Cloud]:
        """All strata, or the generic ones only."""
        if _has_kinks(contract):
            return [Cloud(s, 5, seed, GENERIC_ORIENTATION) for s in UNBROKEN for seed in SEEDS]
        return super().cases(contract)

    def unfit(self, trial: Trial, cloud: Cloud) -> str:
        """A network with kinks may have one on any other stratum."""
        if _has_kinks(trial.contract) and cloud.stratum not in UNBROKEN:
            return "a kink may lie on this stratum"
        return ""

    def measured(self, trial: Trial, structures: Sequence[Structure]) -> list[Measured]:
        """Both slopes at each structure, for one covector and one displacement."""
        covector = trial.covector()
        along = [displacement(trial, one) for one in structures]
        each = gradient(trial, structures, covector).split([len(one) for one in structures])
        ours = torch.stack([(g * u).sum() for g, u in zip(each, along, strict=True)])
        lines = _on_lines(trial, structures, along, covector, each)
        slope, known = lines.slope()
        bounds = SAFETY * known + EXACT[trial.dtype]
        if _has_kinks(trial.contract):
            bounds = bounds + lines.kink()
        large = (~((ours - slope).abs() <= bounds)).nonzero()[:, 0].tolist()
        if large:
            few = [structures[i] for i in large]
            errors = (ours - slope).abs()[large]
            noise = torch.fmax(inner_rounding(trial, few), own_rounding(trial, few, errors))
            slope[large], known = lines.rougher(large, noise).slope()
            bounds[large] = torch.fmax(bounds[large], SAFETY * known)
        digits = gradient_rounding(trial, [structures[i] for i in large], covector)
        for i, noise in zip(large, digits, strict=True):
            bounds[i] += ROUNDINGS * float((noise * along[i].norm(dim=1)).sum())
        return [
            _compared(float(a), float(b), float(c), u)
            for a, b, c, u in zip(ours, slope, bounds, along, strict=True)
        ]


def _compared(ours: float, slope: float, bound: float, along: Tensor) -> Measured:
    if not bound <= RESOLVED * max(1.0, abs(slope)):
        return Measured(skipped="differences do not converge")
    said = (
        f"backpropagation gives the slope {ours:.6g}, and differences {slope:.6g}: off by "
        f"{ours - slope:.2g}, where they are known to {bound:.1g}"
    )
    return Measured(abs(ours - slope), bound, said, details={"along": along.tolist()})


def _on_lines(
    trial: Trial,
    structures: Sequence[Structure],
    along: Sequence[Tensor],
    covector: Covector,
    gradients: Sequence[Tensor],
) -> Differences:
    """The weighed outputs on lines through the structures."""
    steps = shrinking_steps()
    moved = [
        one.at(one.positions + float(t) * u)
        for t in torch.cat([steps, -steps])
        for one, u in zip(structures, along, strict=True)
    ]
    values = scalars(trial.subject, [*moved, *structures], covector).reshape(-1, len(structures))
    eps = torch.finfo(trial.dtype).eps
    slopes = torch.stack([one.abs().sum() for one in gradients])
    largest = torch.tensor([one.largest for one in structures], dtype=torch.float64)
    digits = eps * (values.abs().amax(0) + slopes * largest)
    return Differences(
        values[-1], values[: len(steps)], values[len(steps) : -1], steps[:, None], digits
    )


def _has_kinks(contract: Contract) -> bool:
    return contract.smoothness is not None and contract.smoothness < 1
