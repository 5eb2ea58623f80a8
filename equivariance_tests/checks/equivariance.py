"""F(g x) = rho(g) F(x), for rotations and, apart, for what reflects."""

from collections.abc import Sequence

from equivariance_tests.checks.law import Law
from equivariance_tests.clouds import Structure
from equivariance_tests.clouds.turns import turns_of
from equivariance_tests.measure.trial import Trial
from equivariance_tests.measure.turning import turning_errors
from equivariance_tests.measure.worst import Errors
from equivariance_tests.report.failures import Failure
from symmetrize.groups import has_reflections


class NotEquivariant(Failure):
    """Outputs do not turn as declared."""

    kind = "not equivariant"


class WrongParity(NotEquivariant):
    """Outputs turn with rotations but not with reflections."""

    kind = "wrong parity"


class Equivariance(Law):
    """Outputs turn as declared when the cloud is rotated: named rotations, poles, generic ones."""

    name = "equivariance"
    claim = "group"
    law = "F(R x) = rho(R) F(x) for every rotation R"
    failure = NotEquivariant
    says_of_random = True
    part = 5
    improper = False

    def reason_to_skip(self, trial: Trial) -> str:
        """What claims no group need not turn."""
        return "" if trial.contract.group else "no group is claimed"

    def errors(self, trial: Trial, structures: Sequence[Structure]) -> Errors:
        """Largest over all turns, one call of the model for each."""
        assert trial.contract.group is not None, "the law is skipped where none is claimed"
        return turning_errors(trial, structures, turns_of(trial.contract.group, self.improper))


class Parity(Equivariance):
    """Outputs turn as declared when the cloud is reflected."""

    name = "parity"
    claim = "group"
    law = "F(-R x) = rho(-R) F(x), the inversion and every reflection"
    failure = WrongParity
    part = 2
    improper = True

    def reason_to_skip(self, trial: Trial) -> str:
        """What claims rotations alone need not."""
        return "" if has_reflections(trial.contract.group) else "reflections are not claimed"
