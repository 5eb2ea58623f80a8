"""The pytest plugin, in sessions of its own: options, fixture, suite, report, known failures."""

import importlib.metadata
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from filelock import FileLock

from equivariance_tests import CHECKS, PROFILES
from equivariance_tests.suite import EquivarianceSuite
from pytest_equivariance import EXAMPLES

ROOT = Path(__file__).parents[2]
QUICK = """
import pytest

from equivariance_tests import Contract, Profile, PROFILES

PROFILES["fast"] = Profile("fast", clouds=20, slow_clouds=0, slow_cases=1, shrinking=1.0)
"""
MINE = """
import torch

from equivariance_tests import Contract, clouds
from equivariance_tests.mutants import MUTANTS, PairNetwork
from equivariance_tests.suite import EquivarianceSuite

LEVEL = MUTANTS["a z-specific term"]
CHECKS = ["parity", "permutation"]


def test_good(certify):
    assert certify(PairNetwork(), checks=CHECKS)["parity"].verdict == "passed"


def test_bad(certify):
    certify(LEVEL.make(), LEVEL.contract, checks=CHECKS)


@torch.no_grad()
def test_known(certify):
    report = certify(LEVEL.make(), LEVEL.contract, checks=CHECKS)
    assert report["parity"].verdict == "known"
    assert report.setting["dtype"] == "float32"
    assert report.setting["seed"] == 3


class TestMine(EquivarianceSuite):
    contract = Contract({"energy": "0e", "vector": "1o"}, group="SO(3)", cutoff=3.0)

    def model(self):
        return PairNetwork()


class TestLevel(EquivarianceSuite):
    contract = LEVEL.contract

    def model(self):
        return LEVEL.make()
"""
KNOWN = """
["test_mine.py::test_known"]
parity = "heights matter"

["test_mine.py::TestLevel"]
parity = "heights matter"
permutation = "wrong: this passes"
"""
CHOSEN = "good or bad or known or parity or permutation or locality or translation"


def session(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """pytest in a folder, with this plugin."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "pytest_equivariance", "-v", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        check=False,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "OMP_NUM_THREADS": "1", "COLUMNS": "120"},
    )


@pytest.fixture(scope="session")
def ran(tmp_path_factory) -> tuple[str, dict]:
    """What one session on two workers printed, and its report; one for all that run tests here."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return run_once(tmp_path_factory.mktemp("project"))
    # the folder that the workers of one run of pytest share
    kept = tmp_path_factory.getbasetemp().parent / "session_of_the_plugin.json"
    with FileLock(f"{kept}.lock"):
        if not kept.is_file():
            kept.write_text(json.dumps(run_once(tmp_path_factory.mktemp("project"))))
        return tuple(json.loads(kept.read_text()))


def run_once(folder: Path) -> tuple[str, dict]:
    """The session."""
    (folder / "conftest.py").write_text(QUICK)
    (folder / "test_mine.py").write_text(MINE)
    (folder / "known.toml").write_text(KNOWN)
    done = session(
        folder,
        *("-n", "2", "--dist", "loadgroup", "-k", CHOSEN, "--equivariance-known", "known.toml"),
        *("--equivariance-report", "out.json", "--equivariance-dtype", "float32"),
        *("--equivariance-seed", "3"),
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout, json.loads((folder / "out.json").read_text())


@pytest.mark.parametrize(
    ("test", "verdict"),
    [
        ("test_good", "PASSED"),
        ("test_bad", "FAILED"),
        ("test_known", "PASSED"),
        ("TestMine::test_permutation", "PASSED"),
        ("TestMine::test_locality", "PASSED"),
        ("TestMine::test_parity", "SKIPPED"),
        ("TestLevel::test_parity", "XFAIL"),
        ("TestLevel::test_permutation", "FAILED"),
        ("TestLevel::test_translation", "PASSED"),
    ],
)
def test_verdicts_of_a_session(ran, test, verdict):
    text, _ = ran
    assert any(verdict in line and f"test_mine.py::{test}" in line for line in text.splitlines())


def test_a_failure_shows_the_screen(ran):
    text, _ = ran
    assert "wrong parity: the output '" in text
    assert "known to fail (wrong: this passes), but it passes" in text


def test_the_report_has_what_all_workers_found(ran):
    _, report = ran
    by_test = {one["test"]: one for one in report["reports"]}
    assert set(by_test) == {
        f"test_mine.py::{name}"
        for name in ("test_good", "test_bad", "test_known", "TestMine", "TestLevel")
    }
    assert report["passed"] is False
    passed = {name.split("::")[1]: one["passed"] for name, one in by_test.items()}
    assert passed == {
        "test_good": True,
        "test_bad": False,
        "test_known": True,
        "TestMine": True,
        "TestLevel": False,
    }
    mine = by_test["test_mine.py::TestMine"]
    assert sorted(one["check"] for one in mine["findings"]) == [
        "locality",
        "parity",
        "permutation",
        "translation",
    ]


def test_a_session_without_certification_imports_neither_torch_nor_torch_geometric(tmp_path):
    (tmp_path / "test_other.py").write_text(
        "import sys\n\n"
        "def test_light():\n"
        "    heavy = {'torch', 'torch_geometric', 'e3nn', 'hypothesis'}\n"
        "    assert 'pytest_equivariance' in sys.modules\n"
        "    assert heavy & set(sys.modules) == set()\n"
    )
    done = session(tmp_path, "-p", "no:hypothesispytest", "--equivariance-report", "out.json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((tmp_path / "out.json").read_text()) == {"passed": True, "reports": []}


def test_a_profile_also_says_how_many_examples_hypothesis_has(tmp_path):
    (tmp_path / "test_other.py").write_text(
        "import sys\nfrom hypothesis import settings\n\n"
        "def test_examples():\n"
        "    assert settings().max_examples == 200\n"
        "    assert settings().deadline is None\n"
        "    assert 'torch' not in sys.modules\n"
    )
    done = session(tmp_path, "--equivariance-profile", "ci", "-W", "error")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "--equivariance-known: known.toml: "),
        ("parity =", "--equivariance-known: known.toml: "),
        ("Net = 'parity'", "'Net' must be a table of check = reason"),
    ],
    ids=["missing", "no TOML", "no table"],
)
def test_known_failures_that_are_not_understood_are_refused(tmp_path, text, said):
    if text is not None:
        (tmp_path / "known.toml").write_text(text)
    done = session(tmp_path, "--equivariance-known", "known.toml")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert said in done.stderr


def test_a_device_that_is_not_there_is_skipped(tmp_path):
    (tmp_path / "test_other.py").write_text(
        "def test_there(certify):\n    certify(lambda data: data.pos, None)\n"
    )
    done = session(tmp_path, "--equivariance-device", "cuda:99", "-rs")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "there is no device cuda:99" in done.stdout


def test_the_suite_has_a_test_for_each_check():
    tests = {name for name in vars(EquivarianceSuite) if name.startswith("test_")}
    assert tests == {f"test_{check.name.replace(' ', '_').lower()}" for check in CHECKS}


def test_profiles_of_the_plugin_are_those_of_the_package():
    assert set(EXAMPLES) == set(PROFILES)


def test_the_entry_point_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = project["entry-points"]["pytest11"]
    assert declared == {"pytest_equivariance": "pytest_equivariance"}
    found = importlib.metadata.EntryPoint("pytest_equivariance", "pytest_equivariance", "pytest11")
    assert found.load().__name__ == "pytest_equivariance"


LOST = """
from equivariance_tests import Contract
from equivariance_tests.suite import EquivarianceSuite


class OfSpecies:
    def __call__(self, data):
        rows = data.z[:, None].to(data.pos.dtype)
        return rows.new_zeros(data.num_graphs, 1).index_add(0, data.batch, rows)


class TestLost(EquivarianceSuite):
    contract = Contract("0e")

    def model(self):
        return OfSpecies()


class TestFound(TestLost):
    species = (1, 8)


def test_misspelled(certify):
    certify(OfSpecies(), Contract("0e"), specis=(1, 8))
"""


def test_a_suite_says_once_what_is_missing_and_takes_it_as_an_attribute(tmp_path):
    (tmp_path / "test_lost.py").write_text(LOST)
    done = session(tmp_path, "-k", "parity or permutation or misspelled", "-rs", "--tb=short")
    lines = done.stdout.splitlines()

    def verdict(test: str) -> str:
        return next(line for line in lines if f"test_lost.py::{test} " in line)

    # in the order of the checks
    assert "FAILED" in verdict("TestLost::test_parity")
    assert "SKIPPED" in verdict("TestLost::test_permutation")
    assert "the model could not be called, as was told before" in done.stdout
    assert " ".join(done.stdout.split()).count("It answers with species=(1, 6, 8)") == 1
    assert "PASSED" in verdict("TestFound::test_permutation")
    assert "FAILED" in verdict("test_misspelled")
    assert "is 'species' meant?" in done.stdout
