"""Smoothness of a symmetrized network to third order, along paths through what is degenerate.

F is followed on straight paths. Its finite differences of order k, divided by the k-th power of the
step, tend to its k-th derivative as the step is halved if F is smooth; if F jumps they grow by a
factor of 2^k with each halving, by 2^(k-1) if it has a kink, by 2^(k-2) if its curvature jumps.
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data

from symmetrize import FrameAveraging, Frames, HierarchicalFrames, Symmetrizer
from symmetrize.frames.hierarchical import moments
from tests.common import mutants
from tests.common.strata import (
    CASES,
    CUTOFF,
    EQUAL_INERTIA,
    SOLIDS,
    DeepSet,
    MessagePassing,
    collate,
    turn,
)

# Shapes are checked in other tests: here they would take most of the time
pytestmark = pytest.mark.usefixtures("unchecked_shapes")

SPEC = "0e+0o+1o+1e+2e"
PRESETS = ("smooth", "lean")
GROUPS = ("O(3)", "SO(3)")

# --- scans

# Steps of the first grid: weights change over a few hundredths of a path, so that each change has
# a dozen points and none is missed
GRID = 801
# About each place where a derivative is largest the step is halved this many times. The last is
# 1/25600 of a path: third differences of outputs of order 1 then have an error of 0.02 by rounding
HALVINGS = 5
# Half the width of the finer grids, in steps of the one before
REACH = 6


@dataclass(frozen=True)
class Scan:
    """Largest derivatives of first to third order, on ever finer grids about where they are."""

    maxima: Tensor  # (halvings + 1, 3)

    @property
    def growth(self) -> Tensor:
        """(3,) factor by which the largest differences grow with each of the last three halvings.

        Over several, as a kink counts for more or less by where it lies between two places.
        """
        return (self.maxima[-1] / self.maxima[-4]) ** (1 / 3)


def scan(function: Callable[[Tensor], Tensor], low: float, high: float) -> Scan:
    """Finite differences of ``function``, (n,) parameters to (n, values), over an interval."""
    step = (high - low) / (GRID - 1)
    grids = torch.linspace(low, high, GRID, dtype=torch.float64)[None].expand(3, -1)
    values = function(grids[0])[None].expand(3, -1, -1)
    maxima = []
    for _ in range(HALVINGS + 1):
        largest, places = [], []
        for order in (1, 2, 3):
            found = values[order - 1].diff(n=order, dim=0).abs().amax(-1) / step**order
            place = int(found.argmax())
            largest.append(found[place])
            places.append(grids[order - 1, place] + order / 2 * step)
        maxima.append(torch.stack(largest))
        step /= 2
        offsets = step * torch.arange(-2 * REACH, 2 * REACH + 1, dtype=torch.float64)
        grids = torch.stack(places)[:, None] + offsets
        values = function(grids.reshape(-1)).reshape(3, len(offsets), -1)
    return Scan(torch.stack(maxima))


# --- paths


@dataclass(frozen=True)
class Path:
    """Points ``base + s * velocity`` for s from ``low`` to ``high``."""

    base: Tensor
    velocity: Tensor
    low: float
    high: float
    scopes: tuple[str, ...] = ("structure", "center")
    length_scale: float | None = None

    def rows(self, parameters: Tensor) -> list[Tensor]:
        """The clouds at some places of the path, in a generic orientation."""
        moved = self.base + parameters[:, None, None] * self.velocity
        return list(moved @ turn(1).T)


def points(*rows: tuple[float, float, float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def moving_last(others: Tensor, start: tuple[float, ...], velocity: tuple[float, ...]) -> Any:
    """The base and the velocity of a cloud of which only the last point moves."""
    base = torch.cat([others, torch.tensor([start], dtype=torch.float64)])
    rest = torch.zeros_like(others)
    return base, torch.cat([rest, torch.tensor([velocity], dtype=torch.float64)])


REST = points((0, 0, 0))
PAIR = points((0, 0, 0), (1.1, 0.2, -0.1))
TRIO = points((0, 0, 0), (1.2, 0.1, -0.2), (-0.4, 0.9, 0.5))
CLOUD = points((0, 0, 0), (1.2, 0.1, -0.2), (-0.4, 0.9, 0.5), (0.3, -0.7, 0.8))
FLAT = points((1.0, 0.2, 0), (-0.8, 0.9, 0), (-0.3, -1.1, 0), (0.6, -0.7, 0))
ROD = points((0, 0, -1.2), (0, 0, 0.2), (0, 0, 1.4), (0, 0, -0.6))
STRAIGHT = points((0, 0, -1.0), (0, 0, 1.2))


def pyramid(width: float) -> tuple[Tensor, Tensor]:
    """A pyramid on a rectangle of half sides 1 and ``width``, whose height is the parameter."""
    corners = [(x, width * y, 0.0) for x, y in ((1, 1), (1, -1), (-1, 1), (-1, -1))]
    return moving_last(points(*corners), (0, 0, 0), (0, 0, 1))


WHOLE, CENTERS = ("structure",), ("center",)
PATHS: dict[str, Path] = {
    "bent through straight": Path(*moving_last(STRAIGHT, (0, 0, 0.1), (1, 0.3, 0)), -0.8, 0.8),
    "flattened onto a line and out": Path(
        ROD, points((1, 0, 0), (-0.5, 0.9, 0), (0, -1, 0), (0.7, 0.4, 0)), -0.6, 0.6
    ),
    "a dimer dissociates": Path(*moving_last(REST, (0, 0, 0), (0.6, 0, 0.8)), 0.3, 3.3, CENTERS),
    "a dimer passes within the cutoff": Path(
        *moving_last(REST, (0, 1.5, 0), (1, 0, 0)), -3.0, 3.0, CENTERS
    ),
    "a dimer passes through itself": Path(
        *moving_last(REST, (0, 0, 0), (0.6, 0, 0.8)), -1.0, 1.0, CENTERS
    ),
    "a dimer with a length scale passes through itself": Path(
        *moving_last(REST, (0, 0, 0), (0.6, 0, 0.8)), -0.1, 0.1, WHOLE, length_scale=1.0
    ),
    "a cloud and an atom part": Path(*moving_last(CLOUD, (0, 0, 0), (-0.48, 0.6, -0.64)), 1.2, 4.2),
    "a pair and an atom part": Path(*moving_last(PAIR, (0, 0.5, 0), (-0.6, 0, 0.8)), 1.0, 4.2),
    "an atom grazes the cutoff": Path(
        *moving_last(CLOUD, (0, 2.4, 0.3), (1, 0, 0)), -2.5, 2.5, CENTERS
    ),
    "an atom passes through another": Path(
        *moving_last(CLOUD, (0, 0, 0), (0.48, 0.6, -0.64)), -1.0, 1.0, WHOLE
    ),
    # what is nearest wins by far in small environments, until it is within 0.01 of the center
    "an atom passes through a center": Path(
        *moving_last(CLOUD, (0, 0, 0), (0.48, 0.6, -0.64)), -0.1, 0.1, CENTERS
    ),
    "an atom passes by a center": Path(
        *moving_last(CLOUD, (0, 1e-3, 0), (0.6, 0, 0.8)), -0.1, 0.1, CENTERS
    ),
    "an atom passes through the centroid": Path(
        *moving_last(CLOUD - CLOUD.mean(0), (0, 0, 0), (0.48, 0.6, -0.64)), -1.0, 1.0, WHOLE
    ),
    "a hand becomes the other": Path(*moving_last(FLAT, (0.2, 0.3, 0), (0.1, 0, 1)), -1.0, 1.0),
    "equal moments of a square pyramid": Path(
        *pyramid(1.0), EQUAL_INERTIA - 0.8, EQUAL_INERTIA + 0.8
    ),
    "equal moments of a pyramid": Path(*pyramid(0.8), EQUAL_INERTIA - 1.2, EQUAL_INERTIA + 0.6),
    "through a tetrahedron": Path(
        0.8 * SOLIDS["tetrahedron"],
        points((1, 0, 0.2), (0, 1, 0), (0.3, 0, 1), (0, 0, 0)),
        -0.6,
        0.6,
    ),
    "nearest neighbors swap": Path(
        points((0, 0, 0), (1, 0, 0), (0.3, 1.0, 0.2), (-0.9, -0.9, 0.9)),
        points((0, 0, 0), (0.5, 0, 0), (-0.15, -0.5, -0.1), (0, 0, 0)),
        -0.8,
        0.8,
    ),
    "collapse to a point and out": Path(0 * CLOUD, CLOUD, -0.08, 0.08, WHOLE, length_scale=1.0),
    "neighbors collapse onto their center": Path(0 * CLOUD, CLOUD, -0.8, 0.8, CENTERS),
}
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


def scan_of(path: Path, model: Callable[[Data], Tensor]) -> Scan:
    """A scan of all outputs; the clouds of all places of a grid are one batch."""

    def function(parameters: Tensor) -> Tensor:
        with torch.no_grad():
            return model(collate(path.rows(parameters))).reshape(len(parameters), -1)

    return scan(function, path.low, path.high)


# Once the step resolves a path, halving it changes a derivative by the square of the step. The
# steepest path changes third derivatives by 1 part in 1000, and rounding by 1 in 50.
SMOOTH = 1.03


def assert_smooth(path: Path, scope: str, group: str, preset: str, **options: Any) -> None:
    model = symmetrized(scope, group, preset, length_scale=path.length_scale, **options)
    found = scan_of(path, model)
    # something changes on the path, to all orders
    assert found.maxima[-1].min() > 0.1
    assert found.growth.max() < SMOOTH
    assert found.growth.min() > 1 / SMOOTH


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(("name", "scope"), CASES_OF_PATHS)
def test_hierarchical_frames_are_smooth(name: str, scope: str, preset: str, group: str) -> None:
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
    "the best axis of a cloud": (
        "nearest neighbors swap",
        "structure",
        lambda: "lean",
        mutants.with_the_best_axis_only,
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


# --- gradients

GRADIENT_SPEC = "0e+1o+2e"
# Central differences of sixth order. With a center within the smallest distance at which neighbors
# count, weights change over 0.003; elsewhere over 0.03. The formula is right to 1e-11 with this
# step, and outputs known to 1e-15 give derivatives to 1e-10.
STEP = 3e-5
STENCIL = {1: 3 / 4, -1: -3 / 4, 2: -3 / 20, -2: 3 / 20, 3: 1 / 60, -3: -1 / 60}


def differences(function: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    """(at.numel(), *value) derivatives of ``function``, (B, *at.shape) to (B, *value)."""
    units = torch.eye(at.numel(), dtype=at.dtype).reshape(-1, *at.shape)
    moved = torch.cat([at + STEP * place * units for place in STENCIL])
    values = function(moved).chunk(len(STENCIL))
    return sum(c / STEP * v for c, v in zip(STENCIL.values(), values, strict=True))


def batch_of(clouds: Tensor, **more: Tensor) -> Data:
    """(B, n, 3) positions as one batch."""
    size, number = clouds.shape[:2]
    index = torch.arange(size).repeat_interleave(number)
    unit = torch.ones(size, 1, dtype=clouds.dtype)
    return Data(pos=clouds.reshape(-1, 3), batch=index, unit=unit, **more)


def gradient_model(
    scope: str, group: str = "O(3)", frames: str = "smooth", spec: str = GRADIENT_SPEC
) -> Symmetrizer:
    cutoff = CUTOFF if scope == "center" else None
    net = DeepSet(spec, fade=None if scope == "structure" else CUTOFF, hidden=8)
    return Symmetrizer(
        net,
        spec,
        frames=HierarchicalFrames(cutoff, preset=frames),
        group=group,
        scope=scope,
        reduce=None if scope == "structure" else "sum",
    )


COVECTOR = torch.linspace(-1.0, 1.3, 9, dtype=torch.float64)

DIMER = points((0, 0, -1.0), (0, 0, 0.1))
GRADIENT_CLOUDS = {
    **{
        name: CASES[name].points()
        for name in (
            "generic",
            "atom",
            "pair",
            "pair along the axes",
            "pair whose rounding lies along it",
            "line",
            "line along the axes",
            "line off by 1e-8",
            "line off by 1e-4",
            "antiparallel",
            "plane",
            "plane along the axes",
            "ties",
            "polygon",
            "octahedron",
            "pyramid of equal inertia",
            "equal inertia",
            "right helix",
            "point and copy",
            "coincident",
        )
    },
    # within the cutoff of each other
    "tetrahedron": 0.6 * CASES["tetrahedron"].points(),
    "dimer along z": DIMER,
}
gradient_clouds = pytest.mark.parametrize("name", GRADIENT_CLOUDS)
scopes = pytest.mark.parametrize("scope", ["structure", "center"])
# The energy of coincident points has no derivative in whole structures without a length scale, and
# is constant about the point in environments: only sums and finiteness are looked at.
SOLID_CLOUDS = [name for name in GRADIENT_CLOUDS if name not in ("coincident", "atom")]


@pytest.mark.parametrize("name", SOLID_CLOUDS)
@pytest.mark.parametrize("preset", PRESETS)
@scopes
def test_gradients_are_finite_differences(scope: str, preset: str, name: str) -> None:
    # of a sum of all outputs, so that vectors and tensors count as well
    model, base = gradient_model(scope, frames=preset), GRADIENT_CLOUDS[name]

    def value(clouds: Tensor) -> Tensor:
        return model(batch_of(clouds)) @ COVECTOR

    leaf = base.clone().requires_grad_()
    (found,) = torch.autograd.grad(value(leaf[None]).sum(), leaf)
    with torch.no_grad():
        expected = differences(value, base).reshape(base.shape)
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(found, expected, atol=1e-7 * float(expected.abs().max()), rtol=0)


def energies_and_gradients(model: Symmetrizer, clouds: Tensor) -> tuple[Tensor, Tensor]:
    clouds = clouds.clone().requires_grad_()
    energies = model(batch_of(clouds))[:, 0]
    (gradients,) = torch.autograd.grad(energies.sum(), clouds, create_graph=True)
    return energies, gradients


@gradient_clouds
@pytest.mark.parametrize("preset", PRESETS)
@scopes
def test_forces_sum_to_no_force_and_no_torque(scope: str, preset: str, name: str) -> None:
    base = GRADIENT_CLOUDS[name]
    for group in GROUPS:
        _, gradients = energies_and_gradients(gradient_model(scope, group, preset), base[None])
        force = gradients[0].sum(0)
        torque = torch.linalg.cross(base, gradients[0]).sum(0)
        # forces of up to 30, known to rounding
        assert force.abs().max() <= 1e-11
        assert torque.abs().max() <= 1e-11


@gradient_clouds
@pytest.mark.parametrize("preset", PRESETS)
@scopes
def test_forces_are_finite_in_single_precision(scope: str, preset: str, name: str) -> None:
    base = GRADIENT_CLOUDS[name].float()
    _, gradients = energies_and_gradients(gradient_model(scope, frames=preset), base[None])
    assert gradients.dtype == torch.float32
    assert torch.isfinite(gradients).all()


@scopes
def test_forces_turn_with_the_cloud(scope: str) -> None:
    clouds = [GRADIENT_CLOUDS[name] for name in SOLID_CLOUDS]
    matrix = -turn(5)
    model = gradient_model(scope)
    for cloud in clouds:
        _, (here, there) = energies_and_gradients(model, torch.stack([cloud, cloud @ matrix.T]))
        torch.testing.assert_close(there, here @ matrix.T, atol=1e-11, rtol=0)


HESSIAN_CLOUDS = (
    "dimer along z",
    "pair",
    "line",
    "antiparallel",
    "plane",
    "polygon",
    "tetrahedron",
    "pyramid of equal inertia",
    "generic",
)


@pytest.mark.parametrize("name", HESSIAN_CLOUDS)
@pytest.mark.parametrize("preset", PRESETS)
@scopes
def test_hessians_are_finite_differences_of_gradients(scope: str, preset: str, name: str) -> None:
    model, base = gradient_model(scope, frames=preset, spec="0e"), GRADIENT_CLOUDS[name]

    def gradient(clouds: Tensor) -> Tensor:
        return energies_and_gradients(model, clouds)[1].detach().flatten(1)

    leaf = base.clone().requires_grad_()
    energy = model(batch_of(leaf[None])).sum()
    (first,) = torch.autograd.grad(energy, leaf, create_graph=True)
    found = torch.stack(
        [torch.autograd.grad(g, leaf, retain_graph=True)[0].flatten() for g in first.flatten()]
    )
    expected = differences(gradient, base)
    scale = float(expected.abs().max())
    assert scale > 1e-3
    torch.testing.assert_close(found, found.T, atol=1e-9 * scale, rtol=0)
    torch.testing.assert_close(found, expected, atol=1e-6 * scale, rtol=0)


class Learned(torch.nn.Module):
    """A network of points with parameters."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(2)

        def drawn(*shape: int) -> torch.nn.Parameter:
            values = torch.randn(*shape, dtype=torch.float64, generator=generator)
            return torch.nn.Parameter(values / 2)

        self.inner, self.bias, self.outer = drawn(3, 6), drawn(6), drawn(6, 1)

    def forward(self, data: Data) -> Tensor:
        """One row for each structure."""
        hidden = torch.tanh(data.pos @ self.inner + self.bias)
        pooled = hidden.new_zeros(data.num_graphs, 6).index_add(0, data.batch, hidden)
        return torch.sin(pooled) @ self.outer


def test_parameters_learn_from_forces() -> None:
    net = Learned()
    model = Symmetrizer(net, "0e", frames=HierarchicalFrames())
    clouds = [GRADIENT_CLOUDS[n] for n in ("generic", "line", "tetrahedron", "plane", "pair")]
    parameters = list(net.parameters())

    def loss() -> Tensor:
        pos = torch.cat(clouds).requires_grad_()
        index = torch.arange(len(clouds)).repeat_interleave(torch.tensor([len(c) for c in clouds]))
        energy = model(Data(pos=pos, batch=index)).sum()
        (forces,) = torch.autograd.grad(-energy, pos, create_graph=True)
        return (forces - 0.1).square().sum()

    found = torch.autograd.grad(loss(), parameters)
    for parameter, gradient in zip(parameters, found, strict=True):
        for place in (0, gradient.numel() - 1):
            entry = parameter.data.view(-1)
            before = float(entry[place])
            expected = 0.0
            for steps, factor in STENCIL.items():
                entry[place] = before + steps * STEP
                expected += factor / STEP * float(loss().detach())
            entry[place] = before
            assert abs(float(gradient.flatten()[place]) - expected) <= 1e-7 * abs(expected)


CELL = points((2.9, 0.2, 0.0), (1.1, 2.7, -0.3), (0.4, 0.6, 3.1))
PLACES = points((0.1, 0.0, 0.2), (1.2, 0.9, 1.4), (2.0, 0.3, 1.1))
LATTICES = {
    "skewed": (CELL, PLACES),
    "one atom, simple cubic": (1.5 * torch.eye(3, dtype=torch.float64), points((0, 0, 0))),
    "body-centered cubic": (
        1.75 * torch.eye(3, dtype=torch.float64),
        1.75 * points((0, 0, 0), (0.5, 0.5, 0.5)),
    ),
    "one atom, nothing within the cutoff": (
        points((4.0, 0, 0), (0.5, 4.5, 0), (0, 0.25, 5.0)),
        points((0.25, 0.5, 0)),
    ),
}


def images_within(cell: Tensor, places: Tensor, radius: float) -> tuple[Tensor, Tensor]:
    """(2, E) edges and (E, 3) shifts to every image within the radius, by trying them all."""
    steps = torch.cartesian_prod(*[torch.arange(-4, 5)] * 3)
    vectors = places + (steps.double() @ cell)[:, None, None] - places[:, None]
    distance = vectors.norm(dim=-1)
    step, start, end = ((distance < radius) & (distance > 1e-9)).nonzero(as_tuple=True)
    return torch.stack([start, end]), steps[step]


@pytest.mark.parametrize("whole", [False, True], ids=["cell alone", "strain"])
@pytest.mark.parametrize("name", LATTICES)
@scopes
def test_gradients_of_the_cell(scope: str, name: str, whole: bool) -> None:
    cell, places = LATTICES[name]
    # edges a little longer than the network sees, so that none is missing in a strained cell
    edges, shifts = images_within(cell, places, 2.5)
    net = MessagePassing("0e", 2.4) if scope == "structure" else DeepSet("0e", fade=2.4, hidden=8)
    frames = HierarchicalFrames(2.4)
    reduce = None if scope == "structure" else "sum"
    model = Symmetrizer(net, "0e", frames=frames, scope=scope, reduce=reduce)

    def energy(changes: Tensor) -> Tensor:
        size, number = len(changes), len(places)
        strained = cell @ (torch.eye(3, dtype=torch.float64) + changes)
        moved = places + places @ changes if whole else places.expand(size, -1, -1)
        data = batch_of(moved, cell=strained)
        if scope == "structure":
            offsets = number * torch.arange(size).repeat_interleave(edges.size(1))
            data.edge_index = edges.repeat(1, size) + offsets
            data.edge_shift = shifts.repeat(size, 1)
        return model(data)[:, 0]

    at = torch.zeros(1, 3, 3, dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(energy(at).sum(), at)
    assert torch.isfinite(found).all()
    with torch.no_grad():
        expected = differences(energy, at[0].detach()).reshape(3, 3)
    scale = max(1e-3, float(expected.abs().max()))
    torch.testing.assert_close(found[0], expected, atol=1e-7 * scale, rtol=0)
    if whole:  # turning a structure with its cell changes nothing
        torch.testing.assert_close(found[0], found[0].T, atol=1e-11 * max(1.0, scale), rtol=0)


@gradient_clouds
@scopes
def test_gradients_of_scores(scope: str, name: str) -> None:
    base = GRADIENT_CLOUDS[name]
    model = gradient_model(scope)

    def value(scores: Tensor) -> Tensor:
        clouds = base.expand(len(scores), -1, -1)
        return model(batch_of(clouds, frame_scores=scores.exp().reshape(-1))) @ COVECTOR

    scores = 0.3 * torch.linspace(-1.0, 1.0, len(base), dtype=torch.float64)
    for at in (scores, 0 * scores):
        leaf = at.clone()[None].requires_grad_()
        (found,) = torch.autograd.grad(value(leaf).sum(), leaf)
        assert torch.isfinite(found).all()
        with torch.no_grad():
            expected = differences(value, at)
        scale = max(1e-3, float(expected.abs().max()))
        torch.testing.assert_close(found[0], expected, atol=1e-7 * scale, rtol=0)


def test_a_perfect_crystal_has_first_derivatives():
    """More equal frames than allowed are merged, with a warning: energy and forces agree."""
    basis = torch.tensor([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]], dtype=torch.float64) * 1.8
    steps = torch.cartesian_prod(*[torch.arange(2, dtype=torch.float64) * 3.6] * 3)
    positions = (basis[None] + steps[:, None]).reshape(-1, 3)
    cell, pbc = 7.2 * torch.eye(3, dtype=torch.float64)[None], torch.ones(1, 3, dtype=torch.bool)
    frames = HierarchicalFrames(4.0, preset="lean")
    plain = frames(positions, cell=cell, pbc=pbc)
    with pytest.warns(UserWarning, match="second ones are not"):
        carried = frames(positions.clone().requires_grad_(), cell=cell, pbc=pbc)
    assert len(carried) == len(plain)
    assert carried.weights.requires_grad or carried.rotations.requires_grad
    # mutant: without merging, the same crystal is refused
    with pytest.raises(ValueError, match="max_frames"):
        HierarchicalFrames(4.0, preset="lean", max_frames=len(plain) - 1)(
            positions, cell=cell, pbc=pbc
        )


def curvatures_of_bent_molecules() -> Tensor:
    """Second derivatives, along one direction, of many planar molecules that are nearly straight.

    Some of their harmonics about an axis vanish but for rounding.
    """

    def net(data: Data) -> Tensor:
        turned = data.pos @ torch.tensor([[0.3], [0.5], [0.7]], dtype=torch.float64)
        rows = (turned + 1) ** 5
        return rows.new_zeros(data.num_graphs, 1).index_add(0, data.batch, rows)

    bends = torch.linspace(1e-4, 0.02, 400, dtype=torch.float64)
    rows = [[[0.0, 0, 0], [0, 1, 0], [bend, -1.2, 0]] for bend in bends.tolist()]
    batch = collate(list(torch.tensor(rows, dtype=torch.float64)))
    batch.pos.requires_grad_()
    energy = Symmetrizer(net, "0e")(batch).sum()
    (slope,) = torch.autograd.grad(energy, batch.pos, create_graph=True)
    along = torch.tensor([0.3, -0.7, 0.5], dtype=torch.float64)
    return torch.autograd.grad((slope * along).sum(), batch.pos)[0]


def test_second_derivatives_of_planar_molecules_are_finite() -> None:
    assert torch.isfinite(curvatures_of_bent_molecules()).all()


def test_mutant_a_phase_of_rounding_has_no_second_derivative(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(moments, "FAINTEST", 0.0)
    assert not torch.isfinite(curvatures_of_bent_molecules()).all()
