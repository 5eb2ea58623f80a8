"""Certify a model's symmetry and smoothness, or hand back a minimal counterexample.

Say what the model claims, and hold it to that:

>>> import math, torch
>>> from equivariance_tests import Cloud, Contract, assert_equivariant, certify
>>> def energy(positions):
...     return torch.exp(-torch.pdist(positions).square()).sum()[None]
>>> contract = Contract("0e", smoothness=math.inf)
>>> assert_equivariant(energy, Cloud("pyramid"), contract)
>>> report = certify(energy, contract, checks=["equivariance", "translation"], progress=False)
>>> report.passed, report["translation"].verdict
(True, 'passed')

``certify`` runs every check that the contract claims and prints one screen. The ``assert_`` forms,
one for each check, and the Hypothesis strategies ``clouds``, ``batches`` and ``turns`` are for
tests of your own; ``python -m equivariance_tests`` does the same from the shell, and the pytest
plugin has a fixture ``certify`` and, in ``equivariance_tests.suite``, a class to inherit from.
"""

import sys
from typing import TYPE_CHECKING

try:
    import hypothesis as _hypothesis  # noqa: F401
except ModuleNotFoundError as error:
    from symmetrize.extras import install

    said = f"equivariance_tests draws clouds with Hypothesis: {install('certify')}"
    if sys.argv[:1] == ["-m"]:  # of the command line, where a traceback would say "refuted"
        print(f"could not run: {said}", file=sys.stderr)
        raise SystemExit(2) from None
    raise ModuleNotFoundError(said) from error

from equivariance_tests.assertions import ASSERTIONS, Assertion, assert_law
from equivariance_tests.certification import certify
from equivariance_tests.certification.profiles import PROFILES, Profile
from equivariance_tests.checks import CHECKS
from equivariance_tests.clouds import STRATA, TURNS, Cloud, Turn, batches, clouds, turns
from equivariance_tests.measure.content import symmetry_content
from equivariance_tests.measure.walk import history_machine
from equivariance_tests.report import Finding, Report
from equivariance_tests.report.failures import Failure
from symmetrize import Contract, per_point

# ``assert_parity`` and so on: one for each check
globals().update(ASSERTIONS)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Assertion:
        """``assert_`` and the name of a check."""


__all__ = [
    "CHECKS",
    "PROFILES",
    "STRATA",
    "TURNS",
    "Cloud",
    "Contract",
    "Failure",
    "Finding",
    "Profile",
    "Report",
    "Turn",
    "assert_law",
    "batches",
    "certify",
    "clouds",
    "history_machine",
    "per_point",
    "symmetry_content",
    "turns",
    *ASSERTIONS,
]
