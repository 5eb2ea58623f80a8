"""The presets of hierarchical frames, chosen on measured trade-off curves (see the docs)."""

from symmetrize.frames.settings import Preset, Selection

WHOLE = Selection(
    decay=-6.0,
    core=0.5,
    angle_power=1.0,
    axis_window=(0.35, 1.0),
    azimuth_window=(0.4, 1.0),
    moments=1.0,
    principal=1.0,
    harmonics=0.1,
)
PRESETS = {
    "smooth": Preset(Selection(decay=2.0), WHOLE),
    "lean": Preset(
        Selection(decay=4.0, axis_window=(0.7, 0.95), azimuth_window=(0.7, 0.95), angle_power=2.0),
        WHOLE,
    ),
}
