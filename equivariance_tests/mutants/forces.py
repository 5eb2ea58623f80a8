"""Potentials whose forces or stress are not the derivatives of their energy.

The healthy one sums over pairs in space and over images, and returns its energy with the exact
derivatives. A mutant overrides what is made of them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch

from equivariance_tests.mutants.memory import SKIN
from equivariance_tests.mutants.mutant import Mutant
from equivariance_tests.mutants.pairs import CUTOFF, PairNetwork, Pairs, summed
from equivariance_tests.mutants.symmetry import TURNED
from symmetrize import Contract, Derivatives, forces_and_stress, neighbor_list, per_point, safe_norm

OUTPUTS = {"energy": "0e", "forces": per_point("1o"), "stress": "ij=ji"}
CONTRACT = Contract(OUTPUTS, cutoff=CUTOFF, extensive=True, periodic=True)
# Hartree/bohr in an eV/Å
ATOMIC_UNIT = 0.0194469
FAR, STRENGTH = 1.8, 0.1


class Energy(PairNetwork):
    """The energy of pairs in a cell, and a second term of the same pairs."""

    def pairs(self, data: Batch) -> Pairs:
        """Of points and images."""
        found = neighbor_list(data.pos, CUTOFF, data.batch, data.cell, data.pbc)
        return Pairs(found.center, found.neighbor, found.vectors.to(data.pos.dtype))

    def forward(self, data: Batch) -> dict[str, Tensor]:
        """The energy (structures, 1)."""
        return {"energy": super().forward(data)["energy"] + self.second(data)}

    def second(self, data: Batch) -> Tensor:
        """An attraction within the cutoff."""
        pairs = self.pairs(data)
        squares = pairs.vectors.square().sum(-1)
        faded = self.switch(safe_norm(pairs.vectors))
        each = -STRENGTH * faded * torch.exp(-(squares + 1.0).sqrt() / FAR)
        return summed(each[:, None], data.batch[pairs.center], data.num_graphs)


class FirstTerm(Energy):
    """Without the second one."""

    def second(self, data: Batch) -> Tensor:
        """Zero."""
        return data.pos.new_zeros(data.num_graphs, 1)


class SwitchDetached(Energy):
    """The same energy, whose derivative does not know how neighbors fade."""

    def switch(self, lengths: Tensor) -> Tensor:
        """Without its derivative."""
        return super().switch(lengths).detach()


class NeighborsKept(Energy):
    """Keeps which points are neighbors while none has moved far, without a margin for that."""

    known: tuple[Tensor, Tensor, Tensor] | None = None

    def pairs(self, data: Batch) -> Pairs:
        """Of finite structures: periodic ones have a new list each time."""
        if bool(data.pbc.any()):
            return super().pairs(data)
        if self.known is None or not self._moved_little(data, *self.known[:2]):
            found = neighbor_list(data.pos.detach(), CUTOFF, data.batch)
            self.known = (
                data.pos.detach().clone(),
                data.batch,
                torch.stack([found.center, found.neighbor]),
            )
        center, neighbor = self.known[2]
        return Pairs(center, neighbor, data.pos[neighbor] - data.pos[center])

    def _moved_little(self, data: Batch, positions: Tensor, batch: Tensor) -> bool:
        if not torch.equal(batch, data.batch):
            return False
        return bool(((data.pos.detach() - positions).norm(dim=-1) < SKIN).all())


class Potential(nn.Module):
    """Energy, forces and stress: exact derivatives, which can be differentiated in turn."""

    contract = CONTRACT

    def __init__(self, differentiated: type[Energy] = Energy) -> None:
        super().__init__()
        self.energy, self.other = Energy(), differentiated()

    def forward(self, data: Batch) -> dict[str, Tensor]:
        """By the names of calculators; the stress is NaN where there is no volume."""
        graph = torch.is_grad_enabled()
        found = forces_and_stress(self.other, data, create_graph=graph)
        energy = found.energy
        if type(self.other) is not Energy:
            energy = self.energy(data)["energy"]
        return {"energy": energy, "forces": self.forces(found, data), "stress": self.stress(found)}

    def forces(self, found: Derivatives, data: Batch) -> Tensor:
        """Those of the energy."""
        return found.forces

    def stress(self, found: Derivatives) -> Tensor:
        """That of the energy."""
        assert found.stress is not None, "structures without a cell are not periodic"
        return found.stress


class Scaled(Potential):
    """Forces times a number."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forces(self, found: Derivatives, data: Batch) -> Tensor:
        """All alike."""
        return self.factor * found.forces


class AnotherHead(Potential):
    """Forces that are vectors of the network, not derivatives of its energy."""

    def forces(self, found: Derivatives, data: Batch) -> Tensor:
        """The vectors of points."""
        return self.energy.of_points(*self.energy.environments(data))[1]


class StressIsVirial(Potential):
    """The virial over the volume: positive under compression."""

    def stress(self, found: Derivatives) -> Tensor:
        """Of the wrong sign."""
        return -super().stress(found)


class StressOfCell(Potential):
    """dE/de, of the cell: not divided by its volume."""

    def stress(self, found: Derivatives) -> Tensor:
        """In units of energy, where there is a volume."""
        return torch.where(super().stress(found).isnan(), torch.nan, -found.virial)


class StressInAnotherOrder(Potential):
    """Six numbers in the order xx, yy, zz, xy, yz, xz, read as xx, yy, zz, yz, xz, xy."""

    def stress(self, found: Derivatives) -> Tensor:
        """What is off the diagonal stands in the wrong places."""
        right = super().stress(found)
        xx, yy, zz = right[:, 0, 0], right[:, 1, 1], right[:, 2, 2]
        yz, xz, xy = right[:, 0, 1], right[:, 1, 2], right[:, 0, 2]
        rows = [xx, xy, xz, xy, yy, yz, xz, yz, zz]
        return torch.stack(rows, -1).reshape(-1, 3, 3)


BOTH = frozenset({"forces and stress", "work of forces"})
STRESS = frozenset({"forces and stress"})
# what is detached in the energy is missing from the derivative of the forces, too
DETACHED = frozenset({"gradients", "work closure", "Lie derivative"})
MUTANTS: dict[str, Mutant] = {
    "forces of the wrong sign": Mutant(lambda: Scaled(-1.0), CONTRACT, BOTH),
    "half of the forces": Mutant(lambda: Scaled(0.5), CONTRACT, BOTH),
    "forces in atomic units": Mutant(lambda: Scaled(ATOMIC_UNIT), CONTRACT, BOTH),
    "forces of one term": Mutant(lambda: Potential(FirstTerm), CONTRACT, BOTH),
    "forces without the switch": Mutant(
        lambda: Potential(SwitchDetached), CONTRACT, BOTH, DETACHED
    ),
    "forces of another head": Mutant(AnotherHead, CONTRACT, BOTH),
    # asked afresh, they are right
    "forces of old neighbors": Mutant(
        lambda: Potential(NeighborsKept),
        CONTRACT,
        frozenset({"work of forces", "history"}),
        STRESS | DETACHED,
    ),
    "virial in place of the stress": Mutant(StressIsVirial, CONTRACT, STRESS),
    "stress without the volume": Mutant(StressOfCell, CONTRACT, STRESS),
    "stress in another order": Mutant(
        StressInAnotherOrder, CONTRACT, STRESS, TURNED | {"negative control"}
    ),
}
