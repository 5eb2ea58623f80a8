"""Times of several sides that take turns, so that whatever else the machine does slows all."""

from collections.abc import Callable, Mapping
from statistics import median
from time import perf_counter
from typing import Any


def milliseconds(
    sides: Mapping[str, Callable[[], Any]],
    rounds: int,
    warm_up: int = 1,
    back_and_forth: bool = False,
) -> dict[str, list[float]]:
    """Milliseconds of each side in each round.

    Args:
        sides: what is called, by name.
        rounds: that count.
        warm_up: rounds before them, which do not.
        back_and_forth: whether every other round goes through the sides from last to first, so that
            none of them always comes after the same one.
    """
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(-warm_up, rounds):
        names = list(sides)
        for name in reversed(names) if back_and_forth and turn % 2 else names:
            start = perf_counter()
            sides[name]()
            if turn >= 0:
                times[name].append(1e3 * (perf_counter() - start))
    return times


def medians(times: Mapping[str, list[float]]) -> dict[str, float]:
    """The median time of each side."""
    return {name: median(values) for name, values in times.items()}
