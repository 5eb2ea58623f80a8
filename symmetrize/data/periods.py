"""What is periodic in data of the user, in any form that ase knows; the rule is that of points."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from symmetrize.data.owners import owners, slices_of
from symmetrize.data.values import as_numbers
from symmetrize.points.periods import Periods, periods_of

if TYPE_CHECKING:
    from torch_geometric.data import Data


def periods(data: Data) -> Periods | None:
    """The lattice vectors of each structure, and which of them are periods.

    ``data.cell`` may be a tensor, an array or a list: three rows for each structure, or three
    lengths and three angles in degrees, as ase writes them, a single structure's three lengths too.
    ``data.pbc`` may be one truth value, one for each structure, or one for each lattice vector;
    without it all lattice vectors that are not zero are periods.

    Returns:
        None if the data has no cell.

    Raises:
        ValueError: if cells do not fit the structures, are not finite, or periods are linearly
            dependent; if ``pbc`` does not fit, or speaks of periods where there is no cell.

    >>> from torch_geometric.data import Data
    >>> slab = Data(pos=torch.zeros(1, 3), cell=[2.0, 2.0, 9.0], pbc=[True, True, False])
    >>> periods(slab).pbc.tolist()
    [[True, True, False]]
    """
    size = owners(data)[0]
    collated = slices_of(data) is not None
    raw = data.get("pbc")
    pbc = None if raw is None else _truths(raw, size, collated, data.pos.device)
    if data.get("cell") is None:
        if pbc is not None and bool(pbc.any()):
            raise ValueError(
                f"`pbc` is {pbc.tolist()} but the data has no `cell`, only "
                f"{sorted(data.keys())}: set data.cell to the lattice vectors, or leave `pbc` out"
            )
        return None
    cell = _matrices(data.cell, size, collated, data.pos)
    return periods_of(cell, pbc)


def _matrices(value: Any, size: int, collated: bool, like: Tensor) -> Tensor:
    """Cells in any form as (size, 3, 3)."""
    if collated and isinstance(value, list | tuple) and len(value) == size:
        # one of ase's for each structure, which collation left in a list
        return torch.cat([_matrices(one, 1, False, like) for one in value])
    cell = as_numbers(value, "cell", like)
    flat = cell.shape[-1:] == (9,) or (collated and cell.ndim == 1)
    if cell.numel() == 9 * size and (flat or cell.shape[-1:] == (3,)):
        return cell.reshape(size, 3, 3)
    if cell.numel() == 6 * size and (cell.shape[-1:] == (6,) or (collated and cell.ndim == 1)):
        return _from_lengths_and_angles(cell.reshape(size, 6))
    if size == 1 and cell.shape == (3,):
        return torch.diag_embed(cell)[None]
    raise ValueError(
        f"`cell` has shape {tuple(cell.shape)} but must hold three vectors for each of {size} "
        "structures, or three lengths and three angles: with several structures in one Data, say "
        "in `batch` which of them each point belongs to"
    )


def _truths(value: Any, size: int, collated: bool, device: torch.device) -> Tensor:
    """Periodicities in any form as (size, 3)."""
    if collated and isinstance(value, list | tuple) and len(value) == size:
        # one of ase's for each structure, likewise
        return torch.cat([_truths(one, 1, False, device) for one in value])
    array = value if isinstance(value, Tensor) else np.asarray(value)
    of_truths = isinstance(array, Tensor) or array.dtype.kind in "biu"
    pbc = torch.as_tensor(array if of_truths else np.zeros(0), device=device)
    if not of_truths or pbc.is_floating_point() or bool(((pbc != 0) & (pbc != 1)).any()):
        raise ValueError(f"`pbc` is {array.tolist()} but must say True or False for each period")
    pbc = pbc.bool()
    if pbc.numel() == 1:
        return pbc.reshape(1, 1).expand(size, 3)
    if pbc.numel() == 3 * size:
        return pbc.reshape(size, 3)
    if pbc.shape in ((size,), (size, 1)) and (collated or size != 3):
        return pbc.reshape(size, 1).expand(size, 3)
    if pbc.shape == (3,) and size != 3:
        return pbc.expand(size, 3)
    raise ValueError(
        f"`pbc` has shape {tuple(pbc.shape)} but must have three values for each of {size} "
        "structures, as in data.pbc = torch.tensor([[True, True, False]])"
    )


def _from_lengths_and_angles(parameters: Float[Tensor, "size 6"]) -> Float[Tensor, "size 3 3"]:
    """The first vector along x, the second in the plane of x and y, as in crystallography.

    Raises:
        ValueError: if no three vectors have these angles between them.
    """
    a, b, c, *degrees = parameters.unbind(-1)
    # right angles are exact
    cos_alpha, cos_beta, cos_gamma = (
        torch.where(d == 90.0, 0.0, torch.cos(d * (math.pi / 180))) for d in degrees
    )
    sin_gamma = (1 - cos_gamma.square()).clamp(min=0).sqrt()
    x, y = cos_beta, (cos_alpha - cos_beta * cos_gamma) / sin_gamma
    squared = 1 - x.square() - y.square()
    empty = (a == 0) & (b == 0) & (c == 0)
    angles = torch.stack(degrees, -1)
    possible = (squared > 0) & ((angles > 0) & (angles < 180)).all(-1)
    bad = torch.nonzero(~possible & ~empty)[:, 0]
    if len(bad):
        raise ValueError(
            f"`cell` has the lengths and angles {parameters[bad[0]].tolist()} (in degrees), which "
            "are those of no three vectors: give three rows instead"
        )
    zero, z = torch.zeros_like(a), squared.clamp(min=0).sqrt()
    first = torch.stack([a, zero, zero], -1)
    second = torch.stack([b * cos_gamma, b * sin_gamma, zero], -1)
    third = c[:, None] * torch.stack([x, y, z], -1)
    found = torch.stack([first, second, third], 1)
    return torch.where(empty[:, None, None], 0.0, found)
