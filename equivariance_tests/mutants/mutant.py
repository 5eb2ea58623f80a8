"""What a known-bad model is: how it is made, what it wrongly claims, and which checks it fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from equivariance_tests.measure.trial import Trial
from symmetrize import Contract


@dataclass(frozen=True)
class Mutant:
    """A model with one fault.

    Attributes:
        make: the model, new each time; its weights are the same each time.
        contract: what it wrongly claims.
        fails: names of the checks that must fail: all that can see the fault. Those that came
            later may say so in ``ALSO`` of the file of their own mutant.
        may: names of checks that may fail as well, depending on what else is computed; all others
            must not.
        options: how it is called, as in ``Subject.of``.
    """

    make: Callable[[], Any]
    contract: Contract
    fails: frozenset[str]
    may: frozenset[str] = frozenset()
    options: Mapping[str, Any] = field(default_factory=dict)

    def trial(self, **options: Any) -> Trial:
        """The model and its claims, to be checked."""
        return Trial.of(self.make(), self.contract, **{**self.options, **options})
