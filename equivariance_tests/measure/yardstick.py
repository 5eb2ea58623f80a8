"""What errors are measured in: the spread of an output, and the rounding of its inputs.

The spread is the root mean square of each part of an output (one irrep, one Cartesian tensor) over
unrelated clouds, from its mean: neither a constant offset nor zeros make an error look small.

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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from equivariance_tests.clouds import Cloud, Structure, Turn
from equivariance_tests.clouds.given import around
from equivariance_tests.model.subject import Answers, Subject
from symmetrize import Contract

# Clouds that spreads are taken over, all of one size and one composition
UNRELATED, POINTS = 30, 6
# An output that changes by less than this part of its size is the same for all clouds
VACUOUS = {torch.float64: 1e-10, torch.float32: 1e-6}
# A part of an irrep that is this much fainter than the rest is measured with the rest
FAINT = 1e-6
# What is rounding without any question: a few thousand operations on numbers of order one
EXACT = {torch.float64: 1e-12, torch.float32: 2e-5}
# Errors up to this many times what the last digit of a coordinate does are rounding
ROUNDINGS = 50.0
# Displacements over which slopes are measured, relative to the extent of the cloud
DISPLACEMENTS = (1e-2, 1e-4, 1e-6, 1e-8)
DIRECTIONS = 2
# No point moves by more than this many times the size of a normal displacement
FARTHEST = 8.0
# Generic clouds, and places on lines through them, that tell what is rounded inside: in steps of a
# few last digits any function that is not rounded is straight
INNER, LINE, STRIDE = 15, 7, 4.0
# Steps of lines that leave a cloud, in last digits, and places on them. The cloud itself is none of
# them: a jump there is no rounding
STRIDES, LEAVING = (2.0**16, 2.0**8, 4.0), (1, 2, 3, 4, 5)
# Coordinates that are zero, or equal, are not rounded: clouds are looked at in this orientation too
GENERIC_TURN = (3, -1, 2, 5)
# How often, and by how many of them, last digits are changed where ties may be decided by them
SHAKEN, DIGITS = 12, 4.0


@dataclass(frozen=True)
class Yardstick:
    """The spread of each output.

    Attributes:
        scales: (dim,) of each output: the spread of the part that a column belongs to.
        vacuous: parts that are the same for all clouds, such as "energy 0e".
        undefined: the clouds without a finite answer, out of those that were tried.
    """

    scales: Mapping[str, Float[Tensor, "dim"]]
    vacuous: tuple[str, ...]
    undefined: tuple[Cloud, ...]


def measured(subject: Subject) -> Yardstick:
    """The spread of each output of a model over unrelated clouds.

    Of a model that is asked about a structure of a user with attributes of its own: over structures
    like that one. It is infinite where the model answers none of them.
    """
    one = subject.around
    clouds = unrelated(subject.contract) if one is None else around(one, UNRELATED)
    answered = subject.answered(clouds)
    undefined = tuple(c for c, good in zip(clouds, answered, strict=True) if not good)
    if len(undefined) == len(clouds):
        outputs = subject.contract.outputs.items()
        endless = {name: torch.full((one.representation.dim,), torch.inf) for name, one in outputs}
        return Yardstick({name: scale.double() for name, scale in endless.items()}, (), undefined)
    defined = [cloud for cloud, good in zip(clouds, answered, strict=True) if good]
    species = subject.setting.species
    answers = subject([_of_species(one, species) for one in subject.structures(defined)])
    finite = answers.finite()
    scales, vacuous = {}, []
    for name, values in answers.values.items():
        kept = values[finite[answers.owner[name]]]
        scales[name], same = _spread(subject, name, kept)
        if same and subject.contract.periodic:
            # a stress is zero in space: it differs between crystals alone
            scales[name], same = _spread(subject, name, _in_crystals(subject, name))
        vacuous += [f"{name} {label}" for label in same]
    return Yardstick(scales, tuple(vacuous), undefined)


def _spread(
    subject: Subject, name: str, kept: Float[Tensor, "rows dim"]
) -> tuple[Float[Tensor, "dim"], list[str]]:
    """The spread of each column of an output, and what parts of it are the same in all rows."""
    representation = subject.contract.outputs[name].representation
    scale = torch.full((kept.size(1),), torch.inf, dtype=torch.float64)
    if not len(kept):
        return scale, []
    squares = (kept - kept.mean(0)).square().mean(0)
    size, vacuous = float(kept.abs().max()), []
    for label, columns in _irreps(representation):
        whole = float(squares[columns].mean().sqrt())
        if not whole > VACUOUS[subject.dtype] * size:
            vacuous.append(label)
            continue
        for block in representation.blocks:
            if columns.start <= block.columns.start < columns.stop:
                part = float(squares[block.columns].mean().sqrt())
                scale[block.columns] = max(part, FAINT * whole)
    return scale, vacuous


def _in_crystals(subject: Subject, name: str) -> Float[Tensor, "rows dim"]:
    """The finite answers to crystals that differ as the unrelated clouds do."""
    clouds = unrelated_crystals(subject.contract)
    kept = [c for c, good in zip(clouds, subject.answered(clouds), strict=True) if good]
    species = subject.setting.species
    crystals = [_of_species(one, species) for one in subject.structures(kept)]
    if not crystals:
        return torch.zeros(0, subject.contract.outputs[name].representation.dim).double()
    answers = subject(crystals)
    return answers.values[name][answers.finite()[answers.owner[name]]]


def unrelated(contract: Contract) -> list[Cloud]:
    """Clouds of one size, whose inputs differ too: outputs may be zero where inputs are."""
    inputs = bool(contract.inputs)
    return [Cloud("generic", POINTS, seed, decorated=inputs) for seed in range(UNRELATED)]


def unrelated_crystals(contract: Contract) -> list[Cloud]:
    """Crystals that differ as the unrelated clouds do, of a contract that understands cells."""
    return [replace(one, stratum="crystal") for one in unrelated(contract) if contract.periodic]


def _of_species(structure: Structure, species: Sequence[int]) -> Structure:
    """All points of the first species: energies of compositions differ by more than of shapes."""
    if structure.species is None:
        return structure
    return replace(structure, species=torch.full_like(structure.species, species[0]))


def _irreps(representation: object) -> list[tuple[str, slice]]:
    """All copies of an irrep together, or the whole Cartesian tensor."""
    found: dict[str, slice] = {}
    for block in representation.blocks:  # type: ignore[attr-defined]
        label = block.label.partition("[")[0]
        start = found[label].start if label in found else block.columns.start
        found[label] = slice(start, block.columns.stop)
    return list(found.items())


def rounding(
    subject: Subject,
    structures: Sequence[Structure],
    scales: Mapping[str, Float[Tensor, "dim"]],
    finest: int | float = 0.0,
    dtype: torch.dtype | None = None,
) -> Float[Tensor, "structures"]:
    """How much the last digit of the largest coordinate changes the answer to each structure.

    No less than the last digit of the answer itself.

    Args:
        subject: the model.
        structures: where.
        scales: that answers are measured in.
        finest: shortest displacement, relative to the extent; longer ones only where coordinates
            are so large that it would be their last digits.
        dtype: in which coordinates are rounded; that of the model if not given.
    """
    eps = torch.finfo(dtype or subject.dtype).eps
    own = torch.finfo(subject.dtype).eps
    here = subject(structures)
    worst = last_digits(here, scales, dtype or subject.dtype)
    generator = torch.Generator().manual_seed(0)
    for relative in DISPLACEMENTS:
        if relative < finest:
            continue
        for _ in range(DIRECTIONS):
            moved, slopes = [], []
            for structure in structures:
                away = torch.randn(
                    structure.positions.shape, dtype=torch.float64, generator=generator
                )
                step = max(relative * structure.extent, 64 * own * structure.largest)
                step = min(step, subject.setting.room / FARTHEST)
                moved.append(structure.at(structure.positions + step * away).rounded(subject.dtype))
                slopes.append(eps * structure.largest / step)
            change = subject(moved).minus(here).largest(scales)
            worst = torch.fmax(worst, change * torch.tensor(slopes, dtype=torch.float64))
    return worst


def inner_rounding(
    subject: Subject,
    structures: Sequence[Structure],
    scales: Mapping[str, Float[Tensor, "dim"]],
) -> Float[Tensor, "structures"]:
    """How much the answers to generic clouds with coordinates as large bend over a few last digits.

    Their median: a generic cloud lies by chance next to a jump, most do not. A lower precision
    inside is no excuse, as it shows no last digits at all.
    """

    def of_answers(places: Sequence[Sequence[Structure]]) -> Tensor:
        answers = [subject(moved) for moved in places]
        again = subject(places[0]).minus(answers[0]).largest(scales)
        if bool((again > EXACT[subject.dtype]).any()):  # chance is no rounding
            return torch.zeros_like(again)
        slopes = [b.minus(a) for a, b in pairwise(answers)]
        return torch.stack([b.minus(a).largest(scales) for a, b in pairwise(slopes)]).amax(0)

    return of_generic_clouds(subject, structures, "answers", of_answers)


def own_rounding(
    subject: Subject,
    structures: Sequence[Structure],
    scales: Mapping[str, Float[Tensor, "dim"]],
    errors: Float[Tensor, "structures"],
) -> Float[Tensor, "structures"]:
    """How much the answers bend over a few last digits at the structures themselves.

    Args:
        subject: the model.
        structures: where.
        scales: that answers are measured in.
        errors: to be explained; no more is measured where this cannot.
    """
    again = subject(structures).minus(subject(structures)).largest(scales)
    if not bool((again <= EXACT[subject.dtype]).all()):  # chance is no rounding
        return torch.zeros_like(errors)

    def bent(some: Sequence[Structure], stride: float) -> Tensor:
        answers = [subject(moved) for moved in leaving(subject, some, stride)]
        slopes = [b.minus(a) for a, b in pairwise(answers)]
        return torch.stack([b.minus(a).largest(scales) for a, b in pairwise(slopes)]).amax(0)

    found = torch.full_like(errors, torch.inf)
    left = list(range(len(structures)))
    for stride in STRIDES:
        some = [structures[i] for i in left]
        noise = bent(some, stride)
        if subject.contract.group:
            matrix = Turn(GENERIC_TURN).matrix()
            turned = [one.turned(matrix, subject.contract) for one in some]
            noise = torch.fmax(noise, bent([t.rounded(subject.dtype) for t in turned], stride))
        found[left] = torch.fmin(found[left], noise.nan_to_num(nan=0.0))
        left = [i for i in left if ROUNDINGS * float(found[i]) >= float(errors[i])]
        if not left:
            break
    return found


def leaving(
    subject: Subject, structures: Sequence[Structure], stride: float
) -> list[list[Structure]]:
    """Structures on a line that leaves each, at the first place, the second, and so on."""
    generator = torch.Generator().manual_seed(0)
    eps, lines = torch.finfo(subject.dtype).eps, []
    for one in structures:
        along = torch.randn(one.positions.shape, dtype=torch.float64, generator=generator)
        lines.append((one, stride * eps * max(one.largest, one.extent) * along))
    return [
        [one.at(one.positions + k * step).rounded(subject.dtype) for one, step in lines]
        for k in LEAVING
    ]


def of_generic_clouds(
    subject: Subject,
    structures: Sequence[Structure],
    name: str,
    measure: Callable[[Sequence[Sequence[Structure]]], Float[Tensor, "clouds"]],
) -> Float[Tensor, "structures"]:
    """The median of a measure over generic clouds that are as far away as each structure reaches.

    Args:
        subject: the model, which remembers what was measured.
        structures: whose largest coordinates count, to a power of ten.
        name: of the measure.
        measure: of each cloud, given all of them at each of a few places on short lines.
    """
    found = []
    for one in structures:
        powers = max(0, math.ceil(math.log10(max(one.largest / subject.setting.unit, 1.0)) - 0.5))
        if (name, powers) not in subject.remembered:
            places = on_short_lines(subject, powers)
            bent = measure(places).nan_to_num(nan=0.0) if places[0] else torch.zeros(1)
            subject.remembered[name, powers] = float(bent.median())
        found.append(subject.remembered[name, powers])
    return torch.tensor(found, dtype=torch.float64)


def on_short_lines(subject: Subject, powers: int) -> list[list[Structure]]:
    """Generic clouds at a distance, moved along a line each in steps of a few last digits.

    Those that the model answers, at the first place, the second, and so on.
    """
    clouds = [replace(one, offset=powers) for one in unrelated(subject.contract)[:INNER]]
    clouds = [c for c, good in zip(clouds, subject.answered(clouds), strict=True) if good]
    generator = torch.Generator().manual_seed(0)
    lines = []
    for one in subject.structures(clouds):
        along = torch.randn(one.positions.shape, dtype=torch.float64, generator=generator)
        lines.append((one, STRIDE * torch.finfo(subject.dtype).eps * one.largest * along))
    return [
        [one.at(one.positions + k * step).rounded(subject.dtype) for one, step in lines]
        for k in range(LINE)
    ]


def shaken(
    subject: Subject,
    structures: Sequence[Structure],
    scales: Mapping[str, Float[Tensor, "dim"]],
) -> Float[Tensor, "structures"]:
    """How much the answer changes as the last digits of the coordinates do.

    A model that claims no smoothness may jump at a tie, at two equal distances or a point at
    exactly the cutoff, and rounding decides which way: what it decides is no error.
    """
    ulp = torch.finfo(subject.dtype).eps
    here = subject(structures)
    worst = torch.zeros(len(structures), dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    for _ in range(SHAKEN):
        moved = []
        for one in structures:
            away = torch.randn(one.positions.shape, dtype=torch.float64, generator=generator)
            size = DIGITS * ulp * max(one.largest, one.extent)
            moved.append(one.at(one.positions + size * away).rounded(subject.dtype))
        worst = torch.fmax(worst, subject(moved).minus(here).largest(scales))
    return worst


def last_digits(
    answers: Answers, scales: Mapping[str, Float[Tensor, "dim"]], dtype: torch.dtype
) -> Float[Tensor, "structures"]:
    """The last digit of the largest answer to each structure, in units of the scales."""
    return torch.finfo(dtype).eps * answers.largest(scales)
