"""Values and how they turn: irreps and Cartesian tensors under rotations and reflections.

Conventions, shared with the rest of the library:

- A rotation ``R`` is an active 3x3 matrix, proper or improper (``det R = +1`` or ``-1``). It maps
  the column vector ``v`` to ``R v``, so the rows of a ``(n, 3)`` tensor map as ``v @ R.T``.
- Irreps use e3nn's real basis, in which ``l=1`` is ``(x, y, z)``; hence ``D^1 = R``.
- For an improper ``R = -S`` the matrix is ``D = p D^l(S)``, with ``p = +1`` for ``e`` and ``-1``
  for ``o``.

Nothing here knows of frames or networks.
"""

from symmetrize.groups import Group
from symmetrize.representation._base import Block, Representation
from symmetrize.representation._cartesian import CartesianRepresentation
from symmetrize.representation._irreps import IrrepsRepresentation
from symmetrize.representation._parse import as_representation
from symmetrize.representation._wigner import LMAX, determinant_sign, wigner_d

__all__ = [
    "LMAX",
    "Block",
    "CartesianRepresentation",
    "Group",
    "IrrepsRepresentation",
    "Representation",
    "as_representation",
    "determinant_sign",
    "wigner_d",
]
