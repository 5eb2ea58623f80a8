"""How the package is laid out: a check is one file, and no other file knows it by name."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import equivariance_tests
from equivariance_tests import CHECKS
from equivariance_tests.checks import Check, Law
from equivariance_tests.report.failures import Failure

ROOT = Path(equivariance_tests.__file__).parent
BASES = ("base", "law", "derivative_law", "energy_law", "path_law")


def imported(source: str) -> Iterator[str]:
    """Modules of the package that are imported, also within functions, by their places in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
            "equivariance_tests."
        ):
            yield str(node.module).removeprefix("equivariance_tests.")


def strings(source: str) -> Iterator[str]:
    """Constants that are text, each as a whole."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_no_check_imports_another() -> None:
    for path in (ROOT / "checks").glob("*.py"):
        if path.stem not in (*BASES, "__init__"):
            others = [one for one in imported(path.read_text()) if one.startswith("checks.")]
            assert {one.removeprefix("checks.") for one in others} <= set(BASES), path.name


def test_no_file_but_its_own_knows_a_check_by_name() -> None:
    names = {check.name for check in CHECKS}
    for path in ROOT.rglob("*.py"):
        if path.parent.name not in ("checks", "mutants"):
            known = names & set(strings(path.read_text()))
            assert known == set(), path.name


def test_mutant_a_name_in_a_string_is_seen() -> None:
    assert "batching" in set(strings('if check.name == "batching":\n    pass\n'))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_a_check_has_its_failure_beside_it(check: Check) -> None:
    kind = getattr(check, "failure", None)
    if isinstance(check, Law):
        assert issubclass(kind, Failure)
        assert kind.__module__ == type(check).__module__
