"""Laws of first derivatives: on which clouds, and what a failure says. A base of checks.

Outputs are weighed with a random covector, so that one backward pass gives the derivative of a
number; the covector is in units of the spreads, and so is that number.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import torch

from equivariance_tests.checks.base import Check, Outcome, unless_refused
from equivariance_tests.clouds import Cloud, Structure
from equivariance_tests.clouds.cases import small_clouds
from equivariance_tests.measure.chance import PROBE, RANDOM, is_random
from equivariance_tests.measure.gradients import slopes
from equivariance_tests.measure.measured import Measured
from equivariance_tests.measure.trial import COME_AND_GO, Trial
from equivariance_tests.report.failures import Failure
from symmetrize import Contract

# Symmetry says little about derivatives: large solids are left to other checks
MOST_POINTS = 10


class DerivativeLaw(Check):
    """A law of first derivatives, for outputs that depend differentiably on the positions.

    Subclasses measure it on structures with a finite answer and a finite gradient; where there is
    none is the matter of finiteness.

    Attributes:
        failure: the type of what is raised where it does not hold.
        order: number of continuous derivatives that must be claimed.
    """

    failure: ClassVar[type[Failure]]
    order: ClassVar[int] = 1
    unanswered = "the model has no answer"

    @abstractmethod
    def measured(self, trial: Trial, structures: Sequence[Structure]) -> list[Measured]:
        """How the law holds on each structure."""

    def reason_to_skip(self, trial: Trial) -> str:
        """No derivatives are claimed, or there are none, or answers are random."""
        smoothness = trial.contract.smoothness
        if smoothness is None:
            return "no continuity is claimed"
        if smoothness < self.order:
            return "no continuous derivative is claimed"
        if not trial.lasting:
            return COME_AND_GO
        if slopes(trial, trial.structures([PROBE]))[0] is None:
            return "no gradients: outputs do not depend differentiably on the positions"
        return RANDOM if is_random(trial) else ""

    def cases(self, contract: Contract) -> list[Cloud]:
        """All strata of a few points."""
        return small_clouds(contract, MOST_POINTS)

    def without_answer(self, trial: Trial, clouds: Sequence[Cloud]) -> dict[Cloud, str]:
        """Those without a gradient as well."""
        reasons = super().without_answer(trial, clouds)
        kept = [cloud for cloud in clouds if cloud not in reasons]
        found = slopes(trial, trial.structures(kept)) if kept else []
        for cloud, slope in zip(kept, found, strict=True):
            if slope is None:
                reasons[cloud] = "no gradients"
            elif isinstance(slope, Exception):
                reasons[cloud] = "the gradient raises"
            elif not bool(torch.isfinite(slope).all()):
                reasons[cloud] = "the gradient is not finite"
        return reasons

    def judged(self, trial: Trial, clouds: Sequence[Cloud]) -> list[Outcome]:
        """What is measured, and a failure where the error is above its bound."""
        return unless_refused(trial, clouds, lambda some: self._judged(trial, some))

    def _judged(self, trial: Trial, clouds: Sequence[Cloud]) -> list[Outcome]:
        structures, outcomes = trial.structures(clouds), []
        measured = self._confirmed(trial, structures)
        for cloud, structure, one in zip(clouds, structures, measured, strict=True):
            failure = None
            if not one.skipped and not one.error <= one.bound:
                one = self._named(trial, structure, one)
                code, details = structure.code(), dict(one.details)
                kind = one.kind or self.failure
                failure = kind(one.said, cloud, code, one.error, one.bound, details)
            outcomes.append(Outcome(cloud, one.error, one.bound, failure, one.skipped))
        return outcomes

    def _named(self, trial: Trial, structure: Structure, one: Measured) -> Measured:
        """The same, with the output that it is about, found by asking about each alone."""
        outputs = trial.contract.outputs
        if "output" in one.details or len(outputs) < 2:
            return one
        apart = {}
        for name in outputs:
            try:
                (apart[name],) = self.measured(replace(trial, outputs=(name,)), [structure])
            except Exception:  # what is left does not depend on the positions
                continue
        if not apart:
            return one
        name = max(apart, key=lambda each: apart[each].excess)
        if apart[name].excess <= 1:  # wrong by little, and only together
            return one
        worst = apart[name]
        own = worst.error / float(trial.covector()[name].norm())
        said = (
            f"the output {name!r} has a wrong derivative, off by {own:.2g} in its unit, or "
            f"{worst.error:.2g} in units of the spread: {one.said}"
        )
        details = {"output": name, "error in its unit": own, **one.details}
        return replace(one, said=said, details=details)

    def _confirmed(self, trial: Trial, structures: Sequence[Structure]) -> list[Measured]:
        """As measured, but errors of single precision only where there is one in double, too.

        Differences of numbers of seven digits cannot tell what is steep from what is wrong.
        """
        found = self.measured(trial, structures)
        if trial.dtype == torch.float64:
            return found
        wrong = [i for i, one in enumerate(found) if one.excess > 1]
        if not wrong:
            return found
        try:
            fine = self.measured(trial.at(torch.float64), [structures[i] for i in wrong])
        except Exception:  # a model of single precision alone
            return found
        for i, one in zip(wrong, fine, strict=True):
            if one.excess <= 1:
                found[i] = Measured(skipped="too steep for single precision")
        return found
