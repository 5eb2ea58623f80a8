"""What is symmetrized is the average of the network over copies that are turned one by one.

    F(A) = sum_p w_p rho(R_p) f(A R_p)

with copies that the wrapper makes all at once on the left, and each by itself, by way of
torch-geometric's own collation, on the right. If an attribute of a copy belongs to another one the
answer may still turn as it should, so that no other check sees it.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from equivariance_tests.checks.base import DECORATED, GENERIC_ORIENTATION, Law
from equivariance_tests.clouds import Cloud, Structure
from equivariance_tests.measure.worst import Errors, Worst
from equivariance_tests.model.subject import Answers, Subject
from equivariance_tests.report.failures import NotFaithful
from symmetrize import Contract, Symmetrizer

# With one frame and with many, without points and with a few
STRATA = ("generic", "plane", "pair", "empty")
# Copies are made one by one: of a structure with more of them, the wrapper is taken to be right
MOST = 40


class FaithfulCopies(Law):
    """Of a ``Symmetrizer`` with scope "structure": copies are what they are copies of."""

    name = "copies"
    law = "F(A) = sum_p w_p rho(R_p) f(A R_p), each copy made by itself"
    failure = NotFaithful

    def cases(self, contract: Contract) -> list[Cloud]:
        """Some strata, as what a copy carries does not depend on how its points lie."""
        return [Cloud(stratum, 5, 1, GENERIC_ORIENTATION) for stratum in STRATA] + DECORATED

    def silent(self, subject: Subject) -> str | None:
        """Only what makes copies."""
        net = subject.net
        if not isinstance(net, Symmetrizer) or net.scope != "structure":
            return "only a Symmetrizer of whole structures makes copies of them"
        return None

    def errors(self, subject: Subject, structures: Sequence[Structure]) -> Errors:
        """One call of the wrapper for all structures, one of the network for each copy."""
        whole = subject(structures)
        found = [_by_hand(subject, one) for one in structures]
        # what is no average over rotations is taken to be right
        known = [whole.taken([i]) if one is None else one for i, one in enumerate(found)]
        worst = Worst(subject, len(structures))
        change = whole.minus(_stacked(known))
        worst.add(change, "from the average over copies that are made one by one")
        return worst.found


def _by_hand(subject: Subject, structure: Structure) -> Answers | None:
    """The average of one structure; None if a member has no rotation, or there are many."""
    wrapper = subject.net
    assert isinstance(wrapper, Symmetrizer), "asked of nothing else"
    outputs = subject.contract.outputs
    with torch.no_grad():
        batch = subject.batch([structure])
        ensemble = wrapper.ensemble(batch)
        if len(ensemble) > MOST or bool((ensemble.isotropic | ensemble.auxiliary).any()):
            return None
        points = structure.all_positions
        middle = points.mean(0) if len(points) else torch.zeros(3, dtype=torch.float64)
        total: dict[str, Float[Tensor, "rows dim"]] = {}
        for rotation, weight in zip(ensemble.rotations, ensemble.weights, strict=True):
            matrix = rotation.to("cpu", torch.float64)
            # row vectors of a copy are v R
            copied = subject.batch([structure.moved(-middle).turned(matrix.T, subject.contract)])
            if wrapper.prepare is not None:
                copied = wrapper.prepare(copied)
            for name, values in outputs.named(wrapper.net(copied)).items():
                representation = outputs[name].representation
                rows = representation.symmetrize_indices(values.to("cpu", torch.float64))
                turned = representation.rotate(rows, matrix.expand(len(rows), 3, 3))
                flat = representation.flatten(turned).reshape(len(rows), representation.dim)
                total[name] = total.get(name, torch.zeros_like(flat)) + float(weight) * flat
    owner = {name: torch.zeros(len(rows), dtype=torch.long) for name, rows in total.items()}
    return Answers(total, owner, 1)


def _stacked(parts: Sequence[Answers]) -> Answers:
    """The answers to one structure each, as those to all."""
    names = parts[0].values
    values = {name: torch.cat([one.values[name] for one in parts]) for name in names}
    owner = {
        name: torch.cat([one.owner[name] + place for place, one in enumerate(parts)])
        for name in names
    }
    return Answers(values, owner, len(parts))
