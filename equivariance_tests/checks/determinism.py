"""The same input has one output, however often it is asked.

Asked three times, a model that is random has three answers. One that only the first time answers
otherwise remembers that it was asked: parameters made at the first call, lists that are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from equivariance_tests.checks.base import Outcome
from equivariance_tests.checks.law import Law
from equivariance_tests.clouds import Cloud, Structure
from equivariance_tests.clouds.cases import every_stratum
from equivariance_tests.clouds.turns import GENERIC_ORIENTATION
from equivariance_tests.measure.chance import answer_rounding, has_several_answers
from equivariance_tests.measure.trial import Trial
from equivariance_tests.measure.worst import Errors, Worst
from equivariance_tests.report.failures import Failure, Stale
from symmetrize import Contract

TIMES = 3


class NotDeterministic(Failure):
    """The same input has several outputs."""

    kind = "random"


class Determinism(Law):
    """The same batch is asked three times.

    Identical numbers are expected; sums whose order is not fixed, as on a GPU, may round
    differently.
    """

    name = "determinism"
    law = "F(x) = F(x)"
    failure = NotDeterministic
    decides = True
    says_of_random = True

    def cases(self, contract: Contract) -> list[Cloud]:
        """Every stratum once: some models draw a frame where none is distinguished."""
        return [one for one in every_stratum(contract) if one.turn == GENERIC_ORIENTATION]

    def errors(self, trial: Trial, structures: Sequence[Structure]) -> Errors:
        """Largest difference between two of the answers."""
        fresh = trial.subject.fresh()
        first, *others = (fresh(structures) for _ in range(TIMES))
        worst = Worst(trial, len(structures))
        for other in others:
            worst.add(other.minus(first), "when it is asked again")
        return worst.found

    def bounds(self, trial: Trial, structures: Sequence[Structure]) -> Float[Tensor, "structures"]:
        """Rounding of the answers alone: the input is the same to the last digit."""
        return answer_rounding(trial, trial(structures))

    def own_rounding(
        self, trial: Trial, structures: Sequence[Structure], errors: Float[Tensor, "structures"]
    ) -> Float[Tensor, "structures"]:
        """None: the same numbers are rounded in the same way."""
        return torch.zeros_like(errors)

    def judged(self, trial: Trial, clouds: Sequence[Cloud]) -> list[Outcome]:
        """How the law holds on each cloud, and what is behind it where it does not."""
        found = super().judged(trial, clouds)
        return [_told_apart(trial, one) if one.failure else one for one in found]

    def follows(self, trial: Trial, failure: Failure | None) -> Trial:
        """A random model is not compared with itself."""
        return replace(trial, random=failure is not None)


def _told_apart(trial: Trial, outcome: Outcome) -> Outcome:
    """A failure of memory, where only the first answer differs."""
    failure = outcome.failure
    assert failure is not None
    if has_several_answers(trial.subject.fresh(), outcome.cloud):
        return outcome
    remembers = Stale(
        f"{failure.said}; later answers agree: it remembers that it was asked",
        failure.cloud,
        failure.code,
        failure.error,
        failure.bound,
        failure.details,
    )
    return replace(outcome, failure=remembers)
