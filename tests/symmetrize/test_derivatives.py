"""Forces, virial and stress against differences of the energy, and the laws they obey."""

import copy

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from symmetrize import HierarchicalFrames, Symmetrizer, neighbor_list
from symmetrize.derivatives import forces_and_stress
from tests.common.strata import CASES, TURNS, collate

CUTOFF = 3.0
CELL = torch.tensor([[2.5, 0.0, 0.0], [0.4, 2.2, 0.0], [-0.3, 0.5, 2.7]], dtype=torch.float64)


def energies(data: Data) -> Tensor:
    """A smooth energy of atoms that no rotation or reflection leaves as it is."""
    cell = data.get("cell")
    found = neighbor_list(data.pos.detach(), CUTOFF, data.batch, None if cell is None else cell)
    vectors = data.pos[found.neighbor] - data.pos[found.center]
    batch = torch.zeros(len(data.pos), dtype=torch.long) if data.batch is None else data.batch
    if cell is not None:
        cells = cell.reshape(-1, 3, 3)[batch[found.center]]
        vectors = vectors + torch.einsum("ei,eij->ej", found.shift.to(cells), cells)
    fade = (1 - vectors.square().sum(-1) / CUTOFF**2).clamp(min=0) ** 4
    tilt = 1 + 0.6 * torch.tanh(vectors @ torch.tensor([0.5, -1.0, 0.7]).to(vectors))
    size = data.num_graphs if isinstance(data, Batch) else 1
    atoms = vectors.new_zeros(len(data.pos)).index_add(0, found.center, fade * tilt)
    return vectors.new_zeros(size).index_add(0, batch, torch.log1p(atoms))


MODELS = {
    "bare": energies,
    "symmetrized": Symmetrizer(
        lambda data: energies(data)[:, None], "0e", frames=HierarchicalFrames(CUTOFF)
    ),
}
models = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


def crystal() -> Data:
    pos = torch.tensor([[0.0, 0.1, 0.2], [1.1, 0.9, 1.4], [0.5, 1.9, 0.3]], dtype=torch.float64)
    return Data(pos=pos, cell=CELL[None], pbc=torch.ones(1, 3, dtype=torch.bool))


def molecule() -> Data:
    return Data(pos=CASES["generic"].points())


@models
@pytest.mark.parametrize("make", [crystal, molecule])
def test_they_are_differences_of_the_energy(model, make):
    data, step = make(), 1e-5
    found = forces_and_stress(model, data)
    rng = torch.Generator().manual_seed(1)
    moved = torch.randn(data.pos.shape, generator=rng, dtype=torch.float64)
    strain = torch.randn(3, 3, generator=rng, dtype=torch.float64)
    strain = strain + strain.T

    def difference(change) -> float:
        values = []
        for sign in (1, -1):
            there = copy.copy(data)
            change(there, sign * step)
            values.append(float(model(there).sum()))
        return (values[0] - values[1]) / (2 * step)

    def move(there: Data, by: float) -> None:
        there.pos = data.pos + by * moved

    def deform(there: Data, by: float) -> None:
        change = torch.eye(3, dtype=torch.float64) + by * strain
        there.pos = data.pos @ change
        if data.get("cell") is not None:
            there.cell = data.cell @ change

    # central differences err by step^2 times third derivatives, of order 1e4 at most
    tolerance = 1e-6
    assert abs(difference(move) + float((found.forces * moved).sum())) < tolerance
    assert abs(difference(deform) + float((found.virial[0] * strain).sum())) < tolerance
    if make is crystal:
        volume = float(torch.linalg.det(CELL).abs())
        torch.testing.assert_close(found.stress, -found.virial / volume)
    else:
        assert found.stress is None


def test_stress_is_positive_under_tension():
    # a stretched spring in a box pulls its faces inwards: ase's sign
    def spring(data: Data) -> Tensor:
        return ((data.cell[0, 2, 2] - 2) ** 2 / 2)[None]

    data = Data(pos=torch.zeros(1, 3), cell=torch.diag(torch.tensor([1.0, 1.0, 3.0]))[None])
    stress = forces_and_stress(spring, data).stress
    # dE/de = (3 - 2) * 3 in a volume of 3
    torch.testing.assert_close(stress[0], torch.diag(torch.tensor([0.0, 0.0, 1.0])))


@pytest.mark.parametrize("name", ["generic", "inversion", "improper", "third turn about 111"])
def test_derivatives_of_a_symmetrized_energy_are_equivariant(name):
    matrix = TURNS[name].matrix()
    data = crystal()
    turned = Data(pos=data.pos @ matrix.T, cell=data.cell @ matrix.T, pbc=data.pbc)
    errors = {}
    for kind, model in MODELS.items():
        here, there = forces_and_stress(model, data), forces_and_stress(model, turned)
        errors[kind] = max(
            float((there.forces - here.forces @ matrix.T).abs().max()),
            float((there.stress - matrix @ here.stress @ matrix.T).abs().max()),
        )
    # sums of tens of derivatives of order 1
    assert errors["symmetrized"] < 1e-12
    assert errors["bare"] > 1e-3, "the bare energy is invariant: this test sees nothing"


def test_a_symmetrized_energy_exerts_no_torque():
    points = CASES["generic"].points()
    for kind, model in MODELS.items():
        forces = forces_and_stress(model, Data(pos=points)).forces
        torque = torch.linalg.cross(points, forces, dim=-1).sum(0).norm()
        assert forces.sum(0).norm() < 1e-12
        assert (torque < 1e-12) if kind == "symmetrized" else (torque > 1e-2)


@models
def test_structures_of_a_batch_are_apart(model):
    rows = [CASES[n].points() for n in ("generic", "line", "plane", "atom", "empty")]
    together = forces_and_stress(model, collate(rows))
    alone = [forces_and_stress(model, collate([row])) for row in rows]
    torch.testing.assert_close(together.forces, torch.cat([a.forces for a in alone]))
    torch.testing.assert_close(together.virial, torch.cat([a.virial for a in alone]))
    assert together.stress is None


def test_a_structure_without_volume_has_no_stress_and_spoils_no_other():
    whole, slab = crystal(), crystal()
    slab.pbc = torch.tensor([[True, True, False]])
    empty = crystal()
    empty.cell = torch.zeros(1, 3, 3, dtype=torch.float64)
    data = Batch.from_data_list([whole, slab, empty])
    data.pos.requires_grad_()
    found = forces_and_stress(energies, data, create_graph=True)
    assert torch.isfinite(found.stress[0]).all()
    assert torch.isnan(found.stress[1:]).all()
    (gradient,) = torch.autograd.grad(found.stress[0].sum(), data.pos)
    assert torch.isfinite(gradient).all()


@models
def test_they_can_be_differentiated_again(model):
    data = molecule()
    data.pos.requires_grad_()
    forces = forces_and_stress(model, data, create_graph=True).forces
    (product,) = torch.autograd.grad(forces[0, 0], data.pos)
    step, there = 1e-4, molecule()
    there.pos[2, 1] += step
    ahead = forces_and_stress(model, there).forces[0, 0]
    there.pos[2, 1] -= 2 * step
    behind = forces_and_stress(model, there).forces[0, 0]
    # as above, of fourth derivatives
    assert abs(float(product[2, 1] - (ahead - behind) / (2 * step))) < 1e-5


def test_the_data_is_left_as_it_was():
    data = crystal()
    before = data.clone()
    forces_and_stress(energies, data)
    assert data.keys() == before.keys()
    assert torch.equal(data.pos, before.pos)
    assert not data.pos.requires_grad


def test_it_works_where_gradients_are_switched_off():
    with torch.no_grad():
        assert forces_and_stress(energies, molecule()).forces.abs().max() > 0


def test_an_energy_that_depends_on_nothing_has_no_forces():
    found = forces_and_stress(lambda data: torch.ones(1), crystal())
    assert found.forces.abs().max() == 0
    assert found.stress.abs().max() == 0


def test_energies_are_found_by_name_and_refused_by_shape():
    data = molecule()
    plain = forces_and_stress(energies, data).forces
    named = forces_and_stress(lambda d: {"energy/x": energies(d)}, data, energy="energy/x").forces
    assert torch.equal(plain, named)
    with pytest.raises(ValueError, match=r"a dict of \{'u': .* but no 'energy'.*energy='u'"):
        forces_and_stress(lambda d: {"u": energies(d)}, data)
    with pytest.raises(ValueError, match=r"shape \(5, 3\) but must have one number for each of 1"):
        forces_and_stress(lambda d: d.pos, data)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode], ids=lambda m: m.__name__)
def test_forces_without_gradients_around_are_the_same(mode):
    def energy(data):
        return data.pos.square().sum()[None] * 3

    data = Data(pos=torch.tensor([[0.0, 0.0, 1.0], [0.5, 0.0, 0.0]]))
    with mode():
        made_here = Data(pos=data.pos.clone())
        for one in (data, made_here):
            found = forces_and_stress(energy, one)
            torch.testing.assert_close(found.forces, -6 * data.pos)
