"""Copy the table of the stored demo into README, between its two markers.

Usage: python scripts/update_readme.py
"""

from pathlib import Path

from symmetrize.demo.report import read, text

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- the table that `make figures` measured -->\n", "<!-- end of the table -->"


def main() -> None:
    """Replace what stands between the markers."""
    readme = ROOT / "README.md"
    table = text(read(ROOT / "docs" / "figures" / "demo.json"))
    before, rest = readme.read_text().split(BEGIN)
    _, after = rest.split(END)
    readme.write_text(f"{before}{BEGIN}```text\n{table}\n```\n{END}{after}")


if __name__ == "__main__":
    main()
