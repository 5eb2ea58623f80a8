"""The healthy network that mutants derive from: sums over pairs within a cutoff.

With pair weights w_ijk = switch(r_ij) exp(-(r_ij / a_k)^2) each point i has densities and arrows

    rho_ik = sum_j w_ijk,    v_ik = sum_j w_ijk r_ij,

and a structure has the scalar sum_i e(rho_i) and the vector sum_i sum_k g_k(rho_i) v_ik. It is
invariant and equivariant, C-infinity, local and extensive. A mutant overrides one method.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch_geometric.data import Batch

from symmetrize import Contract, cutoff_switch, neighbor_list, safe_norm
from symmetrize.arrays import join, segment_sum

CUTOFF = 3.0
# Range below the cutoff over which a neighbor fades
WIDTH = 1.5
# Widths of the radial functions
REACH = (0.8, 1.2, 1.8)
HIDDEN = 8
CONTRACT = Contract({"energy": "0e", "vector": "1o"}, cutoff=CUTOFF, extensive=True)


class Pairs(NamedTuple):
    """Ordered pairs of points of one structure, and the vector from one to the other."""

    center: Int[Tensor, "pairs"]
    neighbor: Int[Tensor, "pairs"]
    vectors: Float[Tensor, "pairs 3"]


class PairNetwork(nn.Module):
    """A scalar "energy" and a vector "vector" of each structure, from pairs of points.

    Args:
        seed: of the weights, which single precision holds exactly.
    """

    contract = CONTRACT

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        kinds = len(REACH)

        def drawn(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(shape, generator=generator))

        self.inner, self.bias = drawn(kinds, HIDDEN), drawn(HIDDEN)
        self.outer, self.gate = drawn(HIDDEN), drawn(HIDDEN, kinds)

    def forward(self, data: Batch) -> dict[str, Tensor]:
        """The energy (structures, 1) and the vector (structures, 3)."""
        density, arrows = self.environments(data)
        energies, vectors = self.of_points(density, arrows)
        return {
            "energy": self.pooled(energies[:, None], data),
            "vector": self.pooled(vectors, data),
        }

    def environments(
        self, data: Batch
    ) -> tuple[Float[Tensor, "points kinds"], Float[Tensor, "points kinds 3"]]:
        """Densities and arrows of each point."""
        pairs = self.pairs(data)
        weights = self.weights(pairs)
        density = weights.new_zeros(len(data.pos), len(REACH))
        arrows = weights.new_zeros(len(data.pos), len(REACH), 3)
        return (
            density.index_add(0, pairs.center, weights),
            arrows.index_add(0, pairs.center, weights[:, :, None] * pairs.vectors[:, None, :]),
        )

    def pairs(self, data: Batch) -> Pairs:
        """Which points see each other."""
        return within(CUTOFF, data)

    def weights(self, pairs: Pairs) -> Float[Tensor, "pairs kinds"]:
        """How much each pair counts for each radial function."""
        lengths = safe_norm(pairs.vectors)
        squares = pairs.vectors.square().sum(-1, keepdim=True)
        widths = lengths.new_tensor(REACH)
        return self.switch(lengths)[:, None] * torch.exp(-squares / widths.square())

    def switch(self, lengths: Float[Tensor, "pairs"]) -> Float[Tensor, "pairs"]:
        """How much a neighbor counts by its distance: C-infinity, zero from the cutoff on."""
        return cutoff_switch(lengths, CUTOFF, WIDTH)

    def of_points(
        self, density: Float[Tensor, "points kinds"], arrows: Float[Tensor, "points kinds 3"]
    ) -> tuple[Float[Tensor, "points"], Float[Tensor, "points 3"]]:
        """What each point adds to the scalar and to the vector."""
        hidden = torch.tanh(density @ self.inner + self.bias)
        gates = hidden @ self.gate / math.sqrt(HIDDEN)
        return hidden @ self.outer, torch.einsum("pk,pkc->pc", gates, arrows)

    def pooled(self, rows: Float[Tensor, "points dim"], data: Batch) -> Tensor:
        """Sum over the points of each structure; zero where there are none."""
        return summed(rows, data.batch, data.num_graphs)


def within(cutoff: float, data: Batch) -> Pairs:
    """All pairs that are closer than the cutoff."""
    found = neighbor_list(data.pos, cutoff, data.batch)
    return Pairs(found.center, found.neighbor, found.vectors.to(data.pos.dtype))


# Sum of the rows of each owner
summed = segment_sum


def all_pairs(
    owner: Int[Tensor, "points"], size: int
) -> tuple[Int[Tensor, "pairs"], Int[Tensor, "pairs"]]:
    """Every ordered pair of two points of one owner.

    >>> all_pairs(torch.tensor([0, 1, 1]), 2)
    (tensor([1, 2]), tensor([2, 1]))
    """
    one, other = join(owner, owner, size)
    return one[one != other], other[one != other]
