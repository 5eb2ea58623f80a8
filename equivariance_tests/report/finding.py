"""What one check found: a verdict, the worst error, and the smallest counterexample."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from equivariance_tests.clouds import Cloud
from equivariance_tests.report.failures import Failure
from equivariance_tests.report.plain import plain, without_folders

Verdict = Literal["passed", "failed", "skipped", "known", "could not run"]
# What a break has, among its details, that stands in a report beside the kind and the cloud
OF_A_BREAK = ("place", "size", "order")


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        check: its name.
        law: what was checked, in one line.
        verdict: "passed", "failed", "skipped" if it cannot say anything, "known" if it failed as
            expected, or "could not run" if it raised something that is not about the model.
        error: the worst, or that of the failure, in the unit of the check.
        bound: what rounding explains of it.
        cases: number of clouds that were judged.
        cloud: on which the error was found.
        failure: the smallest counterexample.
        reason: why it was skipped, is known to fail, or could not run.
        seconds: that it took.
    """

    check: str
    law: str
    verdict: Verdict
    error: float = math.nan
    bound: float = math.nan
    cases: int = 0
    cloud: Cloud | None = None
    failure: Failure | None = None
    reason: str = ""
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain types."""
        return plain(
            {
                "check": self.check,
                "law": self.law,
                "verdict": self.verdict,
                "error": self.error,
                "bound": self.bound,
                "cases": self.cases,
                "cloud": None if self.cloud is None else repr(self.cloud),
                "failure": None if self.failure is None else failure_to_json(self.failure),
                "reason": without_folders(self.reason),
                "seconds": round(self.seconds, 3),
            }
        )


def failure_to_json(failure: Failure) -> dict[str, Any]:
    """What is wrong, on which cloud, where on a path, how large, of which order."""
    details = dict(failure.details)
    return {
        "kind": failure.kind,
        "said": failure.said,
        "cloud": None if failure.cloud is None else repr(failure.cloud),
        "code": failure.code,
        "error": failure.error,
        "bound": failure.bound,
        **{name: details.pop(name, None) for name in OF_A_BREAK},
        "details": details,
        "curve": failure.curve,
    }
