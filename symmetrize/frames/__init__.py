"""Weighted frames that turn with a cloud.

The families, and what a family of one's own is made with: ``Frames`` to derive from, ``Vectors``
and ``Points`` to make frames from, ``assemble`` for the ensemble, ``chirality`` and ``mirrored``
for reflections, ``random_rotations`` and ``random_elements`` of a group.
"""

from symmetrize.frames.averaging import FrameAveraging
from symmetrize.frames.base import Frames
from symmetrize.frames.ensemble import Ensemble, assemble
from symmetrize.frames.hierarchical import HierarchicalFrames
from symmetrize.frames.mirror import chirality, mirrored
from symmetrize.frames.pairs import PairFrames
from symmetrize.frames.quadrature import QuadratureFrames
from symmetrize.frames.random import RandomFrames
from symmetrize.groups import Group, random_elements, random_rotations
from symmetrize.points.cloud import Field, Points, Vectors

__all__ = [
    "Ensemble",
    "Field",
    "FrameAveraging",
    "Frames",
    "Group",
    "HierarchicalFrames",
    "PairFrames",
    "Points",
    "QuadratureFrames",
    "RandomFrames",
    "Vectors",
    "assemble",
    "chirality",
    "mirrored",
    "random_elements",
    "random_rotations",
]
