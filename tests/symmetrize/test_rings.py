"""Regular rings of many points: each turn that maps them to themselves needs a frame of its own."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

import symmetrize.frames.hierarchical.structures as of_structures
from symmetrize import HierarchicalFrames, Symmetrizer
from symmetrize.groups import random_elements
from tests.common.laws import PRESETS
from tests.common.strata import turn

# Shapes are checked in other tests: here they would take most of the time
pytestmark = pytest.mark.usefixtures("unchecked_shapes")

OUTPUTS = "0e+1o"


def ring(number: int, start: float = 0.0, height: float = 0.0) -> Tensor:
    angle = 2 * math.pi * (torch.arange(number, dtype=torch.float64) + start) / number
    return torch.stack([angle.cos(), angle.sin(), height + 0 * angle], dim=-1)


SHAPES: dict[str, Callable[[int], Tensor]] = {
    "ring": ring,
    "prism": lambda n: torch.cat([ring(n, height=0.4), ring(n, height=-0.4)]),
    "antiprism": lambda n: torch.cat([ring(n, height=0.4), ring(n, 0.5, -0.4)]),
    "pyramid": lambda n: torch.cat([ring(n), torch.tensor([[0.0, 0, 0.9]]).double()]),
    "rings that differ": lambda n: torch.cat([ring(n, height=0.3), 0.7 * ring(n, 0.2, -0.5)]),
}
NUMBERS = (9, 10, 12, 17, 24, 33, 64)
# All over the unit sphere
DRAWN = torch.Generator().manual_seed(5)
PLACES = torch.nn.functional.normalize(torch.randn(50, 3, dtype=torch.float64, generator=DRAWN))
WEIGHTS = torch.randn(50, 4, dtype=torch.float64, generator=DRAWN)


def sharp(data: Data) -> Tensor:
    """A network that tells a ring of 64 points from a circle: it looks at some places closely."""
    away = torch.cdist(data.pos, PLACES).square()
    seen = (-200 * away).exp() @ WEIGHTS
    return seen.new_zeros(data.num_graphs, 4).index_add(0, data.batch, seen)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def batch_of(clouds: list[Tensor]) -> Batch:
    return Batch.from_data_list([Data(pos=cloud) for cloud in clouds])


def error(model: Symmetrizer, points: Tensor) -> float:
    """The largest |F(gA) - rho(g) F(A)| in units of the spread over rotations."""
    matrices = random_elements(4, model.group, generator())
    clouds = [points, *(points @ matrix.T for matrix in matrices)]
    here, *there = model(batch_of(clouds))
    turned = [points @ matrix.T for matrix in random_elements(30, "O(3)", generator())]
    bare = sharp(batch_of(turned)).std(0).max()
    worst = 0.0
    for matrix, values in zip(matrices, there, strict=True):
        expected = torch.cat([here[:1], matrix @ here[1:]])
        worst = max(worst, float((values - expected).abs().max() / bare))
    return worst


@pytest.mark.parametrize("shape", SHAPES)
def test_rings_of_any_number_are_exact(shape: str) -> None:
    for number in NUMBERS:
        points = SHAPES[shape](number)
        for group in ("O(3)", "SO(2)", "O(2)"):
            model = Symmetrizer(sharp, OUTPUTS, group=group)
            placed = points @ turn(1).T if group == "O(3)" else points
            assert error(model, placed) <= 1e-12, (number, group)


@pytest.mark.parametrize("preset", PRESETS)
def test_as_many_frames_as_the_ring_has_turns(preset: str) -> None:
    frames = HierarchicalFrames(preset=preset)
    upright = Symmetrizer(sharp, OUTPUTS, frames=frames, group="SO(2)")
    in_space = Symmetrizer(sharp, OUTPUTS, frames=frames, group="SO(3)")
    for number in NUMBERS:
        for shape in ("ring", "prism", "pyramid"):
            cloud = Data(pos=SHAPES[shape](number))
            assert int(upright.evaluations(cloud)) == number, (shape, number)
        assert int(in_space.evaluations(Data(pos=ring(number)))) == 2 * number


def test_rattled_rings_are_exact() -> None:
    model = Symmetrizer(sharp, OUTPUTS)
    source = generator()
    for number in (10, 17, 24):
        for distance in (1e-12, 1e-8, 1e-4, 1e-2):
            points = ring(number) @ turn(1).T
            moved = torch.randn(points.shape, dtype=torch.float64, generator=source)
            assert error(model, points + distance * moved) <= 1e-12, (number, distance)


def test_densities_alone_do_not_tell_rings_from_circles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        of_structures.StructureChoice,
        "_waves_of_points",
        lambda self, circle, owner, number: of_structures.waves_of_density(
            circle, self._density(8, owner), of_structures.LATITUDE, number
        ),
    )
    assert error(Symmetrizer(sharp, OUTPUTS), ring(12) @ turn(1).T) > 1e-6
