"""Point Transformer: attention among neighbors, with a weight for each feature.

The weight of a neighbor is a function of how queries and keys differ and of where it lies. Classic:
neighbors are the nearest, and points are sampled between the layers, farthest first. Smooth: they
are all points within a cutoff, at which their weights vanish before all are made to sum to one; the
point itself, always among them, keeps that sum from zero.

Source: Zhao, Jiang, Jia, Torr and Koltun, ICCV 2021, arXiv 2012.09164.
"""

import functools
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import MLP, PointTransformerConv

from backbones.arguments import explained
from backbones.checkpoint import configured
from backbones.classic import Classifier, ClassReadout, layers, scaled
from backbones.edges import Edges
from backbones.graphs import fps, knn, knn_graph
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

RATIO = 0.25  # of points that each transition down keeps


@configured
@explained
class PointTransformer(LocalNetwork):
    """Smooth Point Transformer: vector attention within a cutoff, C-infinity.

    Extensive, periodic where the structure is, and not equivariant. Points may coincide.

    Arguments: see ``LocalNetwork``.

    >>> net = PointTransformer({"energy": "0e"}, cutoff=4.0, width=8)
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
        layer = functools.partial(SmoothAttention, width)
        super().__init__(outputs, layer, cutoff, rounds, width, species, features, length, radial)


class SmoothAttention(nn.Module):
    """sum_j a_ij (v_j + d_ij) with a_ij ~ w(r_ij) exp(g(q_i - k_j + d_ij)), sum_j a_ij = 1."""

    def __init__(self, width: int, columns: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.place = nn.Sequential(nn.Linear(columns, width), nn.SiLU(), nn.Linear(width, width))
        self.logit = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.update = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))

    def forward(
        self,
        points: Float[Tensor, "points features"],
        edges: Edges,
        shapes: Float[Tensor, "edges columns"],
    ) -> Float[Tensor, "points features"]:
        """What is added to the features."""
        place = self.place(shapes)
        logits = self.logit(
            self.query(points)[edges.target] - self.key(points)[edges.source] + place
        )
        values = self.value(points)[edges.source] + place
        return self.update(
            soft_mean_over(values, logits, edges.weights(), edges.target, len(points))
        )


@configured
@explained
class ClassicPointTransformer(Classifier):
    """Point Transformer as published for classification: its output jumps as points move.

    Five stages of (32, 64, 128, 256, 512) features, each a residual block of attention over the
    nearest neighbors; before each but the first a quarter of the points are kept, by farthest
    point sampling that starts at the point farthest from the centroid, and take the maximum over
    their nearest neighbors. The mean over what is left goes through layers of (256, 128). Clouds
    may have any number of points; that of an empty one is read from zeros.

    Args:
        neighbors: of each point, itself included.

    Further arguments: see ``Classifier``.

    >>> net = ClassicPointTransformer("11x0e", width=0.125).eval()
    >>> net(Data(pos=torch.rand(100, 3))).shape
    torch.Size([1, 11])
    """

    def __init__(
        self,
        outputs: Outputs,
        neighbors: int = 16,
        width: int | float = 1.0,
        dropout: float = 0.5,
        species: int | Sequence[int] = 0,
        features: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(outputs, width, species, features, smoothness=None)
        check_counts(neighbors=neighbors)
        self.neighbors = neighbors
        widths = scaled(width, 32, 64, 128, 256, 512)
        self.start = layers(3 + self.inputs.columns, widths[0])
        self.blocks = nn.ModuleList(_Block(each) for each in widths)
        self.down = nn.ModuleList(layers(inner, outer) for inner, outer in pairwise(widths))
        self.readout = ClassReadout(self.contract, [widths[-1], *scaled(width, 256, 128)], dropout)

    def forward(self, data: Data) -> Any:
        """The declared outputs: a tensor, or a dict of tensors."""
        batch, size = structures_of(data)
        pos = centered(data.pos, batch, size)
        features = self.start(torch.cat([pos, self.inputs(data)], 1))
        for stage, block in enumerate(self.blocks):
            if stage > 0:
                kept = fps(pos, batch, RATIO)
                center, point = knn(pos, pos[kept], self.neighbors, batch, batch[kept])
                features = max_over(self.down[stage - 1](features)[point], center, len(kept))
                pos, batch = pos[kept], batch[kept]
            features = block(features, pos, knn_graph(pos, self.neighbors, batch, loop=True))
        mean = sum_over(features, batch, size) / number_over(features, batch, size)
        return self.readout(mean)


class _Block(nn.Module):
    """Linear, attention, linear, with a residual connection."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.before = layers(width, width)
        self.attention = PointTransformerConv(
            width, width, pos_nn=MLP([3, width, width]), attn_nn=MLP([width, width, width])
        )
        self.norm = nn.BatchNorm1d(width)
        self.after = nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width))

    def forward(
        self,
        features: Float[Tensor, "points features"],
        pos: Float[Tensor, "points 3"],
        edges: Int[Tensor, "2 edges"],
    ) -> Float[Tensor, "points features"]:
        """The features, changed."""
        found = self.attention(self.before(features), pos, edges)
        return (features + self.after(self.norm(found).relu())).relu()
