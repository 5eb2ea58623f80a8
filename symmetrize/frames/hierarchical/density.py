"""Axes and azimuths of symmetric structures: maxima of a density of directions on the sphere.

The points of a C60 or the bonds of a crystal tie in hundreds of ways, but not their density

    g(u) = sum_j w_j K(u . r_j / |r_j|),    K(t) = (t^L + t^(L - 1)) / 2,

a polynomial of degree L in the direction u. Its maxima turn with the cloud, are few, however many
points there are, and see many points at once, whose noise averages out; none tie but by symmetry.
A maximum counts by its *contrast*, the curvature of g there over sum_j w_j: it is zero where a
maximum merges with a saddle, and so is ill defined, and the same for a crystal and its supercell.
Coarse densities come first, and finer ones where those are featureless.

The coefficients of g are sums of products of coordinates, of the order of L^2 for each point;
nothing visits the points after that. Maxima are sought on a grid that resolves them, without
gradient, and two steps of Newton's method carry their derivatives.

The construction is this library's own.
"""

import math
from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

from symmetrize.arrays.safe import safe_log
from symmetrize.arrays.segments import join, segment_max, segment_sum
from symmetrize.arrays.switching import select
from symmetrize.arrays.vectors import dot, safe_norm, transverse_basis, unit_vectors
from symmetrize.frames.hierarchical.candidates import Candidates
from symmetrize.points.cloud import Vectors

# Distance between neighbors on the grid, and the longest step toward a maximum, in units of the
# angular width L^(-1/2) of the kernel
SPACING, LONGEST_STEP = 0.2, 0.3
# Neighbors of a direction of the grid; steps toward a maximum before those that have come together
# are made one, and how often at most; and steps that carry derivatives, up to the third order
NEIGHBORS, STEPS, SEARCHES, GRADIENT_STEPS = 4, 6, 10, 2
# Vectors whose products of coordinates are formed at once
BLOCK = 4096
# Directions nearer to each other than this part of the width are on the way to one maximum; the
# last step of what has arrived there is shorter than this
SAME, ARRIVED = 1e-2, 1e-6
# Ratio to the highest contrast below which a maximum does not count, not even for the mean of them
FLAT = 0.02
# Ratios to the highest contrast at which a maximum enters and has its full weight
WINDOW, ORDER = (0.1, 1.0), 8.0


@dataclass(frozen=True)
class Density:
    """Densities of directions of several owners, as polynomials of one degree.

    Attributes:
        coefficients: (size, products) of the products of coordinates.
        total: (size,), sum of the weights.
        degree: L, even.
    """

    coefficients: Float[Tensor, "size products"]
    total: Float[Tensor, "size"]
    degree: int

    def take(self, owners: Int[Tensor, "rows"]) -> "Density":
        """The densities of the given owners, in this order."""
        return Density(self.coefficients[owners], self.total[owners], self.degree)


@cache
def _exponents(degree: int) -> tuple[tuple[int, int, int], ...]:
    """Of the products of coordinates of degree L and L - 1."""
    return tuple(
        (a, b, total - a - b)
        for total in (degree, degree - 1)
        for a in range(total + 1)
        for b in range(total + 1 - a)
    )


@cache
def _powers(degree: int) -> Int[Tensor, "3 products"]:
    """The same as one tensor for each coordinate."""
    return torch.tensor(_exponents(degree)).T.contiguous()


@cache
def _factors(degree: int) -> Float[Tensor, "products"]:
    """Of the products in ((u . r)^L + (u . r)^(L - 1)) / 2."""
    found = [
        math.factorial(sum(row)) / math.prod(map(math.factorial, row)) / 2
        for row in _exponents(degree)
    ]
    return torch.tensor(found, dtype=torch.float64)


@cache
def _derivatives(degree: int) -> tuple[Int[Tensor, "3 fewer"], Float[Tensor, "3 fewer"]]:
    """For x, y and z, the products whose derivatives are those of degree L - 1, and factors."""
    place = {row: k for k, row in enumerate(_exponents(degree))}
    sources, factors = [], []
    for axis in range(3):
        step = [int(k == axis) for k in range(3)]
        raised = [(a + step[0], b + step[1], c + step[2]) for a, b, c in _exponents(degree - 1)]
        sources.append([place[row] for row in raised])
        factors.append([float(row[axis]) for row in raised])
    return torch.tensor(sources), torch.tensor(factors, dtype=torch.float64)


def _products(u: Float[Tensor, "rows 3"], degree: int) -> Float[Tensor, "rows products"]:
    powers = [torch.ones_like(u)]
    for _ in range(degree):
        powers.append(powers[-1] * u)
    x, y, z = torch.stack(powers, dim=-1).unbind(1)
    a, b, c = _powers(degree).to(u.device)
    return x[:, a] * y[:, b] * z[:, c]


def density_of(cloud: Vectors, weights: Float[Tensor, "points"], degree: int) -> Density:
    """The density of the directions of each owner's vectors, weighted."""
    directions, _ = unit_vectors(cloud.vectors)
    # in blocks that stay in the cache
    blocks = zip(*(part.split(BLOCK) for part in (directions, weights, cloud.index)), strict=True)
    moments = [_moments(u, w, whose, cloud.size, degree) for u, w, whose in blocks]
    nothing = weights.new_zeros(cloud.size, len(_factors(degree)))
    return Density(
        torch.stack([nothing, *moments]).sum(0) * _factors(degree).to(weights.device),
        segment_sum(weights, cloud.index, cloud.size),
        degree,
    )


def _moments(
    directions: Float[Tensor, "rows 3"],
    weights: Float[Tensor, "rows"],
    index: Int[Tensor, "rows"],
    size: int,
    degree: int,
) -> Float[Tensor, "size products"]:
    """Weighted sums of the products of coordinates over the rows of each owner."""
    columns = directions.T.contiguous()
    powers = [torch.ones_like(columns)]
    for _ in range(degree):
        powers.append(powers[-1] * columns)
    x, y, z = torch.stack(powers, dim=1)
    a, b, c = _powers(degree).to(directions.device)
    products = (weights * x)[a] * y[b] * z[c]
    first = index[:1]
    if len(first) and bool((index == first).all()):
        # the usual case in a large structure: no scattering
        return weights.new_zeros(size, len(a)).index_add(0, first, products.sum(1)[None])
    return segment_sum(products.T, index, size)


@dataclass(frozen=True)
class Slopes:
    """First and second derivatives of densities, one row for each direction to be looked at.

    Attributes:
        first: (rows, 3, products) coefficients of the derivatives, of one degree less.
        second: (rows, 6, products) of the second ones, xx, xy, xz, yy, yz and zz.
        degree: L of the density.
    """

    first: Float[Tensor, "rows 3 fewer"]
    second: Float[Tensor, "rows 6 fewest"]
    degree: int

    @classmethod
    def of(cls, density: Density, owners: Int[Tensor, "rows"]) -> "Slopes":
        """The derivatives of the density of each owner, in this order."""
        sources, factors = _derivatives(density.degree)
        first = density.coefficients[:, sources.to(owners.device)] * factors.to(owners.device)
        sources, factors = _derivatives(density.degree - 1)
        rows = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
        second = torch.stack(
            [first[:, i, sources[j]] * factors[j].to(owners.device) for i, j in rows], dim=1
        )
        return cls(first[owners], second[owners], density.degree)

    def at(
        self, u: Float[Tensor, "rows 3"]
    ) -> tuple[Float[Tensor, "rows 3 2"], Float[Tensor, "rows 2"], Float[Tensor, "rows 2 2"]]:
        """Two tangents of the sphere at each direction, and both derivatives along them."""
        first = (self.first * _products(u, self.degree - 1)[:, None]).sum(-1)
        second = (self.second * _products(u, self.degree - 2)[:, None]).sum(-1)
        second = second[:, [0, 1, 2, 1, 3, 4, 2, 4, 5]].reshape(-1, 3, 3)
        tangents = torch.stack(transverse_basis(u), dim=-1)
        eye = torch.eye(2, dtype=u.dtype, device=u.device)
        curvature = tangents.transpose(1, 2) @ second @ tangents
        curvature = curvature - dot(first, u)[:, None, None] * eye
        return tangents, (first[:, None] @ tangents)[:, 0], curvature


def _contrast(curvature: Float[Tensor, "rows 2 2"], total: Tensor) -> Float[Tensor, "rows"]:
    """Half the harmonic mean of the curvatures at a maximum over the weights; 0 elsewhere."""
    a, b, c = -curvature[:, 0, 0], -curvature[:, 1, 1], curvature[:, 0, 1]
    trace, determinant = a + b, a * b - c * c
    peaked = (trace > 0) & (determinant > 0)
    found = torch.where(peaked, determinant, 0.0) / torch.where(peaked, trace, 1.0)
    return found / torch.where(total > 0, total, 1.0)


@cache
def _grid(degree: int) -> tuple[Float[Tensor, "grid 3"], Int[Tensor, "grid neighbors"]]:
    """Directions spread evenly over the sphere, and the neighbors of each."""
    number = int(4 * math.pi * degree / SPACING**2)
    place = torch.arange(number, dtype=torch.float64) + 0.5
    z = 1 - 2 * place / number
    azimuth = math.pi * (1 + 5**0.5) * place
    radius = (1 - z * z).sqrt()
    directions = torch.stack([radius * azimuth.cos(), radius * azimuth.sin(), z], dim=-1)
    _, nearest = cKDTree(directions.numpy()).query(directions.numpy(), NEIGHBORS + 1)
    return directions, torch.from_numpy(nearest[:, 1:]).long()


@torch.no_grad()
def _found_maxima(density: Density) -> tuple[Float[Tensor, "maxima 3"], Int[Tensor, "maxima"]]:
    """All well-defined maxima of each density, and whose they are; without gradient."""
    directions, nearest = (part.to(density.total.device) for part in _grid(density.degree))
    values = density.coefficients @ _products(directions, density.degree).T
    owner, place = torch.nonzero(values >= values[:, nearest].amax(-1), as_tuple=True)
    u = directions[place]
    step = torch.full_like(u[:, 0], LONGEST_STEP / math.sqrt(density.degree))
    for _ in range(SEARCHES):
        u, step = _climbed(density, u, owner, step)
        ahead = _ahead(u, owner, step, density)
        u, owner, step = u[ahead], owner[ahead], step[ahead]
        if bool((step < ARRIVED).all()):
            break
    contrast = _contrast(Slopes.of(density, owner).at(u)[2], density.total[owner])
    highest = segment_max(contrast, owner, len(density.total))
    kept = (contrast > FLAT * highest[owner]) & (step < ARRIVED)
    return u[kept], owner[kept]


def _climbed(
    density: Density, u: Float[Tensor, "rows 3"], owner: Int[Tensor, "rows"], step: Tensor
) -> tuple[Float[Tensor, "rows 3"], Float[Tensor, "rows"]]:
    """Directions after some steps toward the next maximum, and the length of the last one.

    Newton's steps, uphill also where the density is not yet curved downward. One that would lead
    down has jumped over a maximum; it is not taken, and the next is at most a quarter of it.
    """
    slopes, coefficients = Slopes.of(density, owner), density.coefficients[owner]
    value = (coefficients * _products(u, density.degree)).sum(-1)
    longest = LONGEST_STEP / math.sqrt(density.degree)
    reach = torch.maximum(step, torch.full_like(step, ARRIVED))
    length = step
    for _ in range(STEPS):
        tangents, slope, curvature = slopes.at(u)
        bend, modes = torch.linalg.eigh(curvature)
        bend = bend.abs()
        bend = torch.maximum(bend, 1e-3 * bend.amax(-1, keepdim=True))
        along = (modes.transpose(1, 2) @ slope[..., None])[..., 0]
        move = (modes @ (along / torch.where(bend > 0, bend, 1.0))[..., None])[..., 0]
        length = move.norm(dim=-1)
        taken = torch.minimum(length, reach)
        move = move * (taken / torch.where(length > 0, length, 1.0))[:, None]
        there, _ = unit_vectors(u + (tangents @ move[..., None])[..., 0])
        found = (coefficients * _products(there, density.degree)).sum(-1)
        # at a maximum all steps are equally high up to rounding
        higher = (found > value) | (length < ARRIVED)
        u = torch.where(higher[:, None], there, u)
        value = torch.where(higher, found, value)
        reach = torch.where(higher, (2 * taken).clamp(ARRIVED, longest), taken / 4)
    return u, length


def _ahead(u: Tensor, owner: Tensor, step: Tensor, density: Density) -> Int[Tensor, "different"]:
    """Of those rows of an owner that are in the same place, the one that has come furthest."""
    one, other = join(owner, owner, len(density.total))
    near = safe_norm(u[one] - u[other]) < SAME / math.sqrt(density.degree)
    better = (step[other] < step[one]) | ((step[other] == step[one]) & (other < one))
    behind = torch.zeros_like(owner, dtype=torch.bool)
    behind[one[near & better]] = True
    return torch.nonzero(~behind)[:, 0]


def density_axes(density: Density) -> tuple[Candidates, Float[Tensor, "size"]]:
    """Axes along the maxima of each density of the highest contrasts.

    Returns:
        the axes, with weights that sum to one for each owner that has any, and the lever of the
        steadiest of each owner, if it had one point at distance 1.
    """
    size = len(density.total)
    u, owner = _found_maxima(density)
    slopes = Slopes.of(density, owner)
    for _ in range(GRADIENT_STEPS):
        tangents, slope, curvature = slopes.at(u)
        move = -_solved(curvature, slope)
        u, _ = unit_vectors(u + (tangents @ move[..., None])[..., 0])
    contrast = _contrast(slopes.at(u)[2], density.total[owner])
    weights = select(2 * safe_log(contrast), owner, size, WINDOW, ORDER)
    kept = torch.nonzero(weights > 0)[:, 0]
    found = Candidates.normalized(u[kept], weights[kept], owner[kept], size)
    return found, _lehmer(contrast, owner, size) / sensitivity(density.degree)[0]


def _lehmer(values: Tensor, owner: Tensor, size: int) -> Tensor:
    """A smooth mean of each owner's values, near the largest and never above it."""
    scale = values.new_zeros(size).scatter_reduce(0, owner, values.detach(), "amax")
    scale = torch.where(scale > 0, scale, 1.0)
    part = values / scale[owner]
    top = segment_sum(part ** (ORDER + 1), owner, size)
    bottom = segment_sum(part**ORDER, owner, size)
    return scale * top / torch.where(bottom > 0, bottom, 1.0)


def _solved(matrix: Float[Tensor, "rows 2 2"], right: Float[Tensor, "rows 2"]) -> Tensor:
    """The solution of each symmetric system of two equations."""
    a, b, c = matrix[:, 0, 0], matrix[:, 1, 1], matrix[:, 0, 1]
    determinant = a * b - c * c
    return (
        torch.stack([b * right[:, 0] - c * right[:, 1], a * right[:, 1] - c * right[:, 0]], dim=-1)
        / determinant[:, None]
    )


def harmonics_about(
    density: Density,
    axes: Float[Tensor, "rows 3"],
    first: Tensor,
    second: Tensor,
    latitude: float,
) -> Float[Tensor, "rows orders 2"]:
    """Circular harmonics m = 1 to L of each density on a circle about its axis.

    Real and imaginary part, relative to the sum of the weights. The azimuth is counted from
    ``first`` toward ``second``, which complete the axis to a frame.
    """
    degree = density.degree
    number = 2 * degree + 2
    angle = torch.arange(number, device=axes.device).to(axes.dtype) * (2 * math.pi / number)
    order = torch.arange(1, degree + 1, device=axes.device).to(axes.dtype)
    equator = angle.cos()[:, None] * first[:, None] + angle.sin()[:, None] * second[:, None]
    circle = math.sin(latitude) * axes[:, None] + math.cos(latitude) * equator
    products = _products(circle.flatten(0, 1), degree).reshape(len(axes), number, -1)
    values = torch.einsum("rkp,rp->rk", products, density.coefficients)
    values = values / torch.where(density.total > 0, density.total, 1.0)[:, None]
    phase = angle[:, None] * order
    waves = torch.stack([phase.cos(), phase.sin()], dim=-1) * (2 / number)
    return torch.einsum("rk,kmw->rmw", values, waves)


@cache
def sensitivity(degree: int) -> tuple[float, float]:
    """How much one point changes the slope of a density, and one of its harmonics, as it turns.

    Root mean squares over the directions of the point, in units of its weight.
    """
    t = torch.linspace(-1, 1, 4001, dtype=torch.float64)
    once = (degree * t ** (degree - 1) + (degree - 1) * t ** (degree - 2)) / 2
    twice = degree * (degree - 1) * t ** (degree - 2)
    twice = (twice + (degree - 1) * (degree - 2) * t ** (degree - 3)) / 2
    of_slope = twice.square() * (1 - t * t).square() + once.square() * (1 + t * t)
    return float(of_slope.mean().sqrt()), float(once.square().mean().sqrt()) / 2
