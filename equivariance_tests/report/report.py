"""What ``certify`` found: a finding for each check and a verdict, as text and as plain JSON."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from equivariance_tests.clouds import Cloud
from equivariance_tests.report.failures import Failure
from symmetrize import Contract

Verdict = Literal["passed", "failed", "skipped", "known", "could not run"]
Status = Literal["certified", "refuted", "could not run"]
# Whole numbers that a failure may have, among its details, beside the kind and the cloud
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


@dataclass(frozen=True)
class Report:
    """What all checks found.

    Attributes:
        model: name of its class, or its own.
        contract: that it was held to.
        findings: one for each check, in the order in which they ran.
        setting: dtype, device, profile and seed.
        reason: why no check ran, if the model could not be called at all.
    """

    model: str
    contract: Contract
    findings: Sequence[Finding]
    setting: Mapping[str, str | int] = field(default_factory=dict)
    reason: str = ""

    def __getitem__(self, check: str) -> Finding:
        for finding in self.findings:
            if finding.check == check:
                return finding
        if self.reason:
            raise KeyError(f"there is no finding of {check!r}: {self.reason}")
        names = ", ".join(finding.check for finding in self.findings)
        raise KeyError(f"there is no finding of {check!r}, but of: {names}")

    @property
    def status(self) -> Status:
        """Certified, refuted, or neither because no check had anything to say."""
        verdicts = {finding.verdict for finding in self.findings}
        if not verdicts & {"passed", "failed", "known"}:
            return "could not run"
        return "refuted" if verdicts & {"failed", "could not run"} else "certified"

    @property
    def passed(self) -> bool:
        """Whether every check that the contract claims ran and passed, known failures aside."""
        return self.status == "certified"

    @property
    def failures(self) -> list[Failure]:
        """The smallest counterexample of each check that failed, known ones aside."""
        return [
            one.failure
            for one in self.findings
            if one.failure is not None and one.verdict == "failed"
        ]

    @property
    def cases(self) -> int:
        """Number of clouds that were judged, over all checks."""
        return sum(finding.cases for finding in self.findings)

    @property
    def seconds(self) -> float:
        """Time of all checks."""
        return sum((finding.seconds for finding in self.findings), 0.0)

    def to_json(self, command: str = "certify") -> dict[str, Any]:
        """Everything in plain types, with versions, machine, date and command; no folders."""
        from symmetrize.provenance import provenance

        return plain(
            {
                "model": self.model,
                "contract": contract_to_json(self.contract),
                "setting": dict(self.setting),
                "status": self.status,
                "passed": self.passed,
                "reason": without_folders(self.reason),
                "cases": self.cases,
                "seconds": round(self.seconds, 3),
                "findings": [finding.to_json() for finding in self.findings],
                "provenance": provenance(without_folders(command)),
            }
        )

    def __str__(self) -> str:
        from equivariance_tests.report.text import screen

        return screen(self)


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
        "curve": curve_of(failure),
    }


def curve_of(failure: Failure) -> dict[str, Any] | None:
    """The values about a break, or the ranges as a cloud approaches a stratum, if there are any."""
    return getattr(failure, "curve", None) or failure.details.get("curve")


def contract_to_json(contract: Contract) -> dict[str, Any]:
    """What is claimed."""
    return {
        "outputs": {
            name: {"representation": str(output.representation), "per_point": output.per_point}
            for name, output in contract.outputs.items()
        },
        "inputs": {name: str(one) for name, one in contract.inputs.items()},
        **{
            name: getattr(contract, name)
            for name in (
                "group",
                "smoothness",
                "cutoff",
                "rounds",
                "envelope",
                "extensive",
                "periodic",
                "min_distance",
                "positions",
            )
        },
    }


def plain(value: Any) -> Any:
    """The same in what JSON has: numbers that are not finite by name, what is unknown as code.

    >>> plain({"a": (1, math.inf), "b": {2: None}})
    {'a': [1, 'inf'], 'b': {'2': None}}
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(one) for one in value]
    return plain(value.tolist()) if hasattr(value, "tolist") else repr(value)


def without_folders(text: str) -> str:
    """Absolute paths shortened to the name of the file: a report is about a model, not a machine.

    >>> without_folders("no file '" + "/home" + "/me/net.pt' at 1/2")
    "no file 'net.pt' at 1/2"
    """
    return re.sub(r"(?<![\w./])(?:[A-Za-z]:[\\/]|/)(?:[^\s/\\'\"]+[/\\])+", "", text)
