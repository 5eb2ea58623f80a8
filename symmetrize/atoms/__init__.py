"""Data from ase's ``Atoms`` and back, and its calculators as networks.

Every quantity has the shape that a model gives it, so that targets and outputs are compared row by
row: one row for each structure or each point, and a number is a row of one column. (A target of
shape (B,) and an output of shape (B, 1) would broadcast to (B, B), without a word.) Units are those
of ase: Å, eV, and stress positive under tension, as in ``forces_and_stress``.
"""

from symmetrize.atoms.calculated import from_calculator
from symmetrize.atoms.reading import from_ase
from symmetrize.atoms.writing import to_ase

__all__ = ["from_ase", "from_calculator", "to_ase"]
