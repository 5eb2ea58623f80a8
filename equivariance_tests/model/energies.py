"""An energy, and what a model returns as its derivatives: which outputs they are, and their slopes.

Outputs are told by their names, as those of calculators: ``energy`` (a scalar of structures, or of
points, whose sum counts), ``forces`` (a vector of each point), ``stress`` and ``virial`` (tensors
"ij=ji" or "ij" of structures). With a strain e, which takes rows x and lattice vectors to x + x e,

    forces = -dE/dx,    virial = -dE/de,    stress = dE/de / V,

as in ``symmetrize.derivatives``. Nothing is differentiated here: numbers alone are compared, so
that the laws hold for calculators and for any other black box.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from equivariance_tests.clouds import Structure
from equivariance_tests.model.answers import Answers
from symmetrize import Contract, Output

ENERGY, FORCES, STRESS, VIRIAL = "energy", "forces", "stress", "virial"
TENSOR = (3, 3)


def derivatives_in(contract: Contract) -> tuple[str, ...]:
    """Names of the outputs that claim to be derivatives of an energy among them.

    >>> from symmetrize import per_point
    >>> derivatives_in(Contract({"energy": "0e", "forces": per_point("1o"), "stress": "ij=ji"}))
    ('forces', 'stress')
    >>> derivatives_in(Contract({"forces": per_point("1o")}))
    ()
    """
    energy = contract.outputs.get(ENERGY)
    if energy is None or energy.representation.dim != 1:
        return ()
    found = []
    for name in (FORCES, STRESS, VIRIAL):
        one = contract.outputs.get(name)
        if one is not None and _fits(name, one):
            found.append(name)
    return tuple(found)


def _fits(name: str, output: Output) -> bool:
    turns = output.representation
    if name == FORCES:
        return output.per_point and turns.dim == 3 and turns.lmax == 1
    return output.rows == "structure" and turns.value_shape == TENSOR


def volume(structure: Structure) -> float | None:
    """That of the cell, of a structure that is periodic in three directions; None for others."""
    if structure.cell is None or structure.pbc is None or not bool(structure.pbc.all()):
        return None
    found = abs(float(torch.linalg.det(structure.cell)))
    return found if found > 0 else None


def strained(structure: Structure, strain: Float[Tensor, "3 3"]) -> Structure:
    """Positions and lattice vectors deformed alike: rows x become x + x e."""
    further = {name: others + others @ strain for name, others in structure.further.items()}
    positions = structure.positions + structure.positions @ strain
    cell = None if structure.cell is None else structure.cell + structure.cell @ strain
    return replace(structure, positions=positions, further=further, cell=cell)


def energies(answers: Answers) -> Float[Tensor, "structures"]:
    """The energy of each structure, a sum if it is one of points."""
    values = answers.values[ENERGY][:, 0]
    zeros = torch.zeros(answers.size, dtype=torch.float64)
    return zeros.index_add(0, answers.rows[ENERGY].owner, values)


def forces(answers: Answers) -> list[Float[Tensor, "_ 3"]]:
    """The forces on the points of each structure."""
    sizes = torch.bincount(answers.rows[FORCES].owner, minlength=answers.size)
    return list(answers.values[FORCES].split(sizes.tolist()))


def by_strain(name: str, answers: Answers, structures: Sequence[Structure]) -> Tensor:
    """dE/de (structures, 3, 3) as the stress, or the virial, has it; NaN where there is no stress.

    It is symmetric, as only symmetric strains are no turns.
    """
    tensors = answers.values[name].reshape(-1, 3, 3)
    if name == VIRIAL:
        return -tensors
    volumes = [volume(one) for one in structures]
    factors = [torch.nan if one is None else one for one in volumes]
    return torch.tensor(factors, dtype=torch.float64)[:, None, None] * tensors


def gradients_of(name: str, answers: Answers, structures: Sequence[Structure]) -> list[Tensor]:
    """dE/dx (points, 3) or dE/de (3, 3) of each structure, as one of the outputs has it."""
    if name == FORCES:
        return [-one for one in forces(answers)]
    return list(by_strain(name, answers, structures))
