"""Existing calculators of ase as networks: energies that can be differentiated once.

A calculator gives an energy, forces and a stress; that is the derivative of the energy with respect
to positions and, of its six symmetric components, cells. What is left is how the energy changes
when positions and cell turn together, which is not zero for what is to be symmetrized. In periodic
structures it is taken from central differences of fourth order over small turns.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from symmetrize.atoms.properties import full_stress
from symmetrize.contract import Contract
from symmetrize.data.owners import owners
from symmetrize.extras import needed_for

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator
    from torch_geometric.data import Data

# Angle of the differences, in radians, and weights of turns by one and two of them, either way
ANGLE = 3e-3
WEIGHTS = ((1, 2 / 3), (-1, -2 / 3), (2, -1 / 12), (-2, 1 / 12))


class Calculated(nn.Module):
    """Made by ``from_calculator``."""

    def __init__(self, calculator: Calculator, cutoff: float | None) -> None:
        super().__init__()
        self.calculator = calculator
        self.contract = Contract(
            {"energy": "0e"}, group=None, smoothness=1, cutoff=cutoff, periodic=True
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> Calculated:
        return from_calculator(copy.deepcopy(self.calculator, memo), self.contract.cutoff)

    def forward(self, data: Data) -> dict[str, Float[Tensor, "size 1"]]:
        """Energies in eV, of each structure in turn.

        Args:
            data: ``pos`` (P, 3) in Å, ``z`` (P,) atomic numbers; ``cell`` (B, 3, 3) and ``pbc``
                (B, 3) of periodic structures.

        Raises:
            ValueError: if ``z`` is missing.
        """
        if data.get("z") is None:
            raise ValueError("the data has no `z`: a calculator of ase needs atomic numbers")
        size, batch = owners(data)
        cell, pbc = data.get("cell"), data.get("pbc")
        if cell is None:
            cell, pbc = data.pos.new_zeros(size, 3, 3), None
        cell = cell.reshape(-1, 3, 3)
        if pbc is None:
            pbc = cell.abs().sum(-1) > 0
        pbc = pbc.reshape(-1, 3) & (cell.abs().sum(-1) > 0)
        energy = _Energies.apply(self.calculator, data.pos, cell, data.z, pbc, batch)
        return {"energy": energy}


def from_calculator(calculator: Calculator, cutoff: float | None = None) -> Calculated:
    """A calculator of ase as a network to be symmetrized, whatever computes inside.

    Energies have one derivative: forces and stress of the symmetrized energy are exact derivatives
    of it, those of the frames included, if the calculator's are those of its own. In periodic
    structures, twelve further energies for each copy tell how the energy changes as a structure
    turns, to about 1e-9 of itself for a calculator in double precision, and 1e-3 in single. The
    virial is that of structures with three periods; of others it is not defined here.

    Args:
        calculator: with energies and forces; with a stress where there are three periods.
        cutoff: how far it sees, in Å; frames of periodic structures need it, or one of their own.

    Raises:
        TypeError: if this is no calculator of ase.
        ModuleNotFoundError: if ase is not installed.

    >>> from ase.build import molecule
    >>> from ase.calculators.emt import EMT
    >>> from symmetrize import SymmetrizedCalculator, Symmetrizer
    >>> water = molecule("H2O")
    >>> water.calc = SymmetrizedCalculator(Symmetrizer(from_calculator(EMT())))
    >>> water.get_forces().shape
    (3, 3)
    """
    with needed_for("a calculator of ase", "ase"):
        from ase.calculators.abc import GetPropertiesMixin

    if not isinstance(calculator, GetPropertiesMixin):
        raise TypeError(
            f"`calculator` is a {type(calculator).__name__} but must be a calculator of ase, such "
            "as ase.calculators.emt.EMT()"
        )
    return Calculated(calculator, cutoff)


class _Energies(torch.autograd.Function):
    """Energies (B, 1) of structures, with forces and stress as their derivative."""

    @staticmethod
    def forward(
        ctx: Any,
        calculator: Calculator,
        pos: Float[Tensor, "points 3"],
        cell: Float[Tensor, "size 3 3"],
        z: Int[Tensor, "points"],
        pbc: Bool[Tensor, "size 3"],
        batch: Int[Tensor, "points"],
    ) -> Float[Tensor, "size 1"]:
        from ase import Atoms

        places, numbers, owner = (t.detach().cpu().double().numpy() for t in (pos, z, batch))
        cells, periodic = cell.detach().cpu().double().numpy(), pbc.cpu().numpy()
        needs_cell = ctx.needs_input_grad[2] and bool(pbc.any())
        needs_slopes = ctx.needs_input_grad[1] or needs_cell
        energies = np.zeros(len(cells))
        slopes, of_cells = np.zeros_like(places), np.zeros_like(cells)
        for number in range(len(cells)):
            rows = owner == number
            if not rows.any():
                continue
            atoms = Atoms(numbers[rows], places[rows], cell=cells[number], pbc=periodic[number])
            atoms.calc = calculator
            energies[number] = atoms.get_potential_energy()
            if needs_slopes:
                slopes[rows] = -atoms.get_forces()
            if needs_cell and periodic[number].any():
                of_cells[number] = _slope_of_cell(atoms, slopes[rows])
        ctx.save_for_backward(pos.new_tensor(slopes), cell.new_tensor(of_cells), batch, pos)
        return pos.new_tensor(energies)[:, None]

    @staticmethod
    def backward(ctx: Any, grad: Float[Tensor, "size 1"]) -> tuple[Tensor | None, ...]:
        slopes, of_cells, batch, pos = ctx.saved_tensors
        if torch.is_grad_enabled():  # somebody wants to go on
            slopes, of_cells = (_Last.apply(value, pos) for value in (slopes, of_cells))
        return None, grad[batch] * slopes, grad[:, :, None] * of_cells, None, None, None


class _Last(torch.autograd.Function):
    """A derivative that has none itself, and says so instead of being a constant."""

    @staticmethod
    def forward(ctx: Any, value: Float[Tensor, "*shape"], pos: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def backward(ctx: Any, grad: Float[Tensor, "*shape"]) -> tuple[Tensor | None, ...]:
        raise NotImplementedError(
            "a calculator of ase has first derivatives only: take differences of forces instead, "
            "as phonopy and ase.vibrations do"
        )


def _slope_of_cell(atoms: Any, slopes: np.ndarray) -> np.ndarray:
    """Derivative of the energy with respect to the cell, positions held.

    A deformation e of positions and cell, x (1 + e) and h (1 + e), changes the energy by
    x^T g + h^T c, of which the symmetric part is the volume times the stress, and the other is
    measured.
    """
    cell = np.asarray(atoms.cell)
    total = np.zeros((3, 3))
    # without three periods there is no stress, and frames need none: they turn, and nothing else
    if atoms.pbc.all():
        stress = full_stress(atoms.get_stress(voigt=False), per_point=False)
        total = abs(np.linalg.det(cell)) * stress
    total = (total + total.T) / 2
    for axis in range(3):
        first, second = (axis + 1) % 3, (axis + 2) % 3
        change = 0.0
        for steps, weight in WEIGHTS:
            turn = np.eye(3)
            cosine, sine = np.cos(steps * ANGLE), np.sin(steps * ANGLE)
            turn[[first, second], [first, second]] = cosine
            turn[first, second], turn[second, first] = sine, -sine
            turned = atoms.copy()
            turned.calc = atoms.calc
            turned.set_positions(atoms.positions @ turn)
            turned.set_cell(cell @ turn)
            change += weight * turned.get_potential_energy()
        # e is antisymmetric: the energy changes by total[first, second] - total[second, first]
        total[first, second] += change / ANGLE / 2
        total[second, first] -= change / ANGLE / 2
    left = total - atoms.positions.T @ slopes
    # rows of zeros, which are no periods, do not move the energy: the symmetric part, which nobody
    # measured there, is chosen so that what is left lies in the span of the others
    outside = np.eye(3) - np.linalg.pinv(cell) @ cell
    left = left - outside @ left - left.T @ outside + outside @ left @ outside
    return np.linalg.pinv(cell.T) @ left
