"""Models as they are deployed: calculators that keep results, compiled modules, other engines."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase.calculators.calculator import Calculator, all_changes
from torch import nn

from equivariance_tests import Cloud, Contract, Profile, assert_equivariant, certify, per_point
from equivariance_tests.checks import CHECKS
from equivariance_tests.measure.trial import Trial
from equivariance_tests.model.states import OfStates
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


# --- models of torch-sim

LAWS = ["equivariance", "batching", "forces and stress"]
FEW = Profile("few", clouds=20, slow_clouds=1, slow_cases=2, case_points=4, shrinking=0)


def pairs(data: Any) -> torch.Tensor:
    """Energies of finite structures: a sum over pairs."""
    away = (data.pos[:, None] - data.pos).square().sum(-1)
    same = data.batch[:, None] == data.batch
    total = torch.where(same, torch.exp(-away / 4), 0.0).sum(1, keepdim=True)
    return total.new_zeros(data.num_graphs, 1).index_add(0, data.batch, total)


def of_torch_sim(model: Any, dtype: torch.dtype = torch.float64) -> Any:
    contract = Contract({"energy": "0e", "forces": per_point("1o")})
    options: Any = {"species": (18,), "profile": FEW, "progress": False}
    return certify(model, contract, checks=LAWS, dtype=dtype, **options)


def test_a_model_of_torch_sim() -> None:
    engine = pytest.importorskip("symmetrize.engines.torch_sim", reason="needs the extra engines")
    report = of_torch_sim(engine.TorchSimModel(pairs))
    assert report.passed, str(report)
    assert all(one.cases > 0 for one in report.findings)

    class Scaled(engine.TorchSimModel):  # type: ignore[misc, name-defined]
        def forward(self, state: Any, **kwargs: Any) -> Any:
            found = super().forward(state, **kwargs)
            return found | {"forces": 1.01 * found["forces"]}

    report = of_torch_sim(Scaled(pairs))
    assert [one.check for one in report.findings if one.failure] == ["forces and stress"]


@pytest.mark.parametrize("periods", [(), (0,), (2, 1), (0, 1, 2)])
def test_cells_where_there_is_no_period_are_long_and_across(periods: tuple[int, ...]) -> None:
    engine = pytest.importorskip("symmetrize.engines.torch_sim", reason="needs the extra engines")
    net = OfStates(engine.TorchSimModel(pairs), Contract({"energy": "0e"}, cutoff=2.5))
    pbc = torch.zeros(3, dtype=torch.bool)
    pbc[list(periods)] = True
    cell = torch.randn(2, 3, 3, generator=torch.Generator().manual_seed(1)).double()
    pos = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 7.0], [1.0, 0.0, 0.0]], dtype=torch.float64)
    boxes = net._boxes(pos, torch.tensor([0, 0, 1]), cell, pbc)
    assert torch.equal(boxes[:, pbc], cell[:, pbc])
    added = boxes[:, ~pbc]
    assert float((added @ boxes[:, pbc].mT).abs().sum()) < 1e-9
    # beyond the structure, twice what an atom sees
    lengths = torch.tensor([7.0 + 5.0, 5.0], dtype=torch.float64)[:, None]
    torch.testing.assert_close(added.norm(dim=-1), lengths.expand(2, added.size(1)))


def test_a_model_of_torch_sim_in_single_precision_says_so() -> None:
    engine = pytest.importorskip("symmetrize.engines.torch_sim", reason="needs the extra engines")
    model = engine.TorchSimModel(pairs, dtype=torch.float32)
    assert "dtype=torch.float32" in str(of_torch_sim(model))
    assert of_torch_sim(model, torch.float32)["equivariance"].verdict == "passed"


def test_cells_that_another_library_takes_for_their_transposes_are_found() -> None:
    """In torch-sim 0.3.0 shifts of neighbors are multiplied by the transposed cell."""
    pytest.importorskip("torch_sim", reason="needs the extra engines")
    installed = version("torch-sim-atomistic")
    if not installed.startswith("0.3."):
        pytest.skip(f"torch-sim {installed} is another one than 0.3")
    from torch_sim.models.lennard_jones import LennardJonesModel

    model = LennardJonesModel(dtype=torch.float64, cutoff=2.5)
    contract = Contract({"energy": "0e"}, cutoff=2.5, periodic=True, min_distance=0.8)
    with pytest.raises(AssertionError, match="not equivariant: the output 'energy'"):
        assert_equivariant(model, Cloud("crystal, body-centered cubic", 1), contract, species=(18,))


# --- files of metatomic


@pytest.mark.slow
def test_a_file_of_metatomic(tmp_path: Path) -> None:
    pytest.importorskip("metatrain", reason="needs the extra `atomistic`")
    from tests.common.metatrain_pet import pet

    path = tmp_path / "pet.pt"
    pet(targets={"energy": ("scalar", "eV", 1, False)}).export().save(str(path))
    contract = Contract({"energy": "0e"}, group=None, cutoff=3.0, rounds=2)
    asked = ["permutation", "batching"]
    options: Any = {"species": (1, 6, 8), "profile": FEW, "progress": False}
    report = certify(path, contract, checks=asked, **options)
    assert report.passed, str(report)
    turned = certify(path, Contract({"energy": "0e"}), checks=["equivariance"], **options)
    assert not turned.passed


def test_a_path_of_something_else() -> None:
    with pytest.raises(ValueError, match=r"the path 'model\.onnx'"):
        certify("model.onnx", Contract("0e"))
