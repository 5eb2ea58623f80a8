"""Periodic clouds: cells shorter than the cutoff, skewed, left-handed, periodic in part; crystals.

As in ``strata``, in units in which the cutoff is ``CUTOFF``.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

EYE = torch.eye(3, dtype=torch.float64)
ALL = torch.ones(3, dtype=torch.bool)


@dataclass(frozen=True)
class Crystal:
    """Points and periods.

    Attributes:
        points: (n, 3).
        cell: (3, 3) lattice vectors as rows.
        pbc: (3,) which of them are periods.
        kinds: (n,) which species a point is of, 0 for the first; None if all are of the first.
    """

    points: Float[Tensor, "points 3"]
    cell: Float[Tensor, "3 3"]
    pbc: Bool[Tensor, "3"]
    kinds: Int[Tensor, "points"] | None = None


def _places(number: int, seed: int) -> Tensor:
    """Fractional coordinates in sixteenths, no two in one place."""
    cells = np.random.default_rng(seed).choice(8**3, size=number, replace=False)
    return torch.from_numpy(np.stack(np.unravel_index(cells, (8, 8, 8)), -1) / 8 + 1 / 16)


def _cell(*rows: tuple[int | float, int | float, int | float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


CUBE = 2.5 * EYE
LARGE = _cell((7.0, 0, 0), (0, 7.5, 0), (0, 0, 8.0))
SKEWED = _cell((3.0, 0, 0), (2.5, 2.0, 0), (-1.5, 1.0, 2.5))
# All of Bravais' cubic lattices, one point each
PRIMITIVE = {
    "simple cubic": 2.0 * EYE,
    "body-centered cubic": _cell((-1, 1, 1), (1, -1, 1), (1, 1, -1)),
    "face-centered cubic": 1.25 * _cell((0, 1, 1), (1, 0, 1), (1, 1, 0)),
}

# Places in the cells of crystals, as parts of the lattice vectors
FCC = ((0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0))
HOLES = ((0.5, 0.5, 0.5), (0.5, 0, 0), (0, 0.5, 0), (0, 0, 0.5))
QUARTERS = ((0.25, 0.25, 0.25), (0.25, 0.75, 0.75), (0.75, 0.25, 0.75), (0.75, 0.75, 0.25))
HEXAGON = _cell((1.0, 0, 0), (-0.5, math.sqrt(0.75), 0), (0, 0, math.sqrt(8 / 3)))


def _in(cell: Tensor, pbc: Tensor = ALL) -> Callable[[int, int], Crystal]:
    return lambda number, seed: Crystal(_places(number, seed) @ cell, cell, pbc)


def _one_point(cell: Tensor) -> Callable[[int, int], Crystal]:
    return lambda number, seed: Crystal(torch.zeros(1, 3, dtype=torch.float64), cell, ALL)


def _on_a_face(number: int, seed: int) -> Crystal:
    places = _places(number, seed)
    places[0] = torch.tensor([0.0, 0.5, 1.0])
    return Crystal(places @ CUBE, CUBE, ALL)


def _outside(number: int, seed: int) -> Crystal:
    """Points that were never brought back into the cell."""
    places = _places(number, seed)
    places[::2] += torch.tensor([1.0, -2.0, 3.0])
    return Crystal(places @ CUBE, CUBE, ALL)


def _perfect(
    cell: Tensor, *places: tuple[int | float, int | float, int | float], others: int = 0
) -> Callable[[int, int], Crystal]:
    """A crystal whose last ``others`` places are of a second species."""
    points = _cell(*places) @ cell
    kinds = (torch.arange(len(points)) >= len(points) - others).long()
    return lambda number, seed: Crystal(points.clone(), cell, ALL, kinds if others else None)


# Unit cells, with neighbors 1.4 to 1.7 apart and no shell of them at the cutoff
CELLS: dict[str, Callable[[int, int], Crystal]] = {
    "bcc cell": _perfect(1.625 * EYE, (0, 0, 0), (0.5, 0.5, 0.5)),
    "hcp cell": _perfect(1.625 * HEXAGON, (0, 0, 0), (1 / 3, 2 / 3, 0.5)),
    "fcc cell": _perfect(2.25 * EYE, *FCC),
    "diamond cell": _perfect(3.5 * EYE, *FCC, *QUARTERS),
    "rock salt cell": _perfect(3.25 * EYE, *FCC, *HOLES, others=len(HOLES)),
}
# Lattice vectors that are not periods may be zero, or of any length
SLAB = torch.tensor([True, True, False])
CHAIN = torch.tensor([False, False, True])
CRYSTALS: dict[str, Callable[[int, int], Crystal]] = {
    "crystal": _in(CUBE),
    "crystal of one point": _one_point(CUBE),
    **{f"crystal, {name}": _one_point(cell) for name, cell in PRIMITIVE.items()},
    "crystal larger than the cutoff": _in(LARGE),
    "crystal much shorter than the cutoff": _one_point(1.25 * EYE),
    "crystal, skewed": _in(SKEWED),
    "crystal, left-handed": _in(SKEWED[[1, 0, 2]]),
    "crystal, point on a face": _on_a_face,
    "crystal, points outside the cell": _outside,
    "slab": _in(CUBE, SLAB),
    "slab, no third lattice vector": lambda number, seed: Crystal(
        _places(number, seed) @ CUBE, CUBE * SLAB[:, None], SLAB
    ),
    "chain": _in(CUBE, CHAIN),
    **CELLS,
}
