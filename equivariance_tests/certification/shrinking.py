"""The smallest cloud that fails in the same way.

Fewer points come first, then a simpler stratum, then an exchange of axes, then a generic turn. What
failed is made plain, one thing after the other. Then all clouds that are simpler still are tried in
order, many in one call of the model, and what fails first is the answer: nothing is left to the
luck of a random search.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product

from equivariance_tests.checks.base import Outcome
from equivariance_tests.clouds import STRATA, Cloud, Setting, Structure
from equivariance_tests.clouds.crystals import CRYSTALS
from equivariance_tests.clouds.strategies import ORIENTATIONS
from equivariance_tests.clouds.turns import GENERIC_ORIENTATION, UNTURNED

Rank = tuple[int | float, ...]
Judge = Callable[[Sequence[Cloud]], Sequence[Outcome]]

# Clouds of more points than this are not listed: what fails there alone is not small
MOST_POINTS = 8
# Which clouds of a stratum are tried, and how they lie; the last ones only where that is cheap
SEEDS, TURNS = (0, 1, 2), (GENERIC_ORIENTATION, UNTURNED)
# What is made plain in a cloud that fails, one after the other
FIELDS = ("rattled", "scale", "offset", "decorated", "turn", "seed", "number")
# Positions that differ by less make the same cloud
SAME_DIGITS = 12


class Shrinker:
    """Finds what is simplest, for the models of one setting.

    Args:
        setting: tells how many points a cloud has.
    """

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self._listed: dict[tuple[int, bool], list[tuple[Rank, Cloud]]] = {}

    def smallest(
        self,
        judge: Judge,
        outcome: Outcome,
        at_once: int,
        seconds: int | float,
        pace: int | float = 0.0,
    ) -> Outcome:
        """The simplest failing outcome of the same kind.

        Args:
            judge: outcomes of clouds.
            outcome: one that failed.
            at_once: how many clouds in one call; if one by one, fewer of each stratum are tried.
            seconds: after which no further clouds are judged.
            pace: seconds that a cloud took: as many are judged at once as there is time for.
        """
        kind, end = type(outcome.failure), time.monotonic() + seconds

        def first_failing(clouds: Sequence[Cloud]) -> Outcome | None:
            nonlocal pace
            start = 0
            while start < len(clouds):
                begun = time.monotonic()
                time_for = (end - begun) / pace if pace > 0 else math.inf
                if begun >= end or time_for < 1:
                    break
                some = clouds[start : start + int(min(at_once, time_for))]
                start += len(some)
                try:
                    found = judge(some)
                except Exception:  # a cloud on which the check itself fails is no simpler case
                    continue
                finally:
                    pace = (time.monotonic() - begun) / len(some)
                for one in found:
                    if type(one.failure) is kind:
                        return one
            return None

        for _ in FIELDS:
            plainer = first_failing(list(_plainer(outcome.cloud)))
            if plainer is None:
                break
            outcome = plainer
        few = at_once == 1
        return first_failing(self.simpler(outcome.cloud, few)) or outcome

    def simpler(self, cloud: Cloud, few: bool = False) -> list[Cloud]:
        """All that are simpler than a cloud, simplest first, and no two that are the same."""
        limit = rank(cloud, self.setting)
        most = min(int(limit[0]), MOST_POINTS)
        if (most, few) not in self._listed:
            found: dict[str, tuple[Rank, Cloud]] = {}
            for one in _small(self.setting, most, few):
                structure = self.setting.structure(one)
                ranked, content = (rank(one, structure), one), _content(structure)
                found[content] = min(found.get(content, ranked), ranked, key=lambda pair: pair[0])
            self._listed[most, few] = sorted(found.values(), key=lambda pair: pair[0])
        return [one for place, one in self._listed[most, few] if place < limit]


def rank(cloud: Cloud, made: Setting | Structure) -> Rank:
    """What is simpler comes first; an empty cloud, which shows little, after all others."""
    structure = made if isinstance(made, Structure) else made.structure(cloud)
    turns = (UNTURNED, *ORIENTATIONS, cloud.turn)
    return (
        len(structure) or sys.maxsize,
        cloud.first is not None,
        STRATA.index(cloud.stratum),
        cloud.rattled,
        abs(cloud.scale) + abs(cloud.offset),
        cloud.decorated,
        turns.index(cloud.turn),
        cloud.seed,
        cloud.number,
    )


def _small(setting: Setting, most: int, few: bool) -> Iterator[Cloud]:
    strata = [name for name in STRATA if setting.contract.periodic or name not in CRYSTALS]
    seeds, turns = (SEEDS[:1], TURNS[:1]) if few else (SEEDS, TURNS)
    kinds = (False, True) if setting.species or setting.contract.inputs else (False,)
    for stratum, number in product(strata, range(1, most + 1)):
        for seed, turn, decorated in product(seeds, turns, kinds):
            yield Cloud(stratum, number, seed, turn, decorated=decorated)


def _content(structure: Structure) -> str:
    """What two descriptors of one structure have in common."""
    values = [structure.positions, structure.cell, *structure.inputs.values()]
    rounded = [() if one is None else one.round(decimals=SAME_DIGITS).tolist() for one in values]
    return repr((rounded, None if structure.species is None else structure.species.tolist()))


def _plainer(cloud: Cloud) -> Iterator[Cloud]:
    """The cloud with one thing made plain, or fewer points."""
    plain = Cloud(cloud.stratum)
    for field in FIELDS:
        if getattr(cloud, field) != getattr(plain, field):
            yield replace(cloud, **{field: getattr(plain, field)})
    for number in range(1, min(cloud.number, MOST_POINTS)):
        yield replace(cloud, number=number)
