"""Clouds in the plane: lifted to z = 0, where rotations about z are all that there is.

Positions (P, 2), vectors and tensors of the plane get zeros for what they have along z, and lose
them again in the copies that the network is called with; what it returns goes the same way up and
down. Turns about z, and reflections across planes that hold it, leave what lies in the plane there.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from symmetrize.representation import Representation, as_representation

if TYPE_CHECKING:
    from torch_geometric.data import Data

VECTOR = as_representation("1o")
# What the irreps of space keep in the plane, by degree and parity
SCALARS, VECTORS = ("0e", "0o"), ("1o",)


def is_flat(data: Any) -> bool:
    """Whether positions have two coordinates."""
    pos = data.get("pos") if hasattr(data, "get") else None
    return tuple(getattr(pos, "shape", ()))[1:] == (2,)


def columns_in_plane(representation: Representation) -> list[int]:
    """Which numbers of a value lie in the plane.

    Of Cartesian tensors those all of whose indices are x or y, of irreps scalars and the first two
    components of polar vectors.

    Raises:
        ValueError: for other irreps, with the Cartesian tensor to declare instead.

    >>> columns_in_plane(as_representation("ij")), columns_in_plane(as_representation("0e + 1o"))
    ([0, 1, 3, 4], [0, 1, 2])
    """
    if not str(representation)[0].isdigit():
        indices = itertools.product(range(3), repeat=len(representation.value_shape))
        return [i for i, index in enumerate(indices) if 2 not in index]
    found: list[int] = []
    for block in representation.blocks:
        label = block.label.partition("[")[0]
        if label not in (*SCALARS, *VECTORS):
            raise ValueError(
                f"{str(representation)!r} holds {label}, which has no form in the plane: declare "
                "scalars, '0e' and '0o' (whose sign a reflection changes), vectors, '1o' or 'i', "
                "and tensors such as 'ij=ji', whose indices then run over x and y"
            )
        columns = range(block.columns.start, block.columns.stop)
        found += columns[:2] if label in VECTORS else columns
    return found


def shape_in_plane(representation: Representation) -> tuple[int, ...]:
    """The shape of one value in the plane: (2, 2) for "ij"."""
    if not str(representation)[0].isdigit():
        return (2,) * len(representation.value_shape)
    return (len(columns_in_plane(representation)),)


def into_space(representation: Representation, values: Tensor) -> Tensor:
    """Values in the plane, with zeros for the rest, in the shape that they have in space.

    Raises:
        ValueError: if they have another shape.

    >>> into_space(as_representation("i"), torch.tensor([[1.0, 2.0]]))
    tensor([[1., 2., 0.]])
    """
    columns, shape = columns_in_plane(representation), shape_in_plane(representation)
    flat = values[..., None] if values.ndim == 1 and len(columns) == 1 else values
    if flat.shape[-len(shape) :] == shape:
        flat = flat.flatten(-len(shape))
    if flat.shape[-1:] != (len(columns),):
        raise ValueError(
            f"{str(representation)!r} takes (..., {', '.join(map(str, shape))}) in the plane, not "
            f"{tuple(values.shape)}"
        )
    if len(columns) == representation.dim:
        return values
    lifted = flat.new_zeros(*flat.shape[:-1], representation.dim)
    lifted = lifted.index_copy(-1, torch.tensor(columns, device=flat.device), flat)
    return lifted.reshape(*flat.shape[:-1], *representation.value_shape)


def into_plane(representation: Representation, values: Tensor) -> Tensor:
    """What of values lies in the plane, in the shape that it has there.

    >>> into_plane(as_representation("ij"), torch.eye(3)[None]).tolist()
    [[[1.0, 0.0], [0.0, 1.0]]]
    """
    columns, shape = columns_in_plane(representation), shape_in_plane(representation)
    if len(columns) == representation.dim:
        return values
    flat = values if values.shape[-1:] == (representation.dim,) else values.flatten(-len(shape))
    kept = flat[..., columns]
    return kept.reshape(*kept.shape[:-1], *shape)


def lifted(data: Data, inputs: Mapping[str, Representation], positions: Sequence[str] = ()) -> Data:
    """Data in the plane as data in space, at z = 0.

    Raises:
        ValueError: if it is periodic, or an input does not fit.
    """
    return _with_each(data, inputs, positions, into_space)


def flattened(
    data: Data, inputs: Mapping[str, Representation], positions: Sequence[str] = ()
) -> Data:
    """Data at z = 0 as data in the plane."""
    return _with_each(data, inputs, positions, into_plane)


def prepared_in_plane(
    prepare: Callable[[Any], Any],
    inputs: Mapping[str, Representation],
    positions: Sequence[str] = (),
) -> Callable[[Any], Any]:
    """A function on data in the plane as one on data in space."""
    return lambda data: lifted(prepare(flattened(data, inputs, positions)), inputs, positions)


def _with_each(
    data: Data,
    inputs: Mapping[str, Representation],
    positions: Sequence[str],
    moved: Callable[[Representation, Tensor], Tensor],
) -> Data:
    if data.get("cell") is not None:
        raise ValueError(
            "the data has a `cell` but its positions lie in the plane: give positions (P, 3) with "
            "z = 0, and a lattice whose third vector is zero"
        )
    copied = copy.copy(data)
    for name, turns in {"pos": VECTOR, **dict.fromkeys(positions, VECTOR), **inputs}.items():
        value = data.get(name)
        if value is not None:
            try:
                copied[name] = moved(turns, torch.as_tensor(value))
            except ValueError as error:
                raise ValueError(f"`{name}`: {error}") from None
    return copied
