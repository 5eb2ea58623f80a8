"""Random rotations, the same for every cloud: test-time augmentation."""

import math

import torch

from symmetrize.frames.base import Frames
from symmetrize.frames.ensemble import Ensemble, assemble
from symmetrize.groups import Group, random_elements
from symmetrize.points.cloud import Vectors


class RandomFrames(Frames):
    """``number`` rotations drawn once from the uniform distribution on the group, equal weights.

    They depend on the seed alone: not on the cloud, the order of its points, the batch or the call.
    So the average is deterministic and as smooth as the network. It is not exact: the error is the
    spread of the network over rotations, divided by ``number ** 0.5``.

    Group SO(3), and O(3) where each rotation is inverted with probability 1/2 (the rotations are
    otherwise those of SO(3)). Number of frames: ``number``.

    Args:
        number: of rotations, at least 1.
        seed: of their draw.
        cutoff: radius of the environment of a center, for scope "center".
    """

    is_exact = False
    fixed = True

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
        rotations = random_elements(self.number, group, generator).to(device).repeat(size, 1, 1)
        index = torch.arange(size, device=device).repeat_interleave(self.number)
        return assemble(rotations, rotations.new_ones(len(rotations)), index, size)


def random_ensemble(
    size: int, device: torch.device, group: Group, generator: torch.Generator | None
) -> Ensemble:
    """One rotation for each owner, uniform on the group and independent of the cloud."""
    at = generator.device if generator is not None else torch.device("cpu")
    rotations = random_elements(size, group, generator, at).to(device)
    index = torch.arange(size, device=device)
    return assemble(rotations, rotations.new_ones(size), index, size)
