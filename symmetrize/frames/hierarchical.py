"""Frames chosen axis first, then azimuth: exact and smooth on every cloud.

A frame has its axes as columns: ``positions @ frame`` expresses row vectors in it. Its x axis is
one of the directions that a cloud offers, its y axis the transverse part of another. Both are
selected by the ratio of their quality to that of the best, so that the sum of weights is never
small; qualities are products, so that what vanishes takes its frames with it.

Near a line the azimuth is ill defined. There each frame is replaced by K frames turned about its x
axis by 2 pi m / K: a network varies with the azimuth as e^(i m phi) with a factor of order
(distance from the line)^|m|, and the K turns cancel every harmonic but multiples of K. What is left
of the azimuth is of order distance^(K - degree), and the limit is the exact average about the line.

Source: the questions are those of Pozdnyakov and Ceriotti, arXiv 2305.19302, and Dym, Lawrence and
Siegel, arXiv 2402.16077; the construction is this library's own.
"""

import math
import warnings
from collections.abc import Mapping
from dataclasses import replace
from numbers import Real
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from symmetrize.arrays.safe import safe_log, safe_sqrt
from symmetrize.arrays.segments import counts, segment_normalize, segment_sum
from symmetrize.arrays.switching import cutoff_switch, ramp, select
from symmetrize.arrays.vectors import transverse, transverse_basis, unit_vectors
from symmetrize.frames.base import Frames
from symmetrize.frames.candidates import (
    Axes,
    Azimuths,
    Offer,
    direction_offer,
    joined,
    joined_axes,
    joined_azimuths,
    merged,
    offered_axes,
    offered_azimuths,
    point_offer,
)
from symmetrize.frames.crystals import FAINT, with_local_vectors
from symmetrize.frames.ensemble import Ensemble, assemble
from symmetrize.frames.mirror import chirality, mirrored
from symmetrize.frames.moments import harmonic_azimuths, moment_axes, principal_axes
from symmetrize.frames.presets import PRESETS
from symmetrize.frames.refinement import refined
from symmetrize.frames.settings import Preset, Selection
from symmetrize.frames.tensors import tensor_azimuths
from symmetrize.groups import Group, has_reflections
from symmetrize.points.cloud import Points, Vectors, centered_cloud, root_mean_square

# The unit of length of an environment, as a part of its cutoff
UNIT = 0.25
# Part of the cutoff over which a neighbor fades, for the choice of frames
FADE = 0.5
# Noise of points far out grows with their number n, that of moments falls: the quality of moments
# grows as this power of n
NUMBER_POWER = 3
# Distance from the axis, in the unit of the cloud, at which a point counts half for the azimuth
LINE = 0.5
# Distance from the axis, in units of that at which a point counts half, below which derivatives of
# an azimuth are left out. They add less than rounding there, of the order of this distance to the
# power EXTRA_TURNS - 1, but as a sum of turns that cancel, each of the order of its inverse.
STEADY = 5e-6
# Amount of off-axis points between which frames are refined, and of points between which an owner
# passes from a single point to a cloud
REFINE = (0.02, 0.3)
ALONE = (0.02, 0.3)
# Whole clouds of a smaller rms radius count as one point. With a `length_scale` it is this part of
# it; without one it is this many units of the data, far below any structure.
COLLAPSED, COLLAPSED_WITHOUT_SCALE = 1e-2, 1e-9
# K - degree turns more than the exactly collinear limit needs: what is left of an ill-defined
# azimuth is of this order in the distance from the line
EXTRA_TURNS = 6


class TooManyFramesError(ValueError):
    """A cloud ties in so many ways that it needs more frames than the user allows."""


class _Choice(NamedTuple):
    """What frames are chosen from, and how.

    Attributes:
        offer: the vectors to choose from.
        moments: the cloud whose moments are offered too, in its unit, and the logarithm of how far
            they are to be trusted; None without moments.
        line: (owners,) distance from the axis at which a vector counts half for the azimuth.
        selection: how to choose.
        seen: the cloud whose chirality weighs mirror images.
        group: mirror images are for "O(3)".
        degree: largest degree of the outputs, which the turns about an axis must exceed.
    """

    offer: Offer
    moments: tuple[Vectors, Float[Tensor, "size"]] | None
    line: Float[Tensor, "size"]
    selection: Selection
    seen: Vectors
    group: Group
    degree: int


class HierarchicalFrames(Frames):
    """The default frames: exact and smooth on every cloud, without an auxiliary model.

    Group O(3) or SO(3). Exact on every input: atoms, dimers, collinear, planar, coincident and
    tied points included. C-infinity in positions and vectors, with two exceptions: at exactly
    collinear clouds the order is ``azimuths - degree - 1``, 5 by default; and where a whole
    structure collapses to a point without ``cutoff`` or ``length_scale``, the passage takes place
    within 1e-9 units, in effect a jump.

    Number of frames: one to three for most environments and large clouds, more for small molecules
    as a whole, at least the order of the rotation group of a symmetric cloud, ``azimuths`` times as
    many for collinear ones, twice as many under O(3) for planar or mirror-symmetric ones.

    Environments of centers take axes and azimuths from their points. Whole structures are seen from
    their centroid and use moments, principal axes and circular harmonics as well, which see all
    points at once; periodic ones are seen as the set of their local vectors (see
    ``symmetrize.frames.crystals``). Not additive over distant fragments for whole structures; use
    scope "center" where additivity matters.

    Args:
        cutoff: radius of the environment of a center, in the unit of the data. Needed for centers
            and for periodic structures; finite structures do without.
        preset: "smooth" takes a few frames more and changes weights slowly, for forces and
            molecular dynamics; "lean" takes as few as it can.
        length_scale: length on which the network varies, in the unit of the data; a quarter of the
            cutoff if None. Without either, whole structures are treated alike at any scale.
        species_scores: factor of the quality of the points of each species (``data.z``); 1 for
            those not named. Breaks ties, and so saves frames.
        azimuths: K above, more than the largest degree of the outputs; None for degree + 6.
        max_frames: largest number of frames of one structure or center. Equal ones count once,
            except where positions carry gradients and keeping them apart stays within the number:
            second derivatives need them apart.
        selection: replaces the choices of the preset.

    Raises:
        ValueError: on a bad argument; when called, if a cloud ties in so many ways that it needs
            more than ``max_frames`` frames, or if a periodic structure comes without a cutoff.

    Source: see the module.

    >>> frames = HierarchicalFrames()
    >>> water = torch.tensor([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]])
    >>> ensemble = frames(water)
    >>> bool((ensemble.weights.sum() - 1).abs() < 1e-6)
    True
    >>> HierarchicalFrames(5.0, preset="lean", species_scores={1: 0.01})
    HierarchicalFrames(cutoff=5.0, preset='lean', species_scores={1: 0.01})
    """

    def __init__(
        self,
        cutoff: float | None = None,
        *,
        preset: Literal["smooth", "lean"] = "smooth",
        length_scale: float | None = None,
        species_scores: Mapping[int, float] | None = None,
        azimuths: int | None = None,
        max_frames: int = 1000,
        selection: Preset | None = None,
    ) -> None:
        for name, value in (("cutoff", cutoff), ("length_scale", length_scale)):
            if value is not None and not (isinstance(value, Real) and 0 < value < math.inf):
                named = (
                    f"; a preset goes by its name, preset={value!r}"
                    if str(value) in PRESETS
                    else ""
                )
                raise ValueError(
                    f"`{name}` is {value!r} but must be a positive length in the unit of the "
                    f"positions, or None{named}"
                )
        if preset not in PRESETS:
            raise ValueError(f"`preset` is {preset!r} but must be one of {sorted(PRESETS)}")
        if max_frames < 1:
            raise ValueError(f"`max_frames` is {max_frames} but must be at least 1")
        if species_scores is not None and not isinstance(species_scores, Mapping):
            raise TypeError(
                f"`species_scores` is {species_scores!r} but must map species to scores, as in "
                "{1: 0.01}"
            )
        for species, score in (species_scores or {}).items():
            if not (0 < score < math.inf):
                raise ValueError(
                    f"`species_scores` gives species {species} the score {score} but scores must "
                    "be positive: a small one, such as 0.01, passes a species over"
                )
        self.cutoff = cutoff
        self.length_scale = length_scale
        self.species_scores = dict(species_scores or {})
        self.azimuths = azimuths
        self.max_frames = max_frames
        self.preset = PRESETS[preset] if selection is None else selection

    def settings(self) -> dict[str, Any]:
        """What the frames were made with: a preset by its name, or a selection instead of it."""
        names = [name for name, preset in PRESETS.items() if preset == self.preset]
        return super().settings() | {
            "preset": names[0] if names else "smooth",
            "species_scores": self.species_scores or None,
            "selection": None if names else self.preset,
        }

    def _turns(self, degree: int) -> int:
        return degree + EXTRA_TURNS if self.azimuths is None else self.azimuths

    def scored(self, structures: Points) -> Points:
        """The structures with the scores of their species multiplied in.

        Raises:
            ValueError: if there are scores of species, but no species.
        """
        if not self.species_scores:
            return structures
        if structures.species is None:
            raise ValueError(
                f"`species_scores` is {self.species_scores} but the data has no species: set "
                "data.z to one integer for each point, such as its atomic number"
            )
        known = structures.log_scores.new_tensor(list(self.species_scores.values())).log()
        names = torch.tensor(list(self.species_scores), device=structures.species.device)
        match = structures.species[:, None] == names
        scores = (match * known).sum(-1)
        return replace(structures, log_scores=structures.log_scores + scores)

    def smoothness(self, degree: int) -> int | float:
        """The order at exactly collinear clouds; elsewhere all derivatives exist."""
        return self._turns(degree) - degree - 1

    def of_clouds(self, cloud: Vectors, group: Group, degree: int) -> Ensemble:
        """The ensemble of each cloud: an environment if it has a cutoff, else a whole structure."""
        if cloud.cutoff is not None:
            return self.of_centers(cloud, group, degree)
        finite = torch.zeros_like(cloud.resolution, dtype=torch.bool)
        return self._of_whole(cloud, [], finite, group, degree)

    def of_centers(self, environments: Vectors, group: Group, degree: int) -> Ensemble:
        """The ensemble of each center, from its neighbors within the cutoff."""
        assert environments.cutoff is not None
        unit = self.length_scale or UNIT * environments.cutoff
        units = environments.resolution.new_full((environments.size,), unit)
        cloud = environments.scaled(units)
        selection = self.preset.centers
        reach = environments.cutoff / unit
        fade = cutoff_switch(cloud.lengths, reach, FADE * reach)
        offer = joined([point_offer(cloud, safe_log(fade), selection), direction_offer(cloud)])
        line = torch.full_like(units, LINE)
        return self._ensemble(_Choice(offer, None, line, selection, environments, group, degree))

    def of_structures(self, structures: Points, group: Group, degree: int) -> Ensemble:
        """The ensemble of each structure: finite ones from their centroid, crystals as such.

        Raises:
            ValueError: if a structure is periodic and there is no cutoff.
        """
        cloud = centered_cloud(structures)
        if not structures.periodic:
            return self.of_clouds(cloud, group, degree)
        if self.cutoff is None:
            raise ValueError(
                "periodic structures have no centroid: pass HierarchicalFrames(cutoff=...), the "
                "distance up to which neighbors give each point a local vector"
            )
        scale = self.length_scale or UNIT * self.cutoff
        crystal, more = with_local_vectors(cloud, structures, self.cutoff, scale)
        assert structures.pbc is not None
        periodic = structures.pbc.any(-1)
        return self._of_whole(crystal, more, periodic, group, degree)

    def _of_whole(
        self,
        cloud: Vectors,
        more: list[Offer],
        periodic: Bool[Tensor, "size"],
        group: Group,
        degree: int,
    ) -> Ensemble:
        """The ensemble of whole structures, from their points, moments, directions and ``more``.

        The rms radius is the unit. Collapsed clouds are not trusted, as they are points, nor are
        faint ones of local vectors, as their directions are noise.
        """
        radius = root_mean_square(cloud)
        scale = self.length_scale or (None if self.cutoff is None else UNIT * self.cutoff)
        low = COLLAPSED_WITHOUT_SCALE if scale is None else COLLAPSED * scale
        solid = ramp(radius / (cloud.resolution + low), 1.0, 4.0)
        squared = radius.square()
        faded = squared + FAINT**2
        trust = safe_log(torch.where(periodic, squared / faded, solid))
        unit = torch.where(periodic, faded.sqrt(), torch.where(radius > 0, radius, 1.0))
        line = torch.full_like(unit, LINE)
        if scale is not None:
            # two fragments far apart are nearly collinear to the eye, not to the network
            line = torch.where(periodic, line, LINE * (scale / unit).clamp(max=1.0))

        selection = self.preset.structures
        scaled = cloud.scaled(unit)
        points = point_offer(scaled, trust[cloud.index], selection)
        offer = joined([points, direction_offer(cloud), *more])
        return self._ensemble(
            _Choice(offer, (scaled, trust), line, selection, cloud, group, degree)
        )

    def _ensemble(self, choice: _Choice) -> Ensemble:
        """The ensemble of a choice.

        Equal directions are merged, but not where positions carry gradients and it can be afforded:
        first derivatives survive merging, second ones do not.
        """
        offer = choice.offer
        if not (offer.vectors.requires_grad or offer.log_quality.requires_grad):
            return self._chosen(choice, merge=True)
        try:
            return self._chosen(choice, merge=False)
        except TooManyFramesError:
            ensemble = self._chosen(choice, merge=True)
        warnings.warn(
            f"more than `max_frames` = {self.max_frames} equal frames, as in a perfect crystal, "
            "were merged: first derivatives are exact, second ones are not",
            stacklevel=2,
        )
        return ensemble

    def _chosen(self, choice: _Choice, merge: bool) -> Ensemble:
        """Axes, azimuths, refined azimuths, mirror images and the isotropic part, in this order."""
        offer, moments, line, selection, seen, group, degree = choice
        size = offer.size
        crowd = safe_sqrt(segment_sum(offer.presence.square(), offer.index, size))
        framed = ramp(crowd, *ALONE)

        axes = offered_axes(offer)
        if moments is not None:
            scales = {
                name: moments[1]
                + NUMBER_POWER * _log_number(moments[0])
                + _log(getattr(selection, name))
                for name in ("moments", "principal", "harmonics")
            }
            axes = joined_axes(
                [
                    axes,
                    moment_axes(moments[0], scales["moments"]),
                    principal_axes(moments[0], scales["principal"]),
                ]
            )
        axes, axis_weights = self._selected_axes(axes, framed, selection, size, merge)
        azimuths, amount = offered_azimuths(offer, axes, selection.angle_power, line[axes.index])
        if moments is not None:
            harmonics = harmonic_azimuths(moments[0], axes, scales["harmonics"])
            azimuths = joined_azimuths([azimuths, harmonics])
        if not all(field.is_vector for field in seen.fields):
            more, squared = tensor_azimuths(seen, axes)
            azimuths = joined_azimuths([azimuths, *more])
            amount = safe_sqrt(amount.square() + squared)
        blind = amount < STEADY**2
        frames, weights, row = self._selected_frames(
            azimuths, axes, axis_weights, blind, selection, merge
        )
        self._check_number(axes.index[row], size)

        turns = self._turns(degree)
        if turns <= degree:
            raise ValueError(
                f"`azimuths` is {turns} but must exceed the degree {degree} of the outputs: fewer "
                "turns do not average over the azimuth of a collinear cloud"
            )
        frames, weights, row = refined(frames, weights, row, ramp(amount, *REFINE), turns)
        owner = axes.index[row]
        weights = weights * framed[owner]
        if has_reflections(group):
            chi = chirality(seen, frames, owner)
            if moments is not None:  # a collapsed cloud has no hand
                chi = chi * moments[1].exp()[owner]
            frames, weights, owner = mirrored(frames, weights, owner, chi)
        self._check_number(owner, size)
        return assemble(frames, weights, owner, size, isotropic=1 - framed)

    def _selected_axes(
        self,
        axes: Axes,
        framed: Float[Tensor, "size"],
        selection: Selection,
        size: int,
        merge: bool,
    ) -> tuple[Axes, Float[Tensor, "axes"]]:
        """Axes of positive weight, and their weights, which sum to one for each framed owner."""
        quality = torch.where(framed[axes.index] > 0, axes.log_quality, -torch.inf)
        weights = select(quality, axes.index, size, selection.axis_window, selection.order)
        chosen = torch.nonzero(weights > 0)[:, 0]
        index = axes.index[chosen]
        weights = segment_normalize(weights[chosen], index, size)
        directions = axes.directions[chosen]
        if merge:
            directions, weights, index = merged(directions, weights, index)
        self._check_number(index, size)
        return Axes(directions, weights.log(), index), weights

    def _selected_frames(
        self,
        azimuths: Azimuths,
        axes: Axes,
        axis_weights: Float[Tensor, "axes"],
        blind: Bool[Tensor, "axes"],
        selection: Selection,
        merge: bool,
    ) -> tuple[Float[Tensor, "frames 3 3"], Float[Tensor, "frames"], Int[Tensor, "frames"]]:
        """Frames of positive weight, their weights, and the axis of each.

        An axis without any azimuth gets an arbitrary one: its cloud is collinear, and all of its
        frames will be refined. Azimuths of ``blind`` axes carry no gradient of their own.
        """
        number = len(axes.index)
        weights = select(
            azimuths.log_quality,
            azimuths.axis,
            number,
            selection.azimuth_window,
            selection.order,
        )
        chosen = torch.nonzero(weights > 0)[:, 0]
        row = azimuths.axis[chosen]
        weights = segment_normalize(weights[chosen], row, number)
        directions = azimuths.directions[chosen]
        if merge:
            directions, weights, row = merged(directions, weights, row)
        bare = torch.nonzero(counts(row, number) == 0)[:, 0]
        y = torch.cat([directions, transverse_basis(axes.directions[bare])[0]])
        weights = torch.cat([weights, torch.ones_like(axis_weights[bare])])
        row = torch.cat([row, bare])
        x = axes.directions[row]
        y = torch.where(blind[row, None], unit_vectors(transverse(y.detach(), x))[0], y)
        weights = torch.where(blind[row], weights.detach(), weights)
        frames = torch.stack([x, y, torch.linalg.cross(x, y)], dim=-1)
        return frames, axis_weights[row] * weights, row

    def _check_number(self, owner: Int[Tensor, "members"], size: int) -> None:
        """Refuse what would take more frames than the user allows."""
        number = counts(owner, size)
        if len(owner) > self.max_frames and int(number.max()) > self.max_frames:
            worst = int(number.argmax())
            raise TooManyFramesError(
                f"structure or center {worst} needs at least {int(number[worst])} frames, more "
                f"than `max_frames` = {self.max_frames}: too many of its directions are equally "
                "good, as in a perfect lattice or on a regular sphere. Break ties with "
                "`species_scores` or data.frame_scores, take preset='lean' or scope='center', or "
                "raise `max_frames`"
            )


def _log(scale: float) -> float:
    return math.log(scale) if scale > 0 else -math.inf


def _log_number(cloud: Vectors) -> Float[Tensor, "size"]:
    """Logarithm of the number of points of each cloud, 0 for an empty one."""
    return counts(cloud.index, cloud.size).clamp(min=1).to(cloud.vectors.dtype).log()
