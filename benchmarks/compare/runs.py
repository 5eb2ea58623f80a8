"""Runs in a folder: one JSON each; what is finished is not repeated, what was begun goes on."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.compare import processes
from benchmarks.compare.configuration import Comparison, Run
from benchmarks.compare.data import DataSet, Split, split
from benchmarks.compare.evaluation import evaluated
from benchmarks.compare.sets import data_of
from benchmarks.compare.training import Training
from symmetrize.provenance import provenance

FORMAT = 1
# Steps that the cost is estimated from
TRIED = 3
RESULT = "result.json"


def results(folder: Path) -> Iterator[dict[str, Any]]:
    """All that was measured, of runs that ended, in whatever way."""
    for path in sorted(folder.glob(f"*/{RESULT}")):
        found = json.loads(path.read_text())
        if found.get("format") != FORMAT:
            continue
        yield found


def run_all(comparison: Comparison, folder: Path, console: Console) -> int:
    """All runs of a comparison; the number of those that failed."""
    processes.begin()
    runs = comparison.runs()
    waiting = [run for run in runs if not _is_finished(folder, run)]
    console.print(
        f"{comparison.name}: {len(runs)} runs, {len(runs) - len(waiting)} of them finished"
    )
    failed, begun = 0, []
    loaded: dict[str, tuple[DataSet, Split]] = {}
    for run in waiting:
        found = _begun(run, loaded, folder, console)
        failed += found is None
        if found is not None:
            begun.append((run, *found))
    total = sum(seconds for _, _, seconds in begun)
    if begun:
        console.print(f"that takes about {total / 60:.0f} minutes of training on this machine")
    columns = (TextColumn("{task.description:36}"), BarColumn(), TimeRemainingColumn())
    for run, done, _ in begun:
        with Progress(*columns, console=console) as bar:
            name = f"{run.network.name or run.network.make}, {run.data.name or run.data.set}"
            task = bar.add_task(name, total=run.training.steps, completed=done)

            def shown(done: int, loss: float, task: Any = task, name: str = name) -> None:
                bar.update(task, completed=done, description=f"{name}: loss {loss:.3g}")

            data, parts = loaded[_key(run)]
            failed += not _finished(run, shown, data, parts, folder, console)
        processes.wait()
    return failed


def trained(run: Run, folder: Path) -> tuple[Training, Split]:
    """A run that has come to its end, to look at its best network.

    Raises:
        SystemExit: if it has not.
    """
    data = data_of(run.data)
    parts = split(data, run.data)
    training = Training(run, data, parts, folder / run.identity)
    if training.done < run.training.steps:
        raise SystemExit(f"{run.identity} has not run to its end: python -m benchmarks run")
    return training, parts


def _key(run: Run) -> str:
    """What runs on the same data have in common."""
    return json.dumps(dataclasses.asdict(run.data))


def _is_finished(folder: Path, run: Run) -> bool:
    path = folder / run.identity / RESULT
    return path.is_file() and json.loads(path.read_text()).get("status") == "finished"


def _begun(
    run: Run, loaded: dict[str, tuple[DataSet, Split]], folder: Path, console: Console
) -> tuple[int, float] | None:
    """Steps that are done, and the seconds that the others take; None if it cannot begin.

    Raises:
        ConfigurationError: if the data is not there, or too small.
    """
    where = folder / run.identity
    where.mkdir(parents=True, exist_ok=True)
    if _key(run) not in loaded:
        data = data_of(run.data)
        parts = split(data, run.data)
        loaded[_key(run)] = (data, parts)
        console.print(
            f"{run.data.name or run.data.set}: {len(parts.train)} structures to learn from, "
            f"{len(parts.test)} for the test"
        )
    try:
        training = Training(run, *loaded[_key(run)], where)
        if not run.network.trained:
            return 0, 0.0
        steps = min(TRIED, run.training.steps - training.done)
        begin = time.perf_counter()
        training.steps(lambda done, loss: None, steps)
        each = (time.perf_counter() - begin) / max(1, steps)
        return training.done, each * (run.training.steps - training.done)
    except Exception as error:
        _write(where, run, {"status": "failed", "error": f"{type(error).__name__}: {error}"})
        console.print(f"[red]{run.identity} failed[/]: {escape(str(error))}", soft_wrap=True)
        return None


def _finished(
    run: Run,
    shown: Any,
    data: DataSet,
    parts: Split,
    folder: Path,
    console: Console,
) -> bool:
    """Train to the end, evaluate, write; whether that worked."""
    where = folder / run.identity
    try:
        training = Training(run, data, parts, where)
        if run.network.trained:
            training.steps(shown)
        if processes.rank() > 0:
            return True  # the first one evaluates
        net, units = training.best_model()
        found = evaluated(net, units, run, data, parts.test)
        found = {
            "status": "finished",
            "forms": found,
            "curve": training.curve,
            "training_seconds": training.seconds,
            "parameters": sum(p.numel() for p in net.parameters()),
            "targets": {name: vars(target) for name, target in data.targets.items()},
            "source": data.source,
            "split": parts.places,
        }
    except KeyboardInterrupt:
        raise
    except Exception as error:
        (where / "traceback.txt").write_text(traceback.format_exc())
        _write(where, run, {"status": "failed", "error": f"{type(error).__name__}: {error}"})
        console.print(f"[red]{run.identity} failed[/]: {escape(str(error))}", soft_wrap=True)
        return False
    _write(where, run, found)
    return True


def _write(where: Path, run: Run, found: dict[str, Any]) -> None:
    """Write a result: all of it or, if that is interrupted or the disk is full, none."""
    if processes.rank() > 0:
        return
    command = " ".join(["python", "-m", "benchmarks", *sys.argv[1:]])
    told = {"format": FORMAT, **provenance(command), "run": run.plain(), **found}
    unfinished = where / f"{RESULT}.unfinished"
    unfinished.write_text(json.dumps(told, indent=1) + "\n")
    unfinished.replace(where / RESULT)
