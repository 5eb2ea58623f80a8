"""The pytest plugin of ``equivariance_tests``: options, the fixture ``certify``, one report.

pytest imports this module in every session, also where nothing is certified: neither torch nor
torch-geometric is imported before a fixture is asked for.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from equivariance_tests.certification import Certification
    from equivariance_tests.report import Report

# Profiles, and how many examples Hypothesis has in each
EXAMPLES = {"fast": 50, "ci": 200, "deep": 2000}
DTYPES = ("float64", "float32")
# What a test found, and what the file of known failures says
FOUND = pytest.StashKey[list[dict[str, Any]]]()
KNOWN = pytest.StashKey[dict[str, dict[str, str]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options, which hold for all certifications that do not say otherwise."""
    add = parser.getgroup("equivariance", "symmetry and smoothness").addoption
    add(
        "--equivariance-profile",
        choices=tuple(EXAMPLES),
        help="how much is tried (fast if not given), also by Hypothesis if given",
    )
    add("--equivariance-dtype", choices=DTYPES, default=DTYPES[0], help="of the positions")
    add("--equivariance-device", default="cpu", help="skipped where there is none such")
    add("--equivariance-seed", type=int, default=0, help="of the random clouds")
    add("--equivariance-report", type=Path, metavar="PATH", help="JSON of all that was certified")
    add(
        "--equivariance-known",
        type=Path,
        metavar="PATH",
        help="TOML of failures that are known: a table for each model or test, of check = reason",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Read what is known, start collecting, and choose how many examples Hypothesis has."""
    config.stash[KNOWN] = _known(config.getoption("equivariance_known"))
    path = config.getoption("equivariance_report")
    if path is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Collector(path), "equivariance-collector")
    profile = config.getoption("equivariance_profile")
    if profile is not None and not config.getoption("hypothesis_profile", None):
        _choose_examples(profile)


@pytest.fixture
def certify(request: pytest.FixtureRequest) -> Callable[..., Report]:
    """``equivariance_tests.certify`` with the options of the session; fails unless it passes."""

    def certified(model: Any, contract: Any = None, **how: Any) -> Report:
        __tracebackhide__ = True
        from equivariance_tests.certification import (
            OF_CERTIFICATIONS,
            certify,
            name_of,
            refuse_unknown,
        )

        refuse_unknown(how, OF_CERTIFICATIONS, "options of certify")
        given = {**_options(request, name_of(model)), "progress": False, **how}
        report = certify(model, contract, **given)
        _keep(request.node, report, request.node.nodeid)
        if not report.passed:
            raise AssertionError(f"\n{report}")
        return report

    return certified


@pytest.fixture(scope="class")
def equivariance_certification(request: pytest.FixtureRequest) -> Certification:
    """The model of an ``EquivarianceSuite``, each check of which runs when its test asks for it."""
    from equivariance_tests.certification import Certification, name_of

    suite = request.cls()
    model = suite.model()
    given = {**_options(request, name_of(model)), **suite.how()}
    return Certification.of(model, suite.contract, **given)


@pytest.fixture
def equivariance_keep(request: pytest.FixtureRequest) -> Callable[[Report], None]:
    """Adds what a test of a suite found to the report of its class."""
    return lambda report: _keep(request.node, report, request.node.nodeid.rpartition("::")[0])


def _keep(item: pytest.Item, report: Report, test: str) -> None:
    """Add a report to those of the session, under the name of a test or of its class."""
    if item.config.getoption("equivariance_report") is not None:
        found = {"test": test, **report.to_json("pytest")}
        item.stash.setdefault(FOUND, []).append(found)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Send what a test found along with its result, which xdist brings home from each worker."""
    report: Any = yield
    if report.when == "teardown":
        report.equivariance = item.stash.get(FOUND, [])
    return report


class _Collector:
    """Writes the report of the session."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found: dict[str, dict[str, Any]] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Collect what a test found; what belongs to one class is one report."""
        for one in getattr(report, "equivariance", []):
            earlier = self.found.get(one["test"])
            self.found[one["test"]] = one if earlier is None else joined(earlier, one)

    def pytest_sessionfinish(self) -> None:
        """Write them all."""
        reports = [self.found[test] for test in sorted(self.found)]
        passed = all(one["passed"] for one in reports)
        text = json.dumps({"passed": passed, "reports": reports}, indent=1, allow_nan=False)
        self.path.write_text(text + "\n")


def joined(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Two reports about one model as one.

    >>> certified = {"status": "certified", "cases": 1, "seconds": 0.1, "findings": ["a"]}
    >>> silent = {"status": "could not run", "cases": 0, "seconds": 0.1, "findings": ["b"]}
    >>> both = joined(certified, silent)
    >>> both["status"], both["cases"], both["findings"]
    ('certified', 1, ['a', 'b'])
    """
    statuses = {one["status"], other["status"]}
    status = next(s for s in ("refuted", "certified", "could not run") if s in statuses)
    return {
        **one,
        "status": status,
        "passed": status == "certified",
        "cases": one["cases"] + other["cases"],
        "seconds": round(one["seconds"] + other["seconds"], 3),
        "findings": [*one["findings"], *other["findings"]],
    }


def _options(request: pytest.FixtureRequest, model: str) -> dict[str, Any]:
    """What the session says about how to certify."""
    import torch

    option = request.config.getoption
    device = option("equivariance_device")
    if device.startswith("cuda") and not torch.cuda.is_available():
        pytest.skip(f"there is no device {device}")
    known: dict[str, str] = {}
    for name, checks in request.config.stash[KNOWN].items():
        node = request.node.nodeid
        if name == model or node == name or node.startswith((f"{name}::", f"{name}[")):
            known |= checks
    return {
        "profile": option("equivariance_profile") or "fast",
        "dtype": getattr(torch, option("equivariance_dtype")),
        "device": device,
        "seed": option("equivariance_seed"),
        "known": known,
    }


def _known(path: Path | None) -> dict[str, dict[str, str]]:
    if path is None:
        return {}
    try:
        tables = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise pytest.UsageError(f"--equivariance-known: {path.name}: {error}") from None
    for name, checks in tables.items():
        if not isinstance(checks, dict) or not all(isinstance(s, str) for s in checks.values()):
            raise pytest.UsageError(
                f"--equivariance-known: {name!r} must be a table of check = reason, as in "
                f'[{name}] parity = "learned from one hand only"'
            )
    return tables


def _choose_examples(profile: str) -> None:
    """A profile of Hypothesis, of a name that is nobody else's."""
    try:
        from hypothesis import settings
    except ModuleNotFoundError:
        return
    name = f"equivariance-{profile}"
    # the first example measures the spread of the model, and takes longer than the others
    settings.register_profile(name, max_examples=EXAMPLES[profile], deadline=None)
    settings.load_profile(name)
