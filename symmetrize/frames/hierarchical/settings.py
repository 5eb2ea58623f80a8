"""The choices behind hierarchical frames, and the presets that make them.

Sharper selection takes fewer frames and changes weights faster: the derivatives of the average are
those of the network plus its spread over rotations times how fast the weights change.
"""

from dataclasses import dataclass

# The unit of length of an environment, as a part of its cutoff
UNIT = 0.25
# Distance from the axis, in the unit of the cloud, at which a point counts half for the azimuth
LINE_WIDTH = 0.5


def unit_of(length_scale: float | None, cutoff: float) -> float:
    """The length on which the network varies: as given, or a part of the cutoff."""
    return length_scale or UNIT * cutoff


@dataclass(frozen=True)
class Selection:
    """How candidates for axes and azimuths are weighed. Lengths are in the unit of the cloud.

    That unit is a quarter of the cutoff for environments, the rms radius for whole clouds.

    Attributes:
        decay: how fast the quality of a point falls with its distance, exp(-decay * distance); a
            negative one prefers far points, whose directions are the steadier ones.
        core: distance from the origin below which a point fades.
        angle_power: power of the squared sine between azimuth and axis in the quality of an
            azimuth; large values prefer right angles.
        axis_window: ratios to the best axis at which an axis enters and has its full weight.
        azimuth_window: the same for azimuths.
        order: of the Lehmer mean that stands for the best.
        moments, principal, harmonics: quality of a first moment, a principal axis and a circular
            harmonic of the size of noise, relative to a point at the origin and divided by n^3 for
            n points. 0 leaves them out. Only for whole clouds.
    """

    decay: float
    core: float = 0.5
    angle_power: float = 1.0
    axis_window: tuple[float, float] = (0.5, 0.95)
    azimuth_window: tuple[float, float] = (0.5, 0.95)
    order: float = 8.0
    moments: float = 0.0
    principal: float = 0.0
    harmonics: float = 0.0

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
class Preset:
    """Selections for the environments of centers and for whole structures."""

    centers: Selection
    structures: Selection
