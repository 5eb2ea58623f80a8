"""How much the derivative of an average over frames is that of the frames, and not of the network.

With frames R_p and weights w_p that belong to a cloud x,

    grad F(x) = sum_p w_p grad f(x R_p), R_p held  +  what their own derivatives add,

and what is added is of the order of the spread of f over rotations times how fast frames and
weights change. Next to a symmetric cloud, where many of them tie, that may be a million times as
fast as anything in the network: F is smooth, and no integrator and no relaxation can follow it.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from equivariance_tests.checks.derivative_law import DerivativeLaw
from equivariance_tests.clouds import Cloud, Structure
from equivariance_tests.clouds.cases import perfect_clouds, rattled_clouds
from equivariance_tests.clouds.cloud import Given
from equivariance_tests.clouds.rattled import PERFECT
from equivariance_tests.measure.gradients import gradient
from equivariance_tests.measure.measured import Measured, worst
from equivariance_tests.measure.trial import SEED, Trial
from equivariance_tests.model.slopes import Covector, scalars
from equivariance_tests.report.failures import Failure
from symmetrize import Contract, Ensemble, Frames, RandomFrames, Symmetrizer
from symmetrize.frames import Points, Vectors
from symmetrize.groups import Group

# What may be added, in spreads a unit of length. Weights that pass from one frame to another over a
# tenth of the distance of neighbors add about 10; directions of vectors of size s add 1 / s.
STEEPEST = 30.0
# Rotations that tell the spread of the network, and what of it is rounding, in units of its spread
# over unrelated clouds
ROTATIONS, ROUNDING = 32, 1e-9


class Steep(Failure):
    """Frames and weights change much faster than the network does."""

    kind = "steep frames"


class Steepness(DerivativeLaw):
    """Of a ``Symmetrizer`` of whole structures: its frames change slowly.

    Solids, clusters and crystals, perfect and rattled; elsewhere, as next to lines or to points in
    one place, what frames add may well be large over a short way.
    """

    name = "steepness"
    law = f"frames and weights add no more than {STEEPEST:g} spreads a unit of length to grad F"
    failure = Steep

    def reason_to_skip(self, trial: Trial) -> str:
        """Only a ``Symmetrizer`` has frames, and only those that follow the cloud add anything."""
        wrapper = trial.subject.net
        if not isinstance(wrapper, Symmetrizer) or wrapper.scope != "structure":
            return "only a Symmetrizer of whole structures has frames of them"
        if wrapper.frames.fixed:
            return "the frames are the same for all clouds"
        return super().reason_to_skip(trial)

    def cases(self, contract: Contract) -> list[Cloud]:
        """Symmetric clouds, perfect and rattled."""
        return perfect_clouds(contract) + rattled_clouds(contract)

    def as_asked(self, trial: Trial) -> Trial:
        """In double precision."""
        return trial.at(torch.float64)

    def unfit(self, trial: Trial, cloud: Cloud) -> str:
        """What is not symmetric, or of another size: its unit of length would be another."""
        symmetric = cloud.stratum in PERFECT and not cloud.scale
        return "" if symmetric or isinstance(cloud, Given) else "it is not nearly symmetric"

    def measured(self, trial: Trial, structures: Sequence[Structure]) -> list[Measured]:
        """The largest that is added at any point to any output, each in its own spread."""
        found = []
        for name in trial.outputs or trial.lasting:
            covector = replace(trial, outputs=(name,)).covector()
            if any(bool(one.any()) for one in covector.values()):
                found.append(_of_output(trial, structures, name, covector))
        return [worst(several) for several in zip(*found, strict=True)]


def _of_output(
    trial: Trial, structures: Sequence[Structure], name: str, covector: Covector
) -> list[Measured]:
    """What is added to the gradient of one output."""
    sizes = [len(one) for one in structures]
    held = _with_frames(trial, Held(_wrapper(trial).frames))
    whole, part = (gradient(one, structures, covector) for one in (trial, held))
    added = [one.norm(dim=1).amax() for one in (whole - part).split(sizes)]
    spreads = spread_over_rotations(trial, structures, covector)
    return [
        _compared(trial.setting.unit * float(size), float(spread), name)
        for size, spread in zip(added, spreads, strict=True)
    ]


class Held(Frames):
    """Other frames, held as points move: without derivatives of their own."""

    def __init__(self, frames: Frames) -> None:
        self.frames, self.cutoff, self.auxiliary = frames, frames.cutoff, frames.auxiliary
        self.groups = frames.groups

    def scored(self, structures: Points) -> Points:
        """As the others do."""
        return self.frames.scored(structures)

    def of_structures(self, structures: Points, group: Group, degree: int) -> Ensemble:
        """Those of the same structures at rest."""
        at_rest = replace(structures, positions=structures.positions.detach())
        return self.frames.of_structures(at_rest, group, degree)

    def of_clouds(self, cloud: Vectors, group: Group, degree: int) -> Ensemble:
        """Those of the same vectors at rest."""
        return self.frames.of_clouds(replace(cloud, vectors=cloud.vectors.detach()), group, degree)


def spread_over_rotations(
    trial: Trial, structures: Sequence[Structure], covector: Covector
) -> Float[Tensor, "structures"]:
    """Standard deviation of what the network itself makes of turned copies, turned back."""
    found = [
        scalars(_with_frames(trial, RandomFrames(1, seed)).subject, structures, covector)
        for seed in range(SEED, SEED + ROTATIONS)
    ]
    return torch.stack(found).std(0)


def _wrapper(trial: Trial) -> Symmetrizer:
    wrapper = trial.subject.net
    assert isinstance(wrapper, Symmetrizer), "asked of nothing else"
    return wrapper


def _with_frames(trial: Trial, frames: Frames) -> Trial:
    """The same network with other frames."""
    other = copy.copy(_wrapper(trial))
    other.frames = frames
    return replace(trial, subject=replace(trial.subject, net=other))


def _compared(added: float, spread: float, name: str) -> Measured:
    if not spread > ROUNDING:
        return Measured(skipped="the network does not change as this cloud turns")
    said = (
        f"to the gradient of the output {name!r} frames and weights add {added / spread:.3g} times "
        f"the spread of the network over rotations for each unit of length, where no more than "
        f"{STEEPEST:g} is expected"
    )
    return Measured(added / spread, STEEPEST, said, details={"output": name, "spread": spread})
