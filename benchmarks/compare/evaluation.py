"""What is measured of a network: errors, bare and symmetrized, errors under rotation, cost."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from benchmarks.compare.configuration import Run, TrainingChoice
from benchmarks.compare.data import DERIVED, DataSet
from benchmarks.compare.learning import Units, predicted
from benchmarks.compare.training import batches, cast, symmetrized
from symmetrize import Symmetrizer
from symmetrize.groups import UPRIGHT, Group, as_direction, is_axial, random_elements
from symmetrize.representation import as_representation

# Structures that errors under rotation are measured on, all their points, and rotations of each
TURNED, POINTS, TURNS = 32, 600, 4
# That evaluations in all frames take at most
MEMORY = "4 GiB"
# Rows of the test set that a parity plot shows
SHOWN = 400


def evaluated(net: Any, units: Units, run: Run, data: DataSet, test: list[Data]) -> dict[str, Any]:
    """All numbers of a network on the test set."""
    wrapped = run.network.symmetrized
    forms: dict[str, Any] = {"bare": net}
    if wrapped:
        forms["symmetrized"] = symmetrized(net, data.outputs, run.frames, memory=MEMORY).eval()
    dtype = getattr(torch, run.training.dtype)
    items = cast(test, dtype)
    further = {other: more[: len(test)] for other, more in data.also.items()}
    further |= {other: change(test) for other, change in data.varied.items()}
    found: dict[str, Any] = {}
    for name, model in forms.items():
        values, seconds = _all(model, units, items, run.training)
        found[name] = {
            "errors": errors(values, units, items),
            "rotation_error": rotation_error(model, units, test, run),
            "seconds_per_structure": seconds / len(items),
            "also": {
                other: errors_on(model, units, cast(more, dtype), run.training)
                for other, more in further.items()
            },
        }
        if isinstance(model, Symmetrizer):
            batch = Batch.from_data_list(items[:TURNED])
            found[name]["evaluations"] = float(model.evaluations(batch).double().mean())
        else:
            found[name]["evaluations"] = 1.0
        found[name]["parity"] = _parity(values, units, items)
    return found


def _all(
    model: Any, units: Units, items: list[Data], settings: TrainingChoice
) -> tuple[dict[str, Tensor], float]:
    """Predictions of all structures with their baselines, in double precision, and the time."""
    parts: dict[str, list[Tensor]] = {}
    seconds = 0.0
    for rows in batches(items, settings):
        batch = Batch.from_data_list([items[i] for i in rows])
        begin = time.perf_counter()
        found = predicted(model, units, batch, create_graph=False)
        seconds += time.perf_counter() - begin
        for name, values in found.items():
            said = values.double().reshape(len(values), -1) + units.baseline(name, batch)
            parts.setdefault(name, []).append(said)
    return {name: torch.cat(values) for name, values in parts.items()}, seconds


def errors_on(
    model: Any, units: Units, items: list[Data], settings: TrainingChoice
) -> dict[str, Any]:
    """Errors of all structures."""
    values, _ = _all(model, units, items, settings)
    return errors(values, units, items)


def errors(
    values: Mapping[str, Tensor], units: Units, items: list[Data]
) -> dict[str, dict[str, float]]:
    """Mean absolute and root mean square errors of each target; of labels the accuracy."""
    found = {}
    for name, predictions in values.items():
        if name not in items[0]:  # elsewhere there may be fewer
            continue
        if units.targets[name].classes:
            right = predictions.argmax(1) == torch.cat([one[name] for one in items])
            found[name] = {"accuracy": float(right.double().mean())}
            continue
        true = torch.cat([one[name].double() for one in items]).reshape(len(predictions), -1)
        error = predictions - true
        if name == "energy":
            sizes = torch.tensor([float(len(one.pos)) for one in items], dtype=torch.float64)
            found["energy per point"] = {"mae": float((error.abs()[:, 0] / sizes).mean())}
        found[name] = {
            "mae": float(error.abs().mean()),
            "rmse": float(error.square().mean().sqrt()),
        }
    return found


def rotation_error(model: Any, units: Units, items: list[Data], run: Run) -> dict[str, float]:
    """Largest |F(g x) - rho(g) F(x)| over rotations, in units of the spread.

    In double precision; in single of a model that runs in it alone, where rounding shows. Nothing
    of one that runs in neither.
    """
    few = TrainingChoice(batch=TURNED, points=POINTS)
    items = [items[i] for i in next(batches(items, few))]
    if len(items) < 2:  # the spread over one says nothing
        return {}
    try:
        for dtype in (torch.float64, torch.float32):
            try:
                return _worst_turned(_cast(model, dtype), units, cast(items, dtype), run)
            except (RuntimeError, TypeError, ValueError):
                continue
        return {}
    finally:
        _cast(model, getattr(torch, run.training.dtype))


def _cast(model: Any, dtype: torch.dtype) -> Any:
    return model.to(dtype) if hasattr(model, "to") else model


def _worst_turned(model: Any, units: Units, items: list[Data], run: Run) -> dict[str, float]:
    group: Group = run.frames.group  # type: ignore[assignment]
    axis = as_direction(run.frames.axis) if run.frames.axis else UPRIGHT
    batch = Batch.from_data_list(items)
    here = {k: v.double() for k, v in predicted(model, units, batch, create_graph=False).items()}
    generator = torch.Generator().manual_seed(0)
    worst = dict.fromkeys(here, 0.0)
    for _ in range(TURNS):
        turns = random_elements(
            len(items), group, generator, axis=axis if is_axial(group) else UPRIGHT
        )
        other = batch.clone()
        for name in ("pos", "velocity"):
            if name in batch:
                turned = (turns[batch.batch] @ batch[name].double()[..., None])[..., 0]
                other[name] = turned.to(batch[name].dtype)
        if "cell" in batch:
            other.cell = (batch.cell.double() @ turns.mT).to(batch.cell.dtype)
        there = predicted(model, units, other, create_graph=False)
        for name, values in there.items():
            target = units.targets[name]
            owner = turns[batch.batch] if target.rows == "point" else turns
            expected = as_representation(target.representation).rotate(
                here[name].reshape(len(values), -1), owner
            )
            change = (values.double().reshape(len(values), -1) - expected).abs().max()
            error = float(change / here[name].std())
            # what is no number is told, and not passed over
            worst[name] = error if math.isnan(error) else max(worst[name], error)
    return worst


def _parity(
    values: Mapping[str, Tensor], units: Units, items: list[Data]
) -> dict[str, list[list[float]]]:
    """True and predicted numbers, some of them."""
    found = {}
    for name, predictions in values.items():
        if units.targets[name].classes or name in DERIVED[1:]:
            continue
        true = torch.cat([one[name].double() for one in items]).flatten()
        rows = torch.linspace(0, len(true) - 1, min(SHOWN, len(true))).long()
        found[name] = [true[rows].tolist(), predictions.flatten()[rows].tolist()]
    return found
