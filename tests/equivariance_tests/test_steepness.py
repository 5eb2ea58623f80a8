"""What frames add to a gradient is what it is by hand; the first default frames add too much."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch

from equivariance_tests.checks.finiteness import Finiteness
from equivariance_tests.checks.paths import PathScan
from equivariance_tests.checks.steepness import STEEPEST, Steep, Steepness
from equivariance_tests.clouds import Cloud
from equivariance_tests.clouds.turns import GENERIC_ORIENTATION
from equivariance_tests.measure.trial import Trial
from equivariance_tests.mutants import MUTANTS, DeepSet, PairNetwork
from equivariance_tests.report.failures import Raises
from symmetrize import Ensemble, Frames, HierarchicalFrames, QuadratureFrames, Symmetrizer
from symmetrize.frames import Vectors, assemble
from symmetrize.groups import Group, random_rotations

# Shapes are checked in other tests: here they would take most of the time
pytestmark = pytest.mark.usefixtures("unchecked_shapes")

CUBE = Cloud("cube", 5, 1, GENERIC_ORIENTATION, rattled=0.3)
TWO = random_rotations(2, torch.Generator().manual_seed(4))


def share(vectors: Tensor, rate: float) -> Tensor:
    """Weight of the first of two frames: changes with the mean square of the cloud."""
    return 0.5 + 0.4 * torch.sin(rate * vectors.square().sum(1).mean())


class TwoFrames(Frames):
    """Two rotations, the same for all clouds, with weights that are not."""

    is_exact = False

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def smoothness(self, degree: int) -> float:
        return torch.inf

    def of_clouds(self, cloud: Vectors, group: Group, degree: int) -> Ensemble:
        each = [share(cloud.vectors[cloud.index == k], self.rate) for k in range(cloud.size)]
        first = torch.stack(each)
        owner = torch.arange(cloud.size)
        return assemble(
            TWO.repeat(cloud.size, 1, 1),
            torch.stack([first, 1 - first], 1).flatten(),
            owner.repeat_interleave(2),
            cloud.size,
        )


def energies() -> DeepSet:
    return DeepSet({"energy": "0e"})


def symmetrized(frames: Frames, net: Callable = energies) -> Trial:
    return Trial.of(Symmetrizer(net(), frames=frames))


@pytest.mark.parametrize("rate", [0.1, 1.0, 1000.0])
def test_what_is_added_is_what_it_is_by_hand(rate: float) -> None:
    trial = symmetrized(TwoFrames(rate))
    (outcome,) = Steepness().outcomes(trial, [CUBE])
    (structure,) = trial.structures([CUBE])
    x = (structure.positions - structure.positions.mean(0)).requires_grad_()
    (slope,) = torch.autograd.grad(share(x, rate), x)
    # centered, as positions are measured from their mean
    slope = slope - slope.mean(0)
    net = energies().double()

    def energy(rotation: Tensor) -> Tensor:
        turned = x.detach() @ rotation
        batch = torch.zeros(len(turned), dtype=torch.long)
        return net(Batch(pos=turned, batch=batch, _num_graphs=1))["energy"].detach()[0, 0]

    first, second = (energy(rotation) for rotation in TWO)
    added = (first - second).abs() * slope.norm(dim=1).max()
    rotations = random_rotations(2000, torch.Generator().manual_seed(5))
    spread = torch.stack([energy(rotation) for rotation in rotations]).std()
    # a standard deviation of 32 values is known to an eighth, twice of which is common
    assert outcome.error == pytest.approx(float(added / spread), rel=0.3)
    assert (outcome.failure is not None) == (outcome.error > STEEPEST) == (rate == 1000.0)


def test_a_failure_says_which_output_is_steep() -> None:
    model = Symmetrizer(DeepSet(), frames=TwoFrames(1000.0))
    (outcome,) = Steepness().outcomes(Trial.of(model), [CUBE])
    assert isinstance(outcome.failure, Steep)
    assert outcome.failure.details["output"] in ("energy", "vector")
    assert "no more than 30 is expected" in outcome.failure.said


def test_an_output_of_a_smaller_spread_is_no_less_steep() -> None:
    """Each is measured in its own."""
    small = DeepSet()
    with torch.no_grad():
        small.outer[:, 0] *= 1e-3
    (outcome,) = Steepness().outcomes(symmetrized(TwoFrames(1000.0), lambda: small), [CUBE])
    (alone,) = Steepness().outcomes(symmetrized(TwoFrames(1000.0)), [CUBE])
    assert outcome.error >= 0.9 * alone.error > STEEPEST


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        pytest.param(PairNetwork, "only a Symmetrizer", id="equivariant-by-itself"),
        pytest.param(
            lambda: Symmetrizer(
                DeepSet(), scope="center", frames=HierarchicalFrames(cutoff=3.0), reduce="sum"
            ),
            "only a Symmetrizer of whole structures",
            id="centers",
        ),
        pytest.param(
            lambda: Symmetrizer(DeepSet(), frames=QuadratureFrames(3)), "the same", id="fixed"
        ),
    ],
)
def test_there_is_nothing_to_say_without_frames_that_follow(make: Callable, reason: str) -> None:
    assert reason in Steepness().reason_to_skip(Trial.of(make()))
    assert Steepness().reason_to_skip(symmetrized(TwoFrames(1.0))) == ""


def test_nothing_is_said_of_a_network_that_does_not_change_as_a_cloud_turns() -> None:
    model = Symmetrizer(PairNetwork(), frames=TwoFrames(1000.0))
    (outcome,) = Steepness().outcomes(Trial.of(model), [CUBE])
    assert "does not change as this cloud turns" in outcome.skipped


def test_other_clouds_are_left_out() -> None:
    trial = symmetrized(TwoFrames(1000.0))
    clouds = [Cloud("generic", 5), Cloud("cube", scale=3), Cloud("line")]
    assert all(one.skipped for one in Steepness().outcomes(trial, clouds))


# --- the first default frames


@pytest.mark.parametrize(
    ("stratum", "frames"), [("C60", "2880"), ("shell of 50", "1872"), ("fcc cell", "1280")]
)
def test_mutant_single_points_and_bonds_take_too_many_frames(stratum: str, frames: str) -> None:
    name = "frames along single bonds" if stratum == "fcc cell" else "frames along single points"
    cloud = Cloud(stratum, 5, 1, GENERIC_ORIENTATION, rattled=1e-6)
    (outcome,) = Finiteness().outcomes(MUTANTS[name].trial(), [cloud])
    assert isinstance(outcome.failure, Raises)
    assert f"needs {frames} frames" in outcome.failure.said


def test_mutant_local_vectors_change_as_fast_as_they_are_short() -> None:
    trial = MUTANTS["frames along single bonds"].trial()
    added = {}
    for distance in (1e-3, 1e-2, 0.05):
        cloud = Cloud("diamond cell", 5, 1, GENERIC_ORIENTATION, rattled=distance)
        (outcome,) = Steepness().outcomes(trial, [cloud])
        assert isinstance(outcome.failure, Steep)
        added[distance] = outcome.error
    # a factor of 10 but for weights, which change as well
    assert 5 < added[1e-3] / added[1e-2] < 20
    assert added[1e-3] > 50 * STEEPEST


def test_a_model_that_raises_next_to_a_cloud_is_told_so() -> None:
    """It is not a check that could not run."""
    trial = MUTANTS["frames along single bonds"].trial()
    cloud = Cloud("fcc cell", 5, 1, GENERIC_ORIENTATION)
    assert trial.answered([cloud]) == [True]
    (outcome,) = PathScan().outcomes(trial, [cloud])
    assert isinstance(outcome.failure, Raises)
    assert "but not on this cloud as it is" in outcome.failure.said
