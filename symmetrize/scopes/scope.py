"""What a scope decides: which scene is made of data, and what may be claimed of the averages."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from symmetrize.contract import Contract, Smoothness, Translations
from symmetrize.data.boundary import accepted
from symmetrize.data.plane import is_flat, lifted, prepared_in_plane
from symmetrize.frames import Frames
from symmetrize.groups import UPRIGHT, Direction
from symmetrize.representation import Representation
from symmetrize.scopes.scene import Reduce, Scene

if TYPE_CHECKING:
    from torch_geometric.data import Data


@dataclass(frozen=True)
class View:
    """How a symmetrized network looks at data.

    Attributes:
        inputs: how attributes turn, by name.
        positions: names of further positions.
        frames: whose cutoff ends environments, and which may score species.
        prepare: called once on what copies are made of, or None.
        reduce: sum or mean over the centers of each structure, or None for a row for each.
        axis: about which frames turn: one for all, or by the name of an attribute; None for
            frames in space.
        translations: what positions are measured from: the centroid or the center, or across the
            axis only, so that heights along it stay as they are.
    """

    inputs: Mapping[str, Representation]
    positions: Sequence[str]
    frames: Frames
    prepare: Callable[[Any], Any] | None
    reduce: Reduce | None
    axis: Direction | str | None = None
    translations: Translations = "all"


class Scope(ABC):
    """One scope; instances hold no state."""

    def scene(self, data: Data, view: View) -> Scene:
        """What the network will see of data as the user has it.

        Raises:
            TypeError, ValueError: if the data does not fit what is declared.
        """
        if not is_flat(data):
            return self.of_accepted(accepted(data, view.inputs, view.positions), view)
        if view.axis != UPRIGHT:
            raise ValueError(
                f"`pos` has shape {tuple(data.pos.shape)} but must be (points, 3); for positions "
                "in the plane take group='O(2)' (rotations and reflections) or 'SO(2)' (rotations "
                "only), without an axis"
            )
        known = view.inputs, view.positions
        data = accepted(lifted(data, *known), *known)
        if view.prepare is not None:
            view = replace(view, prepare=prepared_in_plane(view.prepare, *known))
        scene = self.of_accepted(data, view)
        return replace(scene, source=replace(scene.source, is_flat=True))

    @abstractmethod
    def of_accepted(self, data: Data, view: View) -> Scene:
        """What the network will see of data whose geometry and inputs are tensors."""

    @abstractmethod
    def check(self, view: View, declared: Contract | None) -> None:
        """Refuse settings that do not fit the scope.

        Raises:
            ValueError: naming the setting.
        """

    def natural_cutoff(self, declared: Contract) -> float | None:
        """The length for frames that a network brings along, in the unit of its cutoff."""
        return declared.cutoff

    def order(self, declared: Contract) -> Smoothness:
        """The smoothness that is left of a network's own."""
        return declared.smoothness

    def locality(self, view: View) -> dict[str, Any]:
        """What a contract may claim of how far points see, by its arguments."""
        return {}
