"""The weighted average of one output over the frames of each owner."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from symmetrize.arrays.safe import safe_sqrt
from symmetrize.arrays.segments import segment_log_mean, segment_sum
from symmetrize.data.copies import Copies, Source
from symmetrize.frames.ensemble import Ensemble
from symmetrize.groups import Group
from symmetrize.outputs import ONLY, Output


class Average:
    """Outputs of the network on copies, turned back, with the weight and the place of each row.

    Args:
        output: the declared representation, and whether there is one row for each point.
        ensemble: all members, with weights that sum to one for each owner.
        source: what the copies are made of.
        group: under which the collapsed members are projected on their invariant part.
        name: of the output, in errors.
    """

    def __init__(
        self,
        output: Output,
        ensemble: Ensemble,
        source: Source,
        group: Group,
        name: str = ONLY,
    ) -> None:
        self.output = output
        self.name = name
        self.group = group
        self.layout = source.layout
        # no rows, but in the graph of the positions: backward through an empty sum is valid
        empty = source.vectors.to(source.data.pos.dtype).flatten()[:0]
        self.nothing = empty.reshape(0, *output.representation.value_shape)
        # a center answers for its environment: its own row is the one that counts
        self.center = source.data.get("is_center") if source.leaving is not None else None
        self.auxiliary = segment_sum(
            torch.where(ensemble.auxiliary, ensemble.weights, 0.0), ensemble.index, ensemble.size
        )
        self.values: list[Float[Tensor, "rows *value"]] = []
        self.weights: list[Float[Tensor, "rows"]] = []
        self.places: list[Tensor] = []

    @property
    def size(self) -> int:
        """Number of rows of the average."""
        by_structure = self.center is not None or not self.output.per_point
        return self.layout.size if by_structure else len(self.layout.batch)

    def add(self, values: Tensor, members: Ensemble, copies: Copies) -> None:
        """Take the rows that the network returned for the copies of ``members``.

        Raises:
            ValueError: if there is not one row for each copy (or point), or a row does not fit.
        """
        representation = self.output.representation
        self._check(values, len(members), len(copies.copy))
        # sums of many members lose the digits that half precision has left
        values = values.to(torch.promote_types(values.dtype, torch.float32))
        rotations, collapsed, weights = members.rotations, members.isotropic, members.weights
        place = members.index
        if self.output.per_point:
            rotations, collapsed = rotations[copies.copy], collapsed[copies.copy]
            weights = weights[copies.copy]
            place = copies.point if self.center is None else members.index[copies.copy]
        values = representation.symmetrize_indices(values)
        turned = representation.rotate(values, rotations)
        if bool(collapsed.any()):
            shape = (-1, *(1,) * (values.ndim - 1))
            invariant = representation.project_invariant(values, self.group)
            turned = torch.where(collapsed.reshape(shape), invariant, turned)
        if self.output.per_point and self.center is not None:
            central = torch.nonzero(self.center[copies.point])[:, 0]
            turned, weights, place = turned[central], weights[central], place[central]
        self.values.append(turned)
        self.weights.append(weights.to(turned.dtype))
        self.places.append(place)

    def _check(self, values: Tensor, copies: int, points: int) -> None:
        """Refuse values that are not one row for each copy (or point of one) or do not fit."""
        representation, per_point = self.output.representation, self.output.per_point
        rows = 0 if values.ndim == 0 else len(values)
        expected = points if per_point else copies
        said = "" if self.name == ONLY else f" for the output {self.name!r}"
        said = f"the network returned shape {tuple(values.shape)}{said}"
        if values.ndim == 0 or rows != expected:
            owners = "structures" if self.center is None else "environments"
            batch = f"{copies} copies of {self.layout.size} {owners}, {points} points in all"
            each = "point of each copy" if per_point else "copy, as if it were a structure"
            if per_point and rows == copies:
                way_out = "it has rows of structures: declare it without per_point"
            elif not per_point and rows == points:
                way_out = "it has rows of points: declare it as per_point(...), or pool it"
            else:
                way_out = (
                    "for a network that takes one structure at a time, pass chunk_size=1, which "
                    "calls it for one copy at a time"
                )
            raise ValueError(
                f"{said} for a batch of {batch}: it must return one row for each {each}, here "
                f"{expected}. Pool over `data.batch` with size `data.num_graphs`; {way_out}"
            )
        if not values.is_floating_point():
            raise TypeError(
                f"{said} in {values.dtype} but averages are floating-point numbers: convert it "
                "with .float(), or leave it out with None"
            )
        try:
            representation.flatten(values)
        except ValueError as error:
            raise ValueError(f"{said} but {error}") from None

    def add_auxiliary(self, values: Tensor) -> None:
        """Take what the auxiliary model returned for every structure (or point) itself.

        Raises:
            ValueError: if there is not one row for each.
        """
        per_row = self.output.per_point and self.center is None
        if values.ndim == 0 or len(values) != self.size:
            raise ValueError(
                f"the auxiliary model of the frames returned shape {tuple(values.shape)} for "
                f"{self.size} {'points' if per_row else 'structures'}: it must return what the "
                "network does, one row for each"
            )
        place = torch.arange(self.size, device=values.device)
        weights = self.auxiliary[self.layout.batch] if per_row else self.auxiliary
        self.values.append(self.output.representation.symmetrize_indices(values))
        self.weights.append(weights.to(values.dtype))
        self.places.append(place)

    def mean(self) -> Float[Tensor, "owners *value"]:
        """sum_p w_p rho(R_p) f(A R_p) for each owner; of log-probabilities log(sum_p w_p exp f)."""
        values, weights, place = self._all()
        if self.output.average == "log":
            return segment_log_mean(values, weights, place, self.size)
        return segment_sum(_times(weights, values), place, self.size)

    def spread(self) -> Float[Tensor, "owners blocks"]:
        """(sum_p w_p |rho(R_p) f(A R_p) - mean|^2)^(1/2), for each irrep copy.

        Of the probabilities, where their logarithms are declared.
        """
        values, weights, place = self._all()
        if self.output.average == "log":
            values = values.exp()
        representation = self.output.representation
        if representation.dim == 1:
            values = values.reshape(-1, 1)
        mean = segment_sum(_times(weights, values), place, self.size)
        squares = representation.block_squares(values - mean[place])
        return safe_sqrt(segment_sum(weights[:, None] * squares, place, self.size))

    def _all(self) -> tuple[Tensor, Tensor, Tensor]:
        if not self.values:
            return self.nothing, self.nothing.new_zeros(0), self.layout.batch[:0]
        return torch.cat(self.values), torch.cat(self.weights), torch.cat(self.places)


def _times(weights: Float[Tensor, "rows"], values: Float[Tensor, "rows *value"]) -> Tensor:
    return weights.reshape(-1, *(1,) * (values.ndim - 1)) * values
