"""The point group of a cloud: the rotations and reflections that map it to itself.

About the mean of the points, an element is a matrix g with a permutation p of the points:
``(x @ g.T)[i] = x[p[i]]``, species alike. An orthogonal matrix is fixed, up to one reflection, by
what it does to two independent points. So all pairs of points with the Gram matrix of one chosen
pair are candidates, each with both hands, and those that map the whole cloud to itself are kept.

Where the cloud is too symmetric for that, its group is infinite, and a few elements stand for it:
of collinear clouds a group of turns about the axis, mirrors that hold it, and what exchanges its
ends; of points in one place the turns of ``TURNS``.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from equivariance_tests.clouds.structure import Structure
from equivariance_tests.clouds.turns import TURNS

# Turns about the axis of a collinear cloud: no irrep of a degree below tells 13 from all of them
AXIAL = 13
# Averages over the group, each of which squares what is left of a misfit
ROUNDS = 2
# What maps the axis z to itself: to turn about it, to reflect across a plane that holds it, to
# exchange its ends
MIRROR = torch.diag(torch.tensor([1.0, -1.0, 1.0], dtype=torch.float64))
EXCHANGE = torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64))


def point_group(
    structure: Structure,
    tolerance: int | float = 1e-9,
    turns: Float[Tensor, "turns 3 3"] | None = None,
) -> tuple[Float[Tensor, "elements 3 3"], Int[Tensor, "elements points"]]:
    """Matrices and permutations of the elements, the identity among them.

    Args:
        structure: up to about 60 points, whose cell and inputs are not looked at. Points of one
            species in one place are exchangeable: one of their permutations is given.
        tolerance: how far an element may map a point from the point that it becomes, relative to
            the extent of the cloud.
        turns: that stand for the group of points in one place; ``TURNS`` if not given.

    >>> from equivariance_tests.clouds import Cloud, Setting
    >>> matrices, permutations = point_group(Setting().structure(Cloud("cube")))
    >>> matrices.shape, permutations.shape
    (torch.Size([48, 3, 3]), torch.Size([48, 8]))
    """
    # from the first point first: points in one place then lie on their mean, digit for digit
    points = structure.positions - structure.positions[:1]
    if len(points):
        points = points - points.mean(0)
    extent = max(points.norm(dim=1).tolist(), default=0.0)
    within = float(tolerance) * extent
    kinds = _kinds(points, structure.species, within)
    crossed = torch.linalg.cross(points[:, None], points[None, :]).norm(dim=-1)
    if extent == 0.0:
        named = [turn.matrix() for turn in TURNS.values()]
        candidates = torch.stack(named) if turns is None else turns
    elif float(crossed.max()) <= within * extent:
        candidates = _about_a_line(points)
    else:
        candidates = _of_pairs(points, kinds, crossed, within)
    return _that_map(points, kinds, candidates, within)


def symmetrized(structure: Structure, tolerance: int | float) -> Structure:
    """The cloud nearby to which its point group maps itself to the last digit.

    >>> from equivariance_tests.clouds import Cloud, Setting
    >>> coarse = Setting().structure(Cloud("icosahedron")).rounded(torch.float32)
    >>> point_group(coarse, 1e-14)[0].shape, point_group(symmetrized(coarse, 1e-6), 1e-14)[0].shape
    (torch.Size([..., 3, 3]), torch.Size([120, 3, 3]))
    """
    for _ in range(ROUNDS):
        matrices, permutations = point_group(structure, tolerance)
        points = structure.positions
        middle = points.mean(0) if len(points) else points.new_zeros(3)
        places = (points - middle)[permutations]
        structure = structure.at(middle + torch.einsum("gji,gnj->gni", matrices, places).mean(0))
    return structure


def _about_a_line(points: Float[Tensor, "points 3"]) -> Float[Tensor, "elements 3 3"]:
    """A finite group that stands for that of a line with two equal ends."""
    axis = points[points.norm(dim=1).argmax()]
    frame = _frames(axis[None], _across(axis)[None])[0].roll(-1, 1)  # the axis is its z
    angles = 2 * torch.pi * torch.arange(AXIAL, dtype=torch.float64) / AXIAL
    c, s, zero = angles.cos(), angles.sin(), 0 * angles
    rows = torch.stack([c, -s, zero, s, c, zero, zero, zero, zero + 1], -1)
    turns = rows.reshape(-1, 3, 3)
    proper = torch.cat([turns, turns @ EXCHANGE])
    return frame @ torch.cat([proper, proper @ MIRROR]) @ frame.T


def _across(axis: Float[Tensor, "3"]) -> Float[Tensor, "3"]:
    """A vector that is not parallel to this one."""
    return torch.nn.functional.one_hot(axis.abs().argmin(), 3).double()


def _of_pairs(
    points: Float[Tensor, "points 3"],
    kinds: Bool[Tensor, "points points"],
    crossed: Float[Tensor, "points points"],
    within: float,
) -> Float[Tensor, "elements 3 3"]:
    """What maps the pair that is farthest from collinear to one with the same Gram matrix."""
    first, second = divmod(int(crossed.argmax()), len(points))
    gram = points @ points.T
    lengths = points.norm(dim=1)
    # products of lengths up to the largest, each wrong by the tolerance
    loose = 4 * within * float(lengths.max())
    like_first = kinds[first] & ((lengths - lengths[first]).abs() <= within)
    like_second = kinds[second] & ((lengths - lengths[second]).abs() <= within)
    same_angle = (gram - gram[first, second]).abs() <= loose
    alike = like_first[:, None] & like_second[None, :] & same_angle
    here = _frames(points[first : first + 1], points[second : second + 1])
    image_first, image_second = alike.nonzero().T
    there = _frames(points[image_first], points[image_second])
    mirrored = there * torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64)
    return torch.cat([there, mirrored]) @ here.mT


def _frames(
    first: Float[Tensor, "pairs 3"], second: Float[Tensor, "pairs 3"]
) -> Float[Tensor, "pairs 3 3"]:
    """Axes as columns: along the first, then the second without that part, then their normal."""
    x = first / first.norm(dim=1, keepdim=True)
    y = second
    for _ in range(2):  # once more: of a nearly parallel vector little but rounding is left
        y = y - (x * y).sum(1, keepdim=True) * x
        y = y / y.norm(dim=1, keepdim=True)
    return torch.stack([x, y, torch.linalg.cross(x, y)], -1)


def _kinds(
    points: Float[Tensor, "points 3"], species: Int[Tensor, "points"] | None, within: float
) -> Bool[Tensor, "points points"]:
    """Which points may be mapped to which: of one species, and of one rank in their place.

    Of several points of one species in one place, the k-th is only mapped to the k-th of another
    place, so that places must hold equally many.
    """
    same = torch.ones(len(points), len(points), dtype=torch.bool)
    if species is not None:
        same = species[:, None] == species[None, :]
    apart = (points[:, None] - points[None, :]).norm(dim=-1)
    rank = ((apart <= within) & same).tril(-1).sum(1)
    return same & (rank[:, None] == rank[None, :])


def _that_map(
    points: Float[Tensor, "points 3"],
    kinds: Bool[Tensor, "points points"],
    candidates: Float[Tensor, "candidates 3 3"],
    within: float,
) -> tuple[Float[Tensor, "elements 3 3"], Int[Tensor, "elements points"]]:
    """The candidates that map the cloud to itself, and how."""
    if len(points) == 0:
        return candidates, torch.zeros(len(candidates), 0, dtype=torch.long)
    mapped = torch.einsum("gij,nj->gni", candidates, points)
    apart = (mapped[:, :, None] - points[None, None]).norm(dim=-1)
    misfit, order = torch.where(kinds, apart, torch.inf).min(-1)
    onto = (order.sort(1).values == torch.arange(len(points))).all(1)
    good = (misfit <= within).all(1) & onto
    return candidates[good], order[good]
