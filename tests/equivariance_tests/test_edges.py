"""Models with a row for each edge: whose each row is, and what is found of them.

Known-bad ones are among the mutants, and so in ``test_mutants``.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from backbones.adapters import connect
from equivariance_tests import Cloud, Contract, Profile, assert_law, assert_permutation, certify
from equivariance_tests.clouds import Setting
from equivariance_tests.clouds.edges import Edges
from equivariance_tests.measure.mistaken import mistaken
from equivariance_tests.measure.trial import COME_AND_GO, Trial
from equivariance_tests.model.answers import Answers, Rows
from equivariance_tests.mutants import MUTANTS
from equivariance_tests.mutants.edges import CONTRACT, Blocks
from equivariance_tests.mutants.pairs import CUTOFF
from symmetrize import Symmetrizer, per_edge, per_point

# Shapes are checked in other tests of certification: here they would take most of the time
pytestmark = pytest.mark.usefixtures("unchecked_shapes")

SHORT = Profile("short", clouds=20, slow_clouds=0, slow_cases=1, case_points=6, shrinking=1.0)
ONLY = Contract({"block": per_edge("ij")})
GENERIC = Cloud("generic", 5, 1, (3, -1, 2, 5))


def bare(function: Callable[[Tensor], Tensor]) -> Callable[[Batch], dict[str, Tensor]]:
    """A network of the vectors along the edges that data carries."""

    def network(data: Batch) -> dict[str, Tensor]:
        one, other = data.edge_index
        return {"block": function(data.pos[other] - data.pos[one])}

    return network


def outer(vectors: Tensor) -> Tensor:
    """v v^T exp(-v^2)."""
    weights = torch.exp(-vectors.square().sum(-1))[:, None, None]
    return weights * vectors[:, :, None] * vectors[:, None, :]


def test_a_bare_function_of_edges_is_certified() -> None:
    report = certify(bare(outer), ONLY, profile=SHORT, progress=False)
    assert report.passed, str(report)
    assert "block ij per edge" in str(report)
    # smoothness is looked at as well: edges stay as their ends move
    passed = {one.check for one in report.findings if one.verdict == "passed"}
    assert {"equivariance", "permutation", "stabilizer", "Lie derivative", "gradients"} <= passed
    assert {"path scan", "stratum approach", "batching", "negative control"} <= passed


def test_a_failure_names_the_edge_and_has_it_in_its_code() -> None:
    failure = certify(
        MUTANTS["rows of edges sorted"].make(),
        CONTRACT,
        checks=["permutation"],
        profile=SHORT,
        progress=False,
    ).failures[0]
    assert failure.details["output"] == "block"
    first, second = failure.details["edge"]
    assert f"of edge ({first}, {second})" in failure.said
    names: dict[str, Any] = {"Data": Data, "torch": torch}
    data = eval(failure.code, names)
    assert [first, second] in data.edge_index.T.tolist()


def test_edges_that_prepare_lists_are_compared_and_not_followed() -> None:
    how: dict[str, Any] = {"prepare": connect(radius=CUTOFF), "progress": False, "profile": SHORT}
    checks = ["batching", "equivariance", "stabilizer", "permutation", "gradients", "path scan"]
    report = certify(Blocks(), CONTRACT, checks=checks, **how)
    assert [one.check for one in report.findings if one.verdict == "passed"] == checks
    # of edges alone nothing stays that could be followed along a path
    checks = ["permutation", "size extensivity", "path scan"]
    alone = Contract({"block": per_edge("ij")}, cutoff=CUTOFF, extensive=True)
    report = certify(bare(outer), alone, checks=checks, **how)
    assert report["permutation"].verdict == "passed"
    assert report["size extensivity"].verdict == "passed"
    assert report["path scan"].reason == COME_AND_GO


class Wrapped(torch.nn.Module):
    """A network that lists its own edges, as a Symmetrizer and networks of backbones do."""

    def __init__(self) -> None:
        super().__init__()
        self.prepare = connect(radius=WITHIN)

    def forward(self, data: Batch) -> dict[str, Tensor]:
        return bare(outer)(self.prepare(data))


WITHIN = 2.0
OWN: dict[str, Callable[[], tuple[Any, dict[str, Any]]]] = {
    "of certify": lambda: (bare(outer), {"prepare": connect(radius=WITHIN)}),
    "of the network": lambda: (Wrapped(), {}),
    "of a symmetrizer": lambda: (
        Symmetrizer(bare(outer), {"block": per_edge("ij")}, prepare=connect(radius=WITHIN)),
        {},
    ),
}


@pytest.mark.parametrize("whose", OWN)
def test_where_there_is_a_prepare_its_edges_are_those_of_the_model(whose: str) -> None:
    model, how = OWN[whose]()
    trial = Trial.of(model, ONLY, **how)
    (structure,) = trial.structures([GENERIC])
    assert structure.edges is None
    ends = trial([structure]).rows["block"].ends
    lengths = (structure.positions[ends[:, 0]] - structure.positions[ends[:, 1]]).norm(dim=1)
    near = torch.pdist(structure.positions) < WITHIN
    assert 0 < len(lengths) == 2 * int(near.sum()) < 20
    assert float(lengths.max()) < WITHIN
    assert trial.lasting == ()


def test_rows_of_edges_that_prepare_lists_are_compared_edge_by_edge() -> None:
    def numbered(data: Batch) -> dict[str, Tensor]:
        blocks = bare(outer)(data)["block"]
        return {"block": blocks * (1 + data.edge_index[0, :, None, None])}

    with pytest.raises(AssertionError, match=r"of edge \(\d, \d\) changes"):
        assert_permutation(numbered, GENERIC, ONLY, prepare=connect(radius=2.0))
    assert_permutation(bare(outer), GENERIC, ONLY, prepare=connect(radius=2.0))


def test_a_prepare_that_lists_no_edges_is_told() -> None:
    report = certify(bare(outer), ONLY, prepare=lambda data: data, progress=False)
    assert report.status == "could not run"
    assert "`prepare` adds none: where there is a `prepare` structures carry no edges" in str(
        report.reason
    )


def test_a_failure_of_the_order_of_points_can_be_seen_again() -> None:
    model = MUTANTS["rows of edges sorted"].make()
    with pytest.raises(AssertionError) as caught:
        assert_permutation(model, GENERIC, CONTRACT)
    failure: Any = caught.value
    names: dict[str, Any] = {"Data": Data, "torch": torch}
    here, order = eval(failure.code, names), torch.tensor(failure.details["order of points"])
    there = Data(pos=here.pos[order], edge_index=torch.tensor(failure.details["edge_index there"]))
    blocks = [
        model(Batch.from_data_list([one]))["block"][one.edge_index.T.tolist().index(list(ends))]
        for one, ends in (
            (here, failure.details["edge"]),
            (there, order.argsort()[list(failure.details["edge"])].tolist()),
        )
    ]
    change = float((blocks[0] - blocks[1]).abs().max())
    assert change == pytest.approx(failure.details["error in its unit"])
    assert "  order of points: [" in str(failure)


def test_rows_in_another_order_and_blocks_the_other_way_round_are_told_apart() -> None:
    said = {}
    for name in ("rows of edges sorted", "blocks below the diagonal transposed"):
        with pytest.raises(AssertionError) as caught:
            assert_permutation(MUTANTS[name].make(), GENERIC, CONTRACT)
        said[name] = str(caught.value).splitlines()[0]
    assert ": it has the value of " in said["rows of edges sorted"]
    assert said["blocks below the diagonal transposed"].endswith(
        ": it is the transpose of what is expected"
    )


def test_the_value_of_the_reversed_edge_is_named() -> None:
    ends = [(0, 1), (1, 0), (1, 2)]
    scales = {"block": torch.ones(1).double()}
    expected = answers(ends, [1.0, 2.0, 3.0])
    for wrong, told in (
        (2.0, "it has the value of the reversed edge (1, 0)"),
        (3.0, "it has the value of edge (1, 2)"),
        (4.0, ""),
    ):
        found = answers(ends, [wrong, 2.0, 3.0])
        assert mistaken("block", (0, 1), found, expected, scales, 1e-9) == told


@pytest.mark.parametrize(
    ("contract", "rows", "said"),
    [
        pytest.param(
            ONLY, 10, "one for half of the edges: return one row for each column", id="half"
        ),
        pytest.param(ONLY, 5, "each point: declare it with per_point(...)", id="points"),
        pytest.param(ONLY, 1, "declare it without per_point or per_edge", id="structure"),
        pytest.param(ONLY, 7, "return one for each column of `edge_index`", id="none"),
        pytest.param(
            Contract({"block": per_point("ij"), "pair": per_edge("ij")}),
            20,
            "each edge: declare it with per_edge(...)",
            id="edges",
        ),
        pytest.param(Contract({"block": "ij"}), 5, "with per_point(...)", id="pooled"),
        pytest.param(Contract({"block": "ij"}), 7, "`data.num_graphs`", id="unpooled"),
    ],
)
def test_rows_that_do_not_fit_are_told_what_they_fit(
    contract: Contract, rows: int, said: str
) -> None:
    def returned(data: Batch) -> dict[str, Tensor]:
        found = {name: data.pos.new_zeros(20, 3, 3) for name in contract.outputs}
        return {**found, "block": data.pos.new_zeros(rows, 3, 3)}

    trial = Trial.of(returned, contract)
    with pytest.raises(ValueError, match="it must have one row for each") as caught:
        trial([trial.setting.structure(GENERIC)])
    assert said in str(caught.value)


def test_a_row_for_half_of_the_edges_is_told_without_other_hints() -> None:
    def undirected(data: Batch) -> dict[str, Tensor]:
        one, other = data.edge_index
        return {"block": bare(outer)(data)["block"][one < other]}

    reason = certify(undirected, ONLY, progress=False).reason
    assert reason is not None
    assert "half of the edges" in reason
    assert "Say what is missing" not in reason


def test_edges_of_a_user_are_kept() -> None:
    data = Data(pos=torch.eye(3), edge_index=torch.tensor([[0, 1, 2], [2, 0, 1]]))
    assert_law("equivariance", bare(outer), data, ONLY)
    # and follow their points to any order
    assert_permutation(bare(outer), data, ONLY)
    data.edge_index = torch.tensor([[2, 0, 1, 1], [1, 2, 0, 2]])
    with pytest.raises(AssertionError, match="depends on the order of points"):
        assert_permutation(MUTANTS["rows of edges sorted"].make(), data, CONTRACT)
    # positions alone are given edges
    assert_permutation(bare(outer), torch.eye(3), ONLY)


def test_a_model_without_edges_says_where_they_come_from() -> None:
    trial = Trial.of(lambda data: {"block": data.pos.new_zeros(1, 3, 3)}, ONLY)
    structure = trial.setting.structure(GENERIC)
    with pytest.raises(ValueError, match=r"has shape \(1, 3, 3\) for 20 edges"):
        trial([structure])


# --- what a row stands for


def test_edges_follow_their_points() -> None:
    structure = Setting.of(ONLY).structure(GENERIC)
    order = torch.tensor([2, 0, 1, 4, 3])
    moved = structure.permuted(order)
    vectors = [
        one.positions[one.edges.index[1]] - one.positions[one.edges.index[0]]
        for one in (structure, moved)
    ]
    # in the order in which they were listed, which is no longer sorted
    assert torch.equal(*vectors)
    assert moved.edges.index[0].tolist() != sorted(moved.edges.index[0].tolist())
    fewer = structure.permuted(torch.tensor([0, 3, 1]))
    assert torch.equal(fewer.edges.index, Edges.of(fewer.positions, torch.inf).index)


def test_edges_of_a_user_stay_as_they_are_or_are_refused() -> None:
    given = Edges(None, torch.tensor([[0, 2], [1, 0]]))
    moved = given.permuted(torch.tensor([2, 0, 1]), torch.zeros(3, 3))
    assert moved.index.tolist() == [[1, 0], [2, 1]]
    with pytest.raises(ValueError, match="nobody knows the edges of the others"):
        given.permuted(torch.tensor([0, 1]), torch.zeros(2, 3))
    assert given.joined(None, 3, torch.zeros(5, 3)).index.tolist() == given.index.tolist()
    both = given.joined(given, 3, torch.zeros(6, 3))
    assert both.index.tolist() == [[0, 2, 3, 5], [1, 0, 4, 3]]


def answers(ends: list[tuple[int, int]], values: list[float]) -> Answers:
    rows = Rows(torch.zeros(len(ends)).long(), torch.tensor(ends).reshape(-1, 2))
    return Answers({"block": torch.tensor(values).double()[:, None]}, {"block": rows}, 1)


def test_rows_are_compared_by_what_they_stand_for() -> None:
    one = answers([(0, 1), (1, 0), (1, 2)], [1.0, 2.0, 3.0])
    other = answers([(1, 0), (0, 1), (2, 0)], [2.0, 1.5, 7.0])
    change = one.minus(other)
    assert change.rows["block"].ends.tolist() == [[0, 1], [1, 0]]
    assert change.values["block"].flatten().tolist() == [-0.5, 0.0]
    # points 0, 1, 2 are now called 1, 2, 0
    moved = one.reordered([torch.tensor([2, 0, 1])])
    assert moved.rows["block"].ends.tolist() == [[1, 2], [2, 0], [2, 1]]
    assert moved.values["block"].flatten().tolist() == [1.0, 3.0, 2.0]
    assert one.of_points_below([2]).values["block"].flatten().tolist() == [1.0, 2.0]
    both = one.beside(answers([(0, 1)], [9.0]), [3])
    assert both.rows["block"].ends.tolist()[-1] == [3, 4]


def test_an_element_of_a_group_takes_edges_to_edges() -> None:
    rows = answers([(0, 1), (1, 0), (1, 2)], [0.0] * 3).rows["block"]
    swapped = torch.tensor([[0, 1, 2], [1, 0, 2]])
    assert rows.becoming(swapped).tolist() == [[0, 1, 2], [1, 0, -1]]
