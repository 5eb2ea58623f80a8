"""Trainings side by side, each in a process with one thread."""

import multiprocessing
import pickle
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from typing import Any

import torch
from torch import nn

from symmetrize.demo.task import load_task
from symmetrize.demo.training import train
from symmetrize.frames import Frames
from symmetrize.provenance import machine

POLL = 0.2  # seconds

_steps_done: Any = None  # a number that processes share


def train_all(
    jobs: Sequence[tuple[int, Frames | None]], steps: int, progress: Callable[[int], Any]
) -> list[nn.Module]:
    """A network for each seed and frames, see ``train``; ``progress`` gets the steps done in all.

    As many at a time as there are cores: the matrices are too small to share one among them.
    """
    # a new interpreter for each: a copy of this one could inherit locks of its threads
    context = multiprocessing.get_context("spawn")
    done = context.Value("q", 0)
    workers = min(len(jobs), machine()["cores"])
    with ProcessPoolExecutor(workers, context, _start, (done,)) as pool:
        trained = [pool.submit(_trained, steps, *job) for job in jobs]
        running: Collection[Any] = trained
        while running:
            running = wait(running, POLL).not_done
            progress(done.value)
        return [pickle.loads(each.result()) for each in trained]


def _start(done: Any) -> None:
    global _steps_done
    _steps_done = done
    torch.set_num_threads(1)


def _trained(steps: int, seed: int, frames: Frames | None) -> bytes:
    # as bytes, so that no tensor stays behind in memory shared with a process that ends
    return pickle.dumps(train(load_task().train, steps, seed, frames, _count))


def _count() -> None:
    with _steps_done.get_lock():
        _steps_done.value += 1
