"""Derivatives of a model: of its outputs, weighed so that one number of each structure is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch_geometric.data import Batch

from equivariance_tests.clouds import Cloud, Structure
from equivariance_tests.model.answers import rows_of
from equivariance_tests.model.subject import Returned, Subject

# What each output is weighed with: (dim,) numbers by name
Covector = Mapping[str, Tensor]
# By how much the places of points count in the weight of a row, first end and second
ENDS = (1.0, 2.0)
PROBED = Cloud("generic", 5, 1)


def attached(subject: Subject) -> Mapping[str, float]:
    """One for outputs that depend differentiably on the positions, zero for others.

    Empty if none does, or if the model raises: that is told by those who ask it.
    """
    try:
        batch = subject.batch(subject.structures([PROBED]))
        batch.pos = batch.pos.detach().requires_grad_()
        with torch.enable_grad():
            returned = subject.raw(batch).values
    except Exception:  # whatever a model raises is told by those who ask it
        return {}
    found = {name: float(values.requires_grad) for name, values in returned.items()}
    return found if any(found.values()) else {}


def weighed(
    subject: Subject, returned: Returned, covector: Covector, batch: Batch
) -> Float[Tensor, "structures"]:
    """Each structure's outputs times the covector; rows of points with weights of their own."""
    total = torch.zeros(batch.num_graphs, dtype=subject.dtype, device=subject.device)
    for name, output in subject.contract.outputs.items():
        values = output.representation.flatten(returned.values[name])
        values = values.reshape(-1, output.representation.dim)
        values = values @ covector[name].to(values.dtype).to(values.device)
        if output.rows != "structure":
            rows = rows_of(output, batch, returned.edges)
            # not all alike: forces sum to zero
            place = rows.ends.to(values.dtype) @ values.new_tensor(ENDS[: rows.ends.size(1)])
            values = values * torch.cos(1.0 + place)
            values = total.new_zeros(len(total)).index_add(0, rows.owner, values.to(total.dtype))
        total = total + values
    return total


def scalars(
    subject: Subject, structures: Sequence[Structure], covector: Covector
) -> Float[Tensor, "structures"]:
    """The weighed outputs of each structure, of which ``gradients`` are the derivatives."""
    parts = []
    with torch.no_grad():
        for chunk in subject.chunks(structures):
            batch = subject.batch(chunk)
            parts.append(weighed(subject, subject.raw(batch), covector, batch))
    return torch.cat(parts).to("cpu", torch.float64)


def gradients(
    subject: Subject,
    structures: Sequence[Structure],
    covector: Covector,
    along: Sequence[Tensor] | None = None,
) -> Float[Tensor, "points 3"] | None:
    """Gradient of the weighed outputs at each point, of all structures under each other.

    Args:
        subject: the model.
        structures: where.
        covector: what the outputs are weighed with.
        along: directions (n, 3) for each structure: the product of the Hessian with them is
            returned instead of the gradient.

    Returns:
        float64, or None if the outputs do not depend differentiably on the positions.
    """
    return with_gradients(subject, structures, covector, along)[1]


def with_gradients(
    subject: Subject,
    structures: Sequence[Structure],
    covector: Covector,
    along: Sequence[Tensor] | None = None,
) -> tuple[Float[Tensor, "structures"], Float[Tensor, "points 3"] | None]:
    """As ``scalars`` and ``gradients``, from one evaluation."""
    parts, totals, start = [torch.zeros(0, 3, dtype=torch.float64)], [], 0
    for chunk in subject.chunks(structures, 1 if along is None else 2):
        batch = subject.batch(chunk)
        batch.pos = batch.pos.detach().requires_grad_()
        with torch.enable_grad():
            total = weighed(subject, subject.raw(batch), covector, batch)
            totals.append(total.detach().to("cpu", torch.float64))
            if len(batch.pos) == 0:  # nothing to differentiate by
                start += len(chunk)
                continue
            if not total.requires_grad:
                return torch.cat(totals), None
            try:
                found = _gradient(total.sum(), batch.pos, create_graph=along is not None)
            except RuntimeError as error:
                if "second time" not in str(error):
                    raise
                return torch.cat(totals), None  # the model has used up the graph for its own forces
            if along is not None:
                directions = torch.cat(list(along[start : start + len(chunk)]))
                product = (found * directions.to(found)).sum()
                if not product.requires_grad:  # a function that is linear in the positions
                    found = torch.zeros_like(found)
                else:
                    found = _gradient(product, batch.pos)
        parts.append(found.detach().to("cpu", torch.float64))
        start += len(chunk)
    return torch.cat(totals), torch.cat(parts)


def _gradient(scalar: Tensor, positions: Tensor, create_graph: bool = False) -> Tensor:
    (found,) = torch.autograd.grad(scalar, positions, create_graph=create_graph, allow_unused=True)
    return torch.zeros_like(positions) if found is None else found
