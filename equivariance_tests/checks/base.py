"""What a check is: a law, on which clouds it is tried, and how one cloud is judged."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from equivariance_tests.clouds import STRATA, Cloud, Structure
from equivariance_tests.clouds.crystals import CRYSTALS
from equivariance_tests.measure.worst import Note
from equivariance_tests.measure.yardstick import (
    EXACT,
    ROUNDINGS,
    inner_rounding,
    own_rounding,
    rounding,
    shaken,
)
from equivariance_tests.model.subject import Subject
from equivariance_tests.report.failures import Failure, NonFinite, Raises, first_line
from symmetrize import Contract

# Shortest displacement, relative to the extent, over which single precision tells slope from jump
COARSE = 1e-3
GENERIC_ORIENTATION = (3, -1, 2, 5)
# Clouds whose points are told apart by more than where they are
DECORATED = [Cloud("generic", n, n, GENERIC_ORIENTATION, decorated=True) for n in (3, 6, 9)]


@dataclass(frozen=True)
class Outcome:
    """How a law holds on one cloud.

    Attributes:
        cloud: the cloud.
        error: of the law, in units of the spread of the output unless the check says otherwise.
        bound: what rounding explains.
        failure: None if the law holds.
        skipped: why nothing can be said about this cloud, if so.
    """

    cloud: Cloud
    error: float = 0.0
    bound: float = 0.0
    failure: Failure | None = None
    skipped: str = ""


class Check(ABC):
    """One law. Instances hold no state.

    Attributes:
        name: as in reports, and in lists of known failures.
        law: what is checked, in one line.
        slow: whether a cloud takes seconds rather than milliseconds.
        telling: strata that come first where a slow check is asked about a few clouds only: those
            on which it finds the most.
        unanswered: kinds of failure that are not of this law, but of whether there is an answer.
    """

    name: ClassVar[str]
    law: ClassVar[str]
    slow: ClassVar[bool] = False
    telling: ClassVar[tuple[str, ...]] = ()
    unanswered: ClassVar[tuple[type[Failure], ...]] = (NonFinite, Raises)

    def silent(self, subject: Subject) -> str | None:
        """Why the contract does not claim this law, or None if it does."""
        return None

    def cases(self, contract: Contract) -> list[Cloud]:
        """Clouds that are always tried: all strata, and decorated clouds."""
        return every_stratum(contract) + DECORATED

    @abstractmethod
    def outcomes(self, subject: Subject, clouds: Sequence[Cloud]) -> list[Outcome]:
        """How the law holds on each cloud, in their order."""


def asked(check: Check, subject: Subject, clouds: Sequence[Cloud]) -> list[Outcome]:
    """Outcomes of a check for those clouds that the contract speaks of; others are skipped."""
    reasons = {cloud: subject.left_out(cloud) for cloud in clouds}
    kept = [cloud for cloud in clouds if not reasons[cloud]]
    found = dict(zip(kept, check.outcomes(subject, kept), strict=True)) if kept else {}
    return [found.get(cloud, Outcome(cloud, skipped=reasons[cloud])) for cloud in clouds]


def every_stratum(contract: Contract) -> list[Cloud]:
    """A cloud of each stratum in a generic orientation, then in the one of its coordinates."""
    names = [name for name in STRATA if contract.periodic or name not in CRYSTALS]
    turned = [Cloud(name, 5, 1, GENERIC_ORIENTATION) for name in names]
    return turned + [Cloud(name, 5, 1) for name in names]


class Law(Check):
    """A law of answers: something that is zero but for rounding.

    Subclasses say what, for structures that the model answers. What it does not answer is the
    matter of another check, finiteness.
    """

    failure: ClassVar[type[Failure]]

    @abstractmethod
    def errors(
        self, subject: Subject, structures: Sequence[Structure]
    ) -> tuple[Float[Tensor, "structures"], Sequence[Note]]:
        """Error on each structure in units of the spread, and a note on what makes it."""

    def said(self, error: float, bound: float, note: Note) -> str:
        """What is wrong, in a sentence."""
        if math.isinf(error):
            return f"{note.said} has no finite value {note.done}"
        own = "" if note.place is None else f" ({note.place.size:.2g} in its unit)"
        return (
            f"{note.said} changes by {error:.2g} of its spread{own} {note.done}, where rounding "
            f"explains {bound:.1g}"
        )

    def outcomes(self, subject: Subject, clouds: Sequence[Cloud]) -> list[Outcome]:
        """How the law holds on each cloud, in their order."""
        answered = subject.answered(clouds)
        kept = [cloud for cloud, good in zip(clouds, answered, strict=True) if good]
        found = dict(zip(kept, self._judged(subject, kept), strict=True)) if kept else {}
        return [found.get(c, Outcome(c, skipped="the model has no answer")) for c in clouds]

    def _judged(self, subject: Subject, clouds: Sequence[Cloud]) -> list[Outcome]:
        structures = subject.structures(clouds)
        try:
            errors, notes = self.errors(subject, structures)
        except Exception as raised:
            if not subject.raised(raised):
                raise
            if len(clouds) > 1:  # one by one only to tell which
                return [one for cloud in clouds for one in self._judged(subject, [cloud])]
            said = f"the model raises {first_line(raised)}, but not on this cloud as it is"
            refused = Raises(said, clouds[0], structures[0].code(), math.inf, 0)
            return [Outcome(clouds[0], math.inf, 0.0, refused)]
        bounds = torch.full_like(errors, EXACT[subject.dtype])
        # what is infinite, no rounding explains; and it may be that the model raises there
        large = ((errors > bounds) & (errors < math.inf)).nonzero()[:, 0].tolist()
        if large:
            bounds[large] = self.bounds(subject, [structures[i] for i in large])
        left = ((errors > bounds) & (errors < math.inf)).nonzero()[:, 0].tolist()
        if left:
            some = [structures[i] for i in left]
            own = ROUNDINGS * self.own_rounding(subject, some, errors[left])
            bounds[left] = torch.fmax(bounds[left], own)
        outcomes = []
        for i, cloud in enumerate(clouds):
            error, bound = float(errors[i]), float(bounds[i])
            failure = None
            if not error <= bound:
                note = notes[i]
                details = {**note.details, **(note.place.details if note.place else {})}
                said = self.said(error, bound, note)
                failure = self.failure(said, cloud, structures[i].code(), error, bound, details)
            outcomes.append(Outcome(cloud, error, bound, failure))
        return outcomes

    def own_rounding(
        self,
        subject: Subject,
        structures: Sequence[Structure],
        errors: Float[Tensor, "structures"],
    ) -> Float[Tensor, "structures"]:
        """What is rounded inside the model at the structures themselves, as far as it matters.

        A model that raises nearby is not excused.
        """
        scales = subject.yardstick.scales
        try:
            return own_rounding(subject, self.roughest(subject, structures), scales, errors)
        except Exception:
            return torch.zeros_like(errors)

    def roughest(self, subject: Subject, structures: Sequence[Structure]) -> Sequence[Structure]:
        """Of the structures that are compared for each one, that with the largest coordinates."""
        return structures

    def bounds(
        self, subject: Subject, structures: Sequence[Structure]
    ) -> Float[Tensor, "structures"]:
        """What rounding explains, where the error is above what it is without question.

        In single precision a jump and a steep slope look alike. They do not in double precision:
        only where the law holds there may the slope that is found there explain an error. What
        claims no smoothness may jump at ties.
        """
        exact = torch.full((len(structures),), EXACT[subject.dtype], dtype=torch.float64)
        if subject.contract.smoothness is None:
            ties = ROUNDINGS * shaken(subject, structures, subject.yardstick.scales)
            exact = torch.maximum(exact, ties)
        inner = ROUNDINGS * inner_rounding(subject, structures, subject.yardstick.scales)
        exact = torch.maximum(exact, inner)
        if subject.dtype == torch.float64:
            noise = rounding(subject, structures, subject.yardstick.scales)
            return (ROUNDINGS * noise).clamp(min=exact)
        fine = subject.at(torch.float64)
        scales = subject.yardstick.scales
        try:
            errors, _ = self.errors(fine, structures)
            holds = errors <= self.bounds(fine, structures)
            noise = rounding(fine, structures, scales, dtype=subject.dtype)
        except Exception:  # a model of single precision alone
            holds = torch.zeros(len(structures), dtype=torch.bool)
            noise = torch.zeros(len(structures), dtype=torch.float64)
        coarse = rounding(subject, structures, scales, finest=COARSE)
        return (ROUNDINGS * torch.where(holds, torch.fmax(noise, coarse), coarse)).clamp(min=exact)
