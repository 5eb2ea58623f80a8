"""All checks, in the order of a report: first what the others rely on, smoothness last.

To add one see ``docs/new_check.md``.
"""

from collections.abc import Sequence

from equivariance_tests.checks.approach import StratumApproach
from equivariance_tests.checks.base import Check, Outcome
from equivariance_tests.checks.batching import Batching
from equivariance_tests.checks.control import NegativeControl
from equivariance_tests.checks.copies import FaithfulCopies
from equivariance_tests.checks.crossing import CutoffCrossing
from equivariance_tests.checks.determinism import Determinism
from equivariance_tests.checks.equivariance import Equivariance, Parity
from equivariance_tests.checks.extensivity import Extensivity
from equivariance_tests.checks.finiteness import Finiteness
from equivariance_tests.checks.forces import ForcesAndStress
from equivariance_tests.checks.gradients import Gradients
from equivariance_tests.checks.history import History
from equivariance_tests.checks.law import Law
from equivariance_tests.checks.lie import LieDerivative
from equivariance_tests.checks.locality import Locality
from equivariance_tests.checks.paths import PathScan
from equivariance_tests.checks.permutation import Permutation
from equivariance_tests.checks.placement import Placement
from equivariance_tests.checks.precision import PrecisionLadder
from equivariance_tests.checks.stabilizer import Stabilizer
from equivariance_tests.checks.steepness import Steepness
from equivariance_tests.checks.translation import Translation
from equivariance_tests.checks.vacuity import Vacuity
from equivariance_tests.checks.work import WorkClosure
from equivariance_tests.checks.work_of_forces import WorkOfForces

CHECKS: tuple[Check, ...] = (
    Finiteness(),
    Determinism(),
    Batching(),
    FaithfulCopies(),
    Placement(),
    History(),
    Vacuity(),
    Equivariance(),
    Parity(),
    NegativeControl(),
    Stabilizer(),
    LieDerivative(),
    PrecisionLadder(),
    Permutation(),
    Translation(),
    Locality(),
    Extensivity(),
    Gradients(),
    WorkClosure(),
    Steepness(),
    ForcesAndStress(),
    WorkOfForces(),
    CutoffCrossing(),
    PathScan(),
    StratumApproach(),
)


def check_of(name: str, among: Sequence[Check] = CHECKS) -> Check:
    """A check by its name.

    Raises:
        ValueError: if there is none of this name.
    """
    for check in among:
        if check.name == name:
            return check
    names = ", ".join(check.name for check in among)
    raise ValueError(f"there is no check {name!r}: the checks are {names}")


def chosen(checks: Sequence[str | Check] | None) -> list[Check]:
    """Some checks, given by name or as they are; all if none are given.

    Raises:
        ValueError: if there is no such check, or one of a user has the name of another.
    """
    if checks is None:
        return list(CHECKS)
    found = [check_of(one) if isinstance(one, str) else one for one in checks]
    for one in found:
        if any(one.name == other.name and one is not other for other in (*CHECKS, *found)):
            raise ValueError(f"there are two checks {one.name!r}: give yours a name of its own")
    return found


__all__ = ["CHECKS", "Check", "Law", "Outcome", "check_of", "chosen"]
