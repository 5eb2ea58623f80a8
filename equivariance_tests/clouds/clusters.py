"""Clusters and shells: many points at about equal distances, in about equal directions.

The closed shells of a face-centered cubic and of an icosahedral cluster, a cage of one shell, and a
shell with hardly a symmetry whose points are all nearly alike. Each lies within 2 of the origin,
with neighbors 0.8 to 1.7 apart.

Source: Mackay, Acta Cryst. 15, 916 (1962), the icosahedral ones.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from equivariance_tests.clouds.solids import CENTER, GOLDEN, orbit

CORNERS = orbit((0.0, 1.0, GOLDEN), cyclic=True)
# Distance of two corners of an icosahedron, and of those that share an edge
EDGE = 2.0
SHELL = 50


def _middles(corners: Float[Tensor, "corners 3"]) -> Float[Tensor, "edges 3"]:
    """The middle of each edge of an icosahedron."""
    one, other = torch.triu_indices(len(corners), len(corners), 1)
    joined = (torch.pdist(corners) - EDGE).abs() < 0.1 * EDGE
    return (corners[one[joined]] + corners[other[joined]]) / 2


def _fibonacci(number: int) -> Float[Tensor, "points 3"]:
    """Points spread evenly over a sphere along a spiral, from end to end symmetric to the digit."""
    k = torch.arange(number, dtype=torch.float64) - (number - 1) / 2
    z = 2 * k / number
    angle = 2 * math.pi * k / GOLDEN
    radius = (1 - z.square()).sqrt()
    return torch.stack([radius * angle.cos(), radius * angle.sin(), z], -1)


CLUSTERS: dict[str, Tensor] = {
    "cuboctahedron": orbit((1.0, 1.0, 0.0)),
    "icosahedron and center": 0.875 * torch.cat([CENTER, CORNERS]),
    # an octahedron with its corners cut off, which are sums of odd whole numbers
    "fcc cluster of 38": 0.875 * orbit((1.0, 0.0, 0.0), (1.0, 1.0, 1.0), (0.0, 1.0, 2.0)),
    "shell of 50": 2.0 * _fibonacci(SHELL),
    "icosahedral cluster of 55": 0.5
    * torch.cat([CENTER, CORNERS, 2 * CORNERS, 2 * _middles(CORNERS)]),
    "C60": 0.4
    * orbit(
        (0.0, 1.0, 3 * GOLDEN),
        (1.0, 2 + GOLDEN, 2 * GOLDEN),
        (GOLDEN, 2.0, 2 * GOLDEN + 1),
        cyclic=True,
    ),
}
