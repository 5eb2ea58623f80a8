"""Which clouds each check is tried on: its named cases, then its share of the random ones."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain, islice

import torch

from equivariance_tests.certification.draws import drawn
from equivariance_tests.certification.profiles import Profile
from equivariance_tests.checks import Check
from equivariance_tests.clouds import Cloud
from equivariance_tests.measure.rounding import moved_about
from equivariance_tests.measure.trial import Trial

# Clouds that a law is asked about at once
AT_ONCE = 64
# Random clouds that tell how many frames a cloud has on average
SOME = 16
# A path through a cloud has its number of frames so far from it, in the unit of the clouds, and not
# many more than is usual
NEARBY, ABOUT = 0.1, 2
# A network in frames, or one that mixes up its batch, is asked about so many times fewer slow cases
FEWER = 4


class Plan:
    """The clouds of each check.

    Args:
        checks: all that share the random clouds.
        profile: how many there are.
        seed: of the random ones.
    """

    def __init__(self, checks: Sequence[Check], profile: Profile, seed: int) -> None:
        self.checks, self.profile, self.seed = checks, profile, seed
        self._varied: list[Check] | None = None
        # evaluations of clouds that were asked for, and how often strata of many were tried
        self._asked: dict[Cloud, int] = {}
        self._tried: Counter[str] = Counter()

    def at_once(self, check: Check) -> int:
        """How many clouds a check is asked about in one call."""
        return 1 if check.slow else AT_ONCE

    def clouds(self, check: Check, trial: Trial) -> tuple[Iterator[Cloud], int]:
        """Those that a check is tried on, and how many there are."""
        cases, share = self.cases(check, trial), self.share(check, trial)
        return chain(cases, islice(self._random(check, trial), share)), len(cases) + share

    def cases(self, check: Check, trial: Trial) -> list[Cloud]:
        """The named ones: all, or of a slow check those that tell the most."""
        cases = [cloud for cloud in check.cases(trial.contract) if self._has_room(cloud, trial)]
        rattled = [cloud for cloud in cases if cloud.rattled][:: self.profile.rattled]
        cases = [cloud for cloud in cases if not cloud.rattled or cloud in rattled]
        if check.slow:  # of few cases none should be one that says nothing
            cases = [cloud for cloud in cases if not trial.left_out(cloud)] or cases[:1]
        cases = list(dict.fromkeys(cases))
        most = self.profile.slow_cases
        if most is not None and self._takes_long(trial):
            most = min(most, max(2, most // FEWER))
        if not check.slow:
            return self._affordable(trial, cases)
        if most is not None and len(cases) > most:
            cases = _few(self._of_few_frames(trial, cases), most, check.telling)
        return cases

    def _of_few_frames(self, trial: Trial, cases: list[Cloud]) -> list[Cloud]:
        """Those with no more frames nearby than is usual: each takes a thousand calls."""
        most = self.profile.evaluations
        if most is None or not trial.subject.in_frames:
            return cases
        structures = trial.structures(cases)
        steps = [NEARBY * trial.setting.unit] * len(cases)
        generator = torch.Generator().manual_seed(self.seed)
        nearby = trial.subject.evaluations(moved_about(trial, structures, steps, generator))
        number = dict(zip(cases, nearby, strict=True))
        usual = max(most, statistics.median(nearby))
        return [cloud for cloud in cases if number[cloud] <= ABOUT * usual]

    def _affordable(self, trial: Trial, cases: list[Cloud]) -> list[Cloud]:
        """Of clouds with many frames a few: those on strata that were tried the least before."""
        most = self.profile.evaluations
        if most is None:
            return cases
        number = dict(zip(cases, self._evaluations(trial, cases), strict=True))
        points = {one: max(1, len(trial.setting.structure(one))) for one in cases}
        seen = {one: number[one] * points[one] for one in cases}
        kept = {one for one in cases if number[one] <= most}
        left = most * sum(points.values()) - sum(seen[one] for one in kept)
        rest = [one for one in cases if one not in kept]
        rest.sort(key=lambda one: (self._tried[one.stratum], seen[one]))
        for k, one in enumerate(rest):
            if k == 0 or seen[one] <= left:
                left -= seen[one]
                kept.add(one)
                self._tried[one.stratum] += 1
        return [one for one in cases if one in kept]

    def _takes_long(self, trial: Trial) -> bool:
        """Whether a slow case takes thousands of calls, or thousands of frames."""
        return not trial.subject.batched or trial.subject.in_frames

    def _evaluations(self, trial: Trial, clouds: Sequence[Cloud]) -> list[int]:
        new = [cloud for cloud in clouds if cloud not in self._asked]
        if new:
            found = trial.subject.evaluations(trial.structures(new))
            self._asked |= dict(zip(new, found, strict=True))
        return [self._asked[cloud] for cloud in clouds]

    def _has_room(self, cloud: Cloud, trial: Trial) -> bool:
        most = self.profile.case_points
        return most is None or len(trial.setting.structure(cloud)) <= most

    def share(self, check: Check, trial: Trial) -> int:
        """Number of random clouds for one of the checks that the contract claims."""
        varied = self._of_clouds(trial)
        if check not in varied:
            return 0
        number = sum(one.slow == check.slow for one in varied)
        whole = self.profile.slow_clouds if check.slow else self.profile.clouds
        most = self.profile.evaluations
        if most is not None and check.slow and self._takes_long(trial):
            return whole // (FEWER * number)
        if most is not None:
            some = list(islice(self._random(check, trial), SOME))
            usual = sum(self._evaluations(trial, some)) / len(some)
            whole = math.ceil(whole * min(1.0, most / usual))
        return -(-whole // number)

    def _of_clouds(self, trial: Trial) -> list[Check]:
        """Checks that are tried on random clouds: those that have something to say about clouds."""
        if self._varied is None:
            self._varied = []
            for check in self.checks:
                # what fails here is told when the check itself is run
                with suppress(Exception):
                    # what has a single case speaks of the model, and not of this cloud or that
                    of_clouds = len(check.cases(trial.contract)) > 1
                    if of_clouds and not check.reason_to_skip(trial):
                        self._varied.append(check)
        return self._varied

    def _random(self, check: Check, trial: Trial) -> Iterator[Cloud]:
        """Other clouds for each check."""
        setting = trial.setting
        decorated = bool(setting.species or setting.contract.inputs)
        seed = [self.seed, *check.name.encode()]
        return drawn(setting.contract, seed, self.profile.points, decorated)


def _few(cases: Sequence[Cloud], most: int, telling: Sequence[str]) -> list[Cloud]:
    """Those on the most telling strata, and others spread over the rest, in the order of all."""
    first = [cloud for stratum in telling for cloud in cases if cloud.stratum == stratum][:most]
    rest = [cloud for cloud in cases if cloud.stratum not in telling]
    others = min(most - len(first), len(rest))
    spread = [rest[round(k * (len(rest) - 1) / max(1, others - 1))] for k in range(others)]
    return [cloud for cloud in cases if cloud in (*first, *spread)]
