"""From ``Data`` to ase's ``Atoms``."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from symmetrize.atoms.properties import PROPERTIES, RESERVED, STRESSES, voigt_stress
from symmetrize.data.owners import owners
from symmetrize.extras import needed_for

if TYPE_CHECKING:
    from ase import Atoms
    from torch_geometric.data import Data


# In this order, after all others: velocities need masses, constraints hold back velocities, and a
# calculator forgets its results when the atoms change
LAST = ("velocities", "fixed", *PROPERTIES)

# Rows of points to those of each structure
Split: TypeAlias = Callable[[Tensor], Sequence[Tensor]]


def to_ase(data: Data, results: Mapping[str, Tensor] | None = None) -> Any:
    """The ``Atoms`` of a structure, or a list of them for a batch.

    Energies, forces, stress and other properties go to a ``SinglePointCalculator``; ``velocities``
    and ``fixed`` to where ase keeps them; what else has rows of points to arrays of these names,
    and of structures to ``info``. Rows of edges are left out, and a stress that is not a number.

    Args:
        data: with ``pos``, and ``z`` as atomic numbers.
        results: outputs of a model on the data, which go to the calculator, too.

    Raises:
        ValueError: if there are no atomic numbers, or a property has another number of rows.
        ModuleNotFoundError: if ase is not installed.

    >>> from ase.build import molecule
    >>> from symmetrize import from_ase
    >>> water = from_ase(molecule("H2O"))
    >>> to_ase(water, {"energy": torch.tensor([[-14.25]])}).get_potential_energy()
    -14.25
    """
    with needed_for("writing data for ase", "ase"):
        from ase import Atoms

    data = copy.copy(data)
    for name, value in (results or {}).items():
        data[name] = value
    size, batch = owners(data)
    numbers = data.get("z")
    if numbers is None or numbers.shape != batch.shape or numbers.is_floating_point():
        found = None if numbers is None else f"{numbers.dtype} of shape {tuple(numbers.shape)}"
        raise ValueError(
            f"`z` is {found} but must be an integer for each of {len(batch)} points, its atomic "
            "number: set data.z"
        )
    order, number = batch.argsort(stable=True), torch.bincount(batch, minlength=size).tolist()
    split: Split = lambda rows: rows[order].split(number)  # noqa: E731
    cell = data.get("cell")
    pbc = data.get("pbc")
    cells = [None] * size if cell is None else _array(cell.reshape(size, 3, 3))
    periods = [None] * size if pbc is None else _array(pbc.reshape(size, 3).bool())
    several = [
        Atoms(
            numbers=_array(kinds),
            positions=_array(positions),
            cell=box,
            pbc=box is not None and (box.any(-1) if periodic is None else periodic),
        )
        for kinds, positions, box, periodic in zip(
            split(numbers), split(data.pos), cells, periods, strict=True
        )
    ]
    for name in sorted(data.to_dict(), key=lambda name: LAST.index(name) if name in LAST else -1):
        if name not in (*RESERVED, "positions", "numbers"):
            rows, per_point = _rows(data, name, size, batch, split)
            for atoms, row in zip(several, rows, strict=False):  # none, if neither
                _attach(atoms, name, row, per_point)
    return several if data.batch is not None else several[0]


def _rows(
    data: Data, name: str, size: int, batch: Tensor, split: Split
) -> tuple[Sequence[Any], bool]:
    """What each structure has of that name, and whether it has rows of points.

    Nothing of what has rows of neither points nor structures.
    """
    value = data[name]
    if not isinstance(value, Tensor):
        if data.batch is None:
            return [value], isinstance(value, list) and len(value) == len(batch)
        listed = isinstance(value, list) and len(value) == size
        return value if listed else [], False
    number = len(value) if value.ndim else 0
    if name in PROPERTIES:
        per_point = PROPERTIES[name]
        value = value.reshape(1) if value.ndim == 0 and size == 1 and not per_point else value
        if value.ndim == 0 or len(value) != (len(batch) if per_point else size):
            raise ValueError(
                f"{name!r} has shape {tuple(value.shape)} but must have one row for each of "
                + (f"{len(batch)} points" if per_point else f"{size} structures")
            )
        return (split(value) if per_point else list(value)), per_point
    if name.startswith("edge") or number not in (len(batch), size):
        return [], False
    starts = (getattr(data, "_slice_dict", None) or {}).get(name)
    if starts is None:  # points where both are as many
        per_point = number == len(batch)
        return (split(value) if per_point else list(value)), per_point
    each = torch.as_tensor(starts).diff()
    if torch.equal(each, torch.bincount(batch, minlength=size).cpu()):
        return split(value), True
    return (list(value) if bool((each == 1).all()) else []), False


def _attach(atoms: Atoms, name: str, given: Any, per_point: bool) -> None:
    """Give the atoms what is theirs, where ase keeps it."""
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.constraints import FixAtoms

    value: Any = _array(given) if isinstance(given, Tensor) else given
    if isinstance(value, np.ndarray) and value.ndim == 1 + per_point and value.shape[-1] == 1:
        value = value[..., 0]
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if name in PROPERTIES:
        value = voigt_stress(value) if name in STRESSES else value
        if name in STRESSES and np.isnan(value).all():  # of what has no volume
            return
        known = {} if atoms.calc is None else atoms.calc.results
        atoms.calc = SinglePointCalculator(atoms, **known, **{name: value})
    elif name == "velocities":
        atoms.set_velocities(value)
    elif name == "fixed":
        atoms.set_constraint(FixAtoms(mask=value))
    elif per_point:
        atoms.set_array(name, np.asarray(value))
    else:
        atoms.info[name] = value


def _array(value: Tensor) -> np.ndarray:
    value = value.detach().cpu()
    return (value.double() if value.is_floating_point() else value).numpy()
