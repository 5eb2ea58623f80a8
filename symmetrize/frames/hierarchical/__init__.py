"""Hierarchical frames: an axis first, then an azimuth about it; exact and smooth on every cloud.

``family`` is the public class. ``environments`` and ``structures`` say what each scope offers to
choose from, ``choosing`` chooses; ``candidates``, ``moments``, ``tensors`` and ``crystals`` are
what can be chosen, ``refinement`` is what happens near lines.
"""

from symmetrize.frames.hierarchical.choosing import TooManyFramesError
from symmetrize.frames.hierarchical.family import HierarchicalFrames
from symmetrize.frames.hierarchical.settings import Preset, Selection

__all__ = ["HierarchicalFrames", "Preset", "Selection", "TooManyFramesError"]
