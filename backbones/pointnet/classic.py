"""PointNet as published for classification.

Source: Qi, Su, Mo and Guibas, PointNet, CVPR 2017, arXiv 1612.00593.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch_geometric.data import Data

from backbones.arguments import explained
from backbones.checkpoint import configured
from backbones.classic import Classifier, ClassReadout, layers, scaled
from backbones.structures import centered, max_over, structures_of
from symmetrize import Outputs


@configured
@explained
class ClassicPointNet(Classifier):
    """PointNet with ReLU and a maximum over points: continuous, with kinks.

    Layers of (64, 64, 64, 128, 1024) features for each point, the maximum over all, and layers of
    (512, 256) features. Clouds may have any number of points; that of an empty one is read from
    zeros.

    Args:
        align: whether T-Nets predict a linear map of the coordinates and one of the 64 features.
            They align nothing exactly: the network stays as far from equivariant as without. Add
            0.001 times ``alignment_penalty`` to the loss in training, as the paper does.
        dropout: after the last layer, in training mode.

    Further arguments: see ``Classifier``.

    >>> net = ClassicPointNet("11x0e", width=0.125).eval()
    >>> net(Data(pos=torch.rand(100, 3))).shape
    torch.Size([1, 11])
    """

    def __init__(
        self,
        outputs: Outputs,
        align: bool = False,
        width: int | float = 1.0,
        dropout: float = 0.3,
        species: int | Sequence[int] = 0,
        features: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(outputs, width, species, features, smoothness=0)
        narrow, middle, wide, *read = scaled(width, 64, 128, 1024, 512, 256)
        self.align_input = TransformNet(3, width) if align else None
        self.align_features = TransformNet(narrow, width) if align else None
        self.first = layers(3 + self.inputs.columns, narrow, narrow)
        self.second = layers(narrow, narrow, middle, wide)
        self.readout = ClassReadout(self.contract, [wide, *read], dropout=[0.0, dropout])

    def forward(self, data: Data) -> Any:
        """The declared outputs: a tensor, or a dict of tensors."""
        batch, size = structures_of(data)
        features, maps = self._aligned(data)
        if maps is not None:
            features = torch.einsum("pf,pfg->pg", features, maps[batch])
        return self.readout(max_over(self.second(features), batch, size))

    def alignment_penalty(self, data: Data) -> Float[Tensor, ""]:
        """Mean of ``|1 - A A^T|^2`` over the maps A of features; 0 without T-Nets."""
        maps = self._aligned(data)[1]
        if maps is None:
            return data.pos.new_zeros(())
        excess = maps @ maps.mT - torch.eye(maps.size(1), dtype=maps.dtype, device=maps.device)
        return excess.square().sum((1, 2)).mean()

    def _aligned(self, data: Data) -> tuple[Tensor, Tensor | None]:
        """Features of points after the first layers, and the maps that are to align these."""
        batch, size = structures_of(data)
        pos = centered(data.pos, batch, size)
        if self.align_input is not None:
            pos = torch.einsum("pi,pij->pj", pos, self.align_input(pos, batch, size)[batch])
        features = self.first(torch.cat([pos, self.inputs(data)], 1))
        if self.align_features is None:
            return features, None
        return features, self.align_features(features, batch, size)


class TransformNet(nn.Module):
    """T-Net: a small PointNet that predicts a square matrix for each cloud, at first the identity.

    Args:
        columns: of the matrix, and of what it multiplies.
        width: factor on the published numbers of features.
    """

    def __init__(self, columns: int, width: int | float = 1.0) -> None:
        super().__init__()
        self.columns = columns
        narrow, middle, wide, *read = scaled(width, 64, 128, 1024, 512, 256)
        self.points = layers(columns, narrow, middle, wide)
        self.cloud = layers(wide, *read)
        self.last = nn.Linear(read[-1], columns**2)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(
        self, values: Float[Tensor, "points columns"], batch: Int[Tensor, "points"], size: int
    ) -> Float[Tensor, "structures columns columns"]:
        """One matrix for each structure."""
        found = self.last(self.cloud(max_over(self.points(values), batch, size)))
        unit = torch.eye(self.columns, dtype=values.dtype, device=values.device)
        return found.reshape(size, self.columns, self.columns) + unit
