"""F(P x) = P F(x): the order of points is a matter of bookkeeping."""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import torch
from jaxtyping import Int
from torch import Tensor

from equivariance_tests.checks.check import Law
from equivariance_tests.clouds import Structure
from equivariance_tests.failures import NotPermuted
from equivariance_tests.subject import Answers, Subject
from symmetrize import Contract

SHUFFLES = 2


class Permutation(Law):
    """Outputs of structures ignore the order of points, outputs of points follow it."""

    name = "permutation"
    law = "F(P x) = P F(x) for every order of the points"
    failure = NotPermuted
    orders: ClassVar[tuple[str, ...]] = (
        "reversed",
        "moved on by one",
        *(f"in random order {seed}" for seed in range(SHUFFLES)),
    )

    def errors(self, subject: Subject, structures: Sequence[Structure]) -> tuple[Tensor, list[str]]:
        """Largest over all orders, one call of the model for each."""
        here = subject(structures)
        worst = torch.zeros(len(structures), dtype=torch.float64)
        what = [""] * len(structures)
        for name in self.orders:
            orders = [_order(name, len(one)) for one in structures]
            there = subject([one.permuted(o) for one, o in zip(structures, orders, strict=True)])
            change = there.minus(reordered(here, orders, subject.contract))
            errors = change.largest(subject.yardstick.scales).nan_to_num(nan=torch.inf)
            for i in (errors > worst).nonzero()[:, 0].tolist():
                what[i] = f"with the points {name}"
            worst = torch.maximum(worst, errors)
        return worst, what


def _order(name: str, number: int) -> Int[Tensor, "points"]:
    places = torch.arange(number)
    if name == "reversed":
        return places.flip(0)
    if name == "moved on by one":
        return places.roll(1)
    generator = torch.Generator().manual_seed(int(name.split()[-1]))
    return torch.randperm(number, generator=generator)


def reordered(answers: Answers, orders: Sequence[Int[Tensor, "_"]], contract: Contract) -> Answers:
    """The answers with the rows of points in another order: row i is what row ``order[i]`` was."""
    starts, rows = 0, []
    for order in orders:
        rows.append(starts + order)
        starts += len(order)
    index = torch.cat(rows) if rows else torch.zeros(0, dtype=torch.long)
    values = {
        name: rows[index] if contract.outputs[name].per_point else rows
        for name, rows in answers.values.items()
    }
    return replace(answers, values=values)
