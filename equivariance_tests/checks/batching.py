"""The answer to a structure does not depend on what else is in the batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from equivariance_tests.checks.law import Law
from equivariance_tests.clouds import Cloud, Structure
from equivariance_tests.clouds.turns import GENERIC_ORIENTATION
from equivariance_tests.measure.chance import RANDOM, is_random
from equivariance_tests.measure.trial import Trial
from equivariance_tests.measure.worst import Errors, Note, Worst
from equivariance_tests.model.answers import Answers
from equivariance_tests.report.failures import Failure, first_line
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


class NotBatched(Failure):
    """Outputs depend on what else is in the batch."""

    kind = "depends on the batch"


class Batching(Law):
    """Structures alone, in a ragged batch, and in the same batch in another order.

    An empty structure is in the batch if the model answers one.
    """

    name = "batching"
    law = "F(x) does not depend on what else is in the batch, nor on the order there"
    failure = NotBatched
    decides = True

    def reason_to_skip(self, trial: Trial) -> str:
        """Random answers differ in any batch."""
        return RANDOM if is_random(trial) else ""

    def cases(self, contract: Contract) -> list[Cloud]:
        """Structures of all sizes."""
        names = (*MIXED, *MIXED_CRYSTALS) if contract.periodic else MIXED
        return [Cloud(name, 5, 1, GENERIC_ORIENTATION) for name in names]

    def errors(self, trial: Trial, structures: Sequence[Structure]) -> Errors:
        """Largest change of each answer over both orders."""
        companions = [one for one in COMPANIONS if trial.answered([one])[0]]
        batch = [*trial.structures(companions), *structures]
        forth = list(range(len(batch)))
        worst = Worst(trial, len(structures), "within a batch")
        try:
            where = "alone"
            alone = trial.subject.apart(structures)
            where = "within a batch"
            orders = [_in_order(trial, batch, order) for order in (forth, forth[::-1])]
        except Exception as raised:
            said = f"{where}: the model raises {first_line(raised)}"
            return worst.errors + torch.inf, [Note(said)] * len(structures)
        for found in orders:
            kept = found.taken(forth[len(companions) :])
            worst.compare(kept, alone, "within a batch")
        return worst.found

    def bounds(self, trial: Trial, structures: Sequence[Structure]) -> Float[Tensor, "structures"]:
        """Products of matrices round differently with their size; measured one by one."""
        return super().bounds(trial.one_by_one(), structures)

    def own_rounding(
        self, trial: Trial, structures: Sequence[Structure], errors: Float[Tensor, "structures"]
    ) -> Float[Tensor, "structures"]:
        """Measured one by one, too."""
        return super().own_rounding(trial.one_by_one(), structures, errors)

    def follows(self, trial: Trial, failure: Failure | None) -> Trial:
        """Structures that a model mixes up are asked one by one from now on.

        One that only raises on some of them alone may be asked about the others in batches: what of
        the failure is left, where those count as not answered, tells.
        """
        if failure is None:
            return trial
        alone = trial.answering_alone()
        outcomes = self.outcomes(alone, self.cases(alone.contract))
        mixes = any(one.failure is not None for one in outcomes)
        return alone.one_by_one() if mixes else alone


def _in_order(trial: Trial, structures: Sequence[Structure], order: Sequence[int]) -> Answers:
    """The answers to structures that stand in the batch in this order, back in their own."""
    places = sorted(range(len(order)), key=lambda place: order[place])
    return trial.subject.together([structures[i] for i in order]).taken(places)
