"""F(g x) = rho(g) F(x), for rotations and, apart, for what reflects."""

from collections.abc import Mapping, Sequence

from equivariance_tests.checks.base import Law
from equivariance_tests.clouds import Structure, Turn
from equivariance_tests.clouds.turns import IMPROPER, PROPER
from equivariance_tests.measure.worst import Errors, Worst
from equivariance_tests.model.subject import Subject
from equivariance_tests.report.failures import NotEquivariant, WrongParity


class Equivariance(Law):
    """Outputs turn as declared when the cloud is rotated: named rotations, poles, generic ones."""

    name = "equivariance"
    law = "F(R x) = rho(R) F(x) for every rotation R"
    failure = NotEquivariant
    turns: Mapping[str, Turn] = PROPER

    def silent(self, subject: Subject) -> str | None:
        """Only what claims a group turns."""
        return None if subject.contract.group else "no group is claimed"

    def errors(self, subject: Subject, structures: Sequence[Structure]) -> Errors:
        """Largest over all turns, one call of the model for each."""
        return turning_errors(subject, structures, self.turns)


class Parity(Equivariance):
    """Outputs turn as declared when the cloud is reflected."""

    name = "parity"
    law = "F(-R x) = rho(-R) F(x), the inversion and every reflection"
    failure = WrongParity
    turns = IMPROPER

    def silent(self, subject: Subject) -> str | None:
        """Only what claims reflections."""
        return None if subject.contract.group == "O(3)" else "reflections are not claimed"


def turning_errors(
    subject: Subject, structures: Sequence[Structure], turns: Mapping[str, Turn]
) -> Errors:
    """Largest change of each answer, turned back, over some turns; and which turn makes it."""
    contract = subject.contract
    here = subject(structures)
    worst = Worst(subject, len(structures))
    # every structure of a batch turns alike, so that what leaks between them turns too
    for name, turn in turns.items():
        matrix = turn.matrix()
        turned = [one.turned(matrix, contract).rounded(subject.dtype) for one in structures]
        change = subject(turned).minus(here.turned(matrix, contract))
        worst.add(change, f"under {name} {turn}")
    return worst.found
