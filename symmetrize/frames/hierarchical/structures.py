"""What whole structures offer for their frames: points, moments and fields; crystals, bonds too.

A finite structure is seen from its centroid, in units of its rms radius. A periodic one is seen as
the set of its local vectors (``crystals``).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from symmetrize.arrays.safe import safe_log
from symmetrize.arrays.switching import ramp
from symmetrize.frames.hierarchical.candidates import Offer, direction_offer, joined, point_offer
from symmetrize.frames.hierarchical.choosing import Choice
from symmetrize.frames.hierarchical.crystals import FAINT, with_local_vectors
from symmetrize.frames.hierarchical.moments import Moments
from symmetrize.frames.hierarchical.settings import LINE_WIDTH, Selection, unit_of
from symmetrize.points.cloud import Points, Vectors, root_mean_square

# Whole clouds of a smaller rms radius count as one point. With a length scale it is this part of
# it; without one it is this many units of the data, far below any structure.
COLLAPSED, COLLAPSED_WITHOUT_SCALE = 1e-2, 1e-9
# In units of that radius: between which radii a cloud passes from a point to a shape
SOLID = (1.0, 4.0)


@dataclass(frozen=True)
class Measures:
    """How large whole clouds are, and what follows from it.

    Attributes:
        unit: (size,) length in which each cloud is seen.
        trust: (size,) how far its shape is to be trusted, 0 to 1.
        line_width: (size,) as in ``Choice``.
    """

    unit: Float[Tensor, "size"]
    trust: Float[Tensor, "size"]
    line_width: Float[Tensor, "size"]


def choice_of_structures(cloud: Vectors, selection: Selection, scale: float | None) -> Choice:
    """What finite structures, seen from their centroid, offer to choose from.

    Args:
        cloud: the structures.
        selection: how to choose.
        scale: length on which the network varies; without one structures are alike at any scale.
    """
    return _choice(cloud, [], selection, finite(root_mean_square(cloud), cloud, scale))


def choice_of_crystals(
    structures: Points, selection: Selection, cutoff: float, length_scale: float | None
) -> Choice:
    """What structures of which some are periodic offer to choose from.

    Args:
        structures: all of them.
        selection: how to choose.
        cutoff: distance up to which neighbors make local vectors.
        length_scale: in which these are measured; None for a part of the cutoff.
    """
    scale = unit_of(length_scale, cutoff)
    cloud, bonds = with_local_vectors(structures.from_centroid, structures, cutoff, scale)
    radius = root_mean_square(cloud)
    one, other = periodic(radius), finite(radius, cloud, scale)
    return _choice(cloud, bonds, selection, either(structures.is_periodic, one, other))


def finite(radius: Float[Tensor, "size"], cloud: Vectors, scale: float | None) -> Measures:
    """Measures of points about their centroid: collapsed clouds are points, and not trusted."""
    low = COLLAPSED_WITHOUT_SCALE if scale is None else COLLAPSED * scale
    unit = torch.where(radius > 0, radius, 1.0)
    line = torch.full_like(unit, LINE_WIDTH)
    if scale is not None:
        # two fragments far apart are nearly collinear to the eye, not to the network
        line = LINE_WIDTH * (scale / unit).clamp(max=1.0)
    return Measures(unit, ramp(radius / (cloud.resolution + low), *SOLID), line)


def periodic(radius: Float[Tensor, "size"]) -> Measures:
    """Measures of local vectors: faint ones are not trusted, as their directions are noise."""
    squared = radius.square()
    faded = squared + FAINT**2
    return Measures(faded.sqrt(), squared / faded, torch.full_like(radius, LINE_WIDTH))


def either(which: Bool[Tensor, "size"], one: Measures, other: Measures) -> Measures:
    """One of two measures for each cloud."""
    return Measures(
        torch.where(which, one.unit, other.unit),
        torch.where(which, one.trust, other.trust),
        torch.where(which, one.line_width, other.line_width),
    )


def _choice(cloud: Vectors, bonds: list[Offer], selection: Selection, measures: Measures) -> Choice:
    log_trust = safe_log(measures.trust)
    scaled = cloud.scaled(measures.unit)
    points = point_offer(scaled, log_trust[cloud.index], selection)
    return Choice(
        offer=joined([points, direction_offer(cloud), *bonds]),
        moments=(Moments(scaled, log_trust, selection),),
        log_trust=log_trust,
        line_width=measures.line_width,
        selection=selection,
        cloud=cloud,
    )
