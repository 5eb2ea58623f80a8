"""The work of the forces along a path is what the energy falls by.

On the paths of ``work``, a straight one and a curved one that begin and end alike: there and back,
they are a closed path, on which no work is done. Structures are asked one by one, in the order in
which the path passes them, as a simulation would: forces of a neighbor list that was kept too long
do wrong work there, and no wrong slope where each structure is asked afresh.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from equivariance_tests.checks.energy_law import EnergyLaw
from equivariance_tests.clouds import Cloud, Structure
from equivariance_tests.clouds.turns import GENERIC_ORIENTATION
from equivariance_tests.measure.closure import closed
from equivariance_tests.measure.measured import Measured
from equivariance_tests.measure.trial import Trial
from equivariance_tests.model.energies import ENERGY, FORCES, energies, forces
from equivariance_tests.report.failures import Failure
from symmetrize import Contract

# Where paths begin; they leave the stratum at once
STARTS = ("generic", "pair", "line", "at the cutoff", "equal inertia")


class WrongWork(Failure):
    """The work of the forces along a path is not what the energy falls by."""

    kind = "work is not what the energy falls by"


class WorkOfForces(EnergyLaw):
    """Straight and curved paths away from a cloud, step by step.

    Continuity is enough: panels with a kink are left out, and the others tell.
    """

    name = "work of forces"
    law = "the integral of forces . dx from a to b is E(a) - E(b)"
    failure = WrongWork
    slow = True
    of = (FORCES,)

    def reason_to_skip(self, trial: Trial) -> str:
        """At a jump of the energy no force does work."""
        if trial.contract.smoothness is None:
            return "no continuity is claimed"
        return super().reason_to_skip(trial)

    def cases(self, contract: Contract) -> list[Cloud]:
        """A few clouds, as each path takes dozens of answers."""
        names = (*STARTS, "crystal") if contract.periodic else STARTS
        return [Cloud(name, 5, 1, GENERIC_ORIENTATION) for name in names]

    def measured(self, trial: Trial, structures: Sequence[Structure]) -> list[Measured]:
        """The worst panel of both paths from each structure."""
        scale = float(trial.scales[ENERGY][0])

        def field(places: Sequence[Structure]) -> tuple[Tensor, Sequence[Tensor]]:
            answers = trial.subject.apart(places)
            return energies(answers) / scale, [-one / scale for one in forces(answers)]

        said = (
            "the forces do work against which the energy rises by {work:.6g} of its spread, and it "
            f"rises by {{rise:.6g}}; known to {{known:.1g}}. The spread is {scale:.6g} in its unit"
        )
        return closed(trial, structures, field, said)
