"""Clouds on all strata in generic orientations, batches of them, and networks to symmetrize.

Strata and turns are those of ``equivariance_tests.clouds``. How outputs turn is computed by a path
of its own here, as the library itself is under test.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from e3nn import o3
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import Batch, Data

from equivariance_tests.clouds.crystals import CRYSTALS
from equivariance_tests.clouds.rattled import DISTANCES, PERFECT, rattled
from equivariance_tests.clouds.solids import SOLIDS
from equivariance_tests.clouds.strata import CUTOFF, EQUAL_INERTIA, EYE, FINITE
from equivariance_tests.clouds.strategies import turns
from equivariance_tests.clouds.turns import TURNS, Turn
from symmetrize.groups import random_rotations
from symmetrize.representation import as_representation

__all__ = ["CUTOFF", "EQUAL_INERTIA", "SOLIDS", "STRATA", "TURNS", "Turn", "turns"]

# --- shapes


# Strata of few points; clusters have cases of their own below
MOST_POINTS = 24
STRATA = {name: build for name, build in FINITE.items() if len(build(5, 1)) <= MOST_POINTS}

# Clouds of which every point sees others all around it, within 2 * CUTOFF
NONDEGENERATE = ("generic", "left helix", "right helix", "equal inertia", "symmetric top", "cube")


@dataclass(frozen=True)
class Shape:
    """A cloud: its stratum, about how many points, which of them, and how it lies in space.

    And how far each of its points is moved from its place, in a random direction.
    """

    stratum: str
    number: int = 4
    seed: int = 0
    turn: int = 0
    rattled: float = 0.0

    def points(self) -> Tensor:
        """(n, 3) float64."""
        points = FINITE[self.stratum](self.number, self.seed)
        if self.rattled:
            points = rattled(points, self.rattled, self.seed)
        return points @ turn(self.turn).T


def turn(seed: int) -> Tensor:
    """The identity for 0, else a generic rotation."""
    if seed == 0:
        return EYE
    return random_rotations(1, torch.Generator().manual_seed(seed))[0]


# One explicit case for each stratum, in a generic orientation, so that no coordinate is special ...
CASES: dict[str, Shape] = {name: Shape(name, 5, 1, turn=1) for name in STRATA}
# ... and in the special one, where numbers are exactly zero
CASES |= {
    f"{name} along the axes": Shape(name, 5, 1)
    for name in (
        "pair",
        "pair whose rounding lies along it",
        "line",
        "plane",
        "antiparallel",
        "polygon",
        "prism",
        "fcc shell",
    )
}
# Solids, clusters and shells of 4 to 60 points, perfect and rattled, in a generic orientation
NEARLY_SYMMETRIC: dict[str, Shape] = {
    f"{name} rattled by {distance:g}" if distance else name: Shape(
        name, 5, 1, turn=1, rattled=distance
    )
    for name in PERFECT
    if name not in CRYSTALS
    for distance in (0.0, *DISTANCES)
}


@st.composite
def shapes(draw: st.DrawFn, names: Sequence[str] = tuple(STRATA)) -> Shape:
    """A cloud of one of the strata."""
    return Shape(
        draw(st.sampled_from(names)),
        draw(st.integers(3, 6)),
        draw(st.integers(0, 99)),
        draw(st.integers(0, 3)),
    )


def batches(names: Sequence[str] = tuple(STRATA), largest: int = 4) -> st.SearchStrategy:
    """Ragged batches, as lists of shapes."""
    return st.lists(shapes(names), min_size=1, max_size=largest)


# --- how outputs turn, by a path of its own


def wigner(degree: int, rotation: Tensor) -> Tensor:
    """(2l + 1, 2l + 1) real Wigner matrix of a proper rotation, fit on spherical harmonics."""
    sample = torch.randn(
        8 * (2 * degree + 1), 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3)
    )
    here = o3.spherical_harmonics(degree, sample, normalize=True)
    there = o3.spherical_harmonics(degree, sample @ rotation.T, normalize=True)
    return torch.linalg.lstsq(here, there).solution.T


def turned_output(values: Tensor, spec: str, matrix: Tensor) -> Tensor:
    """Values (n, *shape) of an irreps string or a Cartesian tensor, turned by one matrix."""
    if "=" in spec:
        for axis in range(1, values.ndim):
            values = torch.tensordot(values, matrix, dims=([axis], [1])).movedim(-1, axis)
        return values
    sign = torch.linalg.det(matrix).sign()
    parts, start = [], 0
    for copies, irrep in o3.Irreps(spec):
        block = wigner(irrep.l, sign * matrix) * (sign if irrep.p == -1 else 1.0)
        for _ in range(copies):
            parts.append(values[:, start : start + irrep.dim] @ block.T)
            start += irrep.dim
    return torch.cat(parts, -1)


def block_columns(spec: str) -> list[slice]:
    """Where each irrep (or the Cartesian tensor) lies in a flat value."""
    if "=" in spec:
        return [slice(0, as_representation(spec).dim)]
    found, start = [], 0
    for copies, irrep in o3.Irreps(spec):
        for _ in range(copies):
            found.append(slice(start, start + irrep.dim))
            start += irrep.dim
    return found


# --- data


def collate(
    rows: Sequence[Tensor], *, dtype: torch.dtype = torch.float64, unit: float = 1.0, **more: Any
) -> Batch:
    """A batch with one structure for each (n, 3); ``more`` has one entry for each structure."""
    items = []
    for i, points in enumerate(rows):
        item = Data(pos=points.to(dtype), unit=torch.full((1, 1), unit, dtype=dtype))
        for name, values in more.items():
            item[name] = values[i]
        items.append(item)
    return Batch.from_data_list(items)
