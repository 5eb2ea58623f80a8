"""Networks of a cloud and of further points beside it, which lose these in one way or another."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch

from equivariance_tests.mutants.mutant import Mutant
from equivariance_tests.mutants.pairs import summed
from symmetrize import Contract

BESIDE = "pos_beside"


class Beside(nn.Module):
    """The healthy network: sums over pairs of a point and a further point."""

    contract = Contract({"energy": "0e", "vector": "1o"}, positions=(BESIDE,))

    def forward(self, data: Batch) -> dict[str, Tensor]:
        """One row for each structure."""
        beside = self.beside(data)
        apart = beside[None] - data.pos[:, None]
        same = data.batch[:, None] == data[f"{BESIDE}_batch"][None]
        near = torch.exp(-apart.square().sum(-1) / 4) * same
        energy = summed(near.sum(1, keepdim=True), data.batch, data.num_graphs)
        arrows = (near[:, :, None] * apart).sum(1)
        return {
            "energy": energy + energy.square(),
            "vector": summed(arrows, data.batch, data.num_graphs),
        }

    def beside(self, data: Batch) -> Tensor:
        """The further points."""
        return data[BESIDE]


class StayBehind(Beside):
    """Measures points from their mean, and further ones from the origin of coordinates."""

    def beside(self, data: Batch) -> Tensor:
        """Further points, moved to where the points are measured from."""
        number = torch.bincount(data.batch, minlength=data.num_graphs).clamp(min=1)[:, None]
        mean = summed(data.pos, data.batch, data.num_graphs) / number
        return data[BESIDE] + mean[data[f"{BESIDE}_batch"]]


class DoNotTurn(Beside):
    """Takes coordinates of further points for features: it sees how they lie in space."""

    def beside(self, data: Batch) -> Tensor:
        """Further points, farther along z."""
        stretched = data[BESIDE].new_tensor([1.0, 1.0, 1.5])
        middle = data.pos.new_zeros(data.num_graphs, 3)
        number = torch.bincount(data.batch, minlength=data.num_graphs).clamp(min=1)[:, None]
        middle = summed(data.pos, data.batch, data.num_graphs) / number
        whose = data[f"{BESIDE}_batch"]
        return (data[BESIDE] - middle[whose]) * stretched + middle[whose]


MUTANTS: dict[str, Mutant] = {
    "further positions stay behind": Mutant(
        StayBehind, Beside.contract, frozenset({"translation"}), frozenset({"stabilizer"})
    ),
    "further positions do not turn": Mutant(
        DoNotTurn,
        Beside.contract,
        frozenset({"equivariance", "parity"}),
        # at the middle of a cloud nothing is to turn
        frozenset({"stabilizer", "precision ladder", "Lie derivative"}),
    ),
}
