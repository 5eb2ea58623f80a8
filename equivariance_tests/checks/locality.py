"""A point beyond the declared reach of all others changes nothing that is theirs.

Alone, a far point is seen only by what reaches it in one step. What is handed on from point to
point needs points in between, which see it and may change. So a point is moved from the end of one
chain of points, which begins at the cloud, to the end of an equal chain that begins nowhere:

    cloud - o - o - o - y        and        cloud - o - o - o
            o - o - o                               o - o - o - y

If the ends of a chain are more than two receptive fields apart, no point of it sees both. Then
every point has the same surroundings, within its receptive field, as one of the other structure
has, and all outputs are the same, be they sums over points or any other function of these. Forces
see twice as far as the energy that they are derivatives of, as it is the energy of their neighbors,
too: of them the cloud and the point that moves are asked, which are out of sight even so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from equivariance_tests.checks.law import FiniteLaw
from equivariance_tests.clouds import Structure
from equivariance_tests.measure.out_of_sight import (
    BEYOND_REACH,
    FAR_POINT,
    Chain,
    spacings,
    with_far_point,
)
from equivariance_tests.measure.trial import Trial
from equivariance_tests.measure.worst import Errors, Worst
from equivariance_tests.model.answers import Answers
from equivariance_tests.model.energies import FORCES, derivatives_in
from equivariance_tests.report.failures import Failure
from symmetrize import Contract

# Where the far point is: along which axis, on which side, and how far beyond, in receptive fields
PLACES = ((0, 1.0, BEYOND_REACH), (1, -1.0, BEYOND_REACH), (2, 1.0, 1.5), (0, -1.0, 4.0))


class NotLocal(Failure):
    """A point beyond the declared reach changes an output."""

    kind = "sees beyond its cutoff"


class Locality(FiniteLaw):
    """What is out of sight has no influence.

    A point beyond the receptive field of all others is moved about, and taken away. Moved about, it
    changes no output; taken away, no output of the other points. And a point at the end of a chain
    is moved to the end of another one, for chains of several spacings.
    """

    name = "locality"
    claim = "cutoff"
    law = "F(x, y) = F(x, z) for points y and z that x does not see"
    failure = NotLocal

    def reason_to_skip(self, trial: Trial) -> str:
        """Every point sees all others, or a single point has no answer."""
        if trial.contract.receptive_field is None:
            return "without a cutoff every point sees all others"
        if not all(trial.answered([FAR_POINT])):
            return "the model has no answer for a single point"
        return ""

    def errors(self, trial: Trial, structures: Sequence[Structure]) -> Errors:
        """One call of the model for each place and one without the far point; two for a chain."""
        worst = Worst(trial, len(structures))
        both = [with_far_point(trial, structures, p) for p in PLACES]
        first, *others = [trial(one) for one in both]
        alone = first.of_points_below([len(one) for one in structures]).minus(trial(structures))
        where = [{"pos with the point": one.positions.tolist()} for one in both[0]]
        worst.add(alone, "as a point beyond the receptive field is taken away", where)
        for other in others:
            worst.add(other.minus(first), "as a point beyond the receptive field moves", where)
        for k, spacing in enumerate(spacings(trial.contract, trial.setting.apart)):
            chains = [Chain(trial, one, spacing, k % 3) for one in structures]
            here = trial([one.at_the_cloud for one in chains])
            there = trial([one.elsewhere for one in chains])
            change = here.minus(there.reordered([one.partners for one in chains]))
            change = _without_forces(change, chains, trial.contract)
            length = chains[0].hops if chains else 0
            said = (
                f"as a point moves from the end of a chain of {length} steps of "
                f"{spacing:.3g} cutoffs, which begins at the cloud, to the end of another one"
            )
            where = [
                {
                    "pos with the point": one.at_the_cloud.positions.tolist(),
                    "moved": one.elsewhere.positions[-1:].tolist(),
                }
                for one in chains
            ]
            worst.add(change, said, where)
        return worst.found

    def bounds(self, trial: Trial, structures: Sequence[Structure]) -> Tensor:
        """What rounding explains with the far point at the farthest place, and with chains."""
        alone = super().bounds(trial, with_far_point(trial, structures, PLACES[-1]))
        return torch.maximum(alone, super().bounds(trial, self.roughest(trial, structures)))

    def roughest(self, trial: Trial, structures: Sequence[Structure]) -> list[Structure]:
        """With a long chain."""
        spacing = spacings(trial.contract, trial.setting.apart)[0]
        return [Chain(trial, one, spacing, 0).at_the_cloud for one in structures]


def _without_forces(change: Answers, chains: Sequence[Chain], contract: Contract) -> Answers:
    """Without what derivatives of an energy say of the points of chains, which see both ends."""
    if FORCES not in derivatives_in(contract):
        return change
    kept = torch.cat([torch.zeros(0, 1, dtype=torch.bool), *(one.ends for one in chains)])
    values = torch.where(kept, change.values[FORCES], 0.0)
    return replace(change, values={**change.values, FORCES: values})
