"""What a known-bad model is: how it is made, what it wrongly claims, and which checks it fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from equivariance_tests.model.subject import Subject
from symmetrize import Contract


@dataclass(frozen=True)
class Mutant:
    """A model with one fault.

    Attributes:
        make: the model, new each time; its weights are the same each time.
        contract: what it wrongly claims.
        fails: names of the checks that must fail: all that can see the fault.
        may: names of checks that may fail as well, depending on what else is computed; all others
            must not.
        options: how it is called, as in ``Subject``.
    """

    make: Callable[[], Any]
    contract: Contract
    fails: frozenset[str]
    may: frozenset[str] = frozenset()
    options: Mapping[str, Any] = field(default_factory=dict)

    def subject(self, **options: Any) -> Subject:
        """The model and its claims, to be checked."""
        return Subject(self.make(), self.contract, **{**self.options, **options})
