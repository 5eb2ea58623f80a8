"""Stratum approach, path scan and cutoff crossing: they find what breaks, of which order, where.

Functions of pair distances, each with one fault whose place, order and size are known.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from equivariance_tests import PROFILES
from equivariance_tests.checks.approach import StratumApproach
from equivariance_tests.checks.crossing import CutoffCrossing
from equivariance_tests.checks.paths import PathScan
from equivariance_tests.clouds import Cloud
from equivariance_tests.measure.trial import Trial
from equivariance_tests.mutants import MUTANTS
from equivariance_tests.report.failures import CurvatureBreak, Failure, Jump, Kink
from symmetrize import Contract, FrameAveraging, HierarchicalFrames, Symmetrizer, cutoff_switch
from tests.common.networks import DeepSet

# Shapes are checked in other tests: here they would take most of the time
pytestmark = pytest.mark.usefixtures("unchecked_shapes")

CUTOFF = 3.0
GENERIC = Cloud("generic", 5, 1, (3, -1, 2, 5))


def of_pairs(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """A sum over pairs of a function of the squared distance, of the positions of many clouds."""

    def energy(positions: Tensor) -> Tensor:
        first, second = torch.triu_indices(positions.size(1), positions.size(1), 1)
        squared = (positions[:, first] - positions[:, second]).square().sum(-1)
        return torch.sin(function(squared).sum(1, keepdim=True))

    return energy


def trial_of(
    function: Callable[[Tensor], Tensor], smoothness: float | None = math.inf, cutoff: bool = True
) -> Trial:
    contract = Contract("0e", smoothness=smoothness, cutoff=CUTOFF if cutoff else None)
    return Trial.of(of_pairs(function), contract, call="b n c -> b o")


def failures(check: type[PathScan], trial: Trial) -> dict[Cloud, Failure]:
    """What a check finds on its own cases."""
    one = check()
    assert one.reason_to_skip(trial) == ""
    found = one.outcomes(trial, one.cases(trial.contract))
    assert not all(outcome.skipped for outcome in found)
    return {outcome.cloud: outcome.failure for outcome in found if outcome.failure}


def smooth(squared: Tensor) -> Tensor:
    distance = torch.where(squared > 0, squared, 1.0).sqrt()
    fade = torch.where(squared > 0, cutoff_switch(distance, CUTOFF, CUTOFF / 2), 1.0)
    return torch.exp(-squared / 4) * fade


def distance(squared: Tensor) -> Tensor:
    return torch.where(squared > 0, torch.where(squared > 0, squared, 1.0).sqrt(), 0.0)


@pytest.mark.parametrize("check", [StratumApproach, PathScan, CutoffCrossing])
@pytest.mark.parametrize(
    "function",
    [
        pytest.param(smooth, id="smooth"),
        pytest.param(lambda s: smooth(s) + 1e4, id="large-numbers-inside"),
        pytest.param(lambda s: 1e-9 * smooth(s), id="tiny-outputs"),
        pytest.param(
            lambda s: smooth(s) * (1 + 0.1 * torch.tanh((s - 1.9) * 1e6)), id="steep-tanh"
        ),
    ],
)
def test_what_is_smooth_raises_no_alarm(check: type[PathScan], function) -> None:
    assert failures(check, trial_of(function)) == {}


# name: function of the squared distance, order at which it breaks at the cutoff
AT_THE_CUTOFF = {
    "hard cutoff": (lambda s: torch.where(s < CUTOFF**2, torch.exp(-s / 4), 0.0), 0, Jump),
    "linear": (lambda s: (CUTOFF - distance(s)).clamp(min=0), 1, Kink),
    "cosine": (
        lambda s: torch.where(
            s < CUTOFF**2, 0.5 * torch.cos(torch.pi * distance(s) / CUTOFF) + 0.5, 0.0
        ),
        2,
        CurvatureBreak,
    ),
}


@pytest.mark.parametrize("name", AT_THE_CUTOFF)
def test_a_cutoff_is_as_smooth_as_it_is(name: str) -> None:
    function, order, kind = AT_THE_CUTOFF[name]
    found = failures(CutoffCrossing, trial_of(function))
    assert found
    for cloud, failure in found.items():
        assert type(failure) is kind
        assert failure.details["order"] == order
        if cloud == Cloud("last neighbor at the cutoff", 4, 0, (3, -1, 2, 5)):
            assert abs(failure.details["place"]) < 1e-3
    # declared honestly it passes
    honest = trial_of(function, smoothness=order - 1 if order else None)
    if order:
        assert failures(CutoffCrossing, honest) == {}
    else:
        assert CutoffCrossing().reason_to_skip(honest)


def test_a_path_scan_finds_what_is_at_no_stratum() -> None:
    found = failures(PathScan, trial_of(lambda s: smooth(s) + 1e-6 * (s > 1.9)))
    assert {type(failure) for failure in found.values()} == {Jump}
    found = failures(PathScan, trial_of(lambda s: smooth(s) + 1e-3 * (s - 1.9).abs()))
    assert {type(failure) for failure in found.values()} == {Kink}
    # of the second derivative, seen as a kink of the gradient
    found = failures(PathScan, trial_of(lambda s: smooth(s) + 0.1 * (s - 1.9).clamp(min=0) ** 2))
    assert {type(failure) for failure in found.values()} == {CurvatureBreak}
    assert GENERIC in found


def test_the_place_of_a_break_is_on_the_path_that_is_printed() -> None:
    trial = trial_of(lambda s: smooth(s) + 1e-3 * (s > 1.9))
    check = PathScan()
    (outcome,) = check.outcomes(trial, [GENERIC])
    assert outcome.failure is not None
    path = check.path(trial, GENERIC)
    assert path is not None
    place = outcome.failure.details["place"]
    t = place + torch.tensor([-1e-7, 1e-7], dtype=torch.float64)
    before, after = of_pairs(lambda s: smooth(s) + 1e-3 * (s > 1.9))(path.at(t))
    assert outcome.error > 1e-4
    size = float((after - before).abs() / trial.scales["output"])
    assert outcome.error == pytest.approx(size, rel=1e-2)


def test_a_kink_at_coincident_points_has_no_limit_of_the_gradient() -> None:
    found = failures(StratumApproach, trial_of(lambda s: torch.exp(-distance(s))))
    strata = {cloud.stratum: type(failure) for cloud, failure in found.items()}
    assert strata["point and copy"] is Kink
    assert set(strata) == {"point and copy", "coincident"}
    assert failures(StratumApproach, trial_of(lambda s: torch.exp(-distance(s)), 0)) == {}


def test_an_unguarded_root_has_no_finite_gradient_there() -> None:
    """At the stratum itself this is the matter of finiteness; close to it the gradient is fine."""
    trial = trial_of(lambda s: torch.exp(-(s**1.25)))
    assert all(f.details["order"] == 2 for f in failures(StratumApproach, trial).values())


@pytest.mark.parametrize("group", ["O(3)", "SO(3)"])
def test_frame_averaging_has_no_limit_where_moments_are_equal(group) -> None:
    net = DeepSet("0e+1o")
    model = Symmetrizer(net, "0e+1o", frames=FrameAveraging(), group=group)
    trial = Trial.of(model, Contract("0e+1o", group=group))
    (outcome,) = StratumApproach().outcomes(trial, [Cloud("pyramid", turn=(3, -1, 2, 5))])
    assert type(outcome.failure) is Jump
    assert abs(outcome.failure.details["exponent"]) < 0.02
    frames = HierarchicalFrames(length_scale=1.0)
    trial = Trial.of(Symmetrizer(net, "0e+1o", frames=frames), Contract("0e+1o"))
    clouds = [Cloud(name, turn=(3, -1, 2, 5)) for name in ("pyramid", "coincident", "line")]
    for outcome in StratumApproach().outcomes(trial, clouds):
        assert outcome.failure is None, outcome.failure


def test_fewer_derivatives_are_followed_where_each_place_takes_a_call() -> None:
    """In the quick profile, and what breaks in the second one is seen in the first."""
    trial = MUTANTS["cosine cutoff declared C2"].trial()
    law, cloud = CutoffCrossing(), Cloud("last neighbor at the cutoff", 4, 0, (3, -1, 2, 5))
    alone = trial.one_by_one()
    quick = replace(alone, highest_alone=PROFILES["fast"].highest_alone)
    assert [law.highest(one, cloud) for one in (trial, alone, quick)] == [2, 2, 1]
    for profile in ("ci", "deep"):
        assert PROFILES[profile].highest_alone == 2
    clouds = law.cases(quick.contract)
    assert any(one.failure is not None for one in law.outcomes(quick, clouds))
