"""Networks with edges: those of a copy are those of its structure."""

import pytest
import torch
from torch_geometric.data import Batch, Data

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
