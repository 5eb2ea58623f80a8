"""F(P x) = P F(x): the order of points is a matter of bookkeeping."""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import torch
from jaxtyping import Int
from torch import Tensor

from equivariance_tests.checks.base import Law
from equivariance_tests.clouds import Structure
from equivariance_tests.measure.worst import Errors, Worst
from equivariance_tests.model.subject import Answers, Subject
from equivariance_tests.report.failures import NotPermuted
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

    def errors(self, subject: Subject, structures: Sequence[Structure]) -> Errors:
        """Largest over all orders, one call of the model for each."""
        here = subject(structures)
        worst = Worst(subject, len(structures))
        for name in self.orders:
            orders = [_order(name, len(one)) for one in structures]
            there = subject([one.permuted(o) for one, o in zip(structures, orders, strict=True)])
            change = there.minus(reordered(here, orders, subject.contract))
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
