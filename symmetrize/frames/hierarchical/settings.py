"""The choices behind hierarchical frames, and the presets that make them.

Sharper selection takes fewer frames and changes weights faster: the derivatives of the average are
those of the network plus its spread over rotations times how fast the weights change.
"""

from dataclasses import dataclass, fields

# The unit of length of an environment, as a part of its cutoff
UNIT = 0.25
# Distance from the axis, in the unit of the cloud, at which a point counts half for the azimuth
LINE_WIDTH = 0.5


def unit_of(length_scale: float | None, cutoff: float) -> float:
    """The length on which the network varies: as given, or a part of the cutoff."""
    return length_scale or UNIT * cutoff


@dataclass(frozen=True)
class Selection:
    """How the environments of centers choose among their points; lengths in their unit.

    That unit is a quarter of the cutoff, or the length scale of the frames.

    Attributes:
        decay: how fast the quality of a point falls with its distance, exp(-decay * distance).
        core: distance from the origin below which a point fades.
        angle_power: power of the squared sine between azimuth and axis in the quality of an
            azimuth; large values prefer right angles.
        axis_window: ratios to the best axis at which an axis enters and has its full weight.
        azimuth_window: the same for azimuths.
        order: of the Lehmer mean that stands for the best.
    """

    decay: float
    core: float = 0.5
    angle_power: float = 1.0
    axis_window: tuple[float, float] = (0.5, 0.95)
    azimuth_window: tuple[float, float] = (0.5, 0.95)
    order: float = 8.0

    def __post_init__(self) -> None:
        for name in ("axis_window", "azimuth_window"):
            low, high = getattr(self, name)
            if not 0 < low < high <= 1:
                raise ValueError(
                    f"`{name}` is {(low, high)} but must ascend within (0, 1]: above 1 no "
                    "candidate might be selected, from 0 on all of them are"
                )
        if self.core <= 0 or self.angle_power <= 0 or self.order < 1:
            raise ValueError(
                f"`core` {self.core} and `angle_power` {self.angle_power} must be positive and "
                f"`order` {self.order} at least 1"
            )


@dataclass(frozen=True)
class Steadiness:
    """From which levers on directions of whole structures are trusted; see ``shape`` for levers.

    Each pair is the levers at which a source begins to count and at which it counts fully: those
    of axes in units of the structure, those of azimuths in that unit times how far the structure
    reaches from the axis. High ones change weights slowly, low ones take fewer frames.

    Attributes:
        dipole: dipoles, as an axis.
        principal: principal axes.
        mark: all that points away from an axis, as an azimuth.
        transverse: the principal axis of what is transverse to an axis.
        axis_sense, azimuth_sense: component of the dipoles along a principal axis, and of what
            points away from an axis along the transverse one, from which one sense is enough.
        hand: handedness from which one mirror image is enough.
        line: distance from an axis, in units of the structure, at which a point counts half for
            the azimuth about it; of what is much nearer to a line, turns are averaged.
    """

    dipole: tuple[float, float] = (0.35, 0.65)
    principal: tuple[float, float] = (0.1, 0.5)
    mark: tuple[float, float] = (0.1, 0.3)
    transverse: tuple[float, float] = (0.07, 0.28)
    axis_sense: float = 0.1
    azimuth_sense: float = 0.2
    hand: float = 0.05
    line: float = 0.18

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            low, high = value if isinstance(value, tuple) else (0.0, value)
            if not 0 <= low < high:
                raise ValueError(
                    f"`{field.name}` is {value} but levers must be positive, and ascend"
                )


@dataclass(frozen=True)
class Preset:
    """How environments of centers choose, and which directions of whole structures are trusted.

    Attributes:
        centers: for the environments of centers.
        structures: for finite structures, in units of their rms radius.
        crystals: for periodic ones, in units of the mean length of their bonds.
    """

    centers: Selection
    structures: Steadiness
    crystals: Steadiness
