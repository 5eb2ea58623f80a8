"""Data from ase and back: shapes, units, and what each file of the field says of itself."""

import os
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader

import symmetrize
from backbones import PET
from symmetrize import Symmetrizer, forces_and_stress, from_ase, per_point, to_ase

ase = pytest.importorskip("ase")
from ase.build import bulk, fcc111, molecule  # noqa: E402
from ase.calculators.emt import EMT  # noqa: E402
from ase.calculators.singlepoint import SinglePointCalculator  # noqa: E402
from ase.constraints import FixAtoms, FixBondLength  # noqa: E402
from ase.io import read, write  # noqa: E402

FILES = Path(os.environ.get("SYMMETRIZE_DATA", "no such folder"))


def computed(atoms: ase.Atoms, seed: int = 0) -> ase.Atoms:
    """With results of a calculator, of all kinds."""
    random = np.random.default_rng(seed)
    number = len(atoms)
    atoms.calc = SinglePointCalculator(
        atoms,
        energy=-3.5,
        free_energy=-3.25,
        forces=random.normal(size=(number, 3)),
        stress=random.normal(size=6),
        dipole=random.normal(size=3),
        charges=random.normal(size=number),
        energies=random.normal(size=number),
        magmom=0.5,
    )
    return atoms


def slab() -> ase.Atoms:
    """A slab, periodic in two directions, with atoms of the lowest layer fixed."""
    atoms = fcc111("Cu", (1, 1, 3), vacuum=6.0)
    atoms.set_constraint(FixAtoms(mask=atoms.positions[:, 2] < 7))
    return atoms


CASES = {
    "molecule": lambda: molecule("H2O"),
    "crystal": lambda: bulk("NaCl", "rocksalt", 5.6),
    "slab": slab,
    "atom": lambda: ase.Atoms("He"),
    "nothing": lambda: ase.Atoms(),
    "empty box": lambda: ase.Atoms(cell=[3, 4, 5], pbc=True),
    "wire": lambda: ase.Atoms("Au", cell=[0, 0, 2.5], pbc=[False, False, True]),
    "periods without a cell": lambda: ase.Atoms("H2", [[0, 0, 0], [0, 0, 0.7]], pbc=True),
    "molecule in a box": lambda: ase.Atoms("CO", [[0, 0, 0], [0, 0, 1.1]], cell=[9, 9, 9]),
    "left-handed": lambda: ase.Atoms("Li", cell=[[0, 3, 0], [3, 0, 0], [0, 0, 3]], pbc=True),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", CASES)
def test_geometry_comes_over(name, dtype):
    atoms = CASES[name]()
    data = from_ase(atoms, dtype=dtype)
    assert sorted(data.keys()) == ["cell", "pbc", "pos", "z"]
    assert data.pos.dtype == data.cell.dtype == dtype
    assert data.pos.shape == (len(atoms), 3)
    assert data.cell.shape == (1, 3, 3)
    assert data.pbc.shape == (1, 3)
    assert data.pbc.dtype == torch.bool
    assert data.z.dtype == torch.long
    np.testing.assert_allclose(data.pos.numpy(), atoms.positions, rtol=1e-7)
    np.testing.assert_allclose(data.cell[0].numpy(), atoms.cell.array, rtol=1e-7)
    assert data.z.tolist() == atoms.numbers.tolist()
    # a vector of zeros is no period, whatever the flag says
    assert data.pbc[0].tolist() == (atoms.pbc & atoms.cell.array.any(1)).tolist()


@pytest.mark.parametrize("name", CASES)
def test_geometry_goes_back(name):
    atoms = CASES[name]()
    back = to_ase(from_ase(atoms))
    assert back.positions.tolist() == atoms.positions.tolist()
    assert back.cell.array.tolist() == atoms.cell.array.tolist()
    assert back.numbers.tolist() == atoms.numbers.tolist()
    assert back.pbc.tolist() == (atoms.pbc & atoms.cell.array.any(1)).tolist()
    assert back.calc is None
    assert not back.info


def test_all_of_them_collate():
    """Molecules before crystals, too: torch-geometric takes the names from the first."""
    images = [make() for make in CASES.values()]
    batch = Batch.from_data_list(from_ase(images))
    assert batch.cell.shape == (len(images), 3, 3)
    assert batch.pbc.shape == (len(images), 3)
    assert batch.pbc[1].all()
    back = to_ase(batch)
    assert [len(atoms) for atoms in back] == [len(atoms) for atoms in images]
    for there, here in zip(back, images, strict=True):
        assert there.positions.tolist() == here.positions.tolist()
        assert there.symbols.get_chemical_formula() == here.symbols.get_chemical_formula()


# --- targets

SHAPES = {
    "energy": (1, 1),
    "free_energy": (1, 1),
    "forces": (3, 3),
    "stress": (1, 3, 3),
    "dipole": (1, 3),
    "charges": (3, 1),
    "energies": (3, 1),
    "magmom": (1, 1),
}


def test_what_a_calculator_has_computed_comes_along():
    atoms = computed(molecule("H2O"))
    data = from_ase(atoms, dtype=torch.float32)
    results = atoms.calc.results
    for name, shape in SHAPES.items():
        assert data[name].shape == shape, name
        assert data[name].dtype == torch.float32
    np.testing.assert_allclose(data.forces.numpy(), results["forces"], rtol=1e-6)
    np.testing.assert_allclose(data.dipole[0].numpy(), results["dipole"], rtol=1e-6)
    xx, yy, zz, yz, xz, xy = results["stress"]
    np.testing.assert_allclose(
        data.stress[0].numpy(), [[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]], rtol=1e-6
    )


def test_and_goes_back():
    images = [computed(molecule("H2O"), 1), computed(slab(), 2), computed(ase.Atoms("He"), 3)]
    back = to_ase(Batch.from_data_list(from_ase(images)))
    for there, here in zip(back, images, strict=True):
        assert there.calc.results.keys() == here.calc.results.keys()
        for name, value in here.calc.results.items():
            np.testing.assert_allclose(there.calc.results[name], value, rtol=1e-15, err_msg=name)
        assert there.get_potential_energy() == -3.5


def test_targets_have_the_shapes_of_outputs():
    """So that no difference broadcasts to all pairs of structures."""
    outputs = {"energy": "0e", "dipole": "1o", "stress": "ij=ji", "forces": per_point("1o")}
    outputs["charges"] = per_point("0e")
    images = [computed(molecule("H2O"), seed) for seed in range(3)]
    (batch,) = DataLoader(from_ase(images, dtype=torch.float32), batch_size=3)
    found = Symmetrizer(PET(outputs, [1, 8], width=8, heads=2))(batch)
    assert {n: v.shape for n, v in found.items()} == {n: batch[n].shape for n in outputs}


def test_stress_has_the_sign_and_the_unit_of_derivatives():
    """Of a pair potential in both: ase's own stress, and the derivative by strain."""
    atoms = bulk("Cu", a=3.5) * (2, 2, 2)
    atoms.rattle(0.05, seed=0)
    atoms.set_cell(atoms.cell @ np.diag([1.0, 1.02, 1.05]), scale_atoms=True)
    atoms.calc = EMT()
    atoms.get_stress()
    data = from_ase(atoms, ["stress", "forces"])
    step = 1e-4
    for i, j in ((0, 0), (1, 2)):
        strain = np.zeros((3, 3))
        strain[i, j] += step / 2
        strain[j, i] += step / 2
        energies = []
        for sign in (1, -1):
            strained = atoms.copy()
            strained.set_cell(atoms.cell @ (np.eye(3) + sign * strain), scale_atoms=True)
            strained.calc = EMT()
            energies.append(strained.get_potential_energy())
        slope = (energies[0] - energies[1]) / (2 * step) / atoms.get_volume()
        assert data.stress[0, i, j].item() == pytest.approx(slope, rel=1e-4)


def test_only_what_is_named():
    atoms = computed(molecule("H2O"))
    atoms.info |= {"REF_energy": -4, "external_field": [0, 0, 1], "label": "water", "charge": 1}
    atoms.arrays["REF_forces"] = np.ones((3, 3), dtype=np.float32)
    atoms.set_velocities(np.arange(9.0).reshape(3, 3))
    atoms.set_tags([1, 2, 3])
    atoms.set_constraint(FixAtoms([1]))
    names = {
        "energy": "REF_energy",
        "forces": "REF_forces",
        "field": "external_field",
        **{n: n for n in ("label", "charge", "velocities", "momenta", "masses", "tags", "fixed")},
    }
    data = from_ase(atoms, names)
    assert sorted(set(data.keys()) - {"pos", "z", "cell", "pbc"}) == sorted(names)
    assert data.energy.tolist() == [[-4.0]]  # a number without a point in a file
    assert data.energy.dtype == data.field.dtype == data.forces.dtype == torch.float64
    assert data.forces.tolist() == [[1.0] * 3] * 3
    assert data.field.tolist() == [[0.0, 0.0, 1.0]]
    assert (data.label, data.charge.tolist()) == ("water", [1])
    assert data.tags.tolist() == [1, 2, 3]
    assert data.fixed.tolist() == [False, True, False]
    assert data.masses.shape == (3, 1)
    torch.testing.assert_close(data.momenta, data.velocities * data.masses)

    again = to_ase(data)
    assert again.info == {"field": pytest.approx([0, 0, 1]), "label": "water", "charge": 1}
    np.testing.assert_allclose(again.get_velocities(), atoms.get_velocities(), atol=1e-14)
    assert again.get_tags().tolist() == [1, 2, 3]
    assert again.constraints[0].index.tolist() == [1]
    assert again.get_potential_energy() == -4.0
    several = to_ase(Batch.from_data_list([data, data]))
    assert [atoms.info["label"] for atoms in several] == ["water", "water"]
    assert [atoms.info["charge"] for atoms in several] == [1, 1]


def test_predictions_go_back():
    torch.manual_seed(0)
    images = [molecule("H2O"), bulk("MgO", "rocksalt", 4.2)]
    data = Batch.from_data_list(from_ase(images))
    model = Symmetrizer(PET("0e", [1, 8, 12], width=8, heads=2).double())
    found = forces_and_stress(model, data)
    results = {"energy": found.energy, "forces": found.forces, "stress": found.stress}
    water, crystal = to_ase(data, results)
    assert water.get_potential_energy() == found.energy[0].item()
    np.testing.assert_array_equal(crystal.get_forces(), found.forces[3:].detach().numpy())
    assert crystal.get_stress(voigt=False) == pytest.approx(found.stress[1].detach().numpy())
    assert "stress" not in water.calc.results  # it has no volume
    assert "energy" not in data


def test_data_without_cells_in_one_piece():
    """As made by hand: flat, with ``batch``, in any order."""
    data = Data(
        pos=torch.arange(9.0).reshape(3, 3),
        z=torch.tensor([8, 1, 6]),
        batch=torch.tensor([1, 0, 1]),
        energy=torch.tensor([1.0, 2.0]),
        edge_index=torch.tensor([[0, 2], [2, 0]]),
        edge_weight=torch.ones(2),
    )
    one, other = to_ase(data)
    assert (str(one.symbols), str(other.symbols)) == ("H", "OC")
    assert one.positions.tolist() == [[3.0, 4.0, 5.0]]
    assert other.get_potential_energy() == 2.0
    assert not other.info
    assert one.cell.rank == 0
    single = Data(pos=data.pos, z=data.z, cell=2 * torch.eye(3), energy=torch.tensor(3.0))
    atoms = to_ase(single)
    assert atoms.pbc.all()  # as everywhere in this library
    assert atoms.get_potential_energy() == 3.0


# --- what is refused


def test_results_of_other_positions_are_left_out():
    atoms = computed(molecule("H2O"))
    atoms.positions[0, 0] += 0.1
    with pytest.warns(UserWarning, match="'energy'.*are left out: positions changed"):
        data = from_ase(atoms)
    assert "energy" not in data
    with pytest.raises(ValueError, match=r"the atoms OH2 have no 'energy'"):
        from_ase(atoms, ["energy"])


def test_nothing_is_computed():
    atoms = molecule("H2O")
    atoms.calc = EMT()
    assert "energy" not in from_ase(atoms)
    with pytest.raises(ValueError, match=r"no 'energy'.*atoms.get_potential_energy\(\)"):
        from_ase(atoms, ["energy"])
    atoms.get_potential_energy()
    assert from_ase(atoms).energy.shape == (1, 1)


REFUSED = {
    "a path": (lambda: from_ase("water.xyz"), TypeError, r"is a str but must be.*ase.io.read"),
    "a number": (lambda: from_ase(3), TypeError, "is a int but must be ase.Atoms"),
    "a list of others": (lambda: from_ase([molecule("H2O"), 3]), TypeError, "item 1 is a int"),
    "an unknown name": (
        lambda: from_ase(molecule("H2O"), ["dft_energy"]),
        ValueError,
        r"no 'dft_energy' but \['numbers', 'positions'\]",
    ),
    "positions by name": (
        lambda: from_ase(molecule("H2O"), {"pos": "momenta"}),
        ValueError,
        "'pos', which Data uses itself",
    ),
    "some with energies": (
        lambda: from_ase([computed(molecule("H2O")), molecule("CO")]),
        ValueError,
        r"structure 1 and the first one differ in \['charges'.*name what all have",
    ),
    "integers as a dtype": (
        lambda: from_ase(molecule("H2O"), dtype=torch.int64),
        ValueError,
        "`dtype` is torch.int64",
    ),
    "no atomic numbers": (lambda: to_ase(Data(pos=torch.zeros(2, 3))), ValueError, "`z` is None"),
    "numbers that are no integers": (
        lambda: to_ase(Data(pos=torch.zeros(2, 3), z=torch.zeros(2))),
        ValueError,
        "`z` is torch.float32",
    ),
    "results of other structures": (
        lambda: to_ase(from_ase(molecule("H2O")), {"forces": torch.zeros(2, 3)}),
        ValueError,
        r"'forces' has shape \(2, 3\) but must have one row for each of 3 points",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_understood_is_refused(name):
    call, kind, said = REFUSED[name]
    with pytest.raises(kind, match=said):
        call()


def test_constraints_other_than_fixed_atoms_are_refused_by_name():
    atoms = molecule("H2O")
    atoms.set_constraint(FixBondLength(0, 1))
    assert "fixed" not in from_ase(atoms)
    with pytest.raises(ValueError, match=r"FixBondLengths? is no set of fixed atoms"):
        from_ase(atoms, ["fixed"])
    atoms.info["spin"] = 1j
    with pytest.raises(ValueError, match="'spin' is complex128"):
        from_ase(atoms, ["spin"])


def test_names_may_be_one_text():
    assert from_ase(computed(molecule("H2O")), "energy").energy.item() == -3.5


def test_mutant_a_target_without_its_column_broadcasts_to_all_pairs():
    flat = torch.tensor([1.0, 2.0])
    column = Batch.from_data_list(from_ase([computed(molecule("CO")) for _ in range(2)])).energy
    assert (column - flat).shape == (2, 2)
    assert (column - column).shape == (2, 1)


def test_importing_the_package_does_not_import_ase():
    text = Path(symmetrize.__file__).parent.joinpath("atoms", "reading.py").read_text()
    assert re.search(r"^    from ase|^        from ase", text, re.MULTILINE)
    assert not re.search(r"^(import|from) ase", text, re.MULTILINE)


# --- files


def test_an_extended_xyz_file_there_and_back(tmp_path):
    images = [computed(slab(), 1), computed(slab(), 2)]
    for atoms in images:
        atoms.info.clear()  # what ase keeps of how it built the slab cannot be written
    write(tmp_path / "slabs.xyz", images, format="extxyz")
    data = from_ase(read(tmp_path / "slabs.xyz", ":"), ["energy", "forces", "stress"])
    write(tmp_path / "again.xyz", to_ase(Batch.from_data_list(data)), format="extxyz")
    for there, here in zip(read(tmp_path / "again.xyz", ":"), images, strict=True):
        # the format keeps eight decimals
        np.testing.assert_allclose(there.get_forces(), here.get_forces(False), atol=1e-8)
        np.testing.assert_allclose(there.get_stress(), here.get_stress(), atol=1e-8)
        assert there.pbc.tolist() == [True, True, False]


@pytest.mark.skipif(not FILES.is_dir(), reason="SYMMETRIZE_DATA names no folder")
@pytest.mark.parametrize(
    ("file", "names", "shapes", "periods"),
    [
        ("li3ps4/li3ps4_val.xyz", None, {"energy": (4, 1)}, 3),
        ("li3ps4/li3ps4_val.xyz", {"energy": "mtt::r2scan_energy"}, {"energy": (4, 1)}, 3),
        ("mad/mad_sample_test.xyz", ["forces", "subset"], {}, 3),
        ("pet_methane/methane_test.xyz", None, {"energy": (4, 1), "forces": (20, 3)}, 0),
        ("tensoap/water_dimer_1000.xyz.gz", ["mu", "alpha"], {"mu": (4, 3), "alpha": (4, 9)}, 0),
        ("botnet/dataset_acac/train_300K.xyz.gz", ["dihedral_angle"], {}, 0),
    ],
    ids=["crystals", "another level", "mixed", "molecules", "tensors", "boxes"],
)
def test_files_of_the_field(file, names, shapes, periods):
    path = FILES / file
    if not path.exists():
        pytest.skip(f"{file} is not there")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of ase about its own formats
        images = read(path, ":4")
    batch = Batch.from_data_list(from_ase(images, names))
    for name, shape in shapes.items():
        assert batch[name].shape == shape
    assert (batch.pbc.sum(1) == periods).all()
    for there, here in zip(to_ase(batch), images, strict=True):
        np.testing.assert_array_equal(there.positions, here.positions)
        np.testing.assert_array_equal(there.cell.array, here.cell.array)
        if names is None:
            assert there.get_potential_energy() == here.get_potential_energy()
            np.testing.assert_array_equal(there.get_forces(), here.get_forces())
