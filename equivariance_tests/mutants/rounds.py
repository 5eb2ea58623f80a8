"""Networks that pass messages more often, or a little farther, than they say."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch

from equivariance_tests.mutants.averaged import OUTPUTS
from equivariance_tests.mutants.mutant import Mutant
from equivariance_tests.mutants.pairs import CUTOFF, summed, within
from symmetrize import Contract, cutoff_switch, safe_norm

# By how much a cutoff is too long
LONGER = 1.03


class Messages(nn.Module):
    """A number of rounds of messages between neighbors, then a scalar and a vector of all points.

    Args:
        rounds: how often what is seen is passed on.
        cutoff: how far a point sees in one round; messages fade over its outer half.
    """

    def __init__(self, rounds: int, cutoff: float = CUTOFF) -> None:
        super().__init__()
        self.rounds, self.cutoff = rounds, cutoff

    def forward(self, data: Batch) -> dict[str, Tensor]:
        """The energy (structures, 1) and the vector (structures, 3)."""
        pairs = within(self.cutoff, data)
        lengths = safe_norm(pairs.vectors)
        squares = pairs.vectors.square().sum(-1)
        weights = cutoff_switch(lengths, self.cutoff, self.cutoff / 2)
        weights = weights * torch.exp(-squares / self.cutoff**2)
        number, arrows = len(data.pos), data.pos.new_zeros(len(data.pos), 3)
        state = data.pos.new_ones(number)
        for _ in range(self.rounds):
            messages = weights * state[pairs.neighbor]
            arrows = summed(messages[:, None] * pairs.vectors, pairs.center, number)
            state = torch.tanh(0.3 + summed(messages, pairs.center, number)) + 0.1 * state
        return {
            "energy": summed(state[:, None], data.batch, data.num_graphs),
            "vector": summed(state[:, None] * arrows, data.batch, data.num_graphs),
        }


def claimed(rounds: int) -> Contract:
    """What a network of this many rounds may claim."""
    return Contract(OUTPUTS, cutoff=CUTOFF, rounds=rounds, extensive=True)


LOCALITY = frozenset({"locality"})
MUTANTS: dict[str, Mutant] = {
    # fragments are out of sight of each other: no point between them hands on what it sees
    "two rounds claimed as one": Mutant(lambda: Messages(2), claimed(1), LOCALITY),
    "three rounds claimed as two": Mutant(lambda: Messages(3), claimed(2), LOCALITY),
    "sees a little farther than it says": Mutant(
        lambda: Messages(1, LONGER * CUTOFF), claimed(1), LOCALITY | {"size extensivity"}
    ),
}
