"""Clouds of every degenerate stratum, rotations of every kind, and networks to symmetrize.

A cloud is drawn as a ``Shape``, a descriptor with small integers, and built from it: a failing
example prints as code to paste and shrinks to fewer points, a simpler stratum, and no turn. Strata
come simplest first, coordinates are small dyadic numbers where the shape allows it.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from e3nn import o3
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import Batch, Data

from symmetrize.frames.random import random_rotations
from symmetrize.representation import as_representation

# Radius of an environment, for shapes whose points lie within about 2 of the origin
CUTOFF = 3.0
EYE = torch.eye(3, dtype=torch.float64)

# --- shapes


def _generic(number: int, seed: int) -> Tensor:
    """Points on a grid of spacing 1/4 within (-1.5, 1.5)^3, no two in one place."""
    rng = np.random.default_rng(seed)
    cells = rng.choice(11**3, size=number, replace=False)
    grid = np.stack(np.unravel_index(cells, (11, 11, 11)), -1) - 5.0
    return torch.from_numpy(grid / 4)


def _line(number: int, seed: int) -> Tensor:
    places = np.random.default_rng(seed).choice(13, size=max(number, 2), replace=False) - 6.0
    return torch.from_numpy(places / 4)[:, None] * EYE[2]


def _off_line(distance: float) -> Callable[[int, int], Tensor]:
    def build(number: int, seed: int) -> Tensor:
        away = _generic(number, seed + 1) * torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64)
        return _line(number, seed)[:number] + distance * away

    return build


def _antiparallel(number: int, seed: int) -> Tensor:
    """A center with two neighbors on opposite sides, and others."""
    others = _generic(number, seed)
    return torch.cat([0 * others[:1], others, -others[:1]])


def _with_copy(distance: float) -> Callable[[int, int], Tensor]:
    def build(number: int, seed: int) -> Tensor:
        points = _generic(number, seed)
        return torch.cat([points, points[:1] + distance * EYE[:1]])

    return build


def _polygon(number: int, seed: int) -> Tensor:
    angle = 2 * torch.pi * torch.arange(number, dtype=torch.float64) / number
    return torch.stack([angle.cos(), angle.sin(), 0 * angle], -1)


def _prism(number: int, seed: int) -> Tensor:
    height = 0.5 * EYE[2] * (1 + seed % 3)
    return torch.cat([_polygon(number, 0) + height, _polygon(number, 0) - height])


# A square pyramid of this height on a square of half side 1 has three equal moments of inertia
EQUAL_INERTIA = math.sqrt(5.0)


def _pyramid(excess: float) -> Callable[[int, int], Tensor]:
    def build(number: int, seed: int) -> Tensor:
        base = [[x, y, 0.0] for x, y in itertools.product((1.0, -1.0), repeat=2)]
        apex = [0.0, 0.0, EQUAL_INERTIA * (1 + excess)]
        return 0.75 * torch.tensor([*base, apex], dtype=torch.float64)

    return build


def _signs(*corner: float) -> list[tuple[float, ...]]:
    return sorted({tuple(s * c for s, c in zip(signs, corner, strict=True)) for signs in SIGNS})


SIGNS = list(itertools.product((1.0, -1.0), repeat=3))
GOLDEN = (1 + math.sqrt(5)) / 2


def _orbit(*corners: tuple[float, float, float], cyclic: bool = False) -> Tensor:
    """All changes of sign and permutations (or cyclic ones) of the coordinates."""
    rows = set()
    for corner in corners:
        turns = [corner[i:] + corner[:i] for i in range(3)]
        for place in turns if cyclic else itertools.permutations(corner):
            rows |= set(_signs(*place))
    return torch.tensor(sorted(rows), dtype=torch.float64)


SOLIDS: dict[str, Tensor] = {
    "tetrahedron": torch.tensor([s for s in SIGNS if math.prod(s) > 0], dtype=torch.float64),
    "cube": _orbit((1.0, 1.0, 1.0)),
    "octahedron": 1.5 * _orbit((1.0, 0.0, 0.0)),
    "icosahedron": 0.75 * _orbit((0.0, 1.0, GOLDEN), cyclic=True),
    "dodecahedron": torch.cat(
        [_orbit((1.0, 1.0, 1.0)), _orbit((0.0, 1 / GOLDEN, GOLDEN), cyclic=True)]
    ),
    "fcc shell": torch.cat([0 * EYE[:1], _orbit((1.0, 1.0, 0.0))]),
    "bcc shells": torch.cat([0 * EYE[:1], _orbit((1.0, 1.0, 1.0)), _orbit((2.0, 0.0, 0.0))]),
    "diamond shell": torch.cat(
        [
            0 * EYE[:1],
            torch.tensor([s for s in SIGNS if math.prod(s) > 0], dtype=torch.float64),
        ]
    ),
}


def _solid(name: str) -> Callable[[int, int], Tensor]:
    return lambda number, seed: SOLIDS[name].clone()


def _round_inertia(number: int, seed: int) -> Tensor:
    """Points without any symmetry whose three moments of inertia are equal."""
    points = _generic(max(number, 5), seed)
    points = points - points.mean(0)
    values, vectors = torch.linalg.eigh(points.T @ points)
    if float(values[0]) < 1e-6:  # all in a plane
        return _round_inertia(number + 1, seed + 1)
    return points @ (vectors / values.sqrt()) @ vectors.T * math.sqrt(number / 2)


def _symmetric_top(number: int, seed: int) -> Tensor:
    """Points without any symmetry of which two moments of inertia are equal."""
    return _round_inertia(number, seed) * torch.tensor([1.0, 1.0, 0.5], dtype=torch.float64)


def _helix(hand: float) -> Callable[[int, int], Tensor]:
    def build(number: int, seed: int) -> Tensor:
        step = torch.arange(max(number, 4), dtype=torch.float64)
        angle = hand * 1.75 * step
        return torch.stack([angle.cos(), angle.sin(), 0.5 * step - 0.75], -1)

    return build


def _tied(number: int, seed: int) -> Tensor:
    """A center whose neighbors all have one distance."""
    points = _generic(number, seed)
    points = points[points.norm(dim=-1) > 0]
    return torch.cat([0 * EYE[:1], points / points.norm(dim=-1, keepdim=True)])


def _at_cutoff(factor: float) -> Callable[[int, int], Tensor]:
    """A center, neighbors, and one point at ``CUTOFF * factor`` from the center."""

    def build(number: int, seed: int) -> Tensor:
        return torch.cat([0 * EYE[:1], _generic(number, seed), CUTOFF * factor * EYE[:1]])

    return build


def _fragments(number: int, seed: int) -> Tensor:
    """Two clusters, 128 apart."""
    return torch.cat([_generic(number, seed), _generic(number, seed + 1) + 128 * EYE[0]])


ULP = 2.0**-52
STRATA: dict[str, Callable[[int, int], Tensor]] = {
    "empty": lambda number, seed: torch.zeros(0, 3, dtype=torch.float64),
    "atom": lambda number, seed: _generic(1, seed),
    "pair": lambda number, seed: _line(2, seed),
    # subtracting its part along itself from this vector leaves rounding along it, not zero
    "pair whose rounding lies along it": lambda number, seed: torch.stack(
        [0 * EYE[0], torch.tensor([-2.0, -0.5, 0.5], dtype=torch.float64)]
    ),
    "coincident": lambda number, seed: _generic(1, seed).repeat(number, 1),
    "generic": _generic,
    "line": _line,
    **{f"line off by 1e-{k}": _off_line(10.0**-k) for k in (14, 12, 10, 8, 6, 5, 4, 3, 2)},
    "antiparallel": _antiparallel,
    "plane": lambda number, seed: _generic(number, seed) * torch.tensor([1.0, 1.0, 0.0]).double(),
    "point and copy": _with_copy(0.0),
    "point and copy off by 1e-12": _with_copy(1e-12),
    "point and copy off by 1e-8": _with_copy(1e-8),
    "polygon": _polygon,
    "polygon and center": lambda number, seed: torch.cat([0 * EYE[:1], _polygon(number, 0)]),
    "prism": _prism,
    "pyramid": _pyramid(-0.25),
    "pyramid of equal inertia": _pyramid(0.0),
    **{f"pyramid off by 1e-{k}": _pyramid(10.0**-k) for k in (12, 8, 4)},
    **{name: _solid(name) for name in SOLIDS},
    "equal inertia": _round_inertia,
    "symmetric top": _symmetric_top,
    "left helix": _helix(-1.0),
    "right helix": _helix(1.0),
    "ties": _tied,
    "at the cutoff": _at_cutoff(1.0),
    "an ulp beyond the cutoff": _at_cutoff(1 + ULP),
    "an ulp within the cutoff": _at_cutoff(1 - ULP / 2),
    **{f"1e-{k} within the cutoff": _at_cutoff(1 - 10.0**-k) for k in (8, 4)},
    **{f"1e-{k} beyond the cutoff": _at_cutoff(1 + 10.0**-k) for k in (8, 4)},
    "fragments": _fragments,
}

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


# --- rotations


@dataclass(frozen=True)
class Turn:
    """A rotation by an integer quaternion, then by ``tiny`` about y, then perhaps an inversion."""

    quaternion: tuple[int, int, int, int] = (1, 0, 0, 0)
    tiny: float = 0.0
    improper: bool = False

    def matrix(self) -> Tensor:
        """(3, 3) float64, orthogonal to rounding."""
        w, x, y, z = (c / math.hypot(*self.quaternion) for c in self.quaternion)
        rotation = torch.tensor(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
            ],
            dtype=torch.float64,
        )
        c, s = math.cos(self.tiny), math.sin(self.tiny)
        about_y = torch.tensor([[c, 0, s], [0, 1, 0], [-s, 0, c]], dtype=torch.float64)
        return (-1.0 if self.improper else 1.0) * about_y @ rotation


TURNS: dict[str, Turn] = {
    "identity": Turn(),
    "quarter turn about z": Turn((1, 0, 0, 1)),
    "quarter turn about y": Turn((1, 0, 1, 0)),
    "half turn about x": Turn((0, 1, 0, 0)),
    "half turn about z": Turn((0, 0, 0, 1)),
    "third turn about 111": Turn((1, 1, 1, 1)),
    "tiny": Turn(tiny=1e-10),
    "near the north pole": Turn(tiny=1e-8),
    "near the south pole": Turn((0, 1, 0, 0), tiny=-1e-8),
    "generic": Turn((3, -1, 2, 5)),
    "inversion": Turn(improper=True),
    "mirror": Turn((0, 0, 0, 1), improper=True),
    "improper": Turn((2, 3, -1, 1), improper=True),
}


@st.composite
def turns(draw: st.DrawFn, group: str = "O(3)") -> Turn:
    """An element of the group: named, or a generic one."""
    if draw(st.booleans()):
        chosen = draw(st.sampled_from(list(TURNS.values())))
    else:
        whole = st.integers(-3, 3)
        quaternion = draw(st.tuples(whole, whole, whole, whole).filter(any))
        chosen = Turn(quaternion, 0.0, draw(st.booleans()))
    if group == "SO(3)" and chosen.improper:
        chosen = Turn(chosen.quaternion, chosen.tiny)
    return chosen


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
