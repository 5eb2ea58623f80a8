"""Graphs of points: right neighbors, and the same ones however the cloud is turned."""

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
import torch
import torch_geometric.nn as pyg
from torch import Tensor

from backbones import adapters, graphs
from backbones.graphs import nearest_points, pairs, ties, tree
from tests.common.strata import STRATA, TURNS

adapters.offer_to_pyg()

SIZES = [5, 1, 0, 9, 2]
BATCH = torch.repeat_interleave(torch.arange(len(SIZES)), torch.tensor(SIZES))


def points(number: int, columns: int, seed: int = 0) -> Tensor:
    """Points between which all distances differ."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(number, columns, dtype=torch.float64, generator=generator)


# --- right neighbors: by brute force, one pair at a time


def brute_force_neighbors(x, y, batch_x, batch_y, limit=None, radius=np.inf, skip_same=False):
    """(y, x) by center, then by distance."""
    found = []
    for i in range(len(y)):
        near = [
            (float((y[i] - x[j]).norm()), j)
            for j in range(len(x))
            if batch_x[j] == batch_y[i] and not (skip_same and i == j)
        ]
        near = sorted(pair for pair in near if pair[0] < radius)
        found += [(i, j) for _, j in near[:limit]]
    return torch.tensor(found, dtype=torch.long).reshape(-1, 2).T


def by_center(edges: Tensor) -> set[tuple[int, int]]:
    return set(zip(*edges.tolist(), strict=True))


@pytest.fixture(params=["blocks", "small blocks", "tree"])
def way(request, monkeypatch):
    """How nearest points are found: in one block, in many, or by a k-d tree."""
    if request.param == "small blocks":
        monkeypatch.setattr(pairs, "BLOCK", 7)
    if request.param == "tree":
        monkeypatch.setattr(nearest_points, "LARGE", 0)
    return request.param


@pytest.mark.parametrize("columns", [1, 2, 3, 6])
@pytest.mark.parametrize("k", [1, 3, 20])
def test_nearest_neighbors_are_those_of_brute_force(way, columns, k):
    x, y = points(len(BATCH), columns), points(12, columns, seed=1)
    owner = torch.tensor([0, 0, 1, 2, 3, 3, 3, 3, 4, 4, 4, 4])
    expected = brute_force_neighbors(x, y, BATCH, owner, k)
    assert torch.equal(graphs.knn(x, y, k, BATCH, owner), expected)
    expected = brute_force_neighbors(x, x, BATCH, BATCH, k, skip_same=True)
    assert torch.equal(graphs.knn_graph(x, k, BATCH, flow="target_to_source"), expected)
    expected = brute_force_neighbors(x, x, BATCH, BATCH, k).flip(0)
    assert torch.equal(graphs.knn_graph(x, k, BATCH, loop=True), expected)


@pytest.mark.parametrize("columns", [1, 2, 3, 6])
@pytest.mark.parametrize("limit", [None, 2])
def test_neighbors_within_a_radius_are_those_of_brute_force(columns, limit):
    x, y = points(len(BATCH), columns), points(12, columns, seed=1)
    owner = torch.tensor([0, 0, 1, 2, 3, 3, 3, 3, 4, 4, 4, 4])
    r = 0.9 * columns
    found = graphs.radius(x, y, r, BATCH, owner, limit)
    assert by_center(found) == by_center(brute_force_neighbors(x, y, BATCH, owner, limit, r))
    assert found[0].tolist() == sorted(found[0].tolist())
    for loop in (False, True):
        found = graphs.radius_graph(x, r, BATCH, loop, limit)
        expected = brute_force_neighbors(x, x, BATCH, BATCH, limit, r, not loop)
        assert by_center(found.flip(0)) == by_center(expected)
        assert found.size(1) == expected.size(1)


def test_order_of_the_batch_vector_does_not_matter(way):
    order = torch.randperm(len(BATCH), generator=torch.Generator().manual_seed(3))
    x = points(len(BATCH), 3)
    for graph in (
        lambda x, batch: graphs.knn_graph(x, 3, batch),
        lambda x, batch: graphs.radius_graph(x, 1.5, batch),
    ):
        assert by_center(order[graph(x[order], BATCH[order])]) == by_center(graph(x, BATCH))


def test_cosine_compares_directions():
    x = torch.tensor([[1.0, 0.0], [0.0, 0.1], [5.0, 5.0]])
    assert graphs.knn(x, torch.tensor([[0.1, 0.09]]), 2, cosine=True).tolist() == [[0, 0], [2, 0]]


@pytest.mark.parametrize("columns", [2, 3, 6])
def test_nearest_is_the_first_of_the_nearest(columns):
    x, y = points(len(BATCH), columns), points(len(BATCH), columns, seed=1)
    expected = brute_force_neighbors(y, x, BATCH, BATCH, 1)[1]
    assert torch.equal(graphs.nearest(x, y, BATCH, BATCH), expected)


def brute_force_samples(x: Tensor, number: int, start: int) -> list[int]:
    chosen = [start]
    while len(chosen) < number:
        away = torch.cdist(x, x[chosen]).amin(1)
        away[chosen] = -1
        chosen.append(int(away.argmax()))
    return chosen


@pytest.mark.parametrize("ratio", [0.2, 0.5, 1.0])
def test_samples_are_those_of_brute_force(ratio):
    x = points(len(BATCH), 3)
    found, first, expected, from_first = graphs.fps(x, BATCH, ratio), 0, [], []
    for size in SIZES:
        cloud = x[first : first + size]
        number = int(np.ceil(np.float32(size) * np.float32(ratio)))
        if size:
            start = int((cloud - cloud.mean(0)).norm(dim=1).argmax())
            expected += [first + i for i in brute_force_samples(cloud, number, start)]
            from_first += [first + i for i in brute_force_samples(cloud, number, 0)]
        first += size
    assert found.tolist() == expected
    assert graphs.fps(x, BATCH, ratio, start="first").tolist() == from_first


def test_a_number_of_samples_is_that_of_every_structure():
    owner = BATCH[graphs.fps(points(len(BATCH), 3), BATCH, number=3)]
    assert torch.bincount(owner, minlength=5).tolist() == [3, 1, 0, 3, 2]


def test_a_random_start_is_drawn_from_the_generator():
    x = points(50, 3)
    starts = [
        graphs.fps(x, number=1, start="random", generator=torch.Generator().manual_seed(seed))
        for seed in (0, 0, 1, 2, 3)
    ]
    assert starts[0] == starts[1]
    assert len({int(start) for start in starts}) > 1


def brute_force_triplets(edges: Tensor) -> set[tuple[int, ...]]:
    listed = list(enumerate(edges.T.tolist()))
    return {
        (i, j, k, kj, ji)
        for ji, (j, i) in listed
        for kj, (k, end) in listed
        if end == j and k != i
    }  # fmt: skip


def test_triplets_are_those_of_brute_force():
    edges = graphs.radius_graph(points(12, 3), 2.0)
    target, source, *found = graphs.triplets(edges, 12)
    assert torch.equal(torch.stack([source, target]), edges)
    expected = brute_force_triplets(edges)
    assert len(expected) > 100
    assert len(found[0]) == len(expected)
    assert set(zip(*(part.tolist() for part in found), strict=True)) == expected
    assert all(len(part) == 0 for part in graphs.triplets(edges[:, :0], 12))


# --- the same neighbors however the cloud is turned


def _grid(*shape: int) -> Tensor:
    return torch.cartesian_prod(*(torch.arange(n, dtype=torch.float64) for n in shape))


GOLDEN_SECTION = 0.6180339887498949
TIED = {
    "polygon": 0.7 * STRATA["polygon"](7, 0),
    "polygon and center": torch.cat([STRATA["polygon"](9, 0), torch.zeros(1, 3).double()]) / 3,
    "prism": 1.3 * STRATA["prism"](5, 0),
    "cube": GOLDEN_SECTION * STRATA["cube"](0, 0),
    "icosahedron": STRATA["icosahedron"](0, 0),
    "grid": 0.3 * _grid(4, 4, 4),
    "coincident": points(1, 3).repeat(6, 1),
    "two places": points(2, 3).repeat(4, 1),
    "far from the origin": STRATA["polygon"](6, 0) + 100.0,
}


def side(x: Tensor) -> float:
    return float((x[0] - x[1]).norm()) + 1e-300


GRAPHS: dict[str, Callable[[Tensor], Tensor]] = {
    "knn": lambda x: graphs.knn_graph(x, 3),
    "knn with loops": lambda x: graphs.knn(x, x, 4),
    "knn of others": lambda x: graphs.knn(x, x.mean(0, keepdim=True), 3),
    "limited radius": lambda x: graphs.radius_graph(x, 1.7, max_num_neighbors=2),
    # the radius is itself a distance: a side of the cube, of the grid, of the polygon
    "radius at a distance": lambda x: graphs.radius_graph(x, side(x)),
    "samples": lambda x: graphs.fps(x, number=5),
    "nearest": lambda x: graphs.nearest(x, x[::2]),
}  # fmt: skip


def changes(graph: Callable[[Tensor], Tensor], dtype: torch.dtype) -> list[str]:
    """Tied clouds whose graph changes as they turn."""
    return [
        name
        for name, cloud in TIED.items()
        for expected in [graph(cloud.to(dtype))]
        if any(
            not torch.equal(graph((cloud @ turn.matrix().T).to(dtype)), expected)
            for turn in TURNS.values()
        )
    ]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["f64", "f32"])
@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
def test_ties_are_decided_alike_in_every_orientation(graph, dtype):
    assert changes(graph, dtype) == []


def test_ties_are_decided_alike_by_trees(monkeypatch):
    monkeypatch.setattr(nearest_points, "LARGE", 0)
    # so that ties go on beyond what is asked for at first
    monkeypatch.setattr(tree, "BEYOND", 1)
    assert changes(GRAPHS["knn"], torch.float64) == []


@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
def test_mutant_distances_compared_to_the_last_bit_are_seen(graph, monkeypatch):
    monkeypatch.setattr(ties, "NOISE_ULPS", 0.0)
    monkeypatch.setattr(ties, "ORIGIN_ULPS", 0.0)
    assert changes(graph, torch.float64) != []


def naive_knn_graph(x: Tensor, k: int = 3) -> Tensor:
    squared = (x[:, None] - x).square().sum(-1).fill_diagonal_(torch.inf)
    return squared.topk(k, largest=False).indices


def test_mutant_neighbors_by_topk_are_seen():
    assert changes(naive_knn_graph, torch.float64) != []


def test_ties_go_to_the_smaller_index(way):
    square = STRATA["polygon"](4, 0)
    assert graphs.knn_graph(square, 1)[0].tolist() == [1, 0, 1, 0]
    assert graphs.knn(square, torch.zeros(1, 3).double(), 2).tolist() == [[0, 0], [0, 1]]
    assert graphs.radius_graph(square, 1.5, max_num_neighbors=1)[0].tolist() == [1, 0, 1, 0]
    assert graphs.fps(square, number=4).tolist() == [0, 2, 1, 3]


def test_differences_above_rounding_decide(way):
    line = torch.tensor([[0.0], [1.0 + 1e-12], [-1.0]], dtype=torch.float64)
    assert graphs.knn_graph(line, 1)[0].tolist()[0] == 2
    line = line.float() + torch.tensor([[0.0], [1e-4], [0.0]])
    assert graphs.knn_graph(line, 1)[0].tolist()[0] == 2


def test_half_precision_features_are_no_ties():
    # 0.5 apart of 100: a few units in the last place of bfloat16
    features = torch.tensor([[100.0], [101.0], [99.5]], dtype=torch.bfloat16)
    assert graphs.knn_graph(features, 1)[0].tolist()[0] == 2


def test_no_direction_is_preferred():
    # 26 directions about a point, the nearest ones last: a limit keeps these
    shell = _grid(3, 3, 3) - 1
    cloud = shell[torch.argsort(-shell.norm(dim=1), stable=True)]
    center = len(cloud) - 1
    edges = graphs.radius_graph(cloud, 2.0, max_num_neighbors=6)
    kept = cloud[edges[0, edges[1] == center]]
    assert kept.norm(dim=1).tolist() == [1.0] * 6
    assert kept.sum(0).abs().max() == 0


# --- few points


def test_clouds_of_few_points(way):
    none, one = torch.zeros(0, 3), torch.ones(1, 3)
    for x in (none, one):
        assert graphs.knn_graph(x, 3).shape == (2, 0)
        assert graphs.radius_graph(x, 3.0).shape == (2, 0)
        assert graphs.knn(x, x, 3).size(1) == len(x)
        assert graphs.radius(x, x, 3.0).size(1) == len(x)
        assert graphs.fps(x).tolist() == list(range(len(x)))
    assert graphs.knn(none, one, 3).shape == graphs.radius(none, one, 3.0).shape == (2, 0)
    assert graphs.knn(one, none, 3).shape == graphs.radius(one, none, 3.0).shape == (2, 0)


def test_coincident_points_are_points_of_their_own(way):
    x = torch.ones(4, 3)
    assert graphs.knn(x, x, 2).tolist() == [[0, 0, 1, 1, 2, 2, 3, 3], [0, 1, 1, 0, 2, 0, 3, 0]]
    assert graphs.knn_graph(x, 2)[0].tolist() == [1, 2, 0, 2, 0, 1, 0, 1]
    assert graphs.radius_graph(x, 1.0).size(1) == 12
    assert graphs.fps(x, ratio=1.0).tolist() == [0, 1, 2, 3]
    # torch-geometric's own graph takes k + 1 neighbors and drops the point itself
    assert pyg.knn_graph(x, 2)[0].tolist() == [1, 2, 0, 2, 0, 1, 0, 1]


def test_no_gradient_flows_through_a_choice():
    x = points(6, 3).requires_grad_()
    chosen = (graphs.knn_graph(x, 2), graphs.radius_graph(x, 2.0), graphs.fps(x))
    assert not any(index.requires_grad for index in chosen)


@pytest.fixture
def as_users_run_it(monkeypatch):
    """Without the checks of shapes and types that only tests switch on."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


X = torch.zeros(2, 3)
ERRORS = {
    "no neighbor": (lambda: graphs.knn_graph(X, 0), "`k` is 0 but must be at least 1"),
    "other space": (lambda: graphs.knn(X, torch.zeros(1, 2), 1), "3 columns and `y` has 2"),
    "unknown flow": (lambda: graphs.knn_graph(X, 1, flow="backward"), "`flow` is 'backward'"),
    "no length": (lambda: graphs.radius_graph(X, -1.0), "`r` is -1.0 but must be a positive"),
    "no limit": (lambda: graphs.radius_graph(X, 1.0, max_num_neighbors=0), "`max_num_neighbors`"),
    "no part": (lambda: graphs.fps(X, ratio=1.5), r"`ratio` is 1.5 but must lie in \(0, 1\]"),
    "no sample": (lambda: graphs.fps(X, number=0), "`number` is 0"),
    "nothing near": (lambda: graphs.nearest(X, torch.zeros(0, 3)), "point 0 of `x` has no nearest"),
}


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize(("call", "message"), ERRORS.values(), ids=ERRORS)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# --- torch-geometric


def test_torch_geometric_gets_these_graphs():
    x, y = points(len(BATCH), 3), points(12, 3, seed=1)
    owner = torch.tensor([0, 0, 1, 2, 3, 3, 3, 3, 4, 4, 4, 4])
    some = graphs.fps(x, BATCH, 0.4)
    same = {
        "knn": (pyg.knn(x, y, 2, BATCH, owner), graphs.knn(x, y, 2, BATCH, owner)),
        "knn_graph": (pyg.knn_graph(x, 2, BATCH), graphs.knn_graph(x, 2, BATCH)),
        "radius": (
            pyg.radius(x, y, 1.5, BATCH, owner),
            graphs.radius(x, y, 1.5, BATCH, owner, max_num_neighbors=32),
        ),
        "radius_graph": (
            pyg.radius_graph(x, 1.5, BATCH, max_num_neighbors=2),
            graphs.radius_graph(x, 1.5, BATCH, max_num_neighbors=2),
        ),
        "without a limit": (
            pyg.radius_graph(x, 1.5, BATCH, loop=True, max_num_neighbors=None),
            graphs.radius_graph(x, 1.5, BATCH, loop=True),
        ),
        "single": (pyg.knn_graph(x, 2, loop=True), graphs.knn_graph(x, 2, loop=True)),
        "fps": (pyg.fps(x, BATCH, 0.4), graphs.fps(x, BATCH, 0.4)),
        "first": (
            pyg.fps(x, BATCH, 0.4, random_start=False),
            graphs.fps(x, BATCH, 0.4, start="first"),
        ),
        "nearest": (
            pyg.nearest(x, x[some], BATCH, BATCH[some]),
            graphs.nearest(x, x[some], BATCH, BATCH[some]),
        ),
    }
    for name, (found, expected) in same.items():
        assert torch.equal(found, expected), name


def test_what_is_offered_once_is_not_offered_again():
    assert adapters.offer_to_pyg() == ()


USED = """
    import sys, warnings
    warnings.simplefilter("ignore")
    import torch, torch_geometric.nn.models

    def flags_and_functions():
        modules = [(n, m) for n, m in sys.modules.items() if n.startswith("torch_geometric")]
        found = {f"{name}.{key}": value for name, m in modules for key, value in vars(m).items()}
        return {name: each for name, each in found.items() if callable(each) or each is True
            or each is False}

    before = flags_and_functions()
    import symmetrize, backbones, backbones.adapters, equivariance_tests

    def energy(positions):
        return torch.exp(-torch.pdist(positions).square()).sum()[None]

    contract = equivariance_tests.Contract("0e")
    checks = ["equivariance"]
    assert equivariance_tests.certify(energy, contract, checks=checks, progress=False).passed
    if "offer" in sys.argv:
        backbones.adapters.offer_to_pyg()
    after = flags_and_functions()
    print([name for name in before if after.get(name) is not before[name]])
    print([name for name in ("knn", "radius", "fps", "nearest") if hasattr(torch.ops.pyg, name)])
"""


@pytest.mark.parametrize("given", [[], ["offer"]], ids=["unasked", "mutant: offered"])
def test_neither_imports_nor_certify_change_torch_geometric(given: list[str]) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(USED), *given],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    changed, operators = ran.stdout.splitlines()[-2:]
    if given:
        assert "torch_geometric.typing.WITH_RADIUS" in changed
        assert "torch_geometric.nn.models.dimenet.triplets" in changed
        assert "radius" in operators
    else:
        assert (changed, operators) == ("[]", "[]")


PYG_LIB = """
    import torch
    class ops:
        knn = radius = fps = nearest = staticmethod(lambda *given: None)
        {more}
    class sampler:
        @staticmethod
        def neighbor_sample(): pass
    library = torch.library.Library("pyg", "FRAGMENT")
    library.define("knn(Tensor x) -> Tensor")
    library.impl("knn", lambda x: x + 7, "CompositeExplicitAutograd")
"""
ASK = """
    import sys, warnings
    warnings.simplefilter("ignore")
    sys.path.insert(0, sys.argv[1])
    import torch, torch_geometric.typing
    assert torch_geometric.typing.WITH_PYG_LIB
    from torch_geometric.nn.models import dimenet
    from backbones.adapters import offer_to_pyg
    print(int(torch.ops.pyg.knn(torch.zeros(1))), offer_to_pyg(), hasattr(torch.ops.pyg, "radius"))
"""


def test_the_library_stands_aside_where_pyg_lib_is_installed(tmp_path):
    (tmp_path / "pyg_lib.py").write_text(textwrap.dedent(PYG_LIB).format(more="pass"))
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(ASK), str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    # the operator is pyg-lib's, and none was added; DimeNet asks torch-sparse, which is not there
    assert ran.stdout.strip() == "7 ('triplets',) False", ran.stderr


def excess_far_from_the_origin(offset: float) -> float:
    """How far, in units of what rounding allows, neighbors are beyond the true k-th nearest."""
    generator = torch.Generator().manual_seed(0)
    # a grid of 2^-13, which single precision still holds at this offset
    x = torch.randint(2**13, (500, 3), generator=generator) / 2**13 + offset
    found = graphs.knn_graph(x.float(), 5)
    distance = torch.cdist(x.double(), x.double()).fill_diagonal_(torch.inf)
    limits = distance.topk(5, largest=False).values[:, -1]
    lengths = (x[found[0]] - x[found[1]]).double().norm(dim=1)
    # what may be taken for a tie: a few units in the last place of the coordinates
    allowed = 4 * 1.2e-7 * (2 * offset + 64)
    return float((lengths - limits[found[1]]).max()) / allowed


@pytest.mark.parametrize("offset", [0.0, 10.0, 100.0, 1000.0])
def test_far_from_the_origin_neighbors_are_still_the_nearest(offset: float) -> None:
    assert excess_far_from_the_origin(offset) <= 1


def test_mutant_ties_of_the_size_of_the_offset_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ties, "ORIGIN_ULPS", ties.NOISE_ULPS)
    assert excess_far_from_the_origin(1000.0) > 1


def test_points_that_are_not_finite_are_named() -> None:
    x = torch.rand(6, 3)
    x[4, 1] = torch.nan
    for graph in (lambda: graphs.knn_graph(x, 2), lambda: graphs.fps(x, number=2)):
        with pytest.raises(ValueError, match="point 4 has coordinates"):
            graph()
