"""What is accepted at the boundary: forms of attributes that can mean only one thing.

Arrays and lists become tensors, cells and periods what ``periods`` reads in them, a vector of a
structure without the dimension of structures a row. What may mean two things is refused.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from symmetrize.arrays.finite import check_finite
from symmetrize.arrays.transforms import check_not_mapped
from symmetrize.data.attributes import below
from symmetrize.data.owners import owners, slices_of
from symmetrize.data.periods import periods
from symmetrize.data.values import as_numbers, is_single_or_double
from symmetrize.representation import Representation

if TYPE_CHECKING:
    from torch_geometric.data import Data

# Names that species go by, first come first served
SPECIES = ("z", "atomic_numbers", "numbers", "species")
# Names that positions go by elsewhere
POSITIONS = ("positions", "coords", "coordinates", "points", "xyz", "R")


def accepted(
    data: Any, inputs: Mapping[str, Representation] | None = None, positions: Sequence[str] = ()
) -> Data:
    """The data with positions, cells, periods and inputs as tensors; itself where they are.

    Args:
        data: what the user hands over.
        inputs: how attributes turn, by name.
        positions: names of further positions.

    Raises:
        TypeError: if the data is not a torch_geometric ``Data``, or has no float positions.
        ValueError: if positions are of the wrong shape or not finite, or the batch vector does not
            fit them.
    """
    _check_type(data)
    changed: dict[str, Any] = {"pos": _positions(data, "pos")}
    known = _with(data, changed)
    _check_batch(known)
    size = owners(known)[0]
    for name in positions:
        if name not in data:
            raise ValueError(
                f"the data has no {name!r}, which `positions` declares; it has "
                f"{sorted(data.keys())}"
            )
        changed[name] = _positions(data, name)
    found = periods(known)
    if found is not None:
        rows = isinstance(data.cell, Tensor) and data.cell.shape[-1:] == (3,)
        if not rows or data.cell.numel() != 9 * size:
            changed["cell"] = found.cell
        elif not data.cell.is_floating_point():
            changed["cell"] = data.cell.to(known.pos.dtype)
        pbc = data.get("pbc")
        if pbc is not None and not (isinstance(pbc, Tensor) and pbc.numel() == 3 * size):
            changed["pbc"] = found.pbc
        elif pbc is not None and not torch.equal(pbc.bool().reshape(size, 3), found.pbc):
            # the network need not know that a vector of zeros is no period
            changed["pbc"] = found.pbc.reshape(pbc.shape).to(pbc.dtype)
    if data.get("edge_index") is not None:
        changed["edge_index"] = _edges(data, known.pos)
    for name, representation in (inputs or {}).items():
        if name in data and name not in ("pos", "cell") and name not in positions:
            changed[name] = _rows_of(data, name, representation, size, known.pos)
    return _with(data, changed)


def species_of(data: Data) -> Int[Tensor, "points"] | None:
    """The species of each point, by any of the names they go by; None if there are none.

    Integers of any width, as a column too; floats that are whole numbers are not species.

    >>> from torch_geometric.data import Data
    >>> water = Data(pos=torch.zeros(3, 3), atomic_numbers=np.array([8, 1, 1], dtype=np.int32))
    >>> species_of(water)
    tensor([8, 1, 1])
    """
    for name in SPECIES:
        value = data.get(name)
        if value is None:
            continue
        if slices_of(data) is not None and isinstance(value, list):  # arrays, one a structure
            value = np.concatenate([np.asarray(one).reshape(-1) for one in value]) if value else []
        try:
            kinds = value if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value))
        except (TypeError, ValueError):
            continue
        whole = not (kinds.is_floating_point() or kinds.is_complex() or kinds.dtype == torch.bool)
        if whole and kinds.shape in ((len(data.pos),), (len(data.pos), 1)):
            return kinds.reshape(-1).to(data.pos.device, torch.long)
    return None


def _check_type(data: Any) -> None:
    from torch_geometric.data import Data

    if isinstance(data, Data):
        return
    several = isinstance(data, list | tuple) and any(isinstance(one, Data) for one in data)
    if several:
        way_out = "put several structures into one batch, Batch.from_data_list(structures)"
    elif hasattr(data, "get_atomic_numbers"):
        way_out = "read structures of ase with symmetrize.atoms.from_ase(atoms)"
    else:
        way_out = "wrap positions as Data(pos=positions)"
    raise TypeError(
        f"the data is a {type(data).__name__} but must be a torch_geometric Data or Batch: "
        f"{way_out}"
    )


def _positions(data: Data, name: str) -> Float[Tensor, "points 3"]:
    """Positions as a tensor.

    Raises:
        TypeError, ValueError: naming them.
    """
    value = data.get(name)
    if value is None:
        other = next((one for one in POSITIONS if one in data), None)
        hint = "a tensor of shape (points, 3)" if other is None else f"data.{other}"
        raise ValueError(
            f"the data has no positions `{name}`, only {sorted(data.keys())}: set data.{name} to "
            f"{hint}"
        )
    if not isinstance(value, Tensor):
        if slices_of(data) is not None and isinstance(value, list):
            # arrays of several structures, which collation left in a list
            parts = [as_numbers(one, name).reshape(-1, 3) for one in value]
            return torch.cat(parts) if parts else torch.empty(0, 3)
        array = np.asarray(value) if hasattr(value, "dtype") else None
        if array is not None and not is_single_or_double(array.dtype):
            raise TypeError(
                f"`{name}` is an array of {array.dtype} but must be of float32 or float64: convert "
                "with .astype(np.float64)"
            )
        value = as_numbers(value, name)
        value = value.reshape(0, 3) if value.numel() == 0 else value
    if value.layout != torch.strided:
        raise TypeError(f"`{name}` is a sparse tensor but must be dense: convert with .to_dense()")
    if value.ndim != 2 or value.size(-1) != 3:
        raise ValueError(
            f"`{name}` has shape {tuple(value.shape)} but must be (points, 3): put the points of "
            "all structures under each other and say whose they are in `batch`"
        )
    if value.dtype not in (torch.float32, torch.float64):
        raise TypeError(
            f"`{name}` is {value.dtype} but must be float32 or float64: convert with .float()"
        )
    check_not_mapped(name, value)
    check_finite(name, value)
    return value


def _check_batch(data: Data) -> None:
    batch, points = data.batch, len(data.pos)
    if batch is None:
        return
    if batch.dtype != torch.long or batch.shape != (points,):
        raise ValueError(
            f"`batch` is {batch.dtype} of shape {tuple(batch.shape)} but must be int64 of shape "
            f"({points},): the structure of each point"
        )
    if len(batch) and int(batch.min()) < 0:
        raise ValueError(f"`batch` contains {int(batch.min())} but structures are numbered from 0")


def _edges(data: Data, like: Tensor) -> Any:
    """Edges as a tensor of integers, where they are one of a single structure, or are none.

    Where there are none, nobody says what they would be: ``torch.zeros(2, 0)`` holds floats.
    """
    value = data.edge_index
    if isinstance(value, np.ndarray | list | tuple) and slices_of(data) is None:
        array = np.asarray(value)
        if array.dtype.kind in "iu" or array.size == 0:
            value = torch.as_tensor(array.astype(np.int64), device=like.device)
    if not isinstance(value, Tensor) or value.layout != torch.strided:
        return value
    if value.numel() == 0 and (value.dtype != torch.long or value.ndim != 2):
        return torch.zeros(2, 0, dtype=torch.long, device=like.device)
    if value.is_floating_point():
        raise ValueError(
            f"`edge_index` is {value.dtype} of shape {tuple(value.shape)} but must be int64 of "
            "shape (2, edges): the rows of the points that each edge leads from and to"
        )
    return value


def _rows_of(
    data: Data, name: str, representation: Representation, size: int, like: Tensor
) -> Tensor:
    """An input with one row for each structure, point or edge, where it has none but means one."""
    value, shape = data[name], representation.value_shape
    if not isinstance(value, Tensor):
        collated = slices_of(data) is not None and isinstance(value, list)
        if collated and len(value) == size:
            # of points, or one for each structure
            parts = [as_numbers(one, name, like) for one in value]
            value = torch.cat([one.reshape(-1, *shape) for one in parts])
        else:
            value = as_numbers(value, name, like)
    if representation.dim == 1:
        return value
    slices = below(slices_of(data), name)
    # of which torch-geometric stacks what has no dimension that it could join
    stacked = slices_of(data) is None and data.__cat_dim__(name, value) is None
    for one in (shape, (representation.dim,)):  # as a tensor, or flat
        if value.shape == one and size == 1 and not stacked:
            return value[None]
        each = isinstance(slices, Tensor) and bool((slices.diff() == one[0]).all())
        if each and value.shape == (size * one[0], *one[1:]):
            return value.reshape(size, *one)
    return value


def _with(data: Data, changed: Mapping[str, Any]) -> Data:
    """A shallow copy with other values, if any is another."""
    fresh = {name: value for name, value in changed.items() if data.get(name) is not value}
    if not fresh:
        return data
    copied = copy.copy(data)
    for name, value in fresh.items():
        copied[name] = value
    return copied
