"""The presets of hierarchical frames, chosen on the trade-off curves that the benchmarks measure.

``smooth`` changes weights slowly; ``lean`` trades smoothness for fewer frames.
"""

from symmetrize.frames.hierarchical.settings import Preset, Selection, Steadiness

# Directions that only the distortion of a crystal gives: where it is smaller, they are not used
DISTORTED = Steadiness(
    dipole=(0.09, 0.4),
    principal=(0.09, 0.32),
    mark=(0.09, 0.32),
    transverse=(0.09, 0.32),
    axis_sense=0.1,
    azimuth_sense=0.1,
    hand=0.1,
    line=0.5,
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
            dipole=(0.2, 0.3),
            principal=(0.02, 0.07),
            mark=(0.025, 0.075),
            transverse=(0.02, 0.07),
            axis_sense=0.025,
            azimuth_sense=0.05,
            hand=0.02,
            line=0.1,
        ),
        crystals=DISTORTED,
    ),
}
