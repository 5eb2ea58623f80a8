"""The laws of a symmetrized network, measured: F(gA) = rho(g) F(A).

The error of a law is the largest deviation in a block (one irrep, or one Cartesian tensor) divided
by the root mean square of that block over unrelated clouds, so that neither constant outputs nor
zeros pass. The turned outputs take a path of their own: Wigner matrices fit on spherical harmonics.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data

from symmetrize import (
    Frames,
    HierarchicalFrames,
    Symmetrizer,
)
from tests.common.networks import DeepSet
from tests.common.strata import (
    CUTOFF,
    TURNS,
    Shape,
    Turn,
    block_columns,
    collate,
    turned_output,
)

OUTPUTS = {
    "irreps": "0e+0o+1o+1e+2e+2o+3o+3e+4e+4o",
    "symmetric": "ij=ji",
    "antisymmetric": "ij=-ji",
    "third": "ijk=jik=ikj",
}
GROUPS = ("O(3)", "SO(3)")
SCOPES = ("structure", "center")
PRESETS = ("smooth", "lean")
# Coordinates of order one, turned, cost an ulp or two; averages of up to a few hundred frames, and
# slopes of the weights up to a few hundred, leave that below this.
EXACT = {torch.float64: 1e-12, torch.float32: 2e-5}
# Where the coordinates themselves are rounded by more than an ulp of their differences (far from
# the origin, fragments far apart), the error may be this many times the change of the result as
# every coordinate changes by one ulp.
ROUNDING = 20.0

groups = pytest.mark.parametrize("group", GROUPS)
scopes = pytest.mark.parametrize("scope", SCOPES)


def configured(
    scope: str,
    group: str,
    frames: Frames | str = "smooth",
    outputs: Any = OUTPUTS,
    net: Callable[[Data], Any] | None = None,
    unit: float = 1.0,
    **options: Any,
) -> Symmetrizer:
    """A network without symmetry, symmetrized; presets name hierarchical frames."""
    cutoff = CUTOFF * unit if scope == "center" else None
    if isinstance(frames, str):
        frames = HierarchicalFrames(cutoff, preset=frames)
    if net is None:
        net = DeepSet(outputs, fade=None if scope == "structure" else CUTOFF)
    return Symmetrizer(net, outputs, frames=frames, scope=scope, group=group, **options)


def named(values: Any) -> dict[str, Tensor]:
    return values if isinstance(values, dict) else {"output": values}


def specs(model: Symmetrizer) -> dict[str, str]:
    return {name: str(output.representation) for name, output in model.declaration.items()}


def blocks(values: Tensor, spec: str) -> list[Tensor]:
    flat = values.double().flatten(1) if values.ndim > 1 else values.double()[:, None]
    return [flat[:, columns] for columns in block_columns(spec)]


def spreads(
    model: Callable[[Data], Any], names: dict[str, str], stratum: str = "generic"
) -> dict[str, list[float]]:
    """Root mean square of each block over unrelated clouds, from its mean."""
    clouds = collate([Shape(stratum, 6, seed).points() for seed in range(30)])
    found = named(model(clouds))
    result = {
        name: [
            float((block - block.mean(0)).square().mean().sqrt())
            for block in blocks(found[name], spec)
        ]
        for name, spec in names.items()
    }
    # no block may be zero, or its law would hold vacuously
    assert min(min(values) for values in result.values()) > 0.01
    return result


@functools.cache
def usual_spreads(scope: str, group: str, preset: str) -> dict[str, list[float]]:
    return spreads(configured(scope, group, preset), OUTPUTS)


def law_error(
    model: Callable[[Data], Any],
    names: dict[str, str],
    spread: dict[str, list[float]],
    rows: Sequence[Tensor],
    matrices: Sequence[Tensor],
    dtype: torch.dtype = torch.float64,
    unit: float = 1.0,
) -> float:
    """Largest error of F(gA) = rho(g) F(A) over clouds, matrices and blocks, in one call."""
    rows = [row.to(dtype).double() for row in rows]
    everything = [*rows, *(row @ matrix.T for matrix in matrices for row in rows)]
    found = named(model(collate(everything, dtype=dtype, unit=unit)))
    worst = 0.0
    for name, spec in names.items():
        here, *there = found[name].double().chunk(1 + len(matrices))
        assert torch.isfinite(found[name]).all()
        for matrix, values in zip(matrices, there, strict=True):
            change = values - turned_output(here, spec, matrix)
            for block, size in zip(blocks(change, spec), spread[name], strict=True):
                if block.numel():
                    worst = max(worst, float(block.abs().max()) / size)
    return worst


def rounding_noise(
    model: Callable[[Data], Any],
    names: dict[str, str],
    spread: dict[str, list[float]],
    rows: Sequence[Tensor],
    dtype: torch.dtype,
    unit: float = 1.0,
) -> float:
    """Largest change of a result as each coordinate changes by one ulp of the largest one."""
    generator = torch.Generator().manual_seed(0)
    rows = [row.to(dtype).double() for row in rows]
    ulp = torch.finfo(dtype).eps * max(float(row.abs().max()) for row in rows)
    moved = [
        row + ulp * torch.randn(row.shape, dtype=row.dtype, generator=generator)
        for _ in range(4)
        for row in rows
    ]
    found = named(model(collate([*rows, *moved], dtype=dtype, unit=unit)))
    worst = 0.0
    for name, spec in names.items():
        here, *there = found[name].double().chunk(5)
        for values in there:
            for block, size in zip(blocks(values - here, spec), spread[name], strict=True):
                worst = max(worst, float(block.abs().max()) / size)
    return worst


def elements(group: str, *chosen: Turn) -> list[Tensor]:
    """Matrices of the turns, the improper ones as proper ones where the group has no others."""
    matrices = [t.matrix() for t in chosen]
    return [m * torch.linalg.det(m).sign() if group == "SO(3)" else m for m in matrices]


# --- with inputs that turn


def inputs_error(
    model: Symmetrizer, data: Data, spec: str, turning: dict[str, str], matrices: Sequence[Tensor]
) -> float:
    """Largest |F(gA) - rho(g) F(A)| with positions, cell and the named inputs turned."""
    here = model(data)
    worst = 0.0
    for matrix in matrices:
        there = data.clone()
        there.pos = data.pos @ matrix.T
        if "cell" in data:
            there.cell = data.cell @ matrix.T
        for name, kind in turning.items():
            there[name] = turned_output(data[name], kind, matrix)
        values = model(there)
        assert torch.isfinite(values).all()
        worst = max(worst, float((values - turned_output(here, spec, matrix)).abs().max()))
    return worst


SPEC = "0e+0o+1o+1e+2e+2o"
MATRICES = elements("O(3)", *(TURNS[n] for n in ("generic", "improper", "half turn about x")))


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def edges_within(points: Tensor, radius: float) -> Tensor:
    distance = torch.cdist(points, points)
    near = (distance < radius) & ~torch.eye(len(points), dtype=torch.bool)
    return near.nonzero().T.contiguous()
