"""Models that claim a group about an axis, and break it: another axis, a wind, a hand, a height."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch_geometric.data import Batch

from equivariance_tests.mutants.averaged import OUTPUTS
from equivariance_tests.mutants.mutant import Mutant
from equivariance_tests.mutants.pairs import CUTOFF, PairNetwork
from equivariance_tests.mutants.symmetry import TURNED, TURNED_SCALARS, Chiral, LevelTerm
from symmetrize import Contract
from symmetrize.groups import Direction, Group


def about(group: Group, axis: Direction = (0.0, 0.0, 1.0)) -> Contract:
    """What a network of pairs claims that knows what is up."""
    return Contract(OUTPUTS, group=group, axis=axis, cutoff=CUTOFF, extensive=True)


class Windy(PairNetwork):
    """Adds to the vector what blows along x."""

    def forward(self, data: Batch) -> dict[str, Tensor]:
        """As the network, and the sum of w along x."""
        pairs = self.pairs(data)
        outputs = super().forward(data)
        blown = outputs["vector"].new_zeros(data.num_graphs, 3)
        weights = self.weights(pairs)[:, 0]
        blown[:, 0] = blown[:, 0].index_add(0, data.batch[pairs.center], weights)
        return {**outputs, "vector": outputs["vector"] + blown}


class Altitude(PairNetwork):
    """Counts points by their height above z = 0."""

    def pooled(self, rows: Float[Tensor, "points dim"], data: Batch) -> Tensor:
        """Sum with weights that depend on the height."""
        return super().pooled(rows * (1 + torch.exp(-data.pos[:, 2:].square())), data)


MUTANTS: dict[str, Mutant] = {
    "up along another axis": Mutant(LevelTerm, about("O(2)", (1.0, 0.0, 0.0)), TURNED_SCALARS),
    "a horizontal direction": Mutant(Windy, about("O(2)"), TURNED),
    "a hand about the axis": Mutant(
        Chiral, about("O(2)"), frozenset({"parity", "precision ladder"})
    ),
    # a point far away is moved by the check, up or down, too
    "heights that are said not to matter": Mutant(
        Altitude, about("SO(2)"), frozenset({"translation", "locality"})
    ),
}
