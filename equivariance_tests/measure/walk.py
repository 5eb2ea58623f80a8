"""A machine that asks a model, moves points, and asks again, beside one that was asked otherwise.

After each step of a random walk through structures (points move, come, go, cross the cutoff, fall
onto each other or into a plane, become another kind or their own image, and cells change) the model
that took all steps is compared with a copy that was asked something else in between, of another
number of points, so that what it kept is of no use to it, and in the end with one that was never
asked anything. A plain function cannot be copied: it is compared with itself, distracted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from torch import Tensor

from equivariance_tests.clouds import Cloud, Structure, Turn
from equivariance_tests.clouds.strategies import ORIENTATIONS
from equivariance_tests.clouds.turns import GENERIC_ORIENTATION
from equivariance_tests.measure.chance import answer_rounding
from equivariance_tests.measure.trial import Trial
from equivariance_tests.measure.worst import place_of
from equivariance_tests.model.answers import Answers
from equivariance_tests.model.subject import Subject
from equivariance_tests.report.failures import Stale
from symmetrize import Contract

START = Cloud("generic", 5, 1, GENERIC_ORIENTATION)
# Another number of points than walks have, and a structure that no walk passes
DISTRACTION = Cloud("generic", 9, 7)
MOST_POINTS, WALKS, STEPS = 8, 8, 6
# What the structure of a walk is batched with
OTHERS = (Cloud("atom"), Cloud("generic", 3), Cloud("empty"), Cloud("pyramid"))
# How far points move, in the unit of the clouds: further than lists reach beyond the cutoff, or not
MOVES = (0.25, 1.0, 1e-2, 1e-4)
# How far beyond the cutoff, and then within it, a point is put, in units of the cutoff
CROSSINGS = (0.02, 0.1)
# From where, to where, and in which steps two points approach each other, in units of the cutoff: a
# list is made anew once a point has moved by half of what it reaches beyond the cutoff, not by all
STARTS, NEAREST, STEP = (1.12, 1.3), 0.9, 0.04
# How far a cell is stretched and sheared
STRAINS = (0.02, 0.2, -0.3)
QUIET = settings(
    max_examples=WALKS,
    stateful_step_count=STEPS,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    # nothing but the smallest walk is of use
    phases=(Phase.generate, Phase.shrink),
    report_multiple_bugs=False,
    print_blob=False,
    verbosity=Verbosity.quiet,
)

places = st.integers(0, MOST_POINTS - 1)
directions = st.tuples(*[st.integers(-2, 2)] * 3).filter(any)


def some(walk: Walk) -> bool:
    """Whether there is a point."""
    return len(walk.structure) > 0


def several(walk: Walk) -> bool:
    """Whether there are two points."""
    return len(walk.structure) > 1


def periodic(walk: Walk) -> bool:
    """Whether there is a point in a cell."""
    pbc = walk.structure.pbc
    return len(walk.structure) > 0 and pbc is not None and bool(pbc.any())


def kinds(walk: Walk) -> bool:
    """Whether a point can become another kind."""
    known = walk.subject.setting.species
    return len(walk.structure) > 0 and walk.structure.species is not None and len(known) > 1


def room(walk: Walk) -> bool:
    """Whether there is a point to be like, and room for another."""
    return 0 < len(walk.structure) < MOST_POINTS


def history_machine(
    model: Any, contract: Contract | None = None, start: Cloud = START, **how: Any
) -> type[RuleBasedStateMachine]:
    """The machine that compares a model of any history with a fresh one, for your own tests.

    Args:
        model: see ``Subject.of``; a module is copied.
        contract: what it claims; ``model.contract`` if not given.
        start: the cloud that walks begin with.
        how: further arguments of ``Subject.of``: how it is called, species, dtype.

    Returns:
        a state machine: ``TestMine = history_machine(model, contract).TestCase`` in a module of
        tests is found by pytest.

    >>> machine = history_machine(lambda positions: positions.sum(0)[:1], Contract("0e"))
    >>> machine.TestCase().runTest()
    """
    return machine_of(Trial.of(model, contract, **how), start)


class Walk(RuleBasedStateMachine):
    """Structures asked one after the other; see ``history_machine``, which sets the attributes."""

    pristine: ClassVar[Trial]
    start: ClassVar[Cloud]
    distraction: ClassVar[list[Structure]]
    others: ClassVar[list[Structure]]

    def __init__(self) -> None:
        super().__init__()
        self.subject, self.other = self.pristine.subject.fresh(), self.pristine.subject.fresh()
        _answer(self.subject, self.distraction)
        self.structure = self.pristine.structures([self.start])[0]
        self.allowed = self.structure
        self.steps: list[str] = []
        if not self._ask("ask"):
            raise ValueError(
                f"the model has no answer to {self.start!r}: give it a `start` that it has one for"
            )

    @property
    def unit(self) -> float:
        """The length that points are apart."""
        return self.subject.setting.unit

    @precondition(some)
    @rule(point=places, direction=directions, length=st.sampled_from(MOVES))
    def move(self, point: int, direction: tuple[int, int, int], length: float) -> None:
        """Move one point."""
        step = length * self.unit * torch.tensor(direction, dtype=torch.float64)
        self._change(point, step, f"by {step.tolist()}")

    @precondition(several)
    @rule(point=places, other=places, beyond=st.sampled_from(CROSSINGS))
    def cross_the_cutoff(self, point: int, other: int, beyond: float) -> None:
        """Put a point just beyond the cutoff of another, then just within it, and back."""
        other = other % len(self.structure)
        point = point % len(self.structure)
        if point == other:
            point = (point + 1) % len(self.structure)
        for factor in (1 + beyond, 1 - beyond, 1 + beyond):
            positions = self.structure.positions
            away = torch.tensor([factor * self.subject.setting.cutoff, 0, 0], dtype=torch.float64)
            step = positions[other] + away - positions[point]
            self._change(point, step, f"to {factor} of the cutoff from {other}")

    @precondition(several)
    @rule(point=places, other=places)
    def coincide(self, point: int, other: int) -> None:
        """Put a point onto another."""
        positions = self.structure.positions
        point, other = point % len(positions), other % len(positions)
        self._change(point, positions[other] - positions[point], f"onto {other}")

    @rule(axis=st.integers(0, 2))
    def flatten(self, axis: int) -> None:
        """Put all points into one plane."""
        kept = torch.ones(3, dtype=torch.float64)
        kept[axis] = 0
        self.structure = self.structure.at(self.structure.positions * kept)
        self._ask(f"flatten along {'xyz'[axis]}")

    @rule(quaternion=st.sampled_from(ORIENTATIONS[1:]))
    def turn(self, quaternion: tuple[int, int, int, int]) -> None:
        """Rotate all."""
        matrix = Turn(quaternion).matrix()
        self.structure = self.structure.turned(matrix, self.subject.contract)
        self._ask(f"turn by {quaternion}")

    @precondition(room)
    @rule(place=st.tuples(*[st.integers(-5, 5)] * 3))
    def insert(self, place: tuple[int, int, int]) -> None:
        """Add a point, of the kind of the first one."""
        order = torch.tensor([*range(len(self.structure)), 0])
        more = self.structure.permuted(order)
        positions = more.positions.clone()
        positions[-1] = self.unit / 4 * torch.tensor(place, dtype=torch.float64)
        self.structure = more.at(positions)
        self._ask(f"insert a point at {positions[-1].tolist()}")

    @precondition(periodic)
    @rule(point=places, period=st.integers(0, 2), back=st.booleans())
    def wrap(self, point: int, period: int, back: bool) -> None:
        """Put an image of a point in its place, as what wraps positions into the cell does."""
        cell, pbc = self.structure.cell, self.structure.pbc
        assert cell is not None
        assert pbc is not None
        step = cell[period] * float(pbc[period]) * (-1 if back else 1)
        self._change(point, step, f"by the period {step.tolist()}")

    @precondition(periodic)
    @rule(strain=st.sampled_from(STRAINS), along=st.booleans())
    def deform(self, strain: float, along: bool) -> None:
        """Change the cell, and positions along with it or not."""
        cell = self.structure.cell
        assert cell is not None
        change = torch.eye(3, dtype=torch.float64)
        change[0, 0] += strain
        change[0, 1] += strain
        positions = self.structure.positions @ change if along else self.structure.positions
        self.structure = replace(self.structure, positions=positions, cell=cell @ change)
        said = "and positions" if along else "alone"
        self._ask(f"deform the cell {said}: times {change.tolist()}")

    @precondition(kinds)
    @rule(point=places, kind=st.integers(0, 7))
    def exchange(self, point: int, kind: int) -> None:
        """Make a point another kind."""
        known = self.subject.setting.species
        point = point % len(self.structure)
        assert self.structure.species is not None
        species = self.structure.species.clone()
        species[point] = known[(known.index(int(species[point])) + 1 + kind) % len(known)]
        self.structure = replace(self.structure, species=species)
        self._ask(f"make point {point} of the kind {int(species[point])}")

    @precondition(several)
    @rule(point=places)
    def delete(self, point: int) -> None:
        """Take a point away."""
        point = point % len(self.structure)
        order = [i for i in range(len(self.structure)) if i != point]
        self.structure = self.structure.permuted(torch.tensor(order))
        self._ask(f"delete point {point}")

    @rule(other=st.integers(0, len(OTHERS) - 1))
    def batch_with(self, other: int) -> None:
        """Ask together with another structure."""
        self._ask(f"ask together with {OTHERS[other]!r}", [self.others[other]])

    @precondition(several)
    @rule(point=places, other=places, start=st.sampled_from(STARTS))
    def walk_up_to_each_other(self, point: int, other: int, start: float) -> None:
        """Two points come from beyond the cutoff, each half of the way, in small steps."""
        other = other % len(self.structure)
        point = point % len(self.structure)
        if point == other:
            point = (point + 1) % len(self.structure)
        cutoff = self.subject.setting.cutoff
        positions = self.structure.positions
        away = torch.tensor([start * cutoff, 0, 0], dtype=torch.float64)
        step = positions[other] + away - positions[point]
        self._change(point, step, f"to {start} of the cutoff from {other}")
        half = torch.tensor([STEP * cutoff / 2, 0, 0], dtype=torch.float64)
        for _ in range(round((start - NEAREST) / STEP)):
            positions = self.structure.positions.clone()
            positions[point] -= half
            positions[other] += half
            self.structure = self.structure.at(positions)
            self._ask(
                f"move points {point} and {other} towards each other by {2 * half.tolist()[0]}"
            )

    def _change(self, point: int, step: Tensor, said: str) -> None:
        point = point % len(self.structure)
        positions = self.structure.positions.clone()
        positions[point] += step
        self.structure = self.structure.at(positions)
        self._ask(f"move point {point} {said}")

    def _ask(self, said: str, more: Sequence[Structure] = ()) -> bool:
        """Compare the model with the other one, distracted; whether that one has an answer."""
        self.structure = self.structure.rounded(self.subject.dtype)
        if not self.subject.setting.stands(self.structure):
            self.structure = self.allowed  # as if the step had not been taken
            return True
        self.allowed = self.structure
        self.steps.append(said)
        asked = [self.structure, *more]
        # in this order: what cannot be copied shares its memory with what follows
        found = _answer(self.subject, asked)
        _answer(self.other, self.distraction)
        return self._same(found, _answer(self.other, asked), asked[0])

    def teardown(self) -> None:
        """Ask for the last structure again, and a model that was never asked: copies take long."""
        asked = [self.structure]
        self._same(
            _answer(self.subject, asked), _answer(self.pristine.subject.fresh(), asked), asked[0]
        )

    def _same(self, found: Answers | None, fresh: Answers | None, asked: Structure) -> bool:
        if fresh is None or not bool(fresh.finite().all()):
            return False  # the matter of finiteness
        error, bound, scales = math.inf, 0.0, self.pristine.scales
        if found is not None:
            bound = float(answer_rounding(self.pristine, fresh).max())
            error = float(found.minus(fresh).largest(scales).nan_to_num(nan=math.inf).max())
        if not error <= bound:
            place = None
            if found is not None:
                change = found.minus(fresh)
                wrong = int(change.largest(scales).nan_to_num(nan=math.inf).argmax())
                place = place_of(change.of(wrong), scales, self.subject.contract)
            details = {} if place is None else place.details
            whose = "the output" if place is None else place.said
            own = "" if place is None else f" ({place.size:.2g} in its unit)"
            raise Stale(
                f"after {len(self.steps) - 1} steps {whose} differs by {error:.2g} of its spread"
                f"{own} from that of a model that was asked something else, or nothing, before",
                self.start,
                asked.code(),
                error,
                bound,
                {"steps": "; ".join(self.steps), **details},
            )
        return True


def machine_of(trial: Trial, start: Cloud) -> type[Walk]:
    """The machine for one model, and walks that begin with one cloud."""
    pristine = trial.fresh()
    _ = pristine.spread  # found before walks, not within
    attributes = {
        "pristine": pristine,
        "start": start,
        "distraction": pristine.structures([DISTRACTION]),
        "others": pristine.structures(OTHERS),
    }
    made: Any = type("HistoryWalk", (Walk,), attributes)
    made.TestCase.settings = QUIET
    return made


def _answer(subject: Subject, structures: Sequence[Structure]) -> Answers | None:
    try:
        return subject.together(structures)
    except Exception:  # what it raises on a walk is the matter of finiteness, as is a NaN
        return None
