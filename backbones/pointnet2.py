"""PointNet++: a small PointNet around every center, again and again.

Classic: centers are sampled, farthest first, and take the maximum over some neighbors within a
radius. Smooth: every point is a center, and neighbors are summed with weights that vanish smoothly
at several radii, the multi-scale grouping of the paper. There is no sampling in it: which points
are chosen jumps as points move.

Source: Qi, Yi, Su and Guibas, PointNet++, NeurIPS 2017, arXiv 1706.02413.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import PointNetConv

from backbones.arguments import explained
from backbones.checkpoint import configured
from backbones.classic import Classifier, ClassReadout, layers, scaled
from backbones.edges import Edges
from backbones.graphs import fps, radius
from backbones.inputs import check_lengths, check_sizes
from backbones.local import LocalNetwork
from backbones.structures import centered, max_over, structures_of, sum_over
from symmetrize import Outputs

# Farthest point sampling keeps 512 of 1024 points, then 128; then radius and most neighbors
RATIOS = (0.5, 0.25)
RADII = (0.2, 0.4)
NEIGHBORS = (32, 64)


@configured
@explained
class PointNetPlusPlus(LocalNetwork):
    """Smooth PointNet++: sums of messages over neighborhoods of several radii, C-infinity.

    Extensive, periodic where the structure is, and not equivariant. Points may coincide.

    Args:
        scales: radii, in units of the cutoff, within which neighbors are summed.
        neighbors: about how many a point has within the cutoff; sums are scaled by it.

    Further arguments: see ``LocalNetwork``.

    >>> net = PointNetPlusPlus({"energy": "0e"}, cutoff=4.0, width=8)
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
        scales: Sequence[int | float] = (0.5, 1.0),
        neighbors: int | float = 20,
        species: int | Sequence[int] = 100,
        features: Mapping[str, str] | None = None,
        length: int | float = 1.0,
        radial: int = 24,
    ) -> None:
        check_lengths(scales=scales)
        if not (scales and all(0 < scale <= 1 for scale in scales)):
            raise ValueError(
                f"`scales` is {tuple(scales)} but must hold radii in units of the cutoff, in "
                "(0, 1]: points beyond the cutoff are not seen"
            )
        check_sizes(neighbors=neighbors)
        layer = functools.partial(SmoothAbstraction, width, tuple(scales), neighbors)
        super().__init__(outputs, layer, cutoff, rounds, width, species, features, length, radial)


class SmoothAbstraction(nn.Module):
    """sum_j w(r_ij) h(f_j, x_j - x_i) at each scale, and a mixture of the scales."""

    def __init__(
        self, width: int, scales: Sequence[int | float], neighbors: int | float, columns: int
    ) -> None:
        super().__init__()
        self.scales = scales
        # a sum over n unrelated messages, brought to the order of one
        self.norms = [(1 + neighbors * scale**3) ** -0.5 for scale in scales]
        self.source = nn.ModuleList(nn.Linear(width, width) for _ in scales)
        self.shape = nn.ModuleList(nn.Linear(columns, width, bias=False) for _ in scales)
        self.message = nn.ModuleList(
            nn.Sequential(nn.SiLU(), nn.Linear(width, width), nn.SiLU()) for _ in scales
        )
        self.update = nn.Sequential(
            nn.Linear(width * len(scales), width), nn.SiLU(), nn.Linear(width, width)
        )

    def forward(
        self,
        points: Float[Tensor, "points features"],
        edges: Edges,
        shapes: Float[Tensor, "edges columns"],
    ) -> Float[Tensor, "points features"]:
        """What is added to the features."""
        found = []
        parts = zip(self.scales, self.norms, self.source, self.shape, self.message, strict=True)
        for scale, norm, source, shape, message in parts:
            messages = message(source(points)[edges.source] + shape(shapes))
            weights = norm * edges.weights(scale)
            found.append(sum_over(messages, edges.target, len(points), weights))
        return self.update(torch.cat(found, 1))


@configured
@explained
class ClassicPointNetPlusPlus(Classifier):
    """PointNet++ with single-scale grouping, as published for classification.

    Half of the points are kept, then a quarter of these, by farthest point sampling that starts
    at the point farthest from the centroid; each takes the maximum over its nearest 32 neighbors
    within 0.2, then 64 within 0.4; then over all. Its output jumps as points move. Clouds may have
    any number of points; that of an empty one is read from zeros.

    Args:
        radii: of the two groupings, in the unit of the positions, for objects in the unit sphere.

    Further arguments: see ``Classifier``.

    >>> net = ClassicPointNetPlusPlus("11x0e", width=0.125).eval()
    >>> net(Data(pos=torch.rand(100, 3))).shape
    torch.Size([1, 11])
    """

    def __init__(
        self,
        outputs: Outputs,
        radii: Sequence[int | float] = RADII,
        width: int | float = 1.0,
        dropout: float = 0.5,
        species: int | Sequence[int] = 0,
        features: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(outputs, width, species, features, smoothness=None)
        check_lengths(radii=radii)
        if len(radii) != len(RADII) or min(radii) <= 0:
            raise ValueError(
                f"`radii` is {tuple(radii)} but must hold two positive lengths, one a grouping"
            )
        self.radii = radii
        first, second, third, read = (
            scaled(width, *widths)
            for widths in ((64, 64, 128), (128, 128, 256), (256, 512, 1024), (512, 256))
        )
        self.groups = nn.ModuleList(
            PointNetConv(layers(3 + columns, *widths), add_self_loops=False)
            for columns, widths in ((self.inputs.columns, first), (first[-1], second))
        )
        self.whole = layers(3 + second[-1], *third)
        self.readout = ClassReadout(self.contract, [third[-1], *read], dropout=dropout)

    def forward(self, data: Data) -> Any:
        """The declared outputs: a tensor, or a dict of tensors."""
        batch, size = structures_of(data)
        pos, features = centered(data.pos, batch, size), self.inputs(data)
        for group, ratio, reach, most in zip(
            self.groups, RATIOS, self.radii, NEIGHBORS, strict=True
        ):
            kept = fps(pos, batch, ratio)
            edges = _grouped(pos, batch, kept, reach, most)
            features = group((features, None), (pos, pos[kept]), edges)
            pos, batch = pos[kept], batch[kept]
        whole = self.whole(torch.cat([features, pos], 1))
        return self.readout(max_over(whole, batch, size))


def _grouped(
    pos: Float[Tensor, "points 3"],
    batch: Int[Tensor, "points"],
    kept: Int[Tensor, "centers"],
    reach: int | float,
    most: int,
) -> Int[Tensor, "2 edges"]:
    """Edges from points within reach to each center, by their rows."""
    center, point = radius(pos, pos[kept], reach, batch, batch[kept], max_num_neighbors=most)
    return torch.stack([point, center])
