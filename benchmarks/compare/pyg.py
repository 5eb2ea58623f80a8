"""Data sets of torch-geometric, and those of a user that are made as they are."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import torch
from torch_geometric import datasets
from torch_geometric.data import Data

from benchmarks.compare.configuration import ConfigurationError, DataChoice
from benchmarks.compare.data import DataSet, shape, told
from benchmarks.compare.networks import own
from benchmarks.compare.shapes import drawn, of_clouds


def of_pyg(choice: DataChoice) -> DataSet:
    """A data set of torch-geometric: labelled shapes or, with targets, structures.

    The options name its class and have its arguments. If it takes ``train``, both parts are made.

    Raises:
        ConfigurationError: if it cannot be made, or what it has does not fit.
    """
    options = dict(choice.options)
    name = options.pop("dataset", None)
    if not isinstance(name, str):
        raise ConfigurationError(
            '[data.options] lacks dataset, as in {dataset = "ModelNet", root = "modelnet", '
            'name = "10"}'
        )
    known = {each: getattr(datasets, each) for each in datasets.__all__}
    kind = known.get(name) or own(name, "data sets of torch-geometric", known)
    both = "train" in inspect.signature(kind).parameters and "train" not in options
    try:
        parts = [
            list(kind(**options, **more))
            for more in ([{"train": True}, {"train": False}] if both else [{}])
        ]
    except Exception as error:  # whatever its download and its reading lead to
        said = f"{type(error).__name__}: {error}"
        raise ConfigurationError(f"[data.options] {name} cannot be made: {said}") from None
    source = f"{name} of torch-geometric"
    if choice.targets:
        return _of_structures(parts, choice, source)
    return _of_shapes(parts, choice, source)


def _of_structures(parts: list[list[Data]], choice: DataChoice, source: str) -> DataSet:
    names, targets = told(choice.targets)
    columns = {
        name: one["column"]
        for name, one in choice.targets.items()
        if isinstance(one, dict) and "column" in one
    }
    found = []
    for part in parts:
        structures = []
        for one in part:
            kept: dict[str, Any] = {
                name: one[name].double() if name in ("pos", "cell") else one[name]
                for name in ("pos", "z", "cell", "pbc")
                if one.get(name) is not None
            }
            for name, key in names.items():
                if one.get(key) is None:
                    raise ConfigurationError(
                        f"[data.targets] {name}: {source} has no {key!r} but {sorted(one.keys())}"
                    )
                value = one[key]
                kept[name] = value[..., columns[name]] if name in columns else value
            structures.append(Data(**{k: v.double() if k in names else v for k, v in kept.items()}))
        shape(structures, targets)
        found.append(structures)
    return DataSet(found[0], targets, source, found[1] if len(found) > 1 else [])


def _of_shapes(parts: list[list[Data]], choice: DataChoice, source: str) -> DataSet:
    generator = np.random.default_rng(choice.seed)
    every = [one for part in parts for one in part]
    labels = [one.get("y") for one in every]
    if any(label is None or label.numel() != 1 or label.is_floating_point() for label in labels):
        raise ConfigurationError(
            f"{source} has no label for each shape: name its targets, as in "
            'energy = {key = "y", column = 7}'
        )
    clouds = [
        drawn(
            one.pos.numpy(),
            None if one.get("face") is None else one.face.T.numpy(),
            choice.points,
            generator,
        )
        for one in every
    ]
    classes = [str(k) for k in range(int(torch.stack([one.flatten() for one in labels]).max()) + 1)]
    tests = [False] * len(parts[0]) + [True] * (len(every) - len(parts[0]))
    numbers = [int(label) for label in labels]
    return of_clouds(clouds, numbers, classes, tests, choice, source)
