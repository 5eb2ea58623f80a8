"""Networks with edges: those of a copy are those of its structure."""

from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch, Data

from backbones import PET
from symmetrize import HierarchicalFrames, Symmetrizer, per_edge
from tests.common.laws import (
    MATRICES,
    SCOPES,
    SPEC,
    configured,
    edges_within,
    inputs_error,
    scopes,
)
from tests.common.networks import MessagePassing
from tests.common.strata import (
    CASES,
)


@pytest.mark.parametrize("given_vectors", [False, True], ids=["from positions", "given"])
@scopes
def test_networks_with_edges(scope: str, given_vectors: bool) -> None:
    reach = 2.0
    net = MessagePassing(SPEC, reach, given=given_vectors)
    inputs = {"pos": "1o", "edge_vector": "1o"} if given_vectors else None
    model = configured(scope, "O(3)", outputs=SPEC, net=net, inputs=inputs)
    items = []
    for name in ("generic", "line", "atom", "cube", "empty", "polygon"):
        points = CASES[name].points()
        edges = edges_within(points, reach)
        items.append(
            Data(pos=points, edge_index=edges, edge_vector=points[edges[1]] - points[edges[0]])
        )
    batch = Batch.from_data_list(items)
    turning = {"edge_vector": "1o"}
    assert inputs_error(model, batch, SPEC, turning, MATRICES) <= 1e-12
    alone = torch.cat([model(item) for item in items])
    torch.testing.assert_close(model(batch), alone, atol=1e-13, rtol=0)


def test_edges_of_an_unsorted_batch_vector() -> None:
    rows = [CASES[name].points() for name in ("generic", "line", "cube")]
    index = torch.repeat_interleave(torch.arange(3), torch.tensor([len(r) for r in rows]))
    items = [Data(pos=row, edge_index=edges_within(row, 2.0)) for row in rows]
    batch = Batch.from_data_list(items)
    order = torch.randperm(len(index), generator=torch.Generator().manual_seed(1))
    place = torch.empty_like(order).scatter_(0, order, torch.arange(len(order)))
    shuffle = torch.randperm(batch.edge_index.size(1), generator=torch.Generator().manual_seed(2))
    mixed = Data(
        pos=batch.pos[order], batch=index[order], edge_index=place[batch.edge_index][:, shuffle]
    )
    for scope in SCOPES:
        model = configured(scope, "O(3)", outputs=SPEC, net=MessagePassing(SPEC, 2.0))
        expected = model(batch)
        expected = expected if scope == "structure" else expected[order]
        torch.testing.assert_close(model(mixed), expected, atol=1e-13, rtol=0)


def test_a_local_message_passing_network_sees_the_same_edges_in_an_environment() -> None:
    # an environment of radius 3 holds all points of a small cloud, so that without turning, an
    # environment and the cloud are one to a network that does not know the origin
    points = CASES["tetrahedron"].points()
    net = MessagePassing("0e", 2.9)
    data = Data(pos=points, edge_index=edges_within(points, 2.9))
    seen = configured("center", "SO(3)", outputs="0e", net=net)(data)
    whole = configured("structure", "SO(3)", outputs="0e", net=net)(data)
    torch.testing.assert_close(seen, whole.expand_as(seen), atol=1e-12, rtol=0)


@pytest.mark.parametrize("scope", ["structure", "center"])
def test_edges_that_the_network_finds_stand_in_for_those_of_the_data(scope: str) -> None:
    """Bonds that the data comes with are not those that the network was made for."""
    torch.manual_seed(0)
    net = PET({"energy": "0e"}, species=[1, 8], width=16, rounds=1, cutoff=3.0).double()
    model = Symmetrizer(net, scope=scope)
    bare = Data(pos=torch.randn(6, 3).double(), z=torch.tensor([1, 8, 1, 1, 8, 1]))
    bonded = bare.clone()
    bonded.edge_index, bonded.edge_attr = torch.tensor([[0, 1], [1, 0]]), torch.rand(2, 3)
    torch.testing.assert_close(model(bonded), model(bare), rtol=0, atol=0)


@pytest.mark.parametrize("factor", [2, 0])
def test_edges_that_prepare_replaces_are_replaced_in_environments(factor: int) -> None:
    def prepare(data: Data) -> Data:
        data.edge_index = data.edge_index.repeat(1, factor)
        data.edge_attr = data.edge_attr.repeat(factor, 1)
        return data

    def weights(data: Data) -> torch.Tensor:
        whose = data.batch[data.edge_index[0]]
        total = data.pos.new_zeros(data.num_graphs, 1) + 0 * data.pos.sum()
        return total.index_add(0, whose, data.edge_attr)

    data = Data(pos=torch.randn(5, 3).double(), edge_attr=torch.rand(4, 1).double())
    data.edge_index = torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]])
    frames = HierarchicalFrames(cutoff=20.0)
    plain = Symmetrizer(weights, "0e", frames=frames, scope="center")
    model = Symmetrizer(weights, "0e", frames=frames, scope="center", prepare=prepare)
    torch.testing.assert_close(model(data), factor * plain(data))


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(torch.zeros(2, 0), id="none, as floats"),
        pytest.param([], id="none, as a list"),
        pytest.param(np.zeros((2, 0), dtype=np.int32), id="none, as an array"),
        pytest.param([[0, 1], [1, 0]], id="a list"),
        pytest.param(np.array([[0, 1], [1, 0]]), id="an array"),
    ],
)
@pytest.mark.parametrize("scope", ["structure", "center"])
def test_edges_are_accepted_where_they_mean_one_thing(scope: str, given: Any) -> None:
    def lengths(data: Data) -> torch.Tensor:
        first, second = data.pos[data.edge_index]
        return (second - first).norm(dim=1, keepdim=True)

    pos = torch.tensor([[0.0, 0, 0], [1.5, 0, 0], [0, 2, 0], [1, 1, 1]], dtype=torch.float64)
    frames, data = HierarchicalFrames(cutoff=4.0), Data(pos=pos, edge_index=given)
    found = Symmetrizer(lengths, per_edge("0e"), frames=frames, scope=scope)(data)
    assert found.flatten().tolist() == pytest.approx([1.5, 1.5] if np.asarray(given).size else [])


def test_edges_of_floats_are_refused() -> None:
    data = Data(pos=torch.randn(4, 3), edge_index=torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    with pytest.raises(ValueError, match=r"`edge_index` is torch.float32 .* must be int64"):
        Symmetrizer(lambda one: one.pos.sum(), "0e")(data)
