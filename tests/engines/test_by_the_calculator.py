"""OpenMM, i-PI and phonopy, which take the calculator of ase: their numbers are its numbers."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.io import write

from backbones import PET
from symmetrize import SymmetrizedCalculator, Symmetrizer


def network() -> Symmetrizer:
    torch.manual_seed(0)
    small = {"width": 8, "heads": 1, "rounds": 1, "layers": 1}
    return Symmetrizer(PET({"energy": "0e"}, species=[1, 6, 8, 14], cutoff=4.0, **small).double())


# --- OpenMM


def methanol() -> Atoms:
    atoms = molecule("CH3OH")
    atoms.rattle(0.05, seed=0)
    return atoms


def test_openmm() -> None:
    openmm = pytest.importorskip("openmm", reason="needs the extra engines")
    openmmml = pytest.importorskip("openmmml", reason="needs the extra engines")
    atoms = methanol()
    topology = openmm.app.Topology()
    residue = topology.addResidue("MOH", topology.addChain())
    for symbol in atoms.symbols:
        topology.addAtom(symbol, openmm.app.Element.getBySymbol(symbol), residue)
    potential = openmmml.MLPotential("ase")
    system = potential.createSystem(topology, calculator=SymmetrizedCalculator(network()))
    integrator = openmm.VerletIntegrator(0.2 * openmm.unit.femtoseconds)
    platform = openmm.Platform.getPlatformByName("Reference")
    simulation = openmm.app.Simulation(topology, system, integrator, platform)
    simulation.context.setPositions(atoms.positions / 10)
    state = simulation.context.getState(getEnergy=True, getForces=True)
    atoms.calc = SymmetrizedCalculator(network())
    each = openmm.unit.kilojoules_per_mole
    energy = state.getPotentialEnergy().value_in_unit(each) * units.kJ / units.mol
    assert energy == pytest.approx(atoms.get_potential_energy(), abs=1e-7)
    forces = state.getForces(asNumpy=True).value_in_unit(each / openmm.unit.angstrom)
    np.testing.assert_allclose(forces * units.kJ / units.mol, atoms.get_forces(), atol=1e-6)

    def total() -> float:
        found = simulation.context.getState(getEnergy=True)
        return (found.getPotentialEnergy() + found.getKineticEnergy()).value_in_unit(each)

    simulation.context.setVelocitiesToTemperature(300, 1)
    simulation.step(1)  # which takes away the motion of the center
    before = total()
    simulation.step(20)
    assert total() == pytest.approx(before, abs=0.05)  # of 20 kJ/mol


# --- i-PI

DRIVER = """
import torch
from ipi.pes._ase import ASEDriver
from symmetrize import SymmetrizedCalculator
from tests.engines.test_by_the_calculator import network

__DRIVER_NAME__, __DRIVER_CLASS__ = "symmetrized", "Driver"


class Driver(ASEDriver):
    def check_parameters(self):
        super().check_parameters()
        self.ase_calculator = SymmetrizedCalculator(network())
"""
INPUT = """
<simulation verbosity='quiet'>
  <output prefix='out'>
    <properties filename='energy' stride='1'>
      [step, conserved{electronvolt}, potential{electronvolt}]
    </properties>
  </output>
  <total_steps>20</total_steps>
  <ffdirect name='model'>
    <pes>custom</pes> <pes_path>driver.py</pes_path>
    <parameters>{template: start.xyz}</parameters>
  </ffdirect>
  <system>
    <initialize nbeads='1'>
      <file mode='ase' units='automatic'>start.xyz</file>
      <velocities mode='thermal' units='kelvin'>300</velocities>
    </initialize>
    <forces><force forcefield='model'/></forces>
    <motion mode='dynamics'><dynamics mode='nve'>
      <timestep units='femtosecond'>0.2</timestep>
    </dynamics></motion>
  </system>
</simulation>
"""


def test_ipi(tmp_path: Path) -> None:
    pytest.importorskip("ipi", reason="needs the extra engines")
    atoms = methanol()
    atoms.cell, atoms.pbc = np.eye(3) * 30, True  # i-PI has a box, and asks for the stress in it
    write(tmp_path / "start.xyz", atoms, format="extxyz")
    (tmp_path / "driver.py").write_text(DRIVER)
    (tmp_path / "input.xml").write_text(INPUT)
    command = [sys.executable, str(Path(sys.executable).with_name("i-pi")), "input.xml"]
    here = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    told = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": here},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stdout + told.stderr
    rows = np.loadtxt(next(tmp_path.glob("*energy")))
    atoms.calc = SymmetrizedCalculator(network())
    assert rows[0, 2] == pytest.approx(atoms.get_potential_energy(), abs=1e-5)
    assert np.ptp(rows[:, 1]) < 0.02 * np.ptp(rows[:, 2])


# --- phonopy


def test_phonopy() -> None:
    phonopy = pytest.importorskip("phonopy", reason="needs the extra engines")
    from phonopy.structure.atoms import PhonopyAtoms

    unit = bulk("Si", "diamond", 5.43)
    cell = PhonopyAtoms(unit.get_chemical_symbols(), cell=unit.cell, positions=unit.positions)
    # every displacement by itself: no symmetry is put in
    found = phonopy.Phonopy(cell, np.eye(3) * 2, is_symmetry=False)
    found.generate_displacements(distance=0.01)
    forces = []
    for one in found.supercells_with_displacements:
        atoms = Atoms(one.symbols, one.positions, cell=one.cell, pbc=True)
        atoms.calc = SymmetrizedCalculator(network())
        forces.append(atoms.get_forces())
    found.forces = forces
    found.produce_force_constants()
    found.run_qpoints([[0.0, 0.0, 0.0]])
    acoustic, optical = np.split(np.sort(np.abs(found.qpoints.frequencies[0])), 2)
    assert acoustic.max() < 1e-3 * optical.max()
    # degenerate, as in a cubic crystal
    assert np.ptp(optical) < 1e-3 * optical.max()
