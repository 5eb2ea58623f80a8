"""Random rotations, the same for every cloud: test-time augmentation."""

import math

import torch
from torch import Tensor

from symmetrize.frames.base import Frames
from symmetrize.frames.ensemble import Ensemble, assemble
from symmetrize.groups import GROUPS, UPRIGHT, Group, random_elements
from symmetrize.points.axis import Axis
from symmetrize.points.cloud import Vectors


class RandomFrames(Frames):
    """``number`` rotations drawn once from the uniform distribution on the group, equal weights.

    They depend on the seed alone: not on the cloud, the order of its points, the batch or the call.
    So the average is deterministic and as smooth as the network. It is not exact: the error is the
    spread of the network over rotations, divided by ``number ** 0.5``.

    All groups: SO(3), and O(3) where each rotation is inverted with probability 1/2 (the rotations
    are otherwise those of SO(3)); turns about an axis, and reflections across planes that hold it.
    Number of frames: ``number``.

    Args:
        number: of rotations, at least 1.
        seed: of their draw.
        cutoff: radius of the environment of a center, for scope "center".
    """

    is_exact = False
    fixed = True
    groups = GROUPS

    def __init__(self, number: int, seed: int = 0, cutoff: float | None = None) -> None:
        if number < 1:
            raise ValueError(f"`number` is {number} but must be at least 1")
        self.number = number
        self.seed = seed
        self.cutoff = cutoff

    def smoothness(self, degree: int) -> int | float:
        """All derivatives: the rotations do not depend on the cloud."""
        return math.inf

    def of_clouds(self, cloud: Vectors, group: Group, degree: int) -> Ensemble:
        """The rotations, once for each cloud; ``degree`` plays no role."""
        generator = torch.Generator().manual_seed(self.seed)
        size, device = cloud.size, cloud.vectors.device
        rotations = _elements(self.number, group, cloud.axis, generator)
        rotations = _at(rotations.to(device).repeat(size, 1, 1), cloud.axis, self.number)
        index = torch.arange(size, device=device).repeat_interleave(self.number)
        return assemble(rotations, rotations.new_ones(len(rotations)), index, size)


def random_ensemble(
    size: int,
    device: torch.device,
    group: Group,
    generator: torch.Generator | None,
    axis: Axis | None = None,
) -> Ensemble:
    """One element for each owner, uniform on the group and independent of the cloud."""
    at = generator.device if generator is not None else torch.device("cpu")
    rotations = _at(_elements(size, group, axis, generator, at).to(device), axis, 1)
    index = torch.arange(size, device=device)
    return assemble(rotations, rotations.new_ones(size), index, size)


def _elements(
    number: int,
    group: Group,
    axis: Axis | None,
    generator: torch.Generator | None,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Elements of the group about where the network sees the axis, if there is one."""
    seen = UPRIGHT if axis is None else axis.seen
    return random_elements(number, group, generator, device, seen)


def _at(rotations: Tensor, axis: Axis | None, each: int) -> Tensor:
    """Elements of the group, ``each`` for one owner, at the axes of the owners."""
    if axis is None:
        return rotations
    return axis.upright.repeat_interleave(each, 0) @ rotations
