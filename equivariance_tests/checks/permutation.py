"""F(P x) = P F(x): the order of points is a matter of bookkeeping."""

from collections.abc import Sequence
from typing import ClassVar

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
            there = trial([one.permuted(o) for one, o in zip(structures, orders, strict=True)])
            change = there.minus(here.reordered(orders))
            worst.add(change, f"with the points {name}")
        return worst.found


def _order(name: str, number: int) -> Int[Tensor, "points"]:
    places = torch.arange(number)
    if name == "reversed":
        return places.flip(0)
    if name == "moved on by one":
        return places.roll(1)
    generator = torch.Generator().manual_seed(int(name.split()[-1]))
    return torch.randperm(number, generator=generator)
