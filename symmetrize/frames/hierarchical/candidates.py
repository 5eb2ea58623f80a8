"""Directions that turn with a cloud: candidates for the axes of its frames, and for azimuths.

A frame is built from two choices, an x axis and an azimuth about it. Environments of centers choose
by quality among the directions that they offer, their points; whole structures take the steadiest
ones that they have (``succession``).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from symmetrize.arrays.segments import equal_rows, segment_normalize, segment_sum
from symmetrize.arrays.vectors import unit_vectors


@dataclass(frozen=True)
class Candidates:
    """Directions with weights, each of one owner.

    Attributes:
        directions: (R, 3) unit vectors.
        weights: (R,), zero or more.
        index: (R,), owner of each: a cloud, or the row of an x axis for azimuths about it.
    """

    directions: Float[Tensor, "rows 3"]
    weights: Float[Tensor, "rows"]
    index: Int[Tensor, "rows"]

    @classmethod
    def normalized(
        cls,
        directions: Float[Tensor, "rows 3"],
        weights: Float[Tensor, "rows"],
        index: Int[Tensor, "rows"],
        size: int,
    ) -> "Candidates":
        """With weights divided by their sum over each of ``size`` owners."""
        return cls(directions, segment_normalize(weights, index, size), index)

    @classmethod
    def joined(cls, parts: "list[Candidates]") -> "Candidates":
        """Several sets of candidates of the same owners as one."""
        columns = zip(*((p.directions, p.weights, p.index) for p in parts), strict=True)
        return cls(*(torch.cat(column) for column in columns))

    def shared(self, part: Float[Tensor, "owners"]) -> "Candidates":
        """The same directions with weights multiplied by a number of each owner."""
        return Candidates(self.directions, self.weights * part[self.index], self.index)

    def present(self) -> "Candidates":
        """Those of positive weight."""
        kept = torch.nonzero(self.weights > 0)[:, 0]
        return Candidates(self.directions[kept], self.weights[kept], self.index[kept])

    def united(self) -> "Candidates":
        """Equal directions of one owner as one, with the sum of their weights.

        First derivatives survive this, second ones do not.
        """
        group, first = equal_rows(self.directions, self.index)
        if len(first) == len(group):
            return self
        total = segment_sum(self.weights, group, len(first))
        weighted = self.weights[:, None] * self.directions
        mean, _ = unit_vectors(segment_sum(weighted, group, len(first)))
        return Candidates(mean, total, self.index[first])
