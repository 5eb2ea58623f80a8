"""Exact and smooth rotational symmetry for any network on point clouds."""

from symmetrize.frames import (
    Ensemble,
    FrameAveraging,
    Frames,
    HierarchicalFrames,
    PairFrames,
    QuadratureFrames,
    RandomFrames,
)
from symmetrize.outputs import per_point
from symmetrize.symmetrizer import Symmetrizer

__all__ = [
    "Ensemble",
    "FrameAveraging",
    "Frames",
    "HierarchicalFrames",
    "PairFrames",
    "QuadratureFrames",
    "RandomFrames",
    "Symmetrizer",
    "per_point",
]
__version__ = "0.1.0"
