"""A report as text: one line for each check, then each failure with the cloud as code to paste.

With ``rich`` the verdicts have colors; without, plain text.
"""

from __future__ import annotations

import math
from dataclasses import fields, replace
from textwrap import indent, wrap
from typing import TYPE_CHECKING, Any

from equivariance_tests.clouds import Cloud
from symmetrize import Contract

if TYPE_CHECKING:
    from equivariance_tests.report.report import Finding, Report

WIDTH = 100
ERROR, FLOOR, VERDICT = 7, 5, 7
# In the column of verdicts
SHORT = {"could not run": "no run"}
INDENTED: dict[str, Any] = {"initial_indent": "  ", "subsequent_indent": "  "}
COLORS = {
    "passed": "green",
    "certified": "bold green",
    "failed": "bold red",
    "refuted": "bold red",
    "no run": "bold red",
    "could not run": "bold red",
    "known": "yellow",
    "skipped": "dim",
}


def screen(report: Report) -> str:
    """The whole report, in lines of up to 100 columns where code does not need more."""
    if report.reason:
        return "\n\n".join([head(report), summary(report)])
    name = max([len("check"), *(len(one.check) for one in report.findings)])
    findings: list[Finding] = []
    told: set[str] = set()
    for one in report.findings:
        # a model that does not run at all is told so once
        repeated = one.verdict == "could not run" and one.reason in told
        findings.append(replace(one, reason="as above") if repeated else one)
        told.add(one.reason)
    rows = [line for one in findings for line in _row(one, name)]
    parts = [
        head(report),
        "\n".join([_line("check", "error", "floor", "verdict", "worst cloud", name), *rows]),
        *(_explained(one) for one in report.findings if one.verdict in ("failed", "known")),
        *(
            f"{one.check} could not run: {one.reason}"
            for one in report.findings
            if one.verdict == "could not run"
        ),
        summary(report),
    ]
    return "\n\n".join(part for part in parts if part)


def head(report: Report) -> str:
    """Which model, what it claims, and how it was asked."""
    setting = ", ".join(f"{key} {value}" for key, value in report.setting.items())
    said = [f"{report.model}: {claims(report.contract)}", setting]
    return "\n".join(line for text in said for line in wrap(text, WIDTH))


def summary(report: Report) -> str:
    """The verdict, and how many of the checks and clouds it rests on; or why there is none."""
    if report.reason:
        return "\n".join(wrap(f"{report.status}: {report.reason}", WIDTH, break_long_words=False))
    verdicts = [one.verdict for one in report.findings]
    counts = [
        f"{verdicts.count(verdict)} {verdict}"
        for verdict in ("passed", "failed", "known", "could not run", "skipped")
        if verdict in verdicts
    ]
    return (
        f"{report.status}: {', '.join(counts) or 'no checks'}; "
        f"{report.cases:,} clouds in {report.seconds:.1f} s"
    )


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
        f"{name} {output.representation}" + (" per point" if output.per_point else "")
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


# --- on the terminal


def show(report: Report) -> None:
    """Print the screen, in colors if ``rich`` is installed and the output is a terminal."""
    text = str(report)
    try:
        from rich.console import Console
        from rich.text import Text
    except ModuleNotFoundError:
        print(text)
        return
    colored = Text(text)
    for word, color in COLORS.items():
        colored.highlight_regex(rf"(?<=\s){word}(?=\s|$)|^{word}(?=:)", color)
    # code to paste is never wrapped
    Console(soft_wrap=True).print(colored, highlight=False)
