"""Clusters, shells and crystals are what they are called, and rattled by what is said."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch

from equivariance_tests import CHECKS, PROFILES, Contract
from equivariance_tests.certification.draws import LARGE, drawn
from equivariance_tests.certification.plan import Plan
from equivariance_tests.certification.shrinking import FIELDS, rank
from equivariance_tests.checks import check_of
from equivariance_tests.checks.paths import PathScan
from equivariance_tests.clouds import STRATA, Cloud, Setting, Structure
from equivariance_tests.clouds.cases import degenerate, every_stratum, perfect_clouds
from equivariance_tests.clouds.clusters import CLUSTERS
from equivariance_tests.clouds.crystals import CELLS
from equivariance_tests.clouds.point_group import point_group
from equivariance_tests.clouds.rattled import DISTANCES, PERFECT, rattled
from equivariance_tests.measure.trial import Trial
from equivariance_tests.model.subject import COPIES, POINTS_AT_ONCE
from equivariance_tests.mutants.pairs import PairNetwork
from symmetrize import HierarchicalFrames, Symmetrizer, neighbor_list

# Shapes are checked in other tests: here they would take most of the time
pytestmark = pytest.mark.usefixtures("unchecked_shapes")

PERIODIC = Contract({"energy": "0e"}, cutoff=3.0, periodic=True)
# Points, those on the outermost shell, the nearest neighbors of one of them, elements of the group
SHAPES = {
    "cuboctahedron": (12, 12, 4, 48),
    "icosahedron and center": (13, 12, 1, 120),
    "fcc cluster of 38": (38, 24, 6, 48),
    "icosahedral cluster of 55": (55, 12, 1, 120),
    "C60": (60, 60, 3, 120),
}
# Points of a cell, neighbors of each, and how far these are in units of the cube root of the volume
# of a point
CRYSTALS = {
    "bcc cell": (2, 8, 3**0.5 / 2 ** (2 / 3)),
    "hcp cell": (2, 12, 2 ** (1 / 6)),
    "fcc cell": (4, 12, 2 ** (1 / 6)),
    "diamond cell": (8, 4, 3**0.5 / 2),
    "rock salt cell": (8, 6, 1.0),
}


def structure(cloud: Cloud, species: tuple[int, ...] = ()) -> Structure:
    return Setting.of(PERIODIC, species).structure(cloud)


@pytest.mark.parametrize("name", SHAPES)
def test_clusters_have_their_shells_and_their_group(name: str) -> None:
    number, outermost, neighbors, elements = SHAPES[name]
    points = CLUSTERS[name]
    distance, apart = points.norm(dim=1), torch.cdist(points, points).fill_diagonal_(torch.inf)
    assert len(points) == number
    assert distance.max() <= 2
    outer = (distance - distance.max()).abs() < 1e-12
    assert int(outer.sum()) == outermost
    nearest = (apart - apart.min()).abs() < 1e-12
    assert set(nearest[outer].sum(1).tolist()) == {neighbors}
    assert len(point_group(Structure(points), 1e-12)[0]) == elements


def test_points_of_a_shell_are_nearly_alike() -> None:
    points = CLUSTERS["shell of 50"]
    assert torch.allclose(points.norm(dim=1), torch.tensor(2.0).double())
    nearest = torch.cdist(points, points).fill_diagonal_(torch.inf).min(1).values
    assert nearest.max() / nearest.min() < 1.2
    # but for a half turn that exchanges its ends
    assert len(point_group(Structure(points), 1e-12)[0]) == 2


def neighbors_of(found: Structure, within: float) -> tuple[Tensor, Tensor, Tensor]:
    assert found.cell is not None
    assert found.pbc is not None
    batch = torch.zeros(len(found), dtype=torch.long)
    pairs = neighbor_list(found.positions, within, batch, found.cell[None], found.pbc[None])
    return pairs.center, pairs.neighbor, pairs.vectors


@pytest.mark.parametrize("name", CRYSTALS)
def test_crystals_have_their_neighbors(name: str) -> None:
    number, neighbors, apart = CRYSTALS[name]
    found = structure(Cloud(name), species=(1, 8))
    assert found.cell is not None
    assert len(found) == number
    center, neighbor, vectors = neighbors_of(found, 3.5)
    lengths = vectors.norm(dim=1)
    shortest = float(lengths.min())
    volume = float(torch.linalg.det(found.cell).abs()) / number
    assert shortest / volume ** (1 / 3) == pytest.approx(apart)
    near = lengths < 1.01 * shortest
    assert set(torch.bincount(center[near]).tolist()) == {neighbors}
    # no shell of them at the cutoff, where rounding would decide
    assert (lengths - 3.0).abs().min() > 0.05
    assert found.species is not None
    of_others = found.species[center[near]] != found.species[neighbor[near]]
    assert bool(of_others.all() if name == "rock salt cell" else ~of_others.any())


def test_a_model_of_one_species_or_none_sees_a_crystal_of_one() -> None:
    assert structure(Cloud("rock salt cell")).species is None
    alone = structure(Cloud("rock salt cell"), species=(8,)).species
    assert alone is not None
    assert alone.tolist() == [8] * 8
    some = structure(Cloud("rock salt cell", first=5), species=(1, 8)).species
    assert some is not None
    assert some.tolist() == [1, 1, 1, 1, 8]


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("name", ["C60", "diamond cell"])
def test_points_are_moved_by_the_distance(name: str, distance: float) -> None:
    setting = Setting.of(Contract("0e", cutoff=6.0, periodic=True))
    perfect, moved, others = (
        setting.structure(Cloud(name, seed=seed, rattled=by))
        for seed, by in ((1, 0.0), (1, distance), (2, distance))
    )
    away = (moved.positions - perfect.positions).norm(dim=1) / setting.unit
    # differences of numbers of 10 are known to 2e-15
    assert torch.allclose(away, torch.full_like(away, distance), rtol=1e-6, atol=4e-15)
    assert not torch.equal(moved.positions, others.positions)
    assert torch.equal(
        moved.positions, setting.structure(Cloud(name, 9, 1, rattled=distance)).positions
    )
    for one, other in ((moved.cell, perfect.cell), (moved.pbc, perfect.pbc)):
        assert one is not None
        assert other is not None
        assert torch.equal(one, other)


def test_displacements_of_points_are_unrelated() -> None:
    away = rattled(torch.zeros(2000, 3).double(), 1.0, seed=3)
    # 2,000 directions: a mean of 1/2000^(1/2) in each component
    assert away.mean(0).abs().max() < 0.05
    assert (away.T @ away / 2000 - torch.eye(3).double() / 3).abs().max() < 0.03


def test_a_rattled_cloud_prints_as_code() -> None:
    cloud = Cloud("C60", seed=2, rattled=1e-6)
    assert repr(cloud) == "Cloud('C60', seed=2, rattled=1e-06)"
    assert eval(repr(cloud)) == cloud


def test_all_distances_are_tried_with_all_symmetric_strata() -> None:
    tried = {(one.stratum, one.rattled) for one in every_stratum(PERIODIC)}
    assert tried >= set(itertools.product(PERFECT, (0.0, *DISTANCES)))
    assert set(PERFECT) >= {*CLUSTERS, *CELLS, "cube", "icosahedron"}
    finite = every_stratum(Contract("0e"))
    assert not {one.stratum for one in finite} & set(CELLS)
    # paths and approaches lead to what is perfect, and some paths past it
    assert {one.stratum for one in degenerate(PERIODIC)} >= set(PERFECT)
    assert not any(one.rattled for one in degenerate(PERIODIC))
    paths = {(one.stratum, one.rattled) for one in PathScan().cases(PERIODIC)}
    assert {("C60", 0.0), ("C60", 1e-2), ("fcc cell", 0.0), ("fcc cell", 1e-2)} <= paths


def test_a_path_past_a_cloud_is_as_long_as_the_cloud_is_rattled() -> None:
    trial = Trial.of(PairNetwork())
    lengths = []
    for distance in (0.0, 1e-2, 1e-12):
        path = PathScan().path(trial, Cloud("C60", 5, 1, rattled=distance))
        assert path is not None
        lengths.append(float(path.velocity.norm()))
    assert lengths[1] / lengths[0] == pytest.approx(1e-2)
    assert lengths[2] / lengths[0] == pytest.approx(1e-3)
    # of large clouds of other strata there is none
    assert PathScan().path(trial, Cloud("dodecahedron")) is None


@pytest.mark.parametrize("contract", [Contract("0e"), PERIODIC], ids=["finite", "periodic"])
def test_profiles_try_as_much_as_they_have_time_for(contract: Contract) -> None:
    trial, check = Trial.of(PairNetwork(), contract), check_of("equivariance")
    tried = {
        name: [one for one in Plan(CHECKS, profile, 0).cases(check, trial) if one.rattled]
        for name, profile in PROFILES.items()
    }
    assert len(tried["fast"]) <= 8
    assert max(len(trial.setting.structure(one)) for one in tried["fast"]) <= 12
    assert len({one.rattled for one in tried["fast"]}) >= 4
    assert len({one.stratum for one in tried["fast"]}) == len(tried["fast"])
    for name in ("ci", "deep"):
        assert {one.rattled for one in tried[name]} == set(DISTANCES)
        assert {one.stratum for one in tried[name]} == {
            one.stratum for one in perfect_clouds(contract)
        }
    assert 2 * len(tried["ci"]) < len(tried["deep"])


def test_fast_tries_all_strata_in_frames_but_each_check_others() -> None:
    frames = HierarchicalFrames(cutoff=3.0)
    trial = Trial.of(Symmetrizer(PairNetwork(), frames=frames), PERIODIC)
    bare = Trial.of(PairNetwork(), PERIODIC)
    fast, other = (Plan(CHECKS, PROFILES["fast"], 0) for _ in range(2))
    all_of_them, tried = set(), set()
    evaluations = clouds = 0
    for check in CHECKS:
        if check.slow or len(check.cases(PERIODIC)) < 50:
            continue
        whole, some = other.cases(check, bare), fast.cases(check, trial)
        assert some
        assert set(some) <= set(whole)
        evaluations += sum(trial.subject.evaluations(trial.structures(some)))
        clouds += len(whole)
        all_of_them |= {one.stratum for one in whole}
        tried |= {one.stratum for one in some}
    assert evaluations <= 4 * clouds
    # nothing is left out by all
    assert tried == all_of_them


def test_evaluations_are_counted_for_structures_also_where_centers_have_frames() -> None:
    frames = HierarchicalFrames(cutoff=3.0)
    model = Symmetrizer(PairNetwork(), frames=frames, scope="center", reduce="sum")
    trial = Trial.of(model, Contract({"energy": "0e", "vector": "1o"}))
    clouds = [Cloud("generic", n, n) for n in (1, 4, 7)] + [Cloud("dodecahedron")]
    found = trial.subject.evaluations(trial.structures(clouds))
    assert len(found) == len(clouds)
    assert max(found) > 1


def symmetrized(cutoff: float = 4.5) -> Symmetrizer:
    return Symmetrizer(PairNetwork(), frames=HierarchicalFrames(cutoff=cutoff))


@pytest.mark.parametrize("stratum", ["generic", "icosahedron", "fcc cell"])
@pytest.mark.parametrize("order", [0, 1, 2])
def test_one_call_is_given_fewer_points_where_there_are_many_frames(
    stratum: str, order: int
) -> None:
    subject = Trial.of(symmetrized(), PERIODIC).subject
    structures = subject.structures([Cloud(stratum, 6, 1)] * 300)
    calls = subject.chunks(structures, order)
    assert [one for call in calls for one in call] == structures
    (each,) = subject.evaluations(structures[:1])
    most = COPIES * POINTS_AT_ONCE[order]
    evaluated = [each * sum(map(len, call)) for call in calls]
    assert all(
        number <= most or len(call) == 1 for number, call in zip(evaluated, calls, strict=True)
    )
    # and not fewer than that
    assert len(calls) <= math.ceil(
        2 * len(structures) * len(structures[0]) * max(each, COPIES) / most
    )


def test_clouds_of_a_network_in_frames_have_the_cutoff_of_the_frames() -> None:
    """That of the network, where the wrapper has none: else nothing lies at it."""
    contract = Contract({"energy": "0e", "vector": "1o"})
    assert Trial.of(symmetrized(), contract).setting.cutoff == 4.5
    assert Trial.of(symmetrized(), contract, unit=2.0).setting.cutoff == 6.0
    assert Trial.of(symmetrized(), Contract("0e", min_distance=2.0)).setting.unit == 2.0


class Sudden(nn.Module):
    """Counts the points within 4.5 of each other."""

    def forward(self, data: Batch) -> Tensor:
        pairs = neighbor_list(data.pos, 4.5, data.batch)
        energies = (-pairs.vectors.square().sum(1)).exp() + 1.0
        energies = energies + data.pos[pairs.center, 0].sin()
        owners = data.batch[pairs.center]
        return data.pos.new_zeros(data.num_graphs, 1).index_add(0, owners, energies[:, None])


@pytest.mark.parametrize(("unit", "failed"), [(None, True), (1.0, False)])
def test_a_hard_cutoff_is_found_in_frames_that_say_where_it_is(
    unit: float | None, failed: bool
) -> None:
    model = Symmetrizer(Sudden(), outputs="0e", frames=HierarchicalFrames(cutoff=4.5))
    trial = Trial.of(model, Contract("0e"), unit=unit)
    outcomes = check_of("stratum approach").outcomes(trial, [Cloud("at the cutoff", 4, 1)])
    assert [one.failure is not None for one in outcomes] == [failed]


def test_slow_checks_leave_out_what_has_far_more_frames_than_is_usual() -> None:
    plan, trial = Plan(CHECKS, PROFILES["fast"], 0), Trial.of(symmetrized(3.0), PERIODIC)
    kept = plan.cases(check_of("path scan"), trial)
    assert kept
    assert max(trial.subject.evaluations(trial.structures(kept))) <= 12


def test_large_clouds_are_drawn_rarely() -> None:
    several = list(itertools.islice(drawn(PERIODIC, 0, 8, decorated=False), 5000))
    large = [one for one in several if one.stratum in LARGE]
    assert 0 < len(large) < 100
    distances = {one.rattled for one in several if one.stratum in PERFECT}
    assert distances == {0.0, *DISTANCES}
    assert not any(one.rattled for one in several if one.stratum not in PERFECT)
    assert {len(CLUSTERS[name]) for name in LARGE} == {38, 50, 55, 60}


def test_what_is_not_rattled_is_simpler() -> None:
    setting = Setting.of(PERIODIC)
    plain, moved = Cloud("cube"), Cloud("cube", rattled=1e-3)
    assert rank(plain, setting) < rank(moved, setting)
    assert rank(moved, setting) < rank(replace(plain, stratum="C60"), setting)
    assert "rattled" in FIELDS


@pytest.mark.parametrize("least", [0.1, 1.6])
@pytest.mark.parametrize("name", [name for name in PERFECT if name in STRATA])
def test_points_keep_apart_as_they_are_rattled(name: str, least: float) -> None:
    setting = Setting.of(Contract("0e", cutoff=5.0, periodic=True, min_distance=least))
    for distance in (0.0, 1e-2, 0.3):
        assert setting.left_out(Cloud(name, 5, 1, rattled=distance)) == ""
