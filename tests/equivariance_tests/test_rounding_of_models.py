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
from equivariance_tests.checks.extensivity import Extensivity
from equivariance_tests.checks.gradients import Gradients
from equivariance_tests.checks.law import Law
from equivariance_tests.checks.lie import LieDerivative
from equivariance_tests.checks.permutation import Permutation
from equivariance_tests.checks.precision import PrecisionLadder
from equivariance_tests.checks.translation import Translation
from equivariance_tests.clouds import Cloud
from equivariance_tests.clouds.strata import NEAR
from equivariance_tests.measure import rounding
from equivariance_tests.measure.trial import Trial
from equivariance_tests.mutants import MUTANTS
from equivariance_tests.mutants.pairs import PairNetwork, summed
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


class Stairs:
    """Outputs beside a large number that is taken away again, as energies of whole atoms are.

    Last digits of coordinates do not show in them: they rise in stairs.
    """

    contract = Contract({"energy": "0e", "vector": "1o"}, cutoff=3.0)

    def __init__(self, large: float, wrong: float = 0.0) -> None:
        self.network, self.large, self.wrong = PairNetwork(), large, wrong

    def __call__(self, data: Batch) -> dict[str, Tensor]:
        found = self.network.to(data.pos)(data)
        found["vector"] = found["vector"] + self.wrong * found["vector"].abs()
        return {name: (one + self.large) - self.large for name, one in found.items()}


FINE = (*LAWS, Gradients(), PrecisionLadder(), Extensivity())


@pytest.mark.parametrize("law", FINE, ids=lambda law: law.name)
def test_a_large_number_that_is_taken_away_is_no_fault(law: Check) -> None:
    trial = Trial.of(Stairs(1e4))
    clouds = law.cases(trial.contract)[:20]
    assert failures(law, trial, clouds) == []
    if law.name in ("equivariance", "parity", "Lie derivative", "precision ladder"):
        assert failures(law, Trial.of(Stairs(1e4, wrong=1e-7)), clouds)


def test_stairs_are_seen_on_long_enough_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above holds for the reason that is given."""
    trial = Trial.of(Stairs(1e4))
    monkeypatch.setattr(rounding, "STRIDES", (4.0,))
    assert failures(Equivariance(), trial, Equivariance().cases(trial.contract)[:20])


def test_a_number_of_single_precision_is_a_fault() -> None:
    """Stairs as high as those of single precision are those of a network with eight digits."""
    trial = Trial.of(Stairs(1e8))
    assert failures(Equivariance(), trial, Equivariance().cases(trial.contract)[:20])


def determinant(data: Batch) -> Tensor:
    """The determinant of the inertia from sums of powers, which cancel where points are in line."""
    number = torch.bincount(data.batch, minlength=data.num_graphs).clamp(min=1)[:, None]
    arrows = data.pos - (summed(data.pos, data.batch, data.num_graphs) / number)[data.batch]
    products = (arrows[:, :, None] * arrows[:, None]).reshape(-1, 9)
    inertia = summed(products, data.batch, data.num_graphs).reshape(-1, 3, 3)
    one, two, three = (
        torch.linalg.matrix_power(inertia, k).diagonal(dim1=1, dim2=2).sum(1) for k in (1, 2, 3)
    )
    return ((one**3 - 3 * one * two + 2 * three) / 6)[:, None]


@pytest.mark.parametrize("unit", [1.0, 30.0, 1e3])
def test_slopes_where_sums_of_powers_cancel(unit: float) -> None:
    trial = Trial.of(determinant, Contract("0e"), unit=unit)
    assert failures(Gradients(), trial, Gradients().cases(trial.contract)) == []


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
