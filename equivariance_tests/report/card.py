"""A report for people who will use the model: one line, and a page for its model card."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from equivariance_tests.report.finding import Finding
from equivariance_tests.report.text import claims
from symmetrize import Contract
from symmetrize.provenance import provenance


def badge(status: str, contract: Contract, findings: Sequence[Finding]) -> str:
    """The verdict, what was claimed, and how many checks it rests on, in one line.

    >>> badge("certified", Contract("0e", group="SO(3)"), [])
    'certified: SO(3), smooth; 0 of 0 checks passed'
    """
    ran = [one for one in findings if one.verdict != "skipped"]
    passed = sum(one.verdict == "passed" for one in ran)
    claimed = claims(contract).partition(";")[0]
    return f"{status}: {claimed}; {passed} of {len(ran)} checks passed"


def markdown(
    model: str,
    contract: Contract,
    setting: Mapping[str, Any],
    findings: Sequence[Finding],
    status: str,
    command: str,
) -> str:
    """A section for a model card: verdict, claims, a table of checks, failures, and how to repeat.

    Args:
        model: its name.
        contract: what it was held to.
        setting: dtype, device, profile and seed.
        findings: of all checks.
        status: the verdict.
        command: with which it was found.
    """
    about = provenance(command)
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    asked = ", ".join(f"{key} {value}" for key, value in setting.items())
    lines = [
        f"## Symmetry of {model}",
        "",
        f"**{badge(status, contract, findings)}**",
        "",
        f"Claims: {claims(contract)}. Held to them on {sum(one.cases for one in findings):,} "
        f"clouds, {asked}.",
        "",
        "| check | verdict | worst error | explained by rounding |",
        "| --- | --- | --- | --- |",
    ]
    for one in findings:
        if one.verdict != "skipped":
            numbers = (
                [_number(one.error), _number(one.bound)] if one.cloud is not None else ["", ""]
            )
            lines.append(f"| {one.check} | {one.verdict} | {' | '.join(numbers)} |")
    skipped = [one.check for one in findings if one.verdict == "skipped"]
    if skipped:
        lines += ["", f"Not claimed, or nothing to say: {', '.join(skipped)}."]
    for one in findings:
        if one.failure is not None:
            lines += ["", f"**{one.check}**: {one.failure.kind}: {one.failure.said}"]
            lines += ["", "```python", one.failure.code, "```"]
    lines += ["", f"{about['date']}; {versions}. Again: `{command}`"]
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.0e}" if value else "0"
