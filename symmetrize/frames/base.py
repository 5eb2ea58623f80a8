"""What every family of frames offers: ensembles for structures and for centers.

A family says how to make an ensemble from vectors; from there, structures are the vectors of their
points from the centroid, and centers those of their neighbors. Frames are made from points alone,
with one exception: ``auxiliary``, a model that a family hands on to the ``Symmetrizer``, and never
calls itself, for what it cannot serve.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from symmetrize.frames.ensemble import Ensemble
from symmetrize.groups import SPATIAL, UPRIGHT, Group, as_direction, is_axial
from symmetrize.points.axis import Axis
from symmetrize.points.cloud import Points, Vectors
from symmetrize.points.environments import neighbor_environments


class Frames(ABC):
    """A family of frames.

    ``frames(positions, batch)`` returns the ensemble of each structure of a batch; the
    ``Symmetrizer`` calls ``of_structures`` or ``of_centers``. In all of them ``group`` is one of
    ``groups``, and ``degree`` is the largest angular momentum of the outputs to be averaged. About
    an axis, "O(2)" and "SO(2)", frames keep ``cloud.axis``: each takes ``cloud.axis.seen`` to the
    direction of its owner.

    A family of one's own overrides ``of_clouds``, which both come to, and says what it claims in
    ``smoothness``, ``is_exact`` and ``fixed``. ``of_structures`` is overridden where a structure is
    more than the vectors from its centroid, as crystals are. Arguments are kept as attributes of
    the same name, from which ``settings`` and ``repr`` read them. The page "How to add a family of
    frames" has an example.

    >>> import torch
    >>> from symmetrize.frames import assemble
    >>> class Untouched(Frames):
    ...     is_exact = False
    ...     def of_clouds(self, cloud, group, degree):
    ...         frames = torch.eye(3, dtype=torch.float64).expand(cloud.size, 3, 3)
    ...         return assemble(frames, frames[:, 0, 0], torch.arange(cloud.size), cloud.size)
    >>> Untouched()(torch.rand(4, 3), torch.tensor([0, 0, 1, 1])).weights
    tensor([1., 1.])
    """

    #: a model that is equivariant by itself, for owners that these frames cannot serve; the
    #: ``Symmetrizer`` calls it, with the weight of the members that are ``auxiliary``
    auxiliary: Callable | None = None
    #: radius of the environment of a center; scope "center" needs one
    cutoff: float | None = None
    #: whether averages are exactly equivariant, and not only up to what a network can see
    is_exact: bool = True
    #: the groups that there are frames for
    groups: tuple[Group, ...] = SPATIAL
    #: whether they are the same for all clouds, so that averages and derivatives commute
    fixed: bool = False

    def smoothness(self, degree: int) -> int | float | None:
        """Number of continuous derivatives of averages of outputs up to ``degree``, on every path.

        ``math.inf``, an order, or None for no claim.
        """
        return None

    def scored(self, structures: Points) -> Points:
        """The structures with what these frames think of their species in the scores."""
        return structures

    def settings(self) -> dict[str, Any]:
        """What the frames were made with, by the names of the arguments, defaults included.

        Read from the attributes of these names; an argument without one is left out.
        """
        names = inspect.signature(type(self)).parameters
        return {name: getattr(self, name) for name in names if hasattr(self, name)}

    def __repr__(self) -> str:
        """The call that makes these frames: of the settings, those that are not the default."""
        parameters = inspect.signature(type(self)).parameters
        given = [
            f"{name}={_shown(value)}"
            for name, value in self.settings().items()
            if repr(value) != repr(parameters[name].default)
        ]
        return f"{type(self).__name__}({', '.join(given)})"

    @abstractmethod
    def of_clouds(self, cloud: Vectors, group: Group, degree: int) -> Ensemble:
        """The ensemble of each owner of the vectors: structures, or centers if there is a cutoff.

        What it returns must turn with the vectors: those of ``cloud.vectors @ Q.T`` are the frames
        ``Q @ frame``, with the same weights, in any order.
        """

    def of_centers(self, environments: Vectors, group: Group, degree: int) -> Ensemble:
        """The ensemble of each center, from its neighbors within the cutoff."""
        return self.of_clouds(environments, group, degree)

    def of_structures(self, structures: Points, group: Group, degree: int) -> Ensemble:
        """The ensemble of each structure, from its points about their centroid."""
        return self.of_clouds(structures.from_centroid, group, degree)

    def __call__(
        self,
        positions: Float[Tensor, "points axes"],
        batch: Int[Tensor, "points"] | None = None,
        *,
        scores: Float[Tensor, "points"] | None = None,
        species: Int[Tensor, "points"] | None = None,
        cell: Float[Tensor, "size 3 3"] | None = None,
        pbc: Bool[Tensor, "size 3"] | None = None,
        group: Group = "O(3)",
        axis: Sequence[int | float] | Tensor = UPRIGHT,
        degree: int = 2,
        scope: Literal["structure", "center"] = "structure",
    ) -> Ensemble:
        """The ensemble of each structure of a batch of points, or of each point as a center.

        Args:
            positions: (P, 3); (P, 2) in the plane, which is that of z = 0.
            batch: (P,) structure of each point; None for a single structure.
            scores: (P,) positive and invariant, multiplies the quality of each point.
            species: (P,) integers, such as atomic numbers.
            cell: (B, 3, 3) lattice vectors as rows, for periodic structures.
            pbc: (B, 3) whether each lattice vector is a period.
            group: "O(3)" or "SO(3)"; "O(2)" or "SO(2)" about an axis.
            axis: that of the last two.
            degree: largest angular momentum of the outputs to be averaged.
            scope: "structure", or "center" for the environment of each point within the cutoff.

        Raises:
            ValueError: if scope is "center" and these frames have no cutoff, or if there are none
                for the group.
        """
        check_has_group(self, group)
        if positions.size(-1) == 2:
            positions = nn.functional.pad(positions, (0, 1))
        structures = Points.of(positions, batch, scores=scores, species=species, cell=cell, pbc=pbc)
        if is_axial(group):
            along = as_direction(axis)
            structures = replace(
                structures, axis=Axis.of_all(along, structures.size, positions.device)
            )
        structures = self.scored(structures)
        if scope == "structure":
            ensemble = self.of_structures(structures, group, degree)
        else:
            if self.cutoff is None:
                raise ValueError(
                    f'scope "center" needs a cutoff but {type(self).__name__} has none: pass '
                    "cutoff=..., in the unit of the positions"
                )
            clouds = neighbor_environments(structures, self.cutoff)
            ensemble = self.of_centers(clouds, group, degree)
        return ensemble.to(positions.dtype)


def check_has_group(frames: Frames, group: Group) -> None:
    """Refuse a group that a family has no frames for.

    Raises:
        ValueError: with the groups that it has.
    """
    if group not in frames.groups:
        raise ValueError(
            f"`group` is {group!r} but {type(frames).__name__} has frames for "
            f"{', '.join(map(repr, frames.groups))} only: HierarchicalFrames has some for all"
        )


def _shown(value: Any) -> str:
    """A setting in one line: a model by its name alone."""
    if isinstance(value, nn.Module):
        return f"{type(value).__name__}(...)"
    return getattr(value, "__name__", None) or repr(value)
