"""PointNet: a plain network on point clouds that is not equivariant.

Every point passes the same small network, a symmetric pooling makes one vector of all of them, and
another small network reads the outputs from it. As in the segmentation variant of the paper, the
pooled vector is given back to every point and pooled again, here ``rounds`` times.

What differs from the paper: points carry a species; activations are smooth and the pooling is a
sum instead of a maximum, so that the outputs are C-infinity in the positions; coordinates are taken
from the centroid; and there are neither learned alignments of the input (T-Nets) nor batch
normalization. Every output sees the whole cloud: nothing here is local.

Source: Qi, Su, Mo and Guibas, PointNet, CVPR 2017, arXiv 1612.00593.
"""

from collections.abc import Mapping
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import Batch, Data


class PointNet(nn.Module):
    """A plain network from ``Data`` with ``pos`` and perhaps ``z`` to one row per structure.

    Invariant to translations and to the order of points, but not to rotations. It is C-infinity in
    the positions and accepts clouds of any number of points, also none.

    Args:
        outputs: shape of each named output for one structure, as in
            ``{"energy": (1,), "polarizability": (3, 3)}``.
        species: number of kinds of points; ``data.z`` holds integers below it, and points without
            ``z`` are all of kind 0.
        width: features of a point and of a cloud.
        rounds: how often the points are pooled.
        length: unit of length in which coordinates enter, about the distance of neighbors.

    >>> net = PointNet({"energy": (1,), "dipole": (3,)}, width=8)
    >>> water = Data(pos=torch.eye(3), z=torch.tensor([8, 1, 1]))
    >>> {name: tuple(value.shape) for name, value in net(water).items()}
    {'energy': (1, 1), 'dipole': (1, 3)}
    """

    def __init__(
        self,
        outputs: Mapping[str, tuple[int, ...]],
        species: int = 100,
        width: int = 128,
        rounds: int = 2,
        length: float = 1.0,
    ) -> None:
        super().__init__()
        self.outputs = dict(outputs)
        self.length = length
        self.species = nn.Embedding(species, width)
        self.position = nn.Linear(3, width)
        self.points = nn.ModuleList(_mlp(width, width, width) for _ in range(rounds))
        self.context = nn.ModuleList(_mlp(width, width, width) for _ in range(rounds - 1))
        self.cloud = _mlp(width, width, sum(map(prod, self.outputs.values())))

    def forward(self, data: Data) -> dict[str, Float[Tensor, "structures ..."]]:
        """Each output, with one row per structure."""
        pos, (batch, size) = data.pos, _structures(data)
        kinds = torch.zeros_like(batch) if data.get("z") is None else data.z
        number = torch.bincount(batch, minlength=size).clamp(min=1).to(pos.dtype)[:, None]

        centered = pos - (_pool(pos, batch, size) / number)[batch]
        features = self.position(centered / self.length) + self.species(kinds)
        pooled = features.new_zeros(size, features.shape[1])
        for turn, points in enumerate(self.points):
            if turn > 0:
                features = features + self.context[turn - 1](pooled)[batch]
            features = features + points(features)
            # a sum over n similar points, brought to the order of one
            pooled = _pool(features, batch, size) / number.sqrt()

        widths = [prod(shape) for shape in self.outputs.values()]
        pieces = self.cloud(pooled).split(widths, dim=1)
        return {
            name: piece.reshape(size, *shape)
            for (name, shape), piece in zip(self.outputs.items(), pieces, strict=True)
        }


def _structures(data: Data) -> tuple[Tensor, int]:
    if data.batch is None:
        return torch.zeros(len(data.pos), dtype=torch.long, device=data.pos.device), 1
    if isinstance(data, Batch):
        return data.batch, data.num_graphs
    return data.batch, int(data.batch.max()) + 1 if len(data.batch) else 0


def _mlp(inner: int, hidden: int, outer: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inner, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(),
        nn.Linear(hidden, outer),
    )  # fmt: skip


def _pool(
    values: Float[Tensor, "points features"], batch: Tensor, size: int
) -> Float[Tensor, "structures features"]:
    return values.new_zeros(size, values.shape[1]).index_add(0, batch, values)
