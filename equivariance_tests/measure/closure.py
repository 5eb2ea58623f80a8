"""The work of a field along curves, beside what a function rises by from end to end.

Function and integrand are expanded in Chebyshev polynomials on each panel of a curve, the integral
is that of the polynomial (Clenshaw and Curtis), and the last coefficients of both say how far they
are from the truth. Panels on which they are large are halved, and left out if that does not help: a
step of a tanh, narrower than the nodes are dense, is no fault, and the function sees it where the
gradient does not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from equivariance_tests.clouds import Structure
from equivariance_tests.measure.displacement import displacement
from equivariance_tests.measure.measured import Measured, worst
from equivariance_tests.measure.rounding import EXACT, ROUNDINGS
from equivariance_tests.measure.trial import Trial

# Values and gradients at some structures
Field = Callable[[Sequence[Structure]], tuple[Tensor, Sequence[Tensor]]]
# Paths from each structure, panels of each to begin with, and how often one is halved
BOTH, PANELS, HALVINGS = 2, 2, 2
NODES, TAIL = 13, 3
# How far a path leads, in units of the size of the cloud, and how far it bends aside
LENGTH, BEND = 0.25, 0.125
# Integrals are off by up to this many times the last coefficients
SAFETY = 10.0
# A panel whose work is known no better than this, in units of the spread, is not resolved
RESOLVED = 1e-3


def closed(
    trial: Trial, structures: Sequence[Structure], field: Field, said: str
) -> list[Measured]:
    """The worst panel of both paths from each structure.

    Args:
        trial: the model; for its precision.
        structures: where paths begin.
        field: values and gradients at some structures, in units of the spread.
        said: what is wrong, with the ``work`` done and what happens ``on`` the panel.
    """
    paths = [path for one in structures for path in _both_curves(trial, one)]
    edges = torch.linspace(0, 1, PANELS + 1).tolist()
    panels = [Panel(p, edges[k], edges[k + 1]) for p in range(len(paths)) for k in range(PANELS)]
    found: list[list[Measured]] = [[] for _ in structures]
    for _ in range(1 + HALVINGS):
        judged = _judged(trial, field, said, paths, panels) if panels else []
        unresolved = []
        for panel, one in zip(panels, judged, strict=True):
            if one.skipped:
                unresolved.append(panel)
            found[panel.path // BOTH].append(one)
        panels = [half for panel in unresolved for half in panel.halves()]
    return [worst(several) for several in found]


@dataclass(frozen=True)
class Curve:
    """x + t straight + sin(pi t) aside, for t from 0 to 1."""

    start: Structure
    straight: Float[Tensor, "points 3"]
    aside: Float[Tensor, "points 3"]

    def at(self, t: float) -> Structure:
        """The structure at one parameter."""
        moved = t * self.straight + math.sin(math.pi * t) * self.aside
        return self.start.at(self.start.positions + moved)

    def velocity(self, t: float) -> Float[Tensor, "points 3"]:
        """Its derivative with respect to the parameter."""
        return self.straight + math.pi * math.cos(math.pi * t) * self.aside


@dataclass(frozen=True)
class Panel:
    """A part of a path, by its number."""

    path: int
    low: float
    high: float

    def places(self) -> list[float]:
        """Parameters of the nodes, both ends among them."""
        half = (self.high - self.low) / 2
        return (self.low + half * (1 + _nodes())).tolist()

    def halves(self) -> tuple[Panel, Panel]:
        """Two panels half as long."""
        middle = (self.low + self.high) / 2
        return Panel(self.path, self.low, middle), Panel(self.path, middle, self.high)


def _both_curves(trial: Trial, structure: Structure) -> list[Curve]:
    straight = LENGTH * displacement(trial, structure, 0)
    aside = BEND * displacement(trial, structure, 1)
    return [Curve(structure, straight, 0 * aside), Curve(structure, straight, aside)]


def _judged(
    trial: Trial,
    field: Field,
    words: str,
    paths: Sequence[Curve],
    panels: Sequence[Panel],
) -> list[Measured]:
    """Whether the work closes on each panel, all in one call."""
    places = [(paths[panel.path], t) for panel in panels for t in panel.places()]
    structures = [path.at(t) for path, t in places]
    values, each = field(structures)
    values = values.reshape(len(panels), NODES)
    power = torch.stack(
        [(g * path.velocity(t)).sum() for g, (path, t) in zip(each, places, strict=True)]
    ).reshape(len(panels), NODES)
    # what the last digit of coordinates does to values, beside their own
    digits = torch.stack(
        [g.abs().sum() * one.largest for g, one in zip(each, structures, strict=True)]
    ).reshape(len(panels), NODES)
    half = torch.tensor([(panel.high - panel.low) / 2 for panel in panels], dtype=torch.float64)
    series, of_values = power @ _to_coefficients().T, values @ _to_coefficients().T
    work = half * (series @ _integrals())
    rise = values[:, -1] - values[:, 0]
    tails = of_values[:, -TAIL:].abs().amax(1) + half * series[:, -TAIL:].abs().amax(1)
    eps = torch.finfo(trial.dtype).eps
    noise = eps * (values.abs().amax(1) + digits.amax(1))
    bounds = SAFETY * tails + ROUNDINGS * noise + EXACT[trial.dtype]
    measured = []
    for panel, w, r, b in zip(panels, work.tolist(), rise.tolist(), bounds.tolist(), strict=True):
        if not b <= RESOLVED * max(1.0, abs(r)):
            measured.append(Measured(skipped="no panel of a path is resolved"))
            continue
        path = paths[panel.path]
        on = f"the function rises by {r:.6g}; known to {b:.1g}"
        told = words.format(work=w, on=on, rise=r, known=b)
        said = f"between t = {panel.low:g} and {panel.high:g} on a path {told}"
        details = {
            "path": "pos + t * straight + sin(pi t) * aside",
            "straight": path.straight.tolist(),
            "aside": path.aside.tolist(),
        }
        measured.append(Measured(abs(w - r), b, said, details=details))
    return measured


def _nodes() -> Float[Tensor, "nodes"]:
    """Chebyshev's extrema from -1 to 1, both ends among them."""
    return -torch.cos(torch.pi * torch.arange(NODES, dtype=torch.float64) / (NODES - 1))


def _to_coefficients() -> Float[Tensor, "nodes nodes"]:
    """From values at the nodes to Chebyshev coefficients."""
    k = torch.arange(NODES, dtype=torch.float64)
    return torch.linalg.inv(torch.cos(k * torch.arccos(_nodes())[:, None]))


def _integrals() -> Float[Tensor, "nodes"]:
    """Integrals of the Chebyshev polynomials over [-1, 1]."""
    k = torch.arange(NODES, dtype=torch.float64)
    return torch.where(k % 2 == 0, 2 / (1 - k.square()), 0.0)
