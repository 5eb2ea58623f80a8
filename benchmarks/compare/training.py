"""A trainer that is plain to read: AdamW along a cosine, averaged weights, states to go on from.

Every step draws its numbers from the seed and the number of the step, so that an interrupted run
goes on to the same weights as one that was not. Several processes share the structures of a step.
"""

from __future__ import annotations

import copy
import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch_geometric.data import Batch, Data

from benchmarks._training import step, store, stored
from benchmarks.compare import processes
from benchmarks.compare.configuration import (
    ConfigurationError,
    FramesChoice,
    Run,
    TrainingChoice,
)
from benchmarks.compare.data import DataSet, Split
from benchmarks.compare.learning import Units, loss_of, predicted
from benchmarks.compare.networks import factory_of
from equivariance_tests.checks.steepness import Held
from symmetrize import HierarchicalFrames, Symmetrizer

# Structures that a network is calibrated with
CALIBRATED = 32


class NotFiniteError(ArithmeticError):
    """A network that answers no numbers."""


def symmetrized(net: Any, outputs: Any, choice: FramesChoice, **options: Any) -> Symmetrizer:
    """A network in the frames that are chosen."""
    frames = None
    if choice.cutoff is not None or choice.length_scale is not None or choice.preset != "smooth":
        frames = HierarchicalFrames(
            choice.cutoff, preset=choice.preset, length_scale=choice.length_scale
        )
    contract = getattr(net, "contract", None)
    return Symmetrizer(
        net,
        outputs if contract is None else None,
        frames=frames,
        group=choice.group,
        axis=choice.axis,
        scope=choice.scope,
        **options,
    )


def cast(items: list[Data], dtype: torch.dtype) -> list[Data]:
    """Structures in the precision of training; targets keep theirs."""
    found = []
    for one in items:
        other = copy.copy(one)
        for name in ("pos", "cell", "velocity"):
            if name in one:
                other[name] = one[name].to(dtype)
        found.append(other)
    return found


class Function(nn.Module):
    """A function as a network, which has no weights."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.function, self.contract = function, getattr(function, "contract", None)

    def forward(self, data: Any) -> Any:
        """What the function returns."""
        return self.function(data)


def batches(
    items: Sequence[Data], settings: TrainingChoice, order: Iterable[int] | None = None
) -> Iterator[list[int]]:
    """Places of structures, batch by batch, as many as settings allow; one at least in each."""
    batch: list[int] = []
    total = 0
    for place in range(len(items)) if order is None else order:
        size = len(items[place].pos)
        is_full = settings.points is not None and total + size > settings.points
        if batch and (is_full or len(batch) == settings.batch):
            yield batch
            batch, total = [], 0
        batch.append(place)
        total += size
    if batch:
        yield batch


def passes(items: Sequence[Data], settings: TrainingChoice, seed: int) -> Iterator[list[int]]:
    """Batches of one pass through the data after the other, each in an order of its own.

    The last batch of a pass, of what is left, is left out, unless it is the only one.
    """
    for number in itertools.count():
        generator = torch.Generator().manual_seed(1_000_003 * (seed + 1) + number)
        order = torch.randperm(len(items), generator=generator).tolist()
        found = list(batches(items, settings, order))
        is_whole = len(found) == 1 or len(found[-1]) == settings.batch
        yield from found if is_whole else found[:-1]


class Training:
    """One run: its network, its units, and where it stands.

    Args:
        run: what is trained, and how.
        data, split: on what.
        folder: of the state.
    """

    def __init__(self, run: Run, data: DataSet, split: Split, folder: Path) -> None:
        self.run, self.data, self.path = run, data, folder / "state.pt"
        self.dtype = getattr(torch, run.training.dtype)
        self.parts = {
            name: cast(getattr(split, name), self.dtype) for name in ("train", "validation")
        }
        torch.manual_seed(run.seed)
        make = factory_of(run.network.make)
        self.net = make(data.outputs, data.species, **run.network.settings)
        if isinstance(self.net, nn.Module):
            self.net = self.net.to(self.dtype)
        else:
            self.net = Function(self.net)
        # in double precision, as energies are large
        self.units = Units(data, split.train, plain=not run.network.trained)
        unknown = [name for name in run.training.weights if name not in data.targets]
        if unknown:
            raise ConfigurationError(
                f"[training.weights] {unknown[0]!r} is none of the targets "
                f"{', '.join(data.targets)}"
            )
        if run.network.trained:
            some = Batch.from_data_list(self.parts["train"][:CALIBRATED])
            self.units.calibrate(self.net, some)
        self.parallel = processes.shared(self.net)
        self.both = nn.ModuleDict({"net": self.net, "units": self.units})
        self.average = copy.deepcopy(self.both)
        self.best = copy.deepcopy(self.both.state_dict())
        self.optimizer = None
        if run.network.trained:
            self.optimizer = torch.optim.AdamW(
                self.both.parameters(), run.training.rate, weight_decay=run.training.decay
            )
        self.done, self.seconds, self.least, self.since = 0, 0.0, math.inf, 0
        self.curve: list[dict[str, float]] = []
        self._resume()
        self.rows = itertools.islice(
            passes(self.parts["train"], run.training, run.seed), self.done, None
        )

    def _resume(self) -> None:
        state = stored(self.path)
        if state is None or self.optimizer is None:
            return
        self.both.load_state_dict(state["both"])
        self.average.load_state_dict(state["average"])
        self.best = state["best"]
        self.optimizer.load_state_dict(state["optimizer"])
        for name in ("done", "seconds", "least", "since", "curve"):
            setattr(self, name, state[name])

    def _store(self) -> None:
        if processes.rank() > 0:
            return
        state = {
            "both": self.both.state_dict(),
            "average": self.average.state_dict(),
            "best": self.best,
            "optimizer": self.optimizer.state_dict(),
            **{name: getattr(self, name) for name in ("done", "seconds", "least", "since")},
            "curve": self.curve,
        }
        store(self.path, state)

    def model(self, mode: str, generator: torch.Generator) -> Any:
        """What is called in a step."""
        if mode == "plain" or not self.run.network.symmetrized:
            return self.parallel
        options = {"training": mode, "generator": generator}
        model = symmetrized(self.parallel, self.data.outputs, self.run.frames, **options)
        if mode == "sampled":
            # in the frames that it sees, a network learns its own derivatives
            model.frames = Held(model.frames)
        return model.train()

    def steps(self, progress: Callable[[int, float], None], most: int | None = None) -> None:
        """Train to the end, or for no more than some steps.

        Raises:
            NotFiniteError: if the loss is no number.
        """
        settings = self.run.training
        last = settings.steps if most is None else min(settings.steps, self.done + most)
        while self.done < last and not self._is_over():
            start = time.perf_counter()
            loss = self._step()
            self.seconds += time.perf_counter() - start
            self.done += 1
            if self.done % settings.every == 0 or self.done == settings.steps:
                self._look(loss)
                self._store()
            progress(self.done, loss)

    def _is_over(self) -> bool:
        patience = self.run.training.patience
        return patience > 0 and self.since >= patience

    def _step(self) -> float:
        settings, train = self.run.training, self.parts["train"]
        seed = 1_000_003 * (self.run.seed + 1) + self.done
        seed += 7_919 * processes.rank()
        torch.manual_seed(seed)  # of dropout
        generator = torch.Generator().manual_seed(seed)
        rows = next(self.rows)
        # too few for all processes: this one repeats another's, which then counts for nothing
        mine = processes.part_of(rows)
        batch = Batch.from_data_list([train[i] for i in mine or rows[:1]])
        points = sum(len(train[i].pos) for i in rows)
        share = {"structure": len(mine) / len(rows), "point": batch.num_nodes / points}
        share = {name: processes.number() * bool(mine) * part for name, part in share.items()}
        self.both.train()
        is_exact = self.done >= settings.steps - settings.exact
        model = self.model("all" if is_exact else settings.mode, generator)
        found = predicted(model, self.units, batch, create_graph=True)
        part = self.done / settings.steps
        loss = loss_of(found, self.units, batch, settings.weights, part, share)
        mean = processes.summed(loss) / processes.number()
        if not bool(mean.isfinite()):
            raise NotFiniteError(
                f"the loss of {self.run.identity} is {mean.item()} in step {self.done}: a smaller "
                "rate or a smaller [training] clip may help; the state before is kept"
            )
        done, total = self.done, settings.steps
        rate = settings.rate * min(1.0, (done + 1) / max(1, settings.warm_up))
        rate *= 0.5 * (1 + math.cos(math.pi * done / total))
        step(self.both, loss, self.optimizer, rate, settings.clip)
        keep = min(settings.average, (1 + done) / (10 + done))
        with torch.no_grad():
            here = self.both.state_dict()
            for name, ours in self.average.state_dict().items():
                theirs = here.get(name)  # e3nn names constants of its code anew in copies
                if theirs is None:
                    continue
                if ours.is_floating_point():
                    ours.lerp_(theirs, 1 - keep)
                else:
                    ours.copy_(theirs)
        return float(mean)

    def _look(self, loss: float) -> None:
        """Errors on the validation set, and the best state by their sum."""
        net, units = self.average["net"].eval(), self.average["units"]
        model = net
        if self.run.training.mode != "plain" and self.run.network.symmetrized:
            model = symmetrized(net, self.data.outputs, self.run.frames).eval()
        total = 0.0
        parts = self.parts["validation"] or self.parts["train"][: self.run.training.batch]
        for rows in batches(parts, self.run.training):
            batch = Batch.from_data_list([parts[i] for i in rows])
            found = predicted(model, units, batch, create_graph=False)
            total += float(loss_of(found, units, batch, {})) * batch.num_graphs / len(parts)
        if not math.isfinite(total):
            raise NotFiniteError(
                f"the error of {self.run.identity} on the validation set is {total} after step "
                f"{self.done}: look for targets there that are no numbers"
            )
        self.curve.append(
            {"step": self.done, "seconds": self.seconds, "loss": loss, "validation": total}
        )
        self.since += 1
        if total < self.least:
            self.least, self.since = total, 0
            self.best = copy.deepcopy(self.average.state_dict())
        self.average.train()

    def best_model(self) -> tuple[Any, Units]:
        """The network and the units of the best state by validation."""
        self.average.load_state_dict(self.best)
        self.average.eval()
        return self.average["net"], self.average["units"]
