"""Every check fails on the models that it is there for, and on no others.

Known-bad models ship with the package; healthy ones, some of them near the edge of what they claim,
are in ``tests/common/healthy.py``. Checks that must fail are given all their cases, until one
fails. Those that must not are given some of them here, others for each model, and all of them in
the slow tests.
"""

import math
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest

from equivariance_tests.checks import CHECKS, Check
from equivariance_tests.checks.base import Outcome
from equivariance_tests.clouds import Cloud
from equivariance_tests.clouds.crystals import CRYSTALS
from equivariance_tests.measure.trial import Trial
from equivariance_tests.mutants import MUTANTS, gathered, symmetry
from tests.common.healthy import HEALTHY

# Shapes are checked in other tests: here they would take most of the time
pytestmark = pytest.mark.usefixtures("unchecked_shapes")

BY_NAME = {check.name: check for check in CHECKS}
# Cases of a check that should not fail, others for each model so that each has its turn; a check
# that takes seconds has one, of every fourth model, and the one that takes longest of every ninth
SOME, FEW, EVERY = 2, 1, 4
LONGEST, NINTH = "history", 9
LONG = {check.name for check in CHECKS if check.slow}
# Cases that are tried at once in search of a failure
AT_ONCE = 3


def claiming(trial: Trial) -> Iterator[Check]:
    """The checks whose law the contract claims."""
    return (check for check in CHECKS if check.reason_to_skip(trial) == "")


def some(check: Check, trial: Trial, number: int) -> list[Cloud]:
    """A few cases, spread over all; which ones depends on the number of the model."""
    cases, takes_long = check.cases(trial.contract), check.name in LONG
    every = NINTH if check.name == LONGEST else EVERY
    if takes_long and (number + CHECKS.index(check)) % every:
        return []
    stride = math.ceil(len(cases) / (FEW if takes_long else SOME))
    return cases[(number // EVERY if takes_long else number) % stride :: stride]


def failed(outcomes: list[Outcome]) -> list[str]:
    """What is said of the failures."""
    return [str(one.failure) for one in outcomes if one.failure is not None]


def fails(check: Check, trial: Trial) -> bool:
    """Whether a check fails on any of its cases."""
    periodic = trial.contract.periodic  # what is may have its fault in crystals alone
    cases = sorted(
        check.cases(trial.contract),
        key=lambda c: (c.stratum not in check.telling, periodic and c.stratum not in CRYSTALS),
    )
    size = FEW if check.name in LONG else AT_ONCE
    parts = (cases[i : i + size] for i in range(0, len(cases), size))
    return any(failed(check.outcomes(trial, part)) for part in parts)


def mutant(name: str) -> Trial:
    """A mutant, asked one structure at a time if it mixes them up, as ``certify`` does."""
    trial = MUTANTS[name].trial()
    return trial.one_by_one() if "batching" in MUTANTS[name].fails else trial


@pytest.mark.parametrize("name", MUTANTS)
def test_checks_fail_on_the_models_that_they_are_there_for(name: str) -> None:
    for check in sorted(MUTANTS[name].fails):
        # batching itself is asked of a model that is still given batches
        trial = MUTANTS[name].trial() if check == "batching" else mutant(name)
        assert BY_NAME[check].reason_to_skip(trial) == "", f"{check} is not claimed"
        assert fails(BY_NAME[check], trial), f"{check} passes"


def others_pass(name: str, cases: Callable[[Check, Trial, int], list[Cloud]]) -> None:
    one, trial = MUTANTS[name], mutant(name)
    for check in claiming(trial):
        if check.name not in one.fails | one.may:
            chosen = cases(check, trial, list(MUTANTS).index(name))
            wrong = failed(check.outcomes(trial, chosen) if chosen else [])
            assert not wrong, f"{check.name}: {wrong[0]}"


def none_fails(name: str, cases: Callable[[Check, Trial, int], list[Cloud]]) -> None:
    trial = HEALTHY[name].trial()
    for check in claiming(trial):
        chosen = cases(check, trial, list(HEALTHY).index(name))
        wrong = failed(check.outcomes(trial, chosen) if chosen else [])
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
    others_pass(name, lambda check, trial, number: check.cases(trial.contract))


@pytest.mark.slow
@pytest.mark.parametrize("name", HEALTHY)
def test_no_check_fails_on_a_healthy_model_on_any_of_its_cases(name: str) -> None:
    none_fails(name, lambda check, trial, number: check.cases(trial.contract))


def test_a_memory_that_is_renewed_in_time_passes() -> None:
    """The one healthy model that remembers anything, whoever of the others is asked."""
    trial, check = HEALTHY["neighbor list with a margin"].trial(), BY_NAME[LONGEST]
    assert failed(check.outcomes(trial, check.cases(trial.contract))) == []


def test_every_check_has_a_mutant_that_fails_it() -> None:
    assert set(BY_NAME) == {check for one in MUTANTS.values() for check in one.fails}


def test_a_later_check_says_in_its_own_file_which_mutants_it_sees() -> None:
    """So that a check and its mutant are added without a change to other files."""
    one = next(iter(symmetry.MUTANTS))
    later = ModuleType("later")
    later.MUTANTS = {"mine": MUTANTS[one]}  # type: ignore[attr-defined]
    later.ALSO = {"signed zeros": frozenset({one})}  # type: ignore[attr-defined]
    found = gathered([symmetry, later])
    assert found[one].fails == symmetry.MUTANTS[one].fails | {"signed zeros"}
    later.ALSO = {"signed zeros": frozenset({"no such mutant"})}  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="no such mutant"):
        gathered([symmetry, later])


def test_what_may_fail_are_checks() -> None:
    assert {check for one in MUTANTS.values() for check in one.may} <= set(BY_NAME)


def test_there_are_twenty_healthy_models() -> None:
    assert len(HEALTHY) >= 20
    claims = [one.trial().contract for one in HEALTHY.values()]
    # every kind of claim is held by some of them
    assert {claim.group for claim in claims} == {"O(3)", "SO(3)", "O(2)", "SO(2)"}
    assert {0, None, math.inf} <= {claim.smoothness for claim in claims}
    assert {True, False} == {claim.extensive for claim in claims}
    assert any(claim.periodic for claim in claims)
    assert any(claim.inputs for claim in claims)
