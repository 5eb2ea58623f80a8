"""How far a model sees, by chains of points, and which of several outputs a failure is about."""

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor

from equivariance_tests import PROFILES, Profile, certify
from equivariance_tests.checks.equivariance import Equivariance
from equivariance_tests.checks.extensivity import Extensivity
from equivariance_tests.checks.gradients import Gradients
from equivariance_tests.checks.locality import Locality, NotLocal
from equivariance_tests.checks.permutation import Permutation
from equivariance_tests.clouds import Cloud
from equivariance_tests.measure.out_of_sight import Chain, spacings
from equivariance_tests.measure.trial import Trial
from equivariance_tests.mutants.forces import CONTRACT as FORCES
from equivariance_tests.mutants.forces import Potential
from equivariance_tests.mutants.pairs import CUTOFF, PairNetwork
from equivariance_tests.mutants.rounds import LONGER, Messages, claimed
from symmetrize import Contract, per_point

# Shapes are checked in other tests: here they would take most of the time
pytestmark = pytest.mark.usefixtures("unchecked_shapes")

GENERIC = [Cloud("generic", 5, seed, (3, -1, 2, 5)) for seed in range(3)]
DTYPES = (torch.float64, torch.float32)


def judged(law: Any, model: Any, contract: Contract, dtype: torch.dtype = torch.float64) -> list:
    trial = Trial.of(model, contract, dtype=dtype)
    assert law.reason_to_skip(trial) == ""
    return law.outcomes(trial, GENERIC)


class EnergyOfMessages(Messages):
    """The energy of two rounds alone."""

    def __init__(self) -> None:
        super().__init__(2)

    def forward(self, data: Any) -> dict[str, Tensor]:
        return {"energy": super().forward(data)["energy"]}


class Pooled(Messages):
    """A function of the sum over points: additive no more, but local."""

    def forward(self, data: Any) -> dict[str, Tensor]:
        found = super().forward(data)
        number = data.pos.new_zeros(data.num_graphs, 1).index_add(
            0, data.batch, data.pos.new_ones(len(data.pos), 1)
        )
        return {
            "energy": torch.sin(3 * found["energy"] / (1 + number)),
            "vector": found["vector"] / (1 + found["energy"].square()),
        }


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", [Messages, Pooled])
@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_honest_rounds_pass(rounds: int, kind: type, dtype: torch.dtype) -> None:
    outcomes = judged(Locality(), kind(rounds), claimed(rounds), dtype)
    assert [one.failure for one in outcomes if one.failure] == []


@pytest.mark.parametrize("kind", [Messages, Pooled])
@pytest.mark.parametrize(("rounds", "claim"), [(2, 1), (3, 1), (3, 2), (4, 3)])
def test_one_round_more_than_claimed_is_seen(rounds: int, claim: int, kind: type) -> None:
    outcomes = judged(Locality(), kind(rounds), claimed(claim))
    assert [type(one.failure) for one in outcomes] == [NotLocal] * len(GENERIC)
    said = outcomes[0].failure.said
    assert f"the end of a chain of {2 * claim + 2} steps" in said
    # what is needed to see it again
    positions = torch.tensor(outcomes[0].failure.details["pos with the point"])
    assert len(positions) == 5 + 2 * (2 * claim + 1) + 1


@pytest.mark.parametrize("law", [Locality(), Extensivity()], ids=lambda law: law.name)
def test_a_cutoff_that_is_a_little_too_long_is_seen(law: Any) -> None:
    outcomes = judged(law, Messages(1, LONGER * CUTOFF), claimed(1))
    assert all(one.failure is not None for one in outcomes)


@pytest.mark.parametrize("name", ["two", "three", "longer"])
def test_the_fast_profile_is_enough(name: str) -> None:
    models = {
        "two": (Messages(2), claimed(1)),
        "three": (Messages(3), claimed(2)),
        "longer": (Messages(1, LONGER * CUTOFF), claimed(1)),
    }
    # its named cases alone
    brief = dataclasses.replace(PROFILES["fast"], clouds=0, shrinking=0)
    model, contract = models[name]
    report = certify(model, contract, checks=["locality"], profile=brief, progress=False)
    assert report["locality"].verdict == "failed"


@pytest.mark.parametrize("rounds", [1, 2, 3, 4])
@pytest.mark.parametrize("stratum", ["empty", "atom", "generic", "fragments", "cube"])
def test_the_ends_of_chains_are_out_of_sight(stratum: str, rounds: int) -> None:
    """No point sees the cloud and the end, and those of a chain see their neighbors."""
    trial = Trial.of(lambda data: None, claimed(rounds))
    (one,) = trial.structures([Cloud(stratum, 5, 1, (3, -1, 2, 5))])
    reach, number = rounds * CUTOFF, len(one)
    for axis, spacing in enumerate(spacings(trial.contract)):
        chain = Chain(trial, one, spacing, axis % 3)
        for whole in (chain.at_the_cloud, chain.elsewhere):
            distances = torch.cdist(whole.positions, whole.positions)
            sees = distances <= reach
            assert not bool((sees[-1][:, None] & sees)[:, :number].any())
            along = distances.diagonal(1)[number : number + chain.hops - 2]
            assert spacing > 1 or bool((along < CUTOFF).all())
        before, after = chain.at_the_cloud.positions, chain.elsewhere.positions
        for i, partner in enumerate(chain.partners.tolist()):
            here, there = before - before[i], after - after[partner]
            near = [x[x.norm(dim=1) <= reach] for x in (here, there)]
            keys = [sorted(map(tuple, x.mul(2**20).round().tolist())) for x in near]
            assert keys[0] == keys[1]


def test_forces_see_twice_as_far_as_their_energy() -> None:
    """A potential of one round passes as such; one of two rounds does not."""

    class Rounds(Potential):
        """The energy of two rounds, and its forces."""

        def __init__(self) -> None:
            super().__init__()
            self.other = self.energy = EnergyOfMessages()

    two = Contract(FORCES.outputs, cutoff=CUTOFF, rounds=2, periodic=True)
    assert [one.failure for one in judged(Locality(), Potential(), FORCES) if one.failure] == []
    assert [one.failure for one in judged(Locality(), Rounds(), two) if one.failure] == []
    assert all(one.failure is not None for one in judged(Locality(), Rounds(), FORCES))


# --- which output


class Wrong(PairNetwork):
    """One of two outputs has a fault."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, data: Any) -> dict[str, Tensor]:
        found = super().forward(data)
        first = data.ptr[:-1].clamp(max=max(len(data.pos) - 1, 0))
        filled = (data.ptr.diff() > 0)[:, None].to(data.pos.dtype)
        fault = 1e-3 * torch.tanh(data.pos[first, 2:]) * filled
        return {**found, self.name: found[self.name] + fault}


@pytest.mark.parametrize("name", ["energy", "vector"])
@pytest.mark.parametrize("law", [Equivariance(), Permutation()], ids=lambda law: law.name)
def test_a_failure_names_the_output(law: Any, name: str) -> None:
    contract = Contract({"energy": "0e", "vector": "1o"}, cutoff=CUTOFF)
    trial = Trial.of(Wrong(name), contract)
    failure = law.outcomes(trial, GENERIC)[0].failure
    assert f"the output {name!r} changes by" in failure.said
    assert failure.details["output"] == name
    size, scale = failure.details["error in its unit"], trial.scales[name]
    assert size == pytest.approx(failure.error * float(scale.max()), rel=1e-9)
    assert f"({size:.2g} in its unit)" in failure.said


def test_a_failure_names_the_irrep_and_the_point() -> None:
    def model(data: Any) -> dict[str, Tensor]:
        squares = (data.pos[:, None] - data.pos[None]).square().sum(-1)
        same = data.batch[:, None] == data.batch[None]
        rows = torch.exp(-squares) * same
        wrong = torch.arange(len(data.pos))[:, None] == data.ptr[data.batch][:, None] + 2
        pulls = (rows[..., None] * (data.pos[None] - data.pos[:, None])).sum(1)
        fault = 1e-2 * wrong * torch.tensor([0.0, 0.0, 1.0]).to(pulls)
        return {"energy": rows.sum(1), "field": torch.cat([pulls, 2 * pulls + fault], 1)}

    contract = Contract({"energy": per_point("0e"), "field": per_point("2x1o")})
    failure = Equivariance().outcomes(Trial.of(model, contract), GENERIC)[0].failure
    assert "the output 'field' (1o[1]) of point 2 changes by" in failure.said
    assert failure.details["part"] == "1o[1]"
    assert failure.details["point"] == 2


class Detached(PairNetwork):
    """The vector has a factor that its derivative does not know."""

    def forward(self, data: Any) -> dict[str, Tensor]:
        found = super().forward(data)
        energy = found["energy"].detach()
        return {**found, "vector": found["vector"] * (2 + torch.tanh(energy))}


def test_a_wrong_gradient_names_the_output() -> None:
    contract = Contract({"energy": "0e", "vector": "1o"}, cutoff=CUTOFF)
    failure = Gradients().outcomes(Trial.of(Detached(), contract), GENERIC)[0].failure
    assert "the output 'vector' has a wrong derivative" in failure.said
    assert failure.details["output"] == "vector"


def test_reports_have_the_output_in_json() -> None:
    contract = Contract({"energy": "0e", "vector": "1o"}, cutoff=CUTOFF)
    few = Profile("few", clouds=0, slow_clouds=0, slow_cases=1, shrinking=0)
    report = certify(
        Wrong("vector"), contract, checks=["equivariance"], profile=few, progress=False
    )
    details = report.to_json()["findings"][0]["failure"]["details"]
    assert details["output"] == "vector"
    assert details["error in its unit"] > 0
