"""An energy, and what a model returns as its derivatives: which outputs they are, and their slopes.

Outputs are told by their names, as those of calculators: ``energy`` (a scalar of structures, or of
points, whose sum counts), ``forces`` (a vector of each point), ``stress`` and ``virial`` (tensors
"ij=ji" or "ij" of structures). With a strain e, which takes rows x and lattice vectors to x + x e,

    forces = -dE/dx,    virial = -dE/de,    stress = dE/de / V,

as in ``symmetrize.derivatives``. Nothing is differentiated here: numbers alone are compared, so
that the laws hold for calculators and for any other black box.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor

from equivariance_tests.checks.check import Outcome
from equivariance_tests.checks.derivatives import DerivativeLaw, Measured
from equivariance_tests.checks.determinism import RANDOM, is_random
from equivariance_tests.clouds import Cloud, Structure
from equivariance_tests.subject import Answers, Subject
from symmetrize import Contract, per_point
from symmetrize.declaration import Declaration
from symmetrize.outputs import Output
from symmetrize.representation import as_representation

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
    return not output.per_point and turns.value_shape == TENSOR


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
    return zeros.index_add(0, answers.owner[ENERGY], values)


def forces(answers: Answers) -> list[Float[Tensor, "points 3"]]:
    """The forces on the points of each structure."""
    sizes = torch.bincount(answers.owner[FORCES], minlength=answers.size)
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


def with_derivatives(subject: Subject) -> Subject:
    """The same model; a calculator that has forces or a stress is asked for them, too.

    Of a calculator the contract need not name them: it has them whether or not they are declared.
    """
    known = getattr(subject.model, "implemented_properties", ())
    contract = subject.contract
    named = dict(contract.outputs)
    if not known or ENERGY not in named:
        return subject
    if FORCES in known:
        named.setdefault(FORCES, per_point("1o"))
    if STRESS in known and contract.periodic:
        named.setdefault(STRESS, Output(as_representation("ij=ji")))
    if len(named) == len(contract.outputs):
        return subject
    if subject not in _EXTENDED:
        extended = copy.copy(contract)
        object.__setattr__(extended, "outputs", Declaration.of(named))
        other = copy.copy(subject)
        other.contract = extended
        other.setting = replace(subject.setting, contract=extended)
        _EXTENDED[subject] = other.at(subject.dtype)
    return _EXTENDED[subject]


_EXTENDED: WeakKeyDictionary[Subject, Subject] = WeakKeyDictionary()


class EnergyLaw(DerivativeLaw):
    """A law of an energy and what is returned as its derivatives, by values alone.

    Attributes:
        of: those of the derivatives that it speaks of.
    """

    order = 0
    of: ClassVar[tuple[str, ...]] = (FORCES, STRESS, VIRIAL)

    @abstractmethod
    def measured(self, subject: Subject, structures: Sequence[Structure]) -> list[Measured]:
        """How the law holds on each structure."""

    def silent(self, subject: Subject) -> str | None:
        """Only what has both."""
        subject = with_derivatives(subject)
        contract = subject.contract
        if not set(self.of) & set(derivatives_in(contract)):
            return f"no `energy` with {' or '.join(f'`{name}`' for name in self.of)}"
        if float(subject.yardstick.scales[ENERGY][0]) == torch.inf:
            return "the energy is the same for all clouds"
        return RANDOM if is_random(subject) else None

    def outcomes(self, subject: Subject, clouds: Sequence[Cloud]) -> list[Outcome]:
        """How the law holds on each cloud, in their order."""
        return super().outcomes(with_derivatives(subject), clouds)

    def _reasons(self, subject: Subject, clouds: Sequence[Cloud]) -> dict[Cloud, str]:
        reasons = {cloud: self.unclaimed(subject, cloud) for cloud in clouds}
        kept = [cloud for cloud, reason in reasons.items() if not reason]
        for cloud, good in zip(kept, subject.answered(kept), strict=True):
            reasons[cloud] = "" if good else "the model has no answer"
        return reasons
