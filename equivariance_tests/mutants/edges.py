"""Networks of blocks, one for each edge, which stand in the wrong row or the wrong way round."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import Batch

from equivariance_tests.mutants.mutant import Mutant
from equivariance_tests.mutants.pairs import CUTOFF, WIDTH, summed
from symmetrize import Contract, cutoff_switch, per_edge, safe_norm

CONTRACT = Contract({"block": per_edge("ij"), "vector": "1o"}, cutoff=CUTOFF, extensive=True)


class Blocks(nn.Module):
    """The healthy network: of an edge from i to j, w_ij r_ij times the arrow of i.

    Its arrow is sum_k w_ik r_ik, so that no block is symmetric. Edges are those that data carries.
    """

    contract = CONTRACT

    def forward(self, data: Batch) -> dict[str, Tensor]:
        """One row for each edge, and for each structure."""
        one, other = data.edge_index
        vectors = data.pos[other] - data.pos[one]
        lengths = safe_norm(vectors)
        weights = torch.exp(-lengths.square() / 4) * cutoff_switch(lengths, CUTOFF, WIDTH)
        vectors = weights[:, None] * vectors
        arrows = summed(vectors, one, len(data.pos))
        blocks = vectors[:, :, None] * arrows[one][:, None, :]
        bent = arrows * (1 + arrows.square().sum(-1, keepdim=True))
        return {
            "block": self.stored(blocks, data),
            "vector": summed(bent, data.batch, data.num_graphs),
        }

    def stored(self, blocks: Float[Tensor, "edges 3 3"], data: Batch) -> Float[Tensor, "edges 3 3"]:
        """Each in the row of its edge."""
        return blocks


class SortedRows(Blocks):
    """Returns the rows of edges sorted by their ends, in whatever order the data lists them."""

    def stored(self, blocks: Float[Tensor, "edges 3 3"], data: Batch) -> Float[Tensor, "edges 3 3"]:
        """By first end, then by second."""
        one, other = data.edge_index
        return blocks[torch.argsort(one * len(data.pos) + other)]


class TransposedBelow(Blocks):
    """Takes the blocks below the diagonal for those above it, and forgets to transpose them."""

    def stored(self, blocks: Float[Tensor, "edges 3 3"], data: Batch) -> Float[Tensor, "edges 3 3"]:
        """Where the first end comes after the second, transposed."""
        one, other = data.edge_index
        return torch.where((one > other)[:, None, None], blocks.mT, blocks)


class AlongZ(Blocks):
    """Multiplies the components along z of the blocks."""

    def stored(self, blocks: Float[Tensor, "edges 3 3"], data: Batch) -> Float[Tensor, "edges 3 3"]:
        """Of the first index."""
        return blocks * blocks.new_tensor([1.0, 1.0, 1.5])[:, None]


class FarSighted(Blocks):
    """Weighs the blocks by how many points there are, far beyond the cutoff, too."""

    def stored(self, blocks: Float[Tensor, "edges 3 3"], data: Batch) -> Float[Tensor, "edges 3 3"]:
        """About the first end, as a wide Gaussian counts them."""
        apart = (data.pos[:, None] - data.pos).square().sum(-1) / (2 * CUTOFF) ** 2
        crowd = (torch.exp(-apart) * (data.batch[:, None] == data.batch)).sum(1)
        return blocks * crowd[data.edge_index[0]][:, None, None]


TURNED = frozenset({"equivariance", "parity", "stabilizer", "Lie derivative", "precision ladder"})
MUTANTS: dict[str, Mutant] = {
    "rows of edges sorted": Mutant(SortedRows, CONTRACT, frozenset({"permutation"})),
    # an element of the group of a cloud takes points, and with them edges, to others
    "blocks below the diagonal transposed": Mutant(
        TransposedBelow, CONTRACT, frozenset({"permutation", "stabilizer"})
    ),
    "blocks stretched along z": Mutant(AlongZ, CONTRACT, TURNED),
    "blocks that see beyond the cutoff": Mutant(
        FarSighted, CONTRACT, frozenset({"locality", "size extensivity"})
    ),
}
