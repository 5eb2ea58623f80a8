"""Copies are a faithful batch of torch-geometric: whatever is stored beside positions."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric import EdgeIndex, Index
from torch_geometric.data import Batch, Data

from symmetrize import HierarchicalFrames, QuadratureFrames, Symmetrizer
from symmetrize.data.attributes import leaves
from symmetrize.data.clusters import clusters
from symmetrize.data.copies import Source, turned_copies
from symmetrize.data.layout import layout
from symmetrize.data.plan import Plan
from symmetrize.data.reading import read_points
from symmetrize.data.whose import Reader
from symmetrize.points.environments import environments
from symmetrize.representation import as_representation
from tests.common.companions import COMPANIONS, Companion, WithTable, bonds, points, triplets

# Sums of a few hundred terms of order one
ROUNDING = 1e-12
SIZES = ((5, 1), (4, 2), (7, 3))
# compressed matrices are announced as a beta feature
pytestmark = pytest.mark.filterwarnings("ignore:Sparse:UserWarning")
companions = pytest.mark.parametrize("companion", COMPANIONS.values(), ids=list(COMPANIONS))


def structures(companion: Companion) -> list[Data]:
    made = [companion.make(size, seed) for size, seed in SIZES]
    for one in made:
        one.pos = one.pos - one.pos.mean(0)
    return made


def bare(companion: Companion, items: list[Data]) -> Tensor:
    """The answers to structures, each in a batch of its own."""
    batches = [Batch.from_data_list([one], follow_batch=list(companion.follow)) for one in items]
    return torch.cat([companion.net(batch) for batch in batches])


@companions
def test_networks_of_invariants_answer_as_without_the_wrapper(companion: Companion) -> None:
    items = structures(companion)
    expected = bare(companion, items)
    model = Symmetrizer(lambda data: companion.net(data)[:, None], "0e", chunk_size=5)
    follow = list(companion.follow)
    batch = Batch.from_data_list(items, follow_batch=follow)
    together = model(batch)
    # whose numbers torch-geometric raises, the network sees so
    same = companion.net(batch) if companion.raised else expected
    torch.testing.assert_close(together[:, 0], same, atol=ROUNDING, rtol=ROUNDING)
    if not follow:  # without which rows of a second kind belong to nobody
        alone = torch.cat([model(one) for one in items])
        torch.testing.assert_close(alone[:, 0], expected, atol=ROUNDING, rtol=ROUNDING)


OF_STRUCTURES_ONLY = ("edges to a second kind", "a sparse matrix", "a compressed sparse matrix")


@pytest.mark.parametrize("name", [name for name in COMPANIONS if name not in OF_STRUCTURES_ONLY])
def test_environments_that_hold_all_answer_as_the_structure(name: str) -> None:
    companion = COMPANIONS[name]
    items = structures(companion)
    frames = HierarchicalFrames(cutoff=12.0, preset="lean")
    model = Symmetrizer(
        lambda data: companion.net(data)[:, None], "0e", frames=frames, scope="center"
    )
    if companion.raised:
        items = items[:1]
    found = model(Batch.from_data_list(items, follow_batch=list(companion.follow)))
    expected = []
    for one in items:
        for center in one.pos:
            moved = copy.copy(one)
            moved.pos = one.pos - center
            expected.append(bare(companion, [moved]))
    torch.testing.assert_close(found[:, 0], torch.cat(expected), atol=ROUNDING, rtol=ROUNDING)


@pytest.mark.parametrize("name", OF_STRUCTURES_ONLY)
def test_what_no_environment_has_a_part_of_is_refused(name: str) -> None:
    companion = COMPANIONS[name]
    called = []
    model = Symmetrizer(called.append, "0e", frames=HierarchicalFrames(cutoff=12.0), scope="center")
    with pytest.raises(ValueError, match=r'scope "center".*(contact_index|adj_t)'):
        model(structures(companion)[0])
    assert not called


@companions
def test_copies_are_what_torch_geometric_collates(companion: Companion) -> None:
    """The independent path: turn each structure, then let torch-geometric make the batch."""
    items = structures(companion)
    follow = list(companion.follow)
    data = Batch.from_data_list(items, follow_batch=follow)
    ensemble = QuadratureFrames(1)(data.pos, data.batch, group="SO(3)").take(
        torch.tensor([0, 3, 1, 7, 17, 30, 35])
    )
    source = Source(data, layout(data), data.pos, {"pos": as_representation("1o")})
    made = turned_copies(source, ensemble.index, ensemble.rotations, ensemble.isotropic).data
    turned = []
    for rotation, index in zip(ensemble.rotations, ensemble.index.tolist(), strict=True):
        one = data.get_example(index) if not sparse(data) else copy.copy(items[index])
        one.pos = one.pos @ rotation
        turned.append(one)
    expected = Batch.from_data_list(turned, follow_batch=follow)
    assert {*made.keys()} - {"num_nodes"} == {*expected.keys()}
    for name in expected.keys():  # noqa: SIM118
        if name not in companion.unlike:
            compare(made[name], expected[name], name)
    if sparse(data):
        return
    for mine, theirs in zip(made.to_data_list(), expected.to_data_list(), strict=True):
        for name in theirs.keys():  # noqa: SIM118
            if name not in companion.unlike:
                compare(mine[name], theirs[name], name)


def sparse(data: Data) -> bool:
    return any(isinstance(v, Tensor) and v.layout != torch.strided for v in data.to_dict().values())


def compare(mine: Any, theirs: Any, name: str) -> None:
    left, right = list(leaves(mine, name)), list(leaves(theirs, name))
    assert [path for path, _, _ in left] == [path for path, _, _ in right]
    for (path, _, ours), (_, _, other) in zip(left, right, strict=True):
        if isinstance(other, Tensor):
            assert ours.dtype == other.dtype, path
            torch.testing.assert_close(ours.to_dense(), other.to_dense(), atol=1e-14, rtol=0)
        elif isinstance(other, list) and hasattr(other[0], "tolist"):
            assert [one.tolist() for one in ours] == [one.tolist() for one in other], path
        else:
            assert str(ours) == str(other), path


# --- padding, and entries that are no places


def test_padding_stays_padding_in_every_copy() -> None:
    data = Batch.from_data_list([COMPANIONS["a padded table"].make(size, s) for size, s in SIZES])
    seen = []

    def net(batch: Data) -> Tensor:
        seen.append((batch.neighbors == -1).sum(1))
        assert int(batch.neighbors.min()) >= -1
        return batch.pos.new_zeros(batch.num_graphs, 1)

    rows = torch.cat([(data[k].neighbors == -1).sum(1) for k in range(3)])
    Symmetrizer(net, "0e")(data)
    assert int(rows.sum()) > 0
    assert int(seen[0].sum()) % int(rows.sum()) >= 0
    assert {*seen[0].tolist()} == {*rows.tolist()}


def test_an_entry_that_is_no_place_is_refused_by_name() -> None:
    data = WithTable(pos=points(3, 0), neighbors=torch.tensor([[1, 3], [0, 3], [0, 1]]))
    called: list[Data] = []
    with pytest.raises(ValueError, match=r"(?s)'neighbors' counts.*contains 3.*has 3.*pad with -1"):
        Symmetrizer(called.append, "0e")(data)
    assert not called


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(
            lambda: Data(
                pos=points(5, 0), batch=torch.tensor([0, 0, 0, 1, 1]), lattice_basis=torch.ones(3)
            ),
            "'lattice_basis'.*3 rows.*neither to points nor to edges nor to the 2 structures",
            id="rows of nobody",
        ),
        pytest.param(
            lambda: Data(pos=points(3, 0), edge_index=torch.tensor([[0, 1], [1, 3]])),
            "`edge_index` reaches from 0 to 3 but there are 3 points",
            id="an edge to nowhere",
        ),
        pytest.param(
            lambda: Data(pos=points(3, 0), edge_index=torch.tensor([[0, -1], [1, 0]])),
            "`edge_index` reaches from -1 to 1",
            id="padded edges",
        ),
        pytest.param(
            lambda: Data(
                pos=points(4, 0),
                batch=torch.tensor([0, 0, 1, 1]),
                edge_index=torch.tensor([[0, 1], [1, 2]]),
            ),
            "`edge_index` leads from 1, a point of structure 0, to 2, one of structure 1",
            id="an edge between structures",
        ),
        pytest.param(
            lambda: Data(pos=points(2, 0), rows=torch.nested.nested_tensor([torch.ones(2)])),
            "'rows' is a nested tensor",
            id="nested",
        ),
        pytest.param(
            lambda: Data(pos=points(3, 0), adj=torch.eye(4).to_sparse()),
            "'adj' is a sparse tensor.*between the 3 points",
            id="a sparse matrix of something else",
        ),
        pytest.param(
            lambda: unsorted(triplets),
            "'three_body_indices'.*collate with torch_geometric's Batch",
            id="pairs of unknown edges",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_what_cannot_be_copied_is_refused_before_the_network_is_called(
    make: Callable[[], Data], message: str
) -> None:
    called: list[Data] = []
    with pytest.raises(ValueError, match=f"(?s){message}"):
        Symmetrizer(called.append, "0e")(make())
    assert not called


def unsorted(make: Callable[[int, int], Data]) -> Data:
    """Two structures in one ``Data``, with an entry that counts no edge."""
    made = [make(5, 1), make(4, 2)]
    batch = Batch.from_data_list(made)
    pairs = batch.three_body_indices.clone()
    pairs[:, 0] = -1
    return type(made[0])(
        pos=batch.pos, batch=batch.batch, edge_index=batch.edge_index, three_body_indices=pairs
    )


@pytest.mark.parametrize("name", ["attributes of edges", "pairs of edges", "a padded table"])
def test_batch_vectors_need_not_be_sorted(name: str) -> None:
    """Structures in one ``Data`` that nobody collated, their points in any order."""
    companion = COMPANIONS[name]
    items = structures(companion)
    whole = Batch.from_data_list(items)
    order = torch.randperm(len(whole.pos), generator=torch.Generator().manual_seed(0))
    place = order.argsort()
    data = type(items[0])(pos=whole.pos[order], batch=whole.batch[order])
    for key in ("edge_index", "neighbors"):
        if key in whole and key == "edge_index":
            data[key] = place[whole[key]]
        elif key in whole:
            tables = torch.cat(
                [
                    torch.where(one[key] < 0, -1, one[key] + start)
                    for one, start in zip(items, whole.ptr.tolist(), strict=False)
                ]
            )
            data[key] = torch.where(tables < 0, -1, place[tables.clamp(min=0)])[order]
    for key in ("edge_attr", "bond_order", "three_body_indices", "three_body_weight"):
        if key in whole:
            data[key] = whole[key]
    model = Symmetrizer(lambda data: companion.net(data)[:, None], "0e")
    expected = bare(companion, items)
    torch.testing.assert_close(model(data)[:, 0], expected, atol=ROUNDING, rtol=ROUNDING)


def test_edges_may_be_replaced_after_collation() -> None:
    batch = Batch.from_data_list([bonds(5, 1), bonds(4, 2)])
    kept = torch.arange(batch.edge_index.size(1)) % 3 > 0
    for name in ("edge_attr", "bond_order"):
        batch[name] = batch[name][kept]
    batch.edge_index = batch.edge_index[:, kept]
    companion = COMPANIONS["attributes of edges"]
    found = Symmetrizer(lambda data: companion.net(data)[:, None], "0e")(batch)
    torch.testing.assert_close(found[:, 0], companion.net(batch), atol=ROUNDING, rtol=ROUNDING)


def test_points_and_edges_may_be_permuted_after_collation() -> None:
    batch = Batch.from_data_list([bonds(5, 1), bonds(4, 2)])
    batch.mass = torch.arange(9).double() + 1
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(9, generator=generator)
    for name in ("pos", "batch", "mass"):
        batch[name] = batch[name][order]
    batch.edge_index = order.argsort()[batch.edge_index]
    order = torch.randperm(batch.edge_index.size(1), generator=generator)
    batch.edge_index = batch.edge_index[:, order]
    for name in ("edge_attr", "bond_order"):
        batch[name] = batch[name][order]

    def net(data: Data) -> Tensor:
        masses = data.pos.new_zeros(data.num_graphs).index_add(0, data.batch, data.mass.square())
        return (masses * COMPANIONS["attributes of edges"].net(data))[:, None]

    torch.testing.assert_close(
        Symmetrizer(net, "0e")(batch), net(batch), atol=ROUNDING, rtol=ROUNDING
    )


@pytest.mark.parametrize("scope", ["structure", "center"])
def test_networks_may_write_into_what_they_get(scope: Any) -> None:
    data = Data(pos=points(4, 0), scale=torch.tensor(2.0), order=3, shared=torch.ones(1))

    def net(batch: Data) -> Tensor:
        for value in (batch.scale, batch.order, batch.shared):
            value.add_(1)
        return batch.pos.new_zeros(batch.num_graphs, 1)

    Symmetrizer(net, "0e", frames=HierarchicalFrames(cutoff=12.0), scope=scope)(data)
    assert (data.scale, data.order, data.shared) == (2.0, 3, 1.0)


# --- what an environment takes


@pytest.mark.parametrize("name", ["columns of triplets", "pairs of edges"])
def test_environments_take_whole_rows_of_tables_in_their_order(name: str) -> None:
    """Triplets by their points, one environment after the other."""
    data = Batch.from_data_list(structures(COMPANIONS[name]))
    rows = layout(data)
    found = environments(read_points(data, rows), 2.0)
    made = clusters(data, rows, found, {}).source
    pairs = data.get("three_body_indices")
    pairs = torch.stack([data.idx_kj, data.idx_ji]) if pairs is None else pairs
    took = made.data.get("three_body_indices")
    took = torch.stack([made.data.idx_kj, made.data.idx_ji]) if took is None else took
    weight = next(key for key in ("weight", "three_body_weight") if key in data)
    ends = data.edge_index[:, pairs].flatten(0, 1)
    cut = 0
    for center in range(len(data.pos)):
        inside = torch.isin(ends, found.source[found.owner == center]).all(0)
        here = made.layout.rows[weight].owner == center
        assert torch.equal(made.data[weight][here], data[weight][inside])
        mine = found.source[made.data.edge_index[:, took[:, here]].flatten(0, 1)]
        assert torch.equal(mine, ends[:, inside])
        cut += int(0 < inside.sum() < (data.batch[ends[0]] == data.batch[center]).sum())
    assert cut > 3


def test_the_one_angle_of_each_structure_is_an_angle() -> None:
    """As of water: it is not there where one of its points is not."""
    bent = torch.tensor([[0.0, 0, 0], [0.8, 0.6, 0], [-0.8, 0.6, 0]], dtype=torch.float64)
    water = Data(pos=bent, angle_index=torch.tensor([[1], [0], [2]]), angle_attr=torch.ones(1))
    numbers: list[int] = []

    def net(batch: Data) -> Tensor:
        numbers.append(batch.angle_index.size(1))
        assert len(batch.angle_attr) == batch.angle_index.size(1)
        return batch.pos.new_zeros(batch.num_graphs, 1)

    frames = HierarchicalFrames(cutoff=1.2, preset="lean")
    model = Symmetrizer(net, "0e", frames=frames, scope="center", chunk_size=1)
    model(Batch.from_data_list([water, water]))
    assert {*numbers} == {0, 1}


@pytest.mark.parametrize("scope", ["structure", "center"])
def test_index_tensors_of_torch_geometric_stay_what_they_are(scope: Any) -> None:
    def one(size: int, seed: int) -> Data:
        made = bonds(size, seed)
        made.edge_index = EdgeIndex(made.edge_index, sparse_size=(size, size), sort_order="row")
        made.anchor_index = Index(torch.arange(size), dim_size=size)
        return made

    def net(batch: Data) -> Tensor:
        assert isinstance(batch.edge_index, EdgeIndex)
        assert isinstance(batch.anchor_index, Index)
        assert batch.edge_index.validate().sparse_size() == (len(batch.pos), len(batch.pos))
        assert batch.anchor_index.validate().dim_size == len(batch.pos)
        return batch.pos.new_zeros(batch.num_graphs, 1)

    frames = HierarchicalFrames(cutoff=3.0, preset="lean")
    Symmetrizer(net, "0e", frames=frames, scope=scope)(Batch.from_data_list([one(5, 1), one(4, 2)]))


# --- the old ways, as mutants


def by_name(self: Any, path: str, value: Any, rows: Any, pairs: Any) -> Any:
    """Index attributes are told by "index" in their name, and padding is a point."""
    if rows.numbers is None or rows.numbers.of == "point":
        return healthy(self, path, value, rows, pairs)
    return value.index_select(rows.dim, pairs.row)


healthy = Plan.copied


def passed_on_once(self: Any, path: str, value: Any, rows: Any, pairs: Any) -> Any:
    """Lists and strings are the same for all copies."""
    return healthy(self, path, value, rows, pairs) if isinstance(value, Tensor) else value


def with_padding_as_points(self: Any, path: str, value: Any, rows: Any, pairs: Any) -> Any:
    found = healthy(self, path, value, rows, pairs)
    return found.abs() if rows.numbers is not None else found


def test_columns_that_are_left_out_one_by_one_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reader, "_table", lambda self, path, *_, **__: path)
    with pytest.raises((AssertionError, IndexError)):
        test_environments_take_whole_rows_of_tables_in_their_order("columns of triplets")


@pytest.mark.parametrize(
    ("mutant", "name"),
    [
        pytest.param(by_name, "pairs of edges", id="pairs of edges by name"),
        pytest.param(passed_on_once, "names", id="names passed on once"),
        pytest.param(passed_on_once, "arrays of structures", id="arrays passed on once"),
        pytest.param(with_padding_as_points, "a padded table", id="padding becomes a point"),
    ],
)
def test_the_old_ways_fail(
    mutant: Callable[..., Any], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Plan, "copied", mutant)
    with pytest.raises((AssertionError, TypeError, IndexError)):
        test_networks_of_invariants_answer_as_without_the_wrapper(COMPANIONS[name])
