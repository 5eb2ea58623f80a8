"""Is a model random, and what may the order of its sums do to one and the same answer?"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from equivariance_tests.clouds import Cloud
from equivariance_tests.clouds.turns import GENERIC_ORIENTATION
from equivariance_tests.measure.rounding import EXACT, ROUNDINGS, last_digits
from equivariance_tests.measure.trial import Trial
from equivariance_tests.model.answers import Answers
from equivariance_tests.model.subject import Subject

# Asked to find out whether a model is random at all: few numbers may agree by chance
OFTEN = 6
# What it is asked then
PROBE = Cloud("generic", 5, 1, GENERIC_ORIENTATION)
RANDOM = "the model is random: see determinism"


def is_random(trial: Trial) -> bool:
    """Whether a model has several answers to one cloud: other laws then say nothing.

    It is asked again after the first time, so that what it may remember is not taken for chance.
    """

    def tried() -> bool:
        return trial.answered([PROBE])[0] and has_several_answers(trial.subject, PROBE)

    return trial.once("random", tried)


def has_several_answers(subject: Subject, cloud: Cloud) -> bool:
    """To one cloud, asked again and again; the first answer does not count."""
    structures = subject.structures([cloud])
    _, one, *others = (subject.apart(structures) for _ in range(OFTEN))
    return any(_differ(one, other, EXACT[subject.dtype]) for other in others)


def _differ(one: Answers, other: Answers, exact: float) -> bool:
    """Whether answers differ by more than rounding of their largest number."""
    return any(
        not torch.allclose(values, other.values[name], 0.0, exact * float(values.abs().amax()))
        for name, values in one.values.items()
        if values.numel()
    )


def answer_rounding(trial: Trial, answers: Answers) -> Float[Tensor, "structures"]:
    """What the order of sums can do to answers to one and the same input."""
    digits = last_digits(answers, trial.scales, trial.dtype)
    return (ROUNDINGS * digits).nan_to_num(nan=0.0).clamp(min=EXACT[trial.dtype])
