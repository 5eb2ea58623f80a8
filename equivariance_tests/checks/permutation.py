"""F(P x) = P F(x): the order of points is a matter of bookkeeping.

Where it is not, points and edges go by their numbers in the structure as it is printed. Beside it
stands the order in which the law fails, and the edges as they are called there.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Int
from torch import Tensor

from equivariance_tests.checks.law import Law
from equivariance_tests.clouds import Structure
from equivariance_tests.measure.trial import Trial
from equivariance_tests.measure.worst import Errors, Worst
from equivariance_tests.report.failures import Failure

SHUFFLES = 2


class NotPermuted(Failure):
    """Outputs depend on the order of points."""

    kind = "depends on the order of points"


class Permutation(Law):
    """Outputs of structures ignore the order of points, those of points and edges follow it."""

    name = "permutation"
    law = "F(P x) = P F(x) for every order of the points"
    failure = NotPermuted
    orders: ClassVar[tuple[str, ...]] = (
        "reversed",
        "moved on by one",
        *(f"in random order {seed}" for seed in range(SHUFFLES)),
    )

    def errors(self, trial: Trial, structures: Sequence[Structure]) -> Errors:
        """Largest over all orders, one call of the model for each."""
        here = trial(structures)
        worst = Worst(trial, len(structures))
        for name in self.orders:
            orders = [_order(name, len(one)) for one in structures]
            moved = [one.permuted(o) for one, o in zip(structures, orders, strict=True)]
            # back in the order of what is printed
            there = trial(moved).reordered([order.argsort() for order in orders])
            details = [_details(o, one) for o, one in zip(orders, moved, strict=True)]
            worst.compare(there, here, f"with the points {name}", details)
        return worst.found


def _details(order: Int[Tensor, "points"], moved: Structure) -> dict[str, Any]:
    """What it takes to see the failure again."""
    found: dict[str, Any] = {"order of points": order.tolist()}
    if moved.edges is not None:
        found["edge_index there"] = moved.edges.index.tolist()
    return found


def _order(name: str, number: int) -> Int[Tensor, "points"]:
    places = torch.arange(number)
    if name == "reversed":
        return places.flip(0)
    if name == "moved on by one":
        return places.roll(1)
    generator = torch.Generator().manual_seed(int(name.split()[-1]))
    return torch.randperm(number, generator=generator)
