"""Networks on point clouds are as smooth as they claim, bare and symmetrized; mutants are not."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from backbones import edges
from symmetrize import HierarchicalFrames, Symmetrizer, per_point, safe_norm
from tests.common.paths import PATHS, SMOOTH, Path, moving_last, points, scan_of
from tests.common.point_networks import (
    CLASSIC,
    cloud,
    made,
    networks,
    of_one_frame,
    smooth_networks,
    symmetrized,
)
from tests.common.strata import CASES, CUTOFF

# Shapes are checked in test_point_networks: here they would take much of the time
pytestmark = pytest.mark.usefixtures("unchecked_shapes")


def assert_smooth_along(path: Path, model: Callable[[Data], Tensor]) -> None:
    found = scan_of(path, model)
    assert found.maxima[-1].min() > 0.1
    assert found.growth.max() < SMOOTH
    assert found.growth.min() > 1 / SMOOTH


# Graphs are searched anew in every place. A point enters the cutoff of 1.5 ...
CROSSING = "a cloud and an atom part"
THROUGH = (
    "flattened onto a line and out",
    "an atom passes through another",
    "neighbors collapse onto their center",
)


@pytest.mark.parametrize("path", [CROSSING, *THROUGH])
@smooth_networks
def test_smooth_forms_are_smooth(name: str, path: str) -> None:
    assert_smooth_along(PATHS[path], made(name, "0e+1o").requires_grad_(False))


@pytest.mark.parametrize(
    ("path", "scope"),
    [
        (CROSSING, "structure"),
        (CROSSING, "center"),
        ("bent through straight", "structure"),
        ("flattened onto a line and out", "center"),
        ("an atom passes through another", "structure"),
    ],
)
@smooth_networks
def test_smooth_forms_are_smooth_when_symmetrized(name: str, path: str, scope: str) -> None:
    model = symmetrized(made(name, "0e+1o"), scope).requires_grad_(False)
    assert model.contract.smoothness >= 3
    assert_smooth_along(PATHS[path], model)


@pytest.mark.parametrize("aligned", ["", ", aligned"])
def test_the_maximum_is_continuous_with_kinks(aligned: str) -> None:
    net = made(f"ClassicPointNet{aligned}", "0e+1o").requires_grad_(False)
    for model in (net, symmetrized(net)):
        first, second, third = scan_of(PATHS["nearest neighbors swap"], model).growth
        # differences of first order stay, those of second order double, but for where a kink lies
        assert first < 1.1
        assert second > 1.5
        assert third > 3.0


@pytest.mark.parametrize(
    "name", ["ClassicPointNetPlusPlus", "ClassicDGCNN", "ClassicPointTransformer"]
)
def test_the_choice_of_points_jumps(name: str) -> None:
    net = made(name, "0e+1o").requires_grad_(False)
    for model in (net, symmetrized(net)):
        growth = scan_of(PATHS["an atom passes through another"], model).growth
        torch.testing.assert_close(
            growth, torch.tensor([2.0, 4.0, 8.0]).double(), rtol=0.05, atol=0
        )


@of_one_frame
def test_mutant_a_hard_cutoff_jumps(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edges, "cutoff_switch", lambda r, cutoff, width: (r < cutoff).to(r.dtype))
    growth = scan_of(PATHS[CROSSING], made(name, "0e+1o").requires_grad_(False)).growth
    torch.testing.assert_close(growth, torch.tensor([2.0, 4.0, 8.0]).double(), rtol=0.05, atol=0)


MEETING = Path(*moving_last(points((0, 0, 0)), (0, 0, 0), (0.6, 0, 0.8)), -0.5, 0.5)


@of_one_frame
def test_mutant_the_bare_distance_has_a_kink(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    net = made(name, "0e+1o", length=0.2, radial=0).requires_grad_(False)
    assert_smooth_along(MEETING, net)

    def shapes(self: edges.Edges, length: float, radial: int) -> Tensor:
        return torch.cat([self.vectors, self.distances[:, None]], 1) / length

    monkeypatch.setattr(edges.Edges, "shapes", shapes)
    assert scan_of(MEETING, net).growth[1] > 1.5


@of_one_frame
def test_mutant_gaussians_of_the_bare_distance_have_a_kink(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = made(name, "0e+1o", radial=6).requires_grad_(False)
    assert_smooth_along(MEETING, net)

    def bare(vectors: Tensor, cutoff: float, number: int) -> Tensor:
        distances = safe_norm(vectors)[:, None]
        centers = torch.arange(number).to(distances) * cutoff / number
        return (-0.5 * ((distances - centers) * number / cutoff).square()).exp()

    monkeypatch.setattr(edges, "gaussians", bare)
    assert scan_of(MEETING, net).growth[1] > 1.5


def test_mutant_points_that_enter_at_once_jump() -> None:
    net = made("PointNet", "0e+1o").requires_grad_(False)

    class WithoutEnvelope(nn.Module):
        def forward(self, data: Data) -> Tensor:
            data.envelope = torch.ones_like(data.envelope)
            return net(data)

    model = Symmetrizer(
        WithoutEnvelope(), "0e+1o", frames=HierarchicalFrames(CUTOFF), scope="center"
    )
    growth = scan_of(PATHS[CROSSING], model).growth
    torch.testing.assert_close(growth, torch.tensor([2.0, 4.0, 8.0]).double(), rtol=0.05, atol=0)


@pytest.mark.parametrize("stratum", ["generic", "line", "coincident", "pair"])
@smooth_networks
def test_derivatives_are_right(name: str, stratum: str) -> None:
    net = made(name, "0e").requires_grad_(False)
    pos = CASES[stratum].points()[:3].requires_grad_()

    def energy(pos: Tensor) -> Tensor:
        return net(Data(pos=pos)).sum()

    assert torch.autograd.gradcheck(energy, pos)
    assert torch.autograd.gradgradcheck(energy, pos)


@smooth_networks
def test_every_parameter_learns_from_energies_and_forces(name: str) -> None:
    net, data = made(name, {"energy": "0e", "charges": per_point("0e")}), cloud(6)
    data.pos = 0.4 * data.pos  # every point within the smallest radius of some other
    model = symmetrized(net)
    data.pos.requires_grad_()
    found = model(data)
    (slope,) = torch.autograd.grad(found["energy"].sum(), data.pos, create_graph=True)
    loss = slope.square().sum() + found["energy"].sum() + found["charges"].square().sum()
    loss.backward()
    for parameter, values in net.named_parameters():
        assert values.grad is not None, parameter
        assert torch.isfinite(values.grad).all(), parameter
        assert values.grad.abs().max() > 0, parameter


@networks
def test_networks_learn_by_heart(name: str) -> None:
    torch.manual_seed(0)
    net = made(name, "2x0e", **({"dropout": 0.0} if name in CLASSIC else {})).train()
    batch, labels = Batch.from_data_list([cloud(8, seed) for seed in range(4)]), [0, 1, 1, 0]
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    losses = []
    for _ in range(30):
        loss = nn.functional.cross_entropy(net(batch), torch.tensor(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
    assert losses[-1] < 0.2
