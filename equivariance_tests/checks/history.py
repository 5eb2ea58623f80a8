"""What a model was asked before changes nothing.

Networks keep neighbor lists, padded sizes, normalizations. How they are found out, see
``measure.walk``.
"""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis.errors import FlakyFailure
from hypothesis.stateful import run_state_machine_as_test

from equivariance_tests.checks.base import Check, Outcome
from equivariance_tests.clouds import Cloud
from equivariance_tests.measure.chance import RANDOM, is_random
from equivariance_tests.measure.trial import Trial
from equivariance_tests.measure.walk import QUIET, START, machine_of
from equivariance_tests.report.failures import Stale
from symmetrize import Contract


class History(Check):
    """A few walks of a few steps from each cloud; of those that fail, the shortest is told."""

    name = "history"
    law = "F(x) does not depend on what was asked before"
    slow = True
    unanswered = "the model has no answer"
    part = 8

    def reason_to_skip(self, trial: Trial) -> str:
        """Random answers differ after any history."""
        return RANDOM if is_random(trial) else ""

    def cases(self, contract: Contract) -> list[Cloud]:
        """Where walks start."""
        return [START, Cloud("crystal", 2, 1)] if contract.periodic else [START]

    def judged(self, trial: Trial, clouds: Sequence[Cloud]) -> list[Outcome]:
        """Whether a model forgets, on walks from each cloud."""
        return [_walked(trial, cloud) for cloud in clouds]


def _walked(trial: Trial, cloud: Cloud) -> Outcome:
    machine = machine_of(trial, cloud)
    try:
        run_state_machine_as_test(machine, settings=QUIET)
    except Stale as failure:
        return Outcome(cloud, failure.error, failure.bound, failure)
    except FlakyFailure as flaky:  # what is remembered outlives walks
        stale = [one for one in flaky.exceptions if isinstance(one, Stale)]
        if not stale:
            raise
        return Outcome(cloud, stale[0].error, stale[0].bound, stale[0])
    return Outcome(cloud)
