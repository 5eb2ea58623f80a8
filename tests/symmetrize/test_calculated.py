"""Calculators of ase as networks: what is symmetrized of them has exact derivatives."""

from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from scipy.spatial.transform import Rotation
from torch_geometric.data import Batch, Data

from backbones import PET
from symmetrize import (
    HierarchicalFrames,
    SymmetrizedCalculator,
    Symmetrizer,
    forces_and_stress,
    from_ase,
    from_calculator,
)

# Shapes are checked in other tests: here they would take most of the time
pytestmark = pytest.mark.usefixtures("unchecked_shapes")


def network() -> PET:
    torch.manual_seed(0)
    small = {"rounds": 1, "layers": 1}
    return PET(
        {"energy": "0e"}, species=[1, 6, 8, 14], cutoff=4.0, width=8, heads=1, **small
    ).double()


def black_box() -> SymmetrizedCalculator:
    """A potential that does not respect rotations, of which only a calculator is left."""
    return SymmetrizedCalculator(network())


def symmetrized(calculator: Any, **options: Any) -> SymmetrizedCalculator:
    return SymmetrizedCalculator(Symmetrizer(from_calculator(calculator, **options)))


def structures() -> dict[str, Atoms]:
    found = {"molecule": molecule("CH3OH"), "line": molecule("CO2"), "atom": Atoms("C")}
    found["crystal"] = bulk("Si", "diamond", 5.43)
    found["slab"] = bulk("Si", "diamond", 5.43, cubic=True)
    found["slab"].pbc = [True, True, False]
    found["slab without a height"] = bulk("Si", "diamond", 5.43, cubic=True)
    found["slab without a height"].pbc = [True, True, False]
    found["slab without a height"].cell[2] = 0
    for atoms in found.values():
        # far from symmetric, so that there are few frames
        atoms.rattle(0.3 if atoms.pbc.any() else 0.05, seed=1)
    return found


@pytest.mark.parametrize("name", structures())
def test_the_same_numbers_as_with_the_network_itself(name: str) -> None:
    ours, theirs = structures()[name], structures()[name]
    ours.calc = symmetrized(black_box(), cutoff=4.0)
    theirs.calc = SymmetrizedCalculator(Symmetrizer(network()))
    assert ours.get_potential_energy() == pytest.approx(theirs.get_potential_energy(), abs=1e-11)
    size = max(1e-3, float(np.abs(theirs.get_forces()).max()))
    # differences over turns have the digits that they have
    np.testing.assert_allclose(ours.get_forces(), theirs.get_forces(), atol=1e-8 * size)
    if theirs.pbc.all():
        np.testing.assert_allclose(ours.get_stress(), theirs.get_stress(), atol=1e-9)


@pytest.mark.parametrize("name", ["molecule", "crystal"])
def test_what_turns_turns(name: str) -> None:
    atoms = structures()[name]
    atoms.calc = symmetrized(black_box(), cutoff=4.0)
    turned = atoms.copy()
    turn = Rotation.random(rng=np.random.default_rng(0)).as_matrix()
    turned.set_cell(atoms.cell @ turn.T)
    turned.set_positions(atoms.positions @ turn.T)
    turned.calc = atoms.calc
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    assert turned.get_potential_energy() == pytest.approx(energy, abs=1e-10)
    np.testing.assert_allclose(turned.get_forces(), forces @ turn.T, atol=1e-8)
    bare = atoms.copy()
    bare.calc = black_box()
    assert abs(bare.get_potential_energy() - energy) > 1e-4


def test_without_the_derivative_of_turns_forces_are_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    atoms = structures()["crystal"]
    atoms.calc = symmetrized(black_box(), cutoff=4.0)
    right = atoms.get_forces()
    monkeypatch.setattr("symmetrize.atoms.calculated.WEIGHTS", ())
    atoms.calc = symmetrized(black_box(), cutoff=4.0)
    assert np.abs(atoms.get_forces() - right).max() > 1e-3 * np.abs(right).max()


def test_what_is_invariant_stays_as_it_is() -> None:
    copper = bulk("Cu", cubic=True)
    copper.rattle(0.1, seed=0)
    copper.calc = EMT()
    energy, forces, stress = (
        copper.get_potential_energy(), copper.get_forces(), copper.get_stress()
    )  # fmt: skip
    model = Symmetrizer(from_calculator(EMT()), frames=HierarchicalFrames(cutoff=6.0))
    copper.calc = SymmetrizedCalculator(model)
    assert copper.get_potential_energy() == pytest.approx(energy, abs=1e-11)
    np.testing.assert_allclose(copper.get_forces(), forces, atol=1e-9)
    np.testing.assert_allclose(copper.get_stress(), stress, atol=1e-9)


def test_calculators_in_single_precision_have_three_digits() -> None:
    atoms, exact = structures()["crystal"], structures()["crystal"]
    single = SymmetrizedCalculator(network().float())
    atoms.calc = symmetrized(single, cutoff=4.0)
    exact.calc = SymmetrizedCalculator(Symmetrizer(network()))
    size = float(np.abs(exact.get_forces()).max())
    np.testing.assert_allclose(atoms.get_forces(), exact.get_forces(), atol=5e-3 * size)


def test_batches_without_ptr_and_empty_structures() -> None:
    batch = torch.tensor([0, 0, 2])
    pos = torch.tensor([[0.0, 0, 0], [1.1, 0, 0], [5, 0, 0]], dtype=torch.float64)
    data = Data(pos=pos, z=torch.tensor([8, 1, 8]), batch=batch)
    energy = from_calculator(black_box())(data)["energy"]
    assert energy.shape == (3, 1)
    assert float(energy[1]) == 0.0
    assert abs(float(energy[2])) > 0


def test_batches_and_single_precision() -> None:
    model = Symmetrizer(from_calculator(black_box()))
    items = from_ase([structures()[name] for name in ("molecule", "atom", "line")], [])
    for one in items:
        del one.cell, one.pbc
    found = forces_and_stress(model, Batch.from_data_list(items))
    for place, one in enumerate(items):
        alone = forces_and_stress(model, one)
        torch.testing.assert_close(found.energy[place], alone.energy[0], atol=1e-10, rtol=0)
    single = items[0].clone()
    single.pos = single.pos.float()
    assert forces_and_stress(model, single).forces.dtype == torch.float32


class WithoutStress(Calculator):
    implemented_properties = ["energy", "forces"]  # noqa: RUF012

    def calculate(
        self, atoms: Any = None, properties: Any = (), changes: Any = all_changes
    ) -> None:
        super().calculate(atoms, properties, changes)
        self.results = {"energy": 0.0, "forces": np.zeros((len(atoms), 3))}


def test_mistakes() -> None:
    with pytest.raises(TypeError, match="must be a calculator of ase"):
        from_calculator(network())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no `z`"):
        from_calculator(EMT())(Data(pos=torch.zeros(1, 3)))
    silicon = structures()["crystal"]
    silicon.calc = symmetrized(WithoutStress(), cutoff=4.0)
    with pytest.raises(NotImplementedError):
        silicon.get_forces()
    methanol = structures()["molecule"]
    methanol.calc = symmetrized(WithoutStress())
    assert methanol.get_forces().shape == (6, 3)


def test_second_derivatives_are_refused() -> None:
    (data,) = from_ase([molecule("H2O")], [])
    del data.cell, data.pbc
    data.pos.requires_grad_()
    energy = from_calculator(black_box())(data)["energy"]
    (slope,) = torch.autograd.grad(energy.sum(), data.pos, create_graph=True)
    with pytest.raises(NotImplementedError, match="first derivatives only"):
        torch.autograd.grad(slope.sum(), data.pos)
