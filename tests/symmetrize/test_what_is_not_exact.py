"""What must fail the tests of exactness: approximate frames, and wrong representations."""

import pytest
import torch
from torch import Tensor

from symmetrize import (
    FrameAveraging,
    Frames,
    HierarchicalFrames,
    QuadratureFrames,
    RandomFrames,
    Symmetrizer,
)
from tests.common.laws import (
    OUTPUTS,
    configured,
    elements,
    law_error,
    spreads,
)
from tests.common.networks import DeepSet
from tests.common.strata import (
    CASES,
    TURNS,
)


def error_of(
    frames: Frames | None, rows: list[Tensor], dtype: torch.dtype = torch.float64
) -> float:
    """Error of a generic rotation and a generic improper one; of the bare network for None."""
    net = DeepSet(OUTPUTS)
    model = net if frames is None else Symmetrizer(net, OUTPUTS, frames=frames)
    matrices = elements("O(3)", TURNS["generic"], TURNS["improper"])
    return law_error(model, OUTPUTS, spreads(net, OUTPUTS), rows, matrices, dtype)


@pytest.mark.parametrize(
    "frames",
    [None, QuadratureFrames(5), RandomFrames(50)],
    ids=["bare network", "QuadratureFrames", "RandomFrames"],
)
def test_what_is_approximate_fails(frames: Frames | None) -> None:
    rows = [CASES["generic"].points()]
    assert error_of(frames, rows) > 0.01
    # the ladder of precision: an error of the method is the same in both, one of rounding is not
    coarse, fine = error_of(frames, rows, torch.float32), error_of(frames, rows)
    assert 0.9 < coarse / fine < 1.1


def test_what_is_exact_climbs_the_ladder_of_precision() -> None:
    rows = [CASES["generic"].points()]
    coarse = error_of(HierarchicalFrames(), rows, torch.float32)
    assert coarse / max(error_of(HierarchicalFrames(), rows), 1e-18) > 1e6


def test_frame_averaging_is_exact_but_for_equal_moments() -> None:
    assert error_of(FrameAveraging(), [CASES["generic"].points()]) <= 1e-12
    for name in ("pyramid", "pyramid of equal inertia", "cube", "symmetric top"):
        assert error_of(FrameAveraging(), [CASES[name].points()]) > 1e-3
        assert error_of(HierarchicalFrames(), [CASES[name].points()]) <= 1e-12


WRONG = {
    "parity of a vector": ("1o", "1e"),
    "parity of a tensor": ("2e", "2o"),
    "parity of a scalar": ("0e", "0o"),
    "three scalars for a vector": ("3x0e", "1o"),
    "a vector for three scalars": ("1o", "3x0e"),
}


@pytest.mark.parametrize(("declared", "tested"), WRONG.values(), ids=WRONG)
def test_the_wrong_representation_fails(declared: str, tested: str) -> None:
    model = configured("structure", "O(3)", outputs=declared)
    matrices = elements("O(3)", TURNS["generic"], TURNS["improper"])
    rows = [CASES["generic"].points()]
    right = spreads(model, {"output": declared})
    assert law_error(model, {"output": declared}, right, rows, matrices) <= 1e-12
    wrong = spreads(model, {"output": tested})
    assert law_error(model, {"output": tested}, wrong, rows, matrices) > 0.1


def test_rotations_alone_do_not_give_inversion() -> None:
    names = {"output": "0e+1o"}
    model = configured("structure", "SO(3)", outputs="0e+1o")
    spread, rows = spreads(model, names), [CASES["right helix"].points()]
    assert law_error(model, names, spread, rows, [TURNS["generic"].matrix()]) <= 1e-12
    assert law_error(model, names, spread, rows, [TURNS["inversion"].matrix()]) > 0.01
