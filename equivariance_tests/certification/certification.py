"""Every check that a contract claims, on named and on random clouds, and what they found.

What earlier checks find decides how later ones run: structures of a model that mixes up its batch
are evaluated one by one, and a model that is random is not compared with itself at rounding.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import chain, islice
from typing import Any

import torch

from equivariance_tests.certification.draws import drawn
from equivariance_tests.certification.profiles import Profile, profile_of
from equivariance_tests.certification.progress import Progress, progress_bar
from equivariance_tests.certification.shrinking import Shrinker, rank
from equivariance_tests.checks import CHECKS
from equivariance_tests.checks.base import Check, Outcome, asked
from equivariance_tests.clouds import Cloud
from equivariance_tests.model.first_call import refusal, unanswered
from equivariance_tests.model.subject import Subject
from equivariance_tests.report.report import Finding, Report
from equivariance_tests.report.text import show
from symmetrize import Contract

# Clouds that a law is asked about at once
AT_ONCE = 64
# Checks that tell something of a model with several answers to one input
OF_RANDOM_MODELS = (
    "finiteness",
    "determinism",
    "dtype and device",
    "vacuity",
    "equivariance",
    "parity",
    "precision ladder",
)
# A model that mixes up its batch is asked about so many times fewer slow cases
FEWER = 4
# Of the time for smaller counterexamples one check takes no more than one part of so many, unless
# there are fewer checks
SHARES = 4
# Found before anything else, for they decide how others run
DECISIVE = ("determinism", "batching")

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
    checks: Sequence[str] | None = None,
    known: Known = (),
    progress: bool = True,
) -> Report:
    """Hold a model to what it claims, and hand back the smallest counterexamples.

    Args:
        model: anything callable, or an ASE calculator; see ``equivariance_tests.model.calls``.
        contract: what it claims; ``model.contract`` if not given.
        species: the integers that ``z`` may be, for a model that takes species.
        of_structures: names of inputs with one row for each structure.
        unit: length that points are typically apart, if neither 1 nor a third of the cutoff.
        carries: kinds of data that structures carry beside their points, for a model that reads it:
            some of ``equivariance_tests.clouds.carried.CARRIED``.
        call: how the model is called, if that is not seen from its signature.
        prepare: what is done to each batch first, such as
            ``backbones.adapters.connect(radius=5.0)``.
        dtype: of the positions; a module is copied, and the copy converted.
        device: the same.
        profile: how much is tried: "fast", "ci", "deep", or a ``Profile``.
        seed: of the random clouds.
        checks: names of those to run; all if not given.
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
    subject = Subject(
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
    names = [check.name for check in CHECKS] if checks is None else checks
    with progress_bar(progress, names) as show_progress:
        certification = Certification(subject, profile, seed, known, show_progress)
        report = certification.report(checks)
    if progress:
        show(report)
    return report


class Certification:
    """A model under all checks: each is run once, when it is asked for.

    Args:
        subject: the model.
        profile, seed, known: see ``certify``.
        progress: is called with how far each check is.

    Raises:
        ValueError: if a name is not that of a check, or of a profile.
    """

    def __init__(
        self,
        subject: Subject,
        profile: str | Profile = "fast",
        seed: int = 0,
        known: Known = (),
        progress: Progress = lambda check, done, total: None,
    ) -> None:
        self.subject, self.seed, self.progress = subject, seed, progress
        self.profile = profile_of(profile)
        named = known if isinstance(known, Mapping) else dict.fromkeys(known, "")
        self.known = {check_of(name).name: reason for name, reason in named.items()}
        self.findings: dict[str, Finding] = {}
        # whether it was told that the model cannot be called at all
        self.refused = False
        # seconds that counterexamples were made smaller, and checks that may still have some
        self._shrunk, self._to_come = 0.0, len(CHECKS)
        self._shrinker = Shrinker(subject.setting)

    def report(self, names: Sequence[str] | None = None) -> Report:
        """What the checks of these names found, of all if not given.

        Of a model that raises on every plain cloud nothing is found, but why that is.
        """
        checks = CHECKS if names is None else [check_of(name) for name in names]
        return Report(
            name_of(self.subject.model),
            self.subject.contract,
            [] if self.refusal else list(self._findings(checks)),
            {
                "dtype": str(self.subject.dtype).removeprefix("torch."),
                "device": str(self.subject.device),
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
        check = check_of(name)
        if name not in self.findings:
            for first in DECISIVE:
                if first == name:
                    break
                self.finding(first)
            self.findings[name] = self._found(check)
            if name == "batching" and self.findings[name].failure is not None:
                self._keep_apart(check)
        return self.findings[name]

    def _keep_apart(self, check: Check) -> None:
        """Find out what of a failure of batching is left for the checks that follow.

        A model that raises on some structures alone may be asked about others in batches.
        """
        self.subject.ask_alone()
        outcomes = check.outcomes(self.subject, check.cases(self.subject.contract))
        self.subject.batched = all(one.failure is None for one in outcomes)

    def _found(self, check: Check) -> Finding:
        """What a check finds, with its time, and in view of what is known."""
        start = time.perf_counter()
        try:
            found = self._unheard(check) or self._tried(check)
        except Exception as error:  # a check that cannot run must neither hide nor stop the others
            found = Finding(check.name, check.law, "could not run", reason=_told(error))
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

    def _unheard(self, check: Check) -> Finding | None:
        """The finding of a check that has nothing to say, or cannot."""
        reason = check.silent(self.subject) if self.unmeasured is None else None
        if self.unmeasured is not None and check.name != "finiteness":
            reason = self.unmeasured
        random = self.findings.get("determinism")
        if random is not None and random.failure is not None and not reason:
            reason = "" if check.name in OF_RANDOM_MODELS else "the model is random"
        return Finding(check.name, check.law, "skipped", reason=reason) if reason else None

    @cached_property
    def refusal(self) -> str | None:
        """Why the model cannot be called at all, if so: told once, before any check."""
        return refusal(self.subject)

    @cached_property
    def unmeasured(self) -> str | None:
        """Why errors have no unit, if so."""
        return unanswered(self.subject)

    def _tried(self, check: Check) -> Finding:
        """A check on its named clouds, then on random ones, up to the first that fails."""
        at_once = 1 if check.slow else AT_ONCE
        cases = self._cases(check)
        total = len(cases) + self._share(check)
        clouds = chain(cases, islice(self._random(check), total - len(cases)))
        judged, skipped = 0, Counter[str]()
        worst: Outcome | None = None
        unanswered: list[Outcome] = []
        pace = 0.0
        self.progress(check.name, 0, total)
        for batch in _batches(clouds, at_once):
            begun = time.perf_counter()
            outcomes = asked(check, self.subject, batch)
            pace = (time.perf_counter() - begun) / len(batch)
            heard = [one for one in outcomes if not one.skipped]
            judged += len(heard)
            skipped.update(one.skipped for one in outcomes if one.skipped)
            failing = [one for one in heard if one.failure is not None]
            # what is not finite may be found here, but does not hide that the law is broken
            wrong = [one for one in failing if not isinstance(one.failure, check.unanswered)]
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
        setting = self.subject.setting
        first = min(failing, key=lambda one: rank(one.cloud, setting))
        begun = time.perf_counter()
        small = self._shrinker.smallest(
            lambda clouds: asked(check, self.subject, clouds),
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

    def _cases(self, check: Check) -> list[Cloud]:
        cases = [cloud for cloud in check.cases(self.subject.contract) if self._has_room(cloud)]
        if check.slow:  # of few cases none should be one that says nothing
            cases = [cloud for cloud in cases if not self.subject.left_out(cloud)] or cases[:1]
        cases = list(dict.fromkeys(cases))
        most = self.profile.slow_cases
        if most is not None and not self.subject.batched:  # thousands of calls for each
            most = max(2, most // FEWER)
        if not check.slow or most is None or len(cases) <= most:
            return cases
        return _few(cases, most, check.telling)

    def _has_room(self, cloud: Cloud) -> bool:
        most = self.profile.case_points
        return most is None or len(self.subject.setting.structure(cloud)) <= most

    def _share(self, check: Check) -> int:
        """Number of random clouds for one of the checks that the contract claims."""
        if check not in self._varied:
            return 0
        whole = self.profile.slow_clouds if check.slow else self.profile.clouds
        return -(-whole // sum(one.slow == check.slow for one in self._varied))

    @cached_property
    def _varied(self) -> list[Check]:
        """Checks that are tried on random clouds: those that have something to say about clouds."""
        found = []
        for check in CHECKS:
            # what fails here is told when the check itself is run
            with suppress(Exception):
                # what has a single case speaks of the model, and not of this cloud or that
                of_clouds = len(check.cases(self.subject.contract)) > 1
                if of_clouds and not check.silent(self.subject):
                    found.append(check)
        return found

    def _random(self, check: Check) -> Iterator[Cloud]:
        """Other clouds for each check."""
        setting = self.subject.setting
        decorated = bool(setting.species or setting.contract.inputs)
        seed = [self.seed, *check.name.encode()]
        return drawn(setting.contract, seed, self.profile.points, decorated)


def check_of(name: str) -> Check:
    """A check by its name.

    Raises:
        ValueError: if there is none of this name.
    """
    for check in CHECKS:
        if check.name == name:
            return check
    names = ", ".join(check.name for check in CHECKS)
    raise ValueError(f"there is no check {name!r}: the checks are {names}")


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


def _few(cases: Sequence[Cloud], most: int, telling: Sequence[str]) -> list[Cloud]:
    """Those on the most telling strata, and others spread over the rest, in the order of all."""
    first = [cloud for stratum in telling for cloud in cases if cloud.stratum == stratum][:most]
    rest = [cloud for cloud in cases if cloud.stratum not in telling]
    others = min(most - len(first), len(rest))
    spread = [rest[round(k * (len(rest) - 1) / max(1, others - 1))] for k in range(others)]
    return [cloud for cloud in cases if cloud in (*first, *spread)]


def _severity(outcome: Outcome) -> float:
    """How close to failing; errors without a floor come after all others."""
    return outcome.error / outcome.bound if outcome.bound > 0 else outcome.error


def _told(error: Exception) -> str:
    """An exception in a line."""
    notes = dict.fromkeys(getattr(error, "__notes__", ()))
    said = " ".join([*str(error).split(), *notes])
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
