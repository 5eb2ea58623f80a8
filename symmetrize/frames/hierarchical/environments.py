"""What the environment of a center offers for its frames: its points, and its fields.

The unit of length is the ``length_scale`` of the frames, or a part of the cutoff. Each step keeps
the candidates whose quality is near the best, with weights that sum to one.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from symmetrize.arrays.safe import safe_log, safe_sqrt
from symmetrize.arrays.switching import cutoff_switch, select
from symmetrize.arrays.transforms import carries_derivatives
from symmetrize.arrays.vectors import unit_vectors
from symmetrize.frames.hierarchical.candidates import Candidates
from symmetrize.frames.hierarchical.choosing import (
    Azimuths,
    Choice,
    part_of_a_cloud,
    part_off_the_line,
)
from symmetrize.frames.hierarchical.offers import (
    Offer,
    direction_offer,
    joined,
    offered_azimuths,
    point_offer,
)
from symmetrize.frames.hierarchical.settings import LINE_WIDTH, Selection, unit_of
from symmetrize.frames.hierarchical.tensors import tensor_azimuths
from symmetrize.frames.mirror import WIDTH, chirality
from symmetrize.points.axis import Axis
from symmetrize.points.cloud import FADE, Vectors


@dataclass(frozen=True)
class EnvironmentChoice(Choice):
    """Environments, which choose among their points by quality.

    Equal directions, as of bonds in a perfect crystal, are one unless they carry gradients: first
    derivatives survive that, second ones do not.

    Attributes:
        cloud: the environments.
        offer: their vectors, with qualities.
        selection: how to choose.
    """

    cloud: Vectors
    offer: Offer
    selection: Selection
    kind: str = "center"
    basis: None = None

    @property
    def size(self) -> int:  # type: ignore[override]
        """Number of environments."""
        return self.cloud.size

    @property
    def axis(self) -> Axis | None:
        """About which frames turn."""
        return self.cloud.axis

    def axes(self) -> Candidates:
        """Directions of the best points, less those of environments that are single points."""
        offer, selection = self.offer, self.selection
        framed = part_of_a_cloud(offer.amount())
        directions, _ = unit_vectors(offer.vectors)
        quality = torch.where(framed[offer.index] > 0, offer.log_quality, -torch.inf)
        weights = select(quality, offer.index, self.size, selection.axis_window, selection.order)
        return self._kept(directions, weights, offer.index, self.size).shared(framed)

    def azimuths(self, axes: Candidates) -> Azimuths:
        """Transverse directions of the points of the best quality about each axis, and of fields.

        All are refined as far as there is little off the axis.
        """
        selection, number = self.selection, len(axes.index)
        directions, quality, axis, amount = offered_azimuths(
            self.offer, axes.directions, axes.index, selection.angle_power, LINE_WIDTH
        )
        tensors = [field for field in self.cloud.fields if not field.is_vector]
        if tensors:
            marked, squared = tensor_azimuths(tensors, axes, self.size)
            directions = torch.cat([directions, *(m[0] for m in marked)])
            quality = torch.cat([quality, *(m[1] for m in marked)])
            axis = torch.cat([axis, *(m[2] for m in marked)])
            amount = safe_sqrt(amount.square() + squared)
        weights = select(quality, axis, number, selection.azimuth_window, selection.order)
        found = self._kept(directions, weights, axis, number)
        plain = part_off_the_line(amount)[found.index]
        return Azimuths(found, plain, amount, torch.ones_like(amount))

    def hand(
        self, frames: Float[Tensor, "frames 3 3"], owner: Int[Tensor, "frames"]
    ) -> Float[Tensor, "frames"]:
        """The chirality of the environment."""
        return chirality(self.cloud, frames, owner) / WIDTH

    def _kept(self, directions: Tensor, weights: Tensor, index: Tensor, size: int) -> Candidates:
        kept = torch.nonzero(weights > 0)[:, 0]
        found = Candidates.normalized(directions[kept], weights[kept], index[kept], size)
        vectors, quality = self.offer.vectors, self.offer.log_quality
        derived = carries_derivatives(vectors) or carries_derivatives(quality)
        return found if derived else found.united()


def choice_of_environments(
    environments: Vectors, selection: Selection, length_scale: float | None
) -> EnvironmentChoice:
    """What the environments of centers, which have a cutoff, offer to choose from."""
    assert environments.cutoff is not None
    unit = unit_of(length_scale, environments.cutoff)
    units = environments.resolution.new_full((environments.size,), unit)
    cloud = environments.scaled(units)
    reach = environments.cutoff / unit
    fade = cutoff_switch(cloud.lengths, reach, FADE * reach)
    points = point_offer(cloud, safe_log(fade), selection)
    return EnvironmentChoice(environments, joined([points, direction_offer(cloud)]), selection)
