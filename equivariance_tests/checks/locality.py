"""A point beyond the declared reach of all others changes nothing that is theirs."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from equivariance_tests.checks.check import Law, Outcome, every_stratum
from equivariance_tests.clouds import Cloud, Structure
from equivariance_tests.clouds.crystals import CRYSTALS
from equivariance_tests.failures import NotLocal
from equivariance_tests.subject import Answers, Subject
from symmetrize import Contract

# Where the far point is: along which axis, on which side, and how far beyond, in receptive fields
PLACES = ((0, 1.0, 17 / 16), (1, -1.0, 17 / 16), (2, 1.0, 1.5), (0, -1.0, 4.0))
FAR_POINT = Cloud("atom")
# Shifts are multiples of about this part of the unit: short numbers, which take no rounding
GRID = 1 / 4


class FiniteLaw(Law):
    """A law that puts more points beside a cloud, where a periodic one has its images."""

    def cases(self, contract: Contract) -> list[Cloud]:
        """All strata but crystals."""
        return [cloud for cloud in every_stratum(contract) if cloud.stratum not in CRYSTALS]

    def outcomes(self, subject: Subject, clouds: Sequence[Cloud]) -> list[Outcome]:
        """How the law holds on the clouds that are not periodic."""
        structures = subject.structures(clouds)
        periodic = [one.pbc is not None and bool(one.pbc.any()) for one in structures]
        finite = [cloud for cloud, has in zip(clouds, periodic, strict=True) if not has]
        found = dict(zip(finite, super().outcomes(subject, finite), strict=True))
        return [found.get(cloud, Outcome(cloud, skipped="periodic")) for cloud in clouds]


class Locality(FiniteLaw):
    """What is out of sight has no influence.

    A point beyond the receptive field of all others is moved about, and taken away. Moved about, it
    changes no output; taken away, no output of the other points.
    """

    name = "locality"
    law = "F(x, y) = F(x, z) for points y and z that x does not see"
    failure = NotLocal

    def silent(self, subject: Subject) -> str | None:
        """Only where there is an end to what a point sees, and single points have an answer."""
        if subject.contract.receptive_field is None:
            return "without a cutoff every point sees all others"
        if not all(subject.answered([FAR_POINT])):
            return "the model has no answer for a single point"
        return None

    def errors(self, subject: Subject, structures: Sequence[Structure]) -> tuple[Tensor, list[str]]:
        """One call of the model for each place, and one without the far point."""
        scales = subject.yardstick.scales
        first, *others = [subject(_with_far_point(subject, structures, p)) for p in PLACES]
        worst = _without_far_point(first, structures, subject.contract).minus(subject(structures))
        errors = worst.largest(scales).nan_to_num(nan=torch.inf)
        what = ["as a point beyond the receptive field is taken away"] * len(structures)
        for other in others:
            change = other.minus(first).largest(scales).nan_to_num(nan=torch.inf)
            for i in (change > errors).nonzero()[:, 0].tolist():
                what[i] = "as a point beyond the receptive field moves"
            errors = torch.maximum(errors, change)
        return errors, what

    def bounds(self, subject: Subject, structures: Sequence[Structure]) -> Tensor:
        """What rounding explains with the far point at the farthest place."""
        return super().bounds(subject, _with_far_point(subject, structures, PLACES[-1]))


def beside(
    subject: Subject, structure: Structure, other: Structure, place: tuple[int, float, float]
) -> Structure:
    """Another structure, moved out of the sight of the first.

    Args:
        subject: knows how far a point sees, and the unit.
        structure: stays where it is.
        other: is moved.
        place: axis and side on which it comes to lie, and the gap in receptive fields.
    """
    axis, side, gap = place
    grid = GRID * 2.0 ** math.floor(math.log2(subject.setting.unit))
    shift = ((_middle(structure) - _middle(other)) / grid).round() * grid
    # of two boxes, the far face of one to the near face of the other
    end = max((side * structure.positions[:, axis]).tolist(), default=0.0)
    start = min((side * other.positions[:, axis]).tolist(), default=0.0)
    reach = gap * (subject.contract.receptive_field or 0.0)
    shift[axis] = side * math.ceil((end + reach - start) / grid) * grid
    return other.at(other.positions + shift).rounded(subject.dtype)


def _middle(structure: Structure) -> Tensor:
    points = structure.positions
    return points.mean(0) if len(points) else points.new_zeros(3)


def _with_far_point(
    subject: Subject, structures: Sequence[Structure], place: tuple[int, float, float]
) -> list[Structure]:
    (point,) = subject.structures([FAR_POINT])
    return [one.joined(beside(subject, one, point, place)) for one in structures]


def _without_far_point(
    answers: Answers, structures: Sequence[Structure], contract: Contract
) -> Answers:
    """The rows of all points but the last one of each structure; nothing of structures."""
    kept = torch.tensor([k < len(one) for one in structures for k in range(len(one) + 1)])
    names = [name for name, output in contract.outputs.items() if output.per_point]
    values = {name: answers.values[name][kept] for name in names}
    owner = {name: answers.owner[name][kept] for name in names}
    return Answers(values, owner, answers.size)
