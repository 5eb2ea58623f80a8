"""Any model of energies, symmetrized or bare, in torch-sim: many structures in one batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from symmetrize.derivatives import forces_and_stress
from symmetrize.extras import needed_for
from symmetrize.network.parameters import of_parameters

with needed_for("simulations with torch-sim", "engines"):
    import torch_sim
    from torch_sim.models.interface import ModelInterface


class TorchSimModel(ModelInterface):
    """Energies, forces and stress of a batch of structures, as torch-sim asks for them.

    All structures of a state are one batch of the model, and get frames of their own each: what one
    does never depends on the others.

    Args:
        model: any callable from ``Data`` to energies in eV of positions in Å, or to a dict that
            holds them.
        energy: name of the energies among what the model returns.
        dtype: of positions; that of the parameters of the model if None, else double precision.
        device: where the model is; that of its parameters if None.

    Stress is positive under tension, in eV/Å^3, and zero where there are not three periods.
    """

    def __init__(
        self,
        model: Callable[[Any], Any],
        *,
        energy: str = "energy",
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        usual, there = of_parameters(model)
        if isinstance(model, torch.nn.Module):
            model.eval()
        self.model, self.energy = model, energy
        self._dtype = usual if dtype is None else dtype
        self._device = torch.device(there if device is None else device)
        self._compute_stress = self._compute_forces = True

    @ModelInterface.compute_stress.setter
    def compute_stress(self, value: bool) -> None:
        """Whether there are stresses in what is returned; they cost next to nothing."""
        self._compute_stress = value

    @ModelInterface.compute_forces.setter
    def compute_forces(self, value: bool) -> None:
        """Whether there are forces in what is returned."""
        self._compute_forces = value

    def forward(self, state: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Energies (B,), forces (P, 3) and stress (B, 3, 3).

        Args:
            state: a ``SimState``, or a dict of what makes one.
            kwargs: not needed.

        Raises:
            TypeError: if positions are of another dtype than the model.
        """
        if isinstance(state, dict):
            masses = torch.ones_like(state["positions"][:, 0])
            state = torch_sim.SimState(**{"masses": masses, **state})
        if state.positions.dtype != self.dtype:
            raise TypeError(
                f"the positions are {state.positions.dtype} but the model is {self.dtype}: make "
                "the state of that dtype, or convert the network first: TorchSimModel(net.double())"
            )
        found = forces_and_stress(self.model, self._batch(state), self.energy)
        energy = found.energy.detach()
        size = len(state.cell)
        if len(energy) != size:  # of points
            energy = energy.reshape(-1, 1)
            energy = energy.new_zeros(size, 1).index_add(0, state.system_idx, energy)
        returned = {"energy": energy.reshape(size)}
        if self.compute_forces:
            returned["forces"] = found.forces.detach()
        if self.compute_stress:
            stress = state.cell.new_zeros(size, 3, 3) if found.stress is None else found.stress
            # NaN where it is not defined
            returned["stress"] = stress.detach().nan_to_num(nan=0.0)
        return returned

    def _batch(self, state: Any) -> Batch:
        """All structures as one batch."""
        pbc = torch.as_tensor(state.pbc, device=self.device).expand(3)
        cells = state.row_vector_cell.detach()
        structures = []
        for number in range(len(cells)):
            rows = state.system_idx == number
            one = Data(pos=state.positions[rows].detach(), z=state.atomic_numbers[rows])
            if bool(pbc.any()):
                one.cell, one.pbc = cells[number][None], pbc[None]
            structures.append(one)
        return Batch.from_data_list(structures)
