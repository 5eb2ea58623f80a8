"""What the environment of a center offers for its frames: its points, and its fields.

The unit of length is the ``length_scale`` of the frames, or a part of the cutoff.
"""

import torch

from symmetrize.arrays.safe import safe_log
from symmetrize.arrays.switching import cutoff_switch
from symmetrize.frames.hierarchical.candidates import direction_offer, joined, point_offer
from symmetrize.frames.hierarchical.choosing import Choice
from symmetrize.frames.hierarchical.settings import LINE_WIDTH, Selection, unit_of
from symmetrize.points.cloud import FADE, Vectors


def choice_of_environments(
    environments: Vectors, selection: Selection, length_scale: float | None
) -> Choice:
    """What the environments of centers, which have a cutoff, offer to choose from."""
    assert environments.cutoff is not None
    unit = unit_of(length_scale, environments.cutoff)
    units = environments.resolution.new_full((environments.size,), unit)
    cloud = environments.scaled(units)
    reach = environments.cutoff / unit
    fade = cutoff_switch(cloud.lengths, reach, FADE * reach)
    points = point_offer(cloud, safe_log(fade), selection)
    return Choice(
        offer=joined([points, direction_offer(cloud)]),
        moments=(),
        log_trust=torch.zeros_like(units),
        line_width=torch.full_like(units, LINE_WIDTH),
        selection=selection,
        cloud=environments,
    )
