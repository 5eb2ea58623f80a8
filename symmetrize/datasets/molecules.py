"""Thermally distorted small molecules with energies, forces, multipoles and polarizabilities.

970 randomly oriented configurations of CH4, H2O, NH3, CH3OH, H2CO and CO2, sampled from the
harmonic quantum distribution at 1000 K and labeled with RHF/aug-cc-pVDZ. Twenty of CO2 are
collinear up to rounding. The labels transform under a rotation ``pos -> pos @ R.T`` as

- energy: unchanged;
- forces and dipole: ``v -> v @ R.T``;
- quadrupole and polarizability: ``t -> R @ t @ R.T``;

and likewise under reflections. Dipole and quadrupole are about the unweighted mean of positions
(the molecules are neutral: only the quadrupole depends on it), and the quadrupole is traceless,
``Q = 1/2 sum q (3 r r^T - r^2 I)``.

Source: ``scripts/generate_molecules.py`` generates the file from nothing but its seed.
"""

import json
from importlib.resources import files
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import torch

if TYPE_CHECKING:
    from torch_geometric.data import Data

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)  # in the order of the stored indices

PER_MOLECULE = ("energy", "dipole", "quadrupole", "polarizability")


def molecules(split: Split | None = None, dtype: torch.dtype = torch.float64) -> list["Data"]:
    """Load the molecules of one split, or all of them, in a fixed order.

    Args:
        split: "train", "validation" or "test" (about 70, 15 and 15 percent of each molecule);
            None loads all.
        dtype: of every floating-point tensor. Total energies reach thousands of eV, so single
            precision resolves them to 5e-4 eV only: subtract `minimum_energies` in double first.

    Returns:
        One graph without edges per configuration of n atoms:

        - ``pos`` (n, 3) in Angstrom, and atomic numbers ``z`` (n,);
        - ``energy`` (1,), the total energy in eV;
        - ``forces`` (n, 3) in eV/Angstrom;
        - ``dipole`` (1, 3) in e Angstrom;
        - ``quadrupole`` (1, 3, 3) in e Angstrom^2, symmetric and traceless;
        - ``polarizability`` (1, 3, 3) in Angstrom^3, symmetric;
        - ``formula``, such as "CH3OH".

    Raises:
        ValueError: if the split is unknown.

    Example:
        >>> first = molecules("train")[0]
        >>> first.formula, first.pos.shape, first.polarizability.shape
        ('CH4', torch.Size([5, 3]), torch.Size([1, 3, 3]))
    """
    if split is not None and split not in SPLITS:
        raise ValueError(
            f"`split` is {split!r} but must be one of {SPLITS}, or None to load all molecules"
        )
    from torch_geometric.data import Data

    stored = _arrays()
    ends = np.cumsum(stored["n_atoms"], dtype=np.int64)
    graphs = []
    for index, (end, size) in enumerate(zip(ends, stored["n_atoms"], strict=True)):
        if split is not None and stored["split"][index] != SPLITS.index(split):
            continue
        atoms = slice(end - size, end)
        labels = {
            key: torch.tensor(stored[key][index : index + 1]).to(dtype) for key in PER_MOLECULE
        }
        graphs.append(
            Data(
                pos=torch.tensor(stored["positions"][atoms]).to(dtype),
                z=torch.tensor(stored["numbers"][atoms], dtype=torch.long),
                forces=torch.tensor(stored["forces"][atoms]).to(dtype),
                formula=str(stored["formulas"][stored["formula"][index]]),
                **labels,
            )
        )
    return graphs


def minimum_energies() -> dict[str, float]:
    """Return the total energy in eV of each molecule's optimized geometry, by formula.

    It is the natural baseline: ``energy - minimum_energies()[formula]`` is the energy of
    distortion, between 0 and a few eV.
    """
    stored = _arrays()
    return dict(zip(stored["formulas"].tolist(), stored["minimum_energy"].tolist(), strict=True))


def molecules_info() -> dict[str, str]:
    """Return how the data were made: units, level of theory, temperature, license and more."""
    info: dict[str, str] = json.loads(_arrays()["info"].item())
    return info


def _arrays() -> dict[str, np.ndarray]:
    """Read the shipped file; atoms of all configurations are concatenated along axis 0."""
    with (files("symmetrize.datasets") / "molecules.npz").open("rb") as stream:
        return dict(np.load(stream, allow_pickle=False))
