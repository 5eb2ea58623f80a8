"""What changes as clouds are turned, beside how it is declared to turn."""

from collections.abc import Mapping, Sequence

from equivariance_tests.clouds import Structure, Turn
from equivariance_tests.measure.trial import Trial
from equivariance_tests.measure.worst import Errors, Worst


def turning_errors(
    trial: Trial, structures: Sequence[Structure], turns: Mapping[str, Turn]
) -> Errors:
    """Largest change of each answer, turned back, over some turns; and which turn makes it."""
    contract = trial.contract
    here = trial(structures)
    worst = Worst(trial, len(structures))
    # every structure of a batch turns alike, so that what leaks between them turns too
    for name, turn in turns.items():
        matrix = trial.matrix(turn)
        turned = [one.turned(matrix, contract).rounded(trial.dtype) for one in structures]
        worst.compare(trial(turned), here.turned(matrix, contract), f"under {name} {turn}")
    return worst.found
