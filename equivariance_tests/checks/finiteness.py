"""Every cloud has an answer, and a gradient where one is claimed: finite, and without an error.

Other checks compare answers, and a NaN compares with nothing: what is not answered is found here,
and here alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from equivariance_tests.checks.base import Check, Outcome
from equivariance_tests.clouds import Cloud
from equivariance_tests.clouds.crystals import CRYSTALS
from equivariance_tests.clouds.turns import GENERIC_ORIENTATION
from equivariance_tests.measure.gradients import slopes
from equivariance_tests.measure.trial import Trial
from equivariance_tests.report.failures import Failure, NonFinite, Raises, first_line
from symmetrize import Contract

# Powers of ten, of sizes and of distances from the origin
SCALES, OFFSETS = (-6, -3, 3, 6), (3, 4, 5, 6)
# Strata that are also tried at other scales, beside the generic one
SCALED = ("generic", "pair", "coincident")
# What an empty structure is batched with
COMPANION = Cloud("generic", 3)


class Finiteness(Check):
    """Models have an answer to every cloud, an empty one too, at any scale and place.

    The gradient is looked at where the contract claims one continuous derivative, and the outputs
    depend differentiably on the positions: x / |x| of coincident points, a root at zero.
    """

    name = "finiteness"
    law = "F(x), and its gradient where one is claimed, are finite for every x"
    says_of_random = True
    of_answers = True

    def cases(self, contract: Contract) -> list[Cloud]:
        """Every stratum, and some of them at other scales and far from the origin."""
        found = super().cases(contract)
        for name in (*SCALED, *(["crystal"] if contract.periodic else [])):
            found += [Cloud(name, 5, 1, GENERIC_ORIENTATION, offset=offset) for offset in OFFSETS]
            # the number of neighbors in a crystal grows with its density
            if name not in CRYSTALS:
                found += [Cloud(name, 5, 1, GENERIC_ORIENTATION, scale=scale) for scale in SCALES]
        return found

    def judged(self, trial: Trial, clouds: Sequence[Cloud]) -> list[Outcome]:
        """Which clouds have no finite answer, and why."""
        failures: dict[Cloud, Failure | None] = {}
        for cloud, good in zip(clouds, trial.answered(clouds), strict=True):
            if not good:
                failures[cloud] = _answer(trial, cloud)
            elif cloud.stratum == "empty":
                failures[cloud] = _companion(trial, cloud)
        kept = [cloud for cloud in clouds if failures.get(cloud) is None]
        if kept and claims_gradients(trial):
            failures |= dict(zip(kept, _gradients(trial, kept), strict=True))
        return [_outcome(cloud, failures.get(cloud)) for cloud in clouds]


def claims_gradients(trial: Trial) -> bool:
    """Whether the contract says that there is a derivative everywhere."""
    smoothness = trial.contract.smoothness
    return smoothness is not None and smoothness >= 1


def _answer(trial: Trial, cloud: Cloud) -> Failure:
    """Why a cloud by itself has no answer."""
    structures = trial.structures([cloud])
    code = structures[0].code()
    try:
        answers = trial.subject.apart(structures)
    except Exception as raised:
        return Raises(f"the model raises {first_line(raised)}", cloud, code, math.inf, 0)
    wrong = [n for n, values in answers.values.items() if not bool(torch.isfinite(values).all())]
    if not wrong:
        said = "the model has a finite answer now, but had none when it was asked first"
        return NonFinite(said, cloud, code, math.inf, 0)
    what = "NaN" if any(bool(answers.values[name].isnan().any()) for name in wrong) else "infinity"
    return NonFinite(f"{' and '.join(wrong)} has {what}", cloud, code, math.inf, 0)


def _companion(trial: Trial, cloud: Cloud) -> Failure | None:
    """What is wrong with an empty structure within a batch, if its companions are answered."""
    structures = trial.structures([COMPANION, cloud, COMPANION, cloud])
    if not trial.answered([COMPANION])[0]:
        return None
    try:
        finite = trial.subject.together(structures).finite()
    except Exception as raised:
        said = f"in a batch with others the model raises {first_line(raised)}"
        return Raises(said, cloud, structures[1].code(), math.inf, 0)
    if bool(finite.all()):
        return None
    said = "in a batch with others an answer is not finite"
    return NonFinite(said, cloud, structures[1].code(), math.inf, 0)


def _gradients(trial: Trial, clouds: Sequence[Cloud]) -> list[Failure | None]:
    """What is wrong with the gradient at each cloud."""
    structures = trial.structures(clouds)
    failures: list[Failure | None] = []
    for cloud, one, found in zip(clouds, structures, slopes(trial, structures), strict=True):
        failure: Failure | None = None
        if isinstance(found, Exception):
            said = f"the gradient raises {first_line(found)}"
            failure = Raises(said, cloud, one.code(), math.inf, 0)
        elif found is not None and not bool(torch.isfinite(found).all()):
            what = "NaN" if bool(found.isnan().any()) else "infinity"
            point = int((~torch.isfinite(found).all(1)).nonzero()[0])
            said = f"the gradient with respect to point {point} has {what}"
            failure = NonFinite(said, cloud, one.code(), math.inf, 0)
        failures.append(failure)
    return failures


def _outcome(cloud: Cloud, failure: Failure | None) -> Outcome:
    return Outcome(cloud) if failure is None else Outcome(cloud, math.inf, 0.0, failure)
