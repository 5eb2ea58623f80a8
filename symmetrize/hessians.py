"""Second derivatives of energies by positions: Hessians, and their products with displacements.

Each product is one more derivative of the forces. A Hessian is as many as there are coordinates:
some at a time, so that memory is bounded beside the graph of the forces, which ``chunk_size`` or
``memory`` of a ``Symmetrizer`` bounds in turn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from symmetrize.data.boundary import accepted
from symmetrize.data.owners import owners
from symmetrize.data.plane import is_flat
from symmetrize.derivatives import forces_and_stress

if TYPE_CHECKING:
    from torch_geometric.data import Data


def hessian_vector_products(
    model: Callable[[Any], Any],
    data: Data,
    vectors: Float[Tensor, "*products points axes"],
    energy: str | int = "energy",
    progress: Callable[[int, int], None] | None = None,
) -> Float[Tensor, "*products points axes"]:
    """Products of the Hessian d^2 E / dx dx with displacements, at the cost of a force each.

    Args:
        model: any callable from data to energies, as in ``forces_and_stress``.
        data: one structure or several.
        energy: name of the energies among what the model returns.
        vectors: (P, 3), or (N, P, 3) for N products, displacements of all points.
        progress: called with the number of products that are done, and of all.

    Returns:
        of the shape of the vectors, in units of energy by length squared, times theirs.

    Raises:
        ValueError: if the vectors do not fit the points.

    >>> from torch_geometric.data import Data
    >>> spring = lambda data: (data.pos[1] - data.pos[0]).norm().sub(1).square()[None] / 2
    >>> stretched = Data(pos=torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 3.0]]))
    >>> along = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    >>> hessian_vector_products(spring, stretched, along)[:, 2].tolist()
    [-1.0, 1.0]
    """
    data = data if is_flat(data) else accepted(data)
    if vectors.ndim not in (2, 3) or vectors.shape[-2:] != data.pos.shape:
        raise ValueError(
            f"`vectors` has shape {tuple(vectors.shape)} but must be {tuple(data.pos.shape)}, one "
            "displacement of each point, or several of these, one after the other"
        )
    pos, forces = _forces(model, data, energy)
    each = vectors.to(pos.dtype).reshape(-1, *pos.shape)
    products = [torch.zeros_like(pos)] * len(each)
    for number, vector in enumerate(each):
        if forces.requires_grad:
            (slope,) = torch.autograd.grad(
                forces, pos, -vector, retain_graph=True, materialize_grads=True
            )
            products[number] = slope
        if progress is not None:
            progress(number + 1, len(each))
    return torch.stack(products).reshape(vectors.shape) if len(each) else vectors.to(pos.dtype)


def hessian(
    model: Callable[[Any], Any],
    data: Data,
    energy: str | int = "energy",
    progress: Callable[[int, int], None] | None = None,
) -> Float[Tensor, "points axes points axes"]:
    """The Hessian d^2 E / dx dx of one structure, of a crystal that of its cell (at Gamma).

    Exact derivatives of what the model returns, as ``forces_and_stress``, and symmetric up to
    rounding. With exact frames it is equivariant: turning the structure turns its blocks.

    Args:
        model: any callable from data to energies, as in ``forces_and_stress``.
        data: one structure.
        energy: name of the energies among what the model returns.
        progress: called with the number of rows that are done, and of all.

    Returns:
        (P, 3, P, 3), in units of energy by length squared; ``reshape(3 P, 3 P)`` for a matrix. Of a
        cloud in the plane (P, 2, P, 2).

    Raises:
        ValueError: if the data holds several structures.

    >>> from torch_geometric.data import Data
    >>> spring = lambda data: (data.pos[1] - data.pos[0]).norm().sub(1).square()[None] / 2
    >>> stretched = Data(pos=torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 3.0]]))
    >>> hessian(spring, stretched)[1, 2, 1].tolist()
    [0.0, 0.0, 1.0]
    """
    data = data if is_flat(data) else accepted(data)
    size, _ = owners(data)
    if size != 1:
        raise ValueError(
            f"the data holds {size} structures but a Hessian is that of one: take them one by one, "
            "[hessian(model, one) for one in batch.to_data_list()]"
        )
    number = data.pos.numel()
    unit = torch.eye(number, dtype=data.pos.dtype, device=data.pos.device)
    rows = unit.reshape(number, *data.pos.shape)
    found = hessian_vector_products(model, data, rows, energy, progress)
    return found.reshape(*data.pos.shape, *data.pos.shape)


def _forces(
    model: Callable[[Any], Any], data: Data, energy: str | int
) -> tuple[Tensor, Float[Tensor, "points axes"]]:
    """Positions as a leaf, and the forces as what they have a graph to."""
    with torch.inference_mode(False), torch.enable_grad():
        leaf = data.clone() if data.pos.is_inference() else data.__copy__()
        leaf.pos = leaf.pos.detach().clone().requires_grad_()
        found = forces_and_stress(model, leaf, energy, create_graph=True)
    return leaf.pos, found.forces
