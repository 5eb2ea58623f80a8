"""The main job runs, measures what it says, and README shows what it printed."""

import json
from pathlib import Path

import pytest
import torch

from symmetrize.__main__ import main
from symmetrize.demo import evaluation, figure, report
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


@pytest.mark.parametrize(
    "make", [figure.bending, figure.stretching], ids=lambda make: make.__name__
)
def test_paths_pass_their_symmetric_shape_in_the_middle(make):
    _, shapes = make()
    middle = shapes[len(shapes) // 2].pos
    values = torch.linalg.svdvals(middle - middle.mean(0)).square()
    if make is figure.bending:
        assert values[1] < 1e-12  # collinear
    else:
        gaps = values.diff().abs()
        assert gaps.min() < 1e-12  # a symmetric top
        assert gaps.max() > 0.1


def test_circle_turns_and_closes(task):
    molecule = figure.example(task.test)
    _, shapes = figure.circle(molecule)
    distances = torch.cdist(molecule.pos, molecule.pos)
    for shape in shapes[::60]:
        torch.testing.assert_close(torch.cdist(shape.pos, shape.pos), distances)
    torch.testing.assert_close(shapes[0].pos, shapes[-1].pos)
    assert (shapes[0].pos - shapes[len(shapes) // 2].pos).abs().max() > 0.1


def test_the_command_writes_figure_and_numbers(tmp_path, monkeypatch, capsys):
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
    errors = {name: score["rotation_error"] for name, score in record["scores"].items()}
    for output in OUTPUTS:
        assert errors["network"][output] > 1e-3
        assert errors["symmetrized"][output] < 1e-12


def test_readme_shows_the_numbers_of_the_stored_run():
    stored = ROOT / "docs" / "figures" / "demo.json"
    assert report.text(report.read(stored)) in (ROOT / "README.md").read_text()
