"""Clouds in the plane: positions (P, 2), vectors and tensors, turns and reflections."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import Batch, Data

from equivariance_tests.checks import check_of
from equivariance_tests.clouds import Cloud
from equivariance_tests.measure.trial import Trial
from symmetrize import (
    Contract,
    FrameAveraging,
    HierarchicalFrames,
    Symmetrizer,
    forces_and_stress,
    hessian,
    per_point,
)
from tests.common.paths import SMOOTH, scan

HIDDEN = 16
OUTPUTS: dict[str, Any] = {
    "energy": "0e",
    "hand": "0o",
    "dipole": "1o",
    "several": "2x0e + 2x1o",
    "strain": "ij=ji",
    "third": "ijk",
    "forces": per_point("i"),
}
groups = pytest.mark.parametrize("group", ["SO(2)", "O(2)"])
scopes = pytest.mark.parametrize("scope", ["structure", "center"])


def drawn(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


FIRST, LAST, BIAS = drawn(4, HIDDEN), drawn(HIDDEN, 30, seed=1), drawn(HIDDEN, seed=2)


def net(data: Data) -> dict[str, Tensor]:
    """A smooth network of the plane that no turn leaves as it is; it fades out at 3."""
    assert data.pos.shape == data.velocity.shape == (len(data.batch), 2)
    near = (1 - data.pos.square().sum(-1, keepdim=True) / 9).clamp(min=0) ** 6
    hidden = near * torch.tanh(torch.cat([data.pos, data.velocity], 1) @ FIRST.to(data.pos) + BIAS)
    whole = hidden.new_zeros(data.num_graphs, HIDDEN).index_add(0, data.batch, hidden)
    found = torch.sin(whole + BIAS) @ LAST
    each = torch.sin(hidden + whole[data.batch]) @ LAST
    return {
        "energy": found[:, :1],
        "hand": found[:, 1:2],
        "dipole": found[:, 2:4],
        "several": found[:, 4:10],
        "strain": found[:, 10:14].reshape(-1, 2, 2),
        "third": found[:, 14:22].reshape(-1, 2, 2, 2),
        "forces": each[:, 22:24],
    }


def turned(values: Tensor, name: str, matrix: Tensor) -> Tensor:
    """What each output becomes, by hand."""
    if name == "energy":
        return values
    if name == "hand":
        return values * torch.linalg.det(matrix)
    if name == "several":
        vectors = values[:, 2:].reshape(-1, 2, 2) @ matrix.T
        return torch.cat([values[:, :2], vectors.flatten(1)], dim=1)
    for axis in range(1, values.ndim):
        values = torch.tensordot(values, matrix, dims=([axis], [1])).movedim(-1, axis)
    return values


def matrix_of(angle: float, mirrored: bool = False) -> Tensor:
    c, s = math.cos(angle), math.sin(angle)
    flip = torch.diag(torch.tensor([1.0, -1.0 if mirrored else 1.0], dtype=torch.float64))
    return torch.tensor([[c, -s], [s, c]], dtype=torch.float64) @ flip


def ring(number: int) -> Tensor:
    angle = 2 * math.pi * torch.arange(number, dtype=torch.float64) / number
    return torch.stack([angle.cos(), angle.sin()], dim=-1)


CLOUDS = {
    "empty": torch.zeros(0, 2).double(),
    "point": drawn(1, 2),
    "pair": drawn(2, 2),
    "coincident": drawn(1, 2).repeat(4, 1),
    "line": torch.tensor([[-1.0, 0.5], [0.0, 0.0], [0.5, -0.25], [2.0, -1.0]]).double(),
    "triangle": ring(3),
    "square": ring(4),
    "square and center": torch.cat([ring(4), 0 * ring(1)]),
    "ring of 17": ring(17),
    "rhombus": ring(4) * torch.tensor([1.0, 0.5]),
    "generic": drawn(7, 2, seed=3),
    "mirror": torch.cat([drawn(3, 2, seed=4), drawn(3, 2, seed=4) * torch.tensor([1.0, -1.0])]),
    "rattled square": ring(4) + 1e-6 * drawn(4, 2, seed=5),
}


def made(group: str, scope: str, **options: Any) -> Symmetrizer:
    frames = HierarchicalFrames(3.0)
    inputs = {"velocity": "i"}
    return Symmetrizer(net, OUTPUTS, inputs, frames, group, scope, **options)


def batch_of(clouds: list[Tensor], matrix: Tensor, moving: bool) -> Batch:
    items = []
    for cloud in clouds:
        velocity = drawn(*cloud.shape, seed=6) * moving
        items.append(Data(pos=cloud @ matrix.T, velocity=velocity @ matrix.T))
    return Batch.from_data_list(items)


@pytest.mark.parametrize("moving", [True, False], ids=["velocities", "at rest"])
@scopes
@groups
def test_exact_on_every_cloud(group: str, scope: str, moving: bool) -> None:
    model, clouds = made(group, scope), list(CLOUDS.values())
    here = model(batch_of(clouds, matrix_of(0.0), moving))
    hands = (False, True) if group == "O(2)" else (False,)
    for angle in (0.3, math.pi / 2, 2.5, 1e-9):
        for mirrored in hands:
            matrix = matrix_of(angle, mirrored)
            there = model(batch_of(clouds, matrix, moving))
            for name, values in there.items():
                expected = turned(here[name], name, matrix)
                assert values.shape == expected.shape
                torch.testing.assert_close(values, expected, atol=1e-11, rtol=0)
                size = float(here[name].std())
                assert float((values - expected).abs().max()) <= 1e-12 * max(1.0, 4 * size)


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 99),
    number=st.integers(0, 6),
    places=st.integers(1, 3),
    angle=st.integers(-4, 4),
)
def test_points_on_a_grid(seed: int, number: int, places: int, angle: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    cloud = torch.randint(-places, places + 1, (number, 2), generator=generator).double() / 2
    model, matrix = made("O(2)", "structure"), matrix_of(angle * math.pi / 4, seed % 2 == 1)
    here = model(batch_of([cloud], matrix_of(0.0), moving=False))
    there = model(batch_of([cloud], matrix, moving=False))
    for name, values in there.items():
        torch.testing.assert_close(values, turned(here[name], name, matrix), atol=1e-12, rtol=0)


def test_single_precision() -> None:
    def single(data: Data) -> Tensor:
        hidden = torch.tanh(data.pos @ FIRST[:2].float() + BIAS.float())
        whole = hidden.new_zeros(data.num_graphs, HIDDEN).index_add(0, data.batch, hidden)
        return torch.sin(whole) @ LAST[:, :2].float()

    model = Symmetrizer(single, "1o", group="O(2)")
    matrix = matrix_of(1.0, True).float()
    for cloud in CLOUDS.values():
        pos = cloud.float()
        there = model(Data(pos=pos @ matrix.T))
        assert there.dtype == torch.float32
        torch.testing.assert_close(there, model(Data(pos=pos)) @ matrix.T, atol=1e-5, rtol=0)


def test_translations_and_permutations() -> None:
    model, cloud = made("O(2)", "structure"), CLOUDS["generic"]
    here = model(Data(pos=cloud, velocity=0 * cloud))
    moved = model(Data(pos=cloud.flip(0) + torch.tensor([3.0, -1.0]), velocity=0 * cloud))
    for name in ("energy", "dipole", "strain"):
        torch.testing.assert_close(moved[name], here[name], atol=1e-12, rtol=0)
    torch.testing.assert_close(moved["forces"].flip(0), here["forces"], atol=1e-12, rtol=0)


@pytest.mark.parametrize("frames", [HierarchicalFrames(), FrameAveraging()], ids=["ours", "PCA"])
def test_smooth_through_a_square(frames: Any) -> None:
    away = drawn(4, 2, seed=8)

    def energies(data: Data) -> Tensor:
        hidden = torch.tanh(data.pos @ FIRST[:2] + BIAS)
        whole = hidden.new_zeros(data.num_graphs, HIDDEN).index_add(0, data.batch, hidden)
        return torch.sin(whole) @ LAST[:, :2]

    model = Symmetrizer(energies, "1o", group="O(2)", frames=frames)

    def along(parameters: Tensor) -> Tensor:
        clouds = [Data(pos=ring(4) + float(t) * away) for t in parameters]
        with torch.no_grad():
            return model(Batch.from_data_list(clouds))

    growth = scan(along, -0.3, 0.3).growth
    assert (growth.max() < SMOOTH) == isinstance(frames, HierarchicalFrames)


def test_forces_and_hessian() -> None:
    inputs = {"velocity": "i"}
    model = Symmetrizer(lambda data: net(data)["energy"], "0e", inputs, group="O(2)")
    data = Data(pos=CLOUDS["generic"], velocity=0 * CLOUDS["generic"])
    found = forces_and_stress(model, data)
    assert found.forces.shape == (7, 2)
    assert found.virial.shape == (1, 2, 2)
    torque = data.pos[:, 0] * found.forces[:, 1] - data.pos[:, 1] * found.forces[:, 0]
    assert float(torque.sum().abs()) <= 1e-12
    assert float(found.forces.sum(0).abs().max()) <= 1e-12
    matrix = hessian(model, data)
    assert matrix.shape == (7, 2, 7, 2)
    flat = matrix.reshape(14, 14)
    torch.testing.assert_close(flat, flat.T, atol=1e-11, rtol=0)


def test_frames_of_positions_in_the_plane() -> None:
    cloud = CLOUDS["generic"]
    ensemble = HierarchicalFrames()(cloud, group="SO(2)")
    model = Symmetrizer(lambda data: data.pos[data.ptr[:-1]], "1o", group="SO(2)")
    assert torch.equal(model.ensemble(Data(pos=cloud)).rotations, ensemble.rotations)


def test_training_and_prepare() -> None:
    def prepared(data: Data) -> Data:
        assert data.pos.size(1) == 2
        data.number = torch.bincount(data.batch)
        return data

    model = made("O(2)", "structure", training="sampled", prepare=prepared)
    batch = batch_of([CLOUDS["generic"], CLOUDS["square"]], matrix_of(0.0), moving=False)
    assert model(batch)["strain"].shape == (2, 2, 2)
    assert model.eval().spread(batch)["energy"].shape == (2, 1)
    assert batch.pos.size(1) == 2


def test_certified_as_clouds_in_space() -> None:
    model = Symmetrizer(
        lambda data: net(data)["several"], "2x0e + 2x1o", {"velocity": "1o"}, group="O(2)"
    )

    def in_space(data: Data) -> Tensor:
        flat = Data(pos=data.pos[:, :2], velocity=0 * data.pos[:, :2], batch=data.batch)
        found = model(flat)
        zero = 0 * found[:, :1]
        return torch.cat([found[:, :4], zero, found[:, 4:6], zero], dim=1)

    contract = Contract("2x0e + 2x1o", group="O(2)", smoothness=4)
    trial, clouds = Trial.of(in_space, contract), [Cloud("generic", 6, k) for k in range(4)]
    clouds += [Cloud(name, 5) for name in ("polygon", "prism", "line", "cube", "coincident")]
    for name in ("equivariance", "parity", "stabilizer", "translation", "permutation"):
        for one in check_of(name).outcomes(trial, clouds):
            assert one.failure is None, str(one.failure)


@pytest.mark.parametrize(
    ("outputs", "width", "options", "message"),
    [
        ("1o", 3, {"group": "O(2)"}, "takes (..., 2) in the plane, not"),
        ("2e", 5, {"group": "O(2)"}, "holds 2e, which has no form in the plane"),
        ("1e", 3, {"group": "O(2)"}, "'0o'"),
        ("1o", 2, {"group": "O(3)"}, "the plane take group='O(2)'"),
        ("1o", 2, {"group": "SO(2)", "axis": (0, 1, 0)}, "without an axis"),
    ],
)
def test_mistakes(outputs: str, width: int, options: dict[str, Any], message: str) -> None:
    model = Symmetrizer(lambda data: data.pos.new_zeros(data.num_graphs, width), outputs, **options)
    with pytest.raises(ValueError) as raised:
        model(Data(pos=drawn(4, 2)))
    assert message in str(raised.value)


def test_what_does_not_fit_the_plane() -> None:
    model = Symmetrizer(lambda data: data.pos[:1, :1], "0e", {"velocity": "1o"}, group="O(2)")
    with pytest.raises(ValueError, match="`velocity`: '1o' takes"):
        model(Data(pos=drawn(4, 2), velocity=drawn(4, 3)))
    with pytest.raises(ValueError, match="`cell`"):
        model(Data(pos=drawn(4, 2), velocity=drawn(4, 2), cell=torch.eye(2)[None]))
