"""Symmetry content: what is of one degree is found in that degree, and all of it together."""

from typing import Any

import pytest
import torch
from e3nn import o3
from torch import Tensor
from torch_geometric.data import Data

from backbones import PointNet
from equivariance_tests import Contract, symmetry_content
from symmetrize import HierarchicalFrames, Symmetrizer

CLOUD = Data(pos=torch.randn(6, 3, generator=torch.Generator().manual_seed(0)).double())


@pytest.mark.parametrize("degree", [0, 1, 2, 3, 4])
def test_a_component_of_a_harmonic_is_of_its_degree(degree: int) -> None:
    def component(data: Any) -> Tensor:
        harmonics = o3.spherical_harmonics(degree, data.pos, normalize=True)
        return harmonics.sum(0)[:1][None]

    found = symmetry_content(component, CLOUD, Contract("0e"), degree=4)["output"]
    letter = "e" if degree % 2 == 0 else "o"
    assert found[f"{degree}{letter}"] == pytest.approx(1, abs=1e-9)
    assert sum(found.values()) == pytest.approx(1, abs=1e-9)


def test_axial_and_pseudo_parts_are_told_apart() -> None:
    def parts(data: Any) -> Tensor:
        one, other, third = data.pos[:3]
        return torch.linalg.cross(one, other)[2:][None] + third.dot(torch.linalg.cross(one, other))

    found = symmetry_content(parts, CLOUD, Contract("0e"))["output"]
    assert found["1e"] > 1e-3
    assert found["0o"] > 1e-3
    assert found["1e"] + found["0o"] == pytest.approx(1, abs=1e-9)


def test_an_equivariant_output_is_constant_and_a_network_is_not() -> None:
    torch.manual_seed(0)
    net = PointNet({"energy": "0e", "dipole": "1o"}, width=16).double()
    model = Symmetrizer(net, frames=HierarchicalFrames(length_scale=1.0))
    for shares in symmetry_content(model, CLOUD, degree=2).values():
        assert shares["0e"] == pytest.approx(1, abs=1e-9)
    bare = symmetry_content(net, CLOUD, degree=2)
    assert max(shares["0e"] for shares in bare.values()) < 1 - 1e-8
    # what the average over all rotations has left is what is exactly equivariant
    assert all(sum(shares.values()) == pytest.approx(1, abs=1e-9) for shares in bare.values())


def test_layers_by_name() -> None:
    net = PointNet({"energy": "0e"}, width=8).double()
    name = next(name for name, one in net.named_modules() if isinstance(one, torch.nn.Linear))
    found = symmetry_content(net, CLOUD, layers=[name], degree=2)
    assert set(found) == {"energy", name}
    assert found[name]["1o"] > 1e-3
    with pytest.raises(ValueError, match="there is no layer 'nothing'"):
        symmetry_content(net, CLOUD, layers=["nothing"])
    with pytest.raises(ValueError, match="declares no contract"):
        symmetry_content(lambda data: data.pos, CLOUD)


def test_further_positions_turn_along_and_mutant_those_that_do_not_are_seen() -> None:
    def apart(data: Any) -> Tensor:
        return torch.cdist(data.pos, data.pos_pocket).sum()[None, None]

    data = CLOUD.clone()
    data.pos_pocket = CLOUD.pos[:3] + 1
    told = Contract("0e", positions=("pos_pocket",))
    assert symmetry_content(apart, data, told)["output"]["0e"] == pytest.approx(1, abs=1e-9)
    # mutant: the pocket stays
    assert symmetry_content(apart, data, Contract("0e"))["output"]["0e"] < 1 - 1e-6


@pytest.mark.parametrize("points", [0, 1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_few_points_in_both_precisions(points: int, dtype: torch.dtype) -> None:
    def size(data: Any) -> Tensor:
        return data.pos.square().sum()[None, None] + 1

    shares = symmetry_content(size, Data(pos=CLOUD.pos[:points].to(dtype)), Contract("0e"))
    rounding = 1e-5 if dtype == torch.float32 else 1e-9
    assert shares["output"]["0e"] == pytest.approx(1, abs=rounding)
