"""A report as text: one line for each check, then each failure with the cloud as code to paste.

In lines of up to 100 columns where code does not need more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from textwrap import indent, wrap
from typing import Any

from equivariance_tests.clouds import Cloud
from equivariance_tests.report.finding import Finding
from symmetrize import Contract

WIDTH = 100
ERROR, FLOOR, VERDICT = 7, 5, 7
# In the column of verdicts
SHORT = {"could not run": "no run"}
INDENTED: dict[str, Any] = {"initial_indent": "  ", "subsequent_indent": "  "}


def heading(model: str, contract: Contract, setting: Mapping[str, Any]) -> str:
    """Which model, what it claims, and how it was asked."""
    asked = ", ".join(f"{key} {value}" for key, value in setting.items())
    said = [f"{model}: {claims(contract)}", asked]
    return "\n".join(line for text in said for line in wrap(text, WIDTH))


def described(findings: Sequence[Finding]) -> list[str]:
    """A table of all findings, then each that failed or could not run."""
    name = max([len("check"), *(len(one.check) for one in findings)])
    rows = [_line("check", "error", "floor", "verdict", "worst cloud", name)]
    told: set[str] = set()
    for one in findings:
        # a model that does not run at all is told so once
        repeated = one.verdict == "could not run" and one.reason in told
        rows += _row(replace(one, reason="as above") if repeated else one, name)
        told.add(one.reason)
    return [
        "\n".join(rows),
        *(_explained(one) for one in findings if one.verdict in ("failed", "known")),
        *(
            f"{one.check} could not run: {one.reason}"
            for one in findings
            if one.verdict == "could not run"
        ),
    ]


def refused(status: str, reason: str) -> str:
    """The verdict on a model of which nothing was found."""
    return "\n".join(wrap(f"{status}: {reason}", WIDTH, break_long_words=False))


def counted(status: str, findings: Sequence[Finding]) -> str:
    """The verdict, and how many of the checks and clouds it rests on."""
    verdicts = [one.verdict for one in findings]
    counts = [
        f"{verdicts.count(verdict)} {verdict}"
        for verdict in ("passed", "failed", "known", "could not run", "skipped")
        if verdict in verdicts
    ]
    cases, seconds = sum(one.cases for one in findings), sum(one.seconds for one in findings)
    return f"{status}: {', '.join(counts) or 'no checks'}; {cases:,} clouds in {seconds:.1f} s"


def claims(contract: Contract) -> str:
    """What is claimed, in one line.

    >>> claims(Contract({"energy": "0e"}, smoothness=2, cutoff=5.0))
    'O(3), 2 continuous derivatives, cutoff 5; energy 0e'
    """
    smoothness = {
        None: "no claim of smoothness",
        0: "continuous",
        1: "1 continuous derivative",
        math.inf: "smooth",
    }.get(contract.smoothness, f"{contract.smoothness} continuous derivatives")
    said = [contract.group or "no group", smoothness]
    if contract.cutoff is not None:
        said.append(f"cutoff {contract.cutoff:g}")
    if contract.min_distance is not None:
        said.append(f"points {contract.min_distance:g} apart")
    if contract.rounds > 1:
        said.append(f"{contract.rounds} rounds")
    said += [name for name in ("extensive", "periodic") if getattr(contract, name)]
    outputs = [
        f"{name} {output.representation}"
        + ("" if output.rows == "structure" else f" per {output.rows}")
        for name, output in contract.outputs.items()
    ]
    return ", ".join(said) + "; " + ", ".join(outputs)


def brief(cloud: Cloud) -> str:
    """A cloud as code, with as few characters as possible.

    >>> brief(Cloud("line", 5, 1, (3, -1, 2, 5)))
    "Cloud('line', 5, 1, (3, -1, 2, 5))"
    >>> brief(Cloud("atom", decorated=True))
    "Cloud('atom', decorated=True)"
    """
    values = [getattr(cloud, one.name) for one in fields(Cloud)]
    last = max((k for k, one in enumerate(fields(Cloud)) if values[k] != one.default), default=0)
    by_place = f"Cloud({', '.join(map(repr, values[: last + 1]))})"
    return min(by_place, repr(cloud), key=len)


def _row(finding: Finding, name: int) -> list[str]:
    """A line, or two if the cloud is long."""
    judged = finding.cloud is not None
    error, bound = (_number(finding.error, 1), _number(finding.bound, 0)) if judged else ("", "")
    verdict = SHORT.get(finding.verdict, finding.verdict)
    last = finding.reason
    if finding.cloud is not None:
        # where nothing is wrong at all no cloud is the worst
        last = brief(finding.cloud) if finding.error != 0 else ""
    line = _line(finding.check, error, bound, verdict, last, name)
    if len(line) <= WIDTH:
        return [line]
    bare = _line(finding.check, error, bound, verdict, "", name)
    if judged:  # code is not broken
        return [bare, " " * (name + 2) + last]
    return [line[: WIDTH - 1] + "…"]


def _line(check: str, error: str, bound: str, verdict: str, last: str, name: int) -> str:
    columns = f"{check:<{name}}  {error:>{ERROR}}  {bound:>{FLOOR}}  {verdict:<{VERDICT}}"
    return f"{columns}  {last}".rstrip()


def _number(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}e}" if value else "0"


def _explained(finding: Finding) -> str:
    """What is wrong, in a sentence, where, and the cloud as code."""
    failure = finding.failure
    law = f"{finding.check}: {finding.law}"
    if failure is None:
        return "\n".join([law, *wrap(finding.reason, WIDTH - 2, **INDENTED)])
    known = f" (known: {finding.reason})" if finding.verdict == "known" else ""
    lines = wrap(f"{failure.kind}{known}: {failure.said}", WIDTH, **INDENTED)
    lines += [f"  {name}: {_short(value)}" for name, value in failure.details.items()]
    if failure.cloud is not None:
        lines.append(f"  {failure.cloud!r}")
    return "\n".join([law, *lines, indent(failure.code, "  ")])


def _short(value: Any) -> str:
    return f"{value:.9g}" if isinstance(value, float) else str(value)
