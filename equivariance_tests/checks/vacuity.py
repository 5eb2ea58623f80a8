"""An output that is the same for all clouds meets every law, and learns nothing."""

from collections.abc import Sequence

from equivariance_tests.checks.base import Check, Outcome
from equivariance_tests.clouds import Cloud
from equivariance_tests.measure.yardstick import UNRELATED, VACUOUS, unrelated
from equivariance_tests.model.subject import Subject
from equivariance_tests.report.failures import Vacuous
from symmetrize import Contract


class Vacuity(Check):
    """Every part of every output differs from cloud to cloud."""

    name = "vacuity"
    law = "no irrep of the output is the same for all clouds"

    def cases(self, contract: Contract) -> list[Cloud]:
        """One of the unrelated clouds, which stands for all."""
        return unrelated(contract)[:1]

    def outcomes(self, subject: Subject, clouds: Sequence[Cloud]) -> list[Outcome]:
        """A law of the model: what is said once is not said again of other clouds."""
        standing = self.cases(subject.contract)
        return [
            self._outcome(subject, cloud)
            if cloud in standing
            else Outcome(cloud, skipped="this is said of all clouds at once")
            for cloud in clouds
        ]

    def _outcome(self, subject: Subject, cloud: Cloud) -> Outcome:
        measured = subject.yardstick
        if len(measured.undefined) == UNRELATED:
            return Outcome(cloud, skipped="the model has no answer to any unrelated cloud")
        if not measured.vacuous:
            return Outcome(cloud)
        said = (
            f"{', '.join(measured.vacuous)} is the same for {UNRELATED} unrelated clouds, to "
            f"{VACUOUS[subject.dtype]:.0e} of its size"
        )
        return Outcome(
            cloud, failure=Vacuous(said, cloud, subject.structures([cloud])[0].code(), 0.0, 0.0)
        )
