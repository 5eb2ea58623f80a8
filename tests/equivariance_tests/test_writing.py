"""Tests that are written for a model hold it to what it keeps, and to no more."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from equivariance_tests import Contract
from equivariance_tests.__main__ import main
from equivariance_tests.certification.profiles import Profile
from equivariance_tests.certification.writing import keeps, written
from equivariance_tests.mutants import PairNetwork
from symmetrize import per_point

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


def test_mistakes() -> None:
    with pytest.raises(ValueError, match="one row for each"):
        keeps(lambda data: data.pos[:2], profile=SMALL)
    assert Contract("0e")
