"""The model under test: structures in, answers and derivatives out, in float64.

Here, and nowhere else, is known how a model is called. Every evaluation builds a new batch, and
with it new neighbor lists.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from traceback import walk_tb
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch_geometric.data import Batch

from equivariance_tests.clouds import Cloud, Setting, Structure, collate
from equivariance_tests.model.calls import as_network
from symmetrize import Contract

if TYPE_CHECKING:
    from equivariance_tests.measure.yardstick import Yardstick

# Points in one call of the model; fewer where a graph of derivatives of first and second order is
# kept, which takes 1 GiB and more for a symmetrized transformer
POINTS_AT_ONCE = (1024, 256, 256)
SEED = 20231


@dataclass(frozen=True)
class Answers:
    """What a model returned for some structures.

    Attributes:
        values: (rows, dim) float64 of each output, in the order of the contract.
        owner: (rows,) the structure of each row.
        size: number of structures.
    """

    values: Mapping[str, Float[Tensor, "rows dim"]]
    owner: Mapping[str, Int[Tensor, "rows"]]
    size: int

    def finite(self) -> Bool[Tensor, "structures"]:
        """Whether all values of a structure are."""
        return torch.isfinite(self.largest({name: torch.ones(1).double() for name in self.values}))

    def minus(self, other: Answers) -> Answers:
        """Row by row."""
        pairs = {name: values - other.values[name] for name, values in self.values.items()}
        return Answers(pairs, self.owner, self.size)

    def turned(self, matrix: Float[Tensor, "3 3"], contract: Contract) -> Answers:
        """As the contract says that they turn."""
        turned = {
            name: values @ contract.outputs[name].representation.matrices(matrix).T
            for name, values in self.values.items()
        }
        return Answers(turned, self.owner, self.size)

    def largest(self, scales: Mapping[str, Float[Tensor, "dim"]]) -> Float[Tensor, "structures"]:
        """Largest absolute value of each structure, in units of the scales; NaN stays."""
        worst = torch.zeros(self.size, dtype=torch.float64)
        for name, values in self.values.items():
            rows = (values.abs() / scales[name]).amax(1) if values.numel() else values[:, 0]
            # what is not finite is so for the whole structure
            rows = torch.where(torch.isfinite(rows), rows, torch.inf)
            worst = worst.scatter_reduce(0, self.owner[name], rows, "amax")
        return torch.where(torch.isinf(worst), torch.nan, worst)

    def taken(self, structures: Sequence[int]) -> Answers:
        """The answers to some of the structures, in that order."""
        place = torch.full((self.size,), -1)
        place[list(structures)] = torch.arange(len(structures))
        values, owners = {}, {}
        for name, owner in self.owner.items():
            moved = place[owner]
            rows = torch.argsort(moved, stable=True)[int((moved < 0).sum()) :]
            values[name], owners[name] = self.values[name][rows], moved[rows]
        return Answers(values, owners, len(structures))

    def of(self, structure: int) -> dict[str, Float[Tensor, "rows dim"]]:
        """The rows of one structure."""
        return {name: values[self.owner[name] == structure] for name, values in self.values.items()}


class Subject:
    """A model with what it claims.

    Args:
        model: anything callable; see ``call``.
        contract: what it claims; ``model.contract`` if not given.
        species, of_structures, unit, carries: see ``Setting.of``.
        call: how it is called, if that is not seen from its signature: attributes of the data
            ("z, pos, batch"), a dense layout ("b n c -> b o"), or "n c -> o" for a function of the
            positions of one structure.
        prepare: what is done to a batch first, such as ``backbones.adapters.connect(radius=5.0)``.
        dtype, device: of the positions. A module is copied, and the copy converted.

    Attributes:
        batched: whether structures share a batch; turned off for models that mix them up.
        alone: whether what a model answers in a batch only is not answered; see ``ask_alone``.
        weighed_outputs: those that derivatives are asked of; all if empty.
        around: a structure of a user that spreads are measured around, if it has attributes that
            the model may read and other structures lack.
        remembered: numbers that were measured once for this model, by what they are.

    Raises:
        ValueError: if there is no contract.
    """

    def __init__(
        self,
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
    ) -> None:
        contract = getattr(model, "contract", None) if contract is None else contract
        if not isinstance(contract, Contract):
            raise ValueError(
                f"the model {type(model).__name__} declares no contract: give one, as in "
                'Contract({"energy": "0e"}, cutoff=5.0)'
            )
        self.model, self.contract, self.call, self.prepare = model, contract, call, prepare
        self.setting = Setting.of(contract, species, of_structures, unit, carries)
        self.dtype, self.device = dtype, torch.device(device)
        self.net = as_network(_converted(model, dtype, self.device), contract, call)
        self.batched, self.alone = True, False
        self.around: Structure | None = None
        self.weighed_outputs: tuple[str, ...] = ()
        self.remembered: dict[Hashable, float] = {}
        self._answered: dict[Cloud, bool] = {}
        self._others: dict[Hashable, Subject] = {}

    @cached_property
    def yardstick(self) -> Yardstick:
        """What errors are measured in; found once, from unrelated clouds."""
        from equivariance_tests.measure.yardstick import measured

        return measured(self)

    def at(self, dtype: torch.dtype) -> Subject:
        """A copy of the model in some precision, the same one each time."""
        # those that are asked in another way are other subjects
        key = (dtype, self.batched, self.alone)
        if key not in self._others:
            self._others[key] = self._copied(dtype)
        return self._others[key]

    def fresh(self) -> Subject:
        """The same model as it was given, whatever it was asked since: a copy where one can be."""
        other = copy.copy(self)
        if not isinstance(self.model, nn.Module):  # those are copied each time
            try:
                other.model = copy.deepcopy(self.model)
            except Exception:  # open files, locks, modules of C
                other.model = self.model
        return other._copied(self.dtype)

    def _copied(self, dtype: torch.dtype) -> Subject:
        """A copy that was never asked, but knows the spread where that is of the same numbers."""
        other = copy.copy(self)
        other.dtype = dtype
        net = _converted(self.model, dtype, self.device)
        other.net = as_network(net, self.contract, self.call)
        other.remembered, other._answered, other._others = {}, {}, {}
        other.__dict__.pop("_attached", None)
        if dtype != self.dtype:
            other.__dict__.pop("yardstick", None)
        return other

    def structures(self, clouds: Sequence[Cloud]) -> list[Structure]:
        """What clouds describe, as exactly as the dtype of the model can say it."""
        return [self.setting.structure(cloud).rounded(self.dtype) for cloud in clouds]

    def left_out(self, cloud: Cloud) -> str:
        """Why the contract does not speak of a cloud, or nothing."""
        return self.setting.left_out(cloud, self.dtype)

    # --- evaluation

    def __call__(self, structures: Sequence[Structure]) -> Answers:
        """The answers to structures, each rounded to the dtype of the model."""
        parts = [self._evaluated(chunk) for chunk in self.chunks(structures)]
        return _joined(parts, self.contract)

    def together(self, structures: Sequence[Structure]) -> Answers:
        """The answers to structures in one batch, whatever ``batched`` says."""
        return self._evaluated(structures)

    def ask_alone(self) -> None:
        """From now on count as answered only what the model answers alone."""
        self.alone = True
        self._answered.clear()

    def apart(self, structures: Sequence[Structure]) -> Answers:
        """The answers to structures, each in a batch of its own."""
        return _joined([self._evaluated([one]) for one in structures], self.contract)

    def answered(self, clouds: Sequence[Cloud]) -> list[bool]:
        """Whether the model has a finite answer to each cloud, and does not raise."""
        new = [cloud for cloud in dict.fromkeys(clouds) if cloud not in self._answered]
        # all at once first: one by one only to tell which
        if self.alone or (new and not self._all_finite(new)):
            for cloud in new:
                self._answered[cloud] = self._all_finite([cloud])
        else:
            self._answered.update(dict.fromkeys(new, True))
        return [self._answered[cloud] for cloud in clouds]

    def _all_finite(self, clouds: Sequence[Cloud]) -> bool:
        try:
            return bool(self(self.structures(clouds)).finite().all())
        except Exception:  # whatever a model raises, it has no answer
            return False

    def raw(self, batch: Batch) -> dict[str, Tensor]:
        """What the model itself returns for a batch, by name."""
        try:
            if self.prepare is not None:
                batch = self.prepare(batch)
            return _with_stress(self.contract.outputs.named(self._returned(batch)), batch)
        except (AttributeError, KeyError) as error:
            if "'z'" in str(error) and not self.setting.species:
                error.add_note("a model that takes species needs to know which: species=(1, 6, 8)")
            raise

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

    def raised(self, error: Exception) -> bool:
        """Whether an exception came out of the model, and not of what asks it."""
        return any(
            frame.f_code is Subject.raw.__code__ for frame, _ in walk_tb(error.__traceback__)
        )

    def batch(self, structures: Sequence[Structure]) -> Batch:
        """The batch that the model takes."""
        return collate(structures, self.dtype, self.device)

    def chunks(self, structures: Sequence[Structure], order: int = 0) -> list[Sequence[Structure]]:
        """Structures that go into one call, for derivatives of some order."""
        if not self.batched:
            return [[structure] for structure in structures]
        chunks: list[list[Structure]] = [[]]
        points = 0
        for structure in structures:
            if chunks[-1] and points + len(structure) > POINTS_AT_ONCE[order]:
                chunks.append([])
                points = 0
            chunks[-1].append(structure)
            points += len(structure)
        return list(chunks)

    def _evaluated(self, structures: Sequence[Structure]) -> Answers:
        with torch.no_grad():
            batch = self.batch(structures)
            return self._read(self.raw(batch), structures)

    def _read(self, returned: Mapping[str, Tensor], structures: Sequence[Structure]) -> Answers:
        """Outputs as rows of numbers, with the structure of each."""
        sizes = torch.tensor([len(structure) for structure in structures])
        each = torch.arange(len(structures))
        values, owner = {}, {}
        for name, output in self.contract.outputs.items():
            found = returned[name].detach().to("cpu", torch.float64)
            owner[name] = each.repeat_interleave(sizes) if output.per_point else each
            rows = len(owner[name])
            if found.ndim == 0 or len(found) != rows:
                what = "points" if output.per_point else "structures"
                raise ValueError(
                    f"the output {name!r} has shape {tuple(found.shape)} for {rows} {what}: it "
                    "must have one row for each; pool with the size `data.num_graphs`, or declare "
                    "it with per_point(...)"
                )
            values[name] = output.representation.flatten(found).reshape(
                rows, output.representation.dim
            )
        return Answers(values, owner, len(structures))

    # --- derivatives

    def covector(self, scales: Mapping[str, Tensor], seed: int = 0) -> dict[str, Tensor]:
        """Numbers to weigh outputs with, so that a scalar is left to differentiate.

        Zeros for an output that has no graph where others have one: forces that a model finds by
        backpropagation are not always differentiable in turn.
        """
        generator = torch.Generator().manual_seed(SEED + seed)
        drawn = {
            name: torch.randn(len(scale), dtype=torch.float64, generator=generator) / scale
            for name, scale in scales.items()
        }
        asked = self.weighed_outputs or drawn
        weights = {name: self._attached.get(name, 1.0) * (name in asked) for name in drawn}
        return {name: one * weights[name] for name, one in drawn.items()}

    @cached_property
    def _attached(self) -> Mapping[str, float]:
        """One for outputs that depend differentiably on the positions, zero for others."""
        try:
            batch = self.batch(self.structures([Cloud("generic", 5, 1)]))
            batch.pos = batch.pos.detach().requires_grad_()
            with torch.enable_grad():
                returned = self.raw(batch)
        except Exception:  # whatever a model raises is told by those who ask it
            return {}
        found = {name: float(values.requires_grad) for name, values in returned.items()}
        return found if any(found.values()) else {}

    def weighed(
        self, returned: Mapping[str, Tensor], covector: Mapping[str, Tensor], batch: Batch
    ) -> Float[Tensor, "structures"]:
        """Each structure's outputs times the covector; rows of points with weights of their own."""
        total = torch.zeros(batch.num_graphs, dtype=self.dtype, device=self.device)
        place = torch.arange(len(batch.batch), device=self.device) - batch.ptr[batch.batch]
        for name, output in self.contract.outputs.items():
            rows = output.representation.flatten(returned[name])
            rows = rows.reshape(-1, output.representation.dim)
            rows = rows @ covector[name].to(rows.dtype).to(rows.device)
            if output.per_point:
                # not all alike: forces sum to zero
                rows = rows * torch.cos(1.0 + place.to(rows.dtype))
                rows = total.new_zeros(len(total)).index_add(0, batch.batch, rows.to(total.dtype))
            total = total + rows
        return total

    def scalars(
        self, structures: Sequence[Structure], covector: Mapping[str, Tensor]
    ) -> Float[Tensor, "structures"]:
        """The weighed outputs of each structure, of which ``gradients`` are the derivatives."""
        parts = []
        with torch.no_grad():
            for chunk in self.chunks(structures):
                batch = self.batch(chunk)
                parts.append(self.weighed(self.raw(batch), covector, batch))
        return torch.cat(parts).to("cpu", torch.float64)

    def gradients(
        self,
        structures: Sequence[Structure],
        covector: Mapping[str, Tensor],
        along: Sequence[Tensor] | None = None,
    ) -> Float[Tensor, "points 3"] | None:
        """Gradient of the weighed outputs at each point, of all structures under each other.

        Args:
            structures: where.
            covector: what the outputs are weighed with.
            along: directions (n, 3) for each structure: the product of the Hessian with them is
                returned instead of the gradient.

        Returns:
            float64, or None if the outputs do not depend differentiably on the positions.
        """
        parts, start = [], 0
        for chunk in self.chunks(structures, 1 if along is None else 2):
            batch = self.batch(chunk)
            if len(batch.pos) == 0:  # nothing to differentiate by
                start += len(chunk)
                continue
            batch.pos = batch.pos.detach().requires_grad_()
            with torch.enable_grad():
                total = self.weighed(self.raw(batch), covector, batch).sum()
                if not total.requires_grad:
                    return None
                try:
                    found = _gradient(total, batch.pos, create_graph=along is not None)
                except RuntimeError as error:
                    if "second time" not in str(error):
                        raise
                    return None  # the model has used up the graph for its own forces
                if along is not None:
                    directions = torch.cat(list(along[start : start + len(chunk)]))
                    product = (found * directions.to(found)).sum()
                    if not product.requires_grad:  # a function that is linear in the positions
                        found = torch.zeros_like(found)
                    else:
                        found = _gradient(product, batch.pos)
            parts.append(found.detach().to("cpu", torch.float64))
            start += len(chunk)
        return torch.cat([torch.zeros(0, 3, dtype=torch.float64), *parts])


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


def _gradient(scalar: Tensor, positions: Tensor, create_graph: bool = False) -> Tensor:
    (found,) = torch.autograd.grad(scalar, positions, create_graph=create_graph, allow_unused=True)
    return torch.zeros_like(positions) if found is None else found


def _converted(model: Any, dtype: torch.dtype, device: torch.device) -> Any:
    """A copy of a module, in another precision; anything else follows its input, or does not."""
    if not isinstance(model, nn.Module):
        return model
    try:
        copied = copy.deepcopy(model)
    except Exception as error:
        raise TypeError(
            f"the model {type(model).__name__} cannot be copied ({error}), so that its dtype would "
            "be changed in place: take out what copy.deepcopy refuses, or wrap it in a function"
        ) from error
    return copied.to(device=device, dtype=dtype)


def _joined(parts: Sequence[Answers], contract: Contract) -> Answers:
    """The answers of several calls as those of one."""
    size = 0
    owners: dict[str, list[Tensor]] = {name: [] for name in contract.outputs}
    for part in parts:
        for name, owner in part.owner.items():
            owners[name].append(owner + size)
        size += part.size
    values = {name: torch.cat([part.values[name] for part in parts]) for name in owners}
    return Answers(values, {name: torch.cat(owner) for name, owner in owners.items()}, size)
