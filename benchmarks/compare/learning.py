"""A network with the units of its data: baselines of compositions, scales, derivatives of energies.

Networks return numbers of order one. What is compared with data is

    baseline + START * scale * (network - its first mean) / its first size

with a baseline fitted to compositions and a scale from the data; for energies, where there are
forces, both sizes are those of forces. So everything is near zero at the start, and of the order of
the data soon. Energies hardly count at first beside forces, and more and more to the end: the
other way round networks learn nothing from structures that are much alike for hundreds of steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from benchmarks.compare.data import DERIVED, DataSet
from symmetrize.representation import as_representation

# Of outputs of order one
START = 0.03
# Weight of energies in the loss, where there are forces: in the first step, and in the last
BESIDE_FORCES = (1e-3, 0.1)


class Units(nn.Module):
    """What stands between a network and its targets.

    Args:
        data: with targets and species.
        train: structures that baselines and scales are fitted to.
        plain: whether the network answers in the units of the data already.
    """

    def __init__(self, data: DataSet, train: list[Data], plain: bool = False) -> None:
        super().__init__()
        self.targets, self.species = data.targets, data.species
        self.register_buffer("kinds", torch.tensor(data.species or [0]))
        measured = [n for n, one in data.targets.items() if n not in DERIVED and not one.classes]
        self.returned = [] if plain else measured
        for name, target in data.targets.items():
            values = torch.cat([one[name] for one in train])
            if target.classes:
                continue
            turning = as_representation(target.representation)
            values = values.double().reshape(len(values), -1)
            base = torch.zeros(len(self.kinds), turning.dim, dtype=torch.float64)
            if name not in DERIVED and target.rows == "structure" and not plain:
                counts = torch.stack([self._counts(one) for one in train])
                base = torch.linalg.lstsq(
                    counts, turning.project_invariant(values), rcond=1e-9, driver="gelsd"
                ).solution
                values = values - counts @ base
            spread = values.square().mean().sqrt()
            self.register_buffer(f"{name}_base", base)
            self.register_buffer(f"{name}_scale", torch.where(spread > 0, spread, 1.0))
            if name not in DERIVED:
                self.register_buffer(f"{name}_first", torch.zeros((), dtype=torch.float64))
                self.register_buffer(f"{name}_unit", torch.ones((), dtype=torch.float64))

    def _counts(self, data: Data) -> Tensor:
        """How many points of each species."""
        z = data.get("z")
        if z is None:
            return torch.tensor([float(len(data.pos))], dtype=torch.float64)
        return (z[:, None] == self.kinds).sum(0).double()

    def calibrate(self, net: Callable[[Any], Any], batch: Batch) -> None:
        """Learn what a network returns at first: of scalars the mean per point, and the spread.

        Of energies with forces the root mean square of the slopes instead: energies of structures
        that are much alike hardly differ.
        """
        batch = batch.clone()
        batch.pos = batch.pos.detach().requires_grad_()
        returned = net(batch)
        for name in self.returned:
            values = returned[name].detach().double()
            points = torch.bincount(batch.batch, minlength=batch.num_graphs)[:, None].double()
            first = torch.zeros((), dtype=torch.float64)
            if self.targets[name].representation == "0e":
                first = (values / points if len(values) == len(points) else values).mean()
                values = values - first * (points if len(values) == len(points) else 1.0)
            spread = values.square().mean().sqrt()
            if name == "energy" and "forces" in self.targets:
                (slopes,) = torch.autograd.grad(returned[name].sum(), batch.pos, retain_graph=True)
                spread = slopes.double().square().mean().sqrt()
            getattr(self, f"{name}_first").copy_(first)
            getattr(self, f"{name}_unit").copy_(torch.where(spread > 0, spread, 1.0))

    def scale(self, name: str) -> Tensor:
        """Of the values of a target; of energies that of forces, if there are some."""
        with_forces = name == "energy" and "forces" in self.targets
        return getattr(self, "forces_scale" if with_forces else f"{name}_scale")

    def spread(self, name: str) -> Tensor:
        """What errors of a target are measured in, in the loss."""
        return getattr(self, f"{name}_scale")

    def in_units(self, name: str, values: Tensor, batch: Batch) -> Tensor:
        """Values of the network without their baseline, in the unit of the data."""
        if name not in self.returned:
            return values
        factor = START * self.scale(name) / getattr(self, f"{name}_unit")
        if self.targets[name].representation == "0e":
            first = getattr(self, f"{name}_first").to(values)
            if self.targets[name].rows == "structure":
                first = first * torch.bincount(batch.batch, minlength=batch.num_graphs)[:, None]
            values = values - first.to(values)
        return factor.to(values) * values

    def baseline(self, name: str, batch: Batch) -> Tensor:
        """What the composition alone says, in double precision; zeros where that is nothing."""
        kinds = batch.get("z")
        base = getattr(self, f"{name}_base", None)
        if base is None or self.targets[name].rows == "point":
            return torch.zeros(1, 1, dtype=torch.float64)
        total = torch.zeros(batch.num_graphs, base.size(1), dtype=torch.float64)
        if not bool(base.any()):
            return total
        which = (
            torch.zeros_like(batch.batch)
            if kinds is None
            else torch.searchsorted(self.kinds, kinds)
        )
        return total.index_add(0, batch.batch, base[which])


def predicted(
    model: Callable[[Any], Any], units: Units, batch: Batch, create_graph: bool
) -> dict[str, Tensor]:
    """All targets, energies without their baseline; forces and stress as derivatives."""
    derived = [name for name in DERIVED if name in units.targets]
    strain = None
    if derived:
        batch = batch.clone()
        batch.pos = batch.pos.detach().requires_grad_()
        if "stress" in derived:
            strain = torch.zeros(batch.num_graphs, 3, 3, dtype=batch.pos.dtype).requires_grad_()
            symmetric = (strain + strain.mT) / 2
            leaf = batch.pos
            batch.pos = leaf + torch.einsum("pi,pij->pj", leaf, symmetric[batch.batch])
            batch.cell = batch.cell + batch.cell @ symmetric
        leaf = leaf if strain is not None else batch.pos
    with torch.set_grad_enabled(create_graph or bool(derived)):
        returned = model(batch)
        found = {
            name: units.in_units(name, returned[name], batch)
            for name in units.targets
            if name not in DERIVED
        }
        if derived:
            wanted = (leaf,) if strain is None else (leaf, strain)
            slopes = torch.autograd.grad(
                found["energy"].sum(), wanted, create_graph=create_graph, materialize_grads=True
            )
            if "forces" in derived:
                found["forces"] = -slopes[0]
            if strain is not None:
                volume = torch.linalg.det(batch.cell.detach()).abs()[:, None, None]
                found["stress"] = slopes[1] / volume
    return found if create_graph else {name: value.detach() for name, value in found.items()}


def loss_of(
    found: Mapping[str, Tensor],
    units: Units,
    batch: Batch,
    weights: Mapping[str, float],
    done: float = 1.0,
    share: Mapping[str, float] | None = None,
) -> Tensor:
    """The sum over targets of mean errors, in units of their spread; of labels, cross entropy.

    Args:
        found: what was predicted.
        units: of the targets.
        batch: what is true.
        weights: of targets, by name.
        done: part of the training that is done.
        share: how much these structures, and these points, count among all of a step.
    """
    total = batch.pos.new_zeros(())
    for name, values in found.items():
        weight = weights.get(name, 1.0)
        if share is not None:
            weight = weight * share[units.targets[name].rows]
        if name == "energy" and "forces" in units.targets:
            first, last = BESIDE_FORCES
            weight = weight * first * (last / first) ** done**2
        if units.targets[name].classes:
            total = total + weight * nn.functional.cross_entropy(values, batch[name])
            continue
        left = batch[name].double().reshape(len(values), -1) - units.baseline(name, batch)
        error = (values.reshape(len(values), -1) - left.to(values)) / units.spread(name).to(values)
        # linear in large errors, so that a few strange structures do not decide
        total = total + weight * nn.functional.huber_loss(error, torch.zeros_like(error))
    return total
