"""What is shown on the terminal: a bar, then the report; with ``rich`` in colors."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from equivariance_tests.certification.remaining import Remaining
from equivariance_tests.checks import Check

COLORS = {
    "passed": "green",
    "certified": "bold green",
    "failed": "bold red",
    "refuted": "bold red",
    "no run": "bold red",
    "could not run": "bold red",
    "known": "yellow",
    "skipped": "dim",
}
# Called with the name of a check, and how many of its clouds are done, of how many
Progress = Callable[[str, int, int], None]


@contextmanager
def progress_bar(shown: bool, checks: Sequence[Check]) -> Iterator[Progress]:
    """A bar on the terminal that is told how far checks are; nothing elsewhere.

    It shows how far all checks are, how many clouds of the current one are done, and how long the
    rest will take.

    Args:
        shown: whether there is a bar at all.
        checks: those that will run, in their order.
    """
    if not (shown and sys.stderr.isatty()):
        yield lambda check, done, total: None
        return
    remaining = Remaining(checks)
    try:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TimeElapsedColumn
    except ModuleNotFoundError:
        yield lambda check, done, total: _show_plainly(remaining, check, done, total)
        return
    columns = (
        "{task.description:<20}",
        BarColumn(),
        TaskProgressColumn(),
        "{task.fields[clouds]:>14}",
        TimeElapsedColumn(),
        "{task.fields[left]}",
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=1.0, clouds="", left="")

        def show(check: str, done: int, total: int) -> None:
            remaining.tell(check, done, total)
            bar.update(
                task,
                description=check,
                completed=remaining.part,
                clouds=f"{done} of {total}",
                left=remaining.said(),
            )

        yield show


def _show_plainly(remaining: Remaining, check: str, done: int, total: int) -> None:
    remaining.tell(check, done, total)
    line = f"{remaining.part:>4.0%}  {check:<20} {done:>7} of {total:<7} {remaining.said()}"
    print(f"\r{line:<70}", end="", file=sys.stderr, flush=True)


def print_in_colors(text: str) -> None:
    """Print a report, in colors if ``rich`` is installed and the output is a terminal."""
    try:
        from rich.console import Console
        from rich.text import Text
    except ModuleNotFoundError:
        print(text)
        return
    colored = Text(text)
    for word, color in COLORS.items():
        colored.highlight_regex(rf"(?<=\s){word}(?=\s|$)|^{word}(?=:)", color)
    # code to paste is never wrapped
    Console(soft_wrap=True).print(colored, highlight=False)
