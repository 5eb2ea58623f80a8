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

from equivariance_tests.checks.base import GENERIC_ORIENTATION, Law, Outcome, every_stratum
from equivariance_tests.clouds import Cloud, Structure
from equivariance_tests.measure.worst import Errors, Worst
from equivariance_tests.measure.yardstick import EXACT, ROUNDINGS, last_digits
from equivariance_tests.model.subject import Answers, Subject
from equivariance_tests.report.failures import NotDeterministic, Stale
from symmetrize import Contract

TIMES = 3
# Asked to find out whether a model is random at all: few numbers may agree by chance
OFTEN = 6
# What it is asked then
PROBE = Cloud("generic", 5, 1, GENERIC_ORIENTATION)
RANDOM = "the model is random: see determinism"


class Determinism(Law):
    """The same batch is asked three times.

    Identical numbers are expected; sums whose order is not fixed, as on a GPU, may round
    differently.
    """

    name = "determinism"
    law = "F(x) = F(x)"
    failure = NotDeterministic

    def cases(self, contract: Contract) -> list[Cloud]:
        """Every stratum once: some models draw a frame where none is distinguished."""
        return [one for one in every_stratum(contract) if one.turn == GENERIC_ORIENTATION]

    def errors(self, subject: Subject, structures: Sequence[Structure]) -> Errors:
        """Largest difference between two of the answers."""
        fresh = subject.fresh()
        first, *others = (fresh(structures) for _ in range(TIMES))
        worst = Worst(subject, len(structures))
        for other in others:
            worst.add(other.minus(first), "when it is asked again")
        return worst.found

    def bounds(
        self, subject: Subject, structures: Sequence[Structure]
    ) -> Float[Tensor, "structures"]:
        """Rounding of the answers alone: the input is the same to the last digit."""
        return answer_rounding(subject, subject(structures))

    def own_rounding(
        self, subject: Subject, structures: Sequence[Structure], errors: Float[Tensor, "structures"]
    ) -> Float[Tensor, "structures"]:
        """None: the same numbers are rounded in the same way."""
        return torch.zeros_like(errors)

    def outcomes(self, subject: Subject, clouds: Sequence[Cloud]) -> list[Outcome]:
        """How the law holds on each cloud, and what is behind it where it does not."""
        found = super().outcomes(subject, clouds)
        return [_told_apart(subject, one) if one.failure else one for one in found]


def answer_rounding(subject: Subject, answers: Answers) -> Float[Tensor, "structures"]:
    """What the order of sums can do to answers to one and the same input."""
    exact = EXACT[subject.dtype]
    digits = last_digits(answers, subject.yardstick.scales, subject.dtype)
    return (ROUNDINGS * digits).nan_to_num(nan=0.0).clamp(min=exact)


def is_random(subject: Subject) -> bool:
    """Whether a model has several answers to one cloud: other laws then say nothing.

    It is asked again after the first time, so that what it may remember is not taken for chance.
    """
    if "random" not in subject.remembered:
        answered = subject.answered([PROBE])[0]
        subject.remembered["random"] = answered and _has_several_answers(subject, PROBE)
    return bool(subject.remembered["random"])


def _has_several_answers(subject: Subject, cloud: Cloud) -> bool:
    """To one cloud, asked again and again; the first answer does not count."""
    structures = subject.structures([cloud])
    _, one, *others = (subject.apart(structures) for _ in range(OFTEN))
    return any(_differ(one, other, EXACT[subject.dtype]) for other in others)


def _differ(one: Answers, other: Answers, exact: float) -> bool:
    """Whether answers differ by more than rounding of their largest number."""
    return any(
        not torch.allclose(values, other.values[name], 0.0, exact * float(values.abs().amax()))
        for name, values in one.values.items()
        if values.numel()
    )


def _told_apart(subject: Subject, outcome: Outcome) -> Outcome:
    """A failure of memory, where only the first answer differs."""
    failure = outcome.failure
    assert failure is not None
    if _has_several_answers(subject.fresh(), outcome.cloud):
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
