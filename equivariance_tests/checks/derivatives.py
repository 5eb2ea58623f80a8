"""What the checks of first derivatives have in common: on which clouds, in which directions.

Outputs are weighed with a random covector, so that one backward pass gives the derivative of a
number; the covector is in units of the spreads, and so is that number.
"""

from __future__ import annotations

import copy
import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from equivariance_tests.checks.base import (
    COARSE,
    GENERIC_ORIENTATION,
    Check,
    Outcome,
    every_stratum,
)
from equivariance_tests.checks.determinism import PROBE, RANDOM, is_random
from equivariance_tests.checks.finiteness import slopes
from equivariance_tests.clouds import Cloud, Setting, Structure
from equivariance_tests.measure.yardstick import (
    DIRECTIONS,
    DISPLACEMENTS,
    FARTHEST,
    STRIDES,
    leaving,
    of_generic_clouds,
)
from equivariance_tests.model.subject import SEED, Subject
from equivariance_tests.report.failures import Failure
from symmetrize import Contract

# Symmetry says little about derivatives: large solids are left to other checks
MOST_POINTS = 10


@dataclass(frozen=True)
class Measured:
    """An error and what explains it, or why there is none.

    Attributes:
        error: in units of the spread.
        bound: what rounding and the numerical method explain.
        said: what is wrong if the error is larger.
        skipped: why nothing can be said, if so.
        details: further numbers by name.
        kind: of failure, if not the one of the law.
    """

    error: float = 0.0
    bound: float = 0.0
    said: str = ""
    skipped: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    kind: type[Failure] | None = None

    @property
    def excess(self) -> float:
        """How far the error is above its bound, as a factor."""
        if self.skipped:
            return -1.0
        return self.error / self.bound if self.error < math.inf else math.inf


class DerivativeLaw(Check):
    """A law of first derivatives, for outputs that depend differentiably on the positions.

    Subclasses measure it on structures with a finite answer and a finite gradient; where there is
    none is the matter of finiteness.

    Attributes:
        order: number of continuous derivatives that must be claimed.
    """

    failure: ClassVar[type[Failure]]
    order: ClassVar[int] = 1

    @abstractmethod
    def measured(self, subject: Subject, structures: Sequence[Structure]) -> list[Measured]:
        """How the law holds on each structure."""

    def silent(self, subject: Subject) -> str | None:
        """Only what claims derivatives, and has them."""
        smoothness = subject.contract.smoothness
        if smoothness is None:
            return "no continuity is claimed"
        if smoothness < self.order:
            return "no continuous derivative is claimed"
        if slopes(subject, subject.structures([PROBE]))[0] is None:
            return "no gradients: outputs do not depend differentiably on the positions"
        return RANDOM if is_random(subject) else None

    def unclaimed(self, subject: Subject, cloud: Cloud) -> str:
        """Why the contract does not claim the law on one cloud, or nothing."""
        return ""

    def outcomes(self, subject: Subject, clouds: Sequence[Cloud]) -> list[Outcome]:
        """How the law holds on each cloud, in their order."""
        reasons = self._reasons(subject, clouds)
        kept = [cloud for cloud, reason in reasons.items() if not reason]
        structures = subject.structures(kept)
        found = {}
        measured = self._confirmed(subject, structures) if kept else []
        for cloud, structure, one in zip(kept, structures, measured, strict=True):
            failure = None
            if not one.skipped and not one.error <= one.bound:
                one = self._named(subject, structure, one)
                code, details = structure.code(), dict(one.details)
                kind = one.kind or self.failure
                failure = kind(one.said, cloud, code, one.error, one.bound, details)
            found[cloud] = Outcome(cloud, one.error, one.bound, failure, one.skipped)
        return [found.get(c, Outcome(c, skipped=reasons[c])) for c in clouds]

    def _named(self, subject: Subject, structure: Structure, one: Measured) -> Measured:
        """The same, with the output that it is about, found by asking about each alone."""
        outputs = subject.contract.outputs
        if "output" in one.details or len(outputs) < 2:
            return one
        apart = {}
        for name in outputs:
            alone = copy.copy(subject)
            alone.weighed_outputs = (name,)
            try:
                (apart[name],) = self.measured(alone, [structure])
            except Exception:  # what is left does not depend on the positions
                continue
        if not apart:
            return one
        name = max(apart, key=lambda each: apart[each].excess)
        if apart[name].excess <= 1:  # wrong by little, and only together
            return one
        worst = apart[name]
        own = worst.error / float(subject.covector(subject.yardstick.scales)[name].norm())
        said = (
            f"the output {name!r} has a wrong derivative, off by {own:.2g} in its unit, or "
            f"{worst.error:.2g} in units of the spread: {one.said}"
        )
        details = {"output": name, "error in its unit": own, **one.details}
        return replace(one, said=said, details=details)

    def _confirmed(self, subject: Subject, structures: Sequence[Structure]) -> list[Measured]:
        """As measured, but errors of single precision only where there is one in double, too.

        Differences of numbers of seven digits cannot tell what is steep from what is wrong.
        """
        found = self.measured(subject, structures)
        if subject.dtype == torch.float64:
            return found
        wrong = [i for i, one in enumerate(found) if one.excess > 1]
        if not wrong:
            return found
        try:
            fine = self.measured(subject.at(torch.float64), [structures[i] for i in wrong])
        except Exception:  # a model of single precision alone
            return found
        for i, one in zip(wrong, fine, strict=True):
            if one.excess <= 1:
                found[i] = Measured(skipped="too steep for single precision")
        return found

    def _reasons(self, subject: Subject, clouds: Sequence[Cloud]) -> dict[Cloud, str]:
        """Why nothing can be said about each cloud, or nothing."""
        reasons = {cloud: self.unclaimed(subject, cloud) for cloud in clouds}
        kept = [cloud for cloud, reason in reasons.items() if not reason]
        for cloud, good in zip(kept, subject.answered(kept), strict=True):
            reasons[cloud] = "" if good else "the model has no answer"
        kept = [cloud for cloud in kept if not reasons[cloud]]
        found = slopes(subject, subject.structures(kept)) if kept else []
        for cloud, slope in zip(kept, found, strict=True):
            if slope is None:
                reasons[cloud] = "no gradients"
            elif isinstance(slope, Exception):
                reasons[cloud] = "the gradient raises"
            elif not bool(torch.isfinite(slope).all()):
                reasons[cloud] = "the gradient is not finite"
        return reasons


def small_clouds(contract: Contract) -> list[Cloud]:
    """A cloud of each stratum, without those of so many points that differences take long."""
    setting = Setting.of(contract)
    return [
        cloud
        for cloud in every_stratum(contract)
        if cloud.turn == GENERIC_ORIENTATION and len(setting.structure(cloud)) <= MOST_POINTS
    ]


def worst(several: Sequence[Measured]) -> Measured:
    """That which is the furthest above its bound; skipped only if all are."""
    return max(several, key=lambda one: one.excess)


def displacement(
    subject: Subject, structure: Structure, seed: int = 0
) -> Float[Tensor, "points 3"]:
    """A random displacement of all points, about as long as the cloud is large.

    Twice as short as what brings points closer than the contract says, where it has a distance.
    Numbers are small multiples of a power of two, to be printed and read.
    """
    single = len(structure) == 0 or bool((structure.positions == structure.positions[0]).all())
    length = subject.setting.unit if single else structure.extent
    rng = np.random.default_rng([SEED, seed])
    steps = torch.from_numpy(rng.integers(-4, 5, size=(len(structure), 3)) / 4.0)
    power = round(math.log2(length))
    if subject.setting.room < math.inf:
        power = min(power, math.floor(math.log2(subject.setting.room / 2)))
    return steps * 2.0**power


def gradient_rounding(
    subject: Subject, structures: Sequence[Structure], covector: Mapping[str, Tensor]
) -> list[Float[Tensor, "points"]]:
    """How much the last digit of the largest coordinate changes the gradient at each point.

    As ``yardstick.rounding`` for answers: from finite displacements, in single precision only from
    those that tell a slope from a jump.
    """
    if not structures:
        return []
    eps = torch.finfo(subject.dtype).eps
    finest = 0.0 if subject.dtype == torch.float64 else COARSE
    here = _gradient(subject, structures, covector)
    inner = of_generic_clouds(
        subject, structures, "gradients", lambda places: _bent(subject, places, covector)
    )
    sizes = torch.tensor([len(one) for one in structures])
    inner = torch.maximum(inner, _own(subject, structures, covector))
    largest = torch.maximum(eps * here.abs(), inner.repeat_interleave(sizes)[:, None])
    generator = torch.Generator().manual_seed(SEED)
    for relative in DISPLACEMENTS:
        if relative < finest:
            continue
        for _ in range(DIRECTIONS):
            moved, slopes = [], []
            for one in structures:
                away = torch.randn(one.positions.shape, dtype=torch.float64, generator=generator)
                step = max(relative * one.extent, 64 * eps * one.largest)
                step = min(step, subject.setting.room / FARTHEST)
                moved.append(one.at(one.positions + step * away).rounded(subject.dtype))
                slopes.append(torch.full((len(one), 1), eps * one.largest / step).double())
            change = (_gradient(subject, moved, covector) - here).abs() * torch.cat(slopes)
            largest = torch.fmax(largest, change)
    return list(largest.norm(dim=1).split([len(one) for one in structures]))


def _bent(
    subject: Subject, places: Sequence[Sequence[Structure]], covector: Mapping[str, Tensor]
) -> Float[Tensor, "clouds"]:
    """As ``yardstick.inner_rounding`` for answers."""
    gradients = torch.stack([_gradient(subject, moved, covector) for moved in places])
    sizes = [len(one) for one in places[0]]
    bends = gradients.diff(n=2, dim=0).abs().split(sizes, 1)
    return torch.stack([part.max() if part.numel() else part.sum() for part in bends])


def _own(
    subject: Subject, structures: Sequence[Structure], covector: Mapping[str, Tensor]
) -> Float[Tensor, "structures"]:
    """As ``yardstick.own_rounding`` for answers: the least that the gradient bends by nearby."""
    found = [_bent(subject, leaving(subject, structures, k), covector) for k in STRIDES]
    return torch.stack(found).nan_to_num(nan=0.0).amin(0)


def _gradient(
    subject: Subject, structures: Sequence[Structure], covector: Mapping[str, Tensor]
) -> Float[Tensor, "points 3"]:
    found = subject.gradients(structures, covector)
    assert found is not None, "asked only of models that have gradients"
    return found
