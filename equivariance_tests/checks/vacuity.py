"""An output that is the same for all clouds meets every law, and learns nothing."""

from equivariance_tests.checks.base import OfModels, Outcome
from equivariance_tests.clouds import Cloud
from equivariance_tests.clouds.cases import UNRELATED
from equivariance_tests.measure.spread import VACUOUS
from equivariance_tests.measure.trial import Trial
from equivariance_tests.report.failures import Failure


class Vacuous(Failure):
    """An output is the same for all clouds: every law holds for it, and says nothing."""

    kind = "vacuous"


class Vacuity(OfModels):
    """Every part of every output differs from cloud to cloud."""

    name = "vacuity"
    law = "no irrep of the output is the same for all clouds"
    says_of_random = True

    def outcome(self, trial: Trial, cloud: Cloud) -> Outcome:
        """Which parts are the same."""
        if trial.answers_nothing:
            return Outcome(cloud, skipped="the model has no answer to any unrelated cloud")
        vacuous = trial.spread.vacuous
        if not vacuous:
            return Outcome(cloud)
        said = (
            f"{', '.join(vacuous)} is the same for {UNRELATED} unrelated clouds, to "
            f"{VACUOUS[trial.dtype]:.0e} of its size"
        )
        code = trial.structures([cloud])[0].code()
        return Outcome(cloud, failure=Vacuous(said, cloud, code, 0.0, 0.0))
