"""Flat batches of numbers: sums over segments, smooth steps, vectors, what is safe at zero.

For frames of one's own: ``segment_sum`` and ``join`` (all pairs of one owner), ``step``.
"""

from symmetrize.arrays.segments import join, segment_sum
from symmetrize.arrays.switching import step

__all__ = ["join", "segment_sum", "step"]
