"""Models as they are deployed: calculators that keep results, compiled modules, other engines."""

from typing import Any

import numpy as np
import pytest
import torch
from ase.calculators.calculator import Calculator, all_changes
from torch import nn

from equivariance_tests import Contract, certify
from equivariance_tests.checks import CHECKS
from equivariance_tests.measure.trial import Trial
from equivariance_tests.mutants import PairNetwork

# dynamo cannot follow checks of shapes
pytestmark = pytest.mark.usefixtures("unchecked_shapes")

PERIODIC = Contract({"energy": "0e"}, cutoff=3.0, periodic=True)
HISTORY = next(check for check in CHECKS if check.name == "history")


class Springs(Calculator):
    """Energies of all pairs and of the volume; asked again it answers what it computed."""

    implemented_properties = ["energy"]  # noqa: RUF012

    def calculate(
        self, atoms: Any = None, properties: Any = (), system_changes: Any = all_changes
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        away = np.linalg.norm(atoms.positions[:, None] - atoms.positions[None], axis=-1)
        self.results = {"energy": np.exp(-away).sum() + abs(np.linalg.det(atoms.cell))}


class Careless(Springs):
    """Does not see that the cell has changed."""

    ignored_changes = {"cell"}  # noqa: RUF012


def walked(calculator: Calculator) -> list[Any]:
    trial = Trial.of(calculator, PERIODIC, species=(1,))
    return [one.failure for one in HISTORY.outcomes(trial, HISTORY.cases(PERIODIC))]


def test_results_that_are_kept_for_another_cell_are_found() -> None:
    assert not any(walked(Springs()))
    failures = [failure for failure in walked(Careless()) if failure is not None]
    assert failures
    assert "deform the cell" in failures[0].details["steps"]


@pytest.mark.slow
def test_a_compiled_module() -> None:
    net = PairNetwork()
    compiled = torch.compile(net, backend="eager")
    asked = ["equivariance", "permutation", "batching", "translation"]
    report = certify(compiled, net.contract, checks=asked, progress=False)
    assert report.passed, str(report)
    wrong = torch.compile(Tilted(), backend="eager")
    report = certify(wrong, net.contract, checks=asked, progress=False)
    assert [name for name in asked if report[name].failure is not None] == ["equivariance"]


class Tilted(PairNetwork):
    """Sees the height of arrows."""

    def of_points(self, density: Any, arrows: Any) -> Any:
        energies, vectors = super().of_points(density, arrows)
        return energies + 0.1 * torch.tanh(arrows[:, 0, 2]), vectors


class OfTensors(nn.Module):
    """Of positions and batch alone, as exported modules are."""

    def forward(self, pos: torch.Tensor, batch: torch.Tensor) -> torch.Tensor:
        away = (pos[:, None] - pos[None]).square().sum(-1)
        same = (batch[:, None] == batch[None]).to(pos)
        total = (same * torch.exp(-away)).sum(1, keepdim=True)
        # one row for each structure that may be there: as many as points
        return torch.zeros_like(total).index_add(0, batch, total)


def test_an_exported_module() -> None:
    points = torch.export.Dim("points", min=2, max=4096)
    example = (torch.rand(5, 3, dtype=torch.float64), torch.tensor([0, 0, 0, 1, 1]))
    program = torch.export.export(OfTensors(), example, dynamic_shapes=({0: points}, {0: points}))
    module = program.module()

    def deployed(data: Any) -> torch.Tensor:
        found = module(data.pos, data.batch)
        return found[: data.num_graphs]

    asked = ["equivariance", "permutation", "translation"]
    report = certify(deployed, Contract("0e", min_distance=0.1), checks=asked, progress=False)
    assert report.passed, str(report)
