"""A report as a figure: errors against their floors, and what failures look like.

On the left one bar for each check, from far below rounding up to its error, and a tick where
rounding ends. On the right the values about a break, or how far apart a function is over directions
as a cloud comes close to a degenerate one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

from equivariance_tests.report.finding import Finding
from equivariance_tests.report.report import Report
from symmetrize.extras import needed_for

COLORS = {"passed": "#1b5e8c", "failed": "#c8442c", "known": "#d9a441", "could not run": "#c8442c"}
MUTED, GRID, FLOOR = "#8a9097", "#e8eaed", "#3c4043"
# Where bars begin, and where what is infinite ends
SMALLEST, LARGEST = 1e-17, 1e3
MOST_CURVES = 3
# From this order on a break does not show beside the slope; letters in a line of text
CURVATURE, LABEL, TITLE = 2, 34, 66
ROW, PANEL = 0.32, 2.5
WIDE, NARROW = 12.5, 7.5


def draw(report: Report, path: Path) -> None:
    """Write the figure, in the format of the suffix of the path.

    Raises:
        ImportError: if matplotlib is not installed.
    """
    with needed_for("the figure of a report", "certify"):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    curves = [
        (finding, curve)
        for finding in report.findings
        if finding.failure is not None and (curve := finding.failure.curve) is not None
    ][:MOST_CURVES]
    height = max(ROW * len(report.findings) + 1.4, PANEL * len(curves) + 0.6, 3.0)
    figure = Figure(figsize=(WIDE if curves else NARROW, height), layout="constrained")
    # no global state: whoever draws figures of their own is left alone
    FigureCanvasAgg(figure)
    left: Any = figure
    if curves:
        halves: Any = figure.subfigures(1, 2, width_ratios=(1.15, 1))
        left, right = halves
        panels = right.subplots(len(curves), 1, squeeze=False)[:, 0]
        for panel, (finding, curve) in zip(panels, curves, strict=True):
            _curve(panel, finding, curve)
    _errors(left.subplots(), report.findings)
    figure.suptitle(f"{report.model}: {report.summary}", x=0.01, ha="left", fontsize=11)
    figure.savefig(path, dpi=160)


def _errors(panel: Any, findings: Sequence[Finding]) -> None:
    """Bars of errors, and ticks where rounding ends."""
    panel.set_xscale("log")
    panel.set_xlim(SMALLEST, LARGEST)
    for row, finding in enumerate(findings):
        color = COLORS.get(finding.verdict, MUTED)
        if finding.cloud is None:
            panel.text(SMALLEST * 3, row, _unjudged(finding), va="center", fontsize=8, color=MUTED)
            continue
        error = _within(finding.error)
        if finding.error > 0:
            panel.barh(row, error - SMALLEST, left=SMALLEST, height=0.55, color=color, zorder=2)
        if finding.bound > 0:
            floor = _within(finding.bound)
            panel.plot([floor] * 2, [row - 0.4, row + 0.4], color=FLOOR, linewidth=1.6, zorder=3)
        said = "0" if finding.error == 0 else f"{finding.error:.1e}"
        panel.text(
            max(error, _within(finding.bound)) * 2.5,
            row,
            said if error < LARGEST else "",
            va="center",
            fontsize=8,
            color=color,
        )
    panel.set_yticks(range(len(findings)), [finding.check for finding in findings])
    for label, finding in zip(panel.get_yticklabels(), findings, strict=True):
        label.set_color(COLORS["failed"] if finding.verdict == "failed" else FLOOR)
    panel.set_ylim(len(findings) - 0.4, -0.6)
    panel.set_xlabel("worst error (bar) and what rounding explains (tick)")
    _plain(panel)
    panel.tick_params(axis="y", length=0)


def _curve(panel: Any, finding: Finding, curve: Mapping[str, Any]) -> None:
    """Values around a break; ranges over directions with the slope that a limit would have."""
    x, y = curve["x"], curve["y"]
    color, ylabel = COLORS[finding.verdict], curve.get("ylabel", "")
    details = {} if finding.failure is None else finding.failure.details
    if not curve.get("log") and details.get("order", 0) >= CURVATURE:
        # a bend is lost on the eye unless the slope is taken away
        y, ylabel = _unsloped(x, y), f"{ylabel}, less a straight line"
    panel.plot(x, y, color=color, linewidth=1.8, marker="o", markersize=2.5, zorder=3)
    if curve.get("log"):
        panel.set_xscale("log")
        panel.set_yscale("log")
        largest = max(range(len(x)), key=lambda k: x[k])
        expected = [y[largest] * place / x[largest] for place in x]
        panel.plot(x, expected, color=MUTED, linewidth=1.2, linestyle="--", label="if continuous")
        panel.legend(frameon=False, fontsize=8)
    if isinstance(details.get("place"), int | float):
        panel.axvline(details["place"], color=MUTED, linewidth=0.8, linestyle=":")
    title = "\n".join(wrap(curve.get("title", finding.check), TITLE))
    panel.set_title(title, loc="left", fontsize=9)
    panel.set_xlabel(curve.get("xlabel", ""), fontsize=9)
    panel.set_ylabel("\n".join(wrap(ylabel, LABEL)), fontsize=9)
    panel.tick_params(labelsize=8)
    _plain(panel)


def _unsloped(x: Sequence[float], y: Sequence[float]) -> list[float]:
    """Values from the line through both ends."""
    slope = (y[-1] - y[0]) / (x[-1] - x[0])
    return [value - y[0] - slope * (place - x[0]) for place, value in zip(x, y, strict=True)]


def _plain(panel: Any) -> None:
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(axis="x", color=GRID, linewidth=0.8)
    panel.set_axisbelow(True)


def _within(value: float) -> float:
    """On the axis."""
    return LARGEST if math.isnan(value) else min(max(value, 2 * SMALLEST), LARGEST)


def _unjudged(finding: Finding) -> str:
    reason = finding.reason if len(finding.reason) < 60 else finding.reason[:59] + "…"
    return f"{finding.verdict}: {reason}"
