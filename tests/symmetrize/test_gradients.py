"""Gradients of a symmetrized network, first and second, are those of finite differences."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data

from symmetrize import HierarchicalFrames, Symmetrizer
from tests.common.laws import GROUPS, PRESETS
from tests.common.networks import DeepSet, MessagePassing
from tests.common.paths import points
from tests.common.strata import (
    CASES,
    CUTOFF,
    collate,
    turn,
)

# Shapes are checked in other tests: here they would take most of the time
pytestmark = pytest.mark.usefixtures("unchecked_shapes")


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
    """Positions that carry gradients take no more frames, and none are merged."""
    basis = torch.tensor([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]], dtype=torch.float64) * 1.8
    steps = torch.cartesian_prod(*[torch.arange(2, dtype=torch.float64) * 3.6] * 3)
    positions = (basis[None] + steps[:, None]).reshape(-1, 3)
    cell, pbc = 7.2 * torch.eye(3, dtype=torch.float64)[None], torch.ones(1, 3, dtype=torch.bool)
    frames = HierarchicalFrames(4.0, preset="lean")
    plain = frames(positions, cell=cell, pbc=pbc)
    carried = frames(positions.clone().requires_grad_(), cell=cell, pbc=pbc)
    assert len(carried) == len(plain)
    assert carried.weights.requires_grad or carried.rotations.requires_grad
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
