"""Is what a point contributes gone, with all derivatives, once it is beyond the cutoff?"""

from __future__ import annotations

import torch
from torch import Tensor

from equivariance_tests.checks.path_law import LENGTHS, Path, PathLaw, with_ends
from equivariance_tests.clouds import Cloud, Structure
from equivariance_tests.clouds.apart import closest, closest_pairs
from equivariance_tests.clouds.turns import GENERIC_ORIENTATION
from equivariance_tests.measure.trial import Trial
from symmetrize import Contract

# The part of the cutoff over which the point moves, inward and outward
INWARD, OUTWARD = 0.27, 0.19
# Points that are closer, in units of the cutoff, are in one place
APART = 1e-3
# How the point moves: straight out; out and aside
AXES = ((1.0, 0.0, 0.0), (0.8, 0.48, -0.36))
STRATA = ("last neighbor at the cutoff", "at the cutoff")


class CutoffCrossing(PathLaw):
    """No break as one point crosses the cutoff of another, neighbor lists made anew."""

    name = "cutoff crossing"
    law = "F, its gradient and Hessian are smooth as a point crosses the cutoff"
    part = 13

    def reason_to_skip(self, trial: Trial) -> str:
        """What has no cutoff has none to cross."""
        if trial.contract.cutoff is None:
            return "the contract has no cutoff"
        return super().reason_to_skip(trial)

    def cases(self, contract: Contract) -> list[Cloud]:
        """A point leaves a cloud, and the last neighbor leaves a point; each in several ways."""
        ways = range(len(AXES))
        return [Cloud(name, 4, way, GENERIC_ORIENTATION) for name in STRATA for way in ways]

    def highest(self, trial: Trial, cloud: Cloud) -> int:
        """Derivatives are scanned on one way out of two: the cutoff is the same on both."""
        out = cloud.stratum == "last neighbor at the cutoff"
        return super().highest(trial, cloud) if cloud.seed % len(AXES) != out else 0

    def path(self, trial: Trial, cloud: Cloud) -> Path | None:
        """The last point moves past the cutoff of the first; ``seed`` says in which direction."""
        structure = trial.setting.structure(cloud)
        if len(structure) < 2:
            return None
        out = structure.positions[-1] - structure.positions[0]
        if float(torch.pdist(structure.positions).min()) < APART * trial.setting.cutoff:
            return None  # kinks where points meet are not the cutoff's
        x = out / out.norm()
        y = torch.linalg.cross(x, torch.roll(x, 1))
        y = y / y.norm()
        frame = torch.stack([x, y, torch.linalg.cross(x, y)])
        velocity = torch.zeros_like(structure.positions)
        axis = torch.tensor(AXES[cloud.seed % len(AXES)], dtype=torch.float64)
        velocity[-1] = trial.setting.cutoff * axis @ frame
        least = trial.contract.min_distance
        if least is None:
            return Path(structure, velocity, -INWARD, OUTWARD)
        return _clear(structure, velocity, least)


def _clear(structure: Structure, velocity: Tensor, least: float) -> Path | None:
    """The path without the points that are in its way, or a shorter one, or none."""
    for part in LENGTHS:
        low, high = -part * INWARD, part * OUTWARD
        ends = with_ends(low, high)
        one, other, distance = closest_pairs(structure, velocity, *ends, least)
        last = len(structure) - 1
        near = torch.cat([one, other])[(distance <= least).repeat(2)]
        others = [k for k in range(1, last) if k not in near.tolist()]
        kept = torch.tensor([0, *others, last])
        few = structure.permuted(kept)
        if closest(few, velocity[kept], *ends, least) > least:
            return Path(few, velocity[kept], low, high)
    return None
