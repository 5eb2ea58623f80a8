"""Two rounds of equivariant messages in plain PyTorch: what certification is asked about most.

Points have scalars and vectors. A message is weighed by functions of the distance that fade at the
cutoff, with all derivatives; scalars grow by the squares of vectors, vectors by the arrows between
points. Right as it claims: O(3), smooth, of two rounds, additive.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import Data

from symmetrize import Contract, Neighbors, cutoff_switch, neighbor_list, safe_norm

BASIS = 6


class Messages(nn.Module):
    """An energy and a vector of each structure.

    Args:
        width: number of scalars, and of vectors, of a point.
        cutoff: of a round.
        rounds: how often messages are passed.
    """

    def __init__(self, width: int = 16, cutoff: float = 3.0, rounds: int = 2) -> None:
        super().__init__()
        self.contract = Contract(
            {"energy": "0e", "vector": "1o"}, cutoff=cutoff, rounds=rounds, extensive=True
        )
        self.width, self.cutoff = width, cutoff
        self.rounds = nn.ModuleList(_Round(width, cutoff) for _ in range(rounds))
        self.energy = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1))
        self.vector = nn.Linear(width, 1, bias=False)

    def forward(self, data: Data) -> dict[str, Tensor]:
        """Sums over the points of each structure."""
        pairs = neighbor_list(data.pos, self.cutoff, data.batch)
        scalars = data.pos.new_ones(len(data.pos), self.width)
        vectors = data.pos.new_zeros(len(data.pos), self.width, 3)
        for messages in self.rounds:
            scalars, vectors = messages(scalars, vectors, pairs)
        energy, vector = self.energy(scalars), self.vector(vectors.mT)[..., 0]

        def pooled(rows: Tensor) -> Tensor:
            return rows.new_zeros(data.num_graphs, rows.size(1)).index_add(0, data.batch, rows)

        return {"energy": pooled(energy), "vector": pooled(vector)}


class _Round(nn.Module):
    def __init__(self, width: int, cutoff: float) -> None:
        super().__init__()
        self.width, self.cutoff = width, cutoff
        self.radial = nn.Sequential(nn.Linear(BASIS, width), nn.SiLU(), nn.Linear(width, 4 * width))
        self.scalars, self.vectors = (nn.Linear(2 * width, width) for _ in range(2))

    def forward(
        self,
        scalars: Float[Tensor, "points width"],
        vectors: Float[Tensor, "points width 3"],
        pairs: Neighbors,
    ) -> tuple[Float[Tensor, "points width"], Float[Tensor, "points width 3"]]:
        """Scalars and vectors after one round."""
        arrows = pairs.vectors.to(scalars.dtype)[:, None, :]
        lengths = safe_norm(arrows[:, 0])
        # functions of the square: smooth where two points meet
        places = torch.linspace(0, self.cutoff, BASIS, dtype=lengths.dtype, device=lengths.device)
        away = lengths.square()[:, None] - places.square()
        fading = cutoff_switch(lengths, self.cutoff, self.cutoff / 2)[:, None]
        weights = self.radial(torch.exp(-((2 * away / self.cutoff**2) ** 2))) * fading
        a, b, c, d = weights.split(self.width, 1)
        near, seen = scalars[pairs.neighbor], vectors[pairs.neighbor]
        heard = torch.zeros_like(scalars).index_add(
            0, pairs.center, a * near + b * (seen * arrows).sum(-1)
        )
        drawn = torch.zeros_like(vectors).index_add(
            0, pairs.center, c[..., None] * seen + (d * near)[..., None] * arrows
        )
        both = torch.cat([heard, drawn.square().sum(-1) / 10], 1)
        mixed = torch.cat([drawn, vectors], 1).mT @ self.vectors.weight.T
        return scalars + torch.tanh(self.scalars(both)), vectors + mixed.mT
