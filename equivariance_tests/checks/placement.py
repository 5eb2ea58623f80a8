"""Outputs have the dtype of the positions, and are where they are."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from equivariance_tests.checks.base import Check, Outcome
from equivariance_tests.clouds import Cloud, Structure
from equivariance_tests.clouds.turns import GENERIC_ORIENTATION
from equivariance_tests.measure.trial import Trial
from equivariance_tests.model.calculators import properties_of
from equivariance_tests.model.subject import Subject
from equivariance_tests.report.failures import Failure, first_line
from symmetrize import Contract

DTYPES = (torch.float32, torch.float64)
# Structures without points, or without edges, often take a path of their own through a model
PLACED = ("generic", "empty", "atom", "pair")


class WrongDtype(Failure):
    """Outputs do not have the dtype, or are not on the device, of the positions."""

    kind = "wrong dtype or device"


class Placement(Check):
    """Positions in single and double precision, each structure by itself.

    A wider dtype is wrong too: somewhere in the model a constant of double precision makes all that
    follows slow, and the output does not fit others. Positions in a precision that the model
    refuses, as a function with its own parameters does, say nothing. Calculators are not asked:
    they answer in their own precision whatever they are given.
    """

    name = "dtype and device"
    says_of_random = True
    law = "F(x) has the dtype and the device of x"

    def reason_to_skip(self, trial: Trial) -> str:
        """Calculators have a precision of their own."""
        if properties_of(trial.subject.model):
            return "a calculator answers in its own precision, whatever the positions have"
        return ""

    def cases(self, contract: Contract) -> list[Cloud]:
        """A few sizes."""
        names = (*PLACED, "crystal") if contract.periodic else PLACED
        return [Cloud(name, 5, 1, GENERIC_ORIENTATION) for name in names]

    def judged(self, trial: Trial, clouds: Sequence[Cloud]) -> list[Outcome]:
        """What dtype and device the outputs have on each cloud."""
        trials = [trial if dtype == trial.dtype else trial.at(dtype) for dtype in DTYPES]
        subjects = [one.subject for one in trials]
        structures = trial.setting.structure
        return [_placed(subjects, cloud, structures(cloud)) for cloud in clouds]


def _placed(subjects: Sequence[Subject], cloud: Cloud, structure: Structure) -> Outcome:
    """Whether outputs are as they should be in each precision."""
    refused = ""
    for subject in subjects:
        wrong, raised = _wrong(subject, structure)
        if wrong:
            failure = WrongDtype("; ".join(wrong), cloud, structure.code(), math.inf, 0)
            return Outcome(cloud, math.inf, 0.0, failure)
        if raised is not None:
            refused = f"the model does not take {_name(subject.dtype)}: {first_line(raised)}"
    return Outcome(cloud, skipped=refused)


def _wrong(subject: Subject, structure: Structure) -> tuple[list[str], Exception | None]:
    """What is wrong with the outputs of one structure, or what is raised instead of them."""
    batch = subject.batch([structure.rounded(subject.dtype)])
    place = batch.pos.device
    try:
        with torch.no_grad():
            returned = subject.raw(batch).values
    except Exception as raised:
        return [], raised
    wrong = []
    for name, values in returned.items():
        if values.dtype != subject.dtype:
            given, found = _name(subject.dtype), _name(values.dtype)
            wrong.append(f"for positions of {given} the output {name!r} is {found}")
        if values.device != place:
            wrong.append(f"for positions on {place} the output {name!r} is on {values.device}")
    return wrong, None


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
