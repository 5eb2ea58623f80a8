"""The demo from beginning to end."""

import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn

from symmetrize import FrameAveraging, HierarchicalFrames, QuadratureFrames, Symmetrizer
from symmetrize.demo.evaluation import Model, Score, score
from symmetrize.demo.figure import STYLES, draw_figure
from symmetrize.demo.parallel import train_all
from symmetrize.demo.paths import example
from symmetrize.demo.report import text, write
from symmetrize.demo.task import OUTPUTS, load_task

SEEDS = 3
TRAININGS = (None, FrameAveraging(), HierarchicalFrames())  # None: molecules turned at random
QUADRATURE_DEGREE = 3  # 48 proper and improper rotations
CHUNK = 2000  # copies in one call of the network


def run(steps: int, seed: int, output: Path) -> None:
    """Train, wrap, measure, print and draw."""
    started = time.perf_counter()
    console = Console()
    task = load_task()
    output.mkdir(parents=True, exist_ok=True)
    seeds = range(seed, seed + SEEDS)
    jobs = [(each, frames) for each in seeds for frames in TRAININGS]
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        title = f"training {len(jobs)} networks on {len(task.train)} molecules"
        bar = progress.add_task(title, total=steps * len(jobs))
        nets = train_all(jobs, steps, lambda done: progress.update(bar, completed=done))
        number = len(TRAININGS)
        models = [wrapped(*nets[first : first + number]) for first in range(0, len(nets), number)]

        scores: dict[str, list[Score]] = {name: [] for name in models[0]}
        bar = progress.add_task("measuring", total=len(scores) * SEEDS)
        for each, of_seed in zip(seeds, models, strict=True):
            for name, model in of_seed.items():
                scores[name].append(score(model, task.test, each))
                progress.advance(bar)

    console.print(text(scores), highlight=False, soft_wrap=True)
    shown = {name: models[0][name] for name in STYLES}
    draw_figure(shown, example(task.test), output / "demo.png")
    write(scores, steps, seed, output / "demo.json")
    console.print(
        f"\n{output / 'demo.png'} shows the energies, {output / 'demo.json'} has the numbers "
        f"({time.perf_counter() - started:.0f} s in all).",
        highlight=False,
    )


def wrapped(net: nn.Module, averaged: nn.Module, framed: nn.Module) -> dict[str, Model]:
    """The models to compare, of one network for each of ``TRAININGS``."""
    # the one line
    model = Symmetrizer(net, outputs={"energy": "0e", "dipole": "1o", "polarizability": "ij=ji"})

    # the same line with other frames, and with networks trained in their frames
    quadrature = QuadratureFrames(QUADRATURE_DEGREE)
    return {
        "network": net,
        "symmetrized": model,
        f"QuadratureFrames({QUADRATURE_DEGREE})": Symmetrizer(
            net, OUTPUTS, frames=quadrature, chunk_size=CHUNK
        ),
        "trained FrameAveraging": Symmetrizer(averaged, OUTPUTS, frames=FrameAveraging()),
        "trained symmetrized": Symmetrizer(framed, OUTPUTS),
    }
