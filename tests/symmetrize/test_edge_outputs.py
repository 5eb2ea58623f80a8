"""Outputs with one row for each edge: blocks of pairs, forces along bonds."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.data import Batch, Data

from backbones.adapters import connect
from symmetrize import (
    HierarchicalFrames,
    PairFrames,
    Symmetrizer,
    log_probabilities,
    per_edge,
    per_point,
)
from symmetrize.frames.pairs import Pruning
from symmetrize.groups import random_elements
from symmetrize.scopes import center
from tests.common.strata import CASES

# Shapes are checked in other tests: here they would take most of the time
pytestmark = pytest.mark.usefixtures("unchecked_shapes")

# 1.3 times the longest edge, and a little more
CUTOFF = 3.4


def connected(pos: Tensor, seed: int = 0, radius: float = 2.5, **more: Any) -> Data:
    """Points with both directions of every edge within a radius, in a random order."""
    near = torch.cdist(pos, pos) < radius
    near.fill_diagonal_(False)
    edges = near.nonzero().T
    order = torch.randperm(edges.shape[1], generator=torch.Generator().manual_seed(seed))
    return Data(pos=pos, edge_index=edges[:, order], **more)


def clouds() -> list[Data]:
    generator = torch.Generator().manual_seed(5)

    def points(number: int) -> Tensor:
        return torch.randn(number, 3, generator=generator, dtype=torch.float64)

    flat = points(5) * torch.tensor([1.0, 1.0, 0.0])
    line = points(4) * torch.tensor([1.0, 0.0, 0.0])
    several = [points(6), points(1), flat, line, torch.zeros(0, 3, dtype=torch.float64), points(3)]
    return [connected(pos, seed) for seed, pos in enumerate(several)]


def blocks(data: Data) -> Tensor:
    """(E, 3, 3), without any symmetry: of both ends, and of the middle of the structure."""
    first, second = data.pos[data.edge_index]
    vectors = second - first
    whole = data.pos.new_zeros(data.num_graphs, 3).index_add(0, data.batch, data.pos.sin())
    whole = whole[data.batch[data.edge_index[0]]]
    left = torch.stack([vectors.sin(), first.cumsum(-1), whole], 1)
    return left @ torch.stack([vectors, second.square(), vectors.exp()], 2)


def of_environments(data: Data) -> Tensor:
    """Likewise, of edges alone: what fades with the distance and ends at 2.5."""
    first, second = data.pos[data.edge_index]
    vectors = second - first
    fades = (1 - vectors.square().sum(-1) / 2.5**2).clamp(min=0).pow(3)
    return fades[:, None, None] * (vectors.exp()[:, :, None] * vectors.sin()[:, None, :])


NETWORKS: dict[str, tuple[Callable[[Data], Tensor], dict[str, Any]]] = {
    "structure": (blocks, {}),
    "chunks": (blocks, {"chunk_size": 3}),
    "center": (
        of_environments,
        {"scope": "center", "frames": HierarchicalFrames(cutoff=CUTOFF)},
    ),
    "center in chunks": (
        of_environments,
        {"scope": "center", "frames": HierarchicalFrames(cutoff=CUTOFF), "chunk_size": 5},
    ),
}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", list(NETWORKS))
def test_blocks_turn_with_the_cloud_and_keep_the_order_of_edges(
    name: str, dtype: torch.dtype
) -> None:
    net, options = NETWORKS[name]
    model = Symmetrizer(net, per_edge("ij"), **options)
    batch = Batch.from_data_list(clouds())
    batch.pos = batch.pos.to(dtype)
    here = model(batch)
    assert here.shape == (batch.edge_index.shape[1], 3, 3)
    for turn in random_elements(4, "O(3)", torch.Generator().manual_seed(1)):
        turned = batch.clone()
        turned.pos = batch.pos @ turn.to(dtype).T
        expected = turn.to(dtype) @ here @ turn.to(dtype).T
        # a few hundred operations on numbers up to the largest block
        error = (model(turned) - expected).abs().max() / here.std()
        assert error < (1e-12 if dtype == torch.float64 else 2e-5)


@pytest.mark.parametrize("name", list(NETWORKS))
def test_each_structure_answers_for_its_edges_alone(name: str) -> None:
    net, options = NETWORKS[name]
    model = Symmetrizer(net, per_edge("ij"), **options)
    several = [one for one in clouds() if one.edge_index.numel()]
    alone = torch.cat([model(one) for one in several])
    together = model(Batch.from_data_list(several))
    assert (alone - together).abs().max() < 1e-12 * together.abs().max()


@pytest.mark.parametrize("name", list(NETWORKS))
def test_rows_follow_the_edges_as_they_are_permuted(name: str) -> None:
    net, options = NETWORKS[name]
    model = Symmetrizer(net, per_edge("ij"), **options)
    data = clouds()[0]
    here = model(data)
    order = torch.randperm(len(here), generator=torch.Generator().manual_seed(2))
    data.edge_index = data.edge_index[:, order]
    assert (model(data) - here[order]).abs().max() < 1e-12 * here.abs().max()


@pytest.mark.parametrize("name", list(CASES))
def test_blocks_are_exact_on_degenerate_clouds(name: str) -> None:
    data = connected(CASES[name].points(), radius=10.0)
    model = Symmetrizer(blocks, per_edge("ij"))
    here = model(data)
    # a few hundred operations on numbers up to the largest block of any copy: of fragments far
    # apart it is a thousand times their average, which has that much less of their digits
    seen: list[Tensor] = []
    Symmetrizer(lambda copies: seen.append(blocks(copies)) or seen[-1], per_edge("ij"))(data)
    atol = 1e-12 * max([1.0, *seen[0].abs().flatten().tolist()])
    for turn in random_elements(2, "O(3)", torch.Generator().manual_seed(3)):
        there = model(Data(pos=data.pos @ turn.T, edge_index=data.edge_index))
        torch.testing.assert_close(there, turn @ here @ turn.T, rtol=0, atol=atol)


@pytest.mark.parametrize("perfect", [True, False], ids=["at rest", "rattled"])
def test_blocks_of_crystals_turn_with_cell_and_images(perfect: bool) -> None:
    """Several edges may join the same two points, by way of different images."""
    cell = 3.6 * torch.tensor([[0.0, 1, 1], [1, 0, 1], [1, 1, 0]], dtype=torch.float64) / 2
    pos = torch.stack([torch.zeros(3).double(), cell.sum(0) / 4])
    noise = torch.randn(2, 3, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    pos = pos if perfect else pos + 0.1 * noise

    def along(data: Data) -> Tensor:
        neighbor, center = data.edge_index
        shifts = torch.einsum("ei,eij->ej", data.edge_shift.double(), data.cell[data.batch[center]])
        vectors = data.pos[neighbor] + shifts - data.pos[center]
        return vectors.exp()[:, :, None] * vectors[:, None, :].sin()

    frames = HierarchicalFrames(cutoff=4.0)
    model = Symmetrizer(along, per_edge("ij"), frames=frames)
    connected_by = connect(radius=2.7)
    here = connected_by(Data(pos=pos, cell=cell[None], pbc=torch.ones(1, 3).bool()))
    assert here.edge_index.shape[1] > 20
    blocks = model(here)
    for turn in random_elements(2, "O(3)", torch.Generator().manual_seed(3)):
        there = here.clone()
        there.pos, there.cell = pos @ turn.T, (cell @ turn.T)[None]
        expected = turn @ blocks @ turn.T
        torch.testing.assert_close(model(there), expected, rtol=0, atol=1e-12 * blocks.abs().max())


def test_the_average_is_that_of_the_formula() -> None:
    """The independent path: copies made one by one."""
    data = clouds()[0]
    model = Symmetrizer(blocks, per_edge("ij"))
    ensemble = model.ensemble(data)
    centered = data.pos - data.pos.mean(0)
    expected = torch.zeros(data.edge_index.shape[1], 3, 3, dtype=torch.float64)
    for rotation, weight in zip(ensemble.rotations, ensemble.weights, strict=True):
        copy = Batch.from_data_list([Data(pos=centered @ rotation, edge_index=data.edge_index)])
        expected += weight * (rotation @ blocks(copy) @ rotation.T)
    assert (model(data) - expected).abs().max() < 1e-12 * expected.abs().max()


def test_a_center_answers_for_the_edges_that_lead_from_it() -> None:
    """What is made of an edge is made in the environment of its first end, and there alone."""

    def distances_from_the_first(data: Data) -> Tensor:
        assert data.is_center.sum() == data.num_graphs
        return data.pos[data.edge_index[0]].norm(dim=-1)

    frames = HierarchicalFrames(cutoff=CUTOFF)
    model = Symmetrizer(distances_from_the_first, per_edge("0e"), frames=frames, scope="center")
    assert model(clouds()[0]).abs().max() == 0


@pytest.mark.parametrize("distance", [1.0, 2.0, 2.6])
@pytest.mark.parametrize("name", ["structure", "center"])
def test_what_is_invariant_by_itself_is_left_as_it_is(name: str, distance: float) -> None:
    """Of a lonely pair, too: every member of the ensemble answers for each edge."""

    def lengths(data: Data) -> Tensor:
        first, second = data.pos[data.edge_index]
        return (second - first).norm(dim=1, keepdim=True)

    points = [[0.0, 0.0, 0.0], [0.0, 0.0, distance], [50.0, 0.0, 0.0]]
    data = connected(torch.tensor(points, dtype=torch.float64), radius=3.0)
    model = Symmetrizer(lengths, per_edge("0e"), **NETWORKS[name][1])
    torch.testing.assert_close(model(data), lengths(data), rtol=1e-12, atol=0)


def test_kinds_of_bonds_have_probabilities_that_add_up_to_one() -> None:
    def kinds(data: Data) -> Tensor:
        return blocks(data).flatten(1).log_softmax(-1)

    outputs = log_probabilities("9x0e", rows="edge")
    assert str(outputs) == "log_probabilities('9x0e', rows='edge')"
    data = clouds()[0]
    total = Symmetrizer(kinds, outputs)(data).exp().sum(-1)
    torch.testing.assert_close(total, torch.ones_like(total))


@pytest.mark.parametrize("name", ["structure", "center"])
def test_a_copy_of_the_data_that_prepare_returns_has_the_same_edges(name: str) -> None:
    net, options = NETWORKS[name]
    data = clouds()[0]
    here = Symmetrizer(net, per_edge("ij"), **options)(data)
    there = Symmetrizer(net, per_edge("ij"), prepare=lambda one: one.clone(), **options)(data)
    torch.testing.assert_close(here, there, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["structure", "center"])
def test_edges_may_be_an_index_of_torch_geometric(name: str) -> None:
    net, options = NETWORKS[name]
    data = clouds()[0]
    given = data.clone()
    given.edge_index = EdgeIndex(data.edge_index, sparse_size=(len(data.pos), len(data.pos)))
    model = Symmetrizer(net, per_edge("ij"), **options)
    torch.testing.assert_close(model(given), model(data), rtol=0, atol=0)


def test_gradients_through_blocks_are_those_of_differences() -> None:
    data = clouds()[0]
    model = Symmetrizer(blocks, per_edge("ij"))

    def total(pos: Tensor) -> Tensor:
        return model(Data(pos=pos, edge_index=data.edge_index)).square().mean()

    assert torch.autograd.gradcheck(total, data.pos.requires_grad_(), atol=1e-5)


def test_spread_has_one_row_for_each_edge() -> None:
    data = clouds()[0]
    assert Symmetrizer(blocks, per_edge("ij")).spread(data).shape == (data.edge_index.shape[1], 1)


def test_outputs_of_all_kinds_go_side_by_side() -> None:
    def net(data: Data) -> dict[str, Tensor]:
        pooled = data.pos.new_zeros(data.num_graphs, 3).index_add(0, data.batch, data.pos.exp())
        return {"dipole": pooled, "forces": data.pos.exp(), "blocks": blocks(data)}

    outputs = {"dipole": "1o", "forces": per_point("1o"), "blocks": per_edge("ij")}
    batch = Batch.from_data_list(clouds())
    found = Symmetrizer(net, outputs)(batch)
    assert {name: len(value) for name, value in found.items()} == {
        "dipole": batch.num_graphs,
        "forces": len(batch.pos),
        "blocks": batch.edge_index.shape[1],
    }


@pytest.mark.parametrize("scope", ["structure", "center"])
def test_an_auxiliary_model_answers_for_edges_as_the_network_does(scope: Any) -> None:
    """It is called as the network is, with a batch of structures or environments."""

    def outer(data: Data) -> Tensor:
        assert data.num_graphs == len(data.ptr) - 1
        first, second = data.pos[data.edge_index]
        vectors = second - first
        return vectors[:, :, None] * vectors[:, None, :]

    frames = PairFrames(CUTOFF, auxiliary=outer, prune=Pruning())
    model = Symmetrizer(outer, per_edge("ij"), frames=frames, scope=scope)
    line = connected(torch.tensor([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]]).double())
    bent = connected(torch.tensor([[0.0, 0, 0], [1, 0, 0], [1, 1, 0]]).double())
    for several in ([line], [line, bent]):
        data = Batch.from_data_list(several)
        torch.testing.assert_close(model(data), outer(data))


# --- mistakes


@pytest.mark.parametrize(
    ("net", "outputs", "data", "said"),
    [
        pytest.param(
            blocks,
            per_edge("ij"),
            Data(pos=torch.rand(4, 3)),
            "is declared per_edge.*`edge_index`.*the data has none.*set data.edge_index",
            id="no edges",
        ),
        pytest.param(
            lambda d: d.pos[d.edge_index[0]],
            "1o",
            connected(torch.rand(4, 3)),
            r"it has rows of edges: declare it as per_edge\(...\), or pool it",
            id="edges for structures",
        ),
        pytest.param(
            lambda d: d.pos[d.edge_index[0]],
            per_point("1o"),
            connected(torch.rand(4, 3)),
            r"it has rows of edges: declare it as per_edge\(...\)",
            id="edges for points",
        ),
        pytest.param(
            lambda d: d.pos,
            per_edge("1o"),
            connected(torch.rand(4, 3)),
            r"it has rows of points: declare it as per_point\(...\)",
            id="points for edges",
        ),
        pytest.param(
            lambda d: d.pos,
            "1o",
            Data(pos=torch.rand(3, 3), edge_index=torch.tensor([[0, 1, 2], [1, 2, 0]])),
            r"as many rows as there are points, and edges: declare it as per_point\(...\) or per_",
            id="as many edges as points",
        ),
        pytest.param(
            lambda d: d.pos.repeat(3, 1),
            "1o",
            Data(pos=torch.rand(4, 3)),
            r"rows of edges are declared as per_edge\(...\), with their `edge_index` in the data",
            id="edges of its own",
        ),
        pytest.param(
            lambda d: d.pos.new_zeros(d.num_graphs, 3),
            per_edge("1o"),
            connected(torch.rand(4, 3)),
            "it has rows of structures: declare it without per_edge",
            id="structures for edges",
        ),
        pytest.param(
            lambda d: (d.pos[d.edge_index[0]], d.pos, 1),
            "1o",
            connected(torch.rand(4, 3)),
            r"outputs=\(per_edge\('1o'\), per_point\('1o'\), None\)",
            id="proposed by number",
        ),
    ],
)
def test_what_does_not_fit_is_named(
    net: Callable[[Data], Tensor], outputs: Any, data: Data, said: str
) -> None:
    with pytest.raises((ValueError, TypeError), match=said):
        Symmetrizer(net, outputs)(data)


def test_edges_that_are_long_for_their_environments_are_refused() -> None:
    data = connected(torch.tensor([[0.0, 0, 0], [0, 0, 3.0], [1, 0, 0]]), radius=10.0)
    frames = HierarchicalFrames(cutoff=CUTOFF)
    model = Symmetrizer(of_environments, per_edge("ij"), frames=frames, scope="center")
    with pytest.raises(ValueError, match=r"edges reach up to 3.162.*cutoff=4.111\)"):
        model(data)


def test_edges_that_a_collapsed_copy_loses_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the rule of lengths, an edge that has no frames left would be a silent zero."""
    monkeypatch.setattr(center, "BEYOND", 1.0)
    data = connected(torch.tensor([[0.0, 0, 0], [0, 0, 3.2]]), radius=10.0)
    frames = HierarchicalFrames(cutoff=CUTOFF)
    model = Symmetrizer(of_environments, per_edge("ij"), frames=frames, scope="center")
    with pytest.raises(ValueError, match="2 of 2 edges reach into the end of their environment"):
        model(data)


def test_edges_that_prepare_finds_in_environments_are_no_rows_of_the_data() -> None:
    def prepare(data: Data) -> Data:
        data.edge_index = torch.arange(len(data.pos)).repeat(2, 1)
        return data

    frames = HierarchicalFrames(cutoff=CUTOFF)
    model = Symmetrizer(
        of_environments, per_edge("ij"), frames=frames, scope="center", prepare=prepare
    )
    with pytest.raises(
        ValueError, match="edges are those of the data itself, none that `prepare` finds"
    ):
        model(Data(pos=torch.rand(3, 3)))
