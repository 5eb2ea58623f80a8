"""Every Python example of the README and of the docs runs as written.

The blocks of one page run one after the other in one namespace, as a reader would type them. A
block that starts with ``python no-run`` is shown only.
"""

import re
from pathlib import Path

import pytest

from benchmarks._tables import rendered

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python[ \t]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


def run_blocks(text: str, name: str) -> int:
    namespace: dict = {"__name__": "__example__"}
    blocks = list(BLOCK.finditer(text))
    for block in blocks:
        # blank lines in front make the line numbers of a traceback those of the page
        before = text.count("\n", 0, block.start(1))
        exec(compile("\n" * before + block.group(1), name, "exec"), namespace)
    return len(blocks)


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_examples_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_blocks(page.read_text(), str(page))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_tables_are_the_stored_results(page):
    assert rendered(page.read_text()) == page.read_text()


def test_mutant_a_table_by_hand_is_seen():
    page = "<!-- table: backbones networks -->\nby hand\n<!-- end of the table -->"
    assert rendered(page) != page


def test_readme_has_an_example():
    assert BLOCK.search((ROOT / "README.md").read_text())


def test_mutant_a_wrong_example_is_seen():
    with pytest.raises(AssertionError):
        run_blocks("text\n```python\nassert 1 + 1 == 3\n```\n", "mutant")
