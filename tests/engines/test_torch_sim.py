"""torch-sim: its own test of conformance, batches, and what is conserved."""

import numpy as np
import pytest
import torch
from ase.build import bulk, molecule
from torch_geometric.data import Data

from backbones import PET
from symmetrize import SymmetrizedCalculator, Symmetrizer

torch_sim = pytest.importorskip("torch_sim", reason="needs the extra engines")
from torch_sim.models.interface import validate_model_outputs  # noqa: E402

from symmetrize.engines.torch_sim import TorchSimModel  # noqa: E402


def network(dtype: torch.dtype = torch.float64) -> Symmetrizer:
    torch.manual_seed(0)
    small = {"width": 8, "heads": 1, "rounds": 1, "layers": 1}
    net = PET({"energy": "0e"}, species=[1, 6, 8, 14, 26], cutoff=4.0, **small)
    return Symmetrizer(net.to(dtype))


def test_its_own_test_of_conformance() -> None:
    validate_model_outputs(TorchSimModel(network()), torch.device("cpu"), torch.float64)


def test_a_batch_has_the_numbers_of_the_calculator() -> None:
    model = TorchSimModel(network())
    images = [bulk("Si", "diamond", 5.43), bulk("Fe", "bcc", 2.87, cubic=True)]
    for atoms in images:
        atoms.rattle(0.2, seed=0)
    found = model(torch_sim.io.atoms_to_state(images, torch.device("cpu"), torch.float64))
    forces = found["forces"].split([len(atoms) for atoms in images])
    for number, atoms in enumerate(images):
        atoms.calc = SymmetrizedCalculator(network())
        assert float(found["energy"][number]) == pytest.approx(
            atoms.get_potential_energy(), abs=1e-10
        )
        np.testing.assert_allclose(forces[number], atoms.get_forces(), atol=1e-10)
        np.testing.assert_allclose(
            found["stress"][number], atoms.get_stress(voigt=False), atol=1e-10
        )


def test_dynamics_keep_energy_and_angular_momentum() -> None:
    images = [molecule("CH3OH"), molecule("H2O")]
    for atoms in images:
        atoms.pbc = False
        atoms.cell = np.eye(3) * 100
    model = TorchSimModel(network())
    state = torch_sim.io.atoms_to_state(images, torch.device("cpu"), torch.float64)
    state.pbc = False
    step, temperature = torch.tensor([0.02, 0.025], dtype=torch.float64)
    begin, further = torch_sim.integrators.nve(model, dt=step, kT=temperature, seed=0)
    state = begin(state)

    def angular(state: object) -> torch.Tensor:
        turning = torch.linalg.cross(state.positions, state.momenta)  # type: ignore[attr-defined]
        return turning.new_zeros(2, 3).index_add(0, state.system_idx, turning)  # type: ignore[attr-defined]

    def energy(state: object) -> torch.Tensor:
        moving = state.momenta.square().sum(1) / state.masses / 2  # type: ignore[attr-defined]
        return state.energy.index_add(0, state.system_idx, moving)  # type: ignore[attr-defined]

    before, first = angular(state), energy(state)
    for _ in range(20):
        state = further(state)
    torch.testing.assert_close(angular(state), before, atol=1e-9, rtol=0)
    torch.testing.assert_close(energy(state), first, atol=2e-4, rtol=0)


def test_energies_of_points_and_what_drops_out_in_training() -> None:
    class Points(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop = torch.nn.Dropout(0.5)

        def forward(self, data: Data) -> torch.Tensor:
            return self.drop(data.pos.square().sum(1, keepdim=True))

    images = [bulk("Si", "diamond", 5.43), bulk("Si", cubic=True)]
    state = torch_sim.io.atoms_to_state(images, torch.device("cpu"), torch.float64)
    found = TorchSimModel(Points())(state)["energy"]
    expected = [float(np.square(atoms.positions).sum()) for atoms in images]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_another_dtype_is_refused() -> None:
    state = torch_sim.io.atoms_to_state([bulk("Si")], torch.device("cpu"), torch.float64)
    with pytest.raises(TypeError, match=r"net\.double\(\)"):
        TorchSimModel(network(torch.float32))(state)
