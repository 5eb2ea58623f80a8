"""The package as a whole: what importing it costs, what its wheel holds, what its texts say."""

import functools
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from fnmatch import fnmatch
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


@functools.cache
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
    """Mutant of the test above: networks bring what the wrapper does without."""
    assert "torch_geometric.nn" in imported("backbones")["modules"]


# A path on somebody's machine, not a relative one
MACHINE_PATH = re.compile(r"(?<![\w./])/(work|root|home|tmp|opt|Users)/\w")


def texts() -> list[Path]:
    folders = [*PACKAGES, "benchmarks", "docs", "tests", "scripts", ".ci"]
    # in a second working tree .git is a file, which says where the first one is
    found = [path for path in ROOT.iterdir() if path.is_file() and path.name != ".git"]
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


# --- the wheel


DATA = (".npz", ".json", ".safetensors")


def shipped() -> set[str]:
    """What a wheel shall hold of the sources: modules, marks of types, data, and nothing else."""
    kinds = {".py", *DATA}
    found = {"pytest_equivariance.py"}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*"):
            if path.suffix in kinds or path.name == "py.typed":
                found.add(path.relative_to(ROOT).as_posix())
    return found


def test_what_is_shipped_is_packages_with_types_and_data():
    """A folder without ``__init__`` is no package, and none of its modules would be shipped."""
    names = shipped()
    folders = {Path(name).parent for name in names if name.endswith(".py")} - {Path()}
    assert {f"{folder.as_posix()}/__init__.py" for folder in folders} <= names
    assert {f"{package}/py.typed" for package in PACKAGES} <= names
    data = {Path(name).parent.as_posix() for name in names if name.endswith(DATA)}
    assert data == {"symmetrize/datasets", "backbones/pretrained/small_pet"}


def packaged(folders: list[str], patterns: list[str]) -> set[str]:
    return {folder for folder in folders if any(fnmatch(folder, pattern) for pattern in patterns)}


def test_patterns_of_packages_find_these_and_no_others():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    patterns = settings["packages"]["find"]["include"]
    folders = [path.name for path in ROOT.iterdir()]
    assert packaged(folders, patterns) == set(PACKAGES)
    assert settings["py-modules"] == ["pytest_equivariance"]
    # mutants: without patterns everything is found; another folder may match one of them
    assert "benchmarks" in packaged(folders, ["*"])
    assert "symmetrize_old" in packaged([*folders, "symmetrize_old"], patterns)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from the whole tree as it is checked out, but for what a build leaves behind."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    # a build folder left in the sources would leak in
    left = {"build", ".venv", ".git", *(path.name for path in ROOT.glob("*.egg-info"))}
    for path in ROOT.iterdir():
        if path.name not in left:
            (source / path.name).symlink_to(path)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder)]
    subprocess.run([*pip, str(source)], check=True)
    (found,) = folder.glob("*.whl")
    return found


@pytest.mark.slow
def test_the_wheel_installs_the_packages_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    (record,) = {name.split("/")[0] for name in names if ".dist-info/" in name}
    tops = {name.split("/")[0] for name in names}
    assert tops == {*PACKAGES, "pytest_equivariance.py", record}
    assert {name for name in names if not name.startswith(record)} == shipped()
    # the data set, the potential and the code together stay small
    assert wheel.stat().st_size < 5_000_000


@pytest.mark.slow
def test_the_wheel_says_what_it_is(wheel):
    assert wheel.name.startswith("torch_symmetrize-")
    archive = zipfile.ZipFile(wheel)
    (place,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = archive.read(place).decode()
    assert "\nName: torch-symmetrize\n" in metadata
    assert "\nProject-URL: " in metadata
    assert "\nDescription-Content-Type: text/markdown" in metadata
    described = metadata.split("\n\n", 1)[1]
    assert described.startswith("# symmetrize")
    assert not re.findall(r"\]\((?!https:|#)", described)
