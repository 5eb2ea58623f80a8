"""F(x) = rho(g) P_g F(x) for every g that maps the cloud x to itself, P_g its permutation.

One evaluation, of one cloud: nothing is turned. A model that picks one of several equivalent axes
may turn it along with the cloud, and so pass where only turned clouds are compared, but its output
is less symmetric than the cloud.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from equivariance_tests.checks.law import Law
from equivariance_tests.clouds import Cloud, Structure
from equivariance_tests.clouds.clusters import CLUSTERS
from equivariance_tests.clouds.point_group import point_group, symmetrized
from equivariance_tests.clouds.solids import SOLIDS
from equivariance_tests.clouds.turns import GENERIC_ORIENTATION, turns_of
from equivariance_tests.measure.rounding import EXACT
from equivariance_tests.measure.trial import Trial
from equivariance_tests.measure.worst import Errors, Note, place_of
from equivariance_tests.model.answers import Answers
from equivariance_tests.report.failures import Failure
from symmetrize import Contract
from symmetrize.groups import UPRIGHT, contains

SYMMETRIC = (
    *("atom", "empty", "pair", "coincident", "line", "plane", "pyramid"),
    *("pyramid of equal inertia", "polygon", "polygon and center", "prism"),
    *("ring of 12", "pair whose rounding lies along it", "left helix", "right helix"),
    *("pyramid off by 1e-8", "pyramid off by 1e-4", "last neighbor at the cutoff"),
    *SOLIDS,
    *CLUSTERS,
)
# Polygons and prisms of these numbers of corners; the rest have numbers of their own
CORNERS = (3, 4, 5, 6)
# Last digits of the largest coordinate by which a symmetry may be missed; rounding explains more
MISFIT = 8
# Where that is above this part of the extent, a cloud has the symmetries of others
HIDDEN = 1e-5


class NotStabilized(Failure):
    """The output of a symmetric cloud lacks the symmetry of the cloud."""

    kind = "less symmetric than the cloud"


class Stabilizer(Law):
    """The point group of a symmetric cloud fixes the output."""

    name = "stabilizer"
    law = "F(x) = rho(g) F(x) for every g that maps x to itself"
    failure = NotStabilized
    part = 4

    def reason_to_skip(self, trial: Trial) -> str:
        """What claims no group claims no symmetry."""
        return "" if trial.contract.group else "no group is claimed"

    def cases(self, contract: Contract) -> list[Cloud]:
        """Symmetric strata, in a generic orientation and in the one of their coordinates."""
        numbers = dict.fromkeys(("polygon", "polygon and center", "prism"), CORNERS)
        named = [(name, n) for name in SYMMETRIC for n in numbers.get(name, (5,))]
        turned = [Cloud(name, n, 1, GENERIC_ORIENTATION) for name, n in named]
        return turned + [Cloud(name, n, 1) for name, n in named]

    def unfit(self, trial: Trial, cloud: Cloud) -> str:
        """What has no symmetry, or one that is not known."""
        return _unfit(trial, trial.structures([cloud])[0])

    def errors(self, trial: Trial, structures: Sequence[Structure]) -> Errors:
        """Largest over all elements; one call of the model in all."""
        # in double precision a cloud that was rounded to single has hardly a symmetry left
        exact = [symmetrized(one, _misfit(one)) for one in structures]
        answers = trial([one.rounded(trial.dtype) for one in exact])
        worst, notes = torch.zeros(len(structures), dtype=torch.float64), []
        for i, structure in enumerate(exact):
            matrices, permutations = symmetries(trial, structure)
            answer = answers.of(i)
            changes = _changes(trial, answer, matrices, permutations)
            scales = trial.scales
            errors = _largest(changes, scales, len(matrices))
            element = int(errors.argmax())
            worst[i] = errors[element]
            place = None
            if float(worst[i]) > EXACT[trial.dtype]:
                change = {name: values[element] for name, values in changes.items()}
                place = place_of(replace(answer, values=change), scales, trial.contract)
            said = f"under one of the {len(matrices)} symmetries of the cloud that were tried"
            notes.append(Note(f"{said}, {matrices[element].tolist()}", place))
        return worst, notes


def symmetries(
    trial: Trial, structure: Structure
) -> tuple[Float[Tensor, "elements 3 3"], Int[Tensor, "elements points"]]:
    """The elements of the point group that the contract speaks of."""
    contract = trial.contract
    assert contract.group is not None, "the law is skipped where none is claimed"
    turns = torch.stack([trial.matrix(turn) for turn in turns_of(contract.group).values()])
    matrices, permutations = point_group(structure, _misfit(structure), turns)
    axis = contract.axis if isinstance(contract.axis, tuple) else UPRIGHT
    inside = contains(contract.group, matrices, axis)
    return matrices[inside], permutations[inside]


def _unfit(trial: Trial, structure: Structure) -> str:
    """Why the law says nothing about a structure; empty if it does."""
    if structure.pbc is not None and bool(structure.pbc.any()):
        return "periodic"
    if any(bool(values.any()) for values in structure.inputs.values()):
        return "its inputs are not symmetric"
    if _misfit(structure) > HIDDEN:
        return "rounding hides whether it is symmetric"
    return "" if len(symmetries(trial, structure)[0]) > 1 else "it has no symmetry"


def _misfit(structure: Structure) -> float:
    """How far a structure may miss a symmetry, relative to its extent, by what numbers it has."""
    single = bool((structure.rounded(torch.float32).positions == structure.positions).all())
    eps = torch.finfo(torch.float32 if single else torch.float64).eps
    return MISFIT * eps * max(1.0, structure.largest / structure.extent)


def _changes(
    trial: Trial,
    answer: Answers,
    matrices: Float[Tensor, "elements 3 3"],
    permutations: Int[Tensor, "elements points"],
) -> dict[str, Float[Tensor, "elements _ _"]]:
    """How much each element changes each output of one structure."""
    found = {}
    for name, output in trial.contract.outputs.items():
        values, rows = answer.values[name], answer.rows[name].becoming(permutations)
        turned = torch.einsum("gij,rj->gri", output.representation.matrices(matrices), values)
        # the row of a point, turned, is that of the point which it becomes
        there = values[rows.clamp(min=0)]
        found[name] = torch.where((rows < 0)[:, :, None], 0.0, turned - there)
    return found


def _largest(
    changes: Mapping[str, Float[Tensor, "elements _ _"]],
    scales: Mapping[str, Float[Tensor, "_"]],
    elements: int,
) -> Float[Tensor, "elements"]:
    """The largest change by each element, in units of the spread; infinite for NaN."""
    worst = torch.zeros(elements, dtype=torch.float64)
    for name, change in changes.items():
        if change.numel():
            shares = (change.abs() / scales[name]).amax((1, 2))
            worst = torch.maximum(worst, shares.nan_to_num(nan=torch.inf))
    return worst
