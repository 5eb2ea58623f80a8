"""All frames and all backbones, certified at what they declare: group, order, reach, additivity.

Nothing is said of them here: what they claim is in their own contracts. The few failures that they
are known to have are named, and must be there.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from torch import nn

from backbones import (
    DGCNN,
    PET,
    ClassicDGCNN,
    ClassicPointNet,
    ClassicPointNetPlusPlus,
    ClassicPointTransformer,
    PointNet,
    PointNetPlusPlus,
    PointTransformer,
)
from equivariance_tests import CHECKS, Profile, certify
from equivariance_tests.mutants.averaged import DeepSet
from equivariance_tests.mutants.pairs import CUTOFF, PairNetwork
from symmetrize import (
    FrameAveraging,
    Frames,
    HierarchicalFrames,
    PairFrames,
    QuadratureFrames,
    RandomFrames,
    Symmetrizer,
)
from tests.common.healthy import OUTPUTS, PET_OF_POINTS, POINTWISE, SMALL, SPECIES, WHOLE, seeded

# Shapes are checked in other tests: here they would take most of the time
pytestmark = pytest.mark.usefixtures("unchecked_shapes")
# Clouds that take a minute on all of these; the slow tests take more
WHOLE_PROJECT = Profile(
    "project", clouds=20, slow_clouds=0, slow_cases=1, case_points=6, shrinking=0, rattled=13
)
# Of those with many frames some, others for each check, until all strata were tried
PROJECT = replace(WHOLE_PROJECT, evaluations=3)
GROUPS = ("O(3)", "SO(3)")
LEAN = HierarchicalFrames(length_scale=1.0, preset="lean")
COLLINEAR = {"finiteness": "pairs of collinear points have no frame, and there is no other model"}
FARTHEST = {"permutation": "the first of the farthest points is the first point"}
# frames, and known failures
FRAMES: dict[str, tuple[Frames, dict[str, str]]] = {
    "smooth": (WHOLE, {}),
    "lean": (LEAN, {}),
    "pairs": (PairFrames(CUTOFF, auxiliary=PairNetwork()), {}),
    "pairs without another model": (PairFrames(CUTOFF), COLLINEAR),
    "quadrature": (QuadratureFrames(5), {}),
    "random": (RandomFrames(5), {}),
}
BACKBONES: dict[str, tuple[Callable[[], nn.Module], dict[str, str]]] = {
    "PointNet": (lambda: PointNet(OUTPUTS, width=8, species=1), {}),
    "PointNet++": (lambda: PointNetPlusPlus(OUTPUTS, species=1, **SMALL), {}),
    "DGCNN": (lambda: DGCNN(OUTPUTS, species=1, **SMALL), {}),
    "point transformer": (lambda: PointTransformer(OUTPUTS, species=1, **SMALL), {}),
    "PET": (lambda: PET(POINTWISE, **PET_OF_POINTS), {}),
    "classic PointNet": (lambda: ClassicPointNet(OUTPUTS), {}),
    "classic PointNet++": (lambda: ClassicPointNetPlusPlus(OUTPUTS), FARTHEST),
    "classic DGCNN": (lambda: ClassicDGCNN(OUTPUTS), {}),
    "classic point transformer": (lambda: ClassicPointTransformer(OUTPUTS), FARTHEST),
}


def symmetrized(frames: str, group: str) -> Symmetrizer:
    return Symmetrizer(DeepSet(), frames=FRAMES[frames][0], group=group)


def environments(group: str) -> Symmetrizer:
    net = seeded(lambda: PointNet(OUTPUTS, width=8, species=1))
    frames = HierarchicalFrames(cutoff=CUTOFF, preset="lean" if group == "SO(3)" else "smooth")
    return Symmetrizer(net, scope="center", reduce="sum", frames=frames, group=group)


def backbone(name: str) -> tuple[nn.Module, dict[str, Any]]:
    return seeded(BACKBONES[name][0]), {"species": SPECIES} if name == "PET" else {}


def hold(model: nn.Module, profile: Profile | str = PROJECT, **how: Any) -> None:
    """Certify a model, whose contract is its own."""
    if profile in (
        PROJECT,
        WHOLE_PROJECT,
    ):  # half of the time is spent on what none of these remembers
        names = [check.name for check in CHECKS if check.name != "history"]
        how = {"checks": names, **how}
    report = certify(model, profile=profile, progress=False, **how)
    assert report.passed, str(report)


# each family with one of the groups; with the other one in the slow tests
@pytest.mark.parametrize(("name", "group"), [*zip(FRAMES, GROUPS * len(FRAMES), strict=False)])
def test_frames(name: str, group: str) -> None:
    hold(symmetrized(name, group), known=FRAMES[name][1])


# with rotations alone here; those of O(3) are among the healthy models of test_mutants
@pytest.mark.parametrize("group", ["SO(3)", pytest.param("O(3)", marks=pytest.mark.slow)])
def test_frames_of_environments(group: str) -> None:
    hold(environments(group))


@pytest.mark.parametrize("name", BACKBONES)
def test_backbones(name: str) -> None:
    model, how = backbone(name)
    hold(model, known=BACKBONES[name][1], **how)


def test_frame_averaging_claims_neither_group_nor_order() -> None:
    model = Symmetrizer(DeepSet(), frames=FrameAveraging())
    assert model.contract.group is None
    assert model.contract.smoothness is None
    # axes of nearly collinear points are rounding, and with them the order of points
    others = [check.name for check in CHECKS if check.name not in ("permutation", "history")]
    hold(model, checks=others)


def test_wrappers_remember_nothing() -> None:
    hold(environments("SO(3)"), checks=["history"])


@pytest.mark.slow
def test_wrappers_of_structures_remember_nothing() -> None:
    hold(symmetrized("lean", "SO(3)"), checks=["history"])


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("name", FRAMES)
def test_frames_with_either_group(name: str, group: str) -> None:
    hold(symmetrized(name, group), WHOLE_PROJECT, known=FRAMES[name][1])


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("name", ["smooth", "lean", "pairs"])
def test_frames_on_more_clouds(name: str, group: str) -> None:
    hold(symmetrized(name, group), "fast")


@pytest.mark.slow
@pytest.mark.parametrize("name", BACKBONES)
def test_backbones_on_more_clouds(name: str) -> None:
    model, how = backbone(name)
    hold(model, "fast", known=BACKBONES[name][1], **how)
