"""Checks of first derivatives: each fails on a wrong one, and on no right one, however steep."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch

from equivariance_tests.checks.derivative_law import DerivativeLaw
from equivariance_tests.checks.gradients import Gradients, WrongGradient
from equivariance_tests.checks.lie import LieDerivative, NotStationary, generator
from equivariance_tests.checks.work import WorkClosure, WorkNotClosed
from equivariance_tests.clouds import Cloud
from equivariance_tests.measure.differences import Differences
from equivariance_tests.measure.trial import Trial
from symmetrize import Contract, Symmetrizer, per_point
from symmetrize.representation import as_representation
from tests.common.networks import DeepSet
from tests.common.strata import wigner

# Shapes are checked in other tests: here they would take most of the time
pytestmark = pytest.mark.usefixtures("unchecked_shapes")

LAWS = (Gradients(), LieDerivative(), WorkClosure())
DTYPES = (torch.float64, torch.float32)
OUTPUTS = {"energy": "0e", "vector": "1o"}


def judged(law: DerivativeLaw, trial: Trial) -> list:
    assert law.reason_to_skip(trial) == ""
    return law.outcomes(trial, law.cases(trial.contract))


def failures(law: DerivativeLaw, trial: Trial) -> list:
    return [one.failure for one in judged(law, trial) if one.failure is not None]


class PairSum(nn.Module):
    """Sums over pairs of a function of r^2 and, for a vector, of r^2 times r times a charge.

    A healthy model, from which mutants derive. The charge of a point is the sum over its pairs.
    """

    def __init__(self, contract: Contract | None = None) -> None:
        super().__init__()
        self.contract = Contract(OUTPUTS) if contract is None else contract

    def of_pair(self, squares: Tensor) -> Tensor:
        return torch.exp(-squares / 4)

    def weights(self, squares: Tensor) -> Tensor:
        return self.of_pair(squares)

    def vectors(self, data: Batch, first: Tensor, second: Tensor) -> Tensor:
        return data.pos[second] - data.pos[first]

    def forward(self, data: Batch) -> dict[str, Tensor]:
        first, second = (data.batch[:, None] == data.batch[None]).fill_diagonal_(False).nonzero().T
        r = self.vectors(data, first, second)
        terms = self.weights(r.square().sum(1))
        charges = terms.new_zeros(len(data.pos)).index_add(0, first, terms)
        arrows = terms[:, None] * r * charges[second][:, None]
        owner, size = data.batch[first], data.num_graphs
        return {
            "energy": terms.new_zeros(size).index_add(
                0, owner, terms * self.of_pair(charges[first])
            ),
            "vector": r.new_zeros(size, 3).index_add(0, owner, arrows),
        }


# --- healthy models


class SteepStep(PairSum):
    def of_pair(self, squares: Tensor) -> Tensor:
        return torch.tanh(1e6 * (squares - 2.0))


class LargeOffset(PairSum):
    def forward(self, data: Batch) -> dict[str, Tensor]:
        found = super().forward(data)
        return {**found, "energy": found["energy"] + 1e6}


class InField(PairSum):
    """Adds E x r, of an input: derivatives with respect to inputs count."""

    def __init__(self, detached: bool = False) -> None:
        super().__init__(Contract(OUTPUTS, inputs={"field": "1o", "strain": "ij=ji"}))
        self.detached = detached

    def forward(self, data: Batch) -> dict[str, Tensor]:
        found = super().forward(data)
        field = data.field.detach() if self.detached else data.field
        moved = torch.einsum("sij,sj->si", data.strain.reshape(-1, 3, 3), found["vector"])
        energy = found["energy"] + (field.reshape(-1, 3) * moved).sum(1)
        return {"energy": energy, "vector": moved}


class InCell(PairSum):
    """Sums over images in neighboring cells."""

    def __init__(self, detached: bool = False) -> None:
        super().__init__(Contract(OUTPUTS, periodic=True, cutoff=3.0))
        self.detached = detached

    def vectors(self, data: Batch, first: Tensor, second: Tensor) -> Tensor:
        cell = data.cell.detach() if self.detached else data.cell
        # one image of each will do for an equivariant model
        return super().vectors(data, first, second) + cell.sum(1)[data.batch[first]]


class Kinked(PairSum):
    def __init__(self) -> None:
        super().__init__(Contract(OUTPUTS, smoothness=0))

    def of_pair(self, squares: Tensor) -> Tensor:
        return (4.0 - squares).relu()


def symmetrized() -> Symmetrizer:
    outputs = {"energy": "0e", "force": per_point("1o"), "alpha": "ij=ji", "octupole": "3o"}
    net = DeepSet(
        {"energy": "0e", "force": "1o", "alpha": "ij=ji", "octupole": "3o"}, per_point=("force",)
    )
    net.contract = Contract(outputs, group=None)
    return Symmetrizer(net)


HEALTHY = {
    "sum over pairs": PairSum,
    "step of width 1e-6": SteepStep,
    "large offset": LargeOffset,
    "symmetrized deep set": symmetrized,
}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", HEALTHY)
def test_right_derivatives_pass(name, dtype):
    for law in LAWS:
        trial = Trial.of(HEALTHY[name](), dtype=dtype)
        assert failures(law, trial) == []


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_most_clouds_have_their_say(law):
    for name in ("sum over pairs", "symmetrized deep set"):
        outcomes = judged(law, Trial.of(HEALTHY[name]()))
        assert sum(bool(one.skipped) for one in outcomes) <= len(outcomes) / 20


def test_kinks_that_are_declared_pass():
    trial = Trial.of(Kinked())
    assert failures(Gradients(), trial) == []
    assert failures(WorkClosure(), trial) == []
    assert LieDerivative().reason_to_skip(trial) == "no continuous derivative is claimed"
    (outcome,) = Gradients().outcomes(trial, [Cloud("line")])
    assert outcome.skipped == "a kink may lie on this stratum"


# --- wrong gradients


class DetachedWeights(PairSum):
    """The values of the healthy model; the weights of pairs do not count in the gradient."""

    def weights(self, squares: Tensor) -> Tensor:
        return super().weights(squares).detach() * torch.exp(0 * squares)


class FaintlyDetached(PairSum):
    """A millionth of the weights does not count in the gradient."""

    def weights(self, squares: Tensor) -> Tensor:
        found = super().weights(squares)
        return found - 1e-6 * (found - found.detach())


class DetachedWithKinks(DetachedWeights):
    def __init__(self) -> None:
        super().__init__(Contract(OUTPUTS, smoothness=0))

    def of_pair(self, squares: Tensor) -> Tensor:
        return (4.0 - squares).relu()


@pytest.mark.parametrize("mutant", [DetachedWeights, FaintlyDetached, DetachedWithKinks])
def test_detached_weights_are_found_by_differences(mutant):
    found = failures(Gradients(), Trial.of(mutant()))
    assert found
    assert {type(one) for one in found} == {WrongGradient}


@pytest.mark.parametrize("mutant", [DetachedWeights, DetachedWithKinks])
def test_detached_weights_are_found_by_their_work(mutant):
    outcomes = judged(WorkClosure(), Trial.of(mutant()))
    assert {type(one.failure) for one in outcomes if one.failure} == {WorkNotClosed}
    # a single point has no pairs
    assert sum(one.failure is not None for one in outcomes) >= len(outcomes) / 2


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("law", [Gradients(), WorkClosure()], ids=lambda law: law.name)
def test_detached_weights_are_found_in_either_precision(law, dtype):
    assert failures(law, Trial.of(DetachedWeights(), dtype=dtype))


def test_the_displacement_is_told_in_numbers_that_can_be_read():
    failure = failures(Gradients(), Trial.of(DetachedWeights()))[0]
    numbers = torch.tensor(failure.details["along"])
    assert bool((numbers * 64 == (numbers * 64).round()).all())


class Steps(PairSum):
    """A staircase: no slope anywhere, and yet it rises."""

    def of_pair(self, squares: Tensor) -> Tensor:
        exact = super().of_pair(squares)
        return exact - (exact - (1e4 * exact).round() / 1e4).detach() - (exact - exact.detach())


def test_a_staircase_does_work_without_a_slope():
    assert failures(WorkClosure(), Trial.of(Steps()))


# --- no gradients


class Detached(PairSum):
    def forward(self, data: Batch) -> dict[str, Tensor]:
        return {name: values.detach() for name, values in super().forward(data).items()}


class Noisy(PairSum):
    def of_pair(self, squares: Tensor) -> Tensor:
        return super().of_pair(squares) + 1e-6 * torch.randn(squares.shape).to(squares)


class RefusesTwo(PairSum):
    def forward(self, data: Batch) -> dict[str, Tensor]:
        if bool((torch.bincount(data.batch) == 2).any()):
            raise ValueError("two points")
        return super().forward(data)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_nothing_is_said_without_gradients(law):
    assert "no gradients" in law.reason_to_skip(Trial.of(Detached()))
    assert "no continuity" in law.reason_to_skip(
        Trial.of(PairSum(Contract(OUTPUTS, smoothness=None)))
    )
    assert "random" in law.reason_to_skip(Trial.of(Noisy()))


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_what_has_no_answer_is_skipped(law):
    outcomes = law.outcomes(Trial.of(RefusesTwo()), [Cloud("pair"), Cloud("generic")])
    assert [one.skipped for one in outcomes] == ["the model has no answer", ""]


# --- Lie derivatives


class Upward(PairSum):
    """Sees which way is up."""

    def forward(self, data: Batch) -> dict[str, Tensor]:
        found = super().forward(data)
        return {**found, "vector": found["vector"] * (1 + 1e-6 * found["energy"][:, None] * UP)}


UP = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)


def test_what_sees_which_way_is_up_does_not_turn():
    found = failures(LieDerivative(), Trial.of(Upward()))
    assert {type(one) for one in found} == {NotStationary}
    # it may turn about z
    assert {one.details["axis"] for one in found} == {"x", "y"}


def test_no_group_no_claim():
    trial = Trial.of(PairSum(Contract(OUTPUTS, group=None)))
    assert LieDerivative().reason_to_skip(trial) == "no group is claimed"


@pytest.mark.parametrize("model", [InField, InCell])
def test_inputs_and_cells_turn_too(model):
    clouds = [Cloud("generic", 4, 1), Cloud("generic", 4, 1, decorated=True)]
    clouds += [Cloud("crystal", 3, 1)] if model is InCell else []
    of_structures = ["field", "strain"] if model is InField else []
    trial = Trial.of(model(), of_structures=of_structures)
    outcomes = LieDerivative().outcomes(trial, clouds)
    assert not any(one.failure or one.skipped for one in outcomes)
    # those that nothing but positions turns are judged even if inputs or cells are detached
    trial = Trial.of(model(detached=True), of_structures=of_structures)
    outcomes = LieDerivative().outcomes(trial, clouds)
    assert not any(one.failure for one in outcomes)
    assert "no gradient with respect to" in outcomes[-1].skipped
    assert outcomes[0].skipped == ""


@pytest.mark.parametrize("spec", ["0e", "0o", "1o", "1e+2e", "4o", "ij=ji", "ij=-ji", "ijk"])
def test_generators_of_representations(spec):
    """D(exp(t X)) = exp(t d rho(X)), and brackets are those of rotations."""
    representation = as_representation(spec)
    found = [generator(representation, axis) for axis in range(3)]
    skew = [generator(as_representation("1o"), axis) for axis in range(3)]
    angle = 0.7
    for axis in range(3):
        turned = representation.matrices(torch.matrix_exp(angle * skew[axis])[None])[0]
        torch.testing.assert_close(torch.matrix_exp(angle * found[axis]), turned)
    bracket = found[0] @ found[1] - found[1] @ found[0]
    torch.testing.assert_close(bracket, found[2])


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_generators_are_those_of_spherical_harmonics(degree):
    skew, angle = generator(as_representation("1o"), 0), 1e-4
    turned = wigner(degree, torch.matrix_exp(angle * skew))
    found = (turned - torch.eye(2 * degree + 1).double()) / angle
    # differences: l^2 / 2 times the angle
    ours = generator(as_representation(f"{degree}e"), 0)
    torch.testing.assert_close(found, ours, rtol=0, atol=degree**2 * angle)


# --- differences


def differences(function, steps: int = 9) -> Differences:
    t = 4.0 ** -torch.arange(1.0, 1 + steps, dtype=torch.float64)[:, None]
    here = function(torch.zeros(1, dtype=torch.float64))
    digits = 2.0**-52 * here.abs().clamp(min=1)
    return Differences(here, function(t), function(-t), t, digits)


FUNCTIONS = {
    "sine": (torch.sin, 1.0),
    "steep": (lambda t: torch.tanh(1e3 * t), 1e3),
    "linear": (lambda t: 3 * t, 3.0),
    "constant": (torch.ones_like, 0.0),
    "large offset": (lambda t: 1e6 + torch.sin(t), 1.0),
    "step aside": (lambda t: t + torch.tanh(1e6 * (t - 0.1)), 1.0),
    "steps aside": (lambda t: 16 * torch.sign(t - 0.2) + 4 * torch.sign(t - 0.05), 0.0),
    "once differentiable": (lambda t: t + t.abs() ** 1.5, 1.0),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_slope_is_as_well_known_as_it_says(name):
    function, exact = FUNCTIONS[name]
    slope, known = differences(function).slope()
    assert abs(float(slope) - exact) <= float(known)
    assert float(known) < 1e-4 * max(1.0, abs(exact))


def test_a_slope_that_is_not_resolved_is_known_to_be():
    _, known = differences(lambda t: torch.tanh(1e9 * t)).slope()
    assert float(known) > 1.0


def test_a_kink_is_seen_from_both_sides():
    assert float(differences(lambda t: t + 0.5 * t.abs()).kink()) == pytest.approx(1.0)
    assert float(differences(torch.sin).kink()) == 0.0
    assert math.isclose(float(differences(torch.cos).kink()), 0.0, abs_tol=1e-5)
