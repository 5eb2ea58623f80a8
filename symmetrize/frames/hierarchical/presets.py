"""The presets of hierarchical frames, chosen on the trade-off curves that the benchmarks measure.

``smooth`` has a fifth to two fifths of the frames of published pair frames in liquid water, and
smaller second derivatives in the worst case, the mean and the median; ``lean`` trades smoothness
for fewer frames yet.
"""

from symmetrize.frames.hierarchical.settings import Preset, Selection

PRESETS = {
    "smooth": Preset(
        centers=Selection(
            decay=5.0,
            core=1.0,
            angle_power=0.5,
            axis_window=(0.4, 1.0),
            azimuth_window=(0.3, 1.0),
        ),
        structures=Selection(
            decay=-5.0,
            core=0.5,
            angle_power=1.0,
            axis_window=(0.45, 1.0),
            azimuth_window=(0.45, 1.0),
            moments=0.1,
            principal=0.1,
            harmonics=0.1,
        ),
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
        structures=Selection(
            decay=-9.0,
            core=0.5,
            angle_power=2.0,
            axis_window=(0.6, 1.0),
            azimuth_window=(0.6, 1.0),
            moments=1.0,
            principal=1.0,
            harmonics=1.0,
        ),
    ),
}
