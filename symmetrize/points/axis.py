"""The axis of each owner, where frames turn about one and leave it where a network wants it.

A network that was shown upright clouds must go on seeing them upright. So there are two directions:
the axis of a cloud, and where the network sees it. With one axis for all they are the same; with
one for each structure the network sees all of them along z.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from symmetrize.arrays.vectors import dot, transverse_basis
from symmetrize.groups import UPRIGHT, Direction, frame_along


@dataclass(frozen=True)
class Axis:
    """The axes of several owners.

    Attributes:
        directions: (size, 3) float64 unit vectors.
        seen: where the network sees each of them.
    """

    directions: Float[Tensor, "size 3"]
    seen: Direction = UPRIGHT

    @classmethod
    def of_all(cls, axis: Direction, size: int, device: torch.device) -> Axis:
        """The same axis for all, which is left where it is."""
        along = torch.tensor(axis, dtype=torch.float64, device=device)
        return cls(along.expand(size, 3), axis)

    def of(self, owners: Int[Tensor, "some"]) -> Axis:
        """The axes of some owners."""
        return replace(self, directions=self.directions[owners])

    def placed(self, frames: Float[Tensor, "frames 3 3"]) -> Float[Tensor, "frames 3 3"]:
        """Frames whose x axis is that of their owner, so that the network sees it at ``seen``."""
        return frames @ frame_along(self.seen).to(frames).T

    @property
    def upright(self) -> Float[Tensor, "size 3 3"]:
        """Rotations that take ``seen`` to each direction; the identity where that is the same."""
        return self.placed(self.frames)

    @property
    def frames(self) -> Float[Tensor, "size 3 3"]:
        """Any frames whose x axis is that of each owner; that of ``seen`` where it is the same."""
        own = frame_along(self.seen).to(self.directions)
        same = (self.directions == own[:, 0]).all(-1)[:, None]
        first, second = transverse_basis(self.directions)
        first, second = torch.where(same, own[:, 1], first), torch.where(same, own[:, 2], second)
        return torch.stack([self.directions, first, second], dim=-1)

    def along(self, vectors: Float[Tensor, "rows 3"], owner: Int[Tensor, "rows"]) -> Tensor:
        """The part of each vector along the axis of its owner."""
        axes = self.directions[owner]
        return dot(vectors, axes)[:, None] * axes
