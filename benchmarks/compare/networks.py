"""Networks by name, and those of a user.

A factory takes the outputs by name, as representations or ``per_point(...)``, and the species that
there are (none for shapes), and returns a network: ``factory(outputs, species, **settings)``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

import backbones
from benchmarks.compare.configuration import ConfigurationError
from symmetrize import Contract, from_calculator

Outputs = Mapping[str, Any]
Factory = Callable[..., Any]


def _of_package(name: str, **usual: Any) -> Factory:
    """A network of ``backbones`` for atoms, with settings where others are not given."""

    def make(outputs: Outputs, species: Sequence[int], **settings: Any) -> nn.Module:
        settings = usual | settings
        return getattr(backbones, name)(dict(outputs), species=list(species), **settings)

    return make


def _for_shapes(name: str) -> Factory:
    """A classic network, which knows no species."""

    def make(outputs: Outputs, species: Sequence[int], **settings: Any) -> nn.Module:
        return getattr(backbones, name)(dict(outputs), **settings)

    return make


def _equivariant(name: str) -> Factory:
    """A network that respects rotations by itself."""

    def make(outputs: Outputs, species: Sequence[int], **settings: Any) -> nn.Module:
        from benchmarks.compare import equivariant

        return getattr(equivariant, name)(dict(outputs), list(species), **settings)

    return make


def checkpoint(outputs: Outputs, species: Sequence[int], folder: str) -> Any:
    """What ``backbones.checkpoint.save`` wrote: a network, or one in its frames."""
    from backbones.checkpoint import load

    return load(folder)


def calculator(
    outputs: Outputs,
    species: Sequence[int],
    make: str,
    cutoff: float | None = None,
    **arguments: Any,
) -> nn.Module:
    """A calculator of ase, "module:Class" and its arguments: energies, and forces and stress."""
    return from_calculator(own(make, "calculators", {})(**arguments), cutoff)


def metatomic(outputs: Outputs, species: Sequence[int], path: str, **settings: Any) -> nn.Module:
    """A file of metatomic or metatrain, with its outputs of these names."""
    from backbones.adapters.metatomic import from_metatomic

    return from_metatomic(path, list(outputs), **settings)


class Mock(nn.Module):
    """Sums over points of a few features: runs in no time, and learns next to nothing."""

    def __init__(self, outputs: Outputs, species: Sequence[int], fails_at: int = 0) -> None:
        super().__init__()
        from symmetrize.declaration import Declaration

        self.declared = Declaration.of(dict(outputs))
        self.contract = Contract(dict(outputs), group=None)
        width = sum(one.representation.dim for one in self.declared.values())
        self.first, self.last = nn.Linear(3, 16), nn.Linear(16, width)
        self.calls, self.fails_at = 0, fails_at

    def forward(self, data: Data) -> dict[str, Tensor]:
        """One row for each structure or point; numbers that are none after so many calls."""
        self.calls += 1
        points = torch.tanh(self.first(data.pos))
        pooled = points.new_zeros(data.num_graphs, 16).index_add(0, data.batch, points)
        if self.fails_at and self.calls >= self.fails_at:
            pooled = pooled * torch.nan
        found, start = {}, 0
        for name, output in self.declared.items():
            rows = self.last(points if output.per_point else pooled)
            found[name] = rows[:, start : start + output.representation.dim]
            start += output.representation.dim
        return found


NETWORKS: dict[str, Factory] = {
    # as published it learns nothing from a liquid in thousands of steps
    "PET": _of_package("PET", radial=24),
    **{n: _of_package(n) for n in ("PointNet", "PointNetPlusPlus", "DGCNN", "PointTransformer")},
    **{
        name: _for_shapes(name)
        for name in ("ClassicPointNet", "ClassicPointNetPlusPlus", "ClassicDGCNN")
    },
    "ClassicPointTransformer": _for_shapes("ClassicPointTransformer"),
    "SchNet": _equivariant("Schnet"),
    "e3nn": _equivariant("Tensors"),
    "checkpoint": checkpoint,
    "calculator": calculator,
    "metatomic": metatomic,
    "mock": Mock,
}


def factory_of(make: str) -> Factory:
    """What makes a network, by its name or as "module:factory".

    Raises:
        ConfigurationError: if there is none.
    """
    if make in NETWORKS:
        return NETWORKS[make]
    return own(make, "networks", NETWORKS)


def own(name: str, what: str, known: Mapping[str, Any]) -> Any:
    """A function of a user's, "module:function".

    Raises:
        ConfigurationError: if it cannot be found.
    """
    module, colon, function = name.partition(":")
    if not colon:
        raise ConfigurationError(
            f"{name!r} is none of the {what}{' ' if known else ''}{', '.join(known)}; one of your "
            'own is "module:function"'
        )
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            f"{name!r} cannot be imported: {error}. Run from the folder of {module}.py, or put it "
            "on PYTHONPATH"
        ) from None
    return found
