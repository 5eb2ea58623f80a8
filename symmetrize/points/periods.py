"""What is periodic: one rule, for frames, neighbor lists, networks and stress.

A lattice vector is a period if it is not zero and ``pbc`` does not say otherwise. So a molecule in
a box of zeros is finite even where ``pbc`` is true, as ase writes it.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from symmetrize.arrays.finite import check_finite

# Periods whose box has a smaller volume than this part of a cube's are taken for dependent
FLAT = 1e-8


class Periods(NamedTuple):
    """Lattice vectors of a batch of structures.

    Attributes:
        cell: (B, 3, 3), lattice vectors as rows, in the unit of the positions; zeros for none.
        pbc: (B, 3), which of them are periods.
    """

    cell: Float[Tensor, "size 3 3"]
    pbc: Bool[Tensor, "size 3"]


def periods_of(cell: Float[Tensor, "size 3 3"], pbc: Bool[Tensor, "size 3"] | None) -> Periods:
    """The rule itself, for lattice vectors of several structures.

    Raises:
        ValueError: if a cell is not finite, or periods are linearly dependent.
    """
    cell = cell.reshape(-1, 3, 3)
    numbers = cell.detach()
    length = numbers.abs().amax(-1) > 0
    pbc = length if pbc is None else pbc.reshape(len(cell), 3).bool() & length
    check_finite("cell", numbers)
    if bool(pbc.any()):
        # of unit vectors; those that are no periods are taken to be at right angles to them
        unit = numbers.double() / numbers.double().norm(dim=-1, keepdim=True).clamp(min=1e-300)
        unit = torch.where(pbc[..., None], unit, 0.0)
        gram = unit @ unit.mT + torch.diag_embed((~pbc).double())
        flat = torch.nonzero(torch.linalg.det(gram) < FLAT**2)[:, 0]
        if len(flat):
            i = int(flat[0])
            raise ValueError(
                f"the periods of structure {i}, rows {torch.nonzero(pbc[i])[:, 0].tolist()} of "
                f"`cell` {numbers[i].tolist()}, lie in a plane or on a line: give linearly "
                "independent lattice vectors, or say in `pbc` which of them are periods"
            )
    return Periods(cell, pbc)
