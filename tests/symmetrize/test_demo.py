"""The main job runs, measures what it says, and README shows what it printed."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch_geometric.nn import global_add_pool

from symmetrize import FrameAveraging, HierarchicalFrames, Symmetrizer
from symmetrize.__main__ import main
from symmetrize.demo import evaluation, job, parallel, paths, report, training
from symmetrize.demo.task import OUTPUTS, load_task

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def task():
    return load_task()


class Answer:
    """A model that knows the labels of a batch whatever its orientation: equivariant or not."""

    def __init__(self, exact: bool) -> None:
        self.exact = exact

    def __call__(self, data):
        if "energy" not in data:  # where jumps are looked for
            return {"energy": torch.zeros(data.num_graphs, 1)}
        labels = {name: data[name].clone() for name in OUTPUTS}
        if not self.exact:
            labels["energy"] = labels["energy"] + 0.1
        return labels


def test_energies_are_what_the_composition_leaves(task):
    energies = torch.cat([molecule.energy for molecule in task.train])[:, 0]
    hydrogens = torch.tensor([(molecule.z == 1).sum() for molecule in task.train]).double()
    # total energies are thousands of eV, those of distortion a few
    assert 0.1 < energies.square().mean().sqrt() < 10
    # the fit leaves nothing that goes with the number of atoms of an element
    assert (energies @ hydrogens).abs() < 1e-6 * len(energies)


def test_errors_are_those_of_the_labels(task):
    exact = evaluation.score(Answer(exact=True), task.test, seed=0)
    shifted = evaluation.score(Answer(exact=False), task.test, seed=0)
    assert exact.mae == exact.rmse == dict.fromkeys(OUTPUTS, 0.0)
    assert shifted.mae["energy"] == pytest.approx(0.1)
    assert shifted.rmse["energy"] == pytest.approx(0.1)


def test_rotation_error_sees_what_does_not_turn(task):
    found = evaluation.score(Answer(exact=True), task.test, seed=0).rotation_error
    assert found["energy"] == 0  # these energies do not change as the molecule turns, and
    assert found["dipole"] > 1  # these dipoles do not turn with it
    assert found["polarizability"] > 0.1


@pytest.mark.parametrize("make", [paths.bending, paths.stretching], ids=lambda make: make.__name__)
def test_paths_pass_their_symmetric_shape_in_the_middle(make):
    _, shapes = make()
    middle = shapes[len(shapes) // 2].pos
    values = torch.linalg.svdvals(middle - middle.mean(0)).square()
    if make is paths.bending:
        assert values[1] < 1e-12  # collinear
    else:
        gaps = values.diff().abs()
        assert gaps.min() < 1e-12  # a symmetric top
        assert gaps.max() > 0.1


def test_circle_turns_and_closes(task):
    molecule = paths.example(task.test)
    _, shapes = paths.circle(molecule)
    distances = torch.cdist(molecule.pos, molecule.pos)
    for shape in shapes[::60]:
        torch.testing.assert_close(torch.cdist(shape.pos, shape.pos), distances)
    torch.testing.assert_close(shapes[0].pos, shapes[-1].pos)
    assert (shapes[0].pos - shapes[len(shapes) // 2].pos).abs().max() > 0.1


@pytest.fixture
def seen(monkeypatch):
    """Batches as networks see them in training."""
    batches = []

    def loss(net, batch, scale, loss=training._loss):
        batches.append(batch)
        return loss(net, batch, scale)

    monkeypatch.setattr(training, "_loss", loss)
    return batches


@pytest.mark.parametrize("frames", [None, FrameAveraging()], ids=["turned", "framed"])
def test_labels_turn_with_their_molecules_in_training(task, seen, frames):
    training.train(task.train, 2, 0, frames, lambda: None)
    for batch in seen:
        pos, forces = batch.pos.detach().double(), batch.forces.double()
        dipole, tensor = batch.dipole.double(), batch.polarizability.double()
        for index, number in enumerate(batch.molecule.tolist()):
            rows, original = batch.batch == index, task.train[number]
            there, along = pos[rows], forces[rows]
            # products that do not change under rotation; float32 of a few Angstrom, eV/Angstrom
            close = partial(torch.testing.assert_close, rtol=0, atol=1e-4)
            close(there @ dipole[index], original.pos @ original.dipole[0])
            close(there @ along.T, original.pos @ original.forces.T)
            turned = there @ tensor[index] @ there.T
            close(turned, original.pos @ original.polarizability[0] @ original.pos.T)


def test_networks_are_trained_in_frames_where_these_are_given(task, seen):
    for frames in (None, FrameAveraging()):
        training.train(task.train, 1, 0, frames, lambda: None)
    mixed = []
    for batch in seen:
        molecules = [batch.pos[batch.batch == index].detach() for index in range(batch.num_graphs)]
        moments = torch.stack([pos.T.cov() for pos in molecules])
        mixed.append((moments - moments * torch.eye(3)).abs().max())
    turned, framed = mixed
    assert turned > 0.1  # square Angstrom
    assert framed < 1e-5  # principal axes are the axes


def test_trainings_in_processes_are_those_in_this_one(task, monkeypatch):
    monkeypatch.setattr(parallel, "machine", lambda: {"cores": 1})  # a process takes seconds
    jobs = [(1, None), (0, FrameAveraging())]
    done = []
    nets = parallel.train_all(jobs, 3, done.append)
    assert done[-1] == 6
    for net, (seed, frames) in zip(nets, jobs, strict=True):
        alone = training.train(task.train, 3, seed, frames, lambda: None)
        torch.testing.assert_close(dict(net.state_dict()), dict(alone.state_dict()))


def test_a_jump_is_seen_where_there_is_one():
    def net(data):
        return {"energy": global_add_pool((3 * data.pos[:, 1:2]).exp(), data.batch)}

    def jump(frames):
        return evaluation._jump(Symmetrizer(net, {"energy": "0e"}, frames=frames))

    assert jump(FrameAveraging()) > 1e-3
    assert jump(HierarchicalFrames()) < 1e-6  # 10 per Angstrom, over 2e-9


def test_the_table_has_means_and_the_worst(task):
    exact = evaluation.score(Answer(exact=True), task.test, seed=0)
    shifted = evaluation.score(Answer(exact=False), task.test, seed=0)
    turned = dict.fromkeys(OUTPUTS, 9.0)
    shifted = replace(shifted, rotation_error=turned, jump=0.004, milliseconds=1e9)
    lines = report.text({"both": [exact, shifted]}).splitlines()
    cells = {line[:33].strip(): line[33:].strip() for line in lines}
    assert cells["energy error (meV)"] == "50.0 ± 70.7"  # of 0 and 100
    assert cells["energy: rotation error"] == "9e+00"
    assert cells["jump of the energy (meV)"] == "4.000"
    assert cells["time / time of the bare network"] == "1.0"


def test_the_command_writes_figure_and_numbers(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(job, "SEEDS", 2)
    monkeypatch.setattr(job, "QUADRATURE_DEGREE", 1)
    monkeypatch.setattr(evaluation, "ROTATIONS", 2)
    monkeypatch.setattr(evaluation, "REPEATS", 1)
    threads = torch.get_num_threads()
    try:
        main(["demo", "--steps", "20", "--output", str(tmp_path / "out")])
    finally:
        torch.set_num_threads(threads)
    assert "rotation error" in capsys.readouterr().out
    assert (tmp_path / "out" / "demo.png").stat().st_size > 10_000
    record = json.loads((tmp_path / "out" / "demo.json").read_text())
    assert record["command"] == "python -m symmetrize demo --steps 20 --seed 0"
    for seed in range(2):
        errors = {name: each[seed]["rotation_error"] for name, each in record["scores"].items()}
        for output in OUTPUTS:
            assert errors["network"][output] > 1e-3
            assert errors["symmetrized"][output] < 1e-12
            assert errors["trained symmetrized"][output] < 1e-12


def test_readme_shows_the_numbers_of_the_stored_run():
    stored = ROOT / "docs" / "figures" / "demo.json"
    assert report.text(report.read(stored)) in (ROOT / "README.md").read_text()
