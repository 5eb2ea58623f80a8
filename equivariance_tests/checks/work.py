"""The work of the gradient along a path is the difference of the function at its ends.

    integral over t of grad F(x(t)) . x'(t) = F(x(b)) - F(x(a))

on panels of straight and of curved paths, see ``measure.closure``. A detached factor leaves the
gradient smooth, and wrong.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from equivariance_tests.checks.derivative_law import DerivativeLaw
from equivariance_tests.clouds import Cloud, Structure
from equivariance_tests.clouds.turns import GENERIC_ORIENTATION
from equivariance_tests.measure.closure import closed
from equivariance_tests.measure.measured import Measured
from equivariance_tests.measure.trial import Trial
from equivariance_tests.model.slopes import with_gradients
from equivariance_tests.report.failures import Failure
from symmetrize import Contract

# Where paths begin; they leave the stratum at once
STARTS = (
    "generic",
    "atom",
    "pair",
    "line",
    "plane",
    "pyramid",
    "antiparallel",
    "at the cutoff",
    "equal inertia",
    "ties",
)


class WorkNotClosed(Failure):
    """The gradient, integrated along a path, is not the difference of the function."""

    kind = "work is not closed"


class WorkClosure(DerivativeLaw):
    """Straight and curved paths away from a cloud.

    Continuity is enough: panels with a kink are left out, and the others tell.
    """

    name = "work closure"
    law = "the integral of grad F . dx from a to b is F(b) - F(a)"
    part = 4
    failure = WorkNotClosed
    slow = True
    telling = ("generic", "pair", "line", "plane", "antiparallel", "at the cutoff")
    order = 0

    def cases(self, contract: Contract) -> list[Cloud]:
        """A dozen clouds, as each path takes about a hundred gradients."""
        names = (*STARTS, "crystal") if contract.periodic else STARTS
        return [Cloud(name, 5, 1, GENERIC_ORIENTATION) for name in names]

    def measured(self, trial: Trial, structures: Sequence[Structure]) -> list[Measured]:
        """The worst panel of both paths from each structure."""
        covector = trial.covector()

        def field(places: Sequence[Structure]) -> tuple[Tensor, Sequence[Tensor]]:
            values, slopes = with_gradients(trial.subject, places, covector)
            assert slopes is not None, "asked only of models that have gradients"
            return values, slopes.split([len(one) for one in places])

        return closed(trial, structures, field, "the gradient does the work {work:.6g} where {on}")
