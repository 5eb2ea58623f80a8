"""Frequencies of a crystal at Gamma, from finite displacements and nothing else."""

import numpy as np
from ase import Atoms, units

# From eV, Å and atomic mass units to THz
TERAHERTZ = (units._e / units._amu) ** 0.5 * 1e10 / (2 * np.pi) / 1e12


def frequencies(atoms: Atoms, displacement: float) -> list[float]:
    """In THz, from the smallest on; imaginary ones as negative numbers.

    Args:
        atoms: at rest, with a calculator.
        displacement: of each coordinate, either way, in Å.
    """
    rest, rows = atoms.positions.copy(), []
    for k in range(rest.size):
        forces = []
        for sign in (1, -1):
            atoms.positions = rest
            atoms.positions[k // 3, k % 3] += sign * displacement
            forces.append(atoms.get_forces().reshape(-1))
        rows.append((forces[1] - forces[0]) / (2 * displacement))
    atoms.positions = rest
    root = np.repeat(atoms.get_masses() ** -0.5, 3)
    matrix = root[:, None] * np.array(rows) * root
    squares = np.linalg.eigvalsh((matrix + matrix.T) / 2)
    return [float(f) for f in np.sign(squares) * np.sqrt(np.abs(squares)) * TERAHERTZ]
