"""An error beside what explains it, and what was compared; for laws that say both themselves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from equivariance_tests.report.failures import Failure


@dataclass(frozen=True)
class Measured:
    """An error and what explains it, or why there is none.

    Attributes:
        error: in units of the spread.
        bound: what rounding and the numerical method explain.
        said: what is wrong if the error is larger.
        skipped: why nothing can be said, if so.
        details: further numbers by name.
        kind: of failure, if not the one of the law.
    """

    error: float = 0.0
    bound: float = 0.0
    said: str = ""
    skipped: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    kind: type[Failure] | None = None

    @property
    def excess(self) -> float:
        """How far the error is above its bound, as a factor."""
        if self.skipped:
            return -1.0
        return self.error / self.bound if self.error < math.inf else math.inf


def worst(several: Sequence[Measured]) -> Measured:
    """That which is the furthest above its bound; skipped only if all are."""
    return max(several, key=lambda one: one.excess)
