"""The calculator of ase: units, derivatives, conservation laws, what changes between steps."""

from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.calculators.calculator import PropertyNotImplementedError
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS
from torch_geometric.data import Data

from backbones import PET
from symmetrize import (
    HierarchicalFrames,
    SymmetrizedCalculator,
    Symmetrizer,
    forces_and_stress,
    from_ase,
)

SPECIES = [1, 6, 8, 14]


def network(**outputs: str) -> PET:
    torch.manual_seed(0)
    net = PET({"energy": "0e", **outputs}, species=SPECIES, cutoff=4.0, width=16, hidden=16)
    return net.double().eval()


def calculator(**options: Any) -> SymmetrizedCalculator:
    return SymmetrizedCalculator(Symmetrizer(network()), **options)


def rattled(atoms: Atoms, amount: float = 0.1) -> Atoms:
    atoms = atoms.copy()
    atoms.rattle(amount, seed=1)
    return atoms


def test_a_model_that_returns_a_tensor_is_one_of_energies() -> None:
    def springs(data: Data) -> torch.Tensor:
        """To planes through the center, of other strengths."""
        strength = data.pos.new_tensor([1.0, 2.0, 3.0])
        each = (data.pos.square() * strength).sum(1, keepdim=True)
        return each.new_zeros(data.num_graphs, 1).index_add(0, data.batch, each)

    atoms = rattled(molecule("CH3OH"))
    atoms.calc = SymmetrizedCalculator(Symmetrizer(springs, outputs="0e"))
    assert "output" not in atoms.calc.implemented_properties
    assert atoms.calc.get_property("energy_uncertainty", atoms) > 0
    assert abs(atoms.get_forces().sum()) < 1e-12


def test_what_the_model_says() -> None:
    model = Symmetrizer(network(dipole="1o"))
    atoms = rattled(molecule("CH3OH"))
    atoms.calc = SymmetrizedCalculator(model)
    data = from_ase(atoms, [])
    del data.cell, data.pbc
    found = forces_and_stress(model, data)
    assert atoms.get_potential_energy() == pytest.approx(float(found.energy.detach()), abs=1e-12)
    np.testing.assert_allclose(atoms.get_forces(), found.forces, atol=1e-12)
    np.testing.assert_allclose(
        atoms.get_dipole_moment(), model(data)["dipole"][0].detach(), atol=1e-12
    )
    spread = atoms.calc.get_property("energy_uncertainty", atoms)
    assert spread == pytest.approx(float(model.spread(data)["energy"].detach()), abs=1e-12)
    with pytest.raises(PropertyNotImplementedError):
        atoms.get_magnetic_moment()


def test_stress_has_the_sign_and_the_order_of_ase() -> None:
    atoms = rattled(bulk("Si", cubic=True), 0.05)
    atoms.calc = calculator()
    numerical = np.zeros(6)
    step = 1e-5
    for k, (i, j) in enumerate([(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]):
        energies = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[i, j] += sign * step / 2
            strain[j, i] += sign * step / 2
            other = atoms.copy()
            other.set_cell(atoms.cell @ strain, scale_atoms=True)
            other.calc = atoms.calc
            energies.append(other.get_potential_energy())
        numerical[k] = (energies[0] - energies[1]) / (2 * step) / atoms.get_volume()
    np.testing.assert_allclose(atoms.get_stress(), numerical, atol=1e-7)


@pytest.mark.parametrize(
    "change",
    [
        lambda atoms: atoms.positions.__iadd__(0.05 * np.arange(3)[None] * np.arange(8)[:, None]),
        lambda atoms: atoms.set_cell(1.02 * atoms.cell.array, scale_atoms=True),
        lambda atoms: atoms.set_atomic_numbers([6, *[14] * 7]),
        lambda atoms: atoms.set_pbc([True, True, False]),
        lambda atoms: atoms.append("H"),
        lambda atoms: atoms.__delitem__(0),
    ],
    ids=["positions", "cell", "species", "periods", "one more", "one less"],
)
def test_nothing_is_kept_from_the_step_before(change: Any) -> None:
    atoms = rattled(bulk("Si", cubic=True), 0.05)
    atoms.calc = calculator()
    before = atoms.get_potential_energy()
    change(atoms)
    fresh = atoms.copy()
    fresh.calc = calculator()
    assert atoms.get_potential_energy() == fresh.get_potential_energy() != before
    np.testing.assert_array_equal(atoms.get_forces(), fresh.get_forces())


def test_wrapping_changes_nothing() -> None:
    atoms = rattled(bulk("Si", cubic=True), 0.05)
    atoms.calc = calculator()
    before = atoms.get_potential_energy()
    atoms.positions[3] += atoms.cell[0] - 2 * atoms.cell[1]
    assert atoms.get_potential_energy() == pytest.approx(before, abs=1e-11)
    atoms.wrap()
    assert atoms.get_potential_energy() == pytest.approx(before, abs=1e-11)


def test_energy_momentum_and_angular_momentum_are_conserved() -> None:
    atoms = rattled(molecule("H2O"), 0.02)
    atoms.calc = calculator()
    momenta = 0.3 * np.random.default_rng(0).normal(size=(3, 3))
    atoms.set_momenta(momenta - momenta.mean(0))
    total, angular = atoms.get_total_energy(), atoms.get_angular_momentum()
    energies = []
    dynamics = VelocityVerlet(atoms, timestep=0.25 * units.fs)
    dynamics.attach(lambda: energies.append(atoms.get_total_energy()))
    dynamics.run(80)
    swing = np.ptp([e - atoms.get_kinetic_energy() for e in energies])
    assert np.abs(np.array(energies) - total).max() <= 0.05 * max(swing, 1e-3)
    np.testing.assert_allclose(atoms.get_momenta().sum(0), 0, atol=1e-11)
    np.testing.assert_allclose(atoms.get_angular_momentum(), angular, atol=1e-10)


def test_a_bare_network_turns_what_should_not_turn() -> None:
    atoms = rattled(molecule("H2O"), 0.05)
    atoms.calc = SymmetrizedCalculator(network())
    torque = np.cross(atoms.positions, atoms.get_forces()).sum(0)
    assert np.abs(torque).max() > 1e-6
    assert "energy_uncertainty" not in atoms.calc.implemented_properties


def test_a_relaxation_comes_to_its_end() -> None:
    atoms = rattled(molecule("H2O"), 0.02)
    atoms.calc = calculator()
    assert BFGS(atoms, logfile=None).run(fmax=1e-3, steps=200)


def test_energies_of_atoms_add_up() -> None:
    class Pairs(torch.nn.Module):
        def forward(self, data: Data) -> dict[str, torch.Tensor]:
            away = torch.cdist(data.pos, data.pos)
            return {"energy": torch.exp(-away).sum(1, keepdim=True)}

    from symmetrize import Contract, per_point

    net = Pairs()
    net.contract = Contract({"energy": per_point("0e")}, smoothness=None)
    atoms = molecule("CH4")
    atoms.calc = SymmetrizedCalculator(net)
    assert atoms.get_potential_energies().shape == (5,)
    assert atoms.get_potential_energies().sum() == pytest.approx(atoms.get_potential_energy())


def test_single_precision_and_scope_center() -> None:
    local = Symmetrizer(
        PET({"energy": "0e"}, species=SPECIES, cutoff=3.0, width=16, hidden=16, rounds=1),
        scope="center",
        reduce="sum",
        frames=HierarchicalFrames(4.0),
    )
    atoms = rattled(bulk("Si", cubic=True), 0.05)
    atoms.calc = SymmetrizedCalculator(local)
    assert atoms.calc.dtype == torch.float32
    assert np.isfinite(atoms.get_forces()).all()
    assert np.abs(atoms.get_forces().sum(0)).max() < 1e-4
    assert atoms.get_stress().shape == (6,)


def test_species_that_are_not_known() -> None:
    atoms = molecule("CH3Cl")
    atoms.calc = calculator(species=SPECIES)
    with pytest.raises(ValueError, match=r"\[17\], but the model knows \[1, 6, 8, 14\]"):
        atoms.get_potential_energy()
