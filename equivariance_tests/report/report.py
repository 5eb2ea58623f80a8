"""What ``certify`` found: a finding for each check and a verdict, as text and as plain JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from equivariance_tests.report.card import badge, markdown
from equivariance_tests.report.failures import Failure
from equivariance_tests.report.finding import Finding
from equivariance_tests.report.plain import plain, without_folders
from equivariance_tests.report.text import counted, described, heading, refused
from symmetrize import Contract
from symmetrize.provenance import provenance

Status = Literal["certified", "refuted", "could not run"]


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
        return plain(
            {
                "model": self.model,
                "contract": self.contract.plain(),
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

    @property
    def summary(self) -> str:
        """The verdict, and how many of the checks and clouds it rests on; or why there is none."""
        if self.reason:
            return refused(self.status, self.reason)
        return counted(self.status, self.findings)

    @property
    def badge(self) -> str:
        """The verdict, the claims, and how many checks passed, in one line."""
        return badge(self.status, self.contract, self.findings)

    def to_markdown(self, command: str = "certify") -> str:
        """A section for a model card."""
        told = (self.model, self.contract, self.setting, self.findings, self.status)
        card = markdown(*told, without_folders(command))
        return (
            f"{card}\nNo check could run: {without_folders(self.reason)}\n" if self.reason else card
        )

    def __str__(self) -> str:
        """The whole report, in lines of up to 100 columns where code does not need more."""
        table = [] if self.reason else described(self.findings)
        head = heading(self.model, self.contract, self.setting)
        return "\n\n".join([head, *table, self.summary])
