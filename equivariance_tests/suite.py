"""A class of tests to inherit from: one test for each check.

    class TestMine(EquivarianceSuite):
        contract = Contract({"energy": "0e"}, cutoff=5.0)
        species = (1, 8)
        prepare = connect(radius=5.0)

        def model(self):
            return Mine()

Needs the pytest plugin, which comes with the package. A check that has nothing to say is skipped
with its reason, one that is known to fail is an expected failure. If the model cannot be called at
all the first test says so, and the others are skipped.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import pytest

from equivariance_tests.certification import Certification
from equivariance_tests.certification.options import OF_SUITES, refuse_unknown
from equivariance_tests.checks import CHECKS
from equivariance_tests.report import Report
from symmetrize import Contract

# What else a class of tests may have that pytest knows of
OF_PYTEST = ("setup_method", "teardown_method", "setup_class", "teardown_class", "pytestmark")
# Attributes of a suite that are no arguments of ``certify``
OF_MODELS = ("model", "contract", "options")


class EquivarianceSuite:
    """Tests of one model; override ``model``, and ``contract`` unless the model declares one.

    Every argument of ``certify`` that says how a model is asked, or how much is tried, may be an
    attribute of the class: ``species``, ``of_structures``, ``unit``, ``call``, ``prepare``,
    ``dtype``, ``device``, ``profile``, ``seed``, ``known``. What is given here counts, not what the
    command line says. ``prepare`` is a function of a batch, or a method. Other attributes are
    refused, as they may be misspelled; names of your own begin with an underscore, are written in
    capitals, or belong to tests and fixtures.

    Attributes:
        contract: what the model claims.
        options: the same arguments as a mapping, for those that are computed.

    Raises:
        TypeError: where a class is made with an attribute, or is used with an option, that is not
            known, or that is given twice.
    """

    contract: ClassVar[Contract | None] = None
    options: ClassVar[Mapping[str, Any]] = {}

    def __init_subclass__(cls, **given: Any) -> None:
        super().__init_subclass__(**given)
        cls._refuse_unknown()

    def model(self) -> Any:
        """Return the model."""
        raise NotImplementedError(f"{type(self).__name__} must define `model`, which returns it")

    def how(self) -> dict[str, Any]:
        """The arguments of ``certify`` that the class has.

        Raises:
            TypeError: as for the class.
        """
        self._refuse_unknown()
        refuse_unknown(self.options, OF_SUITES, f"options of {type(self).__name__}")
        given = {name: self._value(name) for name in OF_SUITES if hasattr(type(self), name)}
        twice = sorted(set(given) & set(self.options))
        if twice:
            raise TypeError(
                f"{type(self).__name__} has {', '.join(twice)} as an attribute and among its "
                "`options`: take out one of them"
            )
        return {**given, **self.options}

    def _value(self, name: str) -> Any:
        """An attribute as it was given: a function of a batch is no method of the suite."""
        given = inspect.getattr_static(type(self), name)
        is_plain = inspect.isfunction(given) and len(inspect.signature(given).parameters) == 1
        return given if is_plain else getattr(self, name)

    @classmethod
    def _refuse_unknown(cls) -> None:
        own = [
            name for one in _suites(cls) for name, value in vars(one).items() if _says(name, value)
        ]
        way_out = "; begin the names of attributes of your own with an underscore"
        refuse_unknown(
            [name for name in own if name not in OF_PYTEST],
            (*OF_SUITES, *OF_MODELS),
            f"attributes of {cls.__name__}",
            way_out,
        )


def _suites(cls: type) -> Iterator[type]:
    """The class and its bases, up to the suite itself; what else it inherits is not its own."""
    for one in cls.__mro__:
        if one is not EquivarianceSuite and issubclass(one, EquivarianceSuite):
            yield one


def _says(name: str, value: Any) -> bool:
    """Whether an attribute looks like an option."""
    is_fixture = type(value).__name__ == "FixtureFunctionDefinition" or hasattr(
        value, "_pytestfixturefunction"
    )
    is_own = name.startswith(("_", "test")) or name.isupper()
    return not (is_own or is_fixture or isinstance(value, type | property))


def _test_of(check: str) -> Callable[..., None]:
    def test(
        self: EquivarianceSuite,
        equivariance_certification: Certification,
        equivariance_keep: Callable[[Report], None],
    ) -> None:
        __tracebackhide__ = True
        report = equivariance_certification.report([check])
        equivariance_keep(report)
        if report.reason and equivariance_certification.refused:
            pytest.skip("the model could not be called, as was told before")
        if report.reason:
            equivariance_certification.refused = True
            pytest.fail(str(report), pytrace=False)
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
