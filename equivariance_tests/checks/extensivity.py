"""F(A and B) = F(A) + F(B) for two fragments out of sight of each other.

Outputs of structures add up, those of points and edges are those of either fragment. Both are
evaluated where they lie in the whole, so that translation is not tested again.
"""

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from equivariance_tests.checks.law import FiniteLaw
from equivariance_tests.clouds import Cloud, Structure
from equivariance_tests.measure.out_of_sight import BEYOND_REACH, beside
from equivariance_tests.measure.trial import Trial
from equivariance_tests.measure.worst import Errors, Worst
from equivariance_tests.report.failures import Failure

# What is put beside a cloud, and what it is called; a cloud beside nothing is the cloud itself
FRAGMENTS = {
    "four other points": Cloud("generic", 4, 5),
    "a single point": Cloud("atom"),
    "an empty structure": Cloud("empty"),
}
# Just beyond reach, where what is left of an interaction is largest
PLACE = (0, 1.0, BEYOND_REACH)


class NotExtensive(Failure):
    """Two fragments out of sight of each other are not the sum of both."""

    kind = "not extensive"


class Extensivity(FiniteLaw):
    """Outputs of structures are sums over fragments that do not see each other."""

    name = "size extensivity"
    claim = "extensive"
    law = "F(A and B) = F(A) + F(B) for fragments out of sight of each other"
    failure = NotExtensive

    def reason_to_skip(self, trial: Trial) -> str:
        """Additivity is not claimed, or nothing is out of sight, or has an answer."""
        if not trial.contract.extensive:
            return "additivity is not claimed"
        if trial.contract.receptive_field is None:
            return "without a cutoff fragments always see each other"
        if not any(trial.answered(list(FRAGMENTS.values()))):
            return "the model has no answer for the other fragment"
        return ""

    def errors(self, trial: Trial, structures: Sequence[Structure]) -> Errors:
        """Largest over all fragments; two calls of the model for each, and one."""
        here = trial(structures)
        worst = Worst(trial, len(structures))
        for name, cloud in FRAGMENTS.items():
            if not all(trial.answered([cloud])):
                continue
            others = _beside(trial, structures, cloud)
            both = [one.joined(other) for one, other in zip(structures, others, strict=True)]
            change = trial(both).minus(here.beside(trial(others), [len(one) for one in structures]))
            done = f"from the sum of its fragments, beside {name} out of its sight"
            worst.add(change, done, [{"pos of both": one.positions.tolist()} for one in both])
        return worst.found

    def bounds(self, trial: Trial, structures: Sequence[Structure]) -> Tensor:
        """What rounding explains in the whole."""
        return super().bounds(trial, self.roughest(trial, structures))

    def roughest(self, trial: Trial, structures: Sequence[Structure]) -> list[Structure]:
        """Both fragments."""
        others = _beside(trial, structures, next(iter(FRAGMENTS.values())))
        return [one.joined(other) for one, other in zip(structures, others, strict=True)]


def _beside(trial: Trial, structures: Sequence[Structure], cloud: Cloud) -> list[Structure]:
    """The fragment beside each structure, with what belongs to that structure as a whole."""
    (fragment,) = trial.structures([cloud])
    moved = []
    for one in structures:
        whole = {name: one.inputs[name] for name in one.of_structures}
        other = replace(fragment, inputs={**fragment.inputs, **whole})
        moved.append(beside(trial, one, other, PLACE))
    return moved
