"""The largest error of each structure: what was done there, and which output it is in.

Errors of several outputs compare in units of their spreads. A sentence about one of them names it,
and says how large the error is in its own unit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from equivariance_tests.measure.mistaken import SAME, mistaken
from equivariance_tests.measure.rounding import EXACT
from equivariance_tests.measure.trial import Trial
from equivariance_tests.model.answers import Answers
from symmetrize import Contract
from symmetrize.declaration import ONLY


@dataclass(frozen=True)
class Place:
    """Where an error is.

    Attributes:
        output: name of the output.
        part: the irrep, one of several copies by its number, or the Cartesian tensor.
        parts: how many of them the output has.
        size: of the error, in the unit of the output; the largest of the components of the part.
        ends: the point to which it belongs, or both ends of the edge; none of a structure.
    """

    output: str
    part: str
    parts: int
    size: float
    ends: tuple[int, ...] = ()

    @property
    def said(self) -> str:
        """The output, and which part of it if it has several.

        >>> Place("vectors", "1o[2]", 3, 0.1, (4,)).said
        "the output 'vectors' (1o[2]) of point 4"
        """
        said = "the output" if self.output == ONLY else f"the output {self.output!r}"
        if self.parts > 1:
            said += f" ({self.part})"
        return f"{said} of {self._row} {self._number}" if self.ends else said

    @property
    def _row(self) -> str:
        return "point" if len(self.ends) == 1 else "edge"

    @property
    def _number(self) -> int | tuple[int, ...]:
        return self.ends[0] if len(self.ends) == 1 else self.ends

    @property
    def details(self) -> dict[str, Any]:
        """The same as plain values by name."""
        found: dict[str, Any] = {"output": self.output, "part": self.part}
        if self.ends:
            found[self._row] = self._number
        return {**found, "error in its unit": self.size}


@dataclass(frozen=True)
class Note:
    """What is known of the largest error of a structure.

    Attributes:
        done: what was done, as the end of a sentence.
        place: which output it is in; None if it is rounding, or not known.
        details: further values by name.
        hint: what a wrong value is the right one of, if that is known.
    """

    done: str = ""
    place: Place | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    hint: str = ""

    @property
    def said(self) -> str:
        """The output, as the subject of a sentence."""
        return "the output" if self.place is None else self.place.said


# Error of each structure, in units of the spread, and a note on it
Errors = tuple[Float[Tensor, "structures"], list[Note]]


class Worst:
    """The largest error of each structure so far.

    Args:
        trial: the model, whose spreads errors are measured in.
        size: number of structures.
        done: what is done, where nothing makes an error.
    """

    def __init__(self, trial: Trial, size: int, done: str = "") -> None:
        self.trial = trial
        self.errors = torch.zeros(size, dtype=torch.float64)
        self.notes = [Note(done) for _ in range(size)]

    def add(
        self,
        change: Answers,
        done: str | Sequence[str],
        details: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        """Errors of another comparison, infinite where they are not finite.

        Args:
            change: what should be zero.
            done: what was done, to all structures or to each.
            details: of each structure, for its note.
        """
        scales = self.trial.scales
        errors = change.largest(scales).nan_to_num(nan=torch.inf)
        exact = EXACT[self.trial.dtype]
        for i in (errors > self.errors).nonzero()[:, 0].tolist():
            place = None
            if float(errors[i]) > exact:
                place = place_of(change.of(i), scales, self.trial.contract)
            said = done if isinstance(done, str) else done[i]
            self.notes[i] = Note(said, place, {} if details is None else details[i])
        self.errors = torch.maximum(self.errors, errors)

    def compare(
        self,
        found: Answers,
        expected: Answers,
        done: str,
        details: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        """Errors of answers that should be others; a wrong row of an edge says whose it is.

        Args:
            found: what the model answers.
            expected: what it should.
            done: what was done.
            details: of each structure, for its note.
        """
        before = list(self.notes)
        self.add(found.minus(expected), done, details)
        scales, within = self.trial.scales, SAME[self.trial.dtype]
        for i, note in enumerate(self.notes):
            place = note.place
            if note is before[i] or place is None or len(place.ends) != 2:
                continue
            both = found.of(i), expected.of(i)
            hint = mistaken(place.output, place.ends, *both, scales, within)
            self.notes[i] = replace(note, hint=hint)

    @property
    def found(self) -> Errors:
        """Errors and notes."""
        return self.errors, self.notes


def place_of(
    change: Answers,
    scales: Mapping[str, Float[Tensor, "_"]],
    contract: Contract,
) -> Place | None:
    """Where the largest change of one structure is, in units of the spreads; None without any."""
    worst, found = -1.0, None
    for name, values in change.values.items():
        if not values.numel():
            continue
        shares = (values.abs() / scales[name]).nan_to_num(nan=torch.inf, posinf=torch.inf)
        # a change of an output without a spread is no change
        shares = torch.where(torch.isfinite(values) & torch.isinf(scales[name]), 0.0, shares)
        largest = float(shares.max())
        if not largest > worst:
            continue
        worst = largest
        row, column = divmod(int(shares.argmax()), values.size(1))
        output = contract.outputs[name]
        blocks = output.representation.blocks
        (block,) = [b for b in blocks if b.columns.start <= column < b.columns.stop]
        size = float(values[row, block.columns].abs().nan_to_num(nan=math.inf).max())
        ends = tuple(change.rows[name].ends[row].tolist())
        found = Place(name, block.label, len(blocks), size, ends)
    return found
