"""Networks whose data is spoiled as soon as there are several copies of it.

They stand for wrappers that copy wrongly: index attributes told by their name, padding that becomes
a point, lists that are passed on once. What comes out turns as it should, and is wrong.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch

from equivariance_tests.mutants.mutant import Mutant
from equivariance_tests.mutants.pairs import summed
from symmetrize import Contract, Symmetrizer

CARRIES = ("pairs of edges", "table of neighbors", "names", "numbers")
FACTORS = {"even": 1.0, "odd": 1.5, "small": 1.0, "large": 0.75}


class Reader(nn.Module):
    """An energy from all that a structure carries, which knows distances only, and its vector."""

    contract = Contract({"energy": "0e", "vector": "1o"}, group=None, smoothness=None)

    def forward(self, data: Batch) -> dict[str, Tensor]:
        """One row for each structure."""
        first, second = data.line_graph
        of_pairs = data.line_attr * data.edge_attr[first] * data.edge_attr[second]
        energy = summed(of_pairs, data.batch[data.edge_index[0][first]], data.num_graphs)
        there = data.table >= 0
        apart = (data.pos[:, None] - data.pos[data.table.clamp(min=0)]).square().sum(-1)
        near = (torch.exp(-apart / 4) * there).sum(1)
        energy = energy + summed(near, data.batch, data.num_graphs)
        names = zip(data.word, data.words["size"], strict=True)
        factors = energy.new_tensor([FACTORS[one] * FACTORS[other] for one, other in names])
        energy = energy * factors + data.charge.to(energy) + data.sample_index % 7
        # not equivariant: what is averaged over
        bent = torch.tanh(near[:, None] * data.pos + 0.3)
        return {
            "energy": energy[:, None],
            "vector": summed(bent, data.batch, data.num_graphs),
        }


class Spoiled(Reader):
    """Reads what was copied wrongly."""

    def forward(self, data: Batch) -> dict[str, Tensor]:
        """With the data of several structures spoiled."""
        return super().forward(self.spoiled(copy.copy(data)) if data.num_graphs > 1 else data)

    def spoiled(self, data: Batch) -> Batch:
        """The data as a wrong wrapper would hand it over."""
        raise NotImplementedError


class PairsByName(Spoiled):
    """Pairs of edges are no ``..._index``: they stay as they were in the first copy."""

    def spoiled(self, data: Batch) -> Batch:
        """All pairs count edges from the beginning."""
        edges = torch.bincount(data.batch[data.edge_index[0]], minlength=data.num_graphs)
        start = edges.cumsum(0) - edges
        whose = data.batch[data.edge_index[0]][data.line_graph]
        data.line_graph = data.line_graph - start[whose]
        return data


class PaddingIsAPoint(Spoiled):
    """-1 is a place like others, once the number of points before is added."""

    def spoiled(self, data: Batch) -> Batch:
        """Padding is the last point of the copy before."""
        before = (data.ptr[data.batch][:, None] - 1).clamp(min=0)
        data.table = torch.where(data.table < 0, before, data.table)
        return data


class NamesOnce(Spoiled):
    """A list is passed on as it was: the first name is the name of all."""

    def spoiled(self, data: Batch) -> Batch:
        """The names of the first structure for all."""
        data.word = data.word[:1] * data.num_graphs
        data.words = {"size": data.words["size"][:1] * data.num_graphs}
        return data


def _mutant(net: type[Spoiled], alone: bool = True) -> Mutant:
    """A mutant, and whether a structure in a batch of its own is copied wrongly, too."""
    contract = Contract(Reader.contract.outputs, smoothness=None)
    return Mutant(
        lambda: Symmetrizer(net()),
        contract,
        frozenset({"copies", "batching"} if alone else {"batching"}),
        # where copies are many or few by rounding, so is what is spoiled
        frozenset(
            {"copies", "equivariance", "parity", "stabilizer", "precision ladder", "permutation"}
        ),
        {"carries": CARRIES},
    )


MUTANTS: dict[str, Mutant] = {
    "pairs of edges told by name": _mutant(PairsByName),
    "padding becomes a point": _mutant(PaddingIsAPoint),
    # the names of one structure are those of another
    "names passed on once": _mutant(NamesOnce, alone=False),
}
