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
from functools import cache, lru_cache
from itertools import combinations_with_replacement

import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

from symmetrize.arrays.safe import safe_log
from symmetrize.arrays.segments import counts, join, offsets, segment_max, segment_sum
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

    def detached(self) -> "Density":
        """The same without derivatives, backward and forward."""
        return Density(self.coefficients.detach(), self.total.detach(), self.degree)

    def take(self, owners: Int[Tensor, "rows"]) -> "Density":
        """The densities of the given owners, in this order."""
        return Density(self.coefficients[owners], self.total[owners], self.degree)


@cache
def _exponents(degree: int, lowest: int) -> tuple[tuple[int, ...], ...]:
    """Of the products of coordinates of degree L, L - 1, and so on."""
    return tuple(
        (a, b, total - a - b)
        for total in range(degree, lowest - 1, -1)
        for a in range(total + 1)
        for b in range(total + 1 - a)
    )


@cache
def _powers(degree: int, lowest: int) -> Int[Tensor, "3 products"]:
    """The same as one tensor for each coordinate."""
    return torch.tensor(_exponents(degree, lowest)).T.contiguous()


@cache
def _pairs(degree: int) -> tuple[Int[Tensor, "2 pairs"], Int[Tensor, "2 products"]]:
    """The powers of x and y that occur together, and for each product its pair and that of z."""
    pairs = [(a, b) for a in range(degree + 1) for b in range(degree + 1 - a)]
    place = {pair: k for k, pair in enumerate(pairs)}
    products = [(place[a, b], c) for a, b, c in _exponents(degree, degree - 1)]
    return torch.tensor(pairs).T.contiguous(), torch.tensor(products).T.contiguous()


@cache
def _factors(degree: int) -> Float[Tensor, "products"]:
    """Of the products in ((u . r)^L + (u . r)^(L - 1)) / 2."""
    found = [
        math.factorial(sum(row)) / math.prod(map(math.factorial, row)) / 2
        for row in _exponents(degree, degree - 1)
    ]
    return torch.tensor(found, dtype=torch.float64)


@cache
def _derivatives(degree: int) -> tuple[Int[Tensor, "10 products"], Float[Tensor, "10 products"]]:
    """Coefficients of a density, its 3 first and its 6 second derivatives, from those of itself.

    For each product of degree L to L - 3, the product that it comes from, and a factor.
    """
    place = {row: k for k, row in enumerate(_exponents(degree, degree - 1))}
    sources, factors = [], []
    for taken in ((0, 0, 0), *_steps(1), *_steps(2)):
        for row in _exponents(degree, degree - 3):
            raised = tuple(a + b for a, b in zip(row, taken, strict=True))
            sources.append(place.get(raised, 0))
            falling = math.prod(map(math.perm, raised, taken))
            factors.append(float(falling) if raised in place else 0.0)
    shape = (10, -1)
    return (
        torch.tensor(sources).reshape(shape),
        torch.tensor(factors, dtype=torch.float64).reshape(shape),
    )


def _steps(order: int) -> list[tuple[int, ...]]:
    """x, y, z; and xx, xy, xz, yy, yz, zz."""
    return [
        tuple(chosen.count(k) for k in range(3))
        for chosen in combinations_with_replacement(range(3), order)
    ]


def _products(u: Float[Tensor, "rows 3"], degree: int, lowest: int) -> Tensor:
    """(rows, products) of the coordinates, of degree L to the lowest."""
    powers = torch.stack([torch.ones_like(u), u], dim=-1)
    while powers.size(-1) <= degree:
        powers = torch.cat([powers, powers * (powers[..., -1:] * u[..., None])], dim=-1)
    x, y, z = powers.unbind(1)
    a, b, c = _powers(degree, lowest).to(u.device)
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
    first = index[:1]
    if len(first) and bool((index == first).all()):
        # the usual case in a large structure: products of x and y, and one with the powers of z
        (one, other), (pair, power) = (part.to(index.device) for part in _pairs(degree))
        # index_select: faster than indexing
        products = (weights * x).index_select(0, one) * y.index_select(0, other)
        sums = products @ z.T
        return weights.new_zeros(size, len(pair)).index_add(0, first, sums[pair, power][None])
    a, b, c = _powers(degree, degree - 1).to(directions.device)
    return segment_sum(((weights * x)[a] * y[b] * z[c]).T, index, size)


@dataclass(frozen=True)
class Look:
    """Densities, one row for each direction that they are looked at in.

    Attributes:
        value: (rows,).
        tangents: (rows, 3, 2), two of the sphere.
        slope, curvature: first and second derivatives along these.
    """

    value: Float[Tensor, "rows"]
    tangents: Float[Tensor, "rows 3 2"]
    slope: Float[Tensor, "rows 2"]
    curvature: Float[Tensor, "rows 2 2"]

    def take(self, rows: Int[Tensor, "some"]) -> "Look":
        """Some of the rows."""
        return Look(self.value[rows], self.tangents[rows], self.slope[rows], self.curvature[rows])

    def moved(self, u: Float[Tensor, "rows 3"], move: Float[Tensor, "rows 2"]) -> Tensor:
        """The directions moved along the tangents."""
        return unit_vectors(u + torch.bmm(self.tangents, move[..., None])[..., 0])[0]

    def where(self, better: Bool[Tensor, "rows"], other: "Look") -> "Look":
        """Row by row this one or another."""
        return Look(
            torch.where(better, self.value, other.value),
            torch.where(better[:, None, None], self.tangents, other.tangents),
            torch.where(better[:, None], self.slope, other.slope),
            torch.where(better[:, None, None], self.curvature, other.curvature),
        )


class Terrain:
    """Densities and their first two derivatives, to be looked at in any direction.

    Args:
        density: of all owners.
    """

    def __init__(self, density: Density) -> None:
        sources, factors = (part.to(density.total.device) for part in _derivatives(density.degree))
        self.degree, self.size = density.degree, len(density.total)
        # (size, products, 10)
        self.coefficients = (density.coefficients[:, sources] * factors).transpose(1, 2)

    def look(self, u: Float[Tensor, "rows 3"], owner: Int[Tensor, "rows"]) -> Look:
        """The density of the owner of each direction; owners ascend."""
        found = self._values(_products(u, self.degree, self.degree - 3), owner)
        value, first, second = found.split([1, 3, 6], dim=-1)
        second = second[:, [0, 1, 2, 1, 3, 4, 2, 4, 5]].reshape(-1, 3, 3)
        tangents = torch.stack(transverse_basis(u), dim=-1)
        eye = torch.eye(2, dtype=u.dtype, device=u.device)
        curvature = torch.bmm(torch.bmm(tangents.transpose(1, 2), second), tangents)
        curvature = curvature - dot(first, u)[:, None, None] * eye
        slope = torch.bmm(first[:, None], tangents)[:, 0]
        return Look(value[:, 0], tangents, slope, curvature)

    def _values(self, products: Tensor, owner: Tensor) -> Float[Tensor, "rows 10"]:
        """Each row of products times the coefficients of its owner."""
        if self.size == 1:
            return products @ self.coefficients[0]
        # the rows of each owner side by side, as coefficients are many more than they
        number = counts(owner, self.size)
        place = torch.arange(len(owner), device=owner.device) - offsets(number)[owner]
        most = int(number.max()) if len(owner) else 0
        dense = products.new_zeros(self.size, most, products.size(1))
        dense = dense.index_put((owner, place), products)
        return (dense @ self.coefficients)[owner, place]


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


@lru_cache(2)
def _products_on_the_grid(degree: int) -> Float[Tensor, "grid products"]:
    """Of the finest density they take 90 MB."""
    return _products(_grid(degree)[0], degree, degree - 1)


@torch.no_grad()
def _found_maxima(density: Density) -> tuple[Float[Tensor, "maxima 3"], Int[Tensor, "maxima"]]:
    """All well-defined maxima of each density, and whose they are; without gradient."""
    density = density.detached()
    directions, nearest = (part.to(density.total.device) for part in _grid(density.degree))
    products = _products_on_the_grid(density.degree).to(directions.device)
    values = density.coefficients @ products.T
    owner, place = torch.nonzero(values >= values[:, nearest].amax(-1), as_tuple=True)
    terrain, u = Terrain(density), directions[place]
    look = terrain.look(u, owner)
    step = torch.full_like(look.value, LONGEST_STEP / math.sqrt(density.degree))
    for _ in range(SEARCHES):
        u, step, look = _climbed(terrain, u, owner, step, look)
        ahead = _ahead(u, owner, step, density)
        if len(ahead) < len(owner):
            u, owner, step = u[ahead], owner[ahead], step[ahead]
            look = look.take(ahead)
        if bool((step < ARRIVED).all()):
            break
    contrast = _contrast(look.curvature, density.total[owner])
    highest = segment_max(contrast, owner, len(density.total))
    kept = (contrast > FLAT * highest[owner]) & (step < ARRIVED)
    return u[kept], owner[kept]


def _climbed(
    terrain: Terrain,
    u: Float[Tensor, "rows 3"],
    owner: Int[Tensor, "rows"],
    step: Float[Tensor, "rows"],
    look: Look,
) -> tuple[Float[Tensor, "rows 3"], Float[Tensor, "rows"], Look]:
    """Directions after some steps toward the next maximum, the length of the last one, the view.

    Newton's steps, uphill also where the density is not yet curved downward. One that would lead
    down has jumped over a maximum; it is not taken, and the next is at most a quarter of it.
    """
    longest = LONGEST_STEP / math.sqrt(terrain.degree)
    reach, length = step.clamp(min=ARRIVED), step
    for _ in range(STEPS):
        bend, modes = torch.linalg.eigh(look.curvature)
        bend = bend.abs()
        bend = torch.maximum(bend, 1e-3 * bend.amax(-1, keepdim=True))
        along = torch.bmm(look.slope[:, None], modes)[:, 0] / torch.where(bend > 0, bend, 1.0)
        move = torch.bmm(modes, along[..., None])[..., 0]
        length = move.square().sum(-1).sqrt()
        taken = torch.minimum(length, reach)
        there = look.moved(u, move * (taken / torch.where(length > 0, length, 1.0))[:, None])
        found = terrain.look(there, owner)
        # at a maximum all steps are equally high up to rounding
        higher = (found.value > look.value) | (length < ARRIVED)
        u, look = torch.where(higher[:, None], there, u), found.where(higher, look)
        reach = torch.where(higher, (2 * taken).clamp(ARRIVED, longest), taken / 4)
    return u, length, look


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
    terrain = Terrain(density)
    look = terrain.look(u, owner)
    for _ in range(GRADIENT_STEPS):
        u = look.moved(u, -_solved(look.curvature, look.slope))
        look = terrain.look(u, owner)
    contrast = _contrast(look.curvature, density.total[owner])
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
    density: Density, frames: Float[Tensor, "rows 3 3"], latitude: float
) -> Float[Tensor, "rows orders 2"]:
    """Circular harmonics m = 1 to L of each density on a circle about the x axis of its frame.

    Real and imaginary part, relative to the sum of the weights. The azimuth is counted from the y
    axis toward the z axis.
    """
    axes, first, second = frames.unbind(-1)
    degree = density.degree
    number = 2 * degree + 2
    angle = torch.arange(number, device=axes.device).to(axes.dtype) * (2 * math.pi / number)
    order = torch.arange(1, degree + 1, device=axes.device).to(axes.dtype)
    equator = angle.cos()[:, None] * first[:, None] + angle.sin()[:, None] * second[:, None]
    circle = math.sin(latitude) * axes[:, None] + math.cos(latitude) * equator
    products = _products(circle.flatten(0, 1), degree, degree - 1).reshape(len(axes), number, -1)
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
