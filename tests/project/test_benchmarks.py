"""Benchmarks are made alike: one question a file, which knows no other question."""

import ast
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
QUESTIONS = sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))


def imported(source: str) -> set[str]:
    """Modules of ``benchmarks`` that a source imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{one.name}" for one in node.names)}
        elif isinstance(node, ast.Import):
            names |= {one.name for one in node.names}
    parts = [name.split(".") for name in names]
    return {each[1] for each in parts if each[0] == "benchmarks" and len(each) > 1}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_measures_shows_and_knows_no_other(question: str) -> None:
    source = (FOLDER / f"{question}.py").read_text()
    functions = {node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}
    assert functions >= {"measure", "table", "main"}
    assert not imported(source) & set(QUESTIONS)


def test_mutant_a_question_that_asks_another_is_seen() -> None:
    assert imported("def f():\n    from benchmarks import frames") == {"frames"}
    assert imported("from benchmarks.frames import table") == {"frames"}
