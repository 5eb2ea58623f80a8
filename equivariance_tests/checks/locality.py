"""A point beyond the declared reach of all others changes nothing that is theirs.

Alone, a far point is seen only by what reaches it in one step. What is handed on from point to
point needs points in between, which see it and may change. So a point is moved from the end of one
chain of points, which begins at the cloud, to the end of an equal chain that begins nowhere:

    cloud - o - o - o - y        and        cloud - o - o - o
            o - o - o                               o - o - o - y

If the ends of a chain are more than two receptive fields apart, no point of it sees both. Then
every point has the same surroundings, within its receptive field, as one of the other structure
has, and all outputs are the same, be they sums over points or any other function of these. Forces
see twice as far as the energy that they are derivatives of, as it is the energy of their neighbors,
too: of them the cloud and the point that moves are asked, which are out of sight even so.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from equivariance_tests.checks.base import Law, Outcome, every_stratum
from equivariance_tests.checks.energies import FORCES, derivatives_in
from equivariance_tests.checks.permutation import reordered
from equivariance_tests.clouds import Cloud, Structure
from equivariance_tests.clouds.crystals import CRYSTALS
from equivariance_tests.measure.worst import Errors, Worst
from equivariance_tests.model.subject import Answers, Subject
from equivariance_tests.report.failures import NotLocal
from symmetrize import Contract

# Just beyond reach, where what is left of an interaction is largest
BEYOND = 1 + 2.0**-10
# Where the far point is: along which axis, on which side, and how far beyond, in receptive fields
PLACES = ((0, 1.0, BEYOND), (1, -1.0, BEYOND), (2, 1.0, 1.5), (0, -1.0, 4.0))
FAR_POINT = Cloud("atom")
# Shifts are multiples of about this part of the unit: short numbers, which take no rounding
GRID = 2.0**-10
# Where coordinates are large, so many last digits of them are within reach as well
DIGITS = 4.0
# How far apart the points of a chain are, in cutoffs: just under it, and just beyond it, for what
# reaches a little farther than it says. One more is found from the number of rounds
SPACINGS = (31 / 32, 7 / 8, 5 / 8, BEYOND)
# By how much points of a chain lie aside, in cutoffs, so that it is not straight
ASIDE = 1 / 16
SIDEWAYS = ((0, 0), (1, 0), (1, 1), (0, 1))
# Where the second chain is, in receptive fields from the first
APART = 4.0


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
    changes no output; taken away, no output of the other points. And a point at the end of a chain
    is moved to the end of another one, for chains of several spacings.
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

    def errors(self, subject: Subject, structures: Sequence[Structure]) -> Errors:
        """One call of the model for each place and one without the far point; two for a chain."""
        worst = Worst(subject, len(structures))
        both = [_with_far_point(subject, structures, p) for p in PLACES]
        first, *others = [subject(one) for one in both]
        alone = _without_far_point(first, structures, subject.contract).minus(subject(structures))
        where = [{"pos with the point": one.positions.tolist()} for one in both[0]]
        worst.add(alone, "as a point beyond the receptive field is taken away", where)
        for other in others:
            worst.add(other.minus(first), "as a point beyond the receptive field moves", where)
        for k, spacing in enumerate(spacings(subject.contract, subject.setting.apart)):
            chains = [Chain(subject, one, spacing, k % 3) for one in structures]
            here = subject([one.at_the_cloud for one in chains])
            there = subject([one.elsewhere for one in chains])
            change = here.minus(reordered(there, [c.partners for c in chains], subject.contract))
            change = _without_forces(change, chains, subject.contract)
            length = chains[0].hops if chains else 0
            said = (
                f"as a point moves from the end of a chain of {length} steps of "
                f"{spacing:.3g} cutoffs, which begins at the cloud, to the end of another one"
            )
            where = [
                {
                    "pos with the point": one.at_the_cloud.positions.tolist(),
                    "moved": one.elsewhere.positions[-1:].tolist(),
                }
                for one in chains
            ]
            worst.add(change, said, where)
        return worst.found

    def bounds(self, subject: Subject, structures: Sequence[Structure]) -> Tensor:
        """What rounding explains with the far point at the farthest place, and with chains."""
        alone = super().bounds(subject, _with_far_point(subject, structures, PLACES[-1]))
        return torch.maximum(alone, super().bounds(subject, self.roughest(subject, structures)))

    def roughest(self, subject: Subject, structures: Sequence[Structure]) -> list[Structure]:
        """With a long chain."""
        spacing = spacings(subject.contract, subject.setting.apart)[0]
        return [Chain(subject, one, spacing, 0).at_the_cloud for one in structures]


def spacings(contract: Contract, apart: int | float = 0.0) -> list[float]:
    """How far the points of chains are apart, in cutoffs, where that is no less than ``apart``.

    With one round more than is claimed, the middle of a chain of 2 (rounds + 1) steps sees both of
    its ends: in steps of just more than rounds / (rounds + 1) cutoffs these are out of sight, and
    what is handed on is as large as it can be.

    >>> spacings(Contract("0e", cutoff=5.0))[-1]
    0.515625
    """
    rounds = contract.rounds
    found = [*SPACINGS, rounds / (rounds + 1) * (1 + 1 / 32)]
    return [spacing for spacing in found if spacing * (contract.cutoff or 0.0) >= apart]


class Chain:
    """A cloud with two equal chains of points, one of which begins at it, and a point at an end.

    Attributes:
        hops: steps from the cloud to the end.
        at_the_cloud: the point is at the end of the chain that begins at the cloud.
        elsewhere: it is at the end of the other one.
        partners: for each point of the first structure, the one of the second with the same
            surroundings within the receptive field.
    """

    def __init__(self, subject: Subject, structure: Structure, spacing: float, axis: int) -> None:
        cutoff = subject.contract.cutoff or 0.0
        reach = _reach(subject, structure, 1.0)
        grid = _grid(subject)
        step = math.ceil(spacing * cutoff / grid) * grid
        if spacing < 1 and step >= cutoff:
            step -= grid
        self.hops = math.floor(2 * reach / step) + 1
        places = self._places(step, axis, ASIDE * cutoff if spacing < 1 else 0.0, grid)
        start = (_end(structure, axis, 1.0) / grid).ceil() * grid
        aside = torch.zeros(3, dtype=torch.float64)
        side = (axis + 1) % 3
        span = float(structure.positions[:, side].max() - start[side]) if len(structure) else 0.0
        aside[side] = math.ceil((APART * reach + max(span, 0.0) + 2 * ASIDE * cutoff) / grid) * grid
        inner = torch.cat([start + places[:-1], start + aside + places[:-1]])
        self.at_the_cloud = _joined(subject, structure, torch.cat([inner, start + places[-1:]]))
        moved = torch.cat([inner, start + aside + places[-1:]])
        self.elsewhere = _joined(subject, structure, moved)
        self.partners = self._partners(len(structure), places, reach)

    @property
    def ends(self) -> Bool[Tensor, "points 1"]:
        """Which points are not between the ends of a chain."""
        whole = len(self.partners)
        number = whole - 1 - 2 * (self.hops - 1)
        place = torch.arange(whole)[:, None]
        return (place < number) | (place == whole - 1)

    def _places(self, step: float, axis: int, aside: float, grid: float) -> Float[Tensor, "hops 3"]:
        """All points of a chain but the first, from it."""
        k = torch.arange(1, self.hops + 1)
        places = torch.zeros(self.hops, 3, dtype=torch.float64)
        places[:, axis] = k * step
        sideways = torch.tensor(SIDEWAYS, dtype=torch.float64)[k % len(SIDEWAYS)]
        for i in (1, 2):
            places[:, (axis + i) % 3] = sideways[:, i - 1] * math.floor(aside / grid) * grid
        return places

    def _partners(
        self, number: int, places: Float[Tensor, "hops 3"], reach: float
    ) -> Int[Tensor, "points"]:
        """Points of a chain that see its end have them in the other one."""
        sees = (places[:-1] - places[-1]).norm(dim=1) <= reach
        length = self.hops - 1
        first = number + torch.arange(length)
        second = first + length
        swapped = torch.where(sees, second, first), torch.where(sees, first, second)
        last = torch.tensor([number + 2 * length])
        return torch.cat([torch.arange(number), *swapped, last])


def _without_forces(change: Answers, chains: Sequence[Chain], contract: Contract) -> Answers:
    """Without what derivatives of an energy say of the points of chains, which see both ends."""
    if FORCES not in derivatives_in(contract):
        return change
    kept = torch.cat([torch.zeros(0, 1, dtype=torch.bool), *(one.ends for one in chains)])
    values = torch.where(kept, change.values[FORCES], 0.0)
    return replace(change, values={**change.values, FORCES: values})


def beside(
    subject: Subject, structure: Structure, other: Structure, place: tuple[int, float, float]
) -> Structure:
    """Another structure, moved out of the sight of the first.

    Args:
        subject: knows how far a point sees, and the unit.
        structure: stays where it is.
        other: is moved.
        place: axis and side on which it comes to lie, and the gap in receptive fields; the two
            points that face each other are no farther apart than that.
    """
    axis, side, gap = place
    grid = _grid(subject)
    shift = _end(structure, axis, side) - _end(other, axis, -side)
    shift = (shift / grid).round() * grid
    # of two boxes, the far face of one to the near face of the other
    end = max((side * structure.all_positions[:, axis]).tolist(), default=0.0)
    start = min((side * other.all_positions[:, axis]).tolist(), default=0.0)
    reach = _reach(subject, structure, gap)
    shift[axis] = side * math.ceil((end + reach - start) / grid) * grid
    return other.moved(shift).rounded(subject.dtype)


def _grid(subject: Subject) -> float:
    return GRID * 2.0 ** math.floor(math.log2(subject.setting.unit))


def _reach(subject: Subject, structure: Structure, gap: float) -> float:
    """A number of receptive fields, and the last digits of coordinates."""
    digits = DIGITS * torch.finfo(subject.dtype).eps * structure.largest
    return gap * (subject.contract.receptive_field or 0.0) + digits


def _end(structure: Structure, axis: int, side: float) -> Float[Tensor, "3"]:
    """The point that is farthest along an axis."""
    points = structure.positions
    return points[(side * points[:, axis]).argmax()] if len(points) else points.new_zeros(3)


def _joined(
    subject: Subject, structure: Structure, positions: Float[Tensor, "more 3"]
) -> Structure:
    """A structure and further points, all of one kind."""
    (point,) = subject.structures([FAR_POINT])
    more = point.permuted(torch.zeros(len(positions), dtype=torch.long)).at(positions)
    return structure.joined(more).rounded(subject.dtype)


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
