"""The answer to a structure does not depend on what else is in the batch."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from equivariance_tests.checks.base import GENERIC_ORIENTATION, Law
from equivariance_tests.checks.determinism import RANDOM, is_random
from equivariance_tests.clouds import Cloud, Structure
from equivariance_tests.measure.worst import Errors, Note, Worst
from equivariance_tests.model.subject import Answers, Subject
from equivariance_tests.report.failures import NotBatched, first_line
from symmetrize import Contract

# Sizes and kinds that are batched: what leaks is not a matter of strata
MIXED = (
    "generic",
    "empty",
    "atom",
    "pair",
    "coincident",
    "line",
    "pyramid",
    "at the cutoff",
    "cube",
    "fragments",
)
MIXED_CRYSTALS = ("crystal", "crystal of one point", "slab", "crystal, skewed")
# What every structure is batched with, those of them that are answered
COMPANIONS = (Cloud("generic", 6, 3), Cloud("empty"), Cloud("pair", 2, 3))


class Batching(Law):
    """Structures alone, in a ragged batch, and in the same batch in another order.

    An empty structure is in the batch if the model answers one.
    """

    name = "batching"
    law = "F(x) does not depend on what else is in the batch, nor on the order there"
    failure = NotBatched

    def silent(self, subject: Subject) -> str | None:
        """Random answers differ in any batch."""
        return RANDOM if is_random(subject) else None

    def cases(self, contract: Contract) -> list[Cloud]:
        """Structures of all sizes."""
        names = (*MIXED, *MIXED_CRYSTALS) if contract.periodic else MIXED
        return [Cloud(name, 5, 1, GENERIC_ORIENTATION) for name in names]

    def errors(self, subject: Subject, structures: Sequence[Structure]) -> Errors:
        """Largest change of each answer over both orders."""
        companions = [one for one in COMPANIONS if subject.answered([one])[0]]
        batch = [*subject.structures(companions), *structures]
        forth = list(range(len(batch)))
        worst = Worst(subject, len(structures), "within a batch")
        try:
            where = "alone"
            alone = subject.apart(structures)
            where = "within a batch"
            orders = [_in_order(subject, batch, order) for order in (forth, forth[::-1])]
        except Exception as raised:
            said = f"{where}: the model raises {first_line(raised)}"
            return worst.errors + torch.inf, [Note(said)] * len(structures)
        for found in orders:
            kept = found.taken(forth[len(companions) :])
            worst.add(kept.minus(alone), "within a batch")
        return worst.found

    def bounds(
        self, subject: Subject, structures: Sequence[Structure]
    ) -> Float[Tensor, "structures"]:
        """Products of matrices round differently with their size; measured one by one."""
        alone = copy.copy(subject)
        alone.batched = False
        return super().bounds(alone, structures)

    def own_rounding(
        self, subject: Subject, structures: Sequence[Structure], errors: Float[Tensor, "structures"]
    ) -> Float[Tensor, "structures"]:
        """Measured one by one, too."""
        alone = copy.copy(subject)
        alone.batched = False
        return super().own_rounding(alone, structures, errors)


def _in_order(subject: Subject, structures: Sequence[Structure], order: Sequence[int]) -> Answers:
    """The answers to structures that stand in the batch in this order, back in their own."""
    places = sorted(range(len(order)), key=lambda place: order[place])
    return subject.together([structures[i] for i in order]).taken(places)
