"""The presets of hierarchical frames, chosen on the trade-off curves that the benchmarks measure.

``smooth`` changes weights slowly; ``lean`` trades smoothness for fewer frames.
"""

from symmetrize.frames.hierarchical.settings import Preset, Selection, Steadiness

# Directions that only the distortion of a crystal gives: where it is smaller, they are not used
DISTORTED = Steadiness(
    species=(0.05, 0.12),
    radial=(0.05, 0.12),
    principal=(0.06, 0.12),
    tilt=(0.05, 0.12),
    marked_tilt=(0.05, 0.12),
    species_azimuth=(0.05, 0.12),
    radial_azimuth=(0.05, 0.12),
    transverse=(0.06, 0.16),
    axis_sense=0.05,
    azimuth_sense=0.05,
    hand=0.05,
)
PRESETS = {
    "smooth": Preset(
        centers=Selection(
            decay=5.0,
            core=1.0,
            angle_power=0.5,
            axis_window=(0.4, 1.0),
            azimuth_window=(0.3, 1.0),
        ),
        structures=Steadiness(),
        crystals=DISTORTED,
    ),
    "lean": Preset(
        centers=Selection(
            decay=8.0,
            core=0.5,
            angle_power=3.0,
            axis_window=(0.5, 1.0),
            # in a face-centered cubic crystal 60 degrees drop out against right angles
            azimuth_window=(0.45, 1.0),
        ),
        structures=Steadiness(
            species=(0.06, 0.16),
            radial=(0.08, 0.2),
            principal=(0.15, 0.3),
            tilt=(0.06, 0.16),
            marked_tilt=(0.06, 0.16),
            species_azimuth=(0.06, 0.16),
            radial_azimuth=(0.06, 0.16),
            transverse=(0.06, 0.16),
            axis_sense=0.1,
            azimuth_sense=0.1,
            hand=0.03,
        ),
        crystals=DISTORTED,
    ),
}
