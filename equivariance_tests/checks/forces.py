"""Forces and stress are the derivatives of the energy: against differences of the energy itself.

Slopes of the energy along a displacement of all points, and along a symmetric strain of positions
and cell, are extrapolated from differences (see ``gradients``), and compared with

    - forces . displacement,    V stress : strain,    - virial : strain.

No gradient is asked of the model. How many digits its energy has is measured, on steps so short
that functions are polynomials: a calculator may iterate to a few digits. What computes in single
precision inside is told by its numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from equivariance_tests.checks.energy_law import EnergyLaw
from equivariance_tests.clouds import Cloud, Structure
from equivariance_tests.clouds.turns import GENERIC_ORIENTATION
from equivariance_tests.measure.differences import (
    RESOLVED,
    SAFETY,
    SEEDS,
    UNBROKEN,
    Differences,
    shrinking_steps,
)
from equivariance_tests.measure.displacement import displacement
from equivariance_tests.measure.measured import Measured, worst
from equivariance_tests.measure.rounding import EXACT, ROUNDINGS
from equivariance_tests.measure.trial import SEED, Trial
from equivariance_tests.measure.wrong_derivatives import Line, explained
from equivariance_tests.model.answers import Answers
from equivariance_tests.model.energies import (
    ENERGY,
    FORCES,
    derivatives_in,
    energies,
    gradients_of,
    volume,
)
from equivariance_tests.report.failures import Failure
from symmetrize import Contract

# Places for the digits of the energy, in steps of this part of the displacement, or of last digits
PLACES, CLOSE, LAST = 8, 2.0**-13, 64.0
# Fifth differences of numbers with an error of one have an error of the root of 252
DIFFERENCE, OF_ERROR = 5, 252.0**0.5
# How many failures of one call are explained in words, which takes a few hundred energies for each
EXPLAINED = 4
# Where a contract claims less than one derivative
GENERIC = {True: (*UNBROKEN, "crystal"), False: UNBROKEN}


class WrongForces(Failure):
    """Forces are not minus the derivative of the energy by the positions."""

    kind = "wrong forces"


class WrongStress(Failure):
    """A stress or a virial is not the derivative of the energy by strain."""

    kind = "wrong stress"


class ForcesAndStress(EnergyLaw):
    """Slopes of the energy, and what forces, stress and virial say that they are.

    On every stratum where the contract claims a derivative. Where it claims kinks, or no
    continuity, on generic clouds only: where a jump is near, or a kink, differences do not
    converge, and nothing is said.
    """

    name = "forces and stress"
    law = (
        "forces = -dE/dx, stress = dE/de / V, virial = -dE/de for an energy E that is returned too"
    )
    failure = WrongForces

    def cases(self, contract: Contract) -> list[Cloud]:
        """All strata, or the generic ones only; and clouds of several species."""
        strange = Cloud("generic", 6, 6, GENERIC_ORIENTATION, decorated=True)
        if not _has_derivative(contract):
            names = GENERIC[contract.periodic]
            found = [Cloud(s, 5, seed, GENERIC_ORIENTATION) for s in names for seed in SEEDS]
            return [*found, strange]
        return [*super().cases(contract), strange]

    def unfit(self, trial: Trial, cloud: Cloud) -> str:
        """A network with kinks may have one on any special stratum."""
        if _has_derivative(trial.contract) or cloud.stratum in GENERIC[True]:
            return ""
        return "a kink may lie on this stratum"

    def measured(self, trial: Trial, structures: Sequence[Structure]) -> list[Measured]:
        """The worst line through each structure."""
        names = derivatives_in(trial.contract)
        owner, lines = [], []
        for i, one in enumerate(structures):
            for name in names:
                line = _line(trial, one, name)
                if line is not None:
                    owner.append(i)
                    lines.append(line)
        found: list[list[Measured]] = [[] for _ in structures]
        if lines:
            for i, judged in zip(owner, _judged(trial, lines), strict=True):
                found[i].append(judged)
        return [
            worst(some) if some else Measured(skipped="no points, or no volume") for some in found
        ]


def _line(trial: Trial, structure: Structure, name: str) -> Line | None:
    """Along which one of the derivatives is looked at; None if there is none at this structure."""
    if len(structure) == 0:
        return None
    if name == FORCES:
        return Line(structure, name, displacement(trial, structure))
    if name == "stress" and volume(structure) is None:
        return None
    rng = np.random.default_rng([SEED, 2])
    # of six numbers, none of them zero and no two alike
    numbers = rng.permutation([1, 2, 3, -4, -5, 6]) / 8
    strain = torch.zeros(3, 3, dtype=torch.float64)
    row, column = torch.triu_indices(3, 3)
    strain[row, column] = strain[column, row] = torch.from_numpy(numbers)
    return Line(structure, name, strain)


class OnLines(NamedTuple):
    """Energies and rates on some lines, in units of the spread of the energy.

    Attributes:
        differences: of the energy.
        rates: the slope in the middle of each line, as the model has it.
        digits: of each rate, what may be rounding.
    """

    differences: Differences
    rates: Float[Tensor, "lines"]
    digits: Float[Tensor, "lines"]


def _judged(trial: Trial, lines: Sequence[Line]) -> list[Measured]:
    """How each line agrees, all in one call; what is wrong in words for a few of the smallest."""
    found = _on_lines(trial, lines)
    slope, known = found.differences.slope()
    bounds = SAFETY * known + EXACT[trial.dtype] + ROUNDINGS * found.digits
    if not _has_derivative(trial.contract):
        bounds = bounds + found.differences.kink()
    errors = (found.rates - slope).abs()
    resolved = bounds <= RESOLVED * slope.abs().clamp(min=1.0)
    wrong = (resolved & ~(errors <= bounds)).nonzero()[:, 0].tolist()
    told = sorted(wrong, key=lambda i: len(lines[i].structure))[:EXPLAINED]
    scale = float(trial.scales[ENERGY][0])
    measured = []
    for i, line in enumerate(lines):
        error, bound = float(errors[i]), float(bounds[i])
        if i not in wrong:
            skipped = "" if resolved[i] else "differences do not converge"
            measured.append(Measured(error, bound, skipped=skipped))
            continue
        ours, true = scale * float(found.rates[i]), scale * float(slope[i])
        said = (
            f"{line.said} the {line.name} {'say' if line.name == FORCES else 'says'} that the "
            f"energy rises by {ours:.6g} per unit of it, and differences of the energy {true:.6g}: "
            f"off by {ours - true:.2g} (in units of the energy; {error:.2g} of its spread), where "
            f"they are known to {scale * bound:.1g}"
        )
        details = {
            "output": line.name,
            # of the largest component it is at least this
            "error in its unit": abs(ours - true) / line.weight,
            line.called: line.along.tolist(),
        }
        if i in told:
            why, more = explained(trial, line)
            said = f"{why}: {said}" if why else said
            details |= more
        kind = WrongForces if line.name == FORCES else WrongStress
        measured.append(Measured(error, bound, said, "", details, kind))
    return measured


def _on_lines(trial: Trial, lines: Sequence[Line]) -> OnLines:
    """Energies at shrinking steps in either direction, and at some very short ones."""
    number, scale = len(lines), float(trial.scales[ENERGY][0])
    eps = torch.finfo(trial.dtype).eps
    steps = shrinking_steps()
    both = 2 * len(steps)
    largest = torch.tensor([line.structure.largest for line in lines], dtype=torch.float64)
    length = torch.tensor([line.length for line in lines], dtype=torch.float64)
    close = torch.clamp(LAST * eps * largest / length, min=CLOSE)
    far = torch.cat([steps, -steps])[:, None].expand(-1, number)
    places = torch.cat([far, torch.arange(PLACES)[:, None] * close])
    moved = [line.at(t) for row in places.tolist() for line, t in zip(lines, row, strict=True)]
    answers = trial(moved)
    values = (energies(answers) / scale).reshape(-1, number)
    rates = (_rates(answers, moved, lines) / scale).reshape(-1, number)
    near, rates_near = values[both:], rates[both:]
    here = rates_near[0]
    # what the last digit of coordinates does, beside the noise that is seen
    digits = eps * here.abs() * largest / length + _noise(near)
    digits = digits + _eps(answers.values[ENERGY], eps) * values.abs().amax(0)
    bends = ((rates[:both] - here) / far).abs().amax(0)
    sums = (_rates(answers, moved, lines, absolute=True) / scale).reshape(-1, number)[both]
    single = max(_eps(answers.values[line.name], eps) for line in lines)
    noise = single * sums + eps * bends * largest / length + _noise(rates_near)
    ahead, behind = values[: len(steps)], values[len(steps) : both]
    return OnLines(Differences(near[0], ahead, behind, steps[:, None], digits), here, noise)


def _eps(values: Tensor, eps: float) -> float:
    """The last digit of some numbers, which may all be of single precision."""
    coarse = torch.finfo(torch.float32).eps
    return max(eps, coarse) if torch.equal(values.float().double(), values) else eps


def _noise(values: Float[Tensor, "places lines"]) -> Float[Tensor, "lines"]:
    """How far values at equal, short steps are from a polynomial."""
    return values.diff(n=DIFFERENCE, dim=0).abs().amax(0) / OF_ERROR


def _rates(
    answers: Answers, moved: Sequence[Structure], lines: Sequence[Line], absolute: bool = False
) -> Float[Tensor, "structures"]:
    """The slope of the energy at each structure along its line, as the model has it.

    Or the sum of its terms without their signs.
    """
    found = torch.zeros(len(moved), dtype=torch.float64)
    for name in {line.name for line in lines}:
        gradients = gradients_of(name, answers, moved)
        for i, gradient in enumerate(gradients):
            line = lines[i % len(lines)]
            if line.name == name:
                terms = gradient * line.along
                found[i] = (terms.abs() if absolute else terms).sum()
    return found


def _has_derivative(contract: Contract) -> bool:
    return contract.smoothness is not None and contract.smoothness >= 1
