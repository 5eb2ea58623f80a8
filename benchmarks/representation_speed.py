"""How fast and how accurate are Wigner matrices from R itself, against e3nn's from Euler angles?

10,000 random rotations, "0e + 1o + 2e", forward and backward, single and double precision. Both
sides return the same block-diagonal matrix; their runs alternate, so that whatever else the
machine does slows both. Errors are against a projection of turned spherical harmonics in float64.

Run: python -m benchmarks.representation_speed
"""

from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import torch
from e3nn import o3
from scipy.spatial.transform import Rotation
from torch import Tensor

from benchmarks._record import write_result
from symmetrize.representation import as_representation

IRREPS = "0e + 1o + 2e"
ROTATIONS = 10_000
ROUNDS = 15
THREADS = 1


def harmonics_error(matrices: Tensor, rotations: Tensor) -> float:
    """Largest error of the matrices, from ``D^l = (2l + 1) <Y(R p) Y(p)^T>`` over a quadrature."""
    z, weights = np.polynomial.legendre.leggauss(5)
    phi = np.arange(10) * np.pi / 5
    ring = np.sqrt(1 - z**2)[:, None]
    points = np.stack(np.broadcast_arrays(ring * np.cos(phi), ring * np.sin(phi), z[:, None]), -1)
    points, weight = torch.from_numpy(points.reshape(-1, 3)), torch.from_numpy(weights.repeat(10))
    error = 0.0
    for (_, ir), at in zip(o3.Irreps(IRREPS), o3.Irreps(IRREPS).slices(), strict=True):
        turned, fixed = (
            o3.spherical_harmonics(ir.l, p, normalize=False, normalization="norm")
            for p in (points @ rotations.mT, points)
        )
        exact = ir.dim * torch.einsum("rpm,p,pn->rmn", turned, weight / 20, fixed)
        error = max(error, (matrices[:, at, at].double() - exact).abs().max().item())
    return error


def compare(dtype: torch.dtype) -> dict[str, Any]:
    """Time both sides in turn and return medians in milliseconds, their ratio, and errors."""
    torch.set_default_dtype(dtype)  # e3nn's precision follows it
    exact = torch.from_numpy(Rotation.random(ROTATIONS, rng=0).as_matrix())
    rotations = exact.to(dtype).requires_grad_()
    sides: dict[str, Callable[[Tensor], Tensor]] = {
        "e3nn": o3.Irreps(IRREPS).D_from_matrix,
        "symmetrize": as_representation(IRREPS).matrices,
    }
    errors = {
        name: harmonics_error(side(rotations.detach()), exact) for name, side in sides.items()
    }
    generator = torch.Generator().manual_seed(0)
    cotangent = torch.randn(ROTATIONS, 9, 9, dtype=dtype, generator=generator)
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, side in sides.items():
            start = perf_counter()
            torch.autograd.grad(side(rotations), rotations, cotangent)
            times[name].append(1e3 * (perf_counter() - start))
    middle = {name: median(values) for name, values in times.items()}
    return {
        "milliseconds": {name: round(value, 2) for name, value in middle.items()},
        "ratio": round(middle["e3nn"] / middle["symmetrize"], 1),
        "largest_error": {name: float(f"{error:.2g}") for name, error in errors.items()},
    }


def main() -> None:
    torch.set_num_threads(THREADS)
    figures = {
        str(dtype).removeprefix("torch."): compare(dtype)
        for dtype in (torch.float32, torch.float64)
    }
    setting = {
        "irreps": IRREPS,
        "rotations": ROTATIONS,
        "rounds": ROUNDS,
        "pass": "forward+backward",
    }
    write_result("representation_speed", {**setting, **figures})
    for dtype, figure in figures.items():
        e3nn, ours = figure["milliseconds"].values()
        print(f"{dtype}: e3nn {e3nn} ms, symmetrize {ours} ms: {figure['ratio']} times as fast")


if __name__ == "__main__":
    main()
