"""Rotations and reflections: named ones that are special, and those by integer quaternions.

A turn is drawn as a descriptor of integers, so that it prints as code and shrinks to the identity.
``matrix()`` is active: rows of positions turn as ``positions @ matrix.T``. Turns about an axis are
given as those about z, and ``matrix(axis)`` stands them up.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from symmetrize.groups import UPRIGHT, Direction, Group, frame_along, has_reflections, is_axial

Quaternion = tuple[int, int, int, int]
UNTURNED: Quaternion = (1, 0, 0, 0)
# In which nothing lies along an axis of coordinates
GENERIC_ORIENTATION: Quaternion = (3, -1, 2, 5)


@dataclass(frozen=True)
class Turn:
    """A rotation by an integer quaternion, then by ``tiny`` about y, then perhaps an inversion.

    Attributes:
        quaternion: (w, x, y, z), not all zero; need not have unit length.
        tiny: angle in radians, to pass close by a pole.
        improper: whether an inversion follows.

    >>> Turn((1, 0, 0, 1)).matrix().round(decimals=3).tolist()
    [[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """

    quaternion: Quaternion = UNTURNED
    tiny: int | float = 0.0
    improper: bool = False

    def matrix(self, axis: Direction = UPRIGHT) -> Float[Tensor, "3 3"]:
        """Return the (3, 3) float64 matrix, orthogonal to rounding.

        Args:
            axis: where what is z here stands.
        """
        w, x, y, z = (c / math.hypot(*self.quaternion) for c in self.quaternion)
        rotation = torch.tensor(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
            ],
            dtype=torch.float64,
        )
        c, s = math.cos(self.tiny), math.sin(self.tiny)
        about_y = torch.tensor([[c, 0, s], [0, 1, 0], [-s, 0, c]], dtype=torch.float64)
        stood = standing(axis)
        return (-1.0 if self.improper else 1.0) * stood @ about_y @ rotation @ stood.T


def standing(axis: Direction) -> Float[Tensor, "3 3"]:
    """The float64 rotation that takes z to an axis; the identity for z itself."""
    return frame_along(axis) @ frame_along(UPRIGHT).T


TURNS: dict[str, Turn] = {
    "identity": Turn(),
    "quarter turn about z": Turn((1, 0, 0, 1)),
    "quarter turn about y": Turn((1, 0, 1, 0)),
    "half turn about x": Turn((0, 1, 0, 0)),
    "half turn about z": Turn((0, 0, 0, 1)),
    "third turn about 111": Turn((1, 1, 1, 1)),
    "tiny": Turn(tiny=1e-10),
    "near the north pole": Turn(tiny=1e-8),
    "near the south pole": Turn((0, 1, 0, 0), tiny=-1e-8),
    "generic": Turn(GENERIC_ORIENTATION),
    "inversion": Turn(improper=True),
    "mirror": Turn((0, 0, 0, 1), improper=True),
    "improper": Turn((2, 3, -1, 1), improper=True),
}
# About z: a mirror is the inversion after a half turn about a horizontal axis
AXIAL: dict[str, Turn] = {
    "identity": Turn(),
    "quarter turn": Turn((1, 0, 0, 1)),
    "half turn": Turn((0, 0, 0, 1)),
    "tiny": Turn((10**8, 0, 0, 1)),
    "nearly half a turn": Turn((1, 0, 0, 10**8)),
    "generic": Turn((3, 0, 0, -2)),
    "mirror": Turn((0, 1, 0, 0), improper=True),
    "improper": Turn((0, 3, -2, 0), improper=True),
}
PROPER = {name: turn for name, turn in TURNS.items() if not turn.improper}
IMPROPER = {name: turn for name, turn in TURNS.items() if turn.improper}


def turns_of(group: Group, improper: bool | None = None) -> Mapping[str, Turn]:
    """The named turns of a group: all, the proper or the improper ones.

    >>> list(turns_of("SO(2)"))
    ['identity', 'quarter turn', 'half turn', 'tiny', 'nearly half a turn', 'generic']
    """
    named = AXIAL if is_axial(group) else TURNS
    return {
        name: turn
        for name, turn in named.items()
        if (has_reflections(group) or not turn.improper) and improper in (None, turn.improper)
    }
