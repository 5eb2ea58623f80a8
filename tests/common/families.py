"""Examples of each family of frames, with every setting: they are printed, saved and made again.

The names are the calls that make them, as they print.
"""

from symmetrize.frames import (
    FrameAveraging,
    Frames,
    HierarchicalFrames,
    PairFrames,
    QuadratureFrames,
    RandomFrames,
)
from symmetrize.frames.hierarchical import Preset, Selection, Steadiness
from symmetrize.frames.pairs import Pruning

OWN = Preset(
    centers=Selection(decay=5.0, core=1.0, axis_window=(0.4, 0.9)),
    structures=Steadiness(dipole=(0.1, 0.2)),
    crystals=Steadiness(transverse=(0.05, 0.1)),
)
PRUNING = Pruning(0.8, 0.15, 3, 0.2, 0.4)
EXAMPLES: dict[str, Frames] = {
    "HierarchicalFrames()": HierarchicalFrames(),
    "HierarchicalFrames(cutoff=5.0)": HierarchicalFrames(5.0),
    "HierarchicalFrames(cutoff=5.0, preset='lean', max_frames=700)": HierarchicalFrames(
        5.0, preset="lean", max_frames=700
    ),
    "HierarchicalFrames(length_scale=0.5, species_scores={1: 0.1, 8: 2.0}, azimuths=9)": (
        HierarchicalFrames(length_scale=0.5, species_scores={1: 0.1, 8: 2.0}, azimuths=9)
    ),
    f"HierarchicalFrames(length_scale=0.7, selection={OWN})": HierarchicalFrames(
        length_scale=0.7, selection=OWN
    ),
    "PairFrames(cutoff=4.0)": PairFrames(4.0),
    "PairFrames(cutoff=4.0, beta=7.0, linear_factor=False, prune=None, mirror_width=0.2)": (
        PairFrames(4.0, beta=7.0, linear_factor=False, prune=None, mirror_width=0.2)
    ),
    (
        f"PairFrames(cutoff=4.0, width=0.2, omega=0.3, omega_width=0.1, prune={PRUNING}, "
        "auxiliary_threshold=0.4, auxiliary_width=0.3, weight_beta=2.0)"
    ): PairFrames(
        4.0,
        width=0.2,
        omega=0.3,
        omega_width=0.1,
        prune=PRUNING,
        auxiliary_threshold=0.4,
        auxiliary_width=0.3,
        weight_beta=2.0,
    ),
    "QuadratureFrames()": QuadratureFrames(),
    "QuadratureFrames(degree=2, cutoff=3.0)": QuadratureFrames(2, 3.0),
    "RandomFrames(number=10)": RandomFrames(10),
    "RandomFrames(number=4, seed=7, cutoff=3.0)": RandomFrames(4, 7, 3.0),
    "FrameAveraging()": FrameAveraging(),
    "FrameAveraging(cutoff=2.0)": FrameAveraging(2.0),
}
