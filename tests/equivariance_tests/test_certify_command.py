"""The command line: what it certifies, what it writes, and how it ends."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from equivariance_tests import Contract, Profile, per_point
from equivariance_tests.__main__ import found, made, main
from equivariance_tests.certification.contracts_in_toml import contract_of_toml
from equivariance_tests.certification.profiles import PROFILES

ROOT = Path(__file__).parents[2]
MODELS = """
import torch
from torch import nn


def good(data):
    centered = data.pos.new_zeros(data.num_graphs, 3).index_add(0, data.batch, data.pos)
    number = torch.bincount(data.batch, minlength=data.num_graphs).clamp(min=1)
    away = (data.pos - (centered / number[:, None])[data.batch]).square().sum(1, keepdim=True)
    bumps = (-away).exp()
    return {"energy": data.pos.new_zeros(data.num_graphs, 1).index_add(0, data.batch, bumps)}


def bad(data):
    heights = data.pos[:, 2:].sin()
    return {"energy": data.pos.new_zeros(data.num_graphs, 1).index_add(0, data.batch, heights)}


def factory():
    return good


def of_positions(positions):
    return {"energy": positions[:, 2].sin().sum()[None]}


class Net(nn.Module):
    def forward(self, data):
        return good(data)


class Sized(Net):
    def __init__(self, width):
        super().__init__()


net = Net()
number = 3


def prepared(batch):
    return batch


def carried(data):
    assert data.edge_index.size(1) == len(data.edge_attr)
    assert len(data.word) == data.num_graphs
    return good(data)
"""
CONTRACT = 'smoothness = "inf"\n[outputs]\nenergy = "0e"\n'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a module of models and a contract, in which the command is given."""
    (tmp_path / "my_models.py").write_text(MODELS)
    (tmp_path / "contract.toml").write_text(CONTRACT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "my_models", raising=False)
    monkeypatch.setitem(PROFILES, "fast", Profile("fast", 20, 0, 1))
    return tmp_path


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "equivariance_tests", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        check=False,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "OMP_NUM_THREADS": "1"},
    )


QUICKLY = ("--contract", "contract.toml", "--checks", "equivariance", "permutation")


def test_certified(folder):
    # of torch and torch-geometric alone: nothing that the current process has imported helps
    done = command(folder, "my_models:factory", *QUICKLY, "--report", "out.json")
    assert done.returncode == 0, done.stderr
    assert "certified: 2 passed" in done.stdout
    report = json.loads((folder / "out.json").read_text())
    assert report["passed"] is True
    assert report["model"] == "good"
    assert report["provenance"]["command"].startswith("python -m equivariance_tests my_models:f")
    assert str(folder) not in (folder / "out.json").read_text()


def test_refuted(folder):
    done = command(folder, "my_models:bad", *QUICKLY, "--figure", "out.png", "--card", "card.md")
    card = (folder / "card.md").read_text()
    assert "**refuted: O(3), smooth; 1 of 2 checks passed**" in card
    assert "| permutation | passed | " in card
    assert "**equivariance**: not equivariant" in card
    assert "Again: `python -m equivariance_tests my_models:bad" in card
    assert done.returncode == 1, done.stderr
    assert "refuted: 1 passed, 1 failed" in done.stdout
    assert "Cloud('" in done.stdout
    assert (folder / "out.png").read_bytes().startswith(b"\x89PNG")


def test_could_not_run(folder, capsys):
    assert main(["my_models:missing", "--contract", "contract.toml"]) == 2
    said = "could not run: 'my_models:missing' is not there: my_models has no 'missing'\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere:net"], "there is no module 'nowhere': install it, or start from the folder"),
        (["my_models.below:net"], "there is no module 'my_models.below'"),
        (["my_models"], "'my_models' is no place: give it as package.module:factory"),
        (["my_models:Sized"], "the class Sized needs arguments"),
        (["my_models:number", "--contract", "contract.toml"], "must be callable"),
        (
            ["my_models:net", "--contract", "missing.toml"],
            "the contract file 'missing.toml' is not there",
        ),
        (["my_models:net", "--contract", "my_models.py"], "my_models.py is not TOML"),
        (
            ["my_models:net", "--contract", "other.toml"],
            "a contract has no smothness, but: outputs",
        ),
        (["my_models:net"], "declares no contract"),
        (["my_models:net", *QUICKLY, "--known", "symmetry=none"], "there is no check 'symmetry'"),
        (["my_models:net", *QUICKLY, "--call", "z"], "could not run"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value)[:60],
)
def test_a_message_tells_why_it_could_not_run(folder, capsys, arguments, said):
    (folder / "other.toml").write_text('smothness = 1\noutputs = "0e"\n')
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert said in printed.err + printed.out
    assert "Traceback" not in printed.err


def test_without_hypothesis_it_could_not_run(folder):
    """And exit status 1, that of any exception, would say that a model is refuted."""
    (folder / "hypothesis.py").write_text("raise ModuleNotFoundError(name='hypothesis')\n")
    done = command(folder, "my_models:net")  # `python -m` looks into its own folder first
    assert done.returncode == 2
    assert "pip install 'torch-symmetrize[certify]'" in done.stderr


@pytest.mark.parametrize("arguments", [[], ["my_models:net", "--profile", "thorough"]])
def test_wrong_usage_could_not_run_either(folder, arguments):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


def test_options_arrive(folder, capsys):
    arguments = [
        *("my_models:bad", "--contract", "contract.toml", "--checks", "parity", "permutation"),
        *("--known", "parity = learned", "--dtype", "float32", "--seed", "7"),
        *("--prepare", "my_models:prepared", "--report", "out.json", "--unit", "2.0"),
    ]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "known: learned" in printed
    report = json.loads((folder / "out.json").read_text())
    assert report["setting"]["dtype"] == "float32"
    assert report["setting"]["seed"] == 7
    verdicts = {one["check"]: one["verdict"] for one in report["findings"]}
    assert verdicts == {"parity": "known", "permutation": "passed"}


@pytest.mark.parametrize(
    "carries", [["--carries", "edges,names"], ["--carries", "edges", "--carries", "names"]]
)
def test_what_clouds_carry_is_said(folder, capsys, carries):
    assert main(["my_models:carried", "--contract", "contract.toml", "--quiet"]) == 2
    assert "could not run" in capsys.readouterr().err
    asked = ["--contract", "contract.toml", "--checks", "permutation", "--quiet"]
    assert main(["my_models:carried", *asked, *carries]) == 0
    assert main(["my_models:carried", *asked, "--carries", "ropes"]) == 2
    assert "must be a list of some of ['edges'" in capsys.readouterr().err


def test_quiet_prints_nothing(folder, capsys):
    arguments = ["my_models:net", "--contract", "contract.toml", "--checks", "permutation"]
    assert main([*arguments, "--quiet"]) == 0
    assert capsys.readouterr().out == ""


def test_a_report_that_cannot_be_written_is_told(folder, capsys):
    arguments = ["my_models:net", "--contract", "contract.toml", "--checks", "permutation"]
    assert main([*arguments, "--quiet", "--report", "missing/out.json"]) == 2
    assert "could not write" in capsys.readouterr().err


def test_factories_are_called_and_models_are_not(folder):
    assert made(found("my_models:factory")).__name__ == "good"
    assert type(made(found("my_models:Net"))).__name__ == "Net"
    for name in ("net", "of_positions", "net.forward"):
        assert made(found(f"my_models:{name}")) == found(f"my_models:{name}")


# --- contracts


def written(path: Path, text: str) -> Contract:
    (path / "contract.toml").write_text(text)
    return contract_of_toml(path / "contract.toml")


def test_all_fields_of_a_contract(tmp_path):
    contract = written(
        tmp_path,
        """
        group = "SO(3)"
        smoothness = 2
        cutoff = 5
        rounds = 3
        envelope = true
        extensive = true
        periodic = true
        inputs = {field = "1o"}

        [outputs]
        energy = "0e"
        forces = {representation = "1o", rows = "point"}
        charges = {representation = "0e", per_point = true}
        """,
    )
    assert contract == Contract(
        {"energy": "0e", "forces": per_point("1o"), "charges": per_point("0e")},
        inputs={"field": "1o"},
        group="SO(3)",
        smoothness=2,
        cutoff=5.0,
        rounds=3,
        envelope=True,
        extensive=True,
        periodic=True,
    )


def test_words_for_what_toml_cannot_say(tmp_path):
    contract = written(tmp_path, 'outputs = "0e"\ngroup = "none"\nsmoothness = "none"')
    assert contract == Contract("0e", group=None, smoothness=None)
    assert written(tmp_path, 'outputs = "0e"\nsmoothness = inf').smoothness == float("inf")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("group = 'O(3)'", "the contract has no `outputs`"),
        ("outputs = {energy = 3}", "the output 'energy' is 3 but must be a representation"),
        ("outputs = {energy = {per_point = true}}", "must be a representation"),
        ("outputs = {e = {representation = '0e', by_point = 1}}", "'e' has no by_point, but: rep"),
        ("outputs = '0e'\nrounds = 0", "`rounds` is 0 but must be an integer, at least 1"),
        ("outputs = '0e'\nsmoothness = 'very'", "smoothness|wrong type"),
        ("outputs = '0e'\ncutoff = '5 A'", "cutoff|wrong type"),
    ],
    ids=["no outputs", "number", "no representation", "unknown key", "rounds", "word", "unit"],
)
def test_contracts_that_are_none_are_refused(tmp_path, text, said):
    with pytest.raises(ValueError, match=said):
        written(tmp_path, text)
