"""The demo from beginning to end."""

import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from symmetrize import FrameAveraging, QuadratureFrames, Symmetrizer
from symmetrize.demo.evaluation import Model, Score, score
from symmetrize.demo.figure import STYLES, draw_figure, example
from symmetrize.demo.report import text, write
from symmetrize.demo.task import OUTPUTS, load_task
from symmetrize.demo.training import train

QUADRATURE_DEGREE = 3  # 48 proper and improper rotations
CHUNK = 2000  # copies in one call of the network


def run(steps: int, seed: int, output: Path) -> None:
    """Train, wrap, measure, print and draw."""
    started = time.perf_counter()
    console = Console()
    task = load_task()
    output.mkdir(parents=True, exist_ok=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task(f"training on {len(task.train)} molecules", total=steps)
        net = train(task.train, steps, seed, lambda loss: progress.advance(bar))

        # the one line
        model = Symmetrizer(
            net, outputs={"energy": "0e", "dipole": "1o", "polarizability": "ij=ji"}
        )

        # the same line with other frames, to compare with
        averaged = Symmetrizer(net, outputs=OUTPUTS, frames=FrameAveraging())
        quadrature = QuadratureFrames(QUADRATURE_DEGREE)
        integrated = Symmetrizer(net, outputs=OUTPUTS, frames=quadrature, chunk_size=CHUNK)

        models: dict[str, Model] = {
            "network": net,
            "symmetrized": model,
            "FrameAveraging": averaged,
            f"QuadratureFrames({QUADRATURE_DEGREE})": integrated,
        }
        scores: dict[str, Score] = {}
        bar = progress.add_task("measuring", total=len(models))
        for name, each in models.items():
            scores[name] = score(each, task.test, seed)
            progress.advance(bar)

    console.print(text(scores), highlight=False, soft_wrap=True)
    draw_figure({name: models[name] for name in STYLES}, example(task.test), output / "demo.png")
    write(scores, steps, seed, output / "demo.json")
    console.print(
        f"\n{output / 'demo.png'} shows the energies, {output / 'demo.json'} has the numbers "
        f"({time.perf_counter() - started:.0f} s in all).",
        highlight=False,
    )
