"""Laws of answers: something that is zero but for rounding. The base of most checks.

``errors`` says what, in units of the spread; the rest is here. What is below ``EXACT`` is rounding
without any question. What is above is explained by the slope of the output times the last digit of
the coordinates (``bounds``), or else by what is rounded inside the model at the very structures
(``own_rounding``), or it is a failure.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from equivariance_tests.checks.base import Check, Outcome, unless_refused
from equivariance_tests.clouds import Cloud, Structure
from equivariance_tests.clouds.cases import every_stratum
from equivariance_tests.clouds.crystals import CRYSTALS
from equivariance_tests.measure.rounding import (
    COARSER,
    EXACT,
    ROUNDINGS,
    SHORTEST_IN_SINGLE,
    inner_rounding,
    own_rounding,
    rounding,
    shaken,
)
from equivariance_tests.measure.trial import Trial
from equivariance_tests.measure.worst import Note
from equivariance_tests.report.failures import Failure
from symmetrize import Contract


class Law(Check):
    """A law of answers, tried on structures that the model answers.

    What it does not answer is the matter of another check, finiteness.

    Attributes:
        failure: the type of what is raised where it does not hold.
    """

    failure: ClassVar[type[Failure]]
    unanswered = "the model has no answer"

    @abstractmethod
    def errors(
        self, trial: Trial, structures: Sequence[Structure]
    ) -> tuple[Float[Tensor, "structures"], Sequence[Note]]:
        """Error on each structure in units of the spread, and a note on what makes it."""

    def bounds(self, trial: Trial, structures: Sequence[Structure]) -> Float[Tensor, "structures"]:
        """What rounding explains, where the error is above what it is without question.

        In single precision a jump and a steep slope look alike. They do not in double precision:
        only where the law holds there may the slope that is found there explain an error. What
        claims no smoothness may jump at ties.
        """
        exact = torch.full((len(structures),), EXACT[trial.dtype], dtype=torch.float64)
        if trial.contract.smoothness is None:
            exact = torch.maximum(exact, ROUNDINGS * shaken(trial, structures))
        exact = torch.maximum(exact, ROUNDINGS * inner_rounding(trial, structures))
        scales = trial.scales
        if trial.dtype == torch.float64:
            return (ROUNDINGS * rounding(trial, structures, scales)).clamp(min=exact)
        fine = trial.at(torch.float64)
        try:
            errors, _ = self.errors(fine, structures)
            holds = errors <= self.bounds(fine, structures)
            noise = rounding(fine, structures, scales, dtype=trial.dtype)
            # what is rounded inside in either precision differs by the ratio of their last digits
            noise = torch.fmax(noise, COARSER * inner_rounding(fine, structures))
        except Exception:  # a model of single precision alone
            holds = torch.zeros(len(structures), dtype=torch.bool)
            noise = torch.zeros(len(structures), dtype=torch.float64)
        coarse = rounding(trial, structures, scales, finest=SHORTEST_IN_SINGLE)
        return (ROUNDINGS * torch.where(holds, torch.fmax(noise, coarse), coarse)).clamp(min=exact)

    def own_rounding(
        self, trial: Trial, structures: Sequence[Structure], errors: Float[Tensor, "structures"]
    ) -> Float[Tensor, "structures"]:
        """What is rounded inside the model at the structures themselves, as far as it matters.

        A model that raises nearby is not excused.
        """
        try:
            return own_rounding(trial, self.roughest(trial, structures), errors)
        except Exception:
            return torch.zeros_like(errors)

    def roughest(self, trial: Trial, structures: Sequence[Structure]) -> Sequence[Structure]:
        """Of the structures that are compared for each one, that with the largest coordinates."""
        return structures

    def judged(self, trial: Trial, clouds: Sequence[Cloud]) -> list[Outcome]:
        """Errors, and a failure where rounding does not explain them."""
        return unless_refused(trial, clouds, lambda some: self._judged(trial, some))

    def _judged(self, trial: Trial, clouds: Sequence[Cloud]) -> list[Outcome]:
        structures = trial.structures(clouds)
        errors, notes = self.errors(trial, structures)
        bounds = self._explained(trial, structures, errors)
        outcomes = []
        for i, cloud in enumerate(clouds):
            error, bound = float(errors[i]), float(bounds[i])
            failure = None
            if not error <= bound:
                note = notes[i]
                details = {**note.details, **(note.place.details if note.place else {})}
                said, code = _sentence(error, bound, note), structures[i].code()
                failure = self.failure(said, cloud, code, error, bound, details)
            outcomes.append(Outcome(cloud, error, bound, failure))
        return outcomes

    def _explained(
        self, trial: Trial, structures: Sequence[Structure], errors: Float[Tensor, "structures"]
    ) -> Float[Tensor, "structures"]:
        """What rounding explains of each error, measured only where it matters."""
        bounds = torch.full_like(errors, EXACT[trial.dtype])
        # what is infinite, no rounding explains; and it may be that the model raises there
        large = ((errors > bounds) & (errors < math.inf)).nonzero()[:, 0].tolist()
        if large:
            bounds[large] = self.bounds(trial, [structures[i] for i in large])
        left = ((errors > bounds) & (errors < math.inf)).nonzero()[:, 0].tolist()
        if left:
            some = [structures[i] for i in left]
            own = ROUNDINGS * self.own_rounding(trial, some, errors[left])
            bounds[left] = torch.fmax(bounds[left], own)
        return bounds


class FiniteLaw(Law):
    """A law that puts more points beside a cloud, where a periodic one has its images."""

    def cases(self, contract: Contract) -> list[Cloud]:
        """All strata but crystals."""
        return [cloud for cloud in every_stratum(contract) if cloud.stratum not in CRYSTALS]

    def unfit(self, trial: Trial, cloud: Cloud) -> str:
        """What is periodic."""
        (structure,) = trial.structures([cloud])
        return "periodic" if structure.pbc is not None and bool(structure.pbc.any()) else ""


def _sentence(error: float, bound: float, note: Note) -> str:
    """What is wrong."""
    if math.isinf(error):
        return f"{note.said} has no finite value {note.done}"
    own = "" if note.place is None else f" ({note.place.size:.2g} in its unit)"
    hint = f": {note.hint}" if note.hint else ""
    return (
        f"{note.said} changes by {error:.2g} of its spread{own} {note.done}, where rounding "
        f"explains {bound:.1g}{hint}"
    )
