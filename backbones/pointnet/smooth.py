"""PointNet with smooth activations and a sum for the maximum.

Every point passes the same small network, a symmetric pooling makes one vector of all of them, and
another small network reads the outputs from it. As in the segmentation variant of the paper, the
pooled vector is given back to every point and pooled again, here ``rounds`` times.

What differs from the paper: points carry a species; activations are smooth and the pooling is a
sum instead of a maximum, so that the outputs are C-infinity in the positions; coordinates are taken
from the centroid; and there are neither learned alignments of the input (T-Nets) nor batch
normalization. Every output sees the whole cloud: nothing here is local.

Source: Qi, Su, Mo and Guibas, PointNet, CVPR 2017, arXiv 1612.00593.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch_geometric.data import Data

from backbones.checkpoint import configured
from backbones.heads import Heads
from backbones.inputs import PointInputs, check_counts, check_features, check_sizes
from backbones.structures import centered, number_over, structures_of, sum_over
from symmetrize import Contract, Outputs


@configured
class PointNet(nn.Module):
    """A plain network on whole clouds that is C-infinity in the positions.

    Invariant to translations and to the order of points, but not to rotations. Clouds may have any
    number of points, also none, and points may coincide. In the environment of a center, points
    count by their ``envelope``, so that it is smooth there, too.

    Args:
        outputs: as in ``Symmetrizer``; of structures or, with ``per_point``, of points.
        species: the values of ``data.z``, as in ``[1, 8]``, or their number, for values from 0 on;
            points without ``z`` are all of kind 0.
        width: features of a point and of a cloud.
        rounds: how often the points are pooled.
        length: unit of length in which coordinates enter, about the distance of neighbors.
        features: further attributes with a row for each point, and how they turn, as in
            ``{"normals": "1o"}``.

    >>> net = PointNet({"energy": "0e", "dipole": "1o"}, width=8)
    >>> water = Data(pos=torch.eye(3), z=torch.tensor([8, 1, 1]))
    >>> {name: tuple(value.shape) for name, value in net(water).items()}
    {'energy': (1, 1), 'dipole': (1, 3)}
    """

    def __init__(
        self,
        outputs: Outputs,
        species: int | Sequence[int] = 100,
        width: int = 128,
        rounds: int = 2,
        length: int | float = 1.0,
        features: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        check_counts(width=width, rounds=rounds)
        check_sizes(length=length)
        check_features(features)
        self.contract = Contract(outputs, inputs=features, group=None, envelope=True)
        self.length = length
        self.inputs = PointInputs(self.contract, species, width)
        self.position = nn.Linear(3, width)
        self.start = nn.Linear(self.inputs.columns, width)
        self.points = nn.ModuleList(_mlp(width) for _ in range(rounds))
        self.context = nn.ModuleList(_mlp(width) for _ in range(rounds - 1))
        self.cloud = nn.Sequential(nn.Linear(width, width), nn.SiLU())
        self.heads = Heads(self.contract, structure=width, point=2 * width, hidden=width)

    def forward(self, data: Data) -> Any:
        """The declared outputs: a tensor, or a dict of tensors."""
        batch, size = structures_of(data)
        fade = data.get("envelope")
        pos = centered(data.pos, batch, size, fade) / self.length
        number = number_over(pos, batch, size, fade)

        features = self.position(pos) + self.start(self.inputs(data))
        pooled = features.new_zeros(size, features.size(1))
        for turn, points in enumerate(self.points):
            if turn > 0:
                features = features + self.context[turn - 1](pooled)[batch]
            features = features + points(features)
            # a sum over n similar points, brought to the order of one
            pooled = sum_over(features, batch, size, fade) / number.sqrt()
        return self.heads(self.cloud(pooled), torch.cat([features, pooled[batch]], 1))


def _mlp(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(),
        nn.Linear(width, width),
    )  # fmt: skip
