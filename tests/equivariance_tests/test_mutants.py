"""Every check fails on the models that it is there for, and on no others.

Known-bad models ship with the package; healthy ones, some of them near the edge of what they claim,
are in ``tests/common/healthy.py``. Checks that must fail are given all their cases, until one
fails. Those that must not are given some of them here, others for each model, and all of them in
the slow tests.
"""

import math
from collections.abc import Callable, Iterator

import pytest

from equivariance_tests.checks import CHECKS, Check
from equivariance_tests.checks.check import Outcome
from equivariance_tests.clouds import Cloud
from equivariance_tests.mutants import MUTANTS
from equivariance_tests.subject import Subject
from tests.common.healthy import HEALTHY

# Shapes are checked in other tests: here they would take most of the time
pytestmark = pytest.mark.usefixtures("unchecked_shapes")

BY_NAME = {check.name: check for check in CHECKS}
# Cases of a check that should not fail, others for each model so that each has its turn; a check
# that takes seconds has one, of every third model, and the one that takes longest of every ninth
SOME, FEW, EVERY = 4, 1, 3
LONGEST, NINTH = "history", 9
LONG = {check.name for check in CHECKS if check.slow}
# Cases that are tried at once in search of a failure
AT_ONCE = 3


def claiming(subject: Subject) -> Iterator[Check]:
    """The checks whose law the contract claims."""
    return (check for check in CHECKS if check.silent(subject) is None)


def some(check: Check, subject: Subject, number: int) -> list[Cloud]:
    """A few cases, spread over all; which ones depends on the number of the model."""
    cases, takes_long = check.cases(subject.contract), check.name in LONG
    every = NINTH if check.name == LONGEST else EVERY
    if takes_long and (number + CHECKS.index(check)) % every:
        return []
    stride = math.ceil(len(cases) / (FEW if takes_long else SOME))
    return cases[(number // EVERY if takes_long else number) % stride :: stride]


def failed(outcomes: list[Outcome]) -> list[str]:
    """What is said of the failures."""
    return [str(one.failure) for one in outcomes if one.failure is not None]


def fails(check: Check, subject: Subject) -> bool:
    """Whether a check fails on any of its cases."""
    cases = sorted(check.cases(subject.contract), key=lambda c: c.stratum not in check.telling)
    size = FEW if check.name in LONG else AT_ONCE
    parts = (cases[i : i + size] for i in range(0, len(cases), size))
    return any(failed(check.outcomes(subject, part)) for part in parts)


def mutant(name: str) -> Subject:
    """A mutant, asked one structure at a time if it mixes them up, as ``certify`` does."""
    subject = MUTANTS[name].subject()
    subject.batched = "batching" not in MUTANTS[name].fails
    return subject


@pytest.mark.parametrize("name", MUTANTS)
def test_checks_fail_on_the_models_that_they_are_there_for(name: str) -> None:
    for check in sorted(MUTANTS[name].fails):
        # batching itself is asked of a model that is still given batches
        subject = MUTANTS[name].subject() if check == "batching" else mutant(name)
        assert BY_NAME[check].silent(subject) is None, f"{check} is not claimed"
        assert fails(BY_NAME[check], subject), f"{check} passes"


def others_pass(name: str, cases: Callable[[Check, Subject, int], list[Cloud]]) -> None:
    one, subject = MUTANTS[name], mutant(name)
    for check in claiming(subject):
        if check.name not in one.fails | one.may:
            chosen = cases(check, subject, list(MUTANTS).index(name))
            wrong = failed(check.outcomes(subject, chosen) if chosen else [])
            assert not wrong, f"{check.name}: {wrong[0]}"


def none_fails(name: str, cases: Callable[[Check, Subject, int], list[Cloud]]) -> None:
    subject = HEALTHY[name].subject()
    for check in claiming(subject):
        chosen = cases(check, subject, list(HEALTHY).index(name))
        wrong = failed(check.outcomes(subject, chosen) if chosen else [])
        assert not wrong, f"{check.name}: {wrong[0]}"


@pytest.mark.parametrize("name", MUTANTS)
def test_other_checks_do_not_fail(name: str) -> None:
    others_pass(name, some)


@pytest.mark.parametrize("name", HEALTHY)
def test_no_check_fails_on_a_healthy_model(name: str) -> None:
    none_fails(name, some)


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTANTS)
def test_other_checks_do_not_fail_on_any_of_their_cases(name: str) -> None:
    others_pass(name, lambda check, subject, number: check.cases(subject.contract))


@pytest.mark.slow
@pytest.mark.parametrize("name", HEALTHY)
def test_no_check_fails_on_a_healthy_model_on_any_of_its_cases(name: str) -> None:
    none_fails(name, lambda check, subject, number: check.cases(subject.contract))


def test_a_memory_that_is_renewed_in_time_passes() -> None:
    """The one healthy model that remembers anything, whoever of the others is asked."""
    subject, check = HEALTHY["neighbor list with a margin"].subject(), BY_NAME[LONGEST]
    assert failed(check.outcomes(subject, check.cases(subject.contract))) == []


def test_every_check_has_a_mutant_that_fails_it() -> None:
    assert set(BY_NAME) == {check for one in MUTANTS.values() for check in one.fails}


def test_what_may_fail_are_checks() -> None:
    assert {check for one in MUTANTS.values() for check in one.may} <= set(BY_NAME)


def test_there_are_twenty_healthy_models() -> None:
    assert len(HEALTHY) >= 20
    claims = [one.subject().contract for one in HEALTHY.values()]
    # every kind of claim is held by some of them
    assert {claim.group for claim in claims} == {"O(3)", "SO(3)"}
    assert {0, None, math.inf} <= {claim.smoothness for claim in claims}
    assert {True, False} == {claim.extensive for claim in claims}
    assert any(claim.periodic for claim in claims)
    assert any(claim.inputs for claim in claims)
