"""What is rounded inside a model is measured where its large terms cancel, and excuses no more."""

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch

from equivariance_tests.checks.base import Check
from equivariance_tests.checks.derivative_law import DerivativeLaw
from equivariance_tests.checks.equivariance import Equivariance, Parity
from equivariance_tests.checks.law import Law
from equivariance_tests.checks.lie import LieDerivative
from equivariance_tests.checks.permutation import Permutation
from equivariance_tests.checks.translation import Translation
from equivariance_tests.clouds import Cloud
from equivariance_tests.clouds.strata import NEAR
from equivariance_tests.measure.trial import Trial
from equivariance_tests.mutants import MUTANTS
from equivariance_tests.mutants.pairs import summed
from equivariance_tests.report.failures import Failure
from symmetrize import Contract
from tests.common.healthy import of_cubic_moments

# Shapes are checked in other tests: here they would take most of the time
pytestmark = pytest.mark.usefixtures("unchecked_shapes")

LAWS: tuple[Check, ...] = (
    *(Equivariance(), Parity(), Permutation(), Translation(), LieDerivative()),
)
STRATA = ("generic", "plane", "left helix", "line", *(f"line off by 1e-{k}" for k in NEAR))
# A thousand units wide, some of them far away, too
WIDE = [
    Cloud(name, number, seed, (3, -1, 2, 5), scale=3, offset=offset)
    for name in STRATA
    for number, seed, offset in ((4, 1, 0), (6, 2, 0), (6, 1, 3))
]
DTYPES = (torch.float64, torch.float32)


def failures(law: Check, trial: Trial, clouds: Sequence[Cloud] = WIDE) -> list[Failure]:
    outcomes = law.outcomes(trial, clouds)
    assert any(not one.skipped for one in outcomes)
    return [one.failure for one in outcomes if one.failure is not None]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_large_terms_that_cancel_are_no_fault(law: Check, dtype: torch.dtype) -> None:
    assert failures(law, Trial.of(of_cubic_moments, Contract("0o"), dtype=dtype)) == []


def test_generic_clouds_alone_do_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above holds for the reason that is given."""
    none = lambda self, trial, structures, errors: torch.zeros_like(errors)  # noqa: E731
    monkeypatch.setattr(Law, "own_rounding", none)
    assert failures(Parity(), Trial.of(of_cubic_moments, Contract("0o")))


class Leaking:
    """The pseudoscalar, and a scalar of a small part of what its terms are."""

    def __init__(self, part: float) -> None:
        self.part = part

    def __call__(self, data: Batch) -> Tensor:
        number = torch.bincount(data.batch, minlength=data.num_graphs).clamp(min=1)[:, None]
        arrows = data.pos - (summed(data.pos, data.batch, data.num_graphs) / number)[data.batch]
        squares = arrows.square().sum(-1, keepdim=True)
        size = summed(squares, data.batch, data.num_graphs)
        return of_cubic_moments(data) + self.part * size.square() / (1 + size).sqrt()


@pytest.mark.parametrize("part", [1e-3, 1e-6, 1e-9])
def test_a_small_part_of_large_terms_is_a_fault(part: float) -> None:
    found = failures(Parity(), Trial.of(Leaking(part), Contract("0o")))
    assert len(found) > len(WIDE) / 2


@pytest.mark.parametrize(
    "name", ["principal axes with signs", "frame averaging", "single-precision constant"]
)
def test_what_jumps_at_a_cloud_is_not_excused_there(name: str) -> None:
    """Last digits decide between axes, and everything depends on them: that is no rounding."""
    mutant = MUTANTS[name]
    laws = [one for one in LAWS if one.name in mutant.fails and not isinstance(one, DerivativeLaw)]
    clouds = [Cloud(s, 5, 1, (3, -1, 2, 5)) for s in ("cube", "pyramid of equal inertia", "prism")]
    trial = mutant.trial()
    found = [
        (one.error, one.bound)
        for law in (*laws, Equivariance())
        for one in law.outcomes(trial, [*clouds, Cloud("generic", 5, 1)])
        if one.failure is not None
    ]
    assert found
    assert all(error > 10 * bound and bound < math.inf for error, bound in found)
