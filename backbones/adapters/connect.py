"""Edges found once, before copies are made: ``Symmetrizer(net, prepare=connect(radius=5.0))``.

Row 0 of ``edge_index`` is the neighbor j that sends, row 1 the center i that receives. In periodic
structures ``edge_shift`` (integers) says which image of j it is, and the edge leads from i over
``pos[j] + edge_shift @ cell - pos[i]``.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.data import Data

from backbones.edges import attach_edges, is_periodic, pairs_within
from backbones.graphs import knn_graph, radius_graph
from backbones.graphs.ties import noise_of
from backbones.structures import structures_of


def connect(
    radius: int | float | None = None,
    k: int | None = None,
    loop: bool = False,
    max_num_neighbors: int | None = None,
) -> "Connect":
    """What adds ``edge_index``, and ``edge_shift`` of periodic structures, to data.

    Args:
        radius: connects points closer than this, in the unit of the positions.
        k: connects each point with its nearest ones instead; in finite structures only.
        loop: whether each point is connected with itself; in finite structures only.
        max_num_neighbors: with ``radius``, keep the nearest only; in finite structures only.

    Returns:
        a function from data to a shallow copy of it with edges; data that has any is returned as it
        is (see ``attach_edges``). Edges carry no gradient, and which there are does not depend on
        how the cloud lies in space, ties included.

    Raises:
        ValueError: if not exactly one of ``radius`` and ``k`` is given.

    >>> line = Data(pos=torch.tensor([[0.0, 0, 0], [1, 0, 0], [3, 0, 0]]))
    >>> connect(radius=1.5)(line).edge_index.tolist()
    [[1, 0], [0, 1]]
    """
    if (radius is None) == (k is None):
        raise ValueError(
            f"`radius` is {radius} and `k` is {k} but exactly one of them must be given: "
            "connect(radius=5.0) or connect(k=16)"
        )
    return Connect(radius, k, loop, max_num_neighbors)


@dataclass(frozen=True)
class Connect:
    """What ``connect`` returns: a callable from data to data with edges."""

    radius: int | float | None
    k: int | None
    loop: bool
    max_num_neighbors: int | None

    def __call__(self, data: Data) -> Data:
        """A shallow copy with edges; the data itself if it has any."""
        return attach_edges(data, lambda: self._found(data), "any")

    def _found(self, data: Data) -> dict[str, Tensor]:
        (batch, size), pos = structures_of(data), data.pos.detach()
        if is_periodic(data):
            if self.radius is None or self.loop or self.max_num_neighbors is not None:
                raise ValueError(
                    "`k`, `loop` and `max_num_neighbors` are for finite structures but the data "
                    "is periodic: connect(radius=...) finds all images"
                )
            pairs = pairs_within(data, float(self.radius))
            noise = noise_of(pos, batch, size, self.radius)[batch[pairs.center]]
            inside = pairs.vectors.norm(dim=1) < self.radius - noise
            edge_index = torch.stack([pairs.neighbor[inside], pairs.center[inside]])
            return {"edge_index": edge_index, "edge_shift": pairs.shift[inside]}
        if self.radius is not None:
            edge_index = radius_graph(pos, self.radius, batch, self.loop, self.max_num_neighbors)
        else:
            assert self.k is not None
            edge_index = knn_graph(pos, self.k, batch, self.loop)
        if data.get("cell") is None:
            return {"edge_index": edge_index}
        # to be collated with periodic structures
        return {
            "edge_index": edge_index,
            "edge_shift": edge_index.new_zeros(edge_index.size(1), 3),
        }
