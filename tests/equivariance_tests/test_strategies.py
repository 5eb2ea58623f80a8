"""Strategies find what Gaussian clouds do not within 200 examples, and shrink it to few points."""

from collections.abc import Callable
from itertools import product

import pytest
import torch
from hypothesis import HealthCheck, find, given, settings
from hypothesis.errors import NoSuchExample
from torch import Tensor

from equivariance_tests import Cloud, Contract, assert_law, batches, clouds
from equivariance_tests.clouds import Setting
from equivariance_tests.report.failures import Failure

# Shapes are checked in other tests: here they would take most of the time
pytestmark = pytest.mark.usefixtures("unchecked_shapes")

EXAMPLES, MOST_POINTS = 200, 5
STRATEGIES = {
    "clouds": clouds(max_points=12),
    "scaled clouds": clouds(max_points=12, scaled=True),
    "decorated clouds": clouds(max_points=12, decorated=True),
    "batches": batches(),
}
SEARCH = settings(
    max_examples=EXAMPLES,
    database=None,
    derandomize=True,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
CLAIMS = Contract({"energy": "0e"}, smoothness=2)
SIGNS = torch.tensor(list(product((1.0, -1.0), repeat=3)), dtype=torch.float64)
WEIGHTS = torch.tensor([[0.5, -0.4, 1.1], [0.9, 0.7, -0.3], [-0.6, 0.8, 0.2]], dtype=torch.float64)


def unconstrained(points: Tensor) -> Tensor:
    """(..., n, 3) to (...): smooth, and of no symmetry."""
    return (torch.tanh(points @ WEIGHTS).sum(-2).cumsum(-1) + 0.3).sin().sum(-1)


def principal_axes(points: Tensor) -> tuple[Tensor, Tensor]:
    centered = points - points.mean(0)
    return centered, torch.linalg.eigh(centered.T @ centered).eigenvectors


def principal_axes_with_signs(positions: Tensor) -> Tensor:
    """Axes point to where the third moment is positive."""
    centered, axes = principal_axes(positions)
    signs = torch.where((centered @ axes).pow(3).sum(0) < 0, -1.0, 1.0)
    return unconstrained(centered @ (axes * signs))[None]


def frame_averaging(positions: Tensor) -> Tensor:
    """The mean over all signs of the axes: exact where the moments differ."""
    centered, axes = principal_axes(positions)
    return unconstrained(centered @ (axes * SIGNS[:, None])).mean(0, keepdim=True)


def nearest_neighbors(positions: Tensor) -> Tensor:
    """Of three neighbors of each point, whichever come first."""
    distances = torch.cdist(positions, positions).fill_diagonal_(torch.inf)
    nearest = distances.argsort(stable=True)[:, : min(3, len(positions) - 1)]
    arrows = positions[nearest] - positions[:, None]
    return arrows.sum(1).square().sum(-1).sin().sum()[None]


def healthy(positions: Tensor) -> Tensor:
    """All pairs."""
    return torch.exp(-torch.pdist(positions).square()).sum()[None]


# and a law that each breaks
FAULTS = {
    principal_axes_with_signs: "equivariance",
    frame_averaging: "equivariance",
    nearest_neighbors: "permutation",
}


def breaks(model: Callable[[Tensor], Tensor], law: str) -> Callable[[Cloud | list[Cloud]], bool]:
    """Whether a model breaks a law, on a cloud or on any of a batch."""

    def answered(positions: Tensor) -> Tensor:
        return model(positions) if len(positions) > 1 else positions.new_zeros(1)

    def broken(drawn: Cloud | list[Cloud]) -> bool:
        try:
            for cloud in drawn if isinstance(drawn, list) else [drawn]:
                assert_law(law, answered, cloud, CLAIMS)
        except Failure:
            return True
        return False

    return broken


# Clouds find every fault, every other strategy one of them; the other pairs are for the deep tests
ONE_OF = {
    "scaled clouds": frame_averaging,
    "decorated clouds": principal_axes_with_signs,
    "batches": nearest_neighbors,
}
PAIRS = [
    pytest.param(
        fault,
        strategy,
        id=f"{fault.__name__}-{strategy}",
        marks=() if ONE_OF.get(strategy, fault) is fault else pytest.mark.deep,
    )
    for fault, strategy in product(FAULTS, STRATEGIES)
]


@pytest.mark.parametrize(("fault", "strategy"), PAIRS)
def test_a_fault_is_found_and_shrunk(fault: Callable[..., Tensor], strategy: str) -> None:
    found = find(STRATEGIES[strategy], breaks(fault, FAULTS[fault]), settings=SEARCH)
    drawn = found if isinstance(found, list) else [found]
    assert sum(len(Setting().structure(cloud)) for cloud in drawn) <= MOST_POINTS


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_nothing_is_found_where_nothing_is_wrong(strategy: str) -> None:
    for law in sorted(set(FAULTS.values())):
        with pytest.raises(NoSuchExample):
            find(
                STRATEGIES[strategy],
                breaks(healthy, law),
                settings=settings(SEARCH, max_examples=30),
            )


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_gaussian_clouds_find_none_of_them(fault: Callable[..., Tensor]) -> None:
    """What makes the strata necessary: the usual test passes all of these models."""
    broken = breaks(fault, FAULTS[fault])
    for seed in range(30):
        generator = torch.Generator().manual_seed(seed)
        positions = torch.randn(6, 3, dtype=torch.float64, generator=generator)
        assert not broken(positions)


@settings(SEARCH, max_examples=50)
@given(clouds(min_points=2, max_points=5))
def test_numbers_of_points_are_kept(cloud: Cloud) -> None:
    assert 2 <= len(Setting().structure(cloud)) <= 5


def test_a_cloud_may_lack_its_last_points() -> None:
    whole, some = Cloud("cube"), Cloud("cube", first=5)
    assert repr(some) == "Cloud('cube', first=5)"
    points = Setting().structure(whole).positions
    assert torch.equal(Setting().structure(some).positions, points[:5])
