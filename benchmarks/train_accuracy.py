"""What does symmetrizing cost in accuracy? Errors before and after, on seven data sets.

Runs the comparison "accuracy", as far as it has not run yet, and keeps what the pages quote of it:
errors, rotation errors, evaluations and learning curves, without predictions.

Run: python -m benchmarks.train_accuracy (two hours on one core; data of SYMMETRIZE_DATA). Writes
results/train_accuracy.json, and prints the table of docs/outcomes.md.
"""

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks._record import read_result, write_result
from benchmarks._text import markdown, short
from benchmarks.compare.configuration import read
from benchmarks.compare.runs import results, run_all

FOLDER = Path("comparisons/accuracy")
KEPT = ("date", "machine", "command", "status", "curve", "training_seconds", "parameters", "source")
# What a table shows of each data set, in the unit of the data; others are in the stored results
SHOWN = ("energy", "forces", "stress", "dipole", "polarizability")
UNITS = {"energy": (1e3, "meV"), "forces": (1e3, "meV/Å"), "stress": (1e3, "meV/Å³")}


def gathered(folder: Path) -> list[dict[str, Any]]:
    """What is kept of each run that finished."""
    found = []
    for one in results(folder):
        if one["status"] != "finished":
            continue
        forms = {
            name: {key: value for key, value in form.items() if key != "parity"}
            for name, form in one["forms"].items()
        }
        found.append({key: one[key] for key in KEPT} | {"run": one["run"], "forms": forms})
    return found


def table(key: str) -> str:
    """Errors before and after, by data set and network."""
    stored = read_result("train_accuracy")["runs"]
    rows = []
    for name in [one.set for one in read("accuracy").data]:
        for one in stored:
            if one["run"]["data"]["set"] != name:
                continue
            rows += _rows(name, one)
    header = ["data", "network", "target", "bare", "symmetrized", "after / before", "evaluations"]
    return markdown(header, rows)


def _rows(name: str, one: dict[str, Any]) -> list[list[str]]:
    bare, after = one["forms"]["bare"], one["forms"].get("symmetrized")
    rows = []
    for target in SHOWN:
        if target not in bare["errors"]:
            continue
        factor, unit = UNITS.get(target, (1.0, "e Å, Å³" if name == "molecules" else "a.u."))
        before = bare["errors"][target]["mae"]
        network = one["run"]["network"]["make"]
        row = [name, network, f"{target} ({unit})", short(factor * before)]
        if after is None:
            rows.append([*row, "by itself", "", ""])
            continue
        later = after["errors"][target]["mae"]
        rows.append(
            [*row, short(factor * later), f"{later / before:.3f}", short(after["evaluations"])]
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gather", action="store_true", help="what has run, and no more")
    if not parser.parse_args().gather:
        run_all(read("accuracy"), FOLDER, Console())
    path = write_result(
        "train_accuracy", {"runs": gathered(FOLDER)}, "python -m benchmarks.train_accuracy"
    )
    print(table("errors"), path, sep="\n\n")


if __name__ == "__main__":
    main()
