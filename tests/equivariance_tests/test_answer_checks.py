"""Checks of answers: each fails on a model with one fault, and on none of those without."""

import io
import math
from contextlib import redirect_stdout

import pytest
import torch
from hypothesis import Phase, settings
from hypothesis.stateful import RuleBasedStateMachine
from torch import Tensor, nn
from torch_geometric.data import Batch

from backbones import PET
from equivariance_tests.checks.base import Check, Outcome
from equivariance_tests.checks.batching import Batching, NotBatched
from equivariance_tests.checks.determinism import Determinism, NotDeterministic
from equivariance_tests.checks.finiteness import Finiteness
from equivariance_tests.checks.history import History
from equivariance_tests.checks.permutation import Permutation
from equivariance_tests.checks.placement import Placement, WrongDtype
from equivariance_tests.clouds import Cloud
from equivariance_tests.measure.trial import Trial
from equivariance_tests.measure.walk import history_machine
from equivariance_tests.report.failures import NonFinite, Raises, Stale
from symmetrize import Contract, Symmetrizer, per_point
from tests.common.networks import DeepSet

# Shapes are checked in other tests: here they would take most of the time
pytestmark = pytest.mark.usefixtures("unchecked_shapes")

# of which none takes long
CHECKS = (Finiteness(), Determinism(), Batching(), Placement())
DTYPES = (torch.float64, torch.float32)
REACH = 3.0
ENERGY = Contract("0e", cutoff=REACH, smoothness=2)


def judged(check: Check, trial: Trial) -> list[Outcome]:
    """The outcomes on all cases."""
    assert check.reason_to_skip(trial) == ""
    return check.outcomes(trial, check.cases(trial.contract))


def failures(check: Check, trial: Trial) -> list:
    return [one.failure for one in judged(check, trial) if one.failure is not None]


def pairs(data: Batch) -> tuple[Tensor, Tensor]:
    """Both ends of each pair of points of one structure."""
    first, second = (data.batch[:, None] == data.batch[None]).triu(1).nonzero().T
    return first, second


class PairSum(nn.Module):
    """(1 - r^2 / R^2)^3 within R, summed over pairs: a healthy model, from which mutants derive."""

    def squares(self, data: Batch, first: Tensor, second: Tensor) -> Tensor:
        return (data.pos[first] - data.pos[second]).square().sum(1)

    def listed(self, data: Batch) -> tuple[Tensor, Tensor]:
        return pairs(data)

    def of_pair(self, squares: Tensor) -> Tensor:
        return (1 - squares / REACH**2).clamp(min=0) ** 3

    def forward(self, data: Batch) -> Tensor:
        first, second = self.listed(data)
        terms = self.of_pair(self.squares(data, first, second))
        total = terms.new_zeros(data.num_graphs)
        return total.index_add(0, data.batch[first], terms)[:, None]


# --- healthy models


class LargeOffset(PairSum):
    """Every pair adds 1e5, which is the same for all clouds of so many points."""

    def of_pair(self, squares: Tensor) -> Tensor:
        return 1e5 + super().of_pair(squares)


class SteepStep(PairSum):
    def of_pair(self, squares: Tensor) -> Tensor:
        return torch.tanh(1e6 * (squares - 2.0))


def symmetrized() -> Symmetrizer:
    outputs = {"energy": "0e", "force": per_point("1o")}
    net = DeepSet({"energy": "0e", "force": "1o"}, per_point=("force",))
    return Symmetrizer(net, outputs)


def symmetrized_pet() -> Symmetrizer:
    torch.manual_seed(0)
    net = PET({"energy": "0e"}, species=[1, 8], cutoff=REACH, width=8, heads=1, layers=1, rounds=1)
    net.contract = Contract({"energy": "0e"}, group=None, cutoff=REACH)  # without crystals: fast
    return Symmetrizer(net)


def of_positions(positions: Tensor) -> Tensor:
    return torch.exp(-torch.pdist(positions).square()).sum().reshape(1)


HEALTHY = {
    "sum over pairs": lambda: (PairSum(), ENERGY),
    "large offset": lambda: (LargeOffset(), ENERGY),
    "step of width 1e-6": lambda: (SteepStep(), Contract("0e")),
    "symmetrized deep set": lambda: (symmetrized(), None),
    "function of positions": lambda: (of_positions, Contract("0e", smoothness=0)),
}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_models_pass(name, dtype):
    trial = Trial.of(*HEALTHY[name](), dtype=dtype)
    for check in CHECKS:
        outcomes = judged(check, trial)
        assert [one.failure for one in outcomes if one.failure] == []
        assert not any(one.skipped for one in outcomes)


def test_a_symmetrized_network_with_species_passes():
    trial = Trial.of(symmetrized_pet(), species=[1, 8])
    few = [Cloud("generic", 4, 1, decorated=True), Cloud("empty"), Cloud("coincident", 3)]
    for check in (Finiteness(), Determinism(), Batching(), Placement()):
        assert [one for one in check.outcomes(trial, few) if one.failure or one.skipped] == []


def test_rounding_of_a_large_offset_is_no_error_of_other_laws():
    outcomes = judged(Permutation(), Trial.of(LargeOffset(), ENERGY))
    # an ulp of 1e6 is 1e-10, which is far above the rounding of an answer of order one
    assert max(one.error for one in outcomes) > 1e-11
    assert not any(one.failure for one in outcomes)


# --- finiteness


class Unguarded(PairSum):
    """Divides by the distance, times the distance."""

    def of_pair(self, squares: Tensor) -> Tensor:
        return super().of_pair(squares) * (squares / squares)


class RootAtZero(PairSum):
    """Finite itself; its gradient is infinite times zero where points coincide."""

    def of_pair(self, squares: Tensor) -> Tensor:
        return torch.exp(-(squares.sqrt() ** 2))


class RefusesEmpty(PairSum):
    def forward(self, data: Batch) -> Tensor:
        if bool((torch.bincount(data.batch, minlength=data.num_graphs) == 0).any()):
            raise IndexError("no points\nand more lines")
        return super().forward(data)


class RefusesEmptyInBatches(PairSum):
    """Takes the number of structures from the largest index."""

    def forward(self, data: Batch) -> Tensor:
        found = super().forward(data)
        return found if len(data.pos) == 0 else found[: int(data.batch.max()) + 1]


class Overflows(PairSum):
    """Finite at the usual scale only."""

    def of_pair(self, squares: Tensor) -> Tensor:
        return super().of_pair(squares) + 0 * torch.exp(squares)


def test_answers_that_are_not_finite_are_found_at_coincident_points():
    (found, *_) = failures(Finiteness(), Trial.of(Unguarded(), ENERGY))
    assert isinstance(found, NonFinite)
    assert found.cloud.stratum == "coincident"
    assert "output has NaN" in str(found)


def test_gradients_that_are_not_finite_are_found_at_coincident_points():
    found = failures(Finiteness(), Trial.of(RootAtZero(), ENERGY))
    strata = {one.cloud.stratum for one in found}
    assert strata == {"coincident", "point and copy"}
    assert all(isinstance(one, NonFinite) and "gradient" in str(one) for one in found)


def test_gradients_are_not_asked_where_none_is_claimed():
    kinks = Contract("0e", cutoff=REACH, smoothness=0)
    assert failures(Finiteness(), Trial.of(RootAtZero(), kinks)) == []


def test_what_a_model_raises_is_quoted_with_the_cloud():
    found = failures(Finiteness(), Trial.of(RefusesEmpty(), ENERGY))
    assert {one.cloud.stratum for one in found} == {"empty"}
    assert isinstance(found[0], Raises)
    assert "raises IndexError: no points\n" in str(found[0])


def test_an_empty_structure_at_the_end_of_a_batch_counts():
    found = failures(Finiteness(), Trial.of(RefusesEmptyInBatches(), ENERGY))
    assert {one.cloud.stratum for one in found} == {"empty"}
    assert "in a batch with others" in str(found[0])


def test_large_clouds_are_tried():
    found = failures(Finiteness(), Trial.of(Overflows(), ENERGY))
    assert any(one.cloud.scale == 6 for one in found)


# --- determinism


class Noisy(PairSum):
    """Random by the generator that all share."""

    def of_pair(self, squares: Tensor) -> Tensor:
        return super().of_pair(squares) + 1e-9 * torch.randn(len(squares)).to(squares)


class FirstCall(PairSum):
    """Finds its mean when it is first called."""

    mean: Tensor | None = None

    def forward(self, data: Batch) -> Tensor:
        found = super().forward(data)
        if self.mean is None:
            self.mean = found.mean()
            return found
        return found - self.mean


def test_noise_is_random():
    found = failures(Determinism(), Trial.of(Noisy(), ENERGY))
    assert found
    assert {type(one) for one in found} == {NotDeterministic}


def test_what_only_the_first_call_changes_is_memory():
    found = failures(Determinism(), Trial.of(FirstCall(), ENERGY))
    assert {type(one) for one in found} == {Stale}


def test_other_checks_say_nothing_of_a_random_model():
    trial = Trial.of(Noisy(), ENERGY)
    assert all("random" in (check.reason_to_skip(trial) or "") for check in (Batching(), History()))


# --- batching


class BatchMean(PairSum):
    """Takes the mean over the batch off, as normalization does in training."""

    def forward(self, data: Batch) -> Tensor:
        found = super().forward(data)
        return found - 0.1 * found.mean()


class Position(PairSum):
    """Sees where in the batch a structure stands."""

    def forward(self, data: Batch) -> Tensor:
        found = super().forward(data)
        return found * (1 + 1e-6 * torch.arange(len(found)).to(found))[:, None]


class OneByOne(PairSum):
    """Cannot batch."""

    def forward(self, data: Batch) -> Tensor:
        if data.num_graphs > 1:
            raise ValueError("one structure at a time")
        return super().forward(data)


@pytest.mark.parametrize("mutant", [BatchMean, Position, OneByOne])
def test_structures_that_share_a_batch_are_found_to_matter(mutant):
    found = failures(Batching(), Trial.of(mutant(), ENERGY))
    assert found
    assert {type(one) for one in found} == {NotBatched}


def test_a_batch_is_forced_on_models_that_are_called_one_by_one():
    trial = Trial.of(OneByOne(), ENERGY).one_by_one()
    assert "one structure at a time" in str(failures(Batching(), trial)[0])


# --- dtype and device


class Single(PairSum):
    def forward(self, data: Batch) -> Tensor:
        return super().forward(data).float()


class Promoted(PairSum):
    """A constant of double precision, which is not a scalar."""

    def forward(self, data: Batch) -> Tensor:
        return super().forward(data) * torch.ones(1, dtype=torch.float64)


class EarlyReturn(PairSum):
    """Zeros in the default dtype, without any pairs."""

    def forward(self, data: Batch) -> Tensor:
        if len(pairs(data)[0]) == 0:
            return torch.zeros(data.num_graphs, 1)
        return super().forward(data)


@pytest.mark.parametrize(
    ("mutant", "given", "found"),
    [
        (Single, "float64", "float32"),
        (Promoted, "float32", "float64"),
        (EarlyReturn, "float64", "float32"),
    ],
)
def test_outputs_of_another_dtype_are_found(mutant, given, found):
    wrong = failures(Placement(), Trial.of(mutant(), ENERGY))
    assert {type(one) for one in wrong} == {WrongDtype}
    assert f"positions of {given} the output 'output' is {found}" in str(wrong[0])
    if mutant is EarlyReturn:
        assert {one.cloud.stratum for one in wrong} == {"atom", "empty"}


def test_a_precision_that_a_model_refuses_is_no_failure():
    weights = torch.ones(3, 1, dtype=torch.float64)
    outcomes = judged(
        Placement(), Trial.of(lambda positions: (positions @ weights).sum(0), Contract("0e"))
    )
    assert not any(one.failure for one in outcomes)
    assert all("does not take float32" in one.skipped for one in outcomes)


# --- history


class KeepsPairs(PairSum):
    """Makes its list of pairs anew only when the number of points changes."""

    margin = math.inf

    def __init__(self) -> None:
        super().__init__()
        self.known: tuple[Tensor, Tensor, Tensor] | None = None

    def listed(self, data: Batch) -> tuple[Tensor, Tensor]:
        if self.known is None or self.moved(data, self.known[0]):
            first, second = pairs(data)
            near = self.squares(data, first, second) < REACH**2
            self.known = data.pos.detach().clone(), first[near], second[near]
        return self.known[1:]

    def moved(self, data: Batch, positions: Tensor) -> bool:
        if len(positions) != len(data.pos):
            return True
        return bool(((data.pos - positions).norm(dim=1) > self.margin).any())

    def of_pair(self, squares: Tensor) -> Tensor:
        # what was listed for another batch may be a pair of no structure here: no error
        return super().of_pair(squares)


class KeepsPairsTooLong(KeepsPairs):
    """Makes its list anew only when a point has moved by half, without a margin of that size."""

    margin = 0.5


class KeepsPairsJustLongEnough(KeepsPairs):
    """Makes its list anew whenever a point moved."""

    margin = 0.0


def closure_that_keeps_pairs():
    """A plain function with a memory, which cannot be copied."""
    known: dict = {}

    def function(positions: Tensor) -> Tensor:
        apart = torch.cdist(positions, positions)
        if known.get("size") != len(positions):
            known.update(size=len(positions), near=apart < 1.5)
        return (torch.exp(-apart) * known["near"]).sum().reshape(1)

    return function


def used(model: PairSum) -> PairSum:
    """A model that has been asked before; what it kept must not hide that it keeps it."""
    first = Trial.of(PairSum(), ENERGY)
    model(first.subject.batch(first.structures([Cloud("generic", 5, 8)])))
    return model


def test_stale_neighbor_lists_are_found_in_few_steps():
    said = io.StringIO()
    with redirect_stdout(said):
        (found,) = failures(History(), Trial.of(used(KeepsPairsTooLong()), ENERGY))
    assert isinstance(found, Stale)
    # one question, and at most two changes
    assert len(found.details["steps"].split("; ")) <= 3
    assert said.getvalue() == ""


@pytest.mark.parametrize("name", ["sum over pairs", "large offset", "function of positions"])
def test_models_without_a_memory_pass(name):
    assert failures(History(), Trial.of(*HEALTHY[name]())) == []


def test_a_list_that_is_made_anew_in_time_is_not_stale():
    assert failures(History(), Trial.of(KeepsPairsJustLongEnough(), ENERGY)) == []


def test_plain_functions_with_a_memory_are_found():
    contract = Contract("0e", smoothness=None)
    (found,) = failures(History(), Trial.of(closure_that_keeps_pairs(), contract))
    assert isinstance(found, Stale)


TestHistory = history_machine(PairSum(), ENERGY).TestCase


def test_the_machine_fails_where_the_model_remembers():
    machine = history_machine(used(KeepsPairs()), ENERGY, species=[1])
    assert issubclass(machine, RuleBasedStateMachine)
    # shrinking is left out, as it takes seconds
    machine.TestCase.settings = settings(machine.TestCase.settings, phases=[Phase.generate])
    with pytest.raises(Stale, match="asked something else"):
        machine.TestCase().runTest()


def test_a_machine_needs_a_start_that_the_model_has_an_answer_to():
    machine = history_machine(RefusesEmpty(), ENERGY, start=Cloud("empty"))
    with pytest.raises(ValueError, match="has no answer to"):
        machine.TestCase().runTest()
