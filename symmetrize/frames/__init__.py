"""Weighted frames that turn with a cloud."""

from symmetrize.frames.averaging import FrameAveraging
from symmetrize.frames.base import Frames
from symmetrize.frames.ensemble import Ensemble
from symmetrize.frames.hierarchical import HierarchicalFrames
from symmetrize.frames.pairs import PairFrames
from symmetrize.frames.quadrature import QuadratureFrames
from symmetrize.frames.random import RandomFrames
from symmetrize.groups import Group

__all__ = [
    "Ensemble",
    "FrameAveraging",
    "Frames",
    "Group",
    "HierarchicalFrames",
    "PairFrames",
    "QuadratureFrames",
    "RandomFrames",
]
