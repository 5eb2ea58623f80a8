"""F(A and B) = F(A) + F(B) for two fragments out of sight of each other.

Outputs of structures add up, outputs of points are those of either fragment. Both are evaluated
where they lie in the whole, so that translation is not tested again.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from equivariance_tests.checks.locality import BEYOND, FiniteLaw, beside
from equivariance_tests.clouds import Cloud, Structure
from equivariance_tests.measure.worst import Errors, Worst
from equivariance_tests.model.subject import Answers, Subject
from equivariance_tests.report.failures import NotExtensive
from symmetrize import Contract

# What is put beside a cloud, and what it is called; a cloud beside nothing is the cloud itself
FRAGMENTS = {
    "four other points": Cloud("generic", 4, 5),
    "a single point": Cloud("atom"),
    "an empty structure": Cloud("empty"),
}
# Just beyond reach, where what is left of an interaction is largest
PLACE = (0, 1.0, BEYOND)


class Extensivity(FiniteLaw):
    """Outputs of structures are sums over fragments that do not see each other."""

    name = "size extensivity"
    law = "F(A and B) = F(A) + F(B) for fragments out of sight of each other"
    failure = NotExtensive

    def silent(self, subject: Subject) -> str | None:
        """Only what claims additivity, and has a distance beyond which nothing is seen."""
        if not subject.contract.extensive:
            return "additivity is not claimed"
        if subject.contract.receptive_field is None:
            return "without a cutoff fragments always see each other"
        if not any(subject.answered(list(FRAGMENTS.values()))):
            return "the model has no answer for the other fragment"
        return None

    def errors(self, subject: Subject, structures: Sequence[Structure]) -> Errors:
        """Largest over all fragments; two calls of the model for each, and one."""
        here = subject(structures)
        worst = Worst(subject, len(structures))
        for name, cloud in FRAGMENTS.items():
            if not all(subject.answered([cloud])):
                continue
            others = _beside(subject, structures, cloud)
            both = [one.joined(other) for one, other in zip(structures, others, strict=True)]
            change = subject(both).minus(_sum(here, subject(others), subject.contract))
            done = f"from the sum of its fragments, beside {name} out of its sight"
            worst.add(change, done, [{"pos of both": one.positions.tolist()} for one in both])
        return worst.found

    def bounds(self, subject: Subject, structures: Sequence[Structure]) -> Tensor:
        """What rounding explains in the whole."""
        return super().bounds(subject, self.roughest(subject, structures))

    def roughest(self, subject: Subject, structures: Sequence[Structure]) -> list[Structure]:
        """Both fragments."""
        others = _beside(subject, structures, next(iter(FRAGMENTS.values())))
        return [one.joined(other) for one, other in zip(structures, others, strict=True)]


def _beside(subject: Subject, structures: Sequence[Structure], cloud: Cloud) -> list[Structure]:
    """The fragment beside each structure, with what belongs to that structure as a whole."""
    (fragment,) = subject.structures([cloud])
    moved = []
    for one in structures:
        whole = {name: one.inputs[name] for name in one.of_structures}
        other = replace(fragment, inputs={**fragment.inputs, **whole})
        moved.append(beside(subject, one, other, PLACE))
    return moved


def _sum(one: Answers, other: Answers, contract: Contract) -> Answers:
    """What two fragments of each structure amount to."""
    values, owners = {}, {}
    for name, output in contract.outputs.items():
        if output.per_point:
            owner = torch.cat([one.owner[name], other.owner[name]])
            order = owner.argsort(stable=True)
            values[name] = torch.cat([one.values[name], other.values[name]])[order]
            owners[name] = owner[order]
        else:
            values[name] = one.values[name] + other.values[name]
            owners[name] = one.owner[name]
    return Answers(values, owners, one.size)
