"""What benchmarks print: progress bars, tables in Markdown, short numbers."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def progress(items: Iterable[Item], what: str) -> Iterable[Item]:
    """The items, with a progress bar if rich is installed."""
    items = list(items)
    try:
        from rich.progress import track
    except ImportError:
        return items
    return track(items, f"{what:25}")


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def short(value: float) -> str:
    """Two or three digits, or a power of ten."""
    if value >= 1e5:
        return f"{value:.0e}".replace("e+0", "e").replace("e+", "e")
    return f"{value:.3g}" if value < 1000 else f"{round(value, -1):.0f}"
