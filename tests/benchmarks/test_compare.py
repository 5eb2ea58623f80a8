"""The command that compares networks: what it reads, runs, goes on with, and reports."""

import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from rich.console import Console
from torch_geometric.data import Batch, Data

from backbones import PointNet
from backbones.checkpoint import save
from benchmarks.__main__ import main
from benchmarks.compare.configuration import (
    ConfigurationError,
    DataChoice,
    FramesChoice,
    NetworkChoice,
    Run,
    TrainingChoice,
    read,
    shipped,
)
from benchmarks.compare.data import DataSet, Target, split
from benchmarks.compare.evaluation import rotation_error
from benchmarks.compare.learning import Units, loss_of, predicted
from benchmarks.compare.networks import factory_of
from benchmarks.compare.report import errors_table, write_report
from benchmarks.compare.runs import results, run_all
from benchmarks.compare.sets import data_of
from benchmarks.compare.training import NotFiniteError, Training, batches, cast, passes
from symmetrize.groups import random_elements
from symmetrize.representation import as_representation

QUICK = TrainingChoice(steps=8, batch=4, every=4)
FEW = DataChoice(train=12, validation=4, test=6)


def run_of(**training: Any) -> Run:
    settings = {"steps": 8, "batch": 4, "every": 2} | training
    return Run(NetworkChoice("mock"), FramesChoice(), FEW, TrainingChoice(**settings), seed=1)


def written(folder: Path, text: str, name: str = "mine.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


SMALL = """
[data]
train = 12
validation = 4
test = 6
[training]
steps = 6
batch = 4
every = 3
"""


# --- configurations


@pytest.mark.parametrize("name", shipped())
def test_what_comes_along_is_read(name: str) -> None:
    comparison = read(name)
    assert comparison.name == name
    assert comparison.runs()
    assert len({run.identity for run in comparison.runs()}) == len(comparison.runs())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("networks = []", "there are no networks"),
        (
            "[[networks]]\nmake = 'mock'\n[training]\nstep = 5",
            "line 4: 'step' is not known here: did",
        ),
        ("[[networks]]\nmake = 'mock'\n[training]\nsteps = 'many'", "line 4: 'steps' is 'many'"),
        ("[[networks]]\nmake = 'mock'\n[training]\nsteps = 0", "must be positive"),
        ("[[networks]]\nmake = 'mock'\n[training]\nmode = 'sample'", "did you mean 'sampled'?"),
        ("[[networks]]\nname = 'mock'", "lacks 'make'"),
        ("[[networks]]\nmake = 'mock'\nsymmetrized = 1", "must be of type bool"),
        ("[[networks]\nmake = 'mock'", "is not TOML"),
        ("extends = 'nothing.toml'", "which is not there"),
        (
            "[[networks]]\nmake = 'mock'\n[[data]]\ntrain = 5\n[[data]]\nset = 'Si'\ntrain = -5",
            "line 7: 'train' is -5",
        ),
        ("[[networks]]\nmake = 'mock'\non = ['Sii']", "line 3: 'on' names 'Sii', but the data is"),
        ("[[networks]]\nmake = 'mock'\n[training]\nweights = {energy = 'x'}", "must be of type"),
        ("[[networks]]\nmake = 'mock'\n[frames]\naxis = ['x']", "line 4: 'axis' is 'x'"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        read(written(tmp_path, text))


def test_no_such_comparison() -> None:
    with pytest.raises(ConfigurationError, match="quick"):
        read("quickly")


def test_the_file_that_the_page_shows(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "comparing.md").read_text()
    text, evaluated = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert [one.make for one in read(written(tmp_path, evaluated)).networks] == [
        *("checkpoint", "calculator", "metatomic")
    ]
    comparison = read(written(tmp_path, text))
    assert [one.make for one in comparison.networks] == ["my_networks:factory", "PET", "SchNet"]
    assert len(text.strip().splitlines()) <= 16


def test_a_file_extends_another(tmp_path: Path) -> None:
    written(tmp_path, "[[networks]]\nmake = 'mock'\n" + SMALL, "base.toml")
    path = written(tmp_path, "extends = 'base.toml'\nseeds = [3, 4]\n[training]\nsteps = 2\n")
    comparison = read(path)
    assert [run.seed for run in comparison.runs()] == [3, 4]
    assert (comparison.training.steps, comparison.training.batch) == (2, 4)


def test_several_data_sets_and_frames_each_with_each(tmp_path: Path) -> None:
    text = """
[[networks]]
make = "mock"
[[networks]]
make = "SchNet"
symmetrized = false
on = ["molecules"]
[[data]]
set = "molecules"
[[data]]
set = "charges"
[[frames]]
name = "smooth"
[[frames]]
name = "lean"
preset = "lean"
"""
    runs = read(written(tmp_path, text)).runs()
    mock = [run for run in runs if run.network.make == "mock"]
    assert {(run.data.set, run.frames.name) for run in mock} == {
        *(("molecules", "smooth"), ("molecules", "lean")),
        *(("charges", "smooth"), ("charges", "lean")),
    }
    assert [run.data.set for run in runs if run.network.make == "SchNet"] == ["molecules"]


def test_what_needs_no_frames_is_trained_once(tmp_path: Path) -> None:
    text = "modes = ['sampled', 'random']\n[[networks]]\nmake = 'SchNet'\nsymmetrized = false\n"
    (run,) = read(written(tmp_path, text)).runs()
    assert run.training.mode == "plain"


def test_schnet_beside_others(tmp_path: Path) -> None:
    settings = "{hidden_channels = 8, num_filters = 8, num_interactions = 1}"
    text = f"[[networks]]\nmake = 'SchNet'\nsymmetrized = false\nsettings = {settings}\n" + SMALL
    assert run_all(read(written(tmp_path, text)), tmp_path / "out", Console(quiet=True)) == 0
    (found,) = results(tmp_path / "out")
    assert list(found["forms"]) == ["bare"]
    assert max(found["forms"]["bare"]["rotation_error"].values()) < 1e-9


# --- data


def test_splits_do_not_overlap_and_follow_the_seed() -> None:
    data = data_of(FEW)
    one, again = split(data, FEW), split(data, FEW)
    assert one.places == again.places
    assert not set(one.places["train"]) & set(one.places["validation"])
    other = split(data, DataChoice(train=12, validation=4, test=6, seed=1))
    assert other.places != one.places
    with pytest.raises(ConfigurationError, match="lower"):
        split(data, DataChoice(train=10_000))


def test_an_extended_xyz_file(tmp_path: Path) -> None:
    rng, images = np.random.default_rng(0), []
    for k in range(10):
        atoms = Atoms("OH2", positions=rng.normal(size=(3, 3)))
        atoms.info["mu"] = rng.normal(size=3)
        atoms.calc = SinglePointCalculator(atoms, energy=float(k), forces=rng.normal(size=(3, 3)))
        images.append(atoms)
    path = tmp_path / "water.xyz"
    write(path, images, format="extxyz")
    targets = {"energy": "energy", "forces": "forces"}
    targets["dipole"] = {"key": "mu", "representation": "1o", "unit": "e Å"}  # type: ignore[assignment]
    data = data_of(DataChoice(set="xyz", path=str(path), targets=targets))
    assert data.species == [1, 8]
    assert data.outputs == {"energy": "0e", "dipole": "1o"}
    assert data.structures[3].energy.tolist() == [[3.0]]
    assert data.structures[0].dipole.shape == (1, 3)
    assert "cell" not in data.structures[0]
    with pytest.raises(ConfigurationError, match="say how it turns"):
        data_of(DataChoice(set="xyz", path=str(path), targets={"mu": "mu"}))
    with pytest.raises(ConfigurationError, match="there is no file"):
        data_of(DataChoice(set="xyz", path="nothing.xyz"))


def test_shapes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "shapes.npz", points=rng.normal(size=(6, 20, 3)), label=[0, 1, 2] * 2)
    data = data_of(DataChoice(set="shapes", path=str(tmp_path / "shapes.npz"), points=8))
    assert data.outputs == {"label": "3x0e"}
    assert len(data.structures) == 6
    assert data.structures[0].pos.shape == (8, 3)
    for name in ("chair", "table"):
        (tmp_path / "folder" / name).mkdir(parents=True)
        np.savetxt(tmp_path / "folder" / name / "one.xyz", rng.normal(size=(9, 3)))
    found = data_of(DataChoice(set="shapes", path=str(tmp_path / "folder")))
    assert found.targets["label"].classes == ("chair", "table")
    assert [int(one.label) for one in found.structures] == [0, 1]


def test_charges_move_as_a_whole_keeps_its_momentum() -> None:
    data = data_of(DataChoice(set="charges", train=3, validation=1, test=1))
    one = data.structures[0]
    # of unit masses, whose forces cancel
    torch.testing.assert_close(one.shift.mean(0), one.velocity.mean(0), atol=1e-9, rtol=0)


def test_structures_with_and_without_periods_and_tests_of_another_kind(tmp_path: Path) -> None:
    rng, images = np.random.default_rng(0), []
    for k in range(6):
        atoms = Atoms("OH2", positions=rng.normal(size=(3, 3)), cell=[9.0] * 3, pbc=k % 2 == 0)
        atoms.calc = SinglePointCalculator(atoms, energy=float(k), forces=rng.normal(size=(3, 3)))
        images.append(atoms)
    write(tmp_path / "mixed.xyz", images, format="extxyz")
    for atoms in images:  # elsewhere there are energies alone
        del atoms.calc.results["forces"]
    write(tmp_path / "other.xyz", images[:2], format="extxyz")
    also = {"elsewhere": str(tmp_path / "other.xyz")}
    choice = DataChoice(
        set="xyz", path=str(tmp_path / "mixed.xyz"), also=also, train=3, validation=1, test=2
    )
    data = data_of(choice)
    assert [bool(one.pbc.all()) for one in data.structures] == [True, False] * 3
    assert "forces" not in data.also["elsewhere"][0]
    path = written(
        tmp_path,
        f"[[networks]]\nmake = 'mock'\n[data]\nset = 'xyz'\npath = '{choice.path}'\n"
        f"also = {{elsewhere = '{also['elsewhere']}'}}\ntrain = 3\nvalidation = 1\ntest = 2\n"
        "[frames]\ncutoff = 3.0\n[training]\nsteps = 3\nbatch = 2\nevery = 2\n",
    )
    assert run_all(read(path), tmp_path / "out", Console(quiet=True)) == 0
    (found,) = results(tmp_path / "out")
    other = found["forms"]["symmetrized"]["also"]["elsewhere"]
    assert set(other) == {"energy", "energy per point"}
    assert "elsewhere" in write_report(tmp_path / "out")[0].read_text()


@pytest.mark.skipif("SYMMETRIZE_DATA" not in os.environ, reason="needs the folder of data sets")
@pytest.mark.parametrize("element", ["Si", "Mo", "Li"])
def test_stress_of_elements_has_the_sign_of_ase(element: str) -> None:
    data = data_of(DataChoice(set=element))
    sizes = torch.tensor([abs(float(torch.linalg.det(one.cell))) for one in data.structures])
    pressure = torch.tensor(
        [float(one.stress.diagonal(dim1=1, dim2=2).mean()) for one in data.structures]
    )
    each = sizes / torch.tensor([len(one.pos) for one in data.structures])
    # bulk that is larger than the mean pulls together: positive stress
    is_bulk = each < 1.2 * each.median()
    together = torch.stack([each[is_bulk], pressure[is_bulk]])
    assert float(torch.corrcoef(together)[0, 1]) > 0.5
    for one in data.structures[:3]:
        assert torch.equal(one.stress, one.stress.mT)


@pytest.mark.parametrize("name", ["charges", "molecules"])
def test_targets_that_a_set_lacks_and_tests_that_it_cannot_take(name: str) -> None:
    with pytest.raises(ConfigurationError, match="'nonsense' is none of"):
        data_of(DataChoice(set=name, targets={"nonsense": ""}))
    with pytest.raises(ConfigurationError, match="takes no further files"):
        data_of(DataChoice(set=name, also={"more": "more.xyz"}))


# --- learning


def test_batches_by_number_of_points() -> None:
    generator = torch.Generator().manual_seed(0)
    sizes = torch.randint(1, 9, (40,), generator=generator).tolist()
    items = [Data(pos=torch.zeros(size, 3)) for size in [*sizes, 30]]
    settings = TrainingChoice(batch=6, points=20)
    found = list(batches(items, settings))
    assert [i for rows in found for i in rows] == list(range(41))
    for rows in found:
        assert len(rows) <= 6
        assert sum(len(items[i].pos) for i in rows) <= 20 or rows == [40]
    many = list(itertools.islice(passes(items, settings, seed=1), 60))
    assert many == list(itertools.islice(passes(items, settings, seed=1), 60))
    assert many != list(itertools.islice(passes(items, settings, seed=2), 60))
    first = many[:5]
    assert len({i for rows in first for i in rows}) == sum(map(len, first))  # each at most once
    few = passes(items[:2], TrainingChoice(batch=16), seed=0)
    assert [sorted(next(few)) for _ in range(3)] == [[0, 1]] * 3


@pytest.mark.parametrize("make", ["SchNet", "e3nn"])
def test_networks_for_scale_respect_rotations(make: str) -> None:
    torch.manual_seed(0)
    targets = {"energy": "0e"}
    if make == "e3nn":
        targets |= {"dipole": "1o", "alpha": "ij=ji"}
    net = factory_of(make)(targets, [1, 8], cutoff=3.0).double()
    cell = 4 * torch.eye(3, dtype=torch.float64)[None] + 0.2 * torch.rand(1, 3, 3).double()
    batch = Batch.from_data_list(
        [
            Data(
                pos=4 * torch.rand(5, 3, dtype=torch.float64),
                z=torch.tensor([8, 1, 1, 8, 1]),
                cell=cell,
                pbc=torch.ones(1, 3, dtype=torch.bool),
            )
            for _ in range(2)
        ]
    )
    turn = random_elements(1, "O(3)", torch.Generator().manual_seed(0))[0]
    other = batch.clone()
    other.pos, other.cell = batch.pos @ turn.mT, batch.cell @ turn.mT
    here, there = net(batch), net(other)
    for name, representation in targets.items():
        turned = as_representation(representation).rotate(here[name], turn.expand(2, 3, 3))
        torch.testing.assert_close(there[name], turned, atol=1e-10, rtol=0)
        assert float(here[name].detach().abs().max()) > 1e-3


def test_baselines_of_tensors_are_what_does_not_turn() -> None:
    choice = DataChoice(train=20, validation=2, test=2, targets={"polarizability": ""})
    data = data_of(choice)
    parts = split(data, choice)
    units = Units(data, parts.train)
    batch = Batch.from_data_list(parts.train)
    base = units.baseline("polarizability", batch).reshape(-1, 3, 3)
    trace = base.diagonal(dim1=1, dim2=2).mean(1)[:, None, None]
    torch.testing.assert_close(base, trace * torch.eye(3, dtype=torch.float64).expand_as(base))
    left = batch.polarizability.double() - base
    assert float(left.square().mean()) < 0.5 * float(batch.polarizability.double().square().mean())
    values = torch.rand(5, 3, 3)
    assert units.in_units("polarizability", values, batch).shape == values.shape


def test_predictions_start_near_the_baseline() -> None:
    run, data = run_of(), data_of(FEW)
    parts = split(data, FEW)
    training = Training(run, data, parts, Path("/nonexistent"))
    batch = Batch.from_data_list(cast(parts.test, torch.float32))
    found = predicted(training.net, training.units, batch, create_graph=False)
    forces = torch.cat([one.forces for one in parts.train])
    assert float(found["forces"].square().mean().sqrt()) < 0.2 * float(forces.std())
    total = found["energy"].double() + training.units.baseline("energy", batch)
    true = torch.cat([one.energy for one in parts.test])
    assert float((total - true).abs().max()) < 5  # of thousands of eV


def test_the_loss_knows_what_composition_says() -> None:
    data = data_of(FEW)
    parts = split(data, FEW)
    units = Units(data, parts.train)
    batch = Batch.from_data_list(parts.train)
    exact = {
        "energy": batch.energy - units.baseline("energy", batch),
        "forces": batch.forces,
    }
    assert float(loss_of(exact, units, batch, {})) < 1e-20
    assert float(loss_of({**exact, "forces": 0 * batch.forces}, units, batch, {})) > 0.1


@pytest.mark.parametrize("mode", ["sampled", "random", "plain"])
def test_an_interrupted_training_goes_on_to_the_same_weights(tmp_path: Path, mode: str) -> None:
    data = data_of(FEW)
    parts = split(data, FEW)
    whole = Training(run_of(mode=mode), data, parts, tmp_path / "whole")
    whole.steps(lambda done, loss: None)
    first = Training(run_of(mode=mode), data, parts, tmp_path / "parts")
    first.steps(lambda done, loss: None, most=5)  # states are kept after the second and the fourth
    second = Training(run_of(mode=mode), data, parts, tmp_path / "parts")
    assert second.done == 4
    second.steps(lambda done, loss: None)
    for one, other in zip(whole.both.parameters(), second.both.parameters(), strict=True):
        assert torch.equal(one, other)
    for name in whole.best:
        assert torch.equal(whole.best[name], second.best[name])


def test_other_seeds_have_other_weights(tmp_path: Path) -> None:
    data = data_of(FEW)
    parts = split(data, FEW)
    nets = []
    for seed in (0, 1):
        run = Run(NetworkChoice("mock"), FramesChoice(), FEW, QUICK, seed)
        nets.append(Training(run, data, parts, tmp_path / str(seed)).net)
    assert not torch.equal(nets[0].first.weight, nets[1].first.weight)


# --- runs and reports


def test_all_in_seconds_with_a_network_that_fails(tmp_path: Path) -> None:
    assert main(["run", "mock", "--folder", str(tmp_path)]) == 1
    found = list(results(tmp_path / "mock"))
    assert [one["status"] for one in found].count("finished") == 1
    failed = [one for one in found if one["status"] == "failed"]
    assert all("nan" in one["error"] for one in failed)
    good = next(one for one in found if one["status"] == "finished")
    assert max(good["forms"]["symmetrized"]["rotation_error"].values()) < 1e-9
    assert max(good["forms"]["bare"]["rotation_error"].values()) > 1e-2
    assert {"versions", "machine", "command", "run", "split", "source"} <= set(good)

    # what is finished is not repeated
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/mock-s*/result.json")}
    main(["run", "mock", "--folder", str(tmp_path)])
    assert {path: path.stat().st_mtime_ns for path in before} == before

    assert main(["report", str(tmp_path / "mock")]) == 0
    text = (tmp_path / "mock" / "report.md").read_text()
    assert "Runs that failed" in text
    assert "energy, MAE (eV)" in text
    page = (tmp_path / "mock" / "report.html").read_text()
    assert page.count("<img") == 3
    assert "http" not in page  # it needs nothing else


OWN = """
import torch


class Net(torch.nn.Module):
    def __init__(self, outputs, species, width):
        super().__init__()
        self.outputs, self.layer = list(outputs), torch.nn.Linear(3, width)

    def forward(self, data):
        rows = self.layer(data.pos).tanh()
        pooled = rows.new_zeros(data.num_graphs, rows.size(1)).index_add(0, data.batch, rows)
        return {name: pooled[:, :1] for name in self.outputs}


def factory(outputs, species, width=4):
    return Net(outputs, species, width)
"""


def test_a_network_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_networks.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    networks = "[[networks]]\nmake = 'my_networks:factory'\nsettings = {width = 8}\n"
    path = written(tmp_path, networks + SMALL)
    assert main(["run", str(path), "--folder", str(tmp_path / "out")]) == 0
    (found,) = results(tmp_path / "out" / "mine")
    assert found["parameters"] == 32
    bad = written(tmp_path, "[[networks]]\nmake = 'my_networks:nothing'\n" + SMALL, "bad.toml")
    assert main(["run", str(bad), "--folder", str(tmp_path / "out")]) == 1
    (told,) = results(tmp_path / "out" / "bad")
    assert "cannot be imported" in told["error"]


def charges_on_a_line(choice: DataChoice) -> DataSet:
    """A loader of one's own."""
    structures = [
        Data(pos=torch.rand(4, 3).double(), z=torch.ones(4).long(), pull=torch.rand(1, 3).double())
        for _ in range(choice.train + choice.validation + choice.test)
    ]
    return DataSet(structures, {"pull": Target("1o", unit="N")}, "drawn")


def test_a_loader_of_ones_own(tmp_path: Path) -> None:
    own = "set = 'tests.benchmarks.test_compare:charges_on_a_line'"
    text = "[[networks]]\nmake = 'mock'\n" + SMALL.replace("[data]", f"[data]\n{own}")
    comparison = read(written(tmp_path, text))
    assert run_all(comparison, tmp_path / "out", Console(quiet=True)) == 0
    (found,) = results(tmp_path / "out")
    assert set(found["forms"]["symmetrized"]["errors"]) == {"pull"}


def who_knows(outputs: Any, species: Any) -> Any:
    """A network that knows the answer."""
    return lambda data: {"pull": data.pull}


def test_what_is_only_evaluated_keeps_its_units(tmp_path: Path) -> None:
    here = "tests.benchmarks.test_compare"
    text = f"[[networks]]\nmake = '{here}:who_knows'\ntrained = false\nsymmetrized = false\n"
    text += SMALL.replace("[data]", f"[data]\nset = '{here}:charges_on_a_line'")
    assert run_all(read(written(tmp_path, text)), tmp_path / "out", Console(quiet=True)) == 0
    (found,) = results(tmp_path / "out")
    assert found["forms"]["bare"]["errors"]["pull"]["mae"] < 1e-6
    assert found["curve"] == []


def test_a_checkpoint_is_evaluated(tmp_path: Path) -> None:
    net = PointNet({"energy": "0e"}, width=8)
    save(net, tmp_path / "kept")
    settings = f"settings = {{folder = '{tmp_path / 'kept'}'}}"
    text = f"[[networks]]\nmake = 'checkpoint'\ntrained = false\n{settings}\n" + SMALL
    assert run_all(read(written(tmp_path, text)), tmp_path / "out", Console(quiet=True)) == 0
    (found,) = results(tmp_path / "out")
    assert set(found["forms"]) == {"bare", "symmetrized"}


@pytest.mark.parametrize(
    ("make", "settings"),
    [
        ("calculator", "make = 'ase.calculators.lj:LennardJones', cutoff = 3.0, epsilon = 0.01"),
        ("metatomic", "path = '{kept}'"),
    ],
)
def test_what_only_answers_is_evaluated(tmp_path: Path, make: str, settings: str) -> None:
    if make == "metatomic":
        pytest.importorskip("metatrain")
        from tests.common.metatrain_pet import pet

        targets = {"energy": ("scalar", "eV", 1, False)}
        pet(torch.float64, targets).export().save(str(tmp_path / "kept.pt"))
    settings = settings.format(kept=tmp_path / "kept.pt")
    text = f"[[networks]]\nmake = '{make}'\ntrained = false\nsettings = {{{settings}}}\n"
    text += "[frames]\ncutoff = 3.0\n" + SMALL
    assert run_all(read(written(tmp_path, text)), tmp_path / "out", Console(quiet=True)) == 0
    (found,) = results(tmp_path / "out")
    assert {"energy", "forces"} <= set(found["forms"]["bare"]["errors"])
    assert found["forms"]["symmetrized"]["rotation_error"]["energy"] < 1e-9


def test_shapes_upright(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "shapes.npz", points=rng.normal(size=(30, 20, 3)), label=[0, 1, 2] * 10)
    text = f"""
[[networks]]
make = "ClassicPointNet"
settings = {{width = 0.1}}
[frames]
group = "SO(2)"
axis = [0, 1, 0]
[data]
set = "shapes"
path = "{tmp_path / "shapes.npz"}"
train = 16
validation = 4
test = 10
[training]
steps = 4
batch = 4
every = 2
"""
    assert run_all(read(written(tmp_path, text)), tmp_path / "out", Console(quiet=True)) == 0
    (found,) = results(tmp_path / "out")
    assert 0 <= found["forms"]["symmetrized"]["errors"]["label"]["accuracy"] <= 1
    write_report(tmp_path / "out")


def test_an_interrupted_write_leaves_the_result_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, "[[networks]]\nmake = 'mock'\n" + SMALL)
    comparison = read(path)
    run_all(comparison, tmp_path / "out", Console(quiet=True))
    (kept,) = (tmp_path / "out").glob("*/result.json")
    before = kept.read_text()

    def full(self: Path, text: str) -> int:
        raise OSError(28, "No space left on device")

    told = json.loads(before)
    told["status"] = "failed"  # so that it runs again
    kept.write_text(json.dumps(told))
    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        run_all(comparison, tmp_path / "out", Console(quiet=True))
    monkeypatch.undo()
    assert json.loads(kept.read_text())["status"] == "failed"


def test_mistakes_in_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "nothing"]) == 2
    assert "none of that name" in capsys.readouterr().out
    assert main(["report", str(tmp_path)]) == 2
    assert main(["list"]) == 0
    assert "quick" in capsys.readouterr().out


def test_units_of_labels_are_left_alone() -> None:
    structures = [Data(pos=torch.rand(3, 3).double(), label=torch.tensor([1]))]
    data = DataSet(structures, {"label": Target("2x0e", classes=("a", "b"))}, "drawn")
    units = Units(data, structures)
    batch = Batch.from_data_list(structures)
    logits = torch.tensor([[-9.0, 9.0]])
    assert torch.equal(units.in_units("label", logits, batch), logits)
    assert float(loss_of({"label": logits}, units, batch, {})) < 1e-6


def test_only_seeds_are_averaged() -> None:
    def run(preset: str, error: float, seed: int = 0) -> dict[str, Any]:
        told = Run(NetworkChoice("mock"), FramesChoice(preset=preset), FEW, QUICK, seed).plain()
        form = {"errors": {"energy": {"mae": error}}, "rotation_error": {}, "evaluations": 1.0}
        targets = {"energy": {"unit": "eV", "classes": ()}}
        return {"run": told, "forms": {"bare": form}, "targets": targets}

    runs = [run("smooth", 1.0), run("smooth", 2.0, seed=1), run("lean", 3.0)]
    _, rows = errors_table(runs)
    assert [(row[0], row[3]) for row in rows] == [
        ("mock", "1.5 ± 0.707"),
        ("mock, preset lean", "3"),
    ]


def test_targets_that_are_no_numbers_are_told(tmp_path: Path) -> None:
    data = data_of(FEW)
    parts = split(data, FEW)
    parts.validation[0].forces[0] = torch.nan
    training = Training(run_of(), data, parts, tmp_path)
    with pytest.raises(NotFiniteError, match="validation set is nan"):
        training.steps(lambda done, loss: None)
    with pytest.raises(ConfigurationError, match="'enrgy' is none of the targets"):
        Training(run_of(weights={"enrgy": 2.0}), data, parts, tmp_path)


def test_errors_under_rotation_that_are_no_numbers_are_told() -> None:
    data = data_of(DataChoice(set="charges", train=6, validation=1, test=1))
    run = Run(NetworkChoice("mock"), FramesChoice(), FEW, QUICK, 0)
    units = Units(data, data.structures, plain=True)
    # the velocity turns along
    exact = rotation_error(lambda batch: {"shift": batch.velocity}, units, data.structures, run)
    assert exact["shift"] < 1e-12
    calls = []

    def breaking(batch: Batch) -> dict[str, torch.Tensor]:
        calls.append(1)
        return {"shift": batch.velocity * (torch.nan if len(calls) == 2 else 1.0)}

    assert np.isnan(rotation_error(breaking, units, data.structures, run)["shift"])
    assert rotation_error(breaking, units, data.structures[:1], run) == {}


def test_errors_under_rotation_of_what_runs_in_single_precision_alone() -> None:
    data = data_of(DataChoice(set="charges", train=6, validation=1, test=1))
    run = Run(NetworkChoice("mock"), FramesChoice(), FEW, QUICK, 0)
    units = Units(data, data.structures, plain=True)

    def single(batch: Batch) -> dict[str, torch.Tensor]:
        if batch.pos.dtype != torch.float32:
            raise RuntimeError("expected scalar type Float but found Double")
        return {"shift": batch.velocity}

    found = rotation_error(single, units, data.structures, run)
    assert 1e-9 < found["shift"] < 1e-5


# --- several processes


def test_two_processes_go_to_the_weights_of_one(tmp_path: Path) -> None:
    text = (
        "[[networks]]\nmake = 'PET'\nsettings = {cutoff = 3.0, width = 8, hidden = 8, heads = 1, "
        "layers = 1}\n" + SMALL + "dtype = 'float64'\nmode = 'all'\n"
    )
    path = written(tmp_path, text)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--master-port", "0", "--standalone", "-m", "benchmarks", "run", str(path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    told = subprocess.run(
        [*command, "--folder", str(tmp_path / "two")],
        cwd=Path(__file__).parents[2], env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    assert main(["run", str(path), "--folder", str(tmp_path / "one")]) == 0
    states = [
        torch.load(next((tmp_path / name / "mine").glob("*/state.pt")), weights_only=True)
        for name in ("one", "two")
    ]
    assert states[0]["done"] == states[1]["done"] == 6
    for name, ours in states[0]["both"].items():
        torch.testing.assert_close(states[1]["both"][name], ours, atol=1e-9, rtol=1e-7)
    (found,) = results(tmp_path / "two" / "mine")
    (alone,) = results(tmp_path / "one" / "mine")
    assert found["forms"]["symmetrized"]["errors"]["energy"]["mae"] == pytest.approx(
        alone["forms"]["symmetrized"]["errors"]["energy"]["mae"], rel=1e-6
    )
