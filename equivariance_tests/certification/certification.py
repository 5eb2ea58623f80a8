"""Every check that a contract claims, on named and on random clouds, and what they found.

What earlier checks find decides how later ones run: structures of a model that mixes up its batch
are evaluated one by one, and a model that is random is not compared with itself at rounding. Each
check says so itself, by the trial that it hands on.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import islice
from typing import Any

import torch

from equivariance_tests.certification.plan import Plan
from equivariance_tests.certification.profiles import Profile, profile_of
from equivariance_tests.certification.shrinking import Shrinker, rank
from equivariance_tests.certification.terminal import Progress, print_in_colors, progress_bar
from equivariance_tests.checks import CHECKS, Check, Outcome, check_of, chosen
from equivariance_tests.clouds import Cloud
from equivariance_tests.measure.trial import Trial
from equivariance_tests.model.first_call import refusal, unanswered
from equivariance_tests.report.finding import Finding
from equivariance_tests.report.report import Report
from symmetrize import Contract

# Of the time for smaller counterexamples one check takes no more than one part of so many, unless
# there are fewer checks
SHARES = 4

Known = Mapping[str, str] | Iterable[str]


def certify(
    model: Any,
    contract: Contract | None = None,
    *,
    species: Sequence[int] = (),
    of_structures: Sequence[str] = (),
    unit: int | float | None = None,
    carries: Sequence[str] = (),
    call: str | None = None,
    prepare: Callable[[Any], Any] | None = None,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
    profile: str | Profile = "fast",
    seed: int = 0,
    checks: Sequence[str | Check] | None = None,
    known: Known = (),
    progress: bool = True,
) -> Report:
    """Hold a model to what it claims, and hand back the smallest counterexamples.

    Args:
        model: anything callable, or an ASE calculator; see ``equivariance_tests.model.calls``.
        contract: what it claims; ``model.contract`` if not given.
        species: the integers that ``z`` may be, for a model that takes species.
        of_structures: names of inputs with one row for each structure.
        unit: length that points are typically apart, if neither 1 nor a third of the cutoff, or of
            that of the frames.
        carries: kinds of data that structures carry beside their points, for a model that reads it:
            some of ``equivariance_tests.clouds.carried.CARRIED``.
        call: how the model is called, if that is not seen from its signature.
        prepare: what is done to each batch first, such as
            ``backbones.adapters.connect(radius=5.0)``.
        dtype: of the positions; a module is copied, and the copy converted.
        device: the same.
        profile: how much is tried: "fast", "ci", "deep", or a ``Profile``.
        seed: of the random clouds.
        checks: those to run, by name, or checks of your own; all of ``CHECKS`` if not given.
        known: names of checks that are known to fail, with the reason for each if it is a mapping.
            One that passes after all is a failure.
        progress: whether to show a bar while checks run, and to print the report.

    Raises:
        ValueError: if there is no contract, or a name is not known.

    >>> def energy(positions):
    ...     return (positions - positions.mean(0)).square().sum().sqrt().sin()[None]
    >>> report = certify(energy, Contract("0e"), checks=["equivariance", "parity"], progress=False)
    >>> report.passed
    True
    """
    trial = Trial.of(
        model,
        contract,
        species=species,
        of_structures=of_structures,
        unit=unit,
        carries=carries,
        call=call,
        prepare=prepare,
        dtype=dtype,
        device=device,
    )
    asked = chosen(checks)
    with progress_bar(progress, asked) as shown:
        report = Certification(trial, profile, seed, known, shown, asked).report()
    if progress:
        print_in_colors(str(report))
    return report


class Certification:
    """A model under some checks: each is run once, when it is asked for.

    Args:
        trial: the model; replaced by what is known of it, as checks find it out.
        profile: see ``certify``, as the next two.
        seed: of the random clouds.
        known: checks that are known to fail.
        progress: is called with how far each check is.
        checks: those that ``report`` is about, if it is not told; all of ``CHECKS`` if not given.

    Raises:
        ValueError: if a name is not that of a check, or of a profile.
    """

    def __init__(
        self,
        trial: Trial,
        profile: str | Profile = "fast",
        seed: int = 0,
        known: Known = (),
        progress: Progress = lambda check, done, total: None,
        checks: Sequence[str | Check] | None = None,
    ) -> None:
        self.profile = profile_of(profile)
        self.trial = replace(trial, highest_alone=self.profile.highest_alone)
        self.seed, self.progress = seed, progress
        self.checks = chosen(checks)
        # and those that are not asked for, but may decide how others ask
        self.every = (*CHECKS, *(one for one in self.checks if one not in CHECKS))
        named = known if isinstance(known, Mapping) else dict.fromkeys(known, "")
        self.known = {check_of(name, self.every).name: reason for name, reason in named.items()}
        self.plan = Plan(self.every, self.profile, seed)
        self.findings: dict[str, Finding] = {}
        # whether it was told that the model cannot be called at all
        self.refused = False
        # seconds that counterexamples were made smaller, and checks that may still have some
        self._shrunk, self._to_come = 0.0, len(self.every)
        self._shrinker = Shrinker(trial.setting)

    @classmethod
    def of(
        cls,
        model: Any,
        contract: Contract | None = None,
        *,
        profile: str | Profile = "fast",
        seed: int = 0,
        known: Known = (),
        **how: Any,
    ) -> Certification:
        """That of a model of which nothing is known.

        Args:
            model: see ``certify``, as all others.
            contract: what it claims.
            profile: how much is tried.
            seed: of the random clouds.
            known: checks that are known to fail.
            how: how the model is asked.
        """
        return cls(Trial.of(model, contract, **how), profile, seed, known)

    def report(self, names: Sequence[str] | None = None) -> Report:
        """What the checks of these names found, or those of the certification if not given.

        Of a model that raises on every plain cloud nothing is found, but why that is.
        """
        asked = self.checks if names is None else [check_of(name, self.every) for name in names]
        subject = self.trial.subject
        return Report(
            name_of(subject.model),
            subject.contract,
            [] if self.refusal else list(self._findings(asked)),
            {
                "dtype": str(subject.dtype).removeprefix("torch."),
                "device": str(subject.device),
                "profile": self.profile.name,
                "seed": self.seed,
            },
            self.refusal or "",
        )

    def _findings(self, checks: Sequence[Check]) -> Iterator[Finding]:
        for number, check in enumerate(checks):
            self._to_come = len(checks) - number
            yield self.finding(check.name)

    def finding(self, name: str) -> Finding:
        """What the check of this name found."""
        check = check_of(name, self.every)
        if name not in self.findings:
            for first in self.every:
                if first is check and check.decides:
                    break
                if first.decides:
                    self.finding(first.name)
            found = self.findings[name] = self._found(check)
            self.trial = check.follows(self.trial, found.failure)
        return self.findings[name]

    def _found(self, check: Check) -> Finding:
        """What a check finds, with its time, and in view of what is known."""
        start = time.perf_counter()
        try:
            found = self._skipped(check) or self._tried(check)
        except Exception as error:  # a check that cannot run must neither hide nor stop the others
            found = Finding(check.name, check.law, "could not run", reason=_in_a_line(error))
        given = {**vars(found), "seconds": time.perf_counter() - start}
        if check.name in self.known:
            given |= self._known(found)
        return Finding(**given)

    def _known(self, found: Finding) -> dict[str, str]:
        reason = self.known[found.check]
        if found.verdict == "failed":
            return {"verdict": "known", "reason": reason}
        if found.verdict == "passed":
            said = f"known to fail ({reason or 'no reason given'}), but it passes: take it off"
            return {"verdict": "failed", "reason": said}
        return {}

    def _skipped(self, check: Check) -> Finding | None:
        """The finding of a check that has nothing to say, or cannot; None if it is to be tried."""
        if self.unmeasured is not None:
            reason = "" if check.of_answers else self.unmeasured
        else:
            reason = check.reason_to_skip(self.trial)
        if not reason and self.trial.random and not check.says_of_random:
            reason = "the model is random"
        return Finding(check.name, check.law, "skipped", reason=reason) if reason else None

    @cached_property
    def refusal(self) -> str | None:
        """Why the model cannot be called at all, if so: told once, before any check."""
        return refusal(self.trial.subject) if self.trial.answers_nothing else None

    @cached_property
    def unmeasured(self) -> str | None:
        """Why errors have no unit, if so."""
        return unanswered(self.trial.subject) if self.trial.answers_nothing else None

    def _tried(self, check: Check) -> Finding:
        """A check on its named clouds, then on random ones, up to the first that fails."""
        clouds, total = self.plan.clouds(check, self.trial)
        at_once = self.plan.at_once(check)
        judged, skipped = 0, Counter[str]()
        worst: Outcome | None = None
        unanswered: list[Outcome] = []
        pace = 0.0
        self.progress(check.name, 0, total)
        for batch in _batches(clouds, at_once):
            begun = time.perf_counter()
            outcomes = check.outcomes(self.trial, batch)
            pace = (time.perf_counter() - begun) / len(batch)
            heard = [one for one in outcomes if not one.skipped]
            judged += len(heard)
            skipped.update(one.skipped for one in outcomes if one.skipped)
            failing = [one for one in heard if one.failure is not None]
            # what is not finite may be found here, but does not hide that the law is broken
            wrong = [one for one in failing if check.is_own(one.failure)]
            if wrong:
                return self._failed(check, wrong, judged, at_once, pace)
            unanswered += failing
            worst = max([worst, *heard] if worst else heard, key=_severity, default=None)
            self.progress(check.name, judged + skipped.total(), total)
        if unanswered:
            return self._failed(check, unanswered, judged, at_once, pace)
        if worst is None:
            reason = skipped.most_common(1)[0][0] if skipped else "it has no cases"
            return Finding(check.name, check.law, "skipped", reason=reason)
        return Finding(
            check.name, check.law, "passed", worst.error, worst.bound, judged, worst.cloud
        )

    def _failed(
        self, check: Check, failing: Sequence[Outcome], judged: int, at_once: int, pace: float
    ) -> Finding:
        """The finding of a check that failed, with the smallest cloud."""
        setting = self.trial.setting
        first = min(failing, key=lambda one: rank(one.cloud, setting))
        begun = time.perf_counter()
        small = self._shrinker.smallest(
            lambda clouds: check.outcomes(self.trial, clouds),
            first,
            at_once,
            (self.profile.shrinking - self._shrunk) / min(SHARES, max(1, self._to_come)),
            pace,
        )
        self._shrunk += time.perf_counter() - begun
        return Finding(
            check.name,
            check.law,
            "failed",
            small.error,
            small.bound,
            judged,
            small.cloud,
            small.failure,
        )


def name_of(model: Any) -> str:
    """What a model is called in reports.

    >>> name_of(name_of), name_of(torch.nn.Linear(1, 1))
    ('name_of', 'Linear')
    """
    name = getattr(model, "__name__", None)
    return name if isinstance(name, str) else type(model).__name__


def _batches(clouds: Iterable[Cloud], size: int) -> Iterator[list[Cloud]]:
    rest = iter(clouds)
    while batch := list(islice(rest, size)):
        yield batch


def _severity(outcome: Outcome) -> float:
    """How close to failing; errors without a floor come after all others."""
    return outcome.error / outcome.bound if outcome.bound > 0 else outcome.error


def _in_a_line(error: Exception) -> str:
    """An exception in a line."""
    notes = dict.fromkeys(getattr(error, "__notes__", ()))
    said = " ".join([*str(error).split(), *notes])
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
