"""The groups under which averages are exact: what they contain, and how to draw from them.

A group goes by its name: ``"O(3)"``, ``"SO(3)"``, and about an axis ``"O(2)"``, ``"SO(2)"``. What
depends on a group asks here, so that no other place knows the names.

Source of the uniform distribution: normalized Gaussian quaternions (Shoemake, Graphics Gems III,
1992, in the form of Marsaglia).
"""

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any, Literal, TypeAlias, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Group: TypeAlias = Literal["O(3)", "SO(3)", "O(2)", "SO(2)"]
GROUPS: tuple[Group, ...] = get_args(Group)
# Of all directions alike
SPATIAL: tuple[Group, ...] = ("O(3)", "SO(3)")
Direction: TypeAlias = tuple[float, float, float]
UPRIGHT: Direction = (0.0, 0.0, 1.0)
# How far an element about an axis may move its unit vector
STRAY = 1e-6


def check_group(group: str) -> None:
    """Raise unless ``group`` is one of those that invariance may refer to."""
    if group not in SPATIAL:
        raise ValueError(
            f"`group` is {group!r} but must be 'O(3)' (rotations and reflections) or 'SO(3)' "
            "(rotations only)"
        )


def has_reflections(group: Group | None) -> bool:
    """Whether the group contains reflections; None for no group.

    In O(3) the inversion is among them, in O(2) there are those across planes that hold the axis.

    >>> has_reflections("O(3)"), has_reflections("SO(3)"), has_reflections("O(2)")
    (True, False, True)
    """
    return group in ("O(3)", "O(2)")


def is_axial(group: Group | None) -> bool:
    """Whether the group is about an axis, which none of its elements moves.

    >>> is_axial("SO(2)"), is_axial("SO(3)")
    (True, False)
    """
    return group in ("O(2)", "SO(2)")


def as_direction(axis: Any, name: str = "axis") -> Direction:
    """The unit vector along an axis that a user wrote.

    Raises:
        ValueError: if that is no three numbers, or they have no direction.

    >>> as_direction([0, 0, 2])
    (0.0, 0.0, 1.0)
    """
    numbers = axis.tolist() if hasattr(axis, "tolist") else axis
    three = isinstance(numbers, Sequence) and not isinstance(numbers, str) and len(numbers) == 3
    if not three or not all(isinstance(x, Real) and math.isfinite(x) for x in numbers):
        raise ValueError(
            f"`{name}` is {axis!r} but must be three numbers, such as (0, 0, 1), the direction "
            "that no turn of the group moves"
        )
    length = math.hypot(*numbers)
    if length == 0:
        raise ValueError(f"`{name}` is {axis!r}, which has no direction: (0, 0, 1) is upright")
    x, y, z = (float(x) / length for x in numbers)
    return x, y, z


def frame_along(axis: Direction) -> Float[Tensor, "3 3"]:
    """A proper frame whose first column is the axis: of z, the columns z, x, y.

    >>> frame_along((1.0, 0.0, 0.0)).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    along = torch.tensor(axis, dtype=torch.float64)
    helper = torch.zeros_like(along)
    helper[(int(along.abs().argmax()) + 1) % 3] = 1.0
    across = helper - (helper @ along) * along
    across = across / across.norm()
    return torch.stack([along, across, torch.linalg.cross(along, across)], dim=-1)


def contains(
    group: Group, matrices: Float[Tensor, "*shape 3 3"], axis: Direction = UPRIGHT
) -> Bool[Tensor, "*shape"]:
    """Which orthogonal matrices are elements of the group, about an axis if it has one.

    >>> contains("SO(3)", torch.stack([torch.eye(3), -torch.eye(3)]))
    tensor([ True, False])
    >>> contains("O(2)", torch.stack([torch.diag(torch.tensor([1.0, -1.0, 1.0])), -torch.eye(3)]))
    tensor([ True, False])
    """
    inside = (torch.linalg.det(matrices) > 0) | has_reflections(group)
    if is_axial(group):
        along = matrices.new_tensor(axis)
        inside &= (matrices @ along - along).norm(dim=-1) < STRAY
    return inside


def random_rotations(
    number: int, generator: torch.Generator | None = None, device: torch.device | str = "cpu"
) -> Float[Tensor, "number 3 3"]:
    """(number, 3, 3) float64 rotations, uniform on SO(3)."""
    quaternions = torch.randn(number, 4, dtype=torch.float64, generator=generator, device=device)
    w, x, y, z = torch.nn.functional.normalize(quaternions, dim=-1).unbind(-1)
    entries = [
        *(1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        *(2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        *(2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    ]
    return torch.stack(entries, -1).reshape(number, 3, 3)


def random_elements(
    number: int,
    group: Group = "O(3)",
    generator: torch.Generator | None = None,
    device: torch.device | str = "cpu",
    axis: Direction = UPRIGHT,
) -> Float[Tensor, "number 3 3"]:
    """(number, 3, 3) float64 orthogonal matrices, uniform on the group.

    In space the rotations are those that ``random_rotations`` draws from the same generator. Each
    is inverted with probability 1/2 where the group has reflections; about an axis, reflected
    across a plane that holds it.

    >>> turns = random_elements(4, "SO(3)", torch.Generator().manual_seed(0))
    >>> torch.linalg.det(turns).round(decimals=6)
    tensor([1., 1., 1., 1.], dtype=torch.float64)
    >>> bool((random_elements(4, "O(2)")[:, :, 2] == torch.tensor([0, 0, 1])).all())
    True
    """
    if is_axial(group):
        uniform = torch.rand(number, dtype=torch.float64, generator=generator, device=device)
        rotations = turns_about(axis, 2 * math.pi * uniform)
    else:
        rotations = random_rotations(number, generator, device)
    if not has_reflections(group):
        return rotations
    parity = torch.randint(2, (number,), generator=generator, device=device)
    if is_axial(group):
        mirror = rotations @ reflection_along(axis).to(device)
        return torch.where(parity[:, None, None] > 0, mirror, rotations)
    return rotations * (1.0 - 2.0 * parity)[:, None, None]


def turns_about(axis: Direction, angles: Float[Tensor, "number"]) -> Float[Tensor, "number 3 3"]:
    """Rotations about an axis by angles in radians, right-handed.

    >>> quarter = turns_about((0.0, 0.0, 1.0), torch.tensor([torch.pi / 2]))[0]
    >>> bool(torch.allclose(quarter[:, 0], torch.tensor([0.0, 1.0, 0.0]), atol=1e-6))
    True
    """
    frame = frame_along(axis).to(angles)
    cosine, sine = angles.cos(), angles.sin()
    zero, one = torch.zeros_like(cosine), torch.ones_like(cosine)
    rows = [one, zero, zero, zero, cosine, -sine, zero, sine, cosine]
    return frame @ torch.stack(rows, dim=-1).reshape(-1, 3, 3) @ frame.T


def reflection_along(axis: Direction) -> Float[Tensor, "3 3"]:
    """The float64 reflection across one of the planes that hold an axis."""
    frame = frame_along(axis)
    return frame @ torch.diag(frame.new_tensor([1.0, 1.0, -1.0])) @ frame.T
