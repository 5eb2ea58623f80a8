"""Scope "center": every point is a center, with frames of its own for its environment."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from symmetrize.arrays.segments import counts, segment_sum
from symmetrize.arrays.vectors import safe_norm
from symmetrize.contract import Contract, Smoothness
from symmetrize.data.clusters import clusters
from symmetrize.data.forms import plain_tensor
from symmetrize.data.layout import is_same, layout, renewed
from symmetrize.data.reading import axis_of, check_inputs, fields_of, read_points
from symmetrize.data.rows import Layout, RowsOf
from symmetrize.frames import Ensemble, Frames
from symmetrize.groups import Group
from symmetrize.points.axis import Axis
from symmetrize.points.cloud import Vectors
from symmetrize.points.environments import environments
from symmetrize.scopes.scene import Answers, Reduce, Scene
from symmetrize.scopes.scope import Scope, View

if TYPE_CHECKING:
    from torch_geometric.data import Data

# Environments of centers reach this much further than the network sees. A center whose neighbors
# are all about to leave its environment has no direction left, and the average passes into what the
# network makes of the center alone: beyond its sight, that changes nothing.
BEYOND = 1.3
# What rounding may add to a length
SLACK = 1e-4


@dataclass(frozen=True)
class _Environments(Scene):
    """The environment of every point, in which the center and its edges answer.

    Attributes:
        neighbors: what frames are made from.
        structures: whose the centers are.
        reduce: over the centers of each structure.
        lengths: of the edges of the structures, if there are some.
    """

    neighbors: Vectors
    structures: Layout
    reduce: Reduce | None
    lengths: Float[Tensor, "edges"] | None

    clouds = "environments"
    without_edges = (
        'with scope "center" edges are those of the data itself, none that `prepare` finds in '
        "environments: set data.edge_index before the data is wrapped, and let prepare keep it"
    )

    @property
    def axis(self) -> Axis | None:
        """That of the structure of each center."""
        return self.neighbors.axis

    def ensemble(self, frames: Frames, group: Group, degree: int) -> Ensemble:
        """The frames of each center."""
        return frames.of_centers(self.neighbors, group, degree)

    def answers_of(self, rows: RowsOf, output: str) -> Answers:
        """The rows that answer for an output.

        Raises:
            ValueError: if there are no edges to count, or one is too long.
        """
        found = super().answers_of(rows, output)
        if rows != "edge" or self.lengths is None or len(self.lengths) == 0:
            return found
        longest, cutoff = float(self.lengths.max()), self.neighbors.cutoff or math.inf
        if longest * BEYOND > cutoff * (1 + SLACK):
            raise ValueError(
                f"{output} is declared per_edge, and edges reach up to {longest:.4g}, but with "
                f'scope "center" the cutoff {cutoff:g} of the frames must be {BEYOND} times as '
                "long: near the end of an environment an edge without closer neighbors has no "
                f"direction left. Pass frames=HierarchicalFrames(cutoff={BEYOND * longest:.4g}), "
                'or use scope="structure"'
            )
        return found

    def reduced(self, values: Float[Tensor, "clouds *value"]) -> Float[Tensor, "rows *value"]:
        """The sum or the mean over the centers of each structure, or a row for each center."""
        if self.reduce is None:
            return values
        batch, size = self.structures.batch, self.structures.size
        total = segment_sum(values, batch, size)
        if self.reduce == "sum":
            return total
        number = counts(batch, size).clamp(min=1).to(total.dtype)
        return total / number.reshape(-1, *(1,) * (total.ndim - 1))


class Centers(Scope):
    """The network sees the environment of one point at a time, and what it says of that counts."""

    def of_accepted(self, data: Data, view: View) -> Scene:
        """The environment of every point, with positions from the point."""
        assert view.frames.cutoff is not None, "checked when the symmetrizer was made"
        rows = layout(data)
        check_inputs(data, rows, view.inputs)
        axis = axis_of(data, rows, view.axis)
        structures = view.frames.scored(read_points(data, rows, axis=axis))
        found = environments(structures, view.frames.cutoff)
        if axis is not None and view.translations == "across":
            heights = axis.along(structures.positions.double(), structures.batch)
            found = replace(found, vectors=found.vectors + heights[found.owner])
        source, edges = clusters(data, rows, found, view.inputs)
        central = found.is_center
        each = torch.arange(len(rows.batch), device=central.device)
        answers: dict[RowsOf, Answers] = {
            "structure": Answers(each),
            "point": Answers(each, found.owner, central),
        }
        lengths = None
        if edges is not None:
            ends, taken = plain_tensor(data.edge_index), plain_tensor(source.data.edge_index)[0]
            answers["edge"] = Answers(ends[0], edges, central[taken])
            lengths = safe_norm((data.pos[ends[1]] - data.pos[ends[0]]).detach())
        if view.prepare is not None:
            before = source.data.to_dict()
            prepared = view.prepare(source.data)
            if not is_same(before.get("edge_index"), prepared.get("edge_index")):
                answers.pop("edge", None)  # they are no longer those of the data
            known = renewed(source.layout, before, prepared)
            source = replace(source, data=prepared, layout=known)
        turning = {name: turns for name, turns in view.inputs.items() if name != view.axis}
        fields = fields_of(source.data, source.layout, turning, envelope=found.envelope)
        neighbors = replace(found.cloud, fields=fields)
        return _Environments(source, answers, neighbors, rows, view.reduce, lengths)

    def check(self, view: View, declared: Contract | None) -> None:
        """Refuse further positions, and environments without an end or too small."""
        if view.positions:
            raise ValueError(
                f'`positions` names {list(view.positions)} but with scope "center" a center sees '
                "only its environment: put these points into `pos`, marked by an attribute of "
                'points such as a species, or use scope="structure"'
            )
        cutoff = view.frames.cutoff
        if cutoff is None:
            raise ValueError(
                f'scope "center" needs a cutoff but {type(view.frames).__name__} has none: pass '
                "frames=HierarchicalFrames(cutoff=...), in the unit of the positions"
            )
        apart = None if declared is None else declared.min_distance
        if apart is not None and apart >= cutoff:
            raise ValueError(
                f"the network's points are {apart} apart but the environments of the frames end at "
                f"{cutoff}, where no point has a neighbor: pass frames=HierarchicalFrames(cutoff="
                f"{2 * apart})"
            )
        sight = None if declared is None else declared.receptive_field
        if sight is not None and sight > cutoff:
            raise ValueError(
                f"the network sees {sight} far but the environments of the frames end at "
                f"{cutoff}: pass frames=HierarchicalFrames(cutoff={sight}), or fewer "
                "rounds of messages, so that points enter where the network does not see them yet"
            )

    def natural_cutoff(self, declared: Contract) -> float | None:
        """Frames of centers must see as far as the network does, and a little further."""
        sight = declared.receptive_field
        return None if sight is None else BEYOND * sight

    def order(self, declared: Contract) -> Smoothness:
        """None for a network that sees points at the end of their environment."""
        return declared.smoothness if declared.envelope or declared.cutoff is not None else None

    def locality(self, view: View) -> dict[str, Any]:
        """A center sees its environment, and sums over centers add up."""
        return {"cutoff": view.frames.cutoff, "extensive": view.reduce == "sum"}
