"""What is wrong with forces or a stress, in words: a sign, a unit, a convention, some points.

The whole derivative is found from differences of the energy, one component at a time, and what the
model returns is compared with what is often returned in its place.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from equivariance_tests.clouds import Structure
from equivariance_tests.measure.trial import Trial
from equivariance_tests.model.energies import (
    FORCES,
    STRESS,
    energies,
    gradients_of,
    strained,
    volume,
)

# Steps of differences, in units of length or of strain, by powers of two
STEPS = (2.0**-8, 2.0**-10)
# What agrees to this part is the same: constants of units are often cut off after four digits
SAME = 1e-3
# Values in atomic units of 2018 (CODATA), by which energies, lengths and stresses are confused
HARTREE, BOHR, GPA = 27.211386246, 0.529177210903, 160.2176634
FACTORS: dict[str, float] = {
    "the wrong sign": -1.0,
    "half their size": 0.5,
    "twice their size": 2.0,
    "half their size and the wrong sign": -0.5,
    "twice their size and the wrong sign": -2.0,
    "eV in a Hartree": HARTREE,
    "Hartree in an eV": 1 / HARTREE,
    "Å in a bohr": BOHR,
    "bohr in an Å": 1 / BOHR,
    "eV/Å in a Hartree/bohr": HARTREE / BOHR,
    "Hartree/bohr in an eV/Å": BOHR / HARTREE,
    "eV in a Rydberg": HARTREE / 2,
    "Rydberg in an eV": 2 / HARTREE,
    "eV/Å in a Rydberg/bohr": HARTREE / BOHR / 2,
    "Rydberg/bohr in an eV/Å": 2 * BOHR / HARTREE,
    "kcal/mol in an eV": 23.0605478,
    "eV in a kcal/mol": 1 / 23.0605478,
    "kJ/mol in an eV": 96.4853321,
    "eV in a kJ/mol": 1 / 96.4853321,
    "kcal/mol in a Hartree": 627.509474,
    "Hartree in a kcal/mol": 1 / 627.509474,
    "kJ in a kcal": 4.184,
    "kcal in a kJ": 1 / 4.184,
    "meV in an eV, or one thousand": 1e3,
    "eV in a meV, or one thousandth": 1e-3,
    "Å in a nm, or ten": 10.0,
    "nm in an Å, or a tenth": 0.1,
}
PRESSURES: dict[str, float] = {
    "GPa in an eV/Å^3": GPA,
    "kbar in an eV/Å^3": 10 * GPA,
    "bar in an eV/Å^3": 1e4 * GPA,
    "eV/Å^3 in a GPa": 1 / GPA,
    "eV/Å^3 in a kbar": 0.1 / GPA,
    "eV/Å^3 in a bar": 1e-4 / GPA,
    "eV/Å^3 in a Hartree/bohr^3": HARTREE / BOHR**3,
    "Hartree/bohr^3 in an eV/Å^3": BOHR**3 / HARTREE,
    "GPa in a Hartree/bohr^3": GPA * HARTREE / BOHR**3,
    "Å^3 in a bohr^3": BOHR**3,
    "bohr^3 in an Å^3": BOHR**-3,
}
# Where the components of a symmetric tensor stand in ase's order
VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
COMPONENTS = ("xx", "yy", "zz", "yz", "xz", "xy")


@dataclass(frozen=True)
class Line:
    """Structures along a displacement of all points, or along a strain.

    Attributes:
        structure: at t = 0.
        name: of the output that says how the energy changes.
        along: displacement (n, 3), or strain (3, 3).
    """

    structure: Structure
    name: str
    along: Tensor

    def at(self, t: float) -> Structure:
        """The structure at one place."""
        if self.name == FORCES:
            return self.structure.at(self.structure.positions + t * self.along)
        return strained(self.structure, t * self.along)

    @property
    def length(self) -> float:
        """How far points, or lattice vectors, move per unit of t, about."""
        if self.name == FORCES or self.structure.cell is None:
            return self.structure.extent
        return max(self.structure.extent, float(self.structure.cell.norm(dim=1).max()))

    @property
    def weight(self) -> float:
        """By what an error of one in all components changes the slope, at most."""
        factor = 1.0
        if self.name == STRESS:
            factor = volume(self.structure) or 1.0
        return factor * float(self.along.abs().sum())

    @property
    def called(self) -> str:
        """What ``along`` is."""
        return "displacement" if self.name == FORCES else "strain"

    @property
    def said(self) -> str:
        """Where the energy changes, as the beginning of a sentence."""
        if self.name == FORCES:
            return "along a displacement of all points"
        return "along a symmetric strain of positions and cell"


def explained(trial: Trial, line: Line) -> tuple[str, dict[str, Any]]:
    """What is wrong in words, if that can be told, and what is returned where it should be what.

    In double precision if the model runs in it: differences have more digits there.
    """
    structure, name = line.structure, line.name
    try:
        fine = trial.at(torch.float64)
        ours, true = _returned(fine, structure, name), _expected(fine, structure, name)
    except Exception:  # a model of single precision alone
        ours, true = _returned(trial, structure, name), _expected(trial, structure, name)
    if not bool(torch.isfinite(ours).all() and torch.isfinite(true).all()):
        return "", {}
    words = next((said for said in _told(structure, name, ours, true) if said), "")
    details: dict[str, Any] = {"error in its unit": float((ours - true).abs().max())}
    if name != FORCES:
        returned = {f"{name} returned": ours.tolist(), f"{name} by differences": true.tolist()}
        return words, details | returned
    point = int((ours - true).norm(dim=1).argmax())
    return words, details | {
        "point": point,
        "force returned": ours[point].tolist(),
        "-dE/dx by differences": true[point].tolist(),
    }


def _returned(trial: Trial, structure: Structure, name: str) -> Tensor:
    (gradient,) = gradients_of(name, trial([structure]), [structure])
    return _as_output(gradient, structure, name)


def _as_output(gradient: Tensor, structure: Structure, name: str) -> Tensor:
    """From the derivative of the energy to what it is returned as."""
    if name == STRESS:
        return gradient / (volume(structure) or 1.0)
    return -gradient


def _expected(trial: Trial, structure: Structure, name: str) -> Tensor:
    """The whole derivative by central differences, extrapolated once."""
    lines, units = [], []
    if name == FORCES:
        for k in range(3 * len(structure)):
            away = torch.zeros(3 * len(structure), dtype=torch.float64)
            away[k] = trial.setting.unit
            lines.append(Line(structure, name, away.reshape(-1, 3)))
            units.append(trial.setting.unit)
    else:
        for row, column in VOIGT:
            strain = torch.zeros(3, 3, dtype=torch.float64)
            strain[row, column] = strain[column, row] = 1.0
            lines.append(Line(structure, name, strain))
            units.append(1.0 if row == column else 2.0)
    moved = [line.at(sign * t) for t in STEPS for sign in (1, -1) for line in lines]
    values = energies(trial(moved)).reshape(len(STEPS), 2, len(lines))
    slopes = (values[:, 0] - values[:, 1]) / (2 * torch.tensor(STEPS).double()[:, None])
    ratio = (STEPS[0] / STEPS[1]) ** 2
    found = (ratio * slopes[1] - slopes[0]) / (ratio - 1) / torch.tensor(units).double()
    if name == FORCES:
        return _as_output(found.reshape(-1, 3), structure, name)
    tensor = torch.zeros(3, 3, dtype=torch.float64)
    for (row, column), value in zip(VOIGT, found, strict=True):
        tensor[row, column] = tensor[column, row] = value
    return _as_output(tensor, structure, name)


def _told(structure: Structure, name: str, ours: Tensor, true: Tensor) -> Iterator[str]:
    """What may be said, the simplest first; empty where it does not fit."""
    yield _zero(name, ours)
    yield _times_a_factor(structure, name, ours, true)
    yield from _of_points(ours, true) if name == FORCES else _of_components(name, ours, true)


def _same(ours: Tensor, true: Tensor) -> bool:
    return bool((ours - true).norm() <= SAME * true.norm())


def _factor(ours: Tensor, true: Tensor) -> float | None:
    """The number that one is of the other; None if there is none."""
    square = float(true.square().sum())
    if square == 0:
        return None
    factor = float((ours * true).sum()) / square
    return factor if _same(ours, factor * true) and abs(factor) > 0 else None


def _zero(name: str, ours: Tensor) -> str:
    return "" if bool(ours.any()) else f"the {name} returned {_is(name)} zero"


def _is(name: str) -> str:
    return "are" if name == FORCES else "is"


def _times_a_factor(structure: Structure, name: str, ours: Tensor, true: Tensor) -> str:
    factor = _factor(ours, true)
    if factor is None or abs(factor - 1) <= SAME:
        return ""
    known = {**_of_structure(structure, name), **FACTORS}
    if name != FORCES:
        known |= PRESSURES
    for sign, also in ((1.0, ""), (-1.0, ", and the wrong sign")):
        for said, value in known.items():
            if abs(factor - sign * value) <= SAME * abs(value):
                return _named(name, factor, said, also)
    if _has_one_direction(structure, name, true):  # on a symmetric structure any number fits
        return ""
    return f"the {name} returned {_is(name)} {factor:.6g} times the derivative of the energy"


def _has_one_direction(structure: Structure, name: str, true: Tensor) -> bool:
    if name == FORCES:
        return len(structure) < 3
    return _same(true, true.trace() / 3 * torch.eye(3, dtype=torch.float64))


def _named(name: str, factor: float, said: str, also: str) -> str:
    what = f"the {name} returned {_is(name)} {factor:.6g} times the derivative of the energy"
    if said.startswith(("half", "twice", "the wrong")):
        own = "their" if name == FORCES else "its"
        if said == "the wrong sign":
            what += ": the wrong sign"
            if name == FORCES:
                return f"{what}, as of the gradient dE/dx"
            return f"{what}, as of {'a pressure' if name == STRESS else 'dE/de'}"
        return f"{what}: {said.replace('their', own)}{also}"
    return f"{what}: {said}{also}"


def _of_structure(structure: Structure, name: str) -> dict[str, float]:
    """Factors that depend on the structure."""
    found = {}
    size = volume(structure)
    if name == STRESS and size is not None:
        found["the negative of the volume, so that it is a virial"] = -size
        found["the volume, by which it was not divided"] = size
    elif size is not None:
        found["that of a stress, divided by the volume and of the other sign"] = -1 / size
    if len(structure) > 2:
        found["the number of points"] = float(len(structure))
        found["one by the number of points"] = 1 / len(structure)
    return found


def _of_points(ours: Tensor, true: Tensor) -> Iterator[str]:
    """What may be wrong with forces beside a factor."""
    apart = ours - true
    size = true.norm() + ours.norm()
    if len(ours) > 1 and bool((apart - apart.mean(0)).norm() <= SAME * apart.norm()):
        yield f"the same vector {_short(apart.mean(0))} is added to the force on every point"
    distances = torch.cdist(ours, true)
    order = distances.argmin(1)
    moved = order.tolist() != list(range(len(order))) and len(order.unique()) == len(order)
    if moved and bool(distances.amin(1).max() <= SAME * size):
        yield f"the forces stand in another order: row k is the force on point {order.tolist()}[k]"
    for axes in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            if _same(ours, true[:, list(axes)] * torch.tensor(signs).double()):
                names = [
                    ("-" if s < 0 else "") + "xyz"[a] for a, s in zip(axes, signs, strict=True)
                ]
                yield f"the components of forces stand as {', '.join(names)}"
    wrong = (apart.norm(dim=1) > SAME * size).nonzero()[:, 0].tolist()
    if 0 < len(wrong) < len(ours):
        yield f"the forces are right but for those on the points {wrong}"
    whole = float(apart.norm() / true.norm().clamp(min=1e-300))
    net = ours.sum(0)
    if bool(net.norm() > SAME * size):
        yield f"the forces do not add up to zero, but to {_short(net)}"
    yield f"the forces are off by {whole:.2g} of their size, as by a term that is missing"


def _of_components(name: str, ours: Tensor, true: Tensor) -> Iterator[str]:
    """What may be wrong with a symmetric tensor beside a factor."""
    here, there = _voigt((ours + ours.mT) / 2), _voigt(true)
    if bool((ours - ours.mT).norm() > SAME * ours.norm()):
        yield f"the {name} returned is not symmetric"
    for order in _orders():
        for off in (1.0, 2.0, 0.5):
            moved = there[list(order)] * torch.tensor([1.0] * 3 + [off] * 3).double()
            factor = _factor(here, moved)
            if factor is None:
                continue
            stand = ", ".join(COMPONENTS[k] for k in order)
            said = (
                []
                if order == tuple(range(6))
                else [
                    f"the components stand as {stand}, where ase's order is {', '.join(COMPONENTS)}"
                ]
            )
            said += [] if off == 1 else [f"those off the diagonal are {off:g} times what they were"]
            said += (
                [] if abs(factor - 1) <= SAME else [f"all are {factor:.6g} times what they were"]
            )
            yield f"of the {name}, {'; '.join(said)}"
    if bool(here[3:].norm() <= SAME * here.norm()):
        yield f"the {name} returned lacks what is off the diagonal"
    apart = here - there
    added = apart[:3].mean()
    if bool((apart[:3] - added).norm() <= SAME * apart.norm()) and _same(here[3:], there[3:]):
        yield f"{float(added):.4g} is added to the diagonal of the {name}"
    whole = float(apart.norm() / there.norm().clamp(min=1e-300))
    yield f"the {name} is off by {whole:.2g} of its size, as by a term that is missing"


def _orders() -> Iterator[tuple[int, ...]]:
    """Of components on the diagonal and off it, their own first."""
    for ends in itertools.permutations(range(3)):
        for others in itertools.permutations(range(3, 6)):
            yield (*ends, *others)


def _voigt(tensor: Float[Tensor, "3 3"]) -> Float[Tensor, "6"]:
    return torch.stack([tensor[row, column] for row, column in VOIGT])


def _short(vector: Sequence[float] | Tensor) -> str:
    least = SAME * max(abs(float(value)) for value in vector)
    shown = [float(value) if abs(float(value)) > least else 0.0 for value in vector]
    return "(" + ", ".join(f"{value:.4g}" for value in shown) + ")"
