"""What the symmetry of a cloud says of its outputs and of its frames, by group theory."""

import pytest
import torch

from symmetrize import (
    HierarchicalFrames,
)
from tests.common.laws import (
    PRESETS,
    configured,
)
from tests.common.strata import (
    CASES,
    Shape,
    collate,
)


def test_enantiomers_have_opposite_pseudoscalars_and_mirror_images_none() -> None:
    model = configured("structure", "O(3)", outputs="0e+0o")
    left, right = (Shape(name, 5, 0, turn=1).points() for name in ("left helix", "right helix"))
    achiral = [CASES[n].points() for n in ("plane", "prism", "pyramid", "tetrahedron", "pair")]
    found = model(collate([left, right, *achiral]))
    assert found[0, 1].abs() > 0.01
    torch.testing.assert_close(found[0], found[1] * found.new_tensor([1, -1]), atol=1e-13, rtol=0)
    assert found[2:, 1].abs().max() <= 1e-13


# The largest irreps of even parity that the point group of each solid allows, by group theory:
# a cubic group fixes no vector and no tensor of rank two, and one component for l = 4.
@pytest.mark.parametrize("name", ["cube", "octahedron", "tetrahedron", "fcc shell"])
def test_cubic_clouds_have_cubic_outputs(name: str) -> None:
    model = configured("structure", "O(3)", outputs="0e+1o+1e+2e+3e+4e")
    found = model(collate([Shape(name).points()]))[0]
    assert found[0].abs() > 0.01
    assert found[1:19].abs().max() <= 1e-13  # 1o, 1e, 2e, 3e
    assert found[19:].norm() > 1e-3
    # m = 0 and m = 4 of Y_4 along the axes, in the ratio (5/7)^(1/2)
    found = found[19:].abs().sort().values
    torch.testing.assert_close(found[-2] / found[-1], torch.tensor((5 / 7) ** 0.5).double())
    assert found[:-2].max() <= 1e-13


@pytest.mark.parametrize(
    ("stratum", "order"),
    [
        ("tetrahedron", 12),
        ("cube", 24),
        ("octahedron", 24),
        ("icosahedron", 60),
        ("dodecahedron", 60),
    ],
)
@pytest.mark.parametrize("preset", PRESETS)
def test_frames_of_a_solid_come_in_multiples_of_its_rotations(
    stratum: str, order: int, preset: str
) -> None:
    points = Shape(stratum, turn=1).points()
    for group, factor in (("SO(3)", 1), ("O(3)", 2)):
        number = len(HierarchicalFrames(preset=preset)(points, group=group))
        # every solid has mirror planes, so that under O(3) each frame needs its image
        assert number % (factor * order) == 0
        assert number >= factor * order
