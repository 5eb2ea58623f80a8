"""Highly symmetric clouds: Platonic solids and shells of neighbors in crystals."""

import itertools
import math

import torch
from jaxtyping import Float
from torch import Tensor

SIGNS = list(itertools.product((1.0, -1.0), repeat=3))
GOLDEN = (1 + math.sqrt(5)) / 2
CENTER = torch.zeros(1, 3, dtype=torch.float64)


def orbit(
    *corners: tuple[int | float, int | float, int | float], cyclic: bool = False
) -> Float[Tensor, "points 3"]:
    """All changes of sign and permutations (or cyclic ones) of the coordinates."""
    rows = set()
    for corner in corners:
        turns = [corner[i:] + corner[:i] for i in range(3)]
        for place in turns if cyclic else itertools.permutations(corner):
            rows |= {tuple(s * c for s, c in zip(signs, place, strict=True)) for signs in SIGNS}
    return torch.tensor(sorted(rows), dtype=torch.float64)


TETRAHEDRON = torch.tensor([s for s in SIGNS if math.prod(s) > 0], dtype=torch.float64)
SOLIDS: dict[str, Tensor] = {
    "tetrahedron": TETRAHEDRON,
    "octahedron": 1.5 * orbit((1.0, 0.0, 0.0)),
    "cube": orbit((1.0, 1.0, 1.0)),
    "icosahedron": 0.75 * orbit((0.0, 1.0, GOLDEN), cyclic=True),
    "dodecahedron": torch.cat(
        [orbit((1.0, 1.0, 1.0)), orbit((0.0, 1 / GOLDEN, GOLDEN), cyclic=True)]
    ),
    "diamond shell": torch.cat([CENTER, TETRAHEDRON]),
    "fcc shell": torch.cat([CENTER, orbit((1.0, 1.0, 0.0))]),
    "bcc shells": torch.cat([CENTER, orbit((1.0, 1.0, 1.0)), orbit((2.0, 0.0, 0.0))]),
}
