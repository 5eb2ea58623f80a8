"""Edges that structures carry for a model whose outputs have a row for each of them.

They are listed once, from the points of a structure, and stay those of the same points as these are
turned, moved, or put in another order. So all that is compared is compared edge by edge; what
happens as an edge comes or goes is not seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Edges:
    """Pairs of points, each in both directions.

    Attributes:
        within: how far the ends were apart at most, as they were listed; images are not counted.
        index: (2, edges) both ends, as ``edge_index`` has them.
    """

    within: float
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
        """
        places = torch.arange(len(positions))
        if not torch.equal(order.sort().values, places) or len(order) <= int(self._last):
            return Edges.of(positions, self.within)
        moved = torch.empty_like(order)
        moved[order] = places
        return Edges(self.within, moved[self.index])

    @property
    def _last(self) -> int:
        return int(self.index.max()) if self.index.numel() else -1
