"""The table of the demo, on screen and as JSON."""

import io
import json
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
    "Rotation error: the largest |F(g x) - g F(x)| over test molecules x and random proper and\n"
    "improper rotations g, relative to the spread of the output. All in float64."
)


def table(scores: dict[str, Score]) -> Table:
    """One column for each model, one row for each figure."""
    shown = Table(box=box.SIMPLE_HEAD)
    shown.add_column("")
    for name in scores:
        shown.add_column(name, justify="right")

    def row(label: str, cell: Callable[[Score], str]) -> None:
        shown.add_row(label, *map(cell, scores.values()))

    for output in OUTPUTS:
        row(f"{output} error: MAE / RMSE ({UNITS[output][1]})", partial(_errors, output))
    shown.add_section()
    for output in OUTPUTS:
        row(f"{output}: rotation error", partial(_rotation_error, output))
    shown.add_section()
    bare = next(iter(scores.values())).milliseconds
    row("evaluations per molecule", lambda score: f"{score.evaluations:.1f}")
    row("time per molecule (ms)", lambda score: f"{score.milliseconds:.2f}")
    row("time / time of the bare network", lambda score: f"{score.milliseconds / bare:.1f}")
    return shown


def _errors(output: str, score: Score) -> str:
    factor = UNITS[output][0]
    return f"{factor * score.mae[output]:.1f} / {factor * score.rmse[output]:.1f}"


def _rotation_error(output: str, score: Score) -> str:
    return f"{score.rotation_error[output]:.0e}"


def text(scores: dict[str, Score]) -> str:
    """The table in plain text, and what its rows mean."""
    page = io.StringIO()
    console = Console(width=120, file=page, color_system=None)
    console.print(table(scores))
    console.print(EXPLANATION, highlight=False)
    lines = page.getvalue().splitlines()
    return "\n".join(line.rstrip() for line in lines).strip("\n")


def write(scores: dict[str, Score], steps: int, seed: int, path: Path) -> None:
    """The same numbers with their origin; values in eV, e Å and Å^3."""
    record = {
        **provenance(f"python -m symmetrize demo --steps {steps} --seed {seed}"),
        "steps": steps,
        "seed": seed,
        "scores": {name: asdict(score) for name, score in scores.items()},
    }
    path.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n")


def read(path: Path) -> dict[str, Score]:
    """The scores that ``write`` wrote."""
    return {name: Score(**score) for name, score in json.loads(path.read_text())["scores"].items()}
