"""F(x + t) = F(x): only differences of positions count, or those across the axis of the contract.

Far from the origin coordinates have fewer digits. So that clouds of one shape are compared, x + t
is rounded first, and its partner is what was rounded minus t, which takes no rounding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from equivariance_tests.checks.base import Check, Outcome
from equivariance_tests.checks.law import Law
from equivariance_tests.clouds import Cloud, Structure
from equivariance_tests.measure.trial import Trial
from equivariance_tests.measure.worst import Errors, Worst
from equivariance_tests.report.failures import Failure

# In units of the setting. The first is dyadic, but not on the grid of the clouds
SHIFTS = ((0.375, -0.3125, 0.21875), (1e3, -1e3, 5e2), (1e6, -1e6, 5e5))
# Where the last digit is above this part of the unit, there is no cloud left to speak of
RESOLVED = 1e-3


class NotTranslated(Failure):
    """Outputs depend on where the cloud lies."""

    kind = "depends on the origin"


class Translation(Check):
    """Outputs do not change as a cloud moves, a little or far away; cells stay as they are."""

    name = "translation"
    law = "F(x + t) = F(x) for every shift t"

    def judged(self, trial: Trial, clouds: Sequence[Cloud]) -> list[Outcome]:
        """Each shift with the rounding that there is at its far end; the worst of them."""
        eps = torch.finfo(trial.dtype).eps
        shifts = [Shift(one) for one in SHIFTS if eps * max(one) < RESOLVED]
        found = [one.outcomes(trial, clouds) for one in shifts]
        return [worst(outcomes) for outcomes in zip(*found, strict=True)]


@dataclass(frozen=True)
class Shift(Law):
    """The law for one shift, in units of the setting."""

    name: ClassVar[str] = "translation"
    law: ClassVar[str] = "F(x + t) = F(x) for one shift t"
    failure = NotTranslated
    shift: tuple[float, float, float]

    def unfit(self, trial: Trial, cloud: Cloud) -> str:
        """What the shift does not leave in its stratum."""
        (here,) = trial.structures([cloud])
        there = self._moved(trial, here)
        if len(there.positions.unique(dim=0)) < len(here.positions.unique(dim=0)):
            return "points fall together where they are moved to"
        return ""

    def errors(self, trial: Trial, structures: Sequence[Structure]) -> Errors:
        """Two calls of the model."""
        moved = [self._moved(trial, one) for one in structures]
        back = [one.moved(-self._by(trial, one)) for one in moved]
        worst = Worst(trial, len(structures))
        change = trial(moved).minus(trial(back))
        worst.add(change, f"as the cloud moves by {self._by(trial, structures[0]).tolist()}")
        return worst.found

    def bounds(self, trial: Trial, structures: Sequence[Structure]) -> Tensor:
        """What rounding explains where coordinates are largest, at the far end."""
        return super().bounds(trial, [self._moved(trial, one) for one in structures])

    def roughest(self, trial: Trial, structures: Sequence[Structure]) -> list[Structure]:
        """At the far end, too."""
        return [self._moved(trial, one) for one in structures]

    def _by(self, trial: Trial, structure: Structure) -> Float[Tensor, "3"]:
        shift = trial.setting.unit * torch.tensor(self.shift, dtype=torch.float64)
        return structure.free(shift, trial.contract).to(trial.dtype).double()

    def _moved(self, trial: Trial, structure: Structure) -> Structure:
        return structure.moved(self._by(trial, structure)).rounded(trial.dtype)


def worst(outcomes: Sequence[Outcome]) -> Outcome:
    """Of several outcomes for one cloud: the first failure, or what comes closest to one."""
    said = [one for one in outcomes if not one.skipped]
    failed = [one for one in said if one.failure is not None]
    if failed or not said:
        return (failed or list(outcomes))[0]
    return max(said, key=lambda one: one.error / one.bound)
