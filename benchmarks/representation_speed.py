"""How fast and how accurate are Wigner matrices from R itself, against e3nn's from Euler angles?

10,000 random rotations, "0e + 1o + 2e", forward and backward, single and double precision. Both
sides return the same block-diagonal matrix; their runs alternate, so that whatever else the
machine does slows both. Errors are against a projection of turned spherical harmonics in float64.

Run: python -m benchmarks.representation_speed
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from e3nn import o3
from scipy.spatial.transform import Rotation
from torch import Tensor

from benchmarks._record import read_result, write_result
from benchmarks._text import markdown
from benchmarks._timing import medians, milliseconds
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

    def there_and_back(side: Callable[[Tensor], Tensor]) -> Callable[[], Any]:
        return lambda: torch.autograd.grad(side(rotations), rotations, cotangent)

    calls = {name: there_and_back(side) for name, side in sides.items()}
    middle = medians(milliseconds(calls, ROUNDS))
    return {
        "milliseconds": {name: round(value, 2) for name, value in middle.items()},
        "ratio": round(middle["e3nn"] / middle["symmetrize"], 1),
        "largest_error": {name: float(f"{error:.2g}") for name, error in errors.items()},
    }


def measure() -> dict[str, Any]:
    """Both precisions."""
    torch.set_num_threads(THREADS)
    setting = {
        "irreps": IRREPS,
        "rotations": ROTATIONS,
        "rounds": ROUNDS,
        "pass": "forward+backward",
    }
    dtypes = (torch.float32, torch.float64)
    return setting | {str(dtype).removeprefix("torch."): compare(dtype) for dtype in dtypes}


def table(key: str) -> str:
    """The stored "matrices"."""
    assert key == "matrices"
    stored = read_result("representation_speed")
    rows = []
    for dtype in ("float32", "float64"):
        times, errors = stored[dtype]["milliseconds"], stored[dtype]["largest_error"]
        cells = [f"{times[side]:.0f}" for side in ("e3nn", "symmetrize")]
        cells += [f"{errors[side]:.0e}" for side in ("e3nn", "symmetrize")]
        rows.append([dtype, *cells, f"{stored[dtype]['ratio']:.0f}"])
    names = ["e3nn (ms)", "symmetrize (ms)", "error of e3nn", "of symmetrize", "times as fast"]
    return markdown(["", *names], rows)


def main() -> None:
    path = write_result("representation_speed", measure())
    print(table("matrices"), path, sep="\n\n")


if __name__ == "__main__":
    main()
