"""Forces and stress are held to the energy: right ones pass, and what is wrong is told in words."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch

from equivariance_tests import Profile, assert_forces_and_stress, assert_work_of_forces, certify
from equivariance_tests.checks.forces import ForcesAndStress, WrongForces, WrongStress
from equivariance_tests.checks.paths import PathScan
from equivariance_tests.checks.work_of_forces import WorkOfForces, WrongWork
from equivariance_tests.clouds import Cloud
from equivariance_tests.measure.trial import Trial
from equivariance_tests.model.energies import derivatives_in
from equivariance_tests.mutants.forces import CONTRACT, MUTANTS, OUTPUTS, Potential, Scaled
from equivariance_tests.report.failures import Failure
from symmetrize import Contract, Derivatives, per_point

# Shapes are checked in other tests: here they would take most of the time
pytestmark = pytest.mark.usefixtures("unchecked_shapes")

LAWS = (ForcesAndStress(), WorkOfForces())
DTYPES = (torch.float64, torch.float32)
GENERIC = Cloud("generic", 5, 1, (3, -1, 2, 5))
CRYSTAL = Cloud("crystal", 5, 1, (3, -1, 2, 5))


def outcomes(law: Any, trial: Trial, clouds: Sequence[Cloud] | None = None) -> list:
    assert law.reason_to_skip(trial) == ""
    return law.outcomes(trial, law.cases(trial.contract) if clouds is None else clouds)


def failures(law: Any, trial: Trial, clouds: Sequence[Cloud] | None = None) -> list[Failure]:
    return [one.failure for one in outcomes(law, trial, clouds) if one.failure is not None]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_exact_derivatives_pass(law: Any, dtype: torch.dtype) -> None:
    trial = Trial.of(Potential(), dtype=dtype)
    few = law.cases(CONTRACT)[:: 3 if law.slow else 1]
    found = outcomes(law, trial, few)
    assert [one.failure for one in found if one.failure] == []
    # single precision has no digits for clouds of two points next to each other, and for crystals
    assert sum(not one.skipped for one in found) >= len(found) * (
        0.9 if dtype == DTYPES[0] else 0.4
    )


def test_a_stress_has_a_spread_though_it_has_none_in_space() -> None:
    trial = Trial.of(Potential())
    assert trial.spread.vacuous == ()
    assert bool(torch.isfinite(trial.scales["stress"]).all())


# --- in words


class Returning(Potential):
    """Forces and stress as some function makes them of the right ones."""

    def __init__(
        self, forces: Callable[[Tensor], Tensor] | None = None, stress: Callable | None = None
    ) -> None:
        super().__init__()
        self.of_forces, self.of_stress = forces, stress

    def forces(self, found: Derivatives, data: Batch) -> Tensor:
        right = super().forces(found, data)
        return right if self.of_forces is None else self.of_forces(right)

    def stress(self, found: Derivatives) -> Tensor:
        right = super().stress(found)
        return right if self.of_stress is None else self.of_stress(right)


def with_net_force(forces: Tensor) -> Tensor:
    return forces + torch.tensor([0.1, 0.0, 0.0]).to(forces)


def of_the_first_point(forces: Tensor) -> Tensor:
    first = torch.arange(len(forces))[:, None] % 5 == 0
    return torch.where(first, 0.9 * forces, forces)


def reversed_order(forces: Tensor) -> Tensor:
    """Of five points in each structure."""
    return forces.reshape(-1, 5, 3).flip(1).reshape(-1, 3)


def engineering(stress: Tensor) -> Tensor:
    return stress * (2 - torch.eye(3).to(stress))


WORDS: dict[str, tuple[Returning, Cloud, str]] = {
    "sign": (Returning(lambda f: -f), GENERIC, "the wrong sign, as of the gradient dE/dx"),
    "half": (Returning(lambda f: f / 2), GENERIC, "0.5 times the derivative of the energy: half"),
    "twice": (Returning(lambda f: 2 * f), GENERIC, "twice their size"),
    "eV in a Hartree": (Returning(lambda f: f * 27.2114), GENERIC, "eV in a Hartree"),
    "bohr": (Returning(lambda f: f * 0.529177), GENERIC, "Å in a bohr"),
    "atomic units": (Returning(lambda f: f / 51.422), GENERIC, "Hartree/bohr in an eV/Å"),
    "of an unknown unit": (Returning(lambda f: f * 1.7), GENERIC, "are 1.7 times"),
    "by point": (Returning(lambda f: f / 5), GENERIC, "one by the number of points"),
    "zero": (Returning(lambda f: 0 * f), GENERIC, "the forces returned are zero"),
    "net force": (Returning(with_net_force), GENERIC, "the same vector (0.1, 0, 0) is added"),
    "order": (Returning(reversed_order), GENERIC, "the forces stand in another order"),
    "axes": (Returning(lambda f: f[:, [0, 2, 1]]), GENERIC, "stand as x, z, y"),
    "first point": (Returning(of_the_first_point), GENERIC, "but for those on the points [0]"),
    "stress of a virial": (Returning(None, lambda s: -s), CRYSTAL, "the wrong sign"),
    "GPa": (Returning(None, lambda s: 160.21766 * s), CRYSTAL, "GPa in an eV/Å^3"),
    "kbar": (Returning(None, lambda s: -1602.1766 * s), CRYSTAL, "kbar in an eV/Å^3, and the"),
    "volume": (Returning(None, lambda s: 2.5**3 * s), CRYSTAL, "the volume, by which it was not"),
    "virial": (Returning(None, lambda s: -(2.5**3) * s), CRYSTAL, "so that it is a virial"),
    "engineering": (Returning(None, engineering), CRYSTAL, "those off the diagonal are 2 times"),
    "diagonal": (
        Returning(None, lambda s: s * torch.eye(3).to(s)),
        CRYSTAL,
        "lacks what is off the diagonal",
    ),
    "pressure": (
        Returning(None, lambda s: s + 0.1 * torch.eye(3).to(s)),
        CRYSTAL,
        "0.1 is added to the diagonal",
    ),
}


@pytest.mark.parametrize("name", WORDS)
def test_what_is_wrong_is_told(name: str) -> None:
    model, cloud, words = WORDS[name]
    (found,) = failures(ForcesAndStress(), Trial.of(model, CONTRACT), [cloud])
    assert type(found) is (WrongForces if cloud == GENERIC else WrongStress)
    assert words in found.said
    assert found.details["output"] == ("forces" if cloud == GENERIC else "stress")


def test_the_order_of_ase_is_told() -> None:
    (found,) = failures(ForcesAndStress(), MUTANTS["stress in another order"].trial(), [CRYSTAL])
    assert "xx, yy, zz, xy, yz, xz, where ase's order is xx, yy, zz, yz, xz, xy" in found.said


def test_the_error_is_told_in_its_unit() -> None:
    trial = Trial.of(Scaled(0.5), CONTRACT)
    (found,) = failures(ForcesAndStress(), trial, [GENERIC])
    point, true = found.details["point"], found.details["-dE/dx by differences"]
    answers = trial(trial.structures([GENERIC]))
    assert found.details["force returned"] == answers.values["forces"][point].tolist()
    expected = max(abs(value) / 2 for value in true)
    assert found.details["error in its unit"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", ["half of the forces", "virial in place of the stress"])
def test_it_is_seen_in_either_precision(name: str, dtype: torch.dtype) -> None:
    found = failures(ForcesAndStress(), MUTANTS[name].trial(dtype=dtype))
    assert {type(one) for one in found} == {WrongStress if "stress" in name else WrongForces}


def test_a_millionth_of_the_forces_is_seen() -> None:
    trial = Trial.of(Scaled(1 + 1e-6), CONTRACT)
    assert failures(ForcesAndStress(), trial, [GENERIC, CRYSTAL])
    assert failures(WorkOfForces(), trial, [GENERIC])


def test_assertions() -> None:
    model = Scaled(-1.0)
    with pytest.raises(WrongForces, match="wrong sign"):
        assert_forces_and_stress(model, GENERIC, CONTRACT)
    with pytest.raises(WrongWork, match="the forces do work"):
        assert_work_of_forces(model, GENERIC, CONTRACT)
    assert_forces_and_stress(Potential(), GENERIC)


# --- which outputs are compared


@pytest.mark.parametrize(
    ("outputs", "names"),
    [
        ({"energy": "0e", "forces": per_point("1o")}, ("forces",)),
        ({"energy": per_point("0e"), "forces": per_point("i")}, ("forces",)),
        ({"energy": "0e", "stress": "ij", "virial": "ij=ji"}, ("stress", "virial")),
        ({"energy": "0e", "forces": "1o"}, ()),
        ({"energy": "2x0e", "forces": per_point("1o")}, ()),
        ({"forces": per_point("1o")}, ()),
        ({"energy": "0e", "field": per_point("1o")}, ()),
    ],
)
def test_outputs_are_told_by_name_and_by_how_they_turn(outputs: Any, names: tuple) -> None:
    assert derivatives_in(Contract(outputs)) == names
    if not names:
        trial = Trial.of(lambda data: {}, Contract(outputs))
        assert "no `energy` with" in (ForcesAndStress().reason_to_skip(trial) or "")


class OfPoints(nn.Module):
    """Energies of points, forces, and the virial of a finite structure; by hand."""

    contract = Contract(
        {"energy": per_point("0e"), "forces": per_point("1o"), "virial": "ij=ji"}, smoothness=2
    )

    def __init__(self, sign: float = 1.0) -> None:
        super().__init__()
        self.sign = sign

    def forward(self, data: Batch) -> dict[str, Tensor]:
        r = data.pos[None] - data.pos[:, None]
        terms = torch.exp(-r.square().sum(-1)) * (data.batch[:, None] == data.batch[None])
        pulls = 4 * (terms[..., None] * r).sum(1)
        each = -2 * torch.einsum("ij,ija,ijb->iab", terms, r, r)
        virial = each.new_zeros(data.num_graphs, 3, 3).index_add(0, data.batch, each)
        return {"energy": terms.sum(1), "forces": -pulls, "virial": -self.sign * virial}


def test_energies_of_points_and_virials_of_molecules() -> None:
    # repelling points, whose energy is that of all ordered pairs
    assert failures(ForcesAndStress(), Trial.of(OfPoints())) == []
    found = failures(ForcesAndStress(), Trial.of(OfPoints(-1.0)))
    assert {type(one) for one in found} == {WrongStress}


class Backpropagating(nn.Module):
    """Forces as they are often written: no thought is given to whether gradients are on."""

    contract = Contract({"energy": "0e", "forces": per_point("1o")})

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, data: Batch) -> dict[str, Tensor]:
        positions = data.pos.requires_grad_() if torch.is_grad_enabled() else data.pos
        r = positions[None] - positions[:, None]
        terms = torch.exp(-r.square().sum(-1)) * (data.batch[:, None] == data.batch[None])
        energy = terms.new_zeros(data.num_graphs).index_add(0, data.batch, terms.sum(1))
        forces = -torch.autograd.grad(energy.sum(), positions)[0]
        return {"energy": energy, "forces": self.factor * forces}


def test_forces_by_backpropagation_need_no_care() -> None:
    asked = ["finiteness", "gradients", "work closure", "forces and stress", "path scan"]
    few = Profile("few", clouds=0, slow_clouds=0, slow_cases=1, case_points=6, shrinking=0)
    report = certify(Backpropagating(), checks=asked, profile=few, progress=False)
    assert report.passed
    assert "no gradients" in report["gradients"].reason
    assert failures(ForcesAndStress(), Trial.of(Backpropagating(2.0)), [GENERIC])


# --- black boxes


def of_numpy(factor: float, digits: type = np.float64) -> Callable[[Tensor], dict[str, Tensor]]:
    """A function of positions that computes with numpy, in some precision."""

    def function(positions: Tensor) -> dict[str, Tensor]:
        x = positions.detach().numpy().astype(digits)
        r = x[None] - x[:, None]
        terms = np.exp(-np.square(r).sum(-1))
        forces = 4 * factor * (terms[..., None] * r).sum(1)
        energy = torch.as_tensor(np.asarray(terms.sum()))
        return {"energy": energy.to(positions), "forces": torch.as_tensor(-forces).to(positions)}

    return function


@pytest.mark.parametrize("digits", [np.float64, np.float32])
@pytest.mark.parametrize("smoothness", [None, 0, math.inf])
def test_no_gradients_are_needed(digits: type, smoothness: float | None) -> None:
    claims = Contract({"energy": "0e", "forces": per_point("1o")}, smoothness=smoothness)
    law = ForcesAndStress()
    assert failures(law, Trial.of(of_numpy(1.0, digits), claims)) == []
    found = failures(law, Trial.of(of_numpy(0.9, digits), claims), [GENERIC])
    assert found
    assert "times the derivative of the energy" in found[0].said


class Truncated(Potential):
    """The energy jumps by a little at the cutoff, as that of a pair potential may."""

    jump = 1e-3

    def forward(self, data: Batch) -> dict[str, Tensor]:
        found = super().forward(data)
        near = self.energy.pairs(data)
        count = torch.bincount(data.batch[near.center], minlength=data.num_graphs)
        return {**found, "energy": found["energy"] + self.jump * count[:, None]}


@pytest.mark.parametrize("smoothness", [None, 0, math.inf])
def test_a_jump_is_not_the_fault_of_the_forces(smoothness: float | None) -> None:
    claims = Contract(OUTPUTS, cutoff=3.0, periodic=True, smoothness=smoothness)
    assert failures(ForcesAndStress(), Trial.of(Truncated(), claims)) == []


def calculators() -> dict[str, tuple[Any, float, float, tuple[int, ...]]]:
    """Calculators of ASE with their cutoff, unit and elements."""
    from ase.calculators.emt import EMT
    from ase.calculators.lj import LennardJones
    from ase.calculators.morse import MorsePotential

    return {
        "EMT": (EMT(), 8.0, 2.5, (29, 79)),
        "Lennard-Jones": (LennardJones(sigma=3.4, epsilon=0.0104, rc=8.5), 8.5, 3.0, (18,)),
        "Morse": (MorsePotential(), 2.7, 0.9, (1,)),
    }


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", ["EMT", "Lennard-Jones", "Morse"])
def test_calculators_of_ase_pass(name: str, dtype: torch.dtype) -> None:
    """Their energies have small jumps at the cutoff; forces and stress need not be declared."""
    calculator, cutoff, unit, species = calculators()[name]
    for smoothness in (None, 2):
        claims = Contract({"energy": "0e"}, cutoff=cutoff, smoothness=smoothness, periodic=True)
        trial = Trial.of(calculator, claims, unit=unit, species=species, dtype=dtype)
        law = ForcesAndStress()
        clouds = law.cases(claims)[:: 13 if smoothness else 3]
        found = outcomes(law, trial, clouds)
        assert [one.failure for one in found if one.failure] == []
        assert any(not one.skipped for one in found)


def test_what_a_calculator_is_asked_for_here_is_asked_nowhere_else() -> None:
    """Forces that the contract does not name are no output to the checks that follow."""
    calculator, cutoff, unit, species = calculators()["Morse"]
    claims = Contract({"energy": "0e"}, cutoff=cutoff, smoothness=0)
    trial = Trial.of(calculator, claims, unit=unit, species=species)
    asked = ForcesAndStress().as_asked(trial)
    assert set(asked.contract.outputs) == {"energy", "forces"}
    for one in (trial, trial.at(torch.float64), trial.at(torch.float32)):
        assert set(one.contract.outputs) == {"energy"}
    assert set(asked.at(torch.float64).contract.outputs) == {"energy", "forces"}
    (outcome,) = PathScan().outcomes(trial, [GENERIC])
    assert outcome.failure is None


def test_a_calculator_is_asked_for_what_it_has() -> None:
    from ase.calculators.lj import LennardJones

    class Wrong(LennardJones):
        """A stress in GPa."""

        def calculate(self, *given: Any, **named: Any) -> None:
            super().calculate(*given, **named)
            if "stress" in self.results:
                self.results["stress"] = 160.21766 * self.results["stress"]

    claims = Contract({"energy": "0e"}, cutoff=3.0, smoothness=2, periodic=True)
    trial = Trial.of(Wrong(sigma=0.8, rc=3.0), claims)
    (found,) = failures(ForcesAndStress(), trial, [GENERIC, CRYSTAL])
    assert type(found) is WrongStress
    assert "GPa in an eV/Å^3" in found.said
