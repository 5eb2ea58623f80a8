"""Generate the data set of small molecules: thermally distorted, labeled with RHF/aug-cc-pVDZ.

Each molecule is optimized, its normal modes come from the analytic RHF Hessian at the minimum, and
each configuration draws the mass-weighted mode coordinates from the quantum (Wigner) distribution
of harmonic oscillators, ``<Q^2> = hbar / (2 omega) coth(hbar omega / 2 k T)``, at ``TEMPERATURE``,
followed by a random rotation. Two departures, both in ``MOLECULES``:

- the torsion of methanol is not sampled along its straight mode, which would stretch O-H, but as a
  uniform angle about the displaced C-O axis;
- the first configurations of CO2 omit the two bending modes: they are collinear up to rounding.

Positions are rounded to single precision *before* they are labeled, and the centroid (the
unweighted mean of positions) is the origin of dipole and quadrupole,
``Q = 1/2 sum q (3 r r^T - r^2 I)``.
The polarizability is the central difference of the dipole in a static field, symmetrized.
Everything is in atomic units until a block of configurations is stored.

Usage (``label`` resumes where it stopped, and gives the same data, up to the rounding of the SCF)::

    python scripts/generate_molecules.py label
    python scripts/generate_molecules.py validate
    python scripts/generate_molecules.py assemble

Sources: Wigner, Phys. Rev. 40, 749 (1932); Kendall, Dunning and Harrison, J. Chem. Phys. 96, 6796
(1992) for the basis; CODATA 2018 for the constants; Buckingham, Adv. Chem. Phys. 12, 107 (1967) for
the quadrupole.
"""

import argparse
import datetime
import json
import platform
import time
from dataclasses import dataclass
from pathlib import Path

import ase
import ase.build
import numpy as np
import pyscf
import pyscf.gto
import pyscf.scf
import scipy
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

BASIS = "aug-cc-pvdz"
TEMPERATURE = 1000.0  # K
SEED = 20240607
BLOCK_SIZE = 10  # configurations per checkpoint
FIELD = 1e-3  # atomic units: error of order FIELD^2 from the second hyperpolarizability
ENERGY_TOLERANCE = 1e-11  # hartree, between SCF iterations
GRADIENT_TOLERANCE = 1e-8  # atomic units: the dipole is first order in it, then divided by FIELD
OPTIMIZED_FORCE = 1e-6  # hartree / bohr, largest component at the minimum
VALIDATION_FRACTION = TEST_FRACTION = 0.15

HARTREE = 27.211386245988  # eV
BOHR = 0.529177210903  # Angstrom
DALTON = 1822.888486209  # electron masses
BOLTZMANN = 3.166811563e-6  # hartree / K

SHIPPED_FILE = Path(__file__).parents[1] / "symmetrize" / "datasets" / "molecules.npz"

Array = NDArray[np.float64]
Labels = dict[str, NDArray]


@dataclass(frozen=True)
class Molecule:
    """What to sample: ``torsion`` is (axis start, axis end, atom that turns about the axis)."""

    formula: str
    count: int
    collinear: int = 0
    torsion: tuple[int, int, int] | None = None

    def omitted_modes(self, index: int) -> int:
        """How many of the softest modes configuration ``index`` leaves at rest."""
        if index < self.collinear:
            return 2
        return 0 if self.torsion is None else 1


MOLECULES = (
    Molecule("CH4", 200),
    Molecule("H2O", 200),
    Molecule("NH3", 200),
    Molecule("CH3OH", 120, torsion=(0, 1, 3)),
    Molecule("H2CO", 120),
    Molecule("CO2", 130, collinear=20),
)

# unit of each label in atomic units, and the precision it is stored in
STORED: dict[str, tuple[float, type]] = {
    "energy": (HARTREE, np.float64),
    "forces": (HARTREE / BOHR, np.float32),
    "dipole": (BOHR, np.float32),
    "quadrupole": (BOHR**2, np.float32),
    "polarizability": (BOHR**3, np.float32),
    "asymmetry": (BOHR**3, np.float32),
}


def mean_field(numbers: NDArray[np.int64], positions: Array) -> pyscf.scf.hf.RHF:
    """Return the unsolved RHF problem of a neutral molecule; positions (n, 3) in bohr."""
    atoms = list(zip(numbers.tolist(), positions.tolist(), strict=True))
    molecule = pyscf.gto.M(atom=atoms, basis=BASIS, unit="Bohr", verbose=0)
    solver = pyscf.scf.RHF(molecule)
    solver.conv_tol = ENERGY_TOLERANCE
    solver.conv_tol_grad = GRADIENT_TOLERANCE
    return solver


def solve(solver: pyscf.scf.hf.RHF, guess: Array | None = None) -> Array:
    """Converge the SCF equations and return the density matrix (basis, basis)."""
    solver.kernel(dm0=guess)
    if not solver.converged:
        raise RuntimeError(f"SCF not converged for {solver.mol.atom}: change the start or sampling")
    return np.asarray(solver.make_rdm1())


def energy_and_gradient(flat: Array, numbers: NDArray[np.int64]) -> tuple[float, Array]:
    """Return the total energy and its gradient (3 n,) at the flattened positions (3 n,)."""
    solver = mean_field(numbers, flat.reshape(-1, 3))
    solve(solver)
    return solver.e_tot, solver.nuc_grad_method().kernel().ravel()


def label(numbers: NDArray[np.int64], positions: Array) -> Labels:
    """Label one configuration, everything in atomic units.

    Args:
        numbers: atomic numbers (n,).
        positions: (n, 3) in bohr.

    Returns:
        energy (), forces (n, 3), and, about the centroid, dipole (3,), traceless quadrupole (3, 3)
        and symmetric polarizability (3, 3); ``asymmetry`` () is the largest difference between the
        polarizability and its transpose before it was symmetrized.
    """
    solver = mean_field(numbers, positions)
    density = solve(solver)
    energy, forces = solver.e_tot, -solver.nuc_grad_method().kernel()

    centroid = positions.mean(0)
    with solver.mol.with_common_origin(centroid):
        position_integrals = solver.mol.intor_symmetric("int1e_r")
        second_integrals = solver.mol.intor_symmetric("int1e_rr").reshape(3, 3, *density.shape)
    arms = positions - centroid

    def dipole(density: Array) -> Array:
        return numbers @ arms - np.einsum("xab,ab->x", position_integrals, density)

    second = np.einsum("n,nx,ny->xy", numbers, arms, arms)
    second -= np.einsum("xyab,ab->xy", second_integrals, density)
    quadrupole = 0.5 * (3 * second - np.trace(second) * np.eye(3))

    core = solver.get_hcore()
    response = np.empty((3, 3))
    for axis in range(3):
        # H - mu . F, and electrons contribute -r to mu; nuclear terms shift the energy only
        solver.get_hcore = lambda *_, axis=axis: core + FIELD * position_integrals[axis]
        forward = solve(solver, density)
        solver.get_hcore = lambda *_, axis=axis: core - FIELD * position_integrals[axis]
        backward = solve(solver, 2 * density - forward)
        response[:, axis] = (dipole(forward) - dipole(backward)) / (2 * FIELD)

    return {
        "energy": np.float64(energy),
        "forces": forces,
        "dipole": dipole(density),
        "quadrupole": quadrupole,
        "polarizability": (response + response.T) / 2,
        "asymmetry": np.abs(response - response.T).max(),
    }


def normal_modes(masses: Array, positions: Array, hessian: Array) -> tuple[Array, Array]:
    """Return frequencies (modes,), softest first, and displacements (modes, n, 3) per unit ``Q``.

    Translations and rotations are projected out exactly; a collinear molecule has two rotations,
    hence 3 n - 5 modes. Masses (n,) in electron masses, Hessian (3 n, 3 n) in hartree / bohr^2.
    """
    arms = positions - np.average(positions, axis=0, weights=masses)
    translations = np.broadcast_to(np.eye(3)[:, None], (3, len(masses), 3))
    rotations = np.cross(np.eye(3)[:, None], arms)
    weights = np.sqrt(masses)[:, None]
    external = (np.concatenate([translations, rotations]) * weights).reshape(6, -1)
    _, sizes, basis = np.linalg.svd(external)
    internal = basis[(sizes > 1e-3 * sizes.max()).sum() :]

    inverse = np.repeat(masses**-0.5, 3)
    squares, vectors = np.linalg.eigh(
        internal @ (inverse[:, None] * hessian * inverse) @ internal.T
    )
    if squares.min() <= 0:
        raise RuntimeError(f"squared frequency {squares.min()}: this is not a minimum")
    return np.sqrt(squares), (vectors.T @ internal).reshape(-1, len(masses), 3) / weights


def minimum(molecule: Molecule, folder: Path) -> Labels:
    """Optimize the molecule and find its modes, or read both from an earlier run."""
    path = folder / f"{molecule.formula}_minimum.npz"
    if path.exists():
        return dict(np.load(path))
    atoms = ase.build.molecule(molecule.formula)
    numbers = atoms.numbers.astype(np.int64)
    start = (atoms.positions / BOHR).ravel()
    options = {"gtol": OPTIMIZED_FORCE}
    found = minimize(energy_and_gradient, start, (numbers,), "BFGS", jac=True, options=options)
    if np.abs(found.jac).max() > 10 * OPTIMIZED_FORCE:
        raise RuntimeError(f"{molecule.formula} not optimized: {found.message}")
    positions = found.x.reshape(-1, 3)
    solver = mean_field(numbers, positions)
    solve(solver)
    hessian = solver.Hessian().kernel().transpose(0, 2, 1, 3).reshape(start.size, start.size)
    masses = solver.mol.atom_mass_list(isotope_avg=True) * DALTON
    frequencies, modes = normal_modes(masses, positions, hessian)
    store(
        path,
        numbers=numbers,
        positions=positions,
        energy=np.float64(found.fun),
        frequencies=frequencies,
        modes=modes,
    )
    return dict(np.load(path))


def sample(molecule: Molecule, index: int, start: Labels) -> NDArray[np.float32]:
    """Return the positions (n, 3) of configuration ``index`` in Angstrom, about the centroid."""
    rng = np.random.default_rng([SEED, *molecule.formula.encode(), index])
    frequencies = start["frequencies"]
    quantum = frequencies / (2 * BOLTZMANN * TEMPERATURE)
    spread = np.sqrt(1 / (2 * frequencies * np.tanh(quantum)))
    amplitudes = spread * rng.normal(size=len(frequencies))
    amplitudes[: molecule.omitted_modes(index)] = 0
    positions = start["positions"] + np.einsum("m,mnx->nx", amplitudes, start["modes"])

    if molecule.torsion is not None:
        base, tip, turning = molecule.torsion
        axis = positions[tip] - positions[base]
        turn = Rotation.from_rotvec(rng.uniform(0, 2 * np.pi) * axis / np.linalg.norm(axis))
        positions[turning] = positions[tip] + turn.apply(positions[turning] - positions[tip])

    orientation = Rotation.from_quat(rng.normal(size=4))  # uniform over proper rotations
    positions = orientation.apply(positions - positions.mean(0))
    return (positions * BOHR).astype(np.float32)


def store(path: Path, **arrays: NDArray | np.float64) -> None:
    """Write a file that exists only when it is complete."""
    partial = path.with_suffix(".partial")
    with partial.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)
    partial.rename(path)


def label_block(molecule: Molecule, indices: range, folder: Path) -> None:
    """Label the configurations ``indices`` and store them; labels are stacked along axis 0."""
    path = folder / f"{molecule.formula}_{indices.start:04d}.npz"
    if path.exists():
        return
    began = time.perf_counter()
    start = minimum(molecule, folder)
    positions = np.stack([sample(molecule, index, start) for index in indices])
    labels = [label(start["numbers"], one.astype(np.float64) / BOHR) for one in positions]
    stacked: Labels = {
        key: (unit * np.stack([one[key] for one in labels])).astype(dtype)
        for key, (unit, dtype) in STORED.items()
    }
    collinear = np.array([index < molecule.collinear for index in indices])
    store(path, numbers=start["numbers"], positions=positions, collinear=collinear, **stacked)
    print(f"{path.name}: {(time.perf_counter() - began) / len(indices):.2f} s each", flush=True)


def label_all(folder: Path) -> None:
    """Label what is missing, the molecules in turn, so that an early stop is balanced."""
    folder.mkdir(parents=True, exist_ok=True)
    for first in range(0, max(molecule.count for molecule in MOLECULES), BLOCK_SIZE):
        for molecule in MOLECULES:
            indices = range(first, min(first + BLOCK_SIZE, molecule.count))
            if indices:
                label_block(molecule, indices, folder)


def split_indices(strata: NDArray[np.int64]) -> NDArray[np.int8]:
    """Return 0 (train), 1 (validation) or 2 (test) for each configuration, within each stratum."""
    rng = np.random.default_rng(SEED)
    split = np.zeros(len(strata), dtype=np.int8)
    for stratum in np.unique(strata):
        members = rng.permutation(np.flatnonzero(strata == stratum))
        validation = round(VALIDATION_FRACTION * len(members))
        test = round(TEST_FRACTION * len(members))
        split[members[:validation]] = 1
        split[members[validation : validation + test]] = 2
    return split


def metadata(asymmetry: float) -> dict[str, str]:
    """Describe the data set for the loader."""
    return {
        "description": "thermally distorted configurations of small molecules",
        "level of theory": "RHF/aug-cc-pVDZ, gas phase, neutral singlet",
        "temperature": f"{TEMPERATURE:g} K, Wigner distribution of the harmonic normal modes",
        "torsion": "that of CH3OH is uniform",
        "units": "positions Angstrom, energy eV (total), forces eV/Angstrom, dipole e*Angstrom, "
        "quadrupole e*Angstrom^2, polarizability Angstrom^3 (polarizability volume)",
        "constants": f"1 hartree = {HARTREE} eV, 1 bohr = {BOHR} Angstrom (CODATA 2018)",
        "origin": "dipole and quadrupole about the unweighted mean of positions",
        "quadrupole": "traceless: Q = 1/2 sum q (3 r r^T - r^2 I)",
        "polarizability": f"central difference of the dipole, field {FIELD:g} atomic units, "
        f"symmetrized; largest asymmetry before {asymmetry:.1e} Angstrom^3",
        "SCF": f"energy to {ENERGY_TOLERANCE:g} hartree, orbital gradient {GRADIENT_TOLERANCE:g}",
        "split": f"stratified by molecule and collinearity, seed {SEED}: "
        "0 train, 1 validation, 2 test",
        "seed": str(SEED),
        "license": "MIT, generated by this project",
        "software": f"pyscf {pyscf.__version__}, ase {ase.__version__}, numpy {np.__version__}, "
        f"scipy {scipy.__version__}, Python {platform.python_version()}",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "command": "python scripts/generate_molecules.py label; "
        "python scripts/generate_molecules.py assemble",
    }


def assemble(folder: Path, output: Path) -> None:
    """Join the checkpoints into the shipped file: atoms are concatenated along axis 0."""
    blocks, formula_index = [], []
    for which, molecule in enumerate(MOLECULES):
        paths = sorted(folder.glob(f"{molecule.formula}_[0-9]*.npz"))
        here = [dict(np.load(path)) for path in paths]
        sizes = [len(block["positions"]) for block in here]
        blocks += here
        formula_index += [which] * sum(sizes)
        print(f"{molecule.formula}: {sum(sizes)} of {molecule.count}")

    def joined(key: str) -> NDArray:
        return np.concatenate([block[key] for block in blocks])

    def per_atom(key: str) -> NDArray:
        return np.concatenate([block[key].reshape(-1, 3) for block in blocks])

    formula = np.array(formula_index, dtype=np.int8)
    numbers = [np.tile(block["numbers"], len(block["positions"])) for block in blocks]
    n_atoms = [[len(block["numbers"])] * len(block["positions"]) for block in blocks]
    energies = [minimum(molecule, folder)["energy"] * HARTREE for molecule in MOLECULES]
    store(
        output,
        formulas=np.array([molecule.formula for molecule in MOLECULES]),
        minimum_energy=np.array(energies),
        formula=formula,
        n_atoms=np.concatenate(n_atoms).astype(np.int8),
        split=split_indices(2 * formula.astype(np.int64) + joined("collinear")),
        numbers=np.concatenate(numbers).astype(np.int8),
        positions=per_atom("positions"),
        forces=per_atom("forces"),
        energy=joined("energy"),
        dipole=joined("dipole"),
        quadrupole=joined("quadrupole"),
        polarizability=joined("polarizability"),
        info=np.array(json.dumps(metadata(float(joined("asymmetry").max())))),
    )
    print(f"{len(formula)} configurations, {output.stat().st_size / 1e6:.2f} MB in {output.name}")


def validate(folder: Path, step: float = 1e-3) -> None:
    """Print how far the labels are from two laws: F = -dE/dx, and covariance under rotation."""
    for molecule in MOLECULES:
        rng = np.random.default_rng(SEED)
        start = minimum(molecule, folder)
        numbers = start["numbers"]
        positions = sample(molecule, molecule.count - 1, start).astype(np.float64) / BOHR
        labels = label(numbers, positions)
        direction = rng.normal(size=positions.shape)
        direction /= np.linalg.norm(direction)
        forward, _ = energy_and_gradient((positions + step * direction).ravel(), numbers)
        backward, _ = energy_and_gradient((positions - step * direction).ravel(), numbers)
        slope = (forward - backward) / (2 * step) + (labels["forces"] * direction).sum()

        turn = Rotation.from_quat(rng.normal(size=4)).as_matrix()
        turned = label(numbers, positions @ turn.T)
        errors = {
            "dipole": turned["dipole"] - turn @ labels["dipole"],
            "quadrupole": turned["quadrupole"] - turn @ labels["quadrupole"] @ turn.T,
            "polarizability": turned["polarizability"] - turn @ labels["polarizability"] @ turn.T,
        }
        covariance = ", ".join(f"{key} {np.abs(e).max():.1e}" for key, e in errors.items())
        print(
            f"{molecule.formula}: force {abs(slope):.1e}; rotation: {covariance} (a.u.)", flush=True
        )


def main() -> None:
    """Run the command given on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("command", choices=("label", "validate", "assemble"))
    parser.add_argument("--folder", type=Path, default=Path("build/molecules"), help="checkpoints")
    parser.add_argument("--output", type=Path, default=SHIPPED_FILE, help="assembled file")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    if arguments.command == "label":
        label_all(arguments.folder)
    elif arguments.command == "validate":
        validate(arguments.folder)
    else:
        assemble(arguments.folder, arguments.output)


if __name__ == "__main__":
    main()
