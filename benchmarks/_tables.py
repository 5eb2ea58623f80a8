"""Tables of the documentation, written from the stored results.

A page holds ``<!-- table: NAME KEY -->``, a table, and ``<!-- end of the table -->``; NAME is a
benchmark, which has a function ``table(KEY)`` that reads its stored results.

Run: python -m benchmarks._tables, after a benchmark was run.
"""

import importlib
import re
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
TABLE = re.compile(
    r"(?P<begin><!-- table: (?P<name>\w+) (?P<key>\w+) -->\n).*?(?P<end><!-- end of the table -->)",
    re.DOTALL,
)


def rendered(page: str) -> str:
    """The page with all its tables as the stored results have them."""

    def written(found: re.Match) -> str:
        module = importlib.import_module(f"benchmarks.{found['name']}")
        return f"{found['begin']}{module.table(found['key'])}\n{found['end']}"

    return TABLE.sub(written, page)


def main() -> None:
    for path in sorted(DOCS.glob("*.md")):
        before = path.read_text()
        after = rendered(before)
        if after != before:
            path.write_text(after)
            print(path.name)


if __name__ == "__main__":
    main()
