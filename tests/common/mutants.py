"""Frames that are known to be wrong, each in one way: what a test of smoothness must catch.

Every mutant turns exactly with its cloud, so that no test of equivariance at random clouds tells it
from the real thing. Those of ``HierarchicalFrames`` leave out one of its parts.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from symmetrize.arrays.segments import counts, offsets, segment_max
from symmetrize.arrays.vectors import transverse, unit_vectors
from symmetrize.frames import Ensemble, Frames, Group, Vectors, assemble, chirality, mirrored
from symmetrize.frames.hierarchical import choosing, environments, structures


class NearestFrames(Frames):
    """One frame: x along the nearest point, y along the next nearest. Jumps as two swap."""

    def __init__(self, cutoff: float | None = None) -> None:
        self.cutoff = cutoff

    def of_clouds(self, cloud: Vectors, group: Group, degree: int) -> Ensemble:
        """The frame of each cloud, which must have two points in general position."""
        # by owner, and by distance within each owner; a point on the origin has no direction
        distance = torch.where(cloud.lengths > 1e-9, cloud.lengths, torch.inf)
        order = torch.argsort(distance, stable=True)
        order = order[torch.argsort(cloud.index[order], stable=True)]
        first = offsets(counts(cloud.index, cloud.size))[:-1]
        x, _ = unit_vectors(cloud.vectors[order[first]])
        y, _ = unit_vectors(transverse(cloud.vectors[order[first + 1]], x))
        frames = torch.stack([x, y, torch.linalg.cross(x, y)], dim=-1)
        weights, owner = torch.ones_like(x[:, 0]), torch.arange(cloud.size)
        if group == "O(3)":
            hand = chirality(cloud, frames, owner)
            frames, weights, owner = mirrored(frames, weights, owner, hand)
        return assemble(frames, weights, owner, cloud.size)


@contextmanager
def without_turns_about_lines() -> Iterator[None]:
    """Any azimuth serves a collinear cloud: jumps as a molecule bends through straight."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choosing, "refined", lambda *given: given[:3])
        yield


@contextmanager
def without_isotropic_part() -> Iterator[None]:
    """The last neighbor sets the frame up to where it vanishes: jumps as it leaves."""
    with pytest.MonkeyPatch.context() as patch:
        # not none at all: where there is no frame there would be nothing left to average
        patch.setattr(choosing, "POINT_TO_CLOUD", (0.0, 1e-150))
        yield


@contextmanager
def with_the_best_axis_only() -> Iterator[None]:
    """The best point of an environment alone has a weight: jumps as another becomes the best."""

    def best(
        log_quality: Tensor, index: Tensor, size: int, window: tuple[float, float], order: float
    ) -> Tensor:
        top = segment_max(log_quality, index, size)
        return ((log_quality >= top[index]) & (log_quality > -torch.inf)).to(log_quality.dtype)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(environments, "select", best)
        yield


@contextmanager
def with_the_first_axis_only() -> Iterator[None]:
    """The first steady axis of a cloud alone has a weight: jumps as another is the first."""

    def all_or_nothing(x: Tensor, low: float, high: float) -> Tensor:
        return (x > (low + high) / 2).to(x.dtype)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(structures, "ramp", all_or_nothing)
        yield


@contextmanager
def with_a_linear_ramp() -> Iterator[None]:
    """Continuous where single points become clouds and lines end, with a kink: jumps in dF."""

    def linear(x: Tensor, low: float, high: float) -> Tensor:
        return ((x - low) / (high - low)).clamp(0.0, 1.0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choosing, "ramp", linear)
        patch.setattr(structures, "ramp", linear)
        yield
