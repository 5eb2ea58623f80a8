"""The derivative along an infinitesimal rotation is that of the representation.

With a generator X of rotations, a skew matrix, and a covector c,

    grad(c . F) . (X x) = c . d rho(X) F,

for rotations about each axis, or that of the contract. What rotates is differentiated: positions,
lattice vectors, inputs. The law holds point by point, not between a cloud and a turned one: it says
nothing on reflections, and does not see a step.

Source: Gruver et al., arXiv 2210.02984. They report the mean over inputs; here the worst counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch_geometric.data import Batch

from equivariance_tests.checks.derivative_law import DerivativeLaw
from equivariance_tests.clouds import Structure
from equivariance_tests.measure.gradients import gradient_rounding
from equivariance_tests.measure.measured import Measured, worst
from equivariance_tests.measure.rounding import EXACT, ROUNDINGS, inner_rounding, rounding
from equivariance_tests.measure.trial import Trial
from equivariance_tests.model.slopes import weighed
from equivariance_tests.report.failures import Failure, first_line
from symmetrize.groups import Direction, is_axial
from symmetrize.representation import Representation, as_representation

COVECTORS = 2
AXES = "xyz"
VECTOR = as_representation("1o")


class NotStationary(Failure):
    """The derivative along an infinitesimal rotation is not that of the representation."""

    kind = "wrong Lie derivative"


class LieDerivative(DerivativeLaw):
    """Rotations about each axis, at rest.

    Nothing is said of a crystal, or of a cloud with inputs, if the model does not differentiate
    with respect to lattice vectors or inputs: only positions need to be.
    """

    name = "Lie derivative"
    law = "grad F(x) . (X x) = d rho(X) F(x) for every skew X"
    failure = NotStationary

    def reason_to_skip(self, trial: Trial) -> str:
        """No group is claimed, or no derivative."""
        return super().reason_to_skip(trial) if trial.contract.group else "no group is claimed"

    def measured(self, trial: Trial, structures: Sequence[Structure]) -> list[Measured]:
        """The worst over some covectors."""
        found = [_turned_at_rest(trial, structures, seed) for seed in range(COVECTORS)]
        return [worst(several) for several in zip(*found, strict=True)]


def generator(representation: Representation, axis: int) -> Float[Tensor, "dim dim"]:
    """d/dt D(exp(t X)) at t = 0 for rotations about x, y, or z, exact to rounding.

    D is a trigonometric polynomial in t, of which 2 l + 1 values give the derivative.

    >>> generator(VECTOR, 2).round(decimals=9).tolist()
    [[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    degree = max(representation.lmax, len(representation.value_shape))
    skew = torch.zeros(3, 3, dtype=torch.float64)
    skew[(axis + 2) % 3, (axis + 1) % 3], skew[(axis + 1) % 3, (axis + 2) % 3] = 1.0, -1.0
    k = torch.cat([torch.arange(-degree, 0), torch.arange(1, degree + 1)]).double()
    angles = 2 * torch.pi * k / (2 * degree + 1)
    matrices = representation.matrices(torch.matrix_exp(angles[:, None, None] * skew))
    # derivative of the periodic sinc at the other nodes
    weights = -torch.cos(torch.pi * k) / (2 * torch.sin(angles / 2))
    return torch.einsum("k,kij->ij", weights, matrices)


def about(representation: Representation, axis: Direction) -> Float[Tensor, "dim dim"]:
    """The same for rotations about any axis."""
    return sum(
        (x * generator(representation, i) for i, x in enumerate(axis) if x),
        torch.zeros(representation.dim, representation.dim, dtype=torch.float64),
    )


def _axes(trial: Trial) -> list[Direction]:
    """About which infinitesimal rotations are tried."""
    if is_axial(trial.contract.group):
        assert isinstance(trial.contract.axis, tuple)
        return [trial.contract.axis]
    return [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)]


def _turned_at_rest(trial: Trial, structures: Sequence[Structure], seed: int) -> list[Measured]:
    """Both sides on each structure, for one covector."""
    covector = trial.covector(seed=seed)
    # a model that does not differentiate with respect to cells may not be asked to at all
    finite = [i for i, one in enumerate(structures) if not _turning(one)]
    others = [i for i, one in enumerate(structures) if _turning(one)]
    found: dict[int, Measured] = {}
    for group in (finite, others):
        some = [structures[i] for i in group]
        found |= dict(zip(group, _judged(trial, some, covector), strict=True))
    return [found[i] for i in range(len(structures))]


def _judged(
    trial: Trial, structures: Sequence[Structure], covector: Mapping[str, Tensor]
) -> list[Measured]:
    errors: list[Tensor] = []
    axes: list[Tensor] = []
    reach: list[Tensor] = []
    missing = ""
    for chunk in trial.subject.chunks(structures, 1) if structures else []:
        try:
            change, lever, lacking = _both_sides(trial, chunk, covector)
        except Exception as raised:  # positions alone can be differentiated: that was tried
            return [
                Measured(skipped=f"no gradient of cells or inputs: {first_line(raised)}")
            ] * len(structures)
        error, axis = change.abs().max(0)
        errors, axes, reach = [*errors, error], [*axes, axis], [*reach, lever]
        missing = missing or lacking
    if missing:
        return [Measured(skipped=f"no gradient with respect to {missing}")] * len(structures)
    if not errors:
        return []
    error, bounds = torch.cat(errors), torch.cat(reach)
    bounds = (ROUNDINGS * torch.finfo(trial.dtype).eps * bounds).clamp(min=EXACT[trial.dtype])
    large = (error > bounds).nonzero()[:, 0].tolist()
    few = [structures[i] for i in large]
    if few:
        answers = torch.fmax(rounding(trial, few, trial.scales), inner_rounding(trial, few))
        digits = gradient_rounding(trial, few, covector)
        for i, one, noise, own in zip(large, few, digits, answers, strict=True):
            arm = (noise * one.positions.norm(dim=1)).sum()
            bounds[i] += ROUNDINGS * float(arm + own)
    named = AXES if len(_axes(trial)) == 3 else ["the axis"]
    words = [named[int(axis)] for axis in torch.cat(axes)]
    return [
        Measured(float(e), float(b), _said(float(e), float(b), word), details={"axis": word})
        for e, b, word in zip(error, bounds, words, strict=True)
    ]


def _said(error: float, bound: float, axis: str) -> str:
    if math.isnan(error):  # those with respect to positions are finite: that was asked
        return "the gradient with respect to the cell or the inputs is not finite"
    return (
        f"rotating about {axis} at rest, the output changes by {error:.2g} of its spread per "
        f"radian more or less than declared, where rounding explains {bound:.1g}"
    )


def _both_sides(
    trial: Trial, structures: Sequence[Structure], covector: Mapping[str, Tensor]
) -> tuple[Float[Tensor, "axes structures"], Float[Tensor, "structures"], str]:
    """Left side minus right side, the sum of |gradient| |x|, and what has no gradient."""
    batch = trial.subject.batch(structures)
    leaves = {"pos": VECTOR}
    if any(_turning(one) for one in structures):
        leaves |= dict(trial.contract.inputs)
        leaves |= dict.fromkeys(trial.contract.positions, VECTOR)
        leaves |= {"cell": VECTOR} if structures[0].cell is not None else {}
    for name in leaves:
        batch[name] = batch[name].detach().requires_grad_()
    given = {name: batch[name] for name in leaves}
    with torch.enable_grad():
        returned = trial.subject.raw(batch)
        total = weighed(trial.subject, returned, covector, batch).sum()
    slopes = torch.autograd.grad(total, list(given.values()), allow_unused=True)
    axes = _axes(trial)
    change = torch.zeros(len(axes), len(structures), dtype=trial.dtype, device=trial.subject.device)
    lever = torch.zeros_like(change[0])
    missing = ""
    with torch.no_grad():
        for name, slope in zip(leaves, slopes, strict=True):
            if slope is None:
                missing = missing or name
                continue
            owner = _owner(name, given[name], batch)
            rows, slope = (
                x.reshape(len(owner), -1, leaves[name].dim) for x in (given[name], slope)
            )
            for i, axis in enumerate(axes):
                turned = rows @ about(leaves[name], axis).T.to(rows)
                change[i].index_add_(0, owner, (turned * slope).sum((1, 2)))
            lever.index_add_(0, owner, (rows.norm(dim=2) * slope.norm(dim=2)).sum(1))
        for i, axis in enumerate(axes):
            outputs = trial.contract.outputs
            turned_back = {
                name: about(outputs[name].representation, axis).T @ c
                for name, c in covector.items()
            }
            change[i] -= weighed(trial.subject, returned, turned_back, batch)
    return change.double().cpu(), lever.double().cpu(), missing


def _owner(name: str, values: Tensor, batch: Batch) -> Tensor:
    """The structure of each row of an attribute."""
    if f"{name}_batch" in batch:  # further positions
        return batch[f"{name}_batch"]
    if name == "cell" or len(values) != len(batch.batch):
        return torch.arange(batch.num_graphs, device=values.device)
    return batch.batch


def _turning(structure: Structure) -> bool:
    """Whether anything but positions turns."""
    cell = structure.cell is not None and bool(structure.cell.any())
    others = [*structure.inputs.values(), *structure.further.values()]
    return cell or any(bool(values.any()) for values in others)
