"""All checks, in the order of a report: first what the others rely on, smoothness last."""

from equivariance_tests.checks.approach import StratumApproach
from equivariance_tests.checks.base import Check, Law, Outcome
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
from equivariance_tests.checks.lie import LieDerivative
from equivariance_tests.checks.locality import Locality
from equivariance_tests.checks.paths import PathScan
from equivariance_tests.checks.permutation import Permutation
from equivariance_tests.checks.placement import Placement
from equivariance_tests.checks.precision import PrecisionLadder
from equivariance_tests.checks.stabilizer import Stabilizer
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
    ForcesAndStress(),
    WorkOfForces(),
    CutoffCrossing(),
    PathScan(),
    StratumApproach(),
)

__all__ = ["CHECKS", "Check", "Law", "Outcome"]
