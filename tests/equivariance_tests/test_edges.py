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
from equivariance_tests.measure.trial import COME_AND_GO, Trial
from equivariance_tests.model.answers import Answers, Rows
from equivariance_tests.mutants import MUTANTS
from equivariance_tests.mutants.edges import CONTRACT, Blocks
from equivariance_tests.mutants.pairs import CUTOFF
from symmetrize import per_edge

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


def test_edges_of_a_user_are_kept() -> None:
    data = Data(pos=torch.eye(3), edge_index=torch.tensor([[0, 1, 2], [2, 0, 1]]))
    assert_law("equivariance", bare(outer), data, ONLY)
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
