"""A symmetrized network is smooth to third order, along paths through what is degenerate."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch

from symmetrize import FrameAveraging, Frames, HierarchicalFrames, Symmetrizer
from tests.common import mutants
from tests.common.laws import GROUPS, PRESETS
from tests.common.networks import DeepSet
from tests.common.paths import PATHS, REST, SMOOTH, Path, moving_last, scan_of
from tests.common.strata import (
    CUTOFF,
)

# Shapes are checked in other tests: here they would take most of the time
pytestmark = pytest.mark.usefixtures("unchecked_shapes")


SPEC = "0e+0o+1o+1e+2e"


CASES_OF_PATHS = [
    pytest.param(name, scope, id=f"{name}-{scope}")
    for name, path in PATHS.items()
    for scope in path.scopes
]


def symmetrized(
    scope: str,
    group: str,
    frames: Frames | str,
    fade: str | float = CUTOFF,
    length_scale: float | None = None,
    **options: Any,
) -> Symmetrizer:
    """A smooth network without symmetry; of environments, it sees points fade at the cutoff."""
    if isinstance(frames, str):
        cutoff = CUTOFF if scope == "center" else None
        frames = HierarchicalFrames(cutoff, preset=frames, length_scale=length_scale)
    net = DeepSet(SPEC, fade=fade if scope == "center" else None, hidden=8)
    return Symmetrizer(net, SPEC, frames=frames, scope=scope, group=group, **options)


def assert_smooth(path: Path, scope: str, group: str, preset: str, **options: Any) -> None:
    model = symmetrized(scope, group, preset, length_scale=path.length_scale, **options)
    found = scan_of(path, model)
    # something changes on the path, to all orders
    assert found.maxima[-1].min() > 0.1
    assert found.growth.max() < SMOOTH
    assert found.growth.min() > 1 / SMOOTH


@pytest.mark.parametrize(("preset", "group"), [("smooth", "O(3)"), ("lean", "SO(3)")])
@pytest.mark.parametrize(("name", "scope"), CASES_OF_PATHS)
def test_hierarchical_frames_are_smooth(name: str, scope: str, preset: str, group: str) -> None:
    assert_smooth(PATHS[name], scope, group, preset)


# Presets select directions, groups decide on mirror images: neither knows of the other, but where a
# hand is about to change
HANDS = [case for case in CASES_OF_PATHS if case.values[0] == "a hand becomes the other"]
OTHERS = [
    pytest.param(*case.values, id=case.id, marks=pytest.mark.deep)
    for case in CASES_OF_PATHS
    if case not in HANDS
]


@pytest.mark.parametrize(("preset", "group"), [("smooth", "SO(3)"), ("lean", "O(3)")])
@pytest.mark.parametrize(("name", "scope"), HANDS + OTHERS)
def test_the_other_pairs_of_preset_and_group_are_smooth(
    name: str, scope: str, preset: str, group: str
) -> None:
    assert_smooth(PATHS[name], scope, group, preset)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(
    "name",
    [
        "a dimer dissociates",
        "a dimer passes within the cutoff",
        "a cloud and an atom part",
        "a pair and an atom part",
        "an atom grazes the cutoff",
    ],
)
def test_a_network_that_weights_points_by_their_envelope_is_smooth(name: str, preset: str) -> None:
    assert_smooth(PATHS[name], "center", "O(3)", preset, fade="envelope")


# --- what must fail the same scan


MUTANTS: dict[str, tuple[str, str, Callable[[], Frames | str], Callable[[], Any]]] = {
    "principal axes": (
        "equal moments of a pyramid",
        "structure",
        FrameAveraging,
        nullcontext,
    ),
    "nearest neighbors of a center": (
        "nearest neighbors swap",
        "center",
        lambda: mutants.NearestFrames(CUTOFF),
        nullcontext,
    ),
    "points nearest to the centroid": (
        "nearest neighbors swap",
        "structure",
        mutants.NearestFrames,
        nullcontext,
    ),
    "the best axis": (
        "nearest neighbors swap",
        "center",
        lambda: "smooth",
        mutants.with_the_best_axis_only,
    ),
    "the first axis of a cloud": (
        "an atom passes through the centroid",
        "structure",
        lambda: "lean",
        mutants.with_the_first_axis_only,
    ),
    "no turns about a line": (
        "bent through straight",
        "structure",
        lambda: "smooth",
        mutants.without_turns_about_lines,
    ),
    "no turns about the line of an environment": (
        "bent through straight",
        "center",
        lambda: "lean",
        mutants.without_turns_about_lines,
    ),
    "no isotropic part": (
        "a dimer dissociates",
        "center",
        lambda: "smooth",
        mutants.without_isotropic_part,
    ),
    "a network without a cutoff": (
        "a cloud and an atom part",
        "center",
        lambda: "smooth",
        nullcontext,
    ),
}


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("name", MUTANTS)
def test_what_jumps_is_found(name: str, group: str) -> None:
    path, scope, frames, mutation = MUTANTS[name]
    fade = None if name == "a network without a cutoff" else CUTOFF
    with mutation():
        found = scan_of(PATHS[path], symmetrized(scope, group, frames(), fade))
    torch.testing.assert_close(
        found.growth, torch.tensor([2.0, 4.0, 8.0]).double(), rtol=0.05, atol=0
    )


@pytest.mark.parametrize(
    ("path", "scope"),
    [
        ("a dimer dissociates", "center"),
        ("bent through straight", "structure"),
        ("bent through straight", "center"),
    ],
)
def test_a_kink_is_found(path: str, scope: str) -> None:
    with mutants.with_a_linear_ramp():
        first, second, third = scan_of(PATHS[path], symmetrized(scope, "O(3)", "smooth")).growth
    # F is continuous; differences of second order double, but for where the kink lies
    assert first < 1.1
    assert second > 1.5
    assert third > 3.0


def test_without_a_length_a_cloud_of_any_size_has_its_frames() -> None:
    # the limit of treating every scale alike: a dimer shrinks to a point, and flips, in one place
    path = Path(*moving_last(REST, (0, 0, 0), (0.6, 0, 0.8)), -0.1, 0.1)
    jump = scan_of(path, symmetrized("structure", "O(3)", "smooth"))
    torch.testing.assert_close(
        jump.growth, torch.tensor([2.0, 4.0, 8.0]).double(), rtol=0.05, atol=0
    )
    assert (
        scan_of(path, symmetrized("structure", "O(3)", "smooth", length_scale=1.0)).growth.max()
        < SMOOTH
    )
