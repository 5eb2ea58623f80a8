"""What ase computes and where ``Data`` keeps it; stress in the two forms that are about."""

from typing import Any

import numpy as np

# What calculators of ase compute, and whether there is one row for each point
PROPERTIES = {
    "energy": False,
    "free_energy": False,
    "forces": True,
    "stress": False,
    "dipole": False,
    "magmom": False,
    "polarization": False,
    "dielectric_tensor": False,
    "energies": True,
    "stresses": True,
    "charges": True,
    "magmoms": True,
    "born_effective_charges": True,
}
STRESSES = ("stress", "stresses")
# Always there, and not to be given another meaning
GEOMETRY = ("pos", "z", "cell", "pbc")
RESERVED = (*GEOMETRY, "batch", "ptr", "num_nodes", "edge_index")
# Places of the nine components in Voigt's six, xx, yy, zz, yz, xz, xy, and of the six in the nine
FULL = [[0, 5, 4], [5, 1, 3], [4, 3, 2]]
VOIGT = ([0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1])


def full_stress(value: Any, per_point: bool) -> np.ndarray:
    """Stress with its nine components, from those or from Voigt's six.

    >>> full_stress([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], per_point=False).tolist()
    [[1.0, 6.0, 5.0], [6.0, 2.0, 4.0], [5.0, 4.0, 3.0]]
    """
    value = np.asarray(value)
    row = value.shape[1:] if per_point else value.shape
    return value[..., FULL] if row == (6,) else value


def voigt_stress(value: np.ndarray) -> np.ndarray:
    """Voigt's six components of the symmetric part of a stress."""
    symmetric = (value + value.swapaxes(-1, -2)) / 2
    return symmetric[(..., *VOIGT)]
