"""The table of the demo, on screen and as JSON."""

import io
import json
import statistics
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from symmetrize.demo.evaluation import Score
from symmetrize.demo.task import OUTPUTS, UNITS
from symmetrize.provenance import provenance

EXPLANATION = (
    "Of {} networks with other seeds: mean absolute error ± standard deviation over networks,\n"
    "largest rotation error and jump, shortest time. Rotation error: the largest\n"
    "|F(g x) - g F(x)| over test molecules x and random proper and improper rotations g, relative\n"
    "to the spread of the output. Jump: where ammonia passes its symmetric shape. All in float64."
)

Scores = dict[str, list[Score]]  # of each model, with one network for each seed


def table(scores: Scores) -> Table:
    """One column for each model, one row for each figure."""
    shown = Table(box=box.SIMPLE_HEAD)
    shown.add_column("")
    for name in scores:
        heading = name.replace("trained ", "trained\n")
        shown.add_column(heading, justify="right", vertical="bottom")

    def row(label: str, cell: Callable[[list[Score]], str]) -> None:
        shown.add_row(label, *map(cell, scores.values()))

    for output in OUTPUTS:
        row(f"{output} error ({UNITS[output][1]})", partial(_error, output))
    shown.add_section()
    for output in OUTPUTS:
        row(f"{output}: rotation error", partial(_rotation_error, output))
    row("jump of the energy (meV)", lambda each: f"{1e3 * max(one.jump for one in each):.3f}")
    shown.add_section()
    bare = _milliseconds(next(iter(scores.values())))
    row("evaluations per molecule", lambda each: f"{each[0].evaluations:.1f}")
    row("time per molecule (ms)", lambda each: f"{_milliseconds(each):.2f}")
    row("time / time of the bare network", lambda each: f"{_milliseconds(each) / bare:.1f}")
    return shown


def _error(output: str, scores: list[Score]) -> str:
    errors = [UNITS[output][0] * score.mae[output] for score in scores]
    return f"{statistics.mean(errors):.1f} ± {statistics.stdev(errors):.1f}"


def _rotation_error(output: str, scores: list[Score]) -> str:
    return f"{max(score.rotation_error[output] for score in scores):.0e}"


def _milliseconds(scores: list[Score]) -> float:
    return min(score.milliseconds for score in scores)


def text(scores: Scores) -> str:
    """The table in plain text, and what its rows mean."""
    page = io.StringIO()
    console = Console(width=120, file=page, color_system=None)
    console.print(table(scores))
    console.print(EXPLANATION.format(len(next(iter(scores.values())))), highlight=False)
    lines = page.getvalue().splitlines()
    return "\n".join(line.rstrip() for line in lines).strip("\n")


def write(scores: Scores, steps: int, seed: int, path: Path) -> None:
    """The same numbers with their origin; values in eV, e Å and Å^3."""
    record = {
        **provenance(f"python -m symmetrize demo --steps {steps} --seed {seed}"),
        "steps": steps,
        "seed": seed,
        "scores": {name: list(map(asdict, each)) for name, each in scores.items()},
    }
    path.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n")


def read(path: Path) -> Scores:
    """The scores that ``write`` wrote."""
    stored = json.loads(path.read_text())["scores"]
    return {name: [Score(**score) for score in each] for name, each in stored.items()}
