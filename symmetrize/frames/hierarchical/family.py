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
from collections.abc import Mapping
from dataclasses import replace
from numbers import Real
from typing import Any, Literal

import torch
from torch import Tensor

from symmetrize.frames.base import Frames
from symmetrize.frames.ensemble import Ensemble, together
from symmetrize.frames.hierarchical.choosing import Choice, chosen
from symmetrize.frames.hierarchical.environments import choice_of_environments
from symmetrize.frames.hierarchical.presets import PRESETS
from symmetrize.frames.hierarchical.settings import Preset, unit_of
from symmetrize.frames.hierarchical.structures import choice_of_crystals, choice_of_structures
from symmetrize.groups import GROUPS, Group
from symmetrize.points.cloud import Points, Vectors

# K - degree turns more than the exactly collinear limit needs: what is left of an ill-defined
# azimuth is of this order in the distance from the line
EXTRA_TURNS = 6


class HierarchicalFrames(Frames):
    """The default frames: exact and smooth on every cloud, without an auxiliary model.

    All groups; about an axis only azimuths are chosen. Exact on every input: atoms, dimers,
    collinear, planar, coincident and tied points included; but for rings of more than 128 points at
    equal distances, which are taken for circles. C-infinity in positions and vectors, with two
    exceptions: at exactly collinear clouds the order is ``azimuths - degree - 1``, 5 by default;
    and where a whole structure collapses to a point without ``cutoff`` or ``length_scale``, the
    passage takes place within 1e-9 units, in effect a jump.

    Number of frames: one or two for most environments, molecules and large clouds; the order of the
    rotation group for a symmetric cloud, and a few times as many near some of them; ``azimuths``
    times as many for collinear ones, twice as many under O(3) for planar or mirror-symmetric ones.

    Environments of centers take axes and azimuths from their points. Whole structures take the
    steadiest directions that they have: dipoles and principal axes of their points, seen from the
    centroid, and where symmetry leaves none of these the maxima of a density of directions, which
    are few however many points there are. Periodic structures are seen as the set of their local
    vectors, and as the density of the directions of their bonds where these vanish. Not additive
    over distant fragments for whole structures; use scope "center" where additivity matters.
    Species tell directions apart where the data has them.

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
        max_frames: largest number of frames of one structure or center.
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

    groups = GROUPS

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
            choice = choice_of_environments(cloud, self.preset.centers, self.length_scale)
            return self._chosen(choice, group, degree)
        return self._of_finite(cloud, None, group, degree)

    def _of_finite(
        self, cloud: Vectors, species: Tensor | None, group: Group, degree: int
    ) -> Ensemble:
        scale = self.length_scale
        if self.cutoff is not None:
            scale = unit_of(scale, self.cutoff)
        choice = choice_of_structures(cloud, species, self.preset.structures, scale)
        return self._chosen(choice, group, degree)

    def of_structures(self, structures: Points, group: Group, degree: int) -> Ensemble:
        """The ensemble of each structure: finite ones from their centroid, crystals as such.

        Raises:
            ValueError: if a structure is periodic and there is no cutoff.
        """
        periodic = structures.is_periodic
        if not bool(periodic.any()):
            return self._of_finite(structures.from_centroid, structures.species, group, degree)
        if self.cutoff is None:
            raise ValueError(
                "periodic structures have no centroid: pass HierarchicalFrames(cutoff=...), the "
                "distance up to which neighbors give each point a local vector"
            )
        if not bool(periodic.all()):
            parts = [torch.nonzero(which)[:, 0] for which in (periodic, ~periodic)]
            found = [self.of_structures(structures.take(p), group, degree) for p in parts]
            return together(found, parts)
        choice = choice_of_crystals(
            structures, self.preset.crystals, self.cutoff, self.length_scale
        )
        return self._chosen(choice, group, degree)

    def _chosen(self, choice: Choice, group: Group, degree: int) -> Ensemble:
        turns = self._turns(degree)
        if turns <= degree:
            raise ValueError(
                f"`azimuths` is {turns} but must exceed the degree {degree} of the outputs: fewer "
                "turns do not average over the azimuth of a collinear cloud"
            )
        return chosen(choice, group, turns, self.max_frames)
