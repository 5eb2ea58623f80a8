"""What does symmetrizing cost in accuracy? Errors before and after, on eight data sets.

Runs the comparison "accuracy", as far as it has not run yet, and keeps what the pages quote of it:
errors, rotation errors, evaluations and learning curves, without predictions.

And what Gaussians of distances are worth beside displacements, the comparison "resolution".

Run: python -m benchmarks.train_accuracy (five hours on one core; data of SYMMETRIZE_DATA). Writes
results/train_accuracy.json, and prints the table of docs/outcomes.md.
"""

import argparse
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from rich.console import Console

from benchmarks._record import read_result, write_result
from benchmarks._text import markdown, short
from benchmarks.compare.configuration import read
from benchmarks.compare.evaluation import errors_on
from benchmarks.compare.runs import results, run_all, trained
from benchmarks.compare.training import cast, symmetrized
from equivariance_tests.checks.steepness import Held

FOLDER, EXACT = Path("comparisons/accuracy"), Path("comparisons/exact")
RESOLUTION = Path("comparisons/resolution")
# Runs whose forces are looked at with frames held, too
HELD = {"DGCNN": ("Li3PS4", "Si"), "PointTransformer": ("acetylacetone", "Mo"), "PET": ("Li3PS4",)}
MEMORY = "4 GiB"
# Steps after which networks with and without Gaussians of distances are compared
LOOK = 300
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


def held(folder: Path) -> list[dict[str, Any]]:
    """Errors of forces bare, symmetrized, and symmetrized with frames held while points move."""
    found = []
    for run in read("accuracy").runs():
        if run.seed > 0 or run.data.set not in HELD.get(run.network.make, ()):
            continue
        training, parts = trained(run, folder)
        net, units = training.best_model()
        items = cast(parts.test, torch.float32)
        model = symmetrized(net, training.data.outputs, run.frames, memory=MEMORY).eval()
        row: dict[str, Any] = {"network": run.network.make, "data": run.data.set}
        for name in ("bare", "symmetrized", "held"):
            if name == "held":
                model.frames = Held(model.frames)
            asked = net if name == "bare" else model
            row[name] = errors_on(asked, units, items, run.training)["forces"]["mae"]
        found.append(row)
    return found


def held_table(stored: dict[str, Any]) -> str:
    """Errors of forces in meV/Å."""
    names = ("bare", "symmetrized", "held")
    rows = [
        [one["data"], one["network"], *(short(1e3 * one[name]) for name in names)]
        for one in stored["held"]
    ]
    for one in stored["exact"]:
        run, forms = one["run"], one["forms"]
        after = [short(1e3 * forms[name]["errors"]["forces"]["mae"]) for name in names[:2]]
        said = f"{run['network']['make']}, last {run['training']['exact']} steps in all frames"
        rows.append([run["data"]["set"], said, *after, ""])
    header = ["forces, MAE (meV/Å)", "network", "bare", "symmetrized", "with frames held"]
    return markdown(header, rows)


def resolution_table(stored: dict[str, Any]) -> str:
    """Errors of forces in meV/Å, of the same seed, and validation errors after some steps."""
    rows = []
    for one in stored["resolution"]:
        alike = [
            other
            for other in stored["runs"]
            if all(
                other["run"][key][name] == one["run"][key][name]
                for key, name in (("network", "make"), ("data", "set"))
            )
            and other["run"]["seed"] == one["run"]["seed"]
        ]
        row = [one["run"]["data"]["set"], one["run"]["network"]["make"]]
        for each in (one, *alike):
            curve = {at["step"]: at["validation"] for at in each["curve"]}
            row += [
                short(curve[LOOK]),
                short(1e3 * each["forms"]["bare"]["errors"]["forces"]["mae"]),
            ]
        rows.append(row)
    looks = f"loss after {LOOK} steps"
    header = ["data", "network", f"without: {looks}", "forces, MAE (meV/Å)"]
    return markdown([*header, f"with 24: {looks}", "forces, MAE (meV/Å)"], sorted(rows))


def table(key: str) -> str:
    """Errors ("errors") before and after, by data set and network; and "held", and "resolution"."""
    stored = read_result("train_accuracy")
    if key == "held":
        return held_table(stored)
    if key == "resolution":
        return resolution_table(stored)
    seeds: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for one in stored["runs"]:
        seeds.setdefault((one["run"]["data"]["set"], one["run"]["network"]["make"]), []).append(one)
    rows = []
    for name in [one.set for one in read("accuracy").data]:
        for (data, network), runs in seeds.items():
            if data == name:
                rows += _rows(name, network, runs)
    header = ["data", "network", "target", "bare", "symmetrized", "after / before", "evaluations"]
    return markdown(header, rows)


def _rows(name: str, network: str, runs: list[dict[str, Any]]) -> list[list[str]]:
    """Means over seeds; of the ratio all of them."""
    forms = [one["forms"] for one in runs]
    rows = []
    for target in SHOWN:
        if target not in forms[0]["bare"]["errors"]:
            continue
        factor, unit = UNITS.get(target, (1.0, "e Å, Å³" if name == "molecules" else "a.u."))
        before = [form["bare"]["errors"][target]["mae"] for form in forms]
        row = [name, network, f"{target} ({unit})", short(factor * fmean(before))]
        if "symmetrized" not in forms[0]:
            rows.append([*row, "by itself", "", ""])
            continue
        later = [form["symmetrized"]["errors"][target]["mae"] for form in forms]
        ratios = ", ".join(f"{b / a:.3f}" for a, b in zip(before, later, strict=True))
        evaluations = fmean(form["symmetrized"]["evaluations"] for form in forms)
        rows.append([*row, short(factor * fmean(later)), ratios, short(evaluations)])
    return rows


def measure() -> dict[str, Any]:
    """What is kept of all runs, and errors with frames held."""
    runs = {"runs": FOLDER, "exact": EXACT, "resolution": RESOLUTION}
    return {name: gathered(folder) for name, folder in runs.items()} | {"held": held(FOLDER)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gather", action="store_true", help="what has run, and no more")
    if not parser.parse_args().gather:
        run_all(read("accuracy"), FOLDER, Console())
        run_all(read("exact"), EXACT, Console())
        run_all(read("resolution"), RESOLUTION, Console())
    path = write_result("train_accuracy", measure(), "python -m benchmarks.train_accuracy")
    print(table("errors"), path, sep="\n\n")


if __name__ == "__main__":
    main()
