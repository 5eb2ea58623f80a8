"""Small data sets shipped with the package."""

from symmetrize.datasets.molecules import minimum_energies, molecules, molecules_info

__all__ = ["minimum_energies", "molecules", "molecules_info"]
