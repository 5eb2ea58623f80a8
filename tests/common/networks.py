"""Smooth networks without symmetry, for tests to symmetrize, and one that counts its calls."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from symmetrize.representation import as_representation


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


def periodic_edges(points: Tensor, cell: Tensor, pbc: list[bool], radius: float) -> Data:
    """Edges to every image within the radius, by trying them all."""
    ranges = [range(-5, 6) if p else range(1) for p in pbc]
    steps = torch.cartesian_prod(*[torch.tensor(list(r)) for r in ranges])
    vectors = points[None, None] + (steps.double() @ cell)[:, None, None] - points[None, :, None]
    near = vectors.norm(dim=-1) < radius
    near &= vectors.norm(dim=-1) > 1e-9
    step, start, end = near.nonzero(as_tuple=True)
    return Data(
        pos=points,
        cell=cell[None],
        pbc=torch.tensor([pbc]),
        edge_index=torch.stack([start, end]),
        edge_shift=steps[step],
        edge_vector=vectors[step, start, end],
    )


class Counter:
    """A network that counts its calls."""

    def __init__(self, width: int = 1) -> None:
        self.calls, self.width = 0, width

    def __call__(self, data: Data) -> Tensor:
        """Zeros."""
        self.calls += 1
        return data.pos.new_zeros(data.num_graphs, self.width)
