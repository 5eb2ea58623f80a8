"""Each check as an assertion about one cloud, for the tests that a user writes.

``assert_equivariant`` and ``assert_smooth`` are what most tests need. For every check of a report
there is one more, named after it: the check "cutoff crossing" is ``assert_cutoff_crossing``. All
raise the failure, a type for each kind, and say nothing of a cloud about which their check has
nothing to say. ``cloud`` is a ``Cloud``, a single ``Data``, or positions (n, 3).

With Hypothesis, give ``settings(deadline=None)``: the first example measures the spread of the
output and takes longer than the others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from equivariance_tests.certification.options import OF_SUBJECTS, refuse_unknown
from equivariance_tests.checks import CHECKS, Check, chosen
from equivariance_tests.checks.approach import StratumApproach
from equivariance_tests.checks.crossing import CutoffCrossing
from equivariance_tests.checks.equivariance import Equivariance, Parity
from equivariance_tests.checks.paths import PathScan
from equivariance_tests.checks.stabilizer import Stabilizer
from equivariance_tests.clouds import Cloud
from equivariance_tests.clouds.cloud import Given
from equivariance_tests.clouds.given import as_cloud
from equivariance_tests.measure.trial import Trial
from equivariance_tests.model.first_call import refusal, unanswered
from equivariance_tests.report.failures import Failure
from symmetrize import Contract

# Models whose spread is remembered
KEPT = 8


@runtime_checkable
class Assertion(Protocol):
    """What all assertions take."""

    def __call__(
        self,
        model: Any,
        cloud: Cloud | Data | Tensor,
        contract: Contract | None = None,
        *,
        fresh: bool = False,
        **how: Any,
    ) -> None:
        """Raise the failure, if there is one.

        Args:
            model: as for ``certify``.
            cloud: on which the law is to hold.
            contract: what the model claims; ``model.contract`` if not given.
            fresh: whether to forget what was measured before. Needed if a function has changed that
                is no module; modules are known by the values of their parameters.
            **how: as for ``certify``: ``species``, ``call``, ``dtype``, ...
        """


def assert_law(
    check: str | Check,
    model: Any,
    cloud: Cloud | Data | Tensor,
    contract: Contract | None = None,
    *,
    fresh: bool = False,
    **how: Any,
) -> None:
    """Assert the check of this name, or a check of your own.

    Raises:
        Failure: if the law does not hold, or the model has no finite answer.
        ValueError: if the contract does not claim the law, or there is no such check.

    >>> from equivariance_tests.clouds import Cloud
    >>> def energy(positions):
    ...     return (positions - positions.mean(0)).square().sum().sqrt().sin()[None]
    >>> assert_law("parity", energy, Cloud("pyramid"), Contract("0e"))
    """
    __tracebackhide__ = True
    _assert(chosen([check]), model, cloud, contract, fresh, how)


def _asserting(name: str, checks: Sequence[Check], also: Sequence[Check] = ()) -> Assertion:
    """Some checks, and those of the others that the contract claims, as one assertion."""

    def assertion(
        model: Any,
        cloud: Cloud | Data | Tensor,
        contract: Contract | None = None,
        *,
        fresh: bool = False,
        **how: Any,
    ) -> None:
        __tracebackhide__ = True
        _assert(checks, model, cloud, contract, fresh, how, also)

    laws = "; ".join(one.law for one in (*checks, *also))
    assertion.__doc__ = f"Assert, on one cloud: {laws}. Arguments as in ``Assertion``."
    assertion.__name__ = assertion.__qualname__ = name
    return assertion


def _assert(
    checks: Sequence[Check],
    model: Any,
    cloud: Cloud | Data | Tensor,
    contract: Contract | None,
    fresh: bool,
    how: Mapping[str, Any],
    also: Sequence[Check] = (),
) -> None:
    __tracebackhide__ = True
    how = {**_species_of(cloud), **how}
    failure = _first_failure(trial_of(model, contract, fresh, how), checks, cloud, also)
    if failure is not None:
        # here and nowhere else: to Hypothesis failures of one kind are then one failure
        raise failure


def _species_of(given: Cloud | Data | Tensor) -> dict[str, tuple[int, ...]]:
    """The species of a structure of one's own are those that its model knows, if nobody says."""
    kinds = given.get("z") if isinstance(given, Data) else None
    if not isinstance(kinds, Tensor) or kinds.is_floating_point() or kinds.numel() == 0:
        return {}
    return {"species": tuple(kinds.unique().tolist())}


def _first_failure(
    trial: Trial, checks: Sequence[Check], given: Cloud | Data | Tensor, also: Sequence[Check]
) -> Failure | None:
    cloud = as_cloud(given, trial.setting)
    own = cloud.given if isinstance(cloud, Given) else None
    own_cell = own is not None and own.cell is not None and not trial.contract.periodic
    if own is not None and (own.brings or own_cell):
        trial = Trial(trial.subject.fresh(), around=own)
    unasked = trial.answers_nothing and not all(one.of_answers for one in checks)
    if unasked and trial.answered([cloud])[0]:
        # errors without a unit would all pass
        subject = trial.subject
        raise ValueError(
            "the model answers this structure, but none of the plain clouds that tell how much its "
            f"outputs vary: {refusal(subject) or unanswered(subject)}"
        )
    for check in checks:
        reason = check.reason_to_skip(trial)
        if reason:
            raise ValueError(f"there is nothing to assert about {check.name}: {reason}")
    asked = [*checks, *(check for check in also if not check.reason_to_skip(trial))]
    reason = trial.left_out(cloud)
    if reason and cloud is not given:
        raise ValueError(f"there is nothing to assert about this structure: {reason}")
    if reason:
        return None
    if not trial.answered([cloud])[0]:
        asked = [check for check in CHECKS if check.of_answers]
    for check in asked:
        (outcome,) = check.outcomes(trial, [cloud])
        if outcome.failure is not None:
            return outcome.failure
    return None


# --- models that are asked again and again


@dataclass(frozen=True)
class _Kept:
    model: Any
    contract: Contract | None
    how: Mapping[str, Any]
    state: tuple[float, ...]
    trial: Trial


_kept: deque[_Kept] = deque(maxlen=KEPT)


def trial_of(model: Any, contract: Contract | None, fresh: bool, how: Mapping[str, Any]) -> Trial:
    """The model with its spread, which is measured once for the last few models.

    Raises:
        TypeError: if an option is not known.
    """
    refuse_unknown(how, OF_SUBJECTS, "options of assertions")
    state = state_of(model)
    for one in list(_kept):
        if one.model is model and one.contract == contract and one.how == how:
            if one.state == state and not fresh:
                return one.trial
            _kept.remove(one)
    trial = Trial.of(model, contract, **how)
    _kept.append(_Kept(model, contract, how, state, trial))
    return trial


def state_of(model: Any) -> tuple[float, ...]:
    """Numbers that change when a parameter or buffer of a module does.

    Values, since neither addresses nor versions of tensors tell of every way to write into them.

    >>> net = nn.Linear(2, 2)
    >>> before = state_of(net)
    >>> net.weight.data[0, 0] += 1.0
    >>> state_of(net) == before
    False
    """
    if not isinstance(model, nn.Module):
        return ()
    found = [float(model.training)]
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            values = tensor.detach().flatten().double()
            places = torch.arange(len(values), dtype=torch.float64, device=values.device)
            found.append(float(values @ torch.cos(places)))
    return tuple(found)


# --- by name


def _named(check: Check) -> str:
    """What the assertion of a check is called.

    >>> _named(CHECKS[0])
    'assert_finiteness'
    """
    return f"assert_{check.name.replace(' ', '_').lower()}"


def _of(*kinds: type[Check]) -> list[Check]:
    return [one for kind in kinds for one in CHECKS if type(one) is kind]


def _all_assertions() -> Iterator[tuple[str, Sequence[Check], Sequence[Check]]]:
    """Each by its name, with the checks that it asserts, and those of others that are claimed."""
    yield "assert_equivariant", _of(Equivariance), _of(Parity, Stabilizer)
    yield "assert_smooth", _of(StratumApproach, PathScan), _of(CutoffCrossing)
    for check in CHECKS:
        yield _named(check), [check], []


ASSERTIONS: dict[str, Assertion] = {
    name: _asserting(name, checks, also) for name, checks, also in _all_assertions()
}
# each is a name of this module, as a check needs nothing but its place among ``CHECKS``
globals().update(ASSERTIONS)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Assertion:
        """``assert_`` and the name of a check."""
