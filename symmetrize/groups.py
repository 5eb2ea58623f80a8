"""The groups under which averages are exact: what they contain, and how to draw from them.

A group goes by its name, ``"O(3)"`` or ``"SO(3)"``. What depends on a group asks here, so that no
other place knows the names.

Source of the uniform distribution: normalized Gaussian quaternions (Shoemake, Graphics Gems III,
1992, in the form of Marsaglia).
"""

from typing import Literal, TypeAlias, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Group: TypeAlias = Literal["O(3)", "SO(3)"]
GROUPS: tuple[Group, ...] = get_args(Group)


def check_group(group: str) -> None:
    """Raise unless ``group`` is one of those that invariance may refer to."""
    if group not in GROUPS:
        raise ValueError(
            f"`group` is {group!r} but must be 'O(3)' (rotations and reflections) or 'SO(3)' "
            "(rotations only)"
        )


def has_reflections(group: Group | None) -> bool:
    """Whether the group contains reflections, and with them the inversion; None for no group.

    >>> has_reflections("O(3)"), has_reflections("SO(3)")
    (True, False)
    """
    return group == "O(3)"


def contains(group: Group, matrices: Float[Tensor, "*shape 3 3"]) -> Bool[Tensor, "*shape"]:
    """Which orthogonal matrices are elements of the group.

    >>> contains("SO(3)", torch.stack([torch.eye(3), -torch.eye(3)]))
    tensor([ True, False])
    """
    return (torch.linalg.det(matrices) > 0) | has_reflections(group)


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
) -> Float[Tensor, "number 3 3"]:
    """(number, 3, 3) float64 orthogonal matrices, uniform on the group.

    The rotations are those that ``random_rotations`` draws from the same generator; each is
    inverted with probability 1/2 where the group has reflections.

    >>> turns = random_elements(4, "SO(3)", torch.Generator().manual_seed(0))
    >>> torch.linalg.det(turns).round(decimals=6)
    tensor([1., 1., 1., 1.], dtype=torch.float64)
    """
    rotations = random_rotations(number, generator, device)
    if not has_reflections(group):
        return rotations
    parity = torch.randint(2, (number,), generator=generator, device=device)
    return rotations * (1.0 - 2.0 * parity)[:, None, None]
