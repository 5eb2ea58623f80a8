"""What the demo measures of a model: errors, by how much it turns wrongly or jumps, and cost."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from symmetrize.demo.paths import stretching
from symmetrize.demo.task import OUTPUTS
from symmetrize.groups import random_rotations
from symmetrize.representation import as_representation

ROTATIONS = 4
REPEATS = 5
CLOSE = 1e-9  # Angstrom: an energy without jumps changes by less than 1e-9 eV

Model = Callable[[Data], Any]


@dataclass(frozen=True)
class Score:
    """Measured of one model, in float64.

    Attributes:
        mae, rmse: over all components of each output, in the unit of the data.
        rotation_error: for each output the largest |F(g x) - g F(x)| over test molecules x and
            random orthogonal matrices g, divided by the root mean square of |y - mean y| of the
            labels y.
        jump: of the energy where ammonia passes its symmetric shape, in eV.
        evaluations: of the network, for one molecule, on average.
        milliseconds: for one molecule of a batch, at best.
    """

    mae: dict[str, float]
    rmse: dict[str, float]
    rotation_error: dict[str, float]
    jump: float
    evaluations: float
    milliseconds: float


@torch.no_grad()
def score(model: Model, test: list[Data], seed: int) -> Score:
    """Measure a model; only a ``Symmetrizer`` has more than one evaluation for a molecule."""
    batch = Batch.from_data_list(test)
    predicted = model(batch)
    errors = {name: predicted[name] - batch[name] for name in OUTPUTS}
    evaluations = getattr(model, "evaluations", None)
    return Score(
        mae={name: error.abs().mean().item() for name, error in errors.items()},
        rmse={name: error.square().mean().sqrt().item() for name, error in errors.items()},
        rotation_error=_rotation_error(model, batch, predicted, seed),
        jump=_jump(model),
        evaluations=1.0 if evaluations is None else float(evaluations(batch).double().mean()),
        milliseconds=_milliseconds(model, batch),
    )


def _rotation_error(
    model: Model, batch: Batch, unturned: dict[str, Tensor], seed: int
) -> dict[str, float]:
    generator = torch.Generator().manual_seed(seed)
    worst = dict.fromkeys(OUTPUTS, 0.0)
    for turn, rotation in enumerate(random_rotations(ROTATIONS, generator)):
        # every other one improper
        matrix = rotation if turn % 2 else -rotation
        matrices = matrix.expand(batch.num_graphs, 3, 3)
        turned = batch.clone()
        turned.pos = batch.pos @ matrix.T
        found = model(turned)
        for name, spec in OUTPUTS.items():
            expected = as_representation(spec).rotate(unturned[name], matrices)
            difference = _lengths(found[name] - expected).max()
            labels = batch[name]
            spread = _lengths(labels - labels.mean(0)).square().mean().sqrt()
            worst[name] = max(worst[name], (difference / spread).item())
    return worst


def _jump(model: Model) -> float:
    _, shapes = stretching(np.array([-CLOSE, CLOSE]))
    return model(Batch.from_data_list(shapes))["energy"].diff(dim=0).abs().item()


def _lengths(values: Tensor) -> Tensor:
    return values.flatten(1).norm(dim=1)


def _milliseconds(model: Model, batch: Batch) -> float:
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        model(batch)
        seconds.append(time.perf_counter() - start)
    return 1e3 * min(seconds) / batch.num_graphs
