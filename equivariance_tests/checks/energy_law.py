"""Laws of an energy and what a model returns as its derivatives, by values alone. A base of checks.

Which outputs these are, and their slopes, is in ``model.energies``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import torch

from equivariance_tests.checks.base import Check
from equivariance_tests.checks.derivative_law import DerivativeLaw
from equivariance_tests.clouds import Cloud
from equivariance_tests.measure.chance import RANDOM, is_random
from equivariance_tests.measure.trial import Trial
from equivariance_tests.model.calculators import properties_of
from equivariance_tests.model.energies import ENERGY, FORCES, STRESS, VIRIAL, derivatives_in
from symmetrize import Output, per_point
from symmetrize.declaration import Declaration
from symmetrize.representation import as_representation


class EnergyLaw(DerivativeLaw):
    """A law of an energy and what is returned as its derivatives.

    A calculator that has forces or a stress is asked for them, whether or not the contract names
    them.

    Attributes:
        of: those of the derivatives that it speaks of.
    """

    order = 0
    of: ClassVar[tuple[str, ...]] = (FORCES, STRESS, VIRIAL)

    def reason_to_skip(self, trial: Trial) -> str:
        """There is no energy with derivatives, or it does not vary, or answers are random."""
        trial = self.as_asked(trial)
        if not set(self.of) & set(derivatives_in(trial.contract)):
            return f"no `energy` with {' or '.join(f'`{name}`' for name in self.of)}"
        if float(trial.scales[ENERGY][0]) == torch.inf:
            return "the energy is the same for all clouds"
        return RANDOM if is_random(trial) else ""

    def as_asked(self, trial: Trial) -> Trial:
        """For all derivatives that it has."""
        named = _known_derivatives(trial)
        if len(named) == len(trial.contract.outputs):
            return trial
        return trial.extended(lambda: replace(trial.contract, outputs=Declaration.of(named)))

    def without_answer(self, trial: Trial, clouds: Sequence[Cloud]) -> dict[Cloud, str]:
        """Whether there is a gradient does not matter."""
        return Check.without_answer(self, trial, clouds)


def _known_derivatives(trial: Trial) -> dict[str, Output]:
    """The outputs, and those that a calculator has beside them."""
    known = properties_of(trial.subject.model)
    named = dict(trial.contract.outputs)
    if known and ENERGY in named:
        if FORCES in known:
            named.setdefault(FORCES, per_point("1o"))
        if STRESS in known and trial.contract.periodic:
            named.setdefault(STRESS, Output(as_representation("ij=ji")))
    return named
