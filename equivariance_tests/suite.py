"""A class of tests to inherit from: one test for each check.

    class TestMine(EquivarianceSuite):
        contract = Contract({"energy": "0e"}, cutoff=5.0)

        def model(self):
            return Mine()

Needs the pytest plugin, which comes with the package. A check that has nothing to say is skipped
with its reason, one that is known to fail is an expected failure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pytest

from equivariance_tests.certification import Certification
from equivariance_tests.checks import CHECKS
from pytest_equivariance import keep
from symmetrize import Contract


class EquivarianceSuite:
    """Tests of one model; override ``model``, and ``contract`` unless the model declares one.

    Attributes:
        contract: what the model claims.
        options: further arguments of ``certify``, over those of the command line: ``species``,
            ``call``, ``known``, ...
    """

    contract: ClassVar[Contract | None] = None
    options: ClassVar[Mapping[str, Any]] = {}

    def model(self) -> Any:
        """Return the model."""
        raise NotImplementedError(f"{type(self).__name__} must define `model`, which returns it")


def _test_of(check: str) -> Callable[..., None]:
    def test(
        self: EquivarianceSuite,
        equivariance_certification: Certification,
        request: pytest.FixtureRequest,
    ) -> None:
        __tracebackhide__ = True
        report = equivariance_certification.report([check])
        keep(request.node, report, request.node.nodeid.rpartition("::")[0])
        finding = report[check]
        if finding.verdict == "skipped":
            pytest.skip(finding.reason)
        if finding.verdict == "known":
            pytest.xfail(finding.reason)
        if not report.passed:
            raise AssertionError(f"\n{report}")

    return test


for _check in CHECKS:
    setattr(
        EquivarianceSuite, f"test_{_check.name.replace(' ', '_').lower()}", _test_of(_check.name)
    )
