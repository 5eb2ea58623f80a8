"""DGCNN: functions of edges, pooled over the neighbors of each point.

An edge function sees the features of the center and how those of the neighbor differ. Classic: the
neighbors are the nearest in the space of features, found anew in every layer, and the maximum over
them is taken. Smooth: they are all points within a cutoff, and a soft maximum is taken, to which
they contribute less and less toward the cutoff.

Source: Wang, Sun, Liu, Sarma, Bronstein and Solomon, ACM TOG 2019, arXiv 1801.07829.
"""

import functools
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import EdgeConv

from backbones.arguments import explained
from backbones.checkpoint import configured
from backbones.classic import Classifier, ClassReadout, layers, scaled
from backbones.edges import Edges
from backbones.graphs import knn_graph
from backbones.inputs import check_counts
from backbones.local import LocalNetwork
from backbones.structures import (
    centered,
    max_over,
    number_over,
    soft_mean_over,
    structures_of,
    sum_over,
)
from symmetrize import Outputs

SLOPE = 0.2  # of the leaky ReLU


@configured
@explained
class DGCNN(LocalNetwork):
    """Smooth DGCNN: edge functions within a cutoff and a soft maximum over them, C-infinity.

    Extensive, periodic where the structure is, and not equivariant. Points may coincide. The graph
    is not dynamic: neighbors in the space of features are neither local nor smooth.

    Arguments: see ``LocalNetwork``.

    >>> net = DGCNN({"energy": "0e"}, cutoff=4.0, width=8)
    >>> water = Data(pos=torch.eye(3), z=torch.tensor([8, 1, 1]))
    >>> net(water)["energy"].shape, net.contract.receptive_field
    (torch.Size([1, 1]), 8.0)
    """

    def __init__(
        self,
        outputs: Outputs,
        cutoff: int | float = 5.0,
        rounds: int = 2,
        width: int = 64,
        species: int | Sequence[int] = 100,
        features: Mapping[str, str] | None = None,
        length: int | float = 1.0,
        radial: int = 24,
    ) -> None:
        layer = functools.partial(SmoothEdgeFunction, width)
        super().__init__(outputs, layer, cutoff, rounds, width, species, features, length, radial)


class SmoothEdgeFunction(nn.Module):
    """Soft maximum over j of m(f_i, f_j - f_i, x_j - x_i), each feature by itself."""

    def __init__(self, width: int, columns: int) -> None:
        super().__init__()
        self.center = nn.Linear(width, width)
        self.difference = nn.Linear(width, width, bias=False)
        self.shape = nn.Linear(columns, width, bias=False)
        self.message = nn.Sequential(
            nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width)
        )

    def forward(
        self,
        points: Float[Tensor, "points features"],
        edges: Edges,
        shapes: Float[Tensor, "edges columns"],
    ) -> Float[Tensor, "points features"]:
        """What is added to the features."""
        # the linear map of a difference is the difference of linear maps, of fewer rows
        sent = self.difference(points)
        messages = self.message(
            (self.center(points) - sent)[edges.target] + sent[edges.source] + self.shape(shapes)
        )
        return soft_mean_over(messages, messages, edges.weights(), edges.target, len(points))


@configured
@explained
class ClassicDGCNN(Classifier):
    """DGCNN as published for classification: its output jumps as points move.

    Four edge convolutions of (64, 64, 128, 256) features over the nearest neighbors, in space and
    then in the features before; all of them together make 1024 features of each point, of which
    maximum and mean over the cloud go through layers of (512, 256). Clouds may have any number of
    points; that of an empty one is read from zeros.

    Args:
        neighbors: of each point, itself included.

    Further arguments: see ``Classifier``.

    >>> net = ClassicDGCNN("11x0e", width=0.125).eval()
    >>> net(Data(pos=torch.rand(100, 3))).shape
    torch.Size([1, 11])
    """

    def __init__(
        self,
        outputs: Outputs,
        neighbors: int = 20,
        width: int | float = 1.0,
        dropout: float = 0.5,
        species: int | Sequence[int] = 0,
        features: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(outputs, width, species, features, smoothness=None)
        check_counts(neighbors=neighbors)
        self.neighbors = neighbors
        widths = [3 + self.inputs.columns, *scaled(width, 64, 64, 128, 256)]
        self.convolutions = nn.ModuleList(
            EdgeConv(layers(2 * inner, outer, slope=SLOPE)) for inner, outer in pairwise(widths)
        )
        embedded, *read = scaled(width, 1024, 512, 256)
        self.embed = layers(sum(widths[1:]), embedded, slope=SLOPE)
        self.readout = ClassReadout(self.contract, [2 * embedded, *read], dropout, SLOPE)

    def forward(self, data: Data) -> Any:
        """The declared outputs: a tensor, or a dict of tensors."""
        batch, size = structures_of(data)
        place = centered(data.pos, batch, size)
        features = torch.cat([place, self.inputs(data)], 1)
        found = []
        for convolution in self.convolutions:
            edges = knn_graph(place, self.neighbors, batch, loop=True)
            place = features = convolution(features, edges)
            found.append(features)
        embedded = self.embed(torch.cat(found, 1))
        mean = sum_over(embedded, batch, size) / number_over(embedded, batch, size)
        return self.readout(torch.cat([max_over(embedded, batch, size), mean], 1))
