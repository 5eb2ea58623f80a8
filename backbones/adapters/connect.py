"""Edges found once, before copies are made: ``Symmetrizer(net, prepare=connect(radius=5.0))``.

Row 0 of ``edge_index`` is the neighbor j that sends, row 1 the center i that receives. In periodic
structures ``edge_shift`` (integers) says which image of j it is, and the edge leads from i over
``pos[j] + edge_shift @ cell - pos[i]``.
"""

import copy
from collections.abc import Callable

import torch
from torch_geometric.data import Data

from backbones.edges import periods_of
from backbones.graphs import knn_graph, radius_graph
from backbones.graphs.ties import noise_of
from backbones.structures import structures_of
from symmetrize import neighbor_list


def connect(
    radius: int | float | None = None,
    k: int | None = None,
    loop: bool = False,
    max_num_neighbors: int | None = None,
) -> Callable[[Data], Data]:
    """What adds ``edge_index``, and ``edge_shift`` of periodic structures, to data.

    Args:
        radius: connects points closer than this, in the unit of the positions.
        k: connects each point with its nearest ones instead; in finite structures only.
        loop: whether each point is connected with itself; in finite structures only.
        max_num_neighbors: with ``radius``, keep the nearest only; in finite structures only.

    Returns:
        a function from data to a shallow copy of it with edges; data that has ``edge_index`` is
        returned as it is. Edges carry no gradient, and which there are does not depend on how the
        cloud lies in space, ties included.

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

    def prepare(data: Data) -> Data:
        if data.edge_index is not None:
            return data
        prepared = copy.copy(data)
        batch, size = structures_of(data)
        pos = data.pos.detach()
        cell, pbc = periods_of(data, size)
        if pbc is not None and bool(pbc.any()):
            if radius is None or loop or max_num_neighbors is not None:
                raise ValueError(
                    "`k`, `loop` and `max_num_neighbors` are for finite structures but the data "
                    "is periodic: connect(radius=...) finds all images"
                )
            found = neighbor_list(pos, float(radius), batch, cell, pbc)
            distance = found.vectors.detach().norm(dim=1)
            inside = distance < radius - noise_of(pos, batch, size, radius)[batch[found.center]]
            prepared.edge_index = torch.stack([found.neighbor[inside], found.center[inside]])
            prepared.edge_shift = found.shift[inside]
        elif radius is not None:
            prepared.edge_index = radius_graph(pos, radius, batch, loop, max_num_neighbors)
        else:
            assert k is not None
            prepared.edge_index = knn_graph(pos, k, batch, loop)
        return prepared

    return prepare
