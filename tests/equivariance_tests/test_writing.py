"""Tests that are written for a model hold it to what it keeps, and to no more."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from equivariance_tests import Contract
from equivariance_tests.__main__ import main
from equivariance_tests.certification.profiles import Profile
from equivariance_tests.certification.writing import Found, keeps, written
from equivariance_tests.mutants import PairNetwork
from equivariance_tests.report import Report
from symmetrize import log_probabilities, per_point

pytestmark = pytest.mark.usefixtures("unchecked_shapes")
HERE = "tests.equivariance_tests.test_writing"
SMALL = Profile("small", clouds=12, slow_clouds=0, slow_cases=2, shrinking=2.0, rattled=13)


def chiral(pos: torch.Tensor, batch: torch.Tensor, num_graphs: int) -> dict[str, torch.Tensor]:
    """A smooth vector of each point, and an axial one that is not told apart from it in names."""
    away = pos[:, None] - pos[None]
    near = torch.exp(-away.square().sum(-1)) * (batch[:, None] == batch[None])
    arrows = (near[..., None] * away).sum(1)
    bent = ((near**2)[..., None] * away).sum(1)
    total = pos.new_zeros(num_graphs, 3)
    return {
        "arrows": arrows,
        "axial": total.index_add(0, batch, torch.linalg.cross(arrows, bent)),
        "corner": total[:, :1].index_add(0, batch, arrows.abs().sum(1, keepdim=True)),
    }


def invariant_with_a_kink(pos: torch.Tensor, batch: torch.Tensor, num_graphs: int) -> torch.Tensor:
    away = pos[:, None] - pos[None]
    near = torch.exp(-away.square().sum(-1)) * (batch[:, None] == batch[None])
    return pos.new_zeros(num_graphs, 1).index_add(
        0, batch, (near.sum(1, keepdim=True) - 1.2).relu()
    )


@pytest.mark.slow
def test_how_outputs_turn_is_found() -> None:
    found = keeps(chiral, profile=SMALL)
    turns = {name: str(one.representation) for name, one in found.contract.outputs.items()}
    assert turns["arrows"] == "1o"
    assert found.contract.outputs["arrows"] == per_point("1o")
    assert turns["axial"] == "1e"
    assert found.contract.group is None  # for the corner


@pytest.mark.slow
def test_a_kink_is_found() -> None:
    found = keeps(invariant_with_a_kink, profile=SMALL)
    assert found.contract.group == "O(3)"
    assert found.contract.smoothness == 0
    assert found.known == {}


def pairs() -> PairNetwork:
    return PairNetwork()


def test_what_is_written_is_a_file_of_tests(tmp_path: Path, capsys: Any) -> None:
    found = keeps(pairs(), PairNetwork.contract, profile=SMALL)
    assert found.contract.smoothness == math.inf
    text = written(found, f"{HERE}:pairs", is_factory=True)
    told: dict[str, Any] = {}
    exec(compile(text, "written.py", "exec"), told)
    suite = told["TestPairs"]
    assert suite.contract == found.contract
    assert isinstance(suite().model(), PairNetwork)
    assert not hasattr(suite, "known")
    assert "profile" not in text
    assert main(["write", f"{HERE}:nothing"]) == 2
    assert "has no 'nothing'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "contract",
    [
        Contract("0e", smoothness=None),
        Contract({"energy": "0e", "hidden": None, "forces": per_point("1o")}, cutoff=3.0),
        Contract(("0e", per_point("1o")), group="SO(3)", smoothness=2, inputs={"field": "1o"}),
        Contract(log_probabilities("3x0e"), group="SO(2)", axis=(0, 1, 0)),
    ],
    ids=["one", "left out", "tuple", "log"],
)
def test_a_contract_is_written_as_it_is(contract: Contract) -> None:
    text = written(Found(contract, Report("mine", contract, [])), f"{HERE}:pairs", is_factory=True)
    told: dict[str, Any] = {}
    exec(compile(text, "written.py", "exec"), told)
    assert told["TestPairs"].contract == contract


def test_nothing_is_claimed_that_no_check_has_seen() -> None:
    def everywhere(pos: torch.Tensor, batch: torch.Tensor, num_graphs: int) -> torch.Tensor:
        if len(pos) == 1:
            raise ValueError("one is too few")
        crowd = torch.exp(-torch.cdist(pos, pos).square()) * (batch[:, None] == batch[None])
        return pos.new_zeros(num_graphs, 1).index_add(0, batch, crowd.sum(1, keepdim=True))

    everywhere.cutoff = 0.5  # type: ignore[attr-defined]
    few = replace(SMALL, clouds=4)
    contract = Contract("0e", smoothness=None)
    assert keeps(everywhere, contract, profile=few).contract.cutoff is None


def test_mistakes() -> None:
    with pytest.raises(ValueError, match="one row for each"):
        keeps(lambda data: data.pos[:2], profile=SMALL)
