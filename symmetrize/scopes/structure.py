"""Scope "structure": structures are turned as a whole, about their centroid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from symmetrize.contract import Contract
from symmetrize.data.copies import Source
from symmetrize.data.layout import layout
from symmetrize.data.reading import axis_of, check_inputs, fields_of, read_points
from symmetrize.data.rows import RowsOf
from symmetrize.frames import Ensemble, Frames
from symmetrize.groups import Group
from symmetrize.points.axis import Axis
from symmetrize.points.cloud import Points
from symmetrize.scopes.scene import Answers, Scene
from symmetrize.scopes.scope import Scope, View

if TYPE_CHECKING:
    from torch_geometric.data import Data


@dataclass(frozen=True)
class _Whole(Scene):
    """Structures, all of whose rows answer for themselves."""

    structures: Points

    @property
    def axis(self) -> Axis | None:
        """That of each structure."""
        return self.structures.axis

    def ensemble(self, frames: Frames, group: Group, degree: int) -> Ensemble:
        """The frames of each structure."""
        return frames.of_structures(self.structures, group, degree)


class Structures(Scope):
    """The network sees whole structures, and every row that it returns counts."""

    def of_accepted(self, data: Data, view: View) -> Scene:
        """Structures with positions from their centroid, or from the axis through it."""
        if view.prepare is not None:
            data = view.prepare(data)
        rows = layout(data)
        check_inputs(data, rows, view.inputs)
        known = (*view.positions, view.axis)
        turning = {name: turns for name, turns in view.inputs.items() if name not in known}
        fields = fields_of(data, rows, turning)
        axis = axis_of(data, rows, view.axis)
        structures = view.frames.scored(read_points(data, rows, view.positions, fields, axis))
        vectors = structures.from_centroid.vectors
        if axis is not None and view.translations == "across":
            vectors = vectors + axis.along(structures.positions - vectors, structures.batch)
        numbers = [len(data[name]) for name in ("pos", *view.positions)]
        vectors, *others = vectors.split(numbers)
        further = dict(zip(view.positions, others, strict=True))
        each = torch.arange(rows.size, device=rows.batch.device)
        answers: dict[RowsOf, Answers] = {"structure": Answers(each), "point": Answers(rows.batch)}
        if rows.edges is not None:
            answers["edge"] = Answers(rows.edges)
        source = Source(data, rows, vectors, view.inputs, further=further)
        return _Whole(source, answers, structures)

    def check(self, view: View, declared: Contract | None) -> None:
        """Refuse sums over centers, of which there are none."""
        if view.reduce is not None:
            raise ValueError(
                f'`reduce` is {view.reduce!r} but scope "structure" already has one row for each '
                'structure: use it with scope="center"'
            )
