"""Laws of the published pair frames, the faults repaired in them and those they are born with."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import lambertw

from symmetrize.frames import PairFrames, Points, chirality, pairs
from symmetrize.frames.pairs import Pruning
from tests.common.frames import (
    CUTOFF,
    average,
    clouds,
    largest_jump,
    make_cloud,
    network,
    orthogonal,
    permuted,
    represent,
    stratum,
    turned,
)

# Shapes are checked in other tests: here they would take most of the time
pytestmark = pytest.mark.usefixtures("unchecked_shapes")

GROUPS = ("SO(3)", "O(3)")
# sums of up to 60 frames, each with weights whose slope is up to 100 per unit of length
EXACT = 1e-12


def stand_in(*_):
    """An auxiliary model for frames that are never applied to one."""


def pair_frames(**options):
    return PairFrames(CUTOFF, auxiliary=stand_in, **options)


# --- laws


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("prune", [None, Pruning()], ids=["unpruned", "pruned"])
@settings(max_examples=20, deadline=None)
@given(data=st.data(), cloud=clouds())
def test_the_ensemble_turns_with_the_cloud(group, prune, data, cloud):
    frames = pair_frames(prune=prune)
    rotation = data.draw(orthogonal(group))
    before = average(cloud, frames.of_centers(cloud, group, 2))
    after = turned(cloud, rotation)
    after = average(after, frames.of_centers(after, group, 2))
    torch.testing.assert_close(
        after, represent(before, rotation.expand(cloud.size, 3, 3)), atol=EXACT, rtol=EXACT
    )


def test_without_mirror_images_inversion_is_broken():
    cloud = make_cloud(stratum("generic", 5, 0), cutoff=CUTOFF)
    inverted = turned(cloud, -torch.eye(3).double())
    first, second = (average(c, pair_frames().of_centers(c, "SO(3)", 2)) for c in (cloud, inverted))
    expected = represent(first, -torch.eye(3).double()[None])
    assert (second - expected).abs().max() > 0.1


def test_mutant_a_chirality_that_inversion_does_not_flip_is_seen(monkeypatch):
    monkeypatch.setattr(pairs, "chirality", lambda *args: chirality(*args).abs())
    cloud = make_cloud(stratum("generic", 5, 0), cutoff=CUTOFF)
    inverted = turned(cloud, -torch.eye(3).double())
    first, second = (average(c, pair_frames().of_centers(c, "O(3)", 2)) for c in (cloud, inverted))
    expected = represent(first, -torch.eye(3).double()[None])
    assert (second - expected).abs().max() > 0.01


@pytest.mark.parametrize("group", GROUPS)
@settings(max_examples=15, deadline=None)
@given(cloud=clouds(), seed=st.integers(0, 99))
def test_permutation_weights_and_axes(group, cloud, seed):
    frames = pair_frames()
    ensemble = frames.of_centers(cloud, group, 2)
    total = torch.zeros(cloud.size, dtype=torch.float64)
    total.index_add_(0, ensemble.index, ensemble.weights)
    torch.testing.assert_close(total, torch.ones_like(total), atol=1e-14, rtol=0)
    assert (ensemble.weights > 0).all()
    assert (ensemble.index.diff() >= 0).all()
    gram = ensemble.rotations.mT @ ensemble.rotations
    torch.testing.assert_close(gram, torch.eye(3).double().expand_as(gram), atol=1e-14, rtol=0)
    if group == "SO(3)":
        assert (torch.linalg.det(ensemble.rotations) > 0).all()
    shuffled = permuted(cloud, seed)
    torch.testing.assert_close(
        average(shuffled, frames.of_centers(shuffled, group, 2)),
        average(cloud, ensemble),
        atol=EXACT,
        rtol=EXACT,
    )


def test_a_batch_gives_what_its_members_give_alone():
    rows = [stratum(name, 5, 3) for name in ("generic", "empty", "collinear", "tetrahedron")]
    together = make_cloud(*rows, cutoff=CUTOFF)
    together = average(together, pair_frames().of_centers(together, "O(3)", 2))
    alone = [make_cloud(row, cutoff=CUTOFF) for row in rows]
    alone = [average(cloud, pair_frames().of_centers(cloud, "O(3)", 2)) for cloud in alone]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-14, rtol=0)


# --- as published


def published_frames(vectors, options, repaired):
    """Frames and weights before pruning, one pair at a time, as the paper writes them."""

    def switch(r, radius):
        x = 2 * (r - (radius - options.width / 2)) / options.width
        if x <= -1:
            return 1.0
        return 0.0 if x >= 1 else float((np.tanh(1 / (x + 1) + 1 / (x - 1)) + 1) / 2)

    def rise(z, low):
        return 1 - switch(z * options.width / options.omega_width, low_as_radius(low))

    def low_as_radius(low):
        return (low + options.omega_width) * options.width / options.omega_width

    def squared_sine(a, b):
        return np.sum(np.cross(a / np.linalg.norm(a), b / np.linalg.norm(b)) ** 2)

    beta, cutoff = options.beta, options.cutoff
    values, weights = [cutoff], [1.0]
    for i, a in enumerate(vectors):
        for b in vectors[i + 1 :]:
            r = np.array([np.linalg.norm(a), np.linalg.norm(b)])
            boltzmann = np.exp(beta * r) / np.exp(beta * r).sum()
            values.append(boltzmann @ r + lambertw(np.exp(-1)).real / beta)
            weights.append(
                switch(r[0], cutoff)
                * switch(r[1], cutoff)
                * rise(squared_sine(a, b), options.omega)
            )
    factors = np.array(weights) * np.exp(-beta * np.array(values))
    inner = options.width + factors @ np.array(values) / factors.sum()

    found = []
    for i, a in enumerate(vectors):
        for j, b in enumerate(vectors):
            lengths = np.linalg.norm(a), np.linalg.norm(b)
            if i == j or max(lengths) >= inner:
                continue
            z = squared_sine(a, b)
            low = options.omega - options.omega_width
            weight = switch(lengths[0], inner) * switch(lengths[1], inner) * rise(z, low)
            if options.linear_factor:
                weight *= (z - low) / options.omega_width
            if repaired:
                weight *= switch(lengths[0], cutoff) * switch(lengths[1], cutoff)
            if weight > 0:
                normal = np.cross(a, b) / np.linalg.norm(np.cross(a, b))
                x = a / lengths[0]
                found.append((weight, np.stack([x, np.cross(normal, x), normal], -1)))
    weights = torch.tensor([w for w, _ in found], dtype=torch.float64)
    rotations = torch.from_numpy(np.array([r for _, r in found]).reshape(-1, 3, 3))
    return rotations, weights


class Unrepaired(PairFrames):
    """The published weights, one environment and one pair at a time."""

    repaired = False

    def weighted_frames(self, cloud):
        parts = []
        for owner in range(cloud.size):
            vectors = cloud.vectors[cloud.index == owner].detach().numpy()
            rotations, weights = published_frames(vectors, self, self.repaired)
            parts.append((rotations, weights, torch.full((len(weights),), owner)))
        return tuple(torch.cat(part) for part in zip(*parts, strict=True))


class Reference(Unrepaired):
    """The repaired weights, one environment and one pair at a time."""

    repaired = True


def test_lambert_w():
    assert lambertw(np.exp(-1)).real == pytest.approx(pairs.LAMBERT_W, abs=1e-15)


@pytest.mark.parametrize("reference", [Unrepaired, Reference])
@pytest.mark.parametrize("linear_factor", [True, False])
@pytest.mark.parametrize("beta", [1.0, 5.0])
def test_frames_and_weights_are_the_published_ones(reference, linear_factor, beta):
    options = {"linear_factor": linear_factor, "beta": beta, "auxiliary": stand_in}
    for seed in range(6):
        vectors = stratum("generic", 6, seed)
        lengths = vectors.norm(dim=-1)
        inside = lengths < (CUTOFF - 0.15 if reference is Unrepaired else CUTOFF)
        # neighbors beyond the onset of the repair make the published weights differ, by intent
        cloud = make_cloud(vectors[inside & (lengths > 0.3)], cutoff=CUTOFF)
        ours = average(cloud, PairFrames(CUTOFF, **options).of_centers(cloud, "SO(3)", 2))
        theirs = average(cloud, reference(CUTOFF, **options).of_centers(cloud, "SO(3)", 2))
        torch.testing.assert_close(ours, theirs, atol=EXACT, rtol=EXACT)


def test_the_published_third_axis_is_a_fixed_rotation_away():
    rotations, _, _ = PairFrames(CUTOFF).weighted_frames(make_cloud(stratum("generic", 4, 1)))
    x, y, z = rotations.unbind(-1)
    published = torch.stack([x, z, torch.linalg.cross(x, z)], -1)
    fixed = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]], dtype=torch.float64)
    torch.testing.assert_close(rotations @ fixed, published, atol=1e-15, rtol=0)
    torch.testing.assert_close(y, torch.linalg.cross(z, x), atol=1e-15, rtol=0)


def test_pruning_and_the_auxiliary_weight_are_the_published_ones():
    def soft(w):
        factors = w * np.exp(w)
        return factors @ w / factors.sum()

    def rise(x):
        x = np.clip(x, 1e-12, 1 - 1e-12)
        return 1 / (1 + np.exp(np.clip(1 / x - 1 / (1 - x), -700, 700)))

    cloud = make_cloud(stratum("generic", 6, 4), cutoff=CUTOFF)
    for factor in (0.1, 0.3, 0.4, 1.0):  # pruning is off, partly on, and on

        class Scaled(PairFrames):
            def weighted_frames(self, cloud, factor=factor):
                rotations, weights, center = super().weighted_frames(cloud)
                return rotations, weights * factor / weights.max(), center

        ensemble = Scaled(CUTOFF, auxiliary=stand_in).of_centers(cloud, "SO(3)", 2)
        weights = Scaled(CUTOFF).weighted_frames(cloud)[1].numpy()
        best = soft(weights)
        aside = rise((0.5 - best) / 0.5)
        off = rise((0.5 - best) / 0.25)
        for _ in range(4):
            kept = rise((weights / soft(weights) - 0.9) / 0.1)
            weights = weights * (kept * (1 - off) + off)
        weights = weights[weights > 0]
        expected = np.append(weights, aside) / (weights.sum() + aside)
        expected = np.sort(expected[expected > 1e-100])
        np.testing.assert_allclose(np.sort(ensemble.weights.numpy()), expected, rtol=1e-10)


@pytest.mark.parametrize("seed", range(10))
def test_the_nearest_good_pair_has_full_weight(seed):
    cloud = make_cloud(stratum("generic", 5, seed, radius=1.5), cutoff=CUTOFF)
    _, weights, _ = PairFrames(CUTOFF, linear_factor=False).weighted_frames(cloud)
    assert weights.max() == 1


# --- faults repaired


def entering(distance):
    """A nearly straight trimer, and a neighbor at right angles to it that enters at the cutoff."""
    return torch.tensor([[1.0, 0, 0], [0, distance, 0], [-1.1, 0.1, 0]], dtype=torch.float64)


@pytest.mark.parametrize(
    ("family", "low", "high"),
    [
        pytest.param(PairFrames, 0.0, 1e-5, id="ours"),
        pytest.param(Reference, 0.0, 1e-5, id="reference"),
        pytest.param(Unrepaired, 0.1, np.inf, id="mutant-without-the-switch"),
    ],
)
def test_a_neighbor_enters_with_weight_zero(family, low, high):
    frames = family(CUTOFF, auxiliary=stand_in)
    assert low <= largest_jump(frames, entering, CUTOFF - 0.2, CUTOFF + 0.06, "SO(3)") <= high


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("prune", [None, Pruning()], ids=["unpruned", "pruned"])
@pytest.mark.parametrize("offset", [0.0, 1e-3])
def test_a_neighbor_passes_through_the_center_smoothly(prune, offset, group):
    others = stratum("generic", 3, 8, radius=1.2)

    def path(t):
        return torch.cat([others, torch.tensor([[t, offset, 0.3 * t]], dtype=torch.float64)])

    jump = largest_jump(pair_frames(prune=prune), path, -0.4, 0.4, group)
    assert jump < 1e-5


def test_mutant_frames_that_use_a_neighbor_on_the_center_jump():
    others = stratum("generic", 3, 8, radius=1.2)

    def path(t):
        return torch.cat([others, torch.tensor([[t, 0.0, 0.3 * t]], dtype=torch.float64)])

    assert largest_jump(Unrepaired(CUTOFF), path, -0.41, 0.4, "SO(3)") > 0.01


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize(
    "vectors",
    [
        pytest.param(torch.zeros(3, 3), id="all-on-the-center"),
        pytest.param(torch.ones(4, 3), id="all-coincident"),
        pytest.param(torch.tensor([[1.0, 0, 0], [1, 0, 0], [0, 1, 0]]), id="two-coincident"),
        pytest.param(torch.tensor([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0]]), id="antiparallel"),
        pytest.param(torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]), id="one-on-the-center"),
        pytest.param(torch.tensor([[1e-170, 0, 0], [1, 0, 0], [0, 1, 0]]), id="underflow"),
        pytest.param(torch.tensor([[1.0, 0, 0], [2, 0, 0], [0.5, 0, 0]]), id="collinear"),
        pytest.param(torch.tensor([[1.0, 0, 0], [0, CUTOFF, 0], [0, 0, 1]]), id="at-the-cutoff"),
    ],
)
def test_values_and_derivatives_are_finite_at_degenerate_input(group, vectors):
    vectors = vectors.double().requires_grad_()
    cloud = make_cloud(vectors, cutoff=CUTOFF)
    value = average(cloud, pair_frames().of_centers(cloud, group, 2)).square().sum()
    (first,) = torch.autograd.grad(value, vectors, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum() + vectors.sum(), vectors)
    for tensor in (value, first, second):
        assert torch.isfinite(tensor).all()


@pytest.mark.parametrize("exponent", [100, 220, 240, 400, 700])
@pytest.mark.parametrize("auxiliary", [None, stand_in])
def test_derivatives_are_finite_when_all_weights_are_tiny(exponent, auxiliary):
    # step(x) is about exp(-1 / x)
    sine = (0.05 + 0.15 / exponent) ** 0.5
    vectors = torch.tensor([[1, 0, 0], [(1 - sine**2) ** 0.5, sine, 0]], dtype=torch.float64)
    vectors.requires_grad_()
    cloud = make_cloud(vectors, cutoff=CUTOFF)
    frames = PairFrames(CUTOFF, auxiliary=auxiliary)
    if auxiliary is None and exponent > 230:  # below 1e-100
        with pytest.raises(ValueError, match="collinear or alone"):
            frames.of_centers(cloud, "O(3)", 2)
        return
    value = average(cloud, frames.of_centers(cloud, "O(3)", 2)).square().sum()
    (first,) = torch.autograd.grad(value, vectors, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), vectors)
    assert torch.isfinite(first).all()
    assert torch.isfinite(second).all()


def test_mutant_the_published_frames_of_a_neighbor_on_the_center_are_nan():
    cloud = make_cloud([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]], cutoff=CUTOFF)
    with np.errstate(invalid="ignore"):
        _, weights, _ = Unrepaired(CUTOFF).weighted_frames(cloud)
    assert len(weights) == 0  # a NaN in R_in: no comparison with it holds


def test_gradients_are_those_of_finite_differences():
    vectors = stratum("generic", 4, 2, radius=1.5).requires_grad_()

    def energy(v):
        cloud = make_cloud(v, cutoff=CUTOFF)
        return average(cloud, pair_frames(beta=2.0).of_centers(cloud, "O(3)", 2)).sum()

    assert torch.autograd.gradcheck(energy, vectors, eps=1e-6, atol=1e-6)
    assert torch.autograd.gradgradcheck(energy, vectors, eps=1e-6, atol=1e-4)


# --- faults they are born with


@pytest.mark.parametrize("name", ["empty", "one point", "collinear", "nearly collinear"])
def test_no_frames_without_a_bend(name):
    cloud = make_cloud(stratum(name, 4, 0), cutoff=CUTOFF)
    with pytest.raises(ValueError, match="collinear or alone"):
        PairFrames(CUTOFF).of_centers(cloud, "SO(3)", 2)
    ensemble = pair_frames().of_centers(cloud, "SO(3)", 2)
    assert ensemble.auxiliary.tolist() == [True]
    assert ensemble.weights.tolist() == [1.0]


def test_no_limit_as_the_last_pairs_become_collinear():
    """Which of two pairs keeps the larger weight as both vanish depends on the way there."""

    def cloud(first, second):
        # the squared sines of the angles that two neighbors make with a third; the pair of these
        # two is the straightest
        sines = torch.tensor([first, second], dtype=torch.float64).sqrt()
        azimuth = torch.tensor([0.3, -0.3], dtype=torch.float64)
        bent = [(1 - sines**2).sqrt(), sines * azimuth.cos(), sines * azimuth.sin()]
        bent = torch.stack(bent, -1) * torch.tensor([[0.8], [1.0]], dtype=torch.float64)
        straight = torch.tensor([[1.2, 0, 0]], dtype=torch.float64)
        return make_cloud(torch.cat([straight, bent]), cutoff=CUTOFF)

    def spread(frames, eps):
        low = frames.omega - frames.omega_width  # where the weight of a pair vanishes
        ways = [cloud(low + eps, low + eps / 2), cloud(low + eps / 2, low + eps)]
        one, other = (average(c, frames.of_centers(c, "SO(3)", 2)) for c in ways)
        return float((one - other).abs().max())

    assert [spread(PairFrames(CUTOFF), eps) > 0.1 for eps in (4e-3, 2e-3, 1e-3)] == [True] * 3
    # with an auxiliary model what is left is of the order of the bend itself
    assert spread(pair_frames(), 1e-3) < 1e-3


def test_pooled_frames_are_not_additive_over_distant_fragments():
    """Energies are sums over centers, but one fragment's frames turn the other."""
    rows = [stratum("generic", 4, seed) for seed in (0, 1)]
    both = make_cloud(*rows, cutoff=CUTOFF)
    frames = PairFrames(CUTOFF)

    def energy(cloud, ensemble):
        total = 0.0
        for rotation, weight in zip(ensemble.rotations, ensemble.weights, strict=True):
            values = network(cloud.vectors @ rotation, cloud.index, cloud.size, CUTOFF)
            total = total + weight * values[:, 0].sum()
        return float(total)

    pooled = energy(both, frames.pooled(both, torch.zeros(2, dtype=torch.long), 1, "SO(3)"))
    clouds_alone = [make_cloud(row, cutoff=CUTOFF) for row in rows]
    alone = sum(energy(c, frames.of_centers(c, "SO(3)", 2)) for c in clouds_alone)
    assert abs(pooled - alone) > 1e-3


# --- structures


def test_structures_pool_the_frames_of_their_atoms():
    pytest.importorskip("vesin")
    positions = torch.cat([stratum("generic", 4, 0, radius=1.0), stratum("tetrahedron", 4, 0)])
    positions[4:] += 5.0
    batch = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    ensemble = PairFrames(CUTOFF)(positions, batch, group="SO(3)")
    environments = [
        (positions[batch == b] - positions[i])[torch.arange(8)[batch == b] != i]
        for i, b in enumerate(batch.tolist())
    ]
    environments = [v[v.norm(dim=-1) < CUTOFF] for v in environments]
    expected = PairFrames(CUTOFF).pooled(make_cloud(*environments), batch, 2, "SO(3)")
    cloud = make_cloud(positions[:4] - positions[:4].mean(0), positions[4:] - 5.0)
    torch.testing.assert_close(
        average(cloud, ensemble), average(cloud, expected), atol=EXACT, rtol=EXACT
    )
    rotation = -torch.linalg.qr(torch.randn(3, 3).double()).Q
    turned_ensemble = PairFrames(CUTOFF)(positions @ rotation.T, batch)
    torch.testing.assert_close(
        average(turned(cloud, rotation), turned_ensemble),
        represent(average(cloud, PairFrames(CUTOFF)(positions, batch)), rotation.expand(2, 3, 3)),
        atol=EXACT,
        rtol=EXACT,
    )
    with pytest.raises(ValueError, match="collinear or alone"):
        PairFrames(CUTOFF).of_structures(Points.of(positions[:2]), "SO(3)", 2)


def test_random_methane_needs_few_frames():
    folder = os.environ.get("SYMMETRIZE_DATA")
    if folder is None:
        pytest.skip("the environment variable SYMMETRIZE_DATA names no folder of data")
    read = pytest.importorskip("ase.io").read
    molecules = read(Path(folder) / "pet_methane" / "methane_test.xyz", ":40")
    rows = []
    for molecule in molecules:
        vectors = torch.from_numpy(molecule.positions)
        vectors = vectors[None] - vectors[:, None]
        rows += [v[(v.norm(dim=-1) < 4.0) & (v.norm(dim=-1) > 0)] for v in vectors]
    cloud = make_cloud(*rows, cutoff=4.0)
    counts = {
        (group, prune is None): len(
            PairFrames(4.0, prune=prune, auxiliary=stand_in).of_centers(cloud, group, 2)
        )
        / cloud.size
        for group in GROUPS
        for prune in (None, Pruning())
    }
    assert counts["SO(3)", False] < counts["SO(3)", True] < 6
    # fewer than half of the frames need a mirror image
    assert counts["O(3)", False] < 1.5 * counts["SO(3)", False]


# --- options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0.0}, "`width` is 0.0"),
        ({"omega_width": 0.3}, "`omega_width` 0.3"),
        ({"omega": 0.9}, "`omega` is 0.9"),
        ({"beta": 100.0}, "overflows"),
        ({"auxiliary_width": 0.6}, "`auxiliary_width` is 0.6"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        PairFrames(CUTOFF, **options)


@pytest.mark.parametrize(
    "options", [{"threshold": 0.95}, {"threshold": 0.0}, {"off": 0.5}, {"width": 0.0}]
)
def test_pruning_out_of_range(options):
    with pytest.raises(ValueError, match="pruning"):
        Pruning(**options)
