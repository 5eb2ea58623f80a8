"""Taking the first candidates that are steady, and the next as far as those are not.

Where a source of directions is to be trusted fully, nothing after it counts, and nothing after it
is computed: most structures have one axis, and one azimuth about it. Where its trust fades, with
all derivatives, the next source takes over what it leaves.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from symmetrize.frames.hierarchical.candidates import Candidates


class Succession:
    """Candidates from one source after the other.

    Args:
        left: (owners,) weight of each that is still to be given away.
    """

    def __init__(self, left: Float[Tensor, "owners"]) -> None:
        self.left = left
        self._taken: list[Candidates] = []

    def take(
        self,
        directions: Float[Tensor, "owners choices 3"],
        shares: Float[Tensor, "owners choices"],
        trust: Float[Tensor, "owners"],
    ) -> None:
        """Give the directions of each owner, whose shares sum to one, a part of what is left."""
        owners, choices = shares.shape
        row = torch.arange(owners, device=shares.device).repeat_interleave(choices)
        weights = shares * (self.left * trust)[:, None]
        self._taken.append(Candidates(directions.flatten(0, 1), weights.flatten(), row))
        self.left = self.left * (1 - trust)

    def give(
        self,
        candidates: Candidates,
        part: Float[Tensor, "some"],
        owners: Int[Tensor, "some"],
    ) -> None:
        """Give some owners candidates, whose weights sum to the given part of what is left."""
        found = candidates.shared(self.left[owners])
        self._taken.append(Candidates(found.directions, found.weights, owners[found.index]))
        self.left = self.left.index_put((owners,), self.left[owners] * (1 - part))

    def waiting(self) -> Tensor:
        """The owners that something is left of."""
        return torch.nonzero(self.left > 0)[:, 0]

    def taken(self) -> Candidates:
        """All candidates of positive weight."""
        return Candidates.joined(self._taken).present()
