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
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from equivariance_tests.certification import check_of
from equivariance_tests.certification.options import OF_SUBJECTS, refuse_unknown
from equivariance_tests.clouds import Cloud
from equivariance_tests.clouds.cloud import Given
from equivariance_tests.clouds.given import as_cloud
from equivariance_tests.measure.yardstick import UNRELATED
from equivariance_tests.model.first_call import refusal, unanswered
from equivariance_tests.model.subject import Subject
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
    check: str,
    model: Any,
    cloud: Cloud | Data | Tensor,
    contract: Contract | None = None,
    *,
    fresh: bool = False,
    **how: Any,
) -> None:
    """Assert the check of this name.

    Raises:
        Failure: if the law does not hold, or the model has no finite answer.
        ValueError: if the contract does not claim the law, or there is no such check.

    >>> from equivariance_tests.clouds import Cloud
    >>> def energy(positions):
    ...     return (positions - positions.mean(0)).square().sum().sqrt().sin()[None]
    >>> assert_law("parity", energy, Cloud("pyramid"), Contract("0e"))
    """
    __tracebackhide__ = True
    _assert((check,), model, cloud, contract, fresh, how)


def _asserting(*checks: str, also: tuple[str, ...] = ()) -> Assertion:
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

    laws = "; ".join(check_of(one).law for one in (*checks, *also))
    assertion.__doc__ = f"Assert, on one cloud: {laws}. Arguments as in ``Assertion``."
    return assertion


def _assert(
    checks: tuple[str, ...],
    model: Any,
    cloud: Cloud | Data | Tensor,
    contract: Contract | None,
    fresh: bool,
    how: Mapping[str, Any],
    also: tuple[str, ...] = (),
) -> None:
    __tracebackhide__ = True
    how = {**_species_of(cloud), **how}
    failure = _first_failure(subject_of(model, contract, fresh, how), checks, cloud, also)
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
    subject: Subject, checks: tuple[str, ...], given: Cloud | Data | Tensor, also: tuple[str, ...]
) -> Failure | None:
    cloud = as_cloud(given, subject.setting)
    own = cloud.given if isinstance(cloud, Given) else None
    own_cell = own is not None and own.cell is not None and not subject.contract.periodic
    if own is not None and (own.kept is not None or own_cell):
        subject = subject.fresh()
        subject.around = own
        subject.__dict__.pop("yardstick", None)
    unasked = len(subject.yardstick.undefined) == UNRELATED and checks != ("finiteness",)
    if unasked and subject.answered([cloud])[0]:
        # errors without a unit would all pass
        raise ValueError(
            "the model answers this structure, but none of the plain clouds that tell how much its "
            f"outputs vary: {refusal(subject) or unanswered(subject)}"
        )
    laws = [check_of(name) for name in checks]
    for law in laws:
        reason = law.silent(subject)
        if reason:
            raise ValueError(f"there is nothing to assert about {law.name}: {reason}")
    laws += [law for law in map(check_of, also) if not law.silent(subject)]
    reason = subject.left_out(cloud)
    if reason and cloud is not given:
        raise ValueError(f"there is nothing to assert about this structure: {reason}")
    if reason:
        return None
    if not subject.answered([cloud])[0]:
        laws = [check_of("finiteness")]
    for law in laws:
        (outcome,) = law.outcomes(subject, [cloud])
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
    subject: Subject


_kept: deque[_Kept] = deque(maxlen=KEPT)


def subject_of(
    model: Any, contract: Contract | None, fresh: bool, how: Mapping[str, Any]
) -> Subject:
    """The model with its spread, which is measured once for the last few models.

    Raises:
        TypeError: if an option is not known.
    """
    refuse_unknown(how, OF_SUBJECTS, "options of assertions")
    state = state_of(model)
    for one in list(_kept):
        if one.model is model and one.contract == contract and one.how == how:
            if one.state == state and not fresh:
                return one.subject
            _kept.remove(one)
    subject = Subject(model, contract, **how)
    _kept.append(_Kept(model, contract, how, state, subject))
    return subject


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

assert_equivariant = _asserting("equivariance", also=("parity", "stabilizer"))
assert_smooth = _asserting("stratum approach", "path scan", also=("cutoff crossing",))

assert_finiteness = _asserting("finiteness")
assert_determinism = _asserting("determinism")
assert_batching = _asserting("batching")
assert_copies = _asserting("copies")
assert_dtype_and_device = _asserting("dtype and device")
assert_history = _asserting("history")
assert_vacuity = _asserting("vacuity")
assert_equivariance = _asserting("equivariance")
assert_parity = _asserting("parity")
assert_negative_control = _asserting("negative control")
assert_stabilizer = _asserting("stabilizer")
assert_lie_derivative = _asserting("Lie derivative")
assert_precision_ladder = _asserting("precision ladder")
assert_permutation = _asserting("permutation")
assert_translation = _asserting("translation")
assert_locality = _asserting("locality")
assert_size_extensivity = _asserting("size extensivity")
assert_gradients = _asserting("gradients")
assert_work_closure = _asserting("work closure")
assert_forces_and_stress = _asserting("forces and stress")
assert_work_of_forces = _asserting("work of forces")
assert_cutoff_crossing = _asserting("cutoff crossing")
assert_path_scan = _asserting("path scan")
assert_stratum_approach = _asserting("stratum approach")
