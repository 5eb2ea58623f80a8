"""From ase's ``Atoms`` to ``Data``."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch
from torch import Tensor

from symmetrize.atoms.properties import PROPERTIES, RESERVED, STRESSES, full_stress
from symmetrize.extras import needed_for

if TYPE_CHECKING:
    from ase import Atoms
    from torch_geometric.data import Data


@overload
def from_ase(
    atoms: Atoms,
    names: Mapping[str, str] | Sequence[str] | None = None,
    *,
    dtype: torch.dtype = ...,
) -> Data: ...


@overload
def from_ase(
    atoms: Iterable[Atoms],
    names: Mapping[str, str] | Sequence[str] | None = None,
    *,
    dtype: torch.dtype = ...,
) -> list[Data]: ...


def from_ase(
    atoms: Any,
    names: Mapping[str, str] | Sequence[str] | None = None,
    *,
    dtype: torch.dtype = torch.float64,
) -> Any:
    """The ``Data`` of one ``Atoms``, or a list of them for several.

    Always there are ``pos`` (n, 3); ``z`` (n,), atomic numbers; ``cell`` (1, 3, 3), zeros for what
    has none; and ``pbc`` (1, 3), False along vectors of zeros, as these are no periods. So any of
    them collate: ``Batch.from_data_list(from_ase(images))``, or torch_geometric's ``DataLoader``.

    Args:
        atoms: one, or any number of them, such as ``ase.io.read(path, ":")``.
        names: what else is taken. None for all that a calculator has computed: ``energy`` (1, 1),
            ``forces`` (n, 3), ``stress`` (1, 3, 3), ``dipole`` (1, 3), ... as far as they are
            there. Otherwise exactly what is named, as ``["energy", "momenta"]``, or under another
            name as ``{"energy": "REF_energy", "field": "external_field"}``: results of the
            calculator, arrays of the atoms, entries of ``info``, in this order; and "velocities",
            and "fixed", which atoms are held by constraints.
        dtype: of all floating-point values. Total energies reach thousands of eV, of which single
            precision resolves 5e-4 eV: subtract a baseline first.

    Forces are as computed, whatever is constrained; where there is a ``free_energy``, they are its
    derivatives. One integer or truth for each row keeps its kind and gets no column; vectors are
    floating-point; texts stay texts.

    Raises:
        TypeError: if these are no ``Atoms``.
        ValueError: if something named is not there, or some of several have what others lack.
        ModuleNotFoundError: if ase is not installed.

    >>> from ase.build import molecule
    >>> water = from_ase(molecule("H2O"))
    >>> water.z.tolist(), water.cell.shape
    ([8, 1, 1], torch.Size([1, 3, 3]))
    """
    with needed_for("reading data from ase", "ase"):
        from ase import Atoms

    if not dtype.is_floating_point:
        raise ValueError(f"`dtype` is {dtype} but must be a floating-point one: torch.float64")
    if isinstance(atoms, Atoms):
        return _data(atoms, _wanted(names), dtype)
    if isinstance(atoms, str | bytes) or not isinstance(atoms, Iterable):
        raise TypeError(
            f"`atoms` is a {type(atoms).__name__} but must be ase.Atoms, or several: read files "
            'with ase.io.read(path, ":")'
        )
    wanted, several = _wanted(names), []
    for number, one in enumerate(atoms):
        if not isinstance(one, Atoms):
            raise TypeError(f"item {number} is a {type(one).__name__} but must be ase.Atoms")
        several.append(_data(one, wanted, dtype))
        differs = set(several[0].keys()) ^ set(several[-1].keys())
        if differs:
            raise ValueError(
                f"structure {number} and the first one differ in {sorted(differs)}, and batches "
                "would lose them: name what all have, as in from_ase(images, ['energy', 'forces'])"
            )
    return several


def _wanted(names: Mapping[str, str] | Sequence[str] | None) -> dict[str, str] | None:
    """Names of attributes, and where to find each; None for what a calculator has."""
    if names is None:
        return None
    if isinstance(names, str):
        names = [names]
    wanted = dict(names) if isinstance(names, Mapping) else {name: name for name in names}
    for name in wanted:
        if name in RESERVED:
            raise ValueError(
                f"`names` has {name!r}, which Data uses itself: give it another name, as in "
                f"{{'my_{name}': {wanted[name]!r}}}"
            )
    return wanted


def _data(atoms: Atoms, wanted: dict[str, str] | None, dtype: torch.dtype) -> Data:
    from torch_geometric.data import Data

    cell = np.asarray(atoms.cell)
    data = Data(
        pos=_real(atoms.positions, dtype),
        z=torch.tensor(atoms.numbers, dtype=torch.long),
        cell=_real(cell, dtype)[None],
        pbc=torch.tensor(atoms.pbc & cell.any(-1))[None],
    )
    results = _results(atoms, quiet=wanted is not None)
    if wanted is None:
        wanted = {name: name for name in PROPERTIES if name in results}
    for name, key in wanted.items():
        value, per_point = _found(atoms, key, results)
        if key in STRESSES or name in STRESSES:
            value = full_stress(value, per_point)
        data[name] = _tensor(name, value, per_point, dtype)
    return data


def _results(atoms: Atoms, quiet: bool) -> dict[str, Any]:
    """What the calculator has computed for these atoms as they are; nothing is computed here."""
    results = getattr(atoms.calc, "results", None) or {}
    results = {name: results[name] for name in PROPERTIES if results.get(name) is not None}
    changed = atoms.calc.check_state(atoms) if results and atoms.calc is not None else []
    if not changed:
        return results
    if not quiet:
        warnings.warn(
            f"{sorted(results)} are left out: {', '.join(changed)} changed after they were "
            "computed. Compute them again, or read the file anew",
            stacklevel=4,
        )
    return {}


def _found(atoms: Atoms, key: str, results: Mapping[str, Any]) -> tuple[Any, bool]:
    """The value of that name, and whether it has rows of points."""
    if key in results:
        return results[key], PROPERTIES[key]
    if key in atoms.arrays:
        return atoms.arrays[key], True
    if key in atoms.info:
        return atoms.info[key], False
    if key in ("velocities", "momenta", "masses"):
        return getattr(atoms, f"get_{key}")(), True
    if key == "fixed":
        return _fixed(atoms), True
    known = [*results, *atoms.arrays, *atoms.info]
    way_out = (
        ": let the calculator compute it, as by atoms.get_potential_energy(), or name where it is, "
        f"as in {{{key!r}: 'REF_{key}'}}"
        if key in PROPERTIES
        else ""
    )
    raise ValueError(f"the atoms {atoms.symbols} have no {key!r} but {known}{way_out}")


def _fixed(atoms: Atoms) -> np.ndarray:
    """Which atoms are held in place."""
    from ase.constraints import FixAtoms

    fixed = np.zeros(len(atoms), dtype=bool)
    for constraint in atoms.constraints:
        if not isinstance(constraint, FixAtoms):
            raise ValueError(
                f"the constraint {type(constraint).__name__} is no set of fixed atoms: remove it "
                "from atoms.constraints, or leave out 'fixed'"
            )
        fixed[constraint.index] = True
    return fixed


def _tensor(name: str, value: Any, per_point: bool, dtype: torch.dtype) -> Any:
    """Rows of the value: numbers as a column, integers and booleans without one, texts as texts."""
    array = np.asarray(value)
    if array.dtype.kind in "USO":
        return array.tolist() if per_point or array.ndim else value
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name!r} is {array.dtype} but must be real numbers, truths or text")
    array = array if per_point else array[None]
    if array.dtype.kind == "b":
        return torch.tensor(array)
    # files say "field=0 0 1" and "energy=-5", and mean real numbers
    if array.dtype.kind in "iu" and array.ndim == 1 and name not in PROPERTIES:
        return torch.tensor(array.astype(np.int64))
    return _real(array if array.ndim > 1 else array[:, None], dtype)


def _real(array: Any, dtype: torch.dtype) -> Tensor:
    """Of any precision and order of bytes."""
    return torch.tensor(np.asarray(array).astype(np.float64), dtype=dtype)
