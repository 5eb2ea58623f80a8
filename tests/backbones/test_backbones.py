"""What the networks share: readouts, inputs, pooling; and the plain PointNet."""

import inspect
import re

import pytest
import torch
from torch_geometric.data import Batch, Data

import backbones
from backbones import PET, ClassicPointNet, PointNet
from backbones.edges import attach_edges
from backbones.heads import Heads
from backbones.structures import centered, max_over, soft_mean_over, sum_over
from symmetrize import Contract, per_edge, per_point

OUTPUTS = {"energy": "0e", "polarizability": "ij=ji"}


@pytest.fixture
def net():
    torch.manual_seed(0)
    return PointNet(OUTPUTS, species=10, width=16, rounds=3).double()


def cloud(points: int, seed: int = 0) -> Data:
    generator = torch.Generator().manual_seed(seed)
    return Data(
        pos=torch.randn(points, 3, dtype=torch.float64, generator=generator),
        z=torch.randint(1, 10, (points,), generator=generator),
    )


def largest_difference(first: dict, second: dict) -> float:
    return max((first[name] - second[name]).abs().max().item() for name in OUTPUTS)


def test_species_may_be_left_out(net):
    data = cloud(4)
    same_kind = Data(pos=data.pos, z=torch.zeros_like(data.z))
    assert largest_difference(net(same_kind), net(Data(pos=data.pos))) == 0


def test_batch_vector_alone_tells_structures_apart(net):
    together = Batch.from_data_list([cloud(3, 0), cloud(2, 1)])
    plain = Data(pos=together.pos, z=together.z, batch=together.batch)
    assert largest_difference(net(together), net(plain)) == 0


def test_points_of_no_weight_do_not_matter(net):
    data, outside = cloud(4), cloud(3, 1)
    both = Data(pos=torch.cat([data.pos, outside.pos]), z=torch.cat([data.z, outside.z]))
    both.envelope = (torch.arange(7) < 4).double()
    # sums of O(10) terms of order 1: a few hundred units in the last place
    assert largest_difference(net(data), net(both)) < 300 * torch.finfo(torch.float64).eps


def test_the_unit_of_length_is_that_of_the_coordinates(net):
    data = cloud(5)
    torch.manual_seed(0)
    other = PointNet(OUTPUTS, species=10, width=16, rounds=3, length=4).double()
    scaled = Data(pos=4 * data.pos, z=data.z)
    assert largest_difference(net(data), other(scaled)) < 1e-15


@pytest.mark.parametrize("name", backbones.__all__)
def test_help_explains_every_argument(name: str) -> None:
    network = getattr(backbones, name)
    explained = re.findall(r"^    (\w+): ", inspect.getdoc(network) or "", re.MULTILINE)
    assert explained == list(inspect.signature(network).parameters)


# --- parts


BONDS = {"edge_index": torch.tensor([[0], [1]]), "edge_attr": torch.ones(1, 2)}
WIDE = BONDS | {"edge_cutoff": torch.tensor([[3.0]])}


@pytest.mark.parametrize(
    ("given", "keep", "stays"),
    [
        ({}, "any", False),
        (BONDS, "any", True),
        (BONDS, "wide", False),
        (WIDE, "wide", True),
        (WIDE | {"edge_cutoff": torch.tensor([[1.9]])}, "wide", False),
        (WIDE, "none", False),
    ],
    ids=["none", "any", "bonds for wide", "wide", "too short", "never"],
)
def test_edges_stay_or_go_with_all_that_is_said_of_them(given, keep, stays):
    data = Data(pos=torch.rand(3, 3), **given)
    found = {"edge_index": torch.tensor([[2], [0]])}
    prepared = attach_edges(data, lambda: found, keep, cutoff=2.0)
    if stays:
        assert prepared is data
    else:
        edges = {name for name in prepared.keys() if name.startswith("edge_")}  # noqa: SIM118
        assert edges == {"edge_index"}
        assert prepared.edge_index is found["edge_index"]
        assert {*data.keys()} == {"pos", *given}


@pytest.mark.parametrize("hidden", [0, 6])
def test_heads_return_what_is_declared(hidden):
    contract = Contract({"energy": "0e", "stress": "ij=ji", "forces": per_point("1o")})
    heads = Heads(contract, structure=4, point=5, hidden=hidden)
    found = heads(torch.rand(2, 4), torch.rand(7, 5))
    shapes = {name: tuple(value.shape) for name, value in found.items()}
    assert shapes == {"energy": (2, 1), "stress": (2, 3, 3), "forces": (7, 3)}


@pytest.mark.parametrize(
    "make",
    [
        lambda outputs: PointNet(outputs),
        lambda outputs: PET(outputs, [1]),
        lambda outputs: ClassicPointNet(outputs),
    ],
    ids=["PointNet", "PET", "ClassicPointNet"],
)
def test_rows_of_edges_are_refused_where_edges_have_no_features(make):
    with pytest.raises(ValueError, match="declares 'blocks' for each edge but"):
        make({"energy": "0e", "blocks": per_edge("ij")})


def test_heads_of_points_sum_over_those_that_count():
    heads = Heads(Contract({"energy": "0e", "forces": per_point("1o")}), structure=0, point=5)
    rows, batch = torch.rand(4, 5), torch.tensor([0, 0, 2, 2])
    each = heads.by_name["energy"](rows)
    found = heads.of_points(rows, batch, 3, torch.tensor([True, False, True, True]))
    expected = torch.stack([each[0], 0 * each[0], each[2] + each[3]])
    torch.testing.assert_close(found["energy"], expected)
    assert found["forces"].shape == (4, 3)


def test_pooling_of_structures():
    values = torch.tensor([[1.0, -2.0], [3.0, -4.0], [5.0, 0.5]])
    batch = torch.tensor([0, 0, 2])
    assert max_over(values, batch, 4).tolist() == [[3.0, -2.0], [0.0, 0.0], [5.0, 0.5], [0.0, 0.0]]
    assert sum_over(values, batch, 3).tolist() == [[4.0, -6.0], [0.0, 0.0], [5.0, 0.5]]
    halves = torch.tensor([0.5, 0.0, 2.0])
    assert sum_over(values, batch, 3, halves).tolist() == [[0.5, -1.0], [0.0, 0.0], [10.0, 1.0]]


def test_coordinates_are_taken_from_the_weighted_centroid():
    pos = torch.tensor([[1.0, 0.0, 0.0], [3.0, 0.0, 0.0], [9.0, 9.0, 9.0]])
    batch = torch.tensor([0, 0, 1])
    assert centered(pos, batch, 3)[:, 0].tolist() == [-1.0, 1.0, 0.0]
    weights = torch.tensor([1.0, 0.0, 0.5])
    assert centered(pos, batch, 3, weights)[:, 0].tolist() == [0.0, 2.0, 0.0]


def test_a_soft_mean_lies_between_the_mean_and_the_maximum():
    values = torch.tensor([[0.0, 1.0], [2.0, 3.0]], dtype=torch.float64)
    index, equal = torch.zeros(2, dtype=torch.long), torch.ones(2, dtype=torch.float64)
    flat = soft_mean_over(values, 0 * values, equal, index, 1)
    torch.testing.assert_close(flat, values.mean(0, keepdim=True))
    sharp = soft_mean_over(values, values, equal, index, 1)
    assert (sharp > flat).all()
    assert (sharp < values.amax(0)).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_soft_mean_ignores_what_has_no_weight(dtype):
    # 1e6 where nothing bends the logits would be infinite, or leave 0/0
    values = torch.tensor([[0.5], [1e6], [-1e6]], dtype=dtype, requires_grad=True)
    weights = torch.tensor([1.0, 0.0, 0.0], dtype=dtype, requires_grad=True)
    found = soft_mean_over(values, values, weights, torch.zeros(3, dtype=torch.long), 1)
    assert found.item() == 0.5
    found.sum().backward()
    assert torch.isfinite(values.grad).all()
    assert torch.isfinite(weights.grad).all()
