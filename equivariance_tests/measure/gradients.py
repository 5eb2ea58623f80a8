"""The gradient of the weighed outputs at some structures, and what rounding does to it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from equivariance_tests.clouds import Structure
from equivariance_tests.clouds.strategies import clouds
from equivariance_tests.measure.rounding import (
    SHORTEST_IN_SINGLE,
    STRIDES,
    displaced,
    leaving,
    of_generic_clouds,
)
from equivariance_tests.measure.trial import SEED, Trial
from equivariance_tests.model.slopes import Covector, gradients


def gradient(
    trial: Trial, structures: Sequence[Structure], covector: Covector
) -> Float[Tensor, "points 3"]:
    """That at each point, of a model that is known to have gradients."""
    found = gradients(trial.subject, structures, covector)
    assert found is not None, "asked only of models that have gradients"
    return found


def slopes(trial: Trial, structures: Sequence[Structure]) -> list[Tensor | Exception | None]:
    """The gradient of each structure, or what is raised instead, or None if there is none.

    That of all outputs, each column weighed with a number of order one.
    """
    units = {
        name: torch.ones(output.representation.dim).double()
        for name, output in trial.contract.outputs.items()
    }
    covector = trial.covector(units)
    try:
        found = gradients(trial.subject, structures, covector)
    except Exception as raised:
        if len(structures) == 1:
            return [raised]
        return [one for structure in structures for one in slopes(trial, [structure])]
    if found is None:
        return [None for _ in structures]
    return list(found.split([len(structure) for structure in structures]))


def gradient_rounding(
    trial: Trial, structures: Sequence[Structure], covector: Covector
) -> list[Float[Tensor, "_"]]:
    """How much the last digit of the largest coordinate changes the gradient at each point.

    As ``rounding`` for answers: from finite displacements, in single precision only from those that
    tell a slope from a jump.
    """
    if not structures:
        return []
    here = gradient(trial, structures, covector)
    inner = of_generic_clouds(
        trial, structures, "bend of gradients", lambda places: _bent(trial, places, covector)
    )
    inner = torch.maximum(inner, _own(trial, structures, covector))
    sizes = torch.tensor([len(one) for one in structures])
    eps = torch.finfo(trial.dtype).eps
    largest = torch.maximum(eps * here.abs(), inner.repeat_interleave(sizes)[:, None])
    finest = 0.0 if trial.dtype == torch.float64 else SHORTEST_IN_SINGLE
    for moved, parts in displaced(trial, structures, SEED, finest):
        change = (gradient(trial, moved, covector) - here).abs()
        largest = torch.fmax(largest, change * parts.repeat_interleave(sizes)[:, None])
    return list(largest.norm(dim=1).split(sizes.tolist()))


def _bent(
    trial: Trial, places: Sequence[Sequence[Structure]], covector: Covector
) -> Float[Tensor, "clouds"]:
    """As ``inner_rounding`` for answers."""
    found = torch.stack([gradient(trial, moved, covector) for moved in places])
    sizes = [len(one) for one in places[0]]
    bends = found.diff(n=2, dim=0).abs().split(sizes, 1)
    return torch.stack([part.max() if part.numel() else part.sum() for part in bends])


def _own(
    trial: Trial, structures: Sequence[Structure], covector: Covector
) -> Float[Tensor, "structures"]:
    """As ``own_rounding`` for answers: the least that the gradient bends by nearby."""
    found = [_bent(trial, leaving(trial, structures, k), covector) for k in STRIDES]
    return torch.stack(found).nan_to_num(nan=0.0).amin(0)
