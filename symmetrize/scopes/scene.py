"""A scene: clouds as the network will see them, and whose answers count.

A cloud is whatever has frames of its own: a structure, or the environment of a center. To the
network each cloud is a structure of a batch. Of what it returns for a cloud some rows answer: all
of them for a structure, and for an environment those of its center.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Bool, Float, Int
from torch import Tensor

from symmetrize.data.copies import Source
from symmetrize.data.rows import RowsOf
from symmetrize.frames import Ensemble, Frames
from symmetrize.groups import Group
from symmetrize.points.axis import Axis

Reduce = Literal["sum", "mean"]


@dataclass(frozen=True)
class Answers:
    """Which rows of a scene answer, and for what.

    Attributes:
        owner: (A,), the cloud whose frames each row of the result is averaged over.
        place: (R,), the row of the result that each row of the scene is for; None for itself.
        counts: (R,), which rows of the scene answer; None for all.
    """

    owner: Int[Tensor, "results"]
    place: Int[Tensor, "rows"] | None = None
    counts: Bool[Tensor, "rows"] | None = None

    def __len__(self) -> int:
        return len(self.owner)


@dataclass(frozen=True)
class Scene(ABC):
    """What copies are made of, and which of their rows answer for what.

    Attributes:
        source: the clouds.
        answers: by what a row of an output stands for; without edges there are none for them.
    """

    source: Source
    answers: Mapping[RowsOf, Answers]

    #: what clouds are called in errors
    clouds = "structures"
    #: what is said where an output has rows of edges and there are none
    without_edges = (
        "the data has none: set data.edge_index, or let prepare add it, as in "
        "prepare=connect(radius=5.0) of backbones.adapters"
    )

    @property
    def size(self) -> int:
        """Number of clouds."""
        return self.source.layout.size

    @property
    @abstractmethod
    def axis(self) -> Axis | None:
        """The axis of each cloud, if frames turn about one."""

    @abstractmethod
    def ensemble(self, frames: Frames, group: Group, degree: int) -> Ensemble:
        """The frames of each cloud, for outputs up to a degree."""

    def answers_of(self, rows: RowsOf, output: str) -> Answers:
        """The rows that answer for an output.

        Raises:
            ValueError: if it has rows of edges, and there are none to count.
        """
        found = self.answers.get(rows)
        if found is None:
            raise ValueError(
                f"{output} is declared per_edge, with one row for each column of `edge_index`, but "
                f"{self.without_edges}"
            )
        return found

    def reduced(self, values: Float[Tensor, "clouds *value"]) -> Float[Tensor, "rows *value"]:
        """One row for each cloud, or, where that was asked for, for several of them."""
        return values
