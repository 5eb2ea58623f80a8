"""Contracts that stand from a least distance on: repulsive cores, and what is asked about them."""

import itertools
import math

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from equivariance_tests import CHECKS, Cloud, Contract, Profile, assert_parity, certify
from equivariance_tests.certification.draws import drawn
from equivariance_tests.checks.paths import PathScan
from equivariance_tests.clouds import STRATA, Setting, Structure
from equivariance_tests.clouds.apart import closest, least_distance
from equivariance_tests.clouds.cases import degenerate
from equivariance_tests.clouds.crystals import CRYSTALS
from equivariance_tests.measure.displacement import displacement
from equivariance_tests.measure.trial import Trial
from equivariance_tests.report.text import claims
from symmetrize import Symmetrizer, cutoff_switch, neighbor_list

# Shapes are checked in other tests: here they would take most of the time
pytestmark = pytest.mark.usefixtures("unchecked_shapes")

LEAST, CUTOFF = 1.6, 5.0
OUTPUTS = {"energy": "0e", "pull": "1o"}
QUICK = Profile("quick", clouds=0, slow_clouds=0, slow_cases=1, case_points=6, shrinking=0)


class Core(nn.Module):
    """A Lennard-Jones potential that refuses what is closer than it stands for."""

    def __init__(self, periodic: bool = False, least: float = LEAST) -> None:
        super().__init__()
        self.contract = Contract(
            OUTPUTS, cutoff=CUTOFF, extensive=True, periodic=periodic, min_distance=least
        )
        self.periods = ("cell", "pbc") if periodic else ()

    def forward(self, data: Batch) -> dict[str, Tensor]:
        pairs = neighbor_list(data.pos, CUTOFF, data.batch, *(data[name] for name in self.periods))
        vectors = pairs.vectors.to(data.pos.dtype)
        lengths = vectors.square().sum(1).sqrt()
        if bool((lengths.detach() < self.contract.min_distance * (1 - 1e-6)).any()):
            raise RuntimeError(f"two points are {float(lengths.min())} apart")
        sixth = (1.8 / lengths) ** 6
        bonds = self.bonds(sixth * (sixth - 1), lengths, vectors)
        bonds = bonds * cutoff_switch(lengths, CUTOFF, CUTOFF / 2)
        energies = data.pos.new_zeros(len(data.pos), 1).index_add(0, pairs.center, bonds[:, None])
        pull = torch.zeros_like(data.pos).index_add(0, pairs.center, bonds[:, None] * vectors)
        return {
            "energy": energies.new_zeros(data.num_graphs, 1).index_add(0, data.batch, energies),
            "pull": pull.new_zeros(data.num_graphs, 3).index_add(
                0, data.batch, torch.tanh(energies / 8) * pull
            ),
        }

    def bonds(self, bonds: Tensor, lengths: Tensor, vectors: Tensor) -> Tensor:
        return bonds


class Tilted(Core):
    def bonds(self, bonds: Tensor, lengths: Tensor, vectors: Tensor) -> Tensor:
        return bonds + 0.1 * vectors[:, 2].square() * torch.exp(-lengths)


class Kinked(Core):
    """A kink above the least distance."""

    def bonds(self, bonds: Tensor, lengths: Tensor, vectors: Tensor) -> Tensor:
        return bonds + torch.relu(2.5 - lengths)


def certified(model, **how):
    return certify(model, **{"profile": QUICK, "progress": False, **how})


# --- the models


def test_a_repulsive_core_is_certified():
    """It raises where points are too close: none of the checks brings them there."""
    report = certified(Core(periodic=True))
    assert report.passed, str(report)
    verdicts = {finding.check: finding.verdict for finding in report.findings}
    assert set(verdicts.values()) <= {"passed", "skipped"}
    skipped = {name for name, one in verdicts.items() if one == "skipped"}
    # it has an energy alone, makes no copies, and has no frames
    assert skipped == {"copies", "steepness", "forces and stress", "work of forces"}


def test_without_a_least_distance_it_is_refuted():
    contract = Contract(OUTPUTS, cutoff=CUTOFF)
    report = certified(Core(), contract=contract, checks=["finiteness"])
    assert report["finiteness"].verdict == "failed"
    assert "apart" in report["finiteness"].failure.said


@pytest.mark.parametrize(
    ("model", "checks"),
    [(Tilted(), ["equivariance"]), (Kinked(), ["path scan"])],
    ids=["direction", "kink"],
)
def test_mutant_what_breaks_above_the_least_distance_is_refuted(model, checks):
    report = certified(model, checks=checks)
    assert [report[check].verdict for check in checks] == ["failed"] * len(checks)
    for failure in report.failures:
        structure = Trial.of(model).setting.structure(failure.cloud)
        assert least_distance(structure, LEAST) >= LEAST


# --- the clouds


def clouds() -> list[Cloud]:
    contract = Contract("0e", periodic=True)
    named = [cloud for check in CHECKS for cloud in check.cases(contract) if cloud.seed == 1]
    several = itertools.islice(drawn(contract, 0, 8, decorated=False), 100)
    return list(dict.fromkeys([*named, *several]))


@pytest.mark.parametrize("least", [0.1, 1.6, 3.5])
def test_points_of_clouds_are_apart(least):
    setting = Setting.of(Contract("0e", cutoff=CUTOFF, periodic=True, min_distance=least))
    several = clouds()
    kept = [cloud for cloud in several if not setting.left_out(cloud)]
    assert len(kept) > 0.75 * len(several)
    for cloud in kept:
        assert least_distance(setting.structure(cloud), least) >= least, cloud
    left_out = {cloud.stratum for cloud in several} - {cloud.stratum for cloud in kept}
    assert left_out <= {
        "coincident",
        "point and copy",
        "point and copy off by 1e-12",
        "point and copy off by 1e-8",
        *(name for name in CRYSTALS if least > 1),
    }


def test_reasons_are_given():
    setting = Setting.of(Contract("0e", cutoff=CUTOFF, min_distance=LEAST))
    assert "closer than the contract speaks of, from 1.6 on" in setting.left_out(
        Cloud("coincident")
    )
    assert setting.left_out(Cloud("generic")) == ""
    trial = Trial.of(Core())
    (outcome,) = CHECKS[0].outcomes(trial, [Cloud("coincident")])
    assert "closer than" in outcome.skipped


@pytest.mark.parametrize("stratum", STRATA)
def test_strata_are_as_they_were_without_a_least_distance(stratum):
    plain, apart = (
        Setting.of(Contract("0e", cutoff=CUTOFF, periodic=True, min_distance=least))
        for least in (None, 1e-13)
    )
    before, after = (one.structure(Cloud(stratum, 5, 1)) for one in (plain, apart))
    assert plain.left_out(Cloud(stratum, 5, 1)) == ""
    if not apart.left_out(Cloud(stratum, 5, 1)):
        assert torch.equal(before.positions, after.positions)


@pytest.mark.parametrize(
    "stratum", ["at the cutoff", "1e-8 beyond the cutoff", "last neighbor at the cutoff"]
)
def test_a_point_at_the_cutoff_stays_there(stratum):
    settings = [
        Setting.of(Contract("0e", cutoff=CUTOFF, min_distance=least)) for least in (None, LEAST)
    ]
    first, last = ([one.structure(Cloud(stratum, 6, 2)) for one in settings] for _ in range(2))
    assert len(last[1]) <= len(first[0])
    distances = [float((one.positions[-1] - one.positions[0]).norm()) for one in first]
    assert distances[0] == distances[1]


@pytest.mark.parametrize("stratum", ["line", "plane", "ties", "pyramid", "tetrahedron", "prism"])
def test_a_cloud_that_grows_keeps_its_shape(stratum):
    settings = [
        Setting.of(Contract("0e", cutoff=CUTOFF, min_distance=least)) for least in (None, LEAST)
    ]
    before, after = (one.structure(Cloud(stratum, 4, 3)).positions for one in settings)
    factor = float(after.abs().max() / before.abs().max())
    assert factor >= 1
    assert torch.allclose(after, factor * before, rtol=0, atol=1e-14 * factor)


def test_images_count():
    cell, pbc = torch.tensor([[9.0, 0, 0], [8.5, 1.0, 0], [0, 0, 9]]).double(), torch.ones(3).bool()
    skewed = Structure(torch.zeros(1, 3).double(), cell=cell, pbc=pbc)
    assert least_distance(skewed, 3.0) == pytest.approx(math.hypot(0.5, 1.0))
    outside = Structure(torch.tensor([[0.0, 0, 0], [9.0, 0, 1.25]]).double(), cell=cell, pbc=pbc)
    assert least_distance(outside, 3.0) == pytest.approx(math.hypot(0.5, 1.0))
    slab = Structure(torch.zeros(1, 3).double(), cell=cell, pbc=torch.tensor([True, False, False]))
    assert least_distance(slab, 3.0) == math.inf
    assert least_distance(slab, 10.0) == pytest.approx(9.0)


def test_paths_keep_points_apart():
    trial = Trial.of(Core())
    paths = [
        PathScan().path(trial, cloud)
        for cloud in degenerate(trial.contract)
        if not trial.left_out(cloud)
    ]
    assert sum(path is not None for path in paths) > 20
    for path in paths:
        if path is not None:
            found = closest(path.structure, path.velocity, path.low, path.high, LEAST)
            assert found > LEAST
            t = torch.linspace(path.low, path.high, 50, dtype=torch.float64)
            gaps = [torch.pdist(one).min() for one in path.at(t) if len(one) > 1]
            assert min(gaps, default=torch.tensor(math.inf)) > LEAST


def test_displacements_keep_points_apart():
    trial = Trial.of(Core())
    structure = trial.setting.structure(Cloud("generic", 6, 1))
    moved = structure.at(structure.positions + displacement(trial, structure))
    assert trial.setting.stands(moved)


def test_assertions_say_nothing_of_clouds_that_are_left_out():
    assert_parity(Core(), Cloud("coincident"))
    near = Data(pos=torch.tensor([[0.0, 0, 0], [0.5, 0, 0]]))
    with pytest.raises(ValueError, match="nothing to assert about this structure: points are clos"):
        assert_parity(Core(), near)


# --- the contract


@pytest.mark.parametrize("value", [0, -1.0, math.inf, math.nan, CUTOFF, 7])
def test_a_least_distance_is_a_length_below_the_cutoff(value):
    with pytest.raises(ValueError, match=r"`min_distance` is .* below the cutoff 5.0"):
        Contract("0e", cutoff=CUTOFF, min_distance=value)


def test_the_least_distance_is_told_wherever_contracts_are():
    contract = Contract("0e", cutoff=CUTOFF, min_distance=1)
    assert contract.min_distance == 1.0
    assert Contract("0e").min_distance is None
    assert Contract.of_plain({"outputs": "0e", "cutoff": 5.0, "min_distance": 1}) == contract
    assert contract.plain()["min_distance"] == 1.0
    assert "points 1 apart" in claims(contract)
    assert Setting.of(Contract("0e", min_distance=2.5)).unit == 2.5


def test_a_symmetrized_network_stands_where_its_network_does():
    assert Symmetrizer(Core()).contract.min_distance == LEAST
