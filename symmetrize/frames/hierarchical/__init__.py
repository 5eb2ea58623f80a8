"""Hierarchical frames: an axis first, then an azimuth about it; exact and smooth on every cloud.

``family`` is the public class, ``choosing`` makes frames of whatever is chosen from. Environments
of centers choose among their points (``environments``, ``offers``). Whole structures take the
steadiest directions that they have (``structures``, ``crystals``), one source after the other
(``succession``): dipoles and principal axes (``shape``, ``principal``), azimuths about them
(``circle``), and maxima of a density of directions where symmetry leaves none (``density``).
``tensors`` is what fields mark, ``refinement`` is what happens near lines.
"""

from symmetrize.frames.hierarchical.choosing import TooManyFramesError
from symmetrize.frames.hierarchical.family import HierarchicalFrames
from symmetrize.frames.hierarchical.settings import Preset, Selection, Steadiness

__all__ = ["HierarchicalFrames", "Preset", "Selection", "Steadiness", "TooManyFramesError"]
