"""Clouds on all strata in generic orientations, batches of them, and networks to symmetrize.

Strata and turns are those of ``equivariance_tests.clouds``. How outputs turn is computed by a path
of its own here, as the library itself is under test.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from e3nn import o3
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import Batch, Data

from equivariance_tests.clouds.solids import SOLIDS
from equivariance_tests.clouds.strata import CUTOFF, EQUAL_INERTIA, EYE
from equivariance_tests.clouds.strata import FINITE as STRATA
from equivariance_tests.clouds.strategies import turns
from equivariance_tests.clouds.turns import TURNS, Turn
from symmetrize.groups import random_rotations
from symmetrize.representation import as_representation

__all__ = ["CUTOFF", "EQUAL_INERTIA", "SOLIDS", "STRATA", "TURNS", "Turn", "turns"]

# --- shapes


# Clouds of which every point sees others all around it, within 2 * CUTOFF
NONDEGENERATE = ("generic", "left helix", "right helix", "equal inertia", "symmetric top", "cube")


@dataclass(frozen=True)
class Shape:
    """A cloud: its stratum, about how many points, which of them, and how it lies in space."""

    stratum: str
    number: int = 4
    seed: int = 0
    turn: int = 0

    def points(self) -> Tensor:
        """(n, 3) float64."""
        points = STRATA[self.stratum](self.number, self.seed)
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


# --- networks


class DeepSet:
    """A smooth network of points that no rotation leaves as it is.

    h_j = tanh(W x_j + b) with x_j the position (in units of ``data.unit``) and whatever else is
    named, H = sum_j fade_j h_j, outputs sin(H + c) V for structures, sin(H + 2 h_j) V for points.

    Args:
        outputs: representation of each output; a single one makes it return a tensor.
        points: further attributes with one row for each point.
        structures: the same for each structure.
        fade: None, "envelope" (that of the data), or the radius at which the network's own
            cutoff function, a C-infinity bump of the distance from the origin, vanishes.
        per_point: names of the outputs with one row for each point.
        hidden: number of hidden features.
    """

    def __init__(
        self,
        outputs: str | Mapping[str, str],
        *,
        points: Sequence[str] = (),
        structures: Sequence[str] = (),
        fade: str | float | None = None,
        per_point: Sequence[str] = (),
        hidden: int = 24,
        seed: int = 7,
    ) -> None:
        self.single = isinstance(outputs, str)
        named = {"output": outputs} if isinstance(outputs, str) else dict(outputs)
        self.points, self.structures, self.fade = points, structures, fade
        self.per_point, self.hidden, self.seed = per_point, hidden, seed
        self.shapes = {name: as_representation(spec).value_shape for name, spec in named.items()}
        self.calls: list[int] = []

    def weights(self, name: str, *shape: int, dtype: torch.dtype) -> Tensor:
        """Fixed random weights; the same ones, rounded, in single precision."""
        seed = self.seed + sum(map(ord, name))
        drawn = torch.randn(
            *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
        )
        return drawn.to(dtype)

    def __call__(self, data: Data) -> Any:
        """One row for each structure (or point) of each output."""
        self.calls.append(data.num_graphs)
        dtype, index, size = data.pos.dtype, data.batch, data.num_graphs
        positions = data.pos
        if "unit" in data:
            positions = positions / data.unit[index]
        features = positions @ self.weights("pos", 3, self.hidden, dtype=dtype)
        for name in (*self.points, *self.structures):
            values = data[name].reshape(len(index) if name in self.points else size, -1)
            turned = values @ self.weights(name, values.size(1), self.hidden, dtype=dtype)
            features = features + (turned if name in self.points else turned[index])
        bias = self.weights("bias", self.hidden, dtype=dtype)
        hidden = torch.tanh(features + bias)
        if self.fade == "envelope":
            hidden = hidden * data.envelope[:, None]
        elif self.fade is not None:
            hidden = hidden * bump(positions, float(self.fade))[:, None]
        pooled = hidden.new_zeros(size, self.hidden).index_add(0, index, hidden)
        whole, each = torch.sin(pooled + bias), torch.sin(pooled[index] + 2 * hidden)
        values = {}
        for name, shape in self.shapes.items():
            width = math.prod(shape)
            last = self.weights(f"last {name}", self.hidden, width, dtype=dtype)
            source = each if name in self.per_point else whole
            values[name] = (source @ last).reshape(-1, *shape) / math.sqrt(self.hidden)
        return values["output"] if self.single else values


def bump(vectors: Tensor, radius: float) -> Tensor:
    """exp(x / (x - 1)) of x = r^2 / radius^2: 1 at the origin, C-infinity, 0 from the radius on."""
    x = vectors.square().sum(-1) / radius**2
    inside = x < 1 - 1e-3
    x = torch.where(inside, x, 0.0)
    return torch.where(inside, torch.exp(x / (x - 1)), 0.0)


class MessagePassing:
    """Two rounds of messages along given edges, then a sum; as asymmetric as ``DeepSet``.

    Edge vectors are differences of positions, with lattice vectors where the data has
    ``edge_shift``, or come with the data as ``edge_vector``. Messages fade at ``reach``.
    """

    def __init__(self, output: str, reach: float, *, given: bool = False, hidden: int = 12) -> None:
        self.set = DeepSet(output, hidden=hidden)
        self.reach, self.given, self.hidden = reach, given, hidden

    def edge_vectors(self, data: Data) -> Tensor:
        """(E, 3) from the first end to the second."""
        if self.given:
            return data.edge_vector
        start, end = data.edge_index
        vectors = data.pos[end] - data.pos[start]
        if "edge_shift" in data:
            cell = data.cell.reshape(-1, 3, 3)[data.batch[start]]
            vectors = vectors + torch.einsum(
                "ei,eij->ej", data.edge_shift.to(vectors.dtype), cell.to(vectors.dtype)
            )
        return vectors

    def __call__(self, data: Data) -> Tensor:
        """One row for each structure."""
        dtype, (start, end) = data.pos.dtype, data.edge_index
        vectors = self.edge_vectors(data)
        weights = self.set.weights
        filters = torch.tanh(vectors @ weights("edge", 3, self.hidden, dtype=dtype))
        filters = filters * bump(vectors, self.reach)[:, None]
        state = data.pos.new_ones(len(data.batch), self.hidden)
        for layer in range(2):
            mixed = state @ weights(f"mix {layer}", self.hidden, self.hidden, dtype=dtype)
            bias = weights(f"bias {layer}", self.hidden, dtype=dtype)
            messages = filters * torch.sin(mixed + bias)[end]
            state = torch.zeros_like(state).index_add(0, start, messages)
        pooled = state.new_zeros(data.num_graphs, self.hidden).index_add(0, data.batch, state)
        width = math.prod(self.set.shapes["output"])
        last = weights("last", self.hidden, width, dtype=dtype)
        return torch.sin(pooled + weights("shift", self.hidden, dtype=dtype)) @ last / 3
