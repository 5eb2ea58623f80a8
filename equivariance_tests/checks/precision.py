"""The error of an exact model is rounding, and so falls with the precision of the numbers.

From single to double precision the error of an exact model falls by the ratio of the two, about
5e8. That of a quadrature, of a table, or of a constant kept in single precision does not.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import torch

from equivariance_tests.checks.base import Check, Outcome
from equivariance_tests.checks.law import Law
from equivariance_tests.clouds import Cloud, Structure
from equivariance_tests.clouds.turns import turns_of
from equivariance_tests.measure.trial import Trial
from equivariance_tests.measure.turning import turning_errors
from equivariance_tests.measure.worst import Errors
from equivariance_tests.report.failures import Failure
from symmetrize import Contract
from symmetrize.declaration import ONLY

COARSE, FINE = torch.float32, torch.float64
SEEDS = 6
# A turn of each kind, as all of them were tried in one precision by equivariance and parity
KINDS = (
    "third turn about 111",
    "near the north pole",
    "near the south pole",
    "generic",
    "improper",
    "nearly half a turn",
)
# Where rounding explains this part of the spread, single precision says nothing
HIDDEN = 1e-2


class Imprecise(Failure):
    """An error that does not fall with the precision of the numbers: it is in the method."""

    kind = "error of the method"


class AllTurns(Law):
    """Equivariance under turns of each kind that the contract claims."""

    name = "equivariance"
    law = "F(g x) = rho(g) F(x)"
    failure = Imprecise

    def errors(self, trial: Trial, structures: Sequence[Structure]) -> Errors:
        """Largest over rotations and, where claimed, reflections."""
        assert trial.contract.group is not None, "the check is skipped where none is claimed"
        named = turns_of(trial.contract.group)
        return turning_errors(trial, structures, {n: named[n] for n in KINDS if n in named})


class PrecisionLadder(Check):
    """The error of equivariance is rounding in single and in double precision."""

    name = "precision ladder"
    law = "the error of F(g x) = rho(g) F(x) falls with the precision"
    says_of_random = True
    part = 5
    turning: ClassVar[Law] = AllTurns()

    def reason_to_skip(self, trial: Trial) -> str:
        """What claims no group has no such error."""
        return "" if trial.contract.group else "no group is claimed"

    def cases(self, contract: Contract) -> list[Cloud]:
        """A dozen generic clouds: what is special is the matter of other checks."""
        return [Cloud("generic", n, seed) for n in (5, 8) for seed in range(SEEDS)]

    def judged(self, trial: Trial, clouds: Sequence[Cloud]) -> list[Outcome]:
        """All clouds in either precision."""
        found = []
        for dtype in (COARSE, FINE):
            try:
                # one unit for both: the spread of what is zero but for rounding is neither
                at = trial.at(dtype).measured_by(trial.at(FINE).spread)
                outcomes = self.turning.outcomes(at, clouds)
            except Exception as error:  # whatever a model raises, it cannot be compared
                said = f"{type(error).__name__}: {error}".splitlines()[0]
                return [_without(cloud, dtype, f" ({said})") for cloud in clouds]
            if all(one.skipped for one in outcomes):
                return [_without(cloud, dtype) for cloud in clouds]
            found.append(outcomes)
        return [_compared(*both) for both in zip(*found, strict=True)]


def _without(cloud: Cloud, dtype: torch.dtype, why: str = "") -> Outcome:
    return Outcome(cloud, skipped=f"the model does not run in {_name(dtype)}{why}")


def _compared(coarse: Outcome, fine: Outcome) -> Outcome:
    if coarse.skipped or fine.skipped:
        return coarse if coarse.skipped else fine
    if coarse.failure is None and fine.failure is None:
        return fine
    if fine.failure is None and coarse.bound > HIDDEN:
        return replace(fine, skipped="single precision has no digits left so far away")
    ratio = coarse.error / fine.error if fine.error else float("inf")
    worse = fine if fine.failure is not None else coarse
    assert worse.failure is not None
    named = worse.failure.details.get("output", ONLY)
    whose = "" if named == ONLY else f" of {named!r}"
    said = (
        f"the error of equivariance{whose} is {fine.error:.2g} in double precision, where rounding "
        f"explains {fine.bound:.1g}, and {coarse.error:.2g} in single precision, where it explains "
        f"{coarse.bound:.1g}: a ratio of {ratio:.1g}, which is 5e8 for rounding"
    )
    failure = Imprecise(
        said,
        worse.cloud,
        worse.failure.code,
        worse.error,
        worse.bound,
        {
            **worse.failure.details,
            "error in float32": coarse.error,
            "error in float64": fine.error,
            "ratio": ratio,
        },
    )
    return replace(worse, failure=failure)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
