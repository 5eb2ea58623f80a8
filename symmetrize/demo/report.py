"""The table of the demo, on screen and as JSON."""

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


def table(scores: dict[str, Score]) -> Table:
    """One column for each model, one row for each figure."""
    shown = Table(box=box.SIMPLE_HEAD, title="Test molecules, float64", title_style="bold")
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


def show(scores: dict[str, Score], console: Console) -> None:
    """Print the table and what its rows mean."""
    console.print(table(scores))
    console.print(
        "Rotation error: the largest |F(g x) - g F(x)| over test molecules and random proper and\n"
        "improper rotations, relative to the spread of the output.",
        highlight=False,
    )


def write(scores: dict[str, Score], steps: int, seed: int, path: Path) -> None:
    """The same numbers with their origin; values in eV, e Å and Å^3."""
    record = {
        **provenance(f"python -m symmetrize demo --steps {steps} --seed {seed}"),
        "steps": steps,
        "seed": seed,
        "scores": {name: asdict(score) for name, score in scores.items()},
    }
    path.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n")
