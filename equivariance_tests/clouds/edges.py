"""Edges that structures carry for a model whose outputs have a row for each of them.

They are listed once, from the points of a structure, and stay those of the same points as these are
turned, moved, or put in another order. So all that is compared is compared edge by edge; what
happens as an edge comes or goes is not seen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Edges:
    """Pairs of points, each in both directions.

    Attributes:
        within: how far the ends were apart at most, as they were listed; images are not counted.
            None for those of a user, who alone knows which there are.
        index: (2, edges) both ends, as ``edge_index`` has them.
    """

    within: float | None
    index: Int[Tensor, "2 edges"]

    @classmethod
    def of(cls, positions: Float[Tensor, "points 3"], within: float) -> Edges:
        """All pairs within a distance.

        >>> Edges.of(torch.eye(3), within=2.0).index.tolist()
        [[0, 0, 1, 1, 2, 2], [1, 2, 0, 2, 0, 1]]
        """
        apart = (positions[:, None] - positions).norm(dim=-1)
        near = (apart <= within) & ~torch.eye(len(positions), dtype=torch.bool)
        return cls(within, near.nonzero().T.contiguous())

    def permuted(self, order: Int[Tensor, "points"], positions: Float[Tensor, "points 3"]) -> Edges:
        """Those of the points in another order, listed as before; anew if points come or go.

        Args:
            order: point k is the one that was point ``order[k]``.
            positions: in that order.

        Raises:
            ValueError: if points come or go, and the edges are those of a user.
        """
        places = torch.arange(len(positions))
        if not torch.equal(order.sort().values, places) or len(order) <= int(self._last):
            return self._anew(positions)
        moved = torch.empty_like(order)
        moved[order] = places
        return replace(self, index=moved[self.index])

    def joined(
        self, other: Edges | None, number: int, positions: Float[Tensor, "points 3"]
    ) -> Edges:
        """Those of two structures in one: listed anew, or of a user those of each.

        Args:
            other: of the structure that comes after this one.
            number: of the points of this one.
            positions: of both.
        """
        if self.within is not None:
            return Edges.of(positions, self.within)
        both = [self.index] if other is None else [self.index, other.index + number]
        return replace(self, index=torch.cat(both, 1))

    def _anew(self, positions: Float[Tensor, "points 3"]) -> Edges:
        if self.within is None:
            raise ValueError(
                "the structure has an `edge_index` of its own, and points come or go, so that "
                "nobody knows the edges of the others: give data without it, and let `prepare` add "
                "it"
            )
        return Edges.of(positions, self.within)

    @property
    def _last(self) -> int:
        return int(self.index.max()) if self.index.numel() else -1
