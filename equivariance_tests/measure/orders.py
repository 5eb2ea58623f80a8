"""An output, its gradient, and its Hessian times a vector, as functions of the positions.

Continuity is a property of each of them by itself: a kink of the output is a jump of its gradient.
All are in units of the spread of the output and of the unit of length.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from equivariance_tests.clouds import Structure
from equivariance_tests.measure.trial import SEED, Trial
from equivariance_tests.model.slopes import gradients
from symmetrize import Contract

# (clouds, points, 3) positions to (clouds, values)
Function = Callable[[Float[Tensor, "clouds points 3"]], Float[Tensor, "clouds values"]]
NAMES = ("the output", "its gradient", "its Hessian times a vector")
# Breaks of a higher order than this are beyond what a scan tells from what is smooth
HIGHEST = 2
# Derivatives of larger clouds take too long for what they add
MOST_POINTS = 15


@dataclass(frozen=True)
class Order:
    """A derivative of a model at variants of one structure that differ in positions only.

    Attributes:
        order: 0 for the output itself.
        function: of positions.
        name: what it is.
        columns: of each value of the output, which output it is of, and its unit.
    """

    order: int
    function: Function
    columns: tuple[tuple[str, float], ...] = ()

    @property
    def name(self) -> str:
        """What it is called in a sentence."""
        return NAMES[self.order]

    def about(self, column: int, size: float) -> dict[str, Any]:
        """Which output a value is of, and a part of its spread in its own unit; of outputs only."""
        if not self.columns:
            return {}
        name, unit = self.columns[column]
        return {"output": name, "error in its unit": size * unit}


def orders(trial: Trial, structure: Structure, highest: int = HIGHEST) -> list[Order]:
    """The output and those of its derivatives that the contract says are continuous.

    Derivatives that a model does not have, for it is not made of differentiable functions, are left
    out.

    Args:
        trial: the model, in double precision.
        structure: the points, and whatever else stays as it is.
        highest: largest order of interest.
    """
    claimed = claimed_order(trial.contract)
    columns = _columns(trial, structure)
    if not columns:  # a structure without edges, of a model of edges alone
        return []
    found = [Order(0, _outputs(trial, structure), columns)]
    for order in range(1, 1 + min(highest, claimed)):
        function = _derivative(trial, structure, order)
        try:
            defined = function(structure.positions[None])
        except (RuntimeError, NotImplementedError):
            break
        if defined.numel() != structure.positions.numel():
            break
        found.append(Order(order, function))
    return found


def claimed_order(contract: Contract) -> int:
    """Order of the highest derivative that is claimed to be continuous; -1 if none is."""
    if contract.smoothness is None:
        return -1
    return HIGHEST if contract.smoothness == math.inf else int(contract.smoothness)


def _variants(structure: Structure, positions: Tensor) -> list[Structure]:
    return [structure.at(one) for one in positions]


def _outputs(trial: Trial, structure: Structure) -> Function:
    scales = trial.scales

    def function(positions: Tensor) -> Tensor:
        answers = trial(_variants(structure, positions))
        rows = [
            (values / scales[name]).reshape(len(positions), -1)
            for name, values in answers.values.items()
            if name in trial.lasting
        ]
        return torch.cat([positions.new_zeros(len(positions), 0), *rows], 1)

    return function


def _columns(trial: Trial, structure: Structure) -> tuple[tuple[str, float], ...]:
    """The output and the spread that belong to each value of ``_outputs``."""
    return tuple(
        (name, scale)
        for name in trial.lasting
        for _ in range(structure.number_of_rows(trial.contract.outputs[name]))
        for scale in trial.scales[name].tolist()
    )


def _derivative(trial: Trial, structure: Structure, order: int) -> Function:
    covector = trial.covector()
    unit = trial.setting.unit
    generator = torch.Generator().manual_seed(SEED)
    direction = torch.randn(len(structure), 3, dtype=torch.float64, generator=generator)

    def function(positions: Tensor) -> Tensor:
        along = [unit * direction] * len(positions) if order == 2 else None
        found = gradients(trial.subject, _variants(structure, positions), covector, along)
        if found is None:
            return positions.new_zeros(len(positions), 0)
        return unit * found.reshape(len(positions), -1)

    return function
