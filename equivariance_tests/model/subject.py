"""The model under test: structures in, answers out, in float64.

Every evaluation builds a new batch, and with it new neighbor lists. How a model is called is the
matter of ``calls``, what a row of an answer stands for that of ``answers``.
"""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from traceback import walk_tb
from typing import Any, NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch_geometric.data import Batch
from torch_geometric.utils import scatter

from equivariance_tests.clouds import Cloud, Setting, Structure, collate
from equivariance_tests.clouds.strata import CUTOFF
from equivariance_tests.model.answers import Answers, RowsError, fitting, joined, rows_of
from equivariance_tests.model.calculators import is_of_torch_sim
from equivariance_tests.model.calls import as_network
from equivariance_tests.model.files import opened
from symmetrize import Contract

# Points in one call of the model; fewer where a graph of derivatives of first and second order is
# kept, which takes 1 GiB and more for a symmetrized transformer
POINTS_AT_ONCE = (1024, 256, 128)
# A network in frames that sees each point more often than this is given fewer of them in one call;
# how often is asked of some structures, if these are not few points anyway
COPIES, SOME, FEW_POINTS = 3, 3, 64
CPU = torch.device("cpu")


class Returned(NamedTuple):
    """What a model itself returned for a batch.

    Attributes:
        values: of each output, as they are declared.
        edges: points of the batch at both ends of each edge that the model saw; None without any.
    """

    values: dict[str, Tensor]
    edges: Int[Tensor, "2 edges"] | None


@dataclass(frozen=True, eq=False)
class Subject:
    """A model, what it claims, and how it is asked. It does not change; made by ``of``.

    Attributes:
        model: as it was given.
        contract: what it claims.
        setting: what its structures have in common.
        net: the model as a network of batches, in the dtype and on the device.
        call: how it is called, if that is not seen from its signature.
        prepare: what is done to a batch first.
        dtype, device: of the positions.
        batched: whether structures share a batch: not those of a model that mixes them up.
        steps: all that is done to a batch first: ``prepare``, and of a model with outputs of edges
            its own ``prepare``, as nobody else knows the edges that it lists.
    """

    model: Any
    contract: Contract
    setting: Setting
    net: Callable[[Batch], Any]
    call: str | None = None
    prepare: Callable[[Any], Any] | None = None
    dtype: torch.dtype = torch.float64
    device: torch.device = CPU
    batched: bool = True
    steps: tuple[Callable[[Any], Any], ...] = ()

    @classmethod
    def of(
        cls,
        model: Any,
        contract: Contract | None = None,
        *,
        species: Sequence[int] = (),
        of_structures: Sequence[str] = (),
        unit: int | float | None = None,
        carries: Sequence[str] = (),
        call: str | None = None,
        prepare: Callable[[Any], Any] | None = None,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> Subject:
        """A model to be asked.

        Args:
            model: anything callable; see ``calls``.
            contract: what it claims; ``model.contract`` if not given.
            species: the integers that ``z`` may be.
            of_structures: names of inputs with one row for each structure.
            unit: length that points of a cloud are typically apart; see ``Setting.of``. A third of
                the cutoff of the frames, where a network in frames declares none.
            carries: kinds of data that structures carry.
            call: how it is called, if that is not seen from its signature: attributes of the data
                ("z, pos, batch"), a dense layout ("b n c -> b o"), or "n c -> o" for a function of
                the positions of one structure.
            prepare: what is done to a batch first, such as
                ``backbones.adapters.connect(radius=5.0)``.
            dtype: of the positions. A module is copied, and the copy converted.
            device: where they are.

        Raises:
            ValueError: if there is no contract.
        """
        model = opened(model)
        contract = getattr(model, "contract", None) if contract is None else contract
        if not isinstance(contract, Contract):
            raise ValueError(
                f"the model {type(model).__name__} declares no contract: give one, as in "
                'Contract({"energy": "0e"}, cutoff=5.0)'
            )
        own = getattr(model, "prepare", None) if _of_edges(contract) else None
        steps = tuple(step for step in (prepare, own) if callable(step))
        listed = bool(steps) and _of_edges(contract)
        within = getattr(getattr(model, "frames", None), "cutoff", None)
        if unit is None and contract.cutoff is None and isinstance(within, int | float):
            unit = max(within / CUTOFF, contract.min_distance or 0.0)
        setting = Setting.of(contract, species, of_structures, unit, carries, listed)
        place = torch.device(device)
        net = as_network(_converted(model, dtype, place), contract, call)
        return cls(model, contract, setting, net, call, prepare, dtype, place, steps=steps)

    # --- the same model, asked otherwise

    def at(self, dtype: torch.dtype) -> Subject:
        """A copy in some precision, which was never asked."""
        net = as_network(_converted(self.model, dtype, self.device), self.contract, self.call)
        return replace(self, dtype=dtype, net=net)

    def fresh(self) -> Subject:
        """The model as it was given, whatever it was asked since: a copy where one can be."""
        model = self.model
        if not isinstance(model, nn.Module):  # those are copied each time
            try:
                model = copy.deepcopy(model)
            except Exception:  # open files, locks, modules of C
                model = self.model
        return replace(self, model=model).at(self.dtype)

    def one_by_one(self) -> Subject:
        """Each structure in a batch of its own."""
        return replace(self, batched=False)

    # --- asking

    def structures(self, clouds: Sequence[Cloud]) -> list[Structure]:
        """What clouds describe, as exactly as the dtype of the model can say it."""
        return [self.setting.structure(cloud).rounded(self.dtype) for cloud in clouds]

    def __call__(self, structures: Sequence[Structure]) -> Answers:
        """The answers to structures, each rounded to the dtype of the model."""
        parts = [self._evaluated(chunk) for chunk in self.chunks(structures)]
        return joined(parts, self.contract)

    def together(self, structures: Sequence[Structure]) -> Answers:
        """The answers to structures in one batch, whatever ``batched`` says."""
        return self._evaluated(structures)

    def apart(self, structures: Sequence[Structure]) -> Answers:
        """The answers to structures, each in a batch of its own."""
        return joined([self._evaluated([one]) for one in structures], self.contract)

    def raw(self, batch: Batch) -> Returned:
        """What the model itself returns for a batch."""
        try:
            batch = self.prepared(batch)
            values = _with_stress(self.contract.outputs.named(self._returned(batch)), batch)
            return Returned(values, batch.get("edge_index"))
        except (AttributeError, KeyError) as error:
            if "'z'" in str(error) and not self.setting.species:
                error.add_note("a model that takes species needs to know which: species=(1, 6, 8)")
            raise

    def prepared(self, batch: Batch) -> Batch:
        """A batch as the model sees it.

        Raises:
            ValueError: if edges are to be listed, and none are.
        """
        for step in self.steps:
            batch = step(batch)
        if self.setting.edges_listed and batch.get("edge_index") is None:
            raise ValueError(
                "an output of edges has one row for each column of `edge_index`, and `prepare` "
                "adds none: where there is a `prepare` structures carry no edges, so let it list "
                "them, such as connect(radius=5.0) from backbones.adapters"
            )
        return batch

    def _returned(self, batch: Batch) -> Any:
        """What the network returns; with a graph where it needs one itself, for its forces."""
        try:
            return self.net(batch)
        except RuntimeError as error:
            if torch.is_grad_enabled() or "does not require grad" not in str(error):
                raise
        with torch.enable_grad():
            batch.pos = batch.pos.detach().requires_grad_()
            return self.net(batch)

    @property
    def in_frames(self) -> bool:
        """Whether the model says how often a network in it is evaluated, as a ``Symmetrizer``."""
        return callable(getattr(self.model, "evaluations", None))

    def evaluations(self, structures: Sequence[Structure]) -> list[int]:
        """How often a network in frames is evaluated for each structure, derivatives asked for.

        For the centers of a structure on average, where each has frames of its own.
        """
        if not self.in_frames:
            return [1] * len(structures)
        parts = _parts(structures, POINTS_AT_ONCE[0]) if self.batched else [[s] for s in structures]
        return [number for part in parts for number in self._evaluations(part)]

    def _evaluations(self, structures: Sequence[Structure]) -> list[int]:
        batch = self.batch(structures)
        batch.pos = batch.pos.detach().requires_grad_()
        try:
            numbers = self.model.evaluations(self.prepared(batch))
            if len(numbers) != len(structures):
                numbers = scatter(numbers.double(), batch.batch, 0, len(structures), "mean").ceil()
            return [int(one) for one in numbers]
        except Exception:  # what a model refuses is told where it is asked
            return [1] * len(structures)

    def raised(self, error: Exception) -> bool:
        """Whether an exception came out of the model, and not of what asks it."""
        # itself, and not what checks of shapes have wrapped it in, like everything else
        asking = inspect.unwrap(Subject.raw).__code__
        return any(frame.f_code is asking for frame, _ in walk_tb(error.__traceback__))

    def batch(self, structures: Sequence[Structure]) -> Batch:
        """The batch that the model takes."""
        return collate(structures, self.dtype, self.device)

    def chunks(self, structures: Sequence[Structure], order: int = 0) -> list[Sequence[Structure]]:
        """Structures that go into one call, for derivatives of some order."""
        if not self.batched:
            return [[structure] for structure in structures]
        most = POINTS_AT_ONCE[order]
        if self.in_frames and sum(map(len, structures)) > FEW_POINTS:
            # those of one call are mostly alike
            some = structures[:: math.ceil(len(structures) / SOME)]
            most = COPIES * most // max(COPIES, *self._evaluations(some))
        return _parts(structures, most)

    def _evaluated(self, structures: Sequence[Structure]) -> Answers:
        with torch.no_grad():
            batch = self.batch(structures)
            return self._read(self.raw(batch), batch)

    def _read(self, returned: Returned, batch: Batch) -> Answers:
        """Outputs as rows of numbers, and what each row stands for."""
        values, rows = {}, {}
        for name, output in self.contract.outputs.items():
            found = returned.values[name].detach().to("cpu", torch.float64)
            rows[name] = rows_of(output, batch, returned.edges).on_cpu()
            number = len(rows[name].owner)
            if found.ndim == 0 or len(found) != number:
                raise RowsError(
                    f"the output {name!r} has shape {tuple(found.shape)} for {number} "
                    f"{output.rows}s: it must have one row for each; "
                    f"{fitting(output, found, batch, returned.edges)}"
                )
            values[name] = output.representation.flatten(found).reshape(
                number, output.representation.dim
            )
        return Answers(values, rows, batch.num_graphs)


def _parts(structures: Sequence[Structure], most: int) -> list[Sequence[Structure]]:
    """Structures in their order, so many points at once, or one structure."""
    parts: list[list[Structure]] = [[]]
    points = 0
    for structure in structures:
        if parts[-1] and points + len(structure) > most:
            parts.append([])
            points = 0
        parts[-1].append(structure)
        points += len(structure)
    return list(parts)


def _of_edges(contract: Contract) -> bool:
    """Whether an output has a row for each edge."""
    return any(output.rows == "edge" for output in contract.outputs.values())


def _with_stress(returned: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
    """With a stress of zero where there is no volume, and it is not defined."""
    stress, cell, pbc = returned.get("stress"), batch.get("cell"), batch.get("pbc")
    if not isinstance(stress, Tensor) or len(stress) != batch.num_graphs:
        return returned
    none = torch.ones(batch.num_graphs, dtype=torch.bool, device=stress.device)
    if cell is not None and pbc is not None:
        flat = torch.linalg.det(cell.detach().reshape(-1, 3, 3)) == 0
        none = flat | ~pbc.reshape(-1, 3).bool().all(-1)
    missing = none.reshape(-1, *[1] * (stress.ndim - 1)) & stress.isnan()
    return {**returned, "stress": torch.where(missing, 0.0, stress)}


def _converted(model: Any, dtype: torch.dtype, device: torch.device) -> Any:
    """A copy of a module, in another precision; anything else follows its input, or does not.

    Models of torch-sim have a precision that they were made for.
    """
    if not isinstance(model, nn.Module) or is_of_torch_sim(model):
        return model
    try:
        copied = copy.deepcopy(model)
    except Exception as error:
        raise TypeError(
            f"the model {type(model).__name__} cannot be copied ({error}), so that its dtype would "
            "be changed in place: take out what copy.deepcopy refuses, or wrap it in a function"
        ) from error
    return copied.to(device=device, dtype=dtype)
