"""What rounding of its inputs does to the answers of a model, and what is rounded inside it.

Rounding is not measured where the error is: at a discontinuity the last digit of a coordinate
changes the output as much as anything else. The slope of the output is, over finite displacements;
the slope times the last digit of the largest coordinate is what rounding can do. A jump of size J
within the shortest displacement h then passes for rounding of J ulp / h, which is far below J.
Nor can an answer be better than its own last digit: next to its spread that is large for an energy
with a large offset.

Where an output and its slope are zero, for a dipole of two points say, what is rounded inside the
model is not: that is measured on generic clouds, as how far a few last digits bend the output.
Where that does not explain an error it is measured at the cloud itself, too: large terms may cancel
there as they do nowhere else. Of lines that leave the cloud by 4, by 2^8 and by 2^16 last digits in
a step, the least counts: rounding is as large on any of them, and what bends because something
switches near the cloud is not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from equivariance_tests.clouds import Structure
from equivariance_tests.clouds.cases import unrelated
from equivariance_tests.clouds.strategies import clouds
from equivariance_tests.clouds.turns import turns_of
from equivariance_tests.measure.trial import Trial
from equivariance_tests.model.answers import Answers

# What is rounding without any question: a few thousand operations on numbers of order one
EXACT = {torch.float64: 1e-12, torch.float32: 2e-5}
# The last digit of single precision, in that of double precision
COARSER = 2.0**29
# Errors up to this many times what the last digit of a coordinate does are rounding
ROUNDINGS = 50.0
# Displacements over which slopes are measured, relative to the extent of the cloud
DISPLACEMENTS = (1e-2, 1e-4, 1e-6, 1e-8)
DIRECTIONS = 2
# Shortest of them over which single precision tells slope from jump
SHORTEST_IN_SINGLE = 1e-3
# No point moves by more than this many times the size of a normal displacement
FARTHEST = 8.0
# Steps of short lines, in last digits: any function that is not rounded is straight on them. Large
# terms that cancel leave stairs, which show on the longest ones; those of single precision inside
# are too wide to show
STRIDES = (2.0**16, 2.0**8, 4.0)
# In single precision they would not be short
STRAIGHT = 2.0**-20
# Generic clouds, and places on lines through them, that tell what is rounded inside
INNER_CLOUDS, INNER_PLACES = 15, 7
# Places on lines that leave a cloud. It is none of them itself: a jump there is no rounding
LEAVING = (1, 2, 3, 4, 5)
# How often, and by how many of them, last digits are changed where ties may be decided by them
SHAKEN, DIGITS = 12, 4.0


def displaced(
    trial: Trial,
    structures: Sequence[Structure],
    seed: int = 0,
    finest: int | float = 0.0,
    dtype: torch.dtype | None = None,
) -> Iterator[tuple[list[Structure], Float[Tensor, "structures"]]]:
    """Structures displaced at random, and what part of each displacement the last digit is.

    A change of an answer times that part is what the last digit of the largest coordinate does.

    Args:
        trial: the model.
        structures: where.
        seed: of the directions.
        finest: shortest displacement, relative to the extent; longer ones only where coordinates
            are so large that it would be their last digits.
        dtype: in which coordinates are rounded; that of the model if not given.
    """
    eps, own = torch.finfo(dtype or trial.dtype).eps, torch.finfo(trial.dtype).eps
    generator = torch.Generator().manual_seed(seed)
    for relative in DISPLACEMENTS:
        if relative < finest:
            continue
        for _ in range(DIRECTIONS):
            steps = [
                min(
                    max(relative * one.extent, 64 * own * one.largest),
                    trial.setting.room / FARTHEST,
                )
                for one in structures
            ]
            parts = [eps * one.largest / step for one, step in zip(structures, steps, strict=True)]
            moved = moved_about(trial, structures, steps, generator)
            yield moved, torch.tensor(parts, dtype=torch.float64)


def moved_about(
    trial: Trial,
    structures: Sequence[Structure],
    steps: Sequence[float],
    generator: torch.Generator,
) -> list[Structure]:
    """Structures whose points are moved at random, by about a length for each structure."""
    moved = []
    for one, step in zip(structures, steps, strict=True):
        away = torch.randn(one.positions.shape, dtype=torch.float64, generator=generator)
        moved.append(one.at(one.positions + step * away).rounded(trial.dtype))
    return moved


def rounding(
    trial: Trial,
    structures: Sequence[Structure],
    scales: Mapping[str, Float[Tensor, "dim"]],
    finest: int | float = 0.0,
    dtype: torch.dtype | None = None,
) -> Float[Tensor, "structures"]:
    """How much the last digit of the largest coordinate changes the answer to each structure.

    No less than the last digit of the answer itself.

    Args:
        trial: the model.
        structures: where.
        scales: that answers are measured in.
        finest: shortest displacement, see ``displaced``.
        dtype: in which coordinates are rounded.
    """
    here = trial(structures)
    worst = last_digits(here, scales, dtype or trial.dtype)
    for moved, parts in displaced(trial, structures, 0, finest, dtype):
        worst = torch.fmax(worst, trial(moved).minus(here).largest(scales) * parts)
    return worst


def inner_rounding(
    trial: Trial,
    structures: Sequence[Structure],
) -> Float[Tensor, "structures"]:
    """How much the answers to generic clouds with coordinates as large bend over their last digits.

    Their median: a generic cloud lies by chance next to a jump, most do not. A lower precision
    inside is no excuse, as it shows no last digits at all.
    """

    def of_answers(places: Sequence[Sequence[Structure]]) -> Tensor:
        answers = [trial(moved) for moved in places]
        again = trial(places[0]).minus(answers[0]).largest(trial.scales)
        if bool((again > EXACT[trial.dtype]).any()):  # chance is no rounding
            return torch.zeros_like(again)
        return bend(answers, trial.scales)

    return of_generic_clouds(trial, structures, "bend of answers", of_answers)


def own_rounding(
    trial: Trial,
    structures: Sequence[Structure],
    errors: Float[Tensor, "structures"],
) -> Float[Tensor, "structures"]:
    """How much the answers bend over a few last digits at the structures themselves.

    Args:
        trial: the model.
        structures: where.
        errors: to be explained; no more is measured where this cannot.
    """
    again = trial(structures).minus(trial(structures)).largest(trial.scales)
    if not bool((again <= EXACT[trial.dtype]).all()):  # chance is no rounding
        return torch.zeros_like(errors)

    def bent(some: Sequence[Structure], stride: float) -> Tensor:
        return bend([trial(moved) for moved in leaving(trial, some, stride)], trial.scales)

    found = torch.full_like(errors, torch.inf)
    left = list(range(len(structures)))
    for stride in STRIDES:
        some = [structures[i] for i in left]
        noise = bent(some, stride)
        if trial.contract.group:
            matrix = trial.matrix(turns_of(trial.contract.group)["generic"])
            turned = [one.turned(matrix, trial.contract) for one in some]
            noise = torch.fmax(noise, bent([t.rounded(trial.dtype) for t in turned], stride))
        found[left] = torch.fmin(found[left], noise.nan_to_num(nan=0.0))
        left = [i for i in left if ROUNDINGS * float(found[i]) >= float(errors[i])]
        if not left:
            break
    return found


def bend(
    answers: Sequence[Answers], scales: Mapping[str, Float[Tensor, "dim"]]
) -> Float[Tensor, "structures"]:
    """Largest second difference of the answers at places in equal steps on a line."""
    slopes = [b.minus(a) for a, b in pairwise(answers)]
    return torch.stack([b.minus(a).largest(scales) for a, b in pairwise(slopes)]).amax(0)


def leaving(trial: Trial, structures: Sequence[Structure], stride: float) -> list[list[Structure]]:
    """Structures on a line that leaves each, at the first place, the second, and so on."""
    generator = torch.Generator().manual_seed(0)
    eps, lines = torch.finfo(trial.dtype).eps, []
    for one in structures:
        along = torch.randn(one.positions.shape, dtype=torch.float64, generator=generator)
        lines.append((one, stride * eps * max(one.largest, one.extent) * along))
    return [
        [one.at(one.positions + k * step).rounded(trial.dtype) for one, step in lines]
        for k in LEAVING
    ]


def of_generic_clouds(
    trial: Trial,
    structures: Sequence[Structure],
    name: str,
    measure: Callable[[Sequence[Sequence[Structure]]], Float[Tensor, "clouds"]],
) -> Float[Tensor, "structures"]:
    """The median of a measure over generic clouds that are as far away as each structure reaches.

    Args:
        trial: the model, which remembers what was measured.
        structures: whose largest coordinates count, to a power of ten.
        name: of the measure.
        measure: of each cloud, given all of them at each of a few places on short lines.
    """

    def median_bend(powers: int) -> float:
        lines = [on_short_lines(trial, powers, stride) for stride in short_strides(trial)]
        bends = [measure(places).nan_to_num(nan=0.0).median() for places in lines if places[0]]
        return max(map(float, bends), default=0.0)

    found = []
    for one in structures:
        powers = max(0, math.ceil(math.log10(max(one.largest / trial.setting.unit, 1.0)) - 0.5))
        found.append(trial.once((name, powers), partial(median_bend, powers)))
    return torch.tensor(found, dtype=torch.float64)


def short_strides(trial: Trial) -> list[float]:
    """Steps in which a line is short, in last digits."""
    eps = torch.finfo(trial.dtype).eps
    return [stride for stride in STRIDES if stride * eps < STRAIGHT]


def on_short_lines(trial: Trial, powers: int, stride: float) -> list[list[Structure]]:
    """Generic clouds at a distance, moved along a line each in steps of some last digits.

    Those that the model answers, at the first place, the second, and so on.
    """
    clouds = [replace(one, offset=powers) for one in unrelated(trial.contract)[:INNER_CLOUDS]]
    clouds = [c for c, good in zip(clouds, trial.answered(clouds), strict=True) if good]
    generator = torch.Generator().manual_seed(0)
    lines = []
    for one in trial.structures(clouds):
        along = torch.randn(one.positions.shape, dtype=torch.float64, generator=generator)
        lines.append((one, stride * torch.finfo(trial.dtype).eps * one.largest * along))
    return [
        [one.at(one.positions + k * step).rounded(trial.dtype) for one, step in lines]
        for k in range(INNER_PLACES)
    ]


def shaken(trial: Trial, structures: Sequence[Structure]) -> Float[Tensor, "structures"]:
    """How much the answer changes as the last digits of the coordinates do.

    A model that claims no smoothness may jump at a tie, at two equal distances or a point at
    exactly the cutoff, and rounding decides which way: what it decides is no error.
    """
    ulp, here = torch.finfo(trial.dtype).eps, trial(structures)
    worst = torch.zeros(len(structures), dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    steps = [DIGITS * ulp * max(one.largest, one.extent) for one in structures]
    for _ in range(SHAKEN):
        moved = moved_about(trial, structures, steps, generator)
        worst = torch.fmax(worst, trial(moved).minus(here).largest(trial.scales))
    return worst


def last_digits(
    answers: Answers, scales: Mapping[str, Float[Tensor, "dim"]], dtype: torch.dtype
) -> Float[Tensor, "structures"]:
    """The last digit of the largest answer to each structure, in units of the scales."""
    return torch.finfo(dtype).eps * answers.largest(scales)
