"""Models that lack a symmetry: of rotations, reflections, translations or of the order of points.

Each has terms that a person might write, beside those of a healthy network.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch_geometric.data import Batch

from equivariance_tests.mutants.averaged import OUTPUTS, DeepSet
from equivariance_tests.mutants.mutant import Mutant
from equivariance_tests.mutants.pairs import CONTRACT, CUTOFF, PairNetwork
from symmetrize import Contract

# Checks that turn clouds in one way or another: a model without the symmetry fails all of them
TURNED = frozenset({"equivariance", "parity", "stabilizer", "Lie derivative", "precision ladder"})
# A turn that brings a cloud onto itself exchanges points, and a scalar does not mind that
TURNED_SCALARS = TURNED - {"stabilizer"}


class LevelTerm(PairNetwork):
    """Adds to the energy how far points are from each other along z."""

    def forward(self, data: Batch) -> dict[str, Tensor]:
        """As the network, and the sum of w z^2."""
        pairs = self.pairs(data)
        level = (self.weights(pairs)[:, 0] * pairs.vectors[:, 2].square())[:, None]
        outputs = super().forward(data)
        added = outputs["energy"].new_zeros(data.num_graphs, 1)
        added = added.index_add(0, data.batch[pairs.center], level)
        return {**outputs, "energy": outputs["energy"] + added}


class Chiral(PairNetwork):
    """Adds to the energy a triple product of arrows, whose sign a mirror changes."""

    def of_points(
        self, density: Float[Tensor, "points kinds"], arrows: Float[Tensor, "points kinds 3"]
    ) -> tuple[Float[Tensor, "points"], Float[Tensor, "points 3"]]:
        """As the network, and the triple product; arrows of one point are nearly parallel."""
        energies, vectors = super().of_points(density, arrows)
        # written out: a determinant has no second derivative where it is zero
        first, second, third = arrows.unbind(1)
        return energies + 10.0 * (first * torch.linalg.cross(second, third)).sum(-1), vectors


class FromOrigin(PairNetwork):
    """Counts points by their distance from the origin."""

    def pooled(self, rows: Float[Tensor, "points dim"], data: Batch) -> Tensor:
        """Sum with weights that depend on where the points lie."""
        away = data.pos.square().sum(-1, keepdim=True)
        return super().pooled(rows * (1 + torch.exp(-away)), data)


class FirstPointsFirst(PairNetwork):
    """Counts points by their place in the structure."""

    def pooled(self, rows: Float[Tensor, "points dim"], data: Batch) -> Tensor:
        """Sum with weights 1, 1/2, 1/3, ..."""
        place = torch.arange(len(rows), device=rows.device) - data.ptr[data.batch]
        return super().pooled(rows / (1 + place[:, None]).to(rows.dtype), data)


MUTANTS: dict[str, Mutant] = {
    "raw coordinates": Mutant(DeepSet, Contract(OUTPUTS), TURNED),
    "a z-specific term": Mutant(LevelTerm, CONTRACT, TURNED_SCALARS),
    "vector declared as scalars": Mutant(
        PairNetwork,
        Contract({"energy": "0e", "vector": "3x0e"}, cutoff=CUTOFF, extensive=True),
        TURNED_SCALARS | {"negative control"},
    ),
    # the ladder has reflections, too
    "pseudoscalar leak": Mutant(Chiral, CONTRACT, frozenset({"parity", "precision ladder"})),
    # the symmetry of a cloud is about its own center; a point far away is moved by the check
    "depends on the origin": Mutant(
        FromOrigin, CONTRACT, frozenset({"translation", "stabilizer", "locality"})
    ),
    # a cloud is brought onto itself with its points in another order
    "index-dependent": Mutant(
        FirstPointsFirst,
        Contract(OUTPUTS, cutoff=CUTOFF),
        frozenset({"permutation", "stabilizer"}),
        # points that are moved have another place in the order, too
        frozenset({"locality"}),
    ),
}
