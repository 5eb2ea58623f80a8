"""A model on trial: the model, which does not change, and what is known of it so far.

A trial is handed from check to check. What one of them finds, that the model mixes up its batch or
is random, makes another trial, with which the later ones are asked (see ``Check.follows``). Numbers
that are measured once are kept in its memory, which trials of the same model share.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from equivariance_tests.clouds import Cloud, Setting, Structure, Turn
from equivariance_tests.clouds.cases import UNRELATED
from equivariance_tests.measure.spread import Spread, spread_of
from equivariance_tests.model.answers import Answers
from equivariance_tests.model.slopes import attached
from equivariance_tests.model.subject import Subject
from symmetrize import Contract
from symmetrize.groups import UPRIGHT

SEED = 20231
T = TypeVar("T")
# Said by laws that follow the outputs as points move, of a model without any that stay
COME_AND_GO = "rows of edges come and go, as `prepare` lists them anew: nothing is followed"


@dataclass
class Memory:
    """What was measured once of one model, asked in one way.

    Attributes:
        spread: of its outputs, once it is known.
        answered: whether it has an answer to a cloud.
        found: further things by what they are.
    """

    spread: Spread | None = None
    answered: dict[Cloud, bool] = field(default_factory=dict)
    found: dict[Hashable, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Trial:
    """A model on trial.

    Attributes:
        subject: the model.
        answers_alone: whether what it answers in a batch only is not answered: so once it is known
            that it mixes up its batch.
        random: whether it has several answers to one input: laws that compare two of them then say
            nothing.
        outputs: those that derivatives are asked of; all if empty.
        around: a structure of a user that spreads are measured around, if it has attributes that
            the model may read and other structures lack.
        highest_alone: order of the highest derivative that is followed on paths of a model that is
            asked one structure at a time, as each place takes a call.
        memory: what was measured.
    """

    subject: Subject
    answers_alone: bool = False
    random: bool = False
    outputs: tuple[str, ...] = ()
    around: Structure | None = None
    highest_alone: int = 2
    memory: Memory = field(default_factory=Memory, repr=False)

    @classmethod
    def of(cls, model: Any, contract: Contract | None = None, **how: Any) -> Trial:
        """A model of which nothing is known.

        Args:
            model: anything callable; see ``Subject.of``.
            contract: what it claims; ``model.contract`` if not given.
            how: how it is asked: further arguments of ``Subject.of``.

        >>> Trial.of(lambda positions: positions.sum(0)[:1], Contract("0e")).contract.group
        'O(3)'
        """
        return cls(Subject.of(model, contract, **how))

    # --- the model

    @property
    def contract(self) -> Contract:
        """What is claimed."""
        return self.subject.contract

    @property
    def setting(self) -> Setting:
        """What structures have in common."""
        return self.subject.setting

    @property
    def dtype(self) -> torch.dtype:
        """Of the positions."""
        return self.subject.dtype

    def matrix(self, turn: Turn) -> Float[Tensor, "3 3"]:
        """A turn, about the axis of the contract if its group has one."""
        axis = self.contract.axis
        return turn.matrix(UPRIGHT if axis is None or isinstance(axis, str) else axis)

    def structures(self, clouds: Sequence[Cloud]) -> list[Structure]:
        """What clouds describe, as exactly as the dtype of the model can say it."""
        return self.subject.structures(clouds)

    def __call__(self, structures: Sequence[Structure]) -> Answers:
        """The answers to structures."""
        return self.subject(structures)

    # --- what is known of it

    @property
    def spread(self) -> Spread:
        """How much outputs vary, which is what errors are measured in; found once."""
        if self.memory.spread is None:
            self.memory.spread = spread_of(self.subject, self.answered, self.around)
        return self.memory.spread

    @property
    def scales(self) -> Mapping[str, Float[Tensor, "dim"]]:
        """The spread of each column of each output."""
        return self.spread.scales

    @property
    def answers_nothing(self) -> bool:
        """Whether it has no answer to any of the unrelated clouds: errors then have no unit."""
        return len(self.spread.undefined) >= UNRELATED

    @property
    def lasting(self) -> tuple[str, ...]:
        """Outputs whose rows stay what they are as points move.

        Not those of edges that ``prepare`` lists anew: these come and go.
        """
        listed = self.setting.edges_listed
        outputs = self.contract.outputs.items()
        return tuple(name for name, one in outputs if not (listed and one.rows == "edge"))

    def left_out(self, cloud: Cloud) -> str:
        """Why the contract does not speak of a cloud, or nothing."""
        return self.setting.left_out(cloud, self.dtype)

    def answered(self, clouds: Sequence[Cloud]) -> list[bool]:
        """Whether the model has a finite answer to each cloud, and does not raise."""
        known = self.memory.answered
        new = [cloud for cloud in dict.fromkeys(clouds) if cloud not in known]
        # all at once first: one by one only to tell which
        if self.answers_alone or (new and not self._all_finite(new)):
            for cloud in new:
                known[cloud] = self._all_finite([cloud])
        else:
            known.update(dict.fromkeys(new, True))
        return [known[cloud] for cloud in clouds]

    def _all_finite(self, clouds: Sequence[Cloud]) -> bool:
        try:
            return bool(self(self.structures(clouds)).finite().all())
        except Exception:  # whatever a model raises, it has no answer
            return False

    def once(self, what: Hashable, find: Callable[[], T]) -> T:
        """What is found out once, whoever asks."""
        if what not in self.memory.found:
            self.memory.found[what] = find()
        found: T = self.memory.found[what]
        return found

    def covector(
        self, scales: Mapping[str, Tensor] | None = None, seed: int = 0
    ) -> dict[str, Tensor]:
        """Numbers to weigh outputs with, so that a scalar is left to differentiate.

        Zeros for an output that has no graph where others have one: forces that a model finds by
        backpropagation are not always differentiable in turn.

        Args:
            scales: units of the outputs; their spreads if not given.
            seed: which numbers.
        """
        generator = torch.Generator().manual_seed(SEED + seed)
        units = self.scales if scales is None else scales
        drawn = {
            name: torch.randn(len(scale), dtype=torch.float64, generator=generator) / scale
            for name, scale in units.items()
        }
        asked = [name for name in self.outputs or drawn if name in self.lasting]
        known = self.once("attached", lambda: attached(self.subject))
        return {name: one * known.get(name, 1.0) * (name in asked) for name, one in drawn.items()}

    # --- other trials of the model

    def at(self, dtype: torch.dtype) -> Trial:
        """That of a copy of the model in some precision, the same one each time."""
        spread = self.memory.spread if dtype == self.dtype else None

        def copied() -> Trial:
            return replace(self, subject=self.subject.at(dtype), memory=Memory(spread))

        return self.once(("at", dtype, *self._way()), copied)

    def fresh(self) -> Trial:
        """That of the model as it was given, which was never asked, but whose spread is known."""
        return replace(self, subject=self.subject.fresh(), memory=Memory(self.memory.spread))

    def one_by_one(self) -> Trial:
        """Each structure in a batch of its own."""
        return replace(self, subject=self.subject.one_by_one())

    def answering_alone(self) -> Trial:
        """From now on count as answered only what the model answers alone."""
        return replace(self, answers_alone=True, memory=replace(self.memory, answered={}))

    def measured_by(self, spread: Spread) -> Trial:
        """Errors in other units."""
        return replace(self, memory=replace(self.memory, spread=spread))

    def claiming(self, contract: Contract) -> Trial:
        """The same model under another contract, of which nothing is known."""
        setting = replace(self.setting, contract=contract)
        subject = replace(self.subject, contract=contract, setting=setting).at(self.dtype)
        return replace(self, subject=subject, memory=Memory())

    def extended(self, contract: Callable[[], Contract]) -> Trial:
        """As ``claiming``, the same one each time."""
        return self.once(("extended", *self._way()), lambda: self.claiming(contract()))

    def _way(self) -> tuple[Hashable, ...]:
        """How the model is asked: trials that are asked otherwise are others."""
        return self.subject.batched, self.answers_alone, self.outputs
