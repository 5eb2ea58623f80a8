"""The weighted averages of outputs over the frames of each cloud: sum_p w_p rho(R_p) f(A R_p)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from symmetrize.arrays.safe import safe_sqrt
from symmetrize.arrays.segments import join, segment_log_mean, segment_sum
from symmetrize.data.copies import Copies
from symmetrize.data.plane import into_plane, into_space
from symmetrize.data.rows import RowsOf
from symmetrize.declaration import ONLY, Declaration, said_of
from symmetrize.frames import Ensemble
from symmetrize.groups import Group
from symmetrize.outputs import Output
from symmetrize.scopes import Scene

# How far from one the sum of weights of a row may be, which single precision rounds
COMPLETE = 1e-4


class Averages:
    """The averages of all outputs, by name, in the form in which the network returns them.

    Args:
        declaration: of the outputs.
        scene: what copies are made of.
        ensemble: all members, with weights that sum to one for each cloud.
        group: under which collapsed members are projected on their invariant part.
        device: where outputs come from and averages go to, if the scene is elsewhere.
    """

    def __init__(
        self,
        declaration: Declaration,
        scene: Scene,
        ensemble: Ensemble,
        group: Group,
        device: torch.device | None = None,
    ) -> None:
        self.declaration, self.scene, self.device = declaration, scene, device
        # what the network returned, for its form; None if it was not called
        self.form: Any = None
        self.by_name = {
            name: Average(output, scene, ensemble, group, name)
            for name, output in declaration.items()
        }

    def add(
        self,
        form: Any,
        returned: Mapping[str, Tensor],
        members: Ensemble,
        shared: Int[Tensor, "members"],
        copies: Copies,
    ) -> None:
        """Take what the network returned for copies, as it is and by name.

        Args:
            form: what it returned.
            returned: the same by name.
            members: all whose copy, or one that looks the same, it was called with.
            shared: the copy of each.
            copies: what it was called with.

        Raises:
            ValueError: if a row of an output is missing, or does not fit.
        """
        self.form = form
        for name, values in returned.items():
            self.by_name[name].add(self._home(values), members, shared, copies)

    def add_auxiliary(self, returned: Mapping[str, Tensor], copies: Copies) -> None:
        """Take what an auxiliary model, equivariant by itself, returned for the scene as it is.

        Raises:
            ValueError: if a row of an output is missing.
        """
        for name, values in returned.items():
            self.by_name[name].add_auxiliary(self._home(values), copies)

    def _home(self, values: Tensor) -> Tensor:
        """Values where the scene is."""
        return values if self.device is None else values.to(self.scene.source.vectors.device)

    def mean(self) -> Any:
        """sum_p w_p rho(R_p) f(A R_p), one row for whatever rows stand for."""
        means = {
            name: (
                self.scene.reduced(one.mean()) if one.output.rows == "structure" else one.mean()
            ).to(self.device)
            for name, one in self.by_name.items()
        }
        return self.declaration.unnamed(means, self.form)

    def spread(self) -> Any:
        """(sum_p w_p |rho(R_p) f(A R_p) - mean|^2)^(1/2), likewise, but for sums over centers."""
        spreads = {name: one.spread().to(self.device) for name, one in self.by_name.items()}
        return self.declaration.unnamed(spreads, self.form)


class Average:
    """Rows of one output, turned back, with the weight and the place of each.

    Args:
        output: how it turns, and what its rows stand for.
        scene, ensemble, group: as in ``Averages``.
        name: of the output, in errors.
    """

    def __init__(
        self, output: Output, scene: Scene, ensemble: Ensemble, group: Group, name: str
    ) -> None:
        self.output, self.name, self.group, self.scene = output, name, group, scene
        self.answers = scene.answers_of(output.rows, said_of(name))
        # no rows, but in the graph of the positions: backward through an empty sum is valid
        source = scene.source
        empty = source.vectors.to(source.data.pos.dtype).flatten()[:0]
        self.nothing = empty.reshape(0, *output.representation.value_shape)
        self.auxiliary = segment_sum(
            torch.where(ensemble.auxiliary, ensemble.weights, 0.0), ensemble.index, ensemble.size
        )
        self.values: list[Float[Tensor, "rows *value"]] = []
        self.weights: list[Float[Tensor, "rows"]] = []
        self.places: list[Tensor] = []

    def add(
        self, values: Tensor, members: Ensemble, shared: Int[Tensor, "members"], copies: Copies
    ) -> None:
        """Take the rows that the network returned for copies, each for all that share its copy.

        Raises:
            ValueError: if there is not one row for each copy (or point, or edge), or one does not
                fit.
        """
        self._check(values, copies)
        representation, answers = self.output.representation, self.answers
        if self.scene.source.is_flat:
            values = into_space(representation, values)
        # sums of many members lose the digits that half precision has left
        values = values.to(torch.promote_types(values.dtype, torch.float32))
        copy, values, row = self._answering(values, copies)
        values = representation.symmetrize_indices(values)
        if len(members) > len(copies):
            member, place = join(shared, copy, len(copies))
            members, values, row = members.take(member), values[place], row[place]
        elif self.output.rows != "structure":
            members = members.take(copy)
        turned = representation.rotate(values, members.rotations)
        if bool(members.isotropic.any()):
            shape = (-1, *(1,) * (values.ndim - 1))
            invariant = representation.project_invariant(values, self.group)
            turned = torch.where(members.isotropic.reshape(shape), invariant, turned)
        self.values.append(turned)
        self.weights.append(members.weights.to(turned.dtype))
        self.places.append(row if answers.place is None else answers.place[row])

    def _check(self, values: Tensor, copies: Copies) -> None:
        """Refuse values that are not one row for each copy (or point, or edge) or do not fit."""
        # a single number has no rows, which is not as many as there are of nothing
        rows = -1 if values.ndim == 0 else len(values)
        said = "" if self.name == ONLY else f" for {said_of(self.name)}"
        said = f"the network returned shape {tuple(values.shape)}{said}"
        numbers = copies.numbers
        declared = self.output.rows
        if rows != numbers[declared]:
            batch = f"{numbers['structure']} copies of {self.scene.size} {self.scene.clouds}"
            batch += "".join(f", {numbers[k]} {k}s" for k in numbers if k != "structure")
            each = "copy, as if it were a structure"
            each = f"{declared} of each copy" if declared != "structure" else each
            raise ValueError(
                f"{said} for a batch of {batch} in all: it must return one row for each {each}, "
                f"here {numbers[declared]}. Pool over `data.batch` with size `data.num_graphs`; "
                + self._way_out([kind for kind in numbers if numbers[kind] == rows])
            )
        if not values.is_floating_point():
            raise TypeError(
                f"{said} in {values.dtype} but averages are floating-point numbers: convert it "
                "with .float(), or leave it out with None"
            )
        try:
            if self.scene.source.is_flat:
                values = into_space(self.output.representation, values)
            self.output.representation.flatten(values)
        except ValueError as error:
            raise ValueError(f"{said} but {error}") from None

    def _way_out(self, fitting: list[RowsOf]) -> str:
        """What to declare, by what there are as many of as rows."""
        if "structure" in fitting:
            return f"it has rows of structures: declare it without per_{self.output.rows}"
        if len(fitting) == 1:
            pooled = ", or pool it" if self.output.rows == "structure" else ""
            return f"it has rows of {fitting[0]}s: declare it as per_{fitting[0]}(...){pooled}"
        if fitting:
            return (
                "it has as many rows as there are points, and edges: declare it as per_point(...) "
                "or per_edge(...), as the network means them"
            )
        return (
            "for a network that takes one structure at a time, pass chunk_size=1, which calls it "
            "for one copy at a time; rows of edges are declared as per_edge(...), with their "
            "`edge_index` in the data"
        )

    def add_auxiliary(self, values: Tensor, copies: Copies) -> None:
        """Take what the auxiliary model returned for the scene, unturned.

        Raises:
            ValueError: if there is not one row for each structure (or point, or edge).
        """
        number = copies.numbers[self.output.rows]
        if values.ndim == 0 or len(values) != number:
            of = self.scene.clouds if self.output.rows == "structure" else f"{self.output.rows}s"
            raise ValueError(
                f"the auxiliary model of the frames returned shape {tuple(values.shape)} for "
                f"{number} {of}: it must return what the network does, one row for each"
            )
        _, values, row = self._answering(values, copies)
        place = row if self.answers.place is None else self.answers.place[row]
        self.values.append(self.output.representation.symmetrize_indices(values))
        self.weights.append(self.auxiliary[self.answers.owner[place]].to(values.dtype))
        self.places.append(place)

    def _answering(self, values: Tensor, copies: Copies) -> tuple[Tensor, Tensor, Tensor]:
        """The rows of values that answer: their copies, themselves, and their rows of the scene."""
        origin = copies.of(self.output.rows)
        assert origin is not None, "the scene has edges"
        copy, row = origin
        if self.answers.counts is None:
            return copy, values, row
        kept = torch.nonzero(self.answers.counts[row])[:, 0]
        return copy[kept], values[kept], row[kept]

    def mean(self) -> Float[Tensor, "results *value"]:
        """sum_p w_p rho(R_p) f(A R_p) for each row; of log-probabilities log(sum_p w_p exp f)."""
        values, weights, place = self._all()
        if self.output.average == "log":
            return segment_log_mean(values, weights, place, len(self.answers))
        # many members cancel: single precision would lose more digits than the network has lost
        total = segment_sum(_times(weights, values).double(), place, len(self.answers))
        total = total.to(values.dtype)
        if self.scene.source.is_flat:
            return into_plane(self.output.representation, total)
        return total

    def spread(self) -> Float[Tensor, "results blocks"]:
        """(sum_p w_p |rho(R_p) f(A R_p) - mean|^2)^(1/2), for each irrep copy.

        Of the probabilities, where their logarithms are declared.
        """
        values, weights, place = self._all()
        if self.output.average == "log":
            values = values.exp()
        representation, size = self.output.representation, len(self.answers)
        if representation.dim == 1:
            values = values.reshape(-1, 1)
        mean = segment_sum(_times(weights, values), place, size)
        squares = representation.block_squares(values - mean[place])
        return safe_sqrt(segment_sum(weights[:, None] * squares, place, size))

    def _all(self) -> tuple[Tensor, Tensor, Tensor]:
        if not self.values:
            return self.nothing, self.nothing.new_zeros(0), self.answers.owner[:0]
        weights, places = torch.cat(self.weights), torch.cat(self.places)
        if self.output.rows == "edge" and self.answers.counts is not None:
            self._check_complete(segment_sum(weights.detach(), places, len(self.answers)))
        return torch.cat(self.values), weights, places

    def _check_complete(self, total: Float[Tensor, "results"]) -> None:
        """Refuse edges that some members have no row for: a collapsed copy loses distant points."""
        missing = int(((total - 1).abs() > COMPLETE).sum())
        if missing:
            raise ValueError(
                f"{said_of(self.name)} is declared per_edge, but {missing} of {len(total)} edges "
                "reach into the end of their environment, where frames lose their direction: give "
                'the frames a longer cutoff, or use scope="structure"'
            )


def _times(weights: Float[Tensor, "rows"], values: Float[Tensor, "rows *value"]) -> Tensor:
    return weights.reshape(-1, *(1,) * (values.ndim - 1)) * values
