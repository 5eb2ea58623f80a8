"""What pyproject.toml cannot say: the README as a package index shows it.

An index has the text alone: links to files of the repository lead nowhere there, and figures are
missing. They become absolute where `[project.urls]` has a "Source", as https://host/owner/name.
Without one, links are their text, and figures say where they are.
"""

import re
import tomllib
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent
# [text](target) and ![text](target), where the target is neither a URL nor a place on the page
RELATIVE = re.compile(r"(!?)\[([^\]]*)\]\((?![a-z]+:|#)([^)\s]+)\)")
FENCED = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)


def for_an_index(readme: str, source: str | None) -> str:
    """The README without relative links; code is left as it is."""

    def replaced(match: re.Match[str]) -> str:
        is_figure, text, target = match.groups()
        if source is not None:
            kind = "raw" if is_figure else "blob"
            return f"{is_figure}[{text}]({source.rstrip('/')}/{kind}/HEAD/{target})"
        return f"*{text}: `{target}` of the source distribution*" if is_figure else text

    parts = FENCED.split(readme)  # every second one is code
    parts[::2] = [RELATIVE.sub(replaced, part) for part in parts[::2]]
    return "".join(parts)


if __name__ == "__main__":
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = (ROOT / "README.md").read_text()
    setup(
        long_description=for_an_index(text, project.get("urls", {}).get("Source")),
        long_description_content_type="text/markdown",
    )
