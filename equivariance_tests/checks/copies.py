"""What is symmetrized is the average of the network over copies that are turned one by one.

    F(A) = sum_p w_p rho(R_p) f(A R_p)

with copies that the wrapper makes all at once on the left, and each by itself, by way of
torch-geometric's own collation, on the right. If an attribute of a copy belongs to another one the
answer may still turn as it should, so that no other check sees it.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from equivariance_tests.checks.law import Law
from equivariance_tests.clouds import Cloud, Structure
from equivariance_tests.clouds.cases import DECORATED
from equivariance_tests.clouds.turns import GENERIC_ORIENTATION
from equivariance_tests.measure.trial import Trial
from equivariance_tests.measure.worst import Errors, Worst
from equivariance_tests.model.answers import joined
from equivariance_tests.report.failures import Failure
from symmetrize import Contract, Symmetrizer

# With one frame and with many, without points and with a few
STRATA = ("generic", "plane", "pair", "empty")
# Copies are made one by one: of a structure with more of them, the wrapper is taken to be right
MOST = 40


class NotFaithful(Failure):
    """Copies of a structure differ from it by more than a rotation."""

    kind = "copies are not faithful"


class FaithfulCopies(Law):
    """Of a ``Symmetrizer`` with scope "structure": copies are what they are copies of."""

    name = "copies"
    law = "F(A) = sum_p w_p rho(R_p) f(A R_p), each copy made by itself"
    failure = NotFaithful

    def cases(self, contract: Contract) -> list[Cloud]:
        """Some strata, as what a copy carries does not depend on how its points lie."""
        return [Cloud(stratum, 5, 1, GENERIC_ORIENTATION) for stratum in STRATA] + DECORATED

    def reason_to_skip(self, trial: Trial) -> str:
        """Only a ``Symmetrizer`` of whole structures makes copies."""
        net = trial.subject.net
        if not isinstance(net, Symmetrizer) or net.scope != "structure":
            return "only a Symmetrizer of whole structures makes copies of them"
        return ""

    def errors(self, trial: Trial, structures: Sequence[Structure]) -> Errors:
        """One call of the wrapper for all structures, one of the network for each copy."""
        whole = trial(structures)
        found = [_by_hand(trial, one) for one in structures]
        # what is no average over rotations is taken to be right
        known = [
            whole.of(i) if values is None else replace(whole.of(i), values=values)
            for i, values in enumerate(found)
        ]
        worst = Worst(trial, len(structures))
        change = whole.minus(joined(known, trial.contract))
        worst.add(change, "from the average over copies that are made one by one")
        return worst.found


def _by_hand(trial: Trial, structure: Structure) -> dict[str, Float[Tensor, "rows dim"]] | None:
    """The average of one structure; None if a member has no rotation, or there are many."""
    wrapper = trial.subject.net
    assert isinstance(wrapper, Symmetrizer), "asked of nothing else"
    outputs = trial.contract.outputs
    with torch.no_grad():
        batch = trial.subject.batch([structure])
        ensemble = wrapper.ensemble(batch)
        if len(ensemble) > MOST or bool((ensemble.isotropic | ensemble.auxiliary).any()):
            return None
        points = structure.all_positions
        middle = points.mean(0) if len(points) else torch.zeros(3, dtype=torch.float64)
        middle = structure.free(middle, trial.contract)
        total: dict[str, Float[Tensor, "rows dim"]] = {}
        for rotation, weight in zip(ensemble.rotations, ensemble.weights, strict=True):
            matrix = rotation.to("cpu", torch.float64)
            # row vectors of a copy are v R
            copied = trial.subject.batch(
                [structure.moved(-middle).turned(matrix.T, trial.contract)]
            )
            copied = trial.subject.prepared(copied)
            if wrapper.prepare is not None:
                copied = wrapper.prepare(copied)
            for name, values in outputs.named(wrapper.net(copied)).items():
                representation = outputs[name].representation
                rows = representation.symmetrize_indices(values.to("cpu", torch.float64))
                turned = representation.rotate(rows, matrix.expand(len(rows), 3, 3))
                flat = representation.flatten(turned).reshape(len(rows), representation.dim)
                total[name] = total.get(name, torch.zeros_like(flat)) + float(weight) * flat
    return total
