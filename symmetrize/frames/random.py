"""Random rotations, the same for every cloud: test-time augmentation.

Source of the uniform distribution: normalized Gaussian quaternions (Shoemake, Graphics Gems III,
1992, in the form of Marsaglia).
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from symmetrize.frames.base import Frames
from symmetrize.frames.ensemble import Ensemble, Group, assemble
from symmetrize.points.cloud import Cloud


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

    def of_clouds(self, cloud: Cloud, group: Group, degree: int) -> Ensemble:
        """The rotations, once for each cloud; ``degree`` plays no role."""
        generator = torch.Generator().manual_seed(self.seed)
        rotations = random_rotations(self.number, generator)
        if group == "O(3)":
            parity = torch.randint(2, (self.number,), generator=generator)
            rotations = rotations * (1.0 - 2.0 * parity)[:, None, None]
        size, device = cloud.size, cloud.vectors.device
        rotations = rotations.to(device).repeat(size, 1, 1)
        index = torch.arange(size, device=device).repeat_interleave(self.number)
        return assemble(rotations, rotations.new_ones(len(rotations)), index, size)


def random_rotations(
    number: int, generator: torch.Generator | None, device: torch.device | str = "cpu"
) -> Float[Tensor, "number 3 3"]:
    """(number, 3, 3) float64 rotations, uniform on SO(3)."""
    quaternions = torch.randn(number, 4, dtype=torch.float64, generator=generator, device=device)
    w, x, y, z = torch.nn.functional.normalize(quaternions, dim=-1).unbind(-1)
    entries = [
        *(1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        *(2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        *(2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    ]
    return torch.stack(entries, -1).reshape(number, 3, 3)


def random_ensemble(
    size: int, device: torch.device, group: Group, generator: torch.Generator | None
) -> Ensemble:
    """One rotation for each owner, uniform on the group and independent of the cloud."""
    at = generator.device if generator is not None else torch.device("cpu")
    rotations = random_rotations(size, generator, at).to(device)
    if group == "O(3)":
        parity = torch.randint(2, (size,), generator=generator, device=at).to(device)
        rotations = rotations * (1.0 - 2.0 * parity)[:, None, None]
    index = torch.arange(size, device=device)
    return assemble(rotations, rotations.new_ones(size), index, size)
