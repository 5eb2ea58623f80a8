"""What a check is: a law, on which clouds it is tried, and how one cloud is judged.

A check is asked in this order, and each question is a hook that it may override:

1. ``reason_to_skip(trial)``: has it anything to say of this model? An empty text if it has. Asked
   once; it may call the model, as of a model that has no gradient there is nothing to say of it.
2. ``cases(contract)``: the clouds that are always tried, the most important first. Random ones
   follow, unless there is a single case: a law of the model, and not of this cloud or that.
3. ``as_asked(trial)``: the model as this check asks it; in double precision, say.
4. ``unfit(trial, cloud)``: why the law says nothing of one cloud; empty if it does. Without calling
   the model: thousands of clouds are asked about.
5. ``judged(trial, clouds)``: how the law holds on those that are left, many at once, so that the
   model is called a few times only. The one hook that every check has.
6. ``follows(trial, failure)``: what the other checks are to know. The trial as it is, unless what
   was found decides how they ask the model.

Several kinds of checks have a base, which has ``judged`` and asks for less:

- ``law.Law``: something that is zero but for rounding. ``errors(trial, structures)`` measures it in
  units of the spread, and the base finds out what rounding explains. Override ``bounds`` where
  rounding is that of other structures than those that are judged, and ``roughest`` if these are
  farther out.
- ``derivative_law.DerivativeLaw``: a law of first derivatives. ``measured(trial, structures)``
  compares, and says itself what the numerical method is good to.
- ``energy_law.EnergyLaw``: the same of an energy and what is returned as its derivatives.
- ``path_law.PathLaw``: nothing breaks along a path. ``path(trial, cloud)`` says along which.
- ``OfModels``: a law of the model as a whole. ``outcome(trial, cloud)`` says it once.

The flags of a check are class attributes, see ``Check``. Instances hold no state. Where a law does
not hold the outcome has a failure, whose type is made for this law and stands beside it: a search
for the smallest counterexample stays with one type.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from equivariance_tests.clouds import Cloud
from equivariance_tests.clouds.cases import DECORATED, every_stratum, unrelated
from equivariance_tests.measure.trial import Trial
from equivariance_tests.report.failures import Failure, NonFinite, Raises, first_line
from symmetrize import Contract


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
        claim: the attribute of a contract that it decides; empty if it decides none alone.
        slow: whether a cloud takes seconds rather than milliseconds.
        telling: strata that come first where a slow check is asked about a few clouds only: those
            on which it finds the most.
        decides: whether it runs before the others, as it decides how they ask; see ``follows``.
        says_of_random: whether it tells something of a model with several answers to one input.
        of_answers: whether it is about there being an answer at all. It is then heard of a model
            without any, and what is not finite, or raises, is a failure of its own law.
        unanswered: what is said of clouds that have no answer, if those alone are judged that have.
        part: of the time of all checks, in hundredths, as ``benchmarks.certify_durations`` has it;
            for the bar on the terminal.
    """

    name: ClassVar[str]
    law: ClassVar[str]
    claim: ClassVar[str] = ""
    slow: ClassVar[bool] = False
    telling: ClassVar[tuple[str, ...]] = ()
    decides: ClassVar[bool] = False
    says_of_random: ClassVar[bool] = False
    of_answers: ClassVar[bool] = False
    unanswered: ClassVar[str] = ""
    part: ClassVar[int] = 2

    def reason_to_skip(self, trial: Trial) -> str:
        """Why there is nothing to say of this model; empty if there is."""
        return ""

    def cases(self, contract: Contract) -> list[Cloud]:
        """Clouds that are always tried: all strata, and decorated clouds."""
        return every_stratum(contract) + DECORATED

    def as_asked(self, trial: Trial) -> Trial:
        """The model as this check asks it."""
        return trial

    def unfit(self, trial: Trial, cloud: Cloud) -> str:
        """Why the law says nothing of one cloud; empty if it does. The model is not called."""
        return ""

    @abstractmethod
    def judged(self, trial: Trial, clouds: Sequence[Cloud]) -> list[Outcome]:
        """How the law holds on each of some clouds, in their order; there is one at least."""

    def follows(self, trial: Trial, failure: Failure | None) -> Trial:
        """What is known of the model once this check has run, and failed if there is a failure."""
        return trial

    # --- for bases, and for those who ask

    def outcomes(self, trial: Trial, clouds: Sequence[Cloud]) -> list[Outcome]:
        """How the law holds on each cloud, in their order; skipped where it says nothing."""
        asked = self.as_asked(trial)
        reasons = {c: trial.left_out(c) or self.unfit(asked, c) for c in clouds}
        reasons |= self.without_answer(asked, [c for c, reason in reasons.items() if not reason])
        kept = [cloud for cloud in clouds if not reasons[cloud]]
        found = dict(zip(kept, self.judged(asked, kept), strict=True)) if kept else {}
        return [found.get(c, Outcome(c, skipped=reasons[c])) for c in clouds]

    def without_answer(self, trial: Trial, clouds: Sequence[Cloud]) -> dict[Cloud, str]:
        """Clouds to which the model has no answer, of which ``unanswered`` is said."""
        if not (self.unanswered and clouds):
            return {}
        answered = trial.answered(clouds)
        return {c: self.unanswered for c, good in zip(clouds, answered, strict=True) if not good}

    def is_own(self, failure: Failure | None) -> bool:
        """Whether a failure is of this law, and not of there being no answer."""
        return self.of_answers or not isinstance(failure, NonFinite | Raises)


def unless_refused(
    trial: Trial, clouds: Sequence[Cloud], judge: Callable[[Sequence[Cloud]], list[Outcome]]
) -> list[Outcome]:
    """Outcomes by a judge who asks about other clouds nearby; a model may raise on one of these."""
    try:
        return judge(clouds)
    except Exception as raised:
        if not trial.subject.raised(raised):
            raise
        if len(clouds) > 1:  # one by one only to tell which
            return [one for cloud in clouds for one in unless_refused(trial, [cloud], judge)]
        said = f"the model raises {first_line(raised)}, but not on this cloud as it is"
        (structure,) = trial.structures(clouds)
        refused = Raises(said, clouds[0], structure.code(), math.inf, 0)
        return [Outcome(clouds[0], math.inf, 0.0, refused)]


class OfModels(Check):
    """A law of the model: what is said once is not said again of other clouds."""

    def cases(self, contract: Contract) -> list[Cloud]:
        """One of the unrelated clouds, which stands for all."""
        return unrelated(contract)[:1]

    def unfit(self, trial: Trial, cloud: Cloud) -> str:
        """Any other cloud."""
        if cloud in self.cases(trial.contract):
            return ""
        return "this is said of all clouds at once"

    @abstractmethod
    def outcome(self, trial: Trial, cloud: Cloud) -> Outcome:
        """How the law holds, said of the cloud that stands for all."""

    def judged(self, trial: Trial, clouds: Sequence[Cloud]) -> list[Outcome]:
        """The law, once."""
        return [self.outcome(trial, cloud) for cloud in clouds]
