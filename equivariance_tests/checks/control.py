"""Negative controls: what is wrong must fail, or the test of equivariance says nothing.

The same clouds and the same turns, but a wrong declaration:

- of what turns, that it does not;
- of scalars, that three of them are a vector, or one, three times, where there are no three;
- of everything, the other parity, where reflections are claimed.

And the right declaration of a wrong model: to each output, a tenth of its spread times the square
of a coordinate is added. Answers to turned clouds must contradict all of these. So a vector that is
declared as three scalars is found twice: it fails equivariance, and passes for a vector here.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch_geometric.data import Batch

from equivariance_tests.checks.base import OfModels, Outcome
from equivariance_tests.clouds import Cloud, Turn
from equivariance_tests.clouds.cases import unrelated, unrelated_crystals
from equivariance_tests.clouds.turns import turns_of
from equivariance_tests.measure.trial import Trial
from equivariance_tests.model.answers import Answers
from equivariance_tests.model.subject import Subject
from equivariance_tests.report.failures import Failure
from symmetrize import Contract
from symmetrize.groups import UPRIGHT, frame_along
from symmetrize.representation import as_representation

# What is wrong must be wrong by this part of the spread, on one of the unrelated clouds at least
CONTRADICTION = 0.01
SEVERAL = 8
# What is added to a model to make it wrong, in units of the spread
TILT = 0.1


class Indifferent(Failure):
    """A wrong declaration passes too: the test cannot tell."""

    kind = "negative control passes"


class NegativeControl(OfModels):
    """Wrong declarations, and a wrong model, fail where the right ones pass."""

    name = "negative control"
    law = "wrong declarations are contradicted by the same answers"

    def reason_to_skip(self, trial: Trial) -> str:
        """What claims no group has no declaration to be wrong about."""
        return "" if trial.contract.group else "no group is claimed"

    def outcome(self, trial: Trial, cloud: Cloud) -> Outcome:
        """How near what is wrong comes to passing: one where it does, on a scale of its own."""
        # a stress is zero in space, and contradicts nothing there
        crystals = unrelated_crystals(trial.contract)[:SEVERAL]
        several = unrelated(trial.contract)[:SEVERAL] + crystals
        answered = trial.answered(several)
        kept = [one for one, good in zip(several, answered, strict=True) if good]
        errors = list(contradictions(trial, kept)) if kept else []
        if not errors:
            return Outcome(cloud, skipped="no output differs between unrelated clouds")
        least = min(error for _, error in errors)
        passed = dict.fromkeys(said for said, error in errors if not error > CONTRADICTION)
        near = CONTRADICTION / least if least > 0 else math.inf
        if not passed:
            return Outcome(cloud, near, 1.0)
        said = (
            f"{'; '.join(passed)}: wrong, but contradicted by {least:.2g} of the spread only, "
            f"where more than {CONTRADICTION:g} is expected"
        )
        code = trial.structures([cloud])[0].code()
        return Outcome(cloud, near, 1.0, Indifferent(said, cloud, code, near, 1.0))


def contradictions(trial: Trial, clouds: Sequence[Cloud]) -> Iterator[tuple[str, float]]:
    """What is wrong, and its largest error, for all that differs between clouds."""
    scales, contract = trial.scales, trial.contract
    structures = trial.structures(clouds)

    def answers(model: Subject, turn: Turn) -> Answers:
        turned = [one.turned(trial.matrix(turn), contract) for one in structures]
        return model([one.rounded(trial.dtype) for one in turned])

    turns = [wrong.turn for wrong in wrong_declarations(contract)]
    rotation = turns_of(contract.group or "SO(3)")["generic"]
    here = trial(structures)
    there = {turn: answers(trial.subject, turn) for turn in dict.fromkeys(turns)}
    for wrong in wrong_declarations(contract):
        scale = scales[wrong.output][wrong.columns]
        if bool(torch.isfinite(scale).all()):
            expected = here.values[wrong.output][:, wrong.columns] @ wrong.matrix.T
            change = there[wrong.turn].values[wrong.output][:, wrong.columns] - expected
            yield wrong.said, float((change / scale).abs().max())

    tilted = replace(trial.subject, net=Tilted(trial))
    turned = tilted(structures).turned(trial.matrix(rotation), contract)
    for name, values in answers(tilted, rotation).minus(turned).values.items():
        if bool(torch.isfinite(scales[name]).any()):
            said = f"{name} plus {TILT:g} of its spread times the square of a coordinate"
            yield said, float((values / scales[name]).abs().max())


@dataclass(frozen=True)
class Wrong:
    """A wrong declaration.

    Attributes:
        said: what is declared.
        output: name of the output.
        columns: which ones of the flat output; one may come several times.
        turn: one that contradicts it.
        matrix: how the columns turn then, so it is declared.
    """

    said: str
    output: str
    columns: list[int]
    turn: Turn
    matrix: Float[Tensor, "dim dim"]


def wrong_declarations(contract: Contract) -> Iterator[Wrong]:
    """At least one for every part of every output.

    >>> [wrong.said for wrong in wrong_declarations(Contract({"dipole": "1o"}, group="SO(3)"))]
    ['1o of dipole as what does not turn']
    """
    axis = contract.axis if isinstance(contract.axis, tuple) else UPRIGHT
    turns = turns_of(contract.group or "SO(3)")
    turn, mirror = turns["generic"], turns.get("improper")
    rotation = turn.matrix(axis)
    for name, output in contract.outputs.items():
        scalars: dict[str, list[int]] = {}
        for block in output.representation.blocks:
            part = as_representation(block.label.partition("[")[0])
            columns = list(range(block.columns.start, block.columns.stop))
            if part.dim == 1:
                scalars.setdefault(str(part), []).extend(columns)
            elif part.lmax == 0:  # the antisymmetric tensor of rank 3, which no rotation changes
                said = f"the first index of {part} of {name} as all that turns"
                matrix = torch.kron(rotation, torch.eye(part.dim // 3).double())
                yield Wrong(said, name, columns, turn, matrix)
            else:
                said = f"{part} of {name} as what does not turn"
                yield Wrong(said, name, columns, turn, torch.eye(part.dim).double())
            if mirror is not None:
                said = f"{part} of {name} with the other parity"
                yield Wrong(said, name, columns, mirror, -part.matrices(mirror.matrix(axis)))
        for label, columns in scalars.items():
            said = f"three {label} of {name} as a vector"
            repeated = (3 * columns)[: max(3, len(columns))]
            for first in range(len(repeated) - 2):
                three = repeated[first : first + 3]
                yield Wrong(said, name, three, turn, rotation)


class Tilted:
    """A network with something added that does not turn with the cloud."""

    def __init__(self, trial: Trial) -> None:
        self.net, self.outputs = trial.subject.net, trial.contract.outputs
        self.scales, self.unit = trial.scales, trial.setting.unit
        axis = trial.contract.axis
        self.along = (
            frame_along(axis)[:, 1] if isinstance(axis, tuple) else frame_along(UPRIGHT)[:, 0]
        )

    def __call__(self, batch: Batch) -> Any:
        """z^2, of each point from the mean, or its mean over points, times the scale.

        Or the square of a coordinate across the axis of the contract.

        To a row of an edge, that of its first end.
        """
        size = batch.num_graphs
        count = torch.bincount(batch.batch, minlength=size).clamp(min=1)
        z = batch.pos @ self.along.to(batch.pos) / self.unit
        mean = z.new_zeros(size).index_add(0, batch.batch, z) / count
        each = (z - mean[batch.batch]).square()
        added = {
            "point": each,
            "structure": z.new_zeros(size).index_add(0, batch.batch, each) / count,
        }
        if "edge_index" in batch:
            added["edge"] = each[batch.edge_index[0]]
        values = {}
        for name, found in self.outputs.named(self.net(batch)).items():
            output = self.outputs[name]
            flat = output.representation.flatten(found)
            scale = torch.where(torch.isfinite(self.scales[name]), self.scales[name], 0.0)
            values[name] = flat + TILT * added[output.rows][:, None].to(flat) * scale.to(flat)
        return self.outputs.unnamed(values)
