"""The package as a whole: what importing it costs, what its wheel holds, what its texts say."""

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ["symmetrize", "backbones", "equivariance_tests"]

# What only some users need is imported where it is used.
OPTIONAL = ["ase", "matplotlib", "rich", "vesin"]
# Any import of torch-geometric's data classes brings its networks along: symmetrize does without,
# networks and tests that make batches do not.
HEAVY = {
    "symmetrize": [*OPTIONAL, "torch_geometric.nn", "torch_geometric.datasets"],
    "backbones": OPTIONAL,
    "equivariance_tests": OPTIONAL,
}

IMPORT = """
import json, sys, time
start = time.perf_counter()
import torch
torch_seconds = time.perf_counter() - start
start = time.perf_counter()
import {package}
seconds = time.perf_counter() - start
print(json.dumps(dict(modules=sorted(sys.modules), torch=torch_seconds, seconds=seconds)))
"""


def imported(package: str) -> dict:
    code = IMPORT.format(package=package)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("package", PACKAGES)
def test_import_is_light(package, record_property):
    report = imported(package)
    record_property("seconds", report["seconds"])
    print(f"import torch {report['torch']:.2f} s, then {package} {report['seconds']:.2f} s")
    assert [name for name in HEAVY[package] if name in report["modules"]] == []


def test_mutant_a_heavy_import_is_seen():
    """Mutant of the test above: the package of networks itself."""
    assert "torch_geometric.nn" in imported("torch_geometric.nn")["modules"]


# A path on somebody's machine, not a relative one
MACHINE_PATH = re.compile(r"(?<![\w./])/(work|root|home|tmp|opt|Users)/\w")


def texts() -> list[Path]:
    folders = [*PACKAGES, "benchmarks", "docs", "tests", "scripts", ".ci"]
    found = [path for path in ROOT.iterdir() if path.is_file() and path.suffix != ".pyc"]
    for folder in folders:
        found += [path for path in (ROOT / folder).rglob("*") if path.is_file()]
    kinds = {".py", ".md", ".toml", ".txt", ".json", ".cff", ".ipynb", ".rst", ""}
    return [path for path in found if path.suffix in kinds and "__pycache__" not in path.parts]


def test_no_text_names_a_machine_path():
    offenders = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in texts()
        if (match := MACHINE_PATH.search(path.read_text(errors="ignore")))
    ]
    assert offenders == []


@pytest.mark.parametrize("text", ["see " + "/home" + "/someone/data", "'" + "/tmp" + "/x'"])
def test_mutant_a_machine_path_is_seen(text):
    assert MACHINE_PATH.search(text)


@pytest.mark.slow
def test_wheel_holds_the_packages_their_types_and_the_data(tmp_path):
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(tmp_path)]
    # built from a copy of what belongs in it: a build folder left in the sources would leak in
    source = tmp_path / "source"
    source.mkdir()
    files = ["pytest_equivariance.py", "pyproject.toml", "setup.py", "README.md", "LICENSE"]
    for name in [*PACKAGES, *files]:
        (source / name).symlink_to(ROOT / name)
    subprocess.run([*pip, str(source)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {*PACKAGES, "pytest_equivariance.py"}
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(names)
    assert any(re.fullmatch(r"symmetrize/datasets/\w+\.npz", name) for name in names)
    assert wheel.name.startswith("torch_symmetrize-")
    (place,) = (name for name in names if name.endswith(".dist-info/METADATA"))
    metadata = zipfile.ZipFile(wheel).read(place).decode()
    assert "\nName: torch-symmetrize\n" in metadata
    assert "\nProject-URL: " in metadata
    assert "\nDescription-Content-Type: text/markdown" in metadata
    described = metadata.split("\n\n", 1)[1]
    assert described.startswith("# symmetrize")
    assert not re.findall(r"\]\((?!https:|#)", described)
    # the data set and the code together stay small
    assert wheel.stat().st_size < 2_000_000
