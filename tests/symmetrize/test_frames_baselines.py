"""Laws of frame averaging, quadrature, random rotations and mirror images, and where they end."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.integrate import lebedev_rule
from scipy.special import eval_legendre

from symmetrize.frames import (
    FrameAveraging,
    QuadratureFrames,
    RandomFrames,
    Vectors,
    chirality,
    mirror,
    mirrored,
    random_rotations,
)
from symmetrize.frames.quadrature import LEBEDEV_ORDERS, rule
from tests.common.frames import (
    CUTOFF,
    average,
    clouds,
    largest_jump,
    make_cloud,
    orthogonal,
    permuted,
    represent,
    stratum,
    turned,
)

GROUPS = ("SO(3)", "O(3)")
FAMILIES = (FrameAveraging(), QuadratureFrames(3), RandomFrames(7))
names = pytest.mark.parametrize("frames", FAMILIES, ids=lambda frames: type(frames).__name__)
groups = pytest.mark.parametrize("group", GROUPS)
# a few products of numbers of order one, summed over up to 8 frames
EXACT = 1e-12


def error(frames, cloud, rotation, group):
    """Largest |F(Q A) - rho(Q) F(A)|."""
    before = average(cloud, frames.of_centers(cloud, group, 2))
    after = turned(cloud, rotation)
    after = average(after, frames.of_centers(after, group, 2))
    return float((after - represent(before, rotation.expand(cloud.size, 3, 3))).abs().max())


# --- laws of all


@names
@groups
@settings(max_examples=15, deadline=None)
@given(cloud=clouds(), seed=st.integers(0, 99))
def test_weights_sum_to_one_axes_are_orthogonal_and_nothing_is_random(frames, group, cloud, seed):
    ensemble, again = (frames.of_centers(cloud, group, 2) for _ in range(2))
    assert torch.equal(ensemble.rotations, again.rotations)
    assert torch.equal(ensemble.weights, again.weights)
    total = torch.zeros(cloud.size, dtype=torch.float64)
    total.index_add_(0, ensemble.index, ensemble.weights)
    torch.testing.assert_close(total, torch.ones_like(total), atol=1e-14, rtol=0)
    gram = ensemble.rotations.mT @ ensemble.rotations
    torch.testing.assert_close(gram, torch.eye(3).double().expand_as(gram), atol=1e-14, rtol=0)
    proper = torch.linalg.det(ensemble.rotations) > 0
    assert proper.all() == (group == "SO(3)")
    assert (ensemble.index.diff() >= 0).all()


@names
@groups
@pytest.mark.parametrize("scope", ["of_centers", "of_clouds"])
def test_permutation_and_batching(frames, group, scope):
    cutoff = CUTOFF if scope == "of_centers" else None
    rows = [stratum("generic", n, n) for n in (4, 6)]
    rows = [row[row.norm(dim=-1) < CUTOFF] for row in rows]
    cloud = make_cloud(*rows, cutoff=cutoff)
    together = average(cloud, getattr(frames, scope)(cloud, group, 2))
    shuffled = permuted(cloud, 1)
    shuffled = average(shuffled, getattr(frames, scope)(shuffled, group, 2))
    alone = [make_cloud(row, cutoff=cutoff) for row in rows]
    alone = torch.cat([average(c, getattr(frames, scope)(c, group, 2)) for c in alone])
    torch.testing.assert_close(shuffled, together, atol=EXACT, rtol=EXACT)
    torch.testing.assert_close(alone, together, atol=EXACT, rtol=EXACT)


@names
def test_structures_are_seen_from_their_centroid(frames):
    positions = stratum("generic", 5, 0)
    ensemble = frames(positions, group="O(3)")
    shifted = frames(positions + 3.0, group="O(3)")
    cloud = make_cloud(positions - positions.mean(0))
    torch.testing.assert_close(average(cloud, ensemble), average(cloud, shifted))
    assert len(frames(positions[:0], group="SO(3)")) > 0


# --- frame averaging


def smallest_gap(cloud: Vectors) -> float:
    """Between eigenvalues of the covariance of any owner, relative to the largest."""
    gaps = [1.0]
    for owner in range(cloud.size):
        mine = cloud.index == owner
        covariance = (cloud.fade[mine] * cloud.vectors[mine].T) @ cloud.vectors[mine]
        values = torch.linalg.eigvalsh(covariance)
        gaps.append(float(values.diff().min() / values[-1].clamp(min=1e-300)))
    return min(gaps)


@groups
@pytest.mark.parametrize("cutoff", [None, CUTOFF])
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_frame_averaging_is_exact_for_generic_clouds(group, cutoff, data):
    cloud = data.draw(clouds(names=("generic",), cutoff=cutoff))
    # an eigenvector is as exact as its eigenvalue is apart: a point near the cutoff hardly counts
    assume(not 0 < smallest_gap(cloud) < 1e-5)
    assert error(FrameAveraging(), cloud, data.draw(orthogonal(group)), group) < 1e-11


@groups
def test_frame_averaging_has_four_or_eight_frames(group):
    cloud = make_cloud(*(stratum(name, 4, 0) for name in ("generic", "empty", "one point")))
    ensemble = FrameAveraging().of_clouds(cloud, group, 2)
    number = 4 if group == "SO(3)" else 8
    assert torch.bincount(ensemble.index).tolist() == [number] * 3
    assert ensemble.weights.unique().tolist() == [1 / number]
    assert torch.isfinite(ensemble.rotations).all()


def pyramid(height, width=1.0):
    corners = [[1.0, width, 0], [1, -width, 0], [-1, width, 0], [-1, -width, 0], [0, 0, height]]
    points = torch.tensor(corners, dtype=torch.float64)
    return points - points.mean(0)


def test_frame_averaging_jumps_as_eigenvalues_cross():
    # the apex of height h gives the second moment 4/5 h^2, the base 4 and 4 width^2
    height = 5**0.5 * 0.8
    jump = largest_jump(
        FrameAveraging(), lambda h: pyramid(h, width=0.8), height - 0.01, height + 0.011, "SO(3)"
    )
    assert jump > 0.01


def test_frame_averaging_is_not_a_function_of_a_square_pyramid():
    """Neighbors of the pyramid at a distance of 1e-8 get averages that differ at order one."""
    generator = torch.Generator().manual_seed(0)
    shifts = 1e-8 * torch.randn(8, 5, 3, dtype=torch.float64, generator=generator)
    cloud = make_cloud(*(pyramid(1.7) + shift for shift in shifts))
    values = average(cloud, FrameAveraging().of_clouds(cloud, "SO(3)", 2))
    assert (values - values[0]).abs().max() > 1e-3


def test_frame_averaging_has_values_but_no_derivatives_at_equal_eigenvalues():
    vectors = pyramid(1.7).requires_grad_()
    cloud = make_cloud(vectors)
    value = average(cloud, FrameAveraging().of_clouds(cloud, "SO(3)", 2)).sum()
    assert torch.isfinite(value)
    (gradient,) = torch.autograd.grad(value, vectors)
    assert not gradient.abs().max() < 1e6


def test_a_neighbor_enters_the_covariance_with_weight_zero(monkeypatch):
    others = stratum("generic", 4, 0, radius=1.0)

    def path(t):
        return torch.cat([others, torch.tensor([[0.6 * t, 0.8 * t, 0.0]], dtype=torch.float64)])

    ends = (CUTOFF - 0.2, CUTOFF + 0.06)
    assert largest_jump(FrameAveraging(), path, *ends, "SO(3)") < 1e-6
    monkeypatch.setattr(Vectors, "fade", property(lambda cloud: torch.ones_like(cloud.lengths)))
    assert largest_jump(FrameAveraging(), path, *ends, "SO(3)") > 0.01


# --- quadrature


def largest_moment(rotations, weights, degree):
    """Largest |sum_p w_p P_l(u . R_p v)| over unit u and v: all D^l_mn at once."""
    generator = torch.Generator().manual_seed(1)
    u, v = torch.nn.functional.normalize(
        torch.randn(2, 60, 3, dtype=torch.float64, generator=generator), dim=-1
    )
    cosines = torch.einsum("ai,pij,bj->pab", u, rotations, v)
    values = torch.from_numpy(eval_legendre(degree, cosines.numpy()))
    return float(torch.einsum("p,pab->ab", weights, values).abs().max())


@pytest.mark.parametrize("degree", [1, 2, 3, 4, 5, 7, 9])
def test_the_rule_integrates_wigner_matrices_up_to_its_degree(degree):
    rotations, weights = rule(degree)
    for moment in range(1, degree + 1):
        assert largest_moment(rotations, weights, moment) < 1e-13
    assert largest_moment(rotations, weights, degree + 1) > 1e-3
    assert (weights > 0).all()


@pytest.mark.parametrize(("degree", "number"), [(1, 12), (3, 24), (5, 84), (7, 208), (11, 600)])
def test_number_of_rotations(degree, number):
    cloud = make_cloud(stratum("generic", 3, 0), stratum("empty", 3, 0))
    ensemble = QuadratureFrames(degree).of_clouds(cloud, "SO(3)", 2)
    assert torch.bincount(ensemble.index).tolist() == [number, number]
    assert len(QuadratureFrames(degree).of_clouds(cloud, "O(3)", 2)) == 4 * number


def test_lebedev_rules_without_negative_weights():
    for order in range(3, 132, 2):
        try:
            weights = lebedev_rule(order)[1]
        except NotImplementedError:
            assert order not in LEBEDEV_ORDERS
        else:
            assert (order in LEBEDEV_ORDERS) == (weights > 0).all()


@pytest.mark.parametrize("degree", [0, 132])
def test_no_rule_of_that_degree(degree):
    with pytest.raises(ValueError, match=f"`degree` is {degree}"):
        QuadratureFrames(degree)


@groups
def test_quadrature_is_exact_for_band_limited_functions_only(group):
    """The cube of a coordinate has angular content up to 3, and is averaged as a scalar."""
    cloud = make_cloud(stratum("generic", 4, 0))
    rotation = random_rotations(1, torch.Generator().manual_seed(3))[0]
    spread = {}
    for degree in (2, 3):
        ensemble = QuadratureFrames(degree).of_clouds(cloud, group, 0)

        def cubes(cloud, ensemble=ensemble):
            copies = torch.einsum("ki,fij->fkj", cloud.vectors, ensemble.rotations)
            return ensemble.weights @ copies[..., 0].pow(3).sum(-1)

        spread[degree] = float((cubes(turned(cloud, rotation)) - cubes(cloud)).abs())
    assert spread[3] < 1e-13
    # of the O(3) rules even the lowest is exact: inversions cancel what is odd
    assert (spread[2] > 1e-2) == (group == "SO(3)")


# --- not exact


@groups
@pytest.mark.parametrize("frames", [QuadratureFrames(3), RandomFrames(24)], ids=["rule", "random"])
def test_fixed_rotations_are_not_exact(frames, group):
    cloud = make_cloud(stratum("generic", 5, 0))
    rotation = random_rotations(1, torch.Generator().manual_seed(3))[0]
    assert error(frames, cloud, rotation, group) > 1e-3


def test_the_error_of_a_rule_falls_with_its_degree():
    cloud = make_cloud(stratum("generic", 5, 0, radius=0.5))
    rotation = random_rotations(1, torch.Generator().manual_seed(3))[0]
    errors = [error(QuadratureFrames(degree), cloud, rotation, "SO(3)") for degree in (3, 7, 15)]
    assert errors[0] > 10 * errors[1] > 100 * errors[2]


# --- random rotations


def test_random_rotations_are_uniform():
    number = 20000
    rotations = random_rotations(number, torch.Generator().manual_seed(0))
    # five standard deviations of a mean of entries of variance 1/3, and of Legendre polynomials
    assert rotations.mean(0).abs().max() < 5 * (1 / 3 / number) ** 0.5
    weights = torch.full((number,), 1 / number, dtype=torch.float64)
    assert largest_moment(rotations[:5000], 4 * weights[:5000], 2) < 6 * (1 / 5 / 5000) ** 0.5


def test_random_rotations_follow_the_seed():
    cloud = make_cloud(stratum("generic", 4, 0), stratum("empty", 4, 0))
    first = RandomFrames(16, seed=1).of_clouds(cloud, "O(3)", 2)
    other = RandomFrames(16, seed=2).of_clouds(cloud, "O(3)", 2)
    proper = RandomFrames(16, seed=1).of_clouds(cloud, "SO(3)", 2)
    assert not torch.allclose(first.rotations, other.rotations)
    assert torch.equal(first.rotations[:16], first.rotations[16:])
    parity = torch.linalg.det(first.rotations)
    torch.testing.assert_close(first.rotations * parity[:, None, None], proper.rotations)
    assert 0 < int((parity > 0).sum()) < 32
    with pytest.raises(ValueError, match="`number` is 0"):
        RandomFrames(0)


# --- mirror images


def frames_of(cloud, number=3):
    """Some proper frames that belong to the cloud: x and y from points, z = x times y."""
    vectors = cloud.vectors
    x = torch.nn.functional.normalize(vectors[:number], dim=-1)
    normal = torch.linalg.cross(x, vectors[1 : number + 1])
    z = torch.nn.functional.normalize(normal, dim=-1)
    rotations = torch.stack([x, torch.linalg.cross(z, x), z], -1)
    return rotations, torch.zeros(number, dtype=torch.long)


def centered(name, number, seed):
    points = stratum(name, number, seed)
    return points - points.mean(0)


@pytest.mark.parametrize("cutoff", [None, CUTOFF], ids=["whole", "environment"])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999), number=st.integers(4, 7), data=st.data())
def test_chirality_is_a_pseudoscalar(cutoff, seed, number, data):
    cloud = make_cloud(centered("generic", number, seed), cutoff=cutoff)
    rotation = data.draw(orthogonal("O(3)"))
    after = turned(cloud, rotation)
    value = chirality(cloud, *frames_of(cloud))
    sign = torch.linalg.det(rotation)
    # a near-parallel pair of points makes a frame of a few digits less
    torch.testing.assert_close(chirality(after, *frames_of(after)), sign * value, atol=1e-9, rtol=0)
    shuffled = chirality(permuted(cloud, seed), *frames_of(cloud))
    torch.testing.assert_close(shuffled, value, atol=1e-13, rtol=0)


def test_chirality_of_planar_and_mirror_symmetric_clouds_is_zero():
    planar = make_cloud(stratum("planar", 5, 0), cutoff=CUTOFF)
    assert chirality(planar, *frames_of(planar)).abs().max() < 1e-15
    symmetric = make_cloud([[1.0, 0, 0.0], [0, 1, 0.0], [0.3, 0.2, 0.5], [0.3, 0.2, -0.5]])
    assert chirality(symmetric, torch.eye(3).double()[None], torch.tensor([0])).abs() < 1e-15


def test_chirality_has_no_scale_and_sees_clouds_on_a_sphere():
    cloud = make_cloud(centered("generic", 5, 0))
    value = chirality(cloud, *frames_of(cloud))
    for scale in (1e-6, 1e6):
        scaled = replace(cloud, vectors=scale * cloud.vectors)
        torch.testing.assert_close(chirality(scaled, *frames_of(cloud)), value, rtol=1e-12, atol=0)
    # two crossed pairs of a sphere about their centroid
    up = [[0.8, 0.0, 0.6], [-0.8, 0.0, 0.6]]
    down = [[0.48, 0.64, -0.6], [-0.48, -0.64, -0.6]]
    sphere = make_cloud(up + down)
    assert chirality(sphere, *frames_of(sphere)).abs().max() > mirror.WIDTH


@pytest.mark.parametrize("cutoff", [None, CUTOFF], ids=["whole", "environment"])
def test_chirality_is_smooth_at_the_origin_and_at_the_cutoff(cutoff):
    others = stratum("generic", 4, 0, radius=1.0)
    rotation, owner = random_rotations(1, torch.Generator().manual_seed(0)), torch.tensor([0])

    def value(t):
        passing = t * torch.tensor([[0.6, 0.48, 0.64]], dtype=torch.float64)
        return chirality(make_cloud(torch.cat([others, passing]), cutoff=cutoff), rotation, owner)

    # r . z / |r| would have opposite slopes of order one on the two sides
    sides = [torch.tensor(t, dtype=torch.float64) for t in (-1e-6, 1e-6)]
    slopes = [torch.autograd.functional.jacobian(value, t) for t in sides]
    torch.testing.assert_close(*slopes, atol=1e-3, rtol=0)
    if cutoff is not None:
        without = chirality(make_cloud(others, cutoff=CUTOFF), rotation, owner)
        torch.testing.assert_close(value(CUTOFF - 1e-3), without, atol=1e-15, rtol=0)


@pytest.mark.parametrize("cutoff", [None, CUTOFF], ids=["whole", "environment"])
@pytest.mark.parametrize("vectors", [torch.zeros(3, 3), torch.ones(2, 3), torch.zeros(0, 3)])
def test_chirality_and_its_derivatives_are_finite_at_degenerate_input(cutoff, vectors):
    vectors = vectors.double().requires_grad_()
    value = chirality(
        make_cloud(vectors, cutoff=cutoff), torch.eye(3).double()[None], torch.tensor([0])
    )
    (first,) = torch.autograd.grad(value.sum(), vectors, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), vectors)
    for tensor in (value, first, second):
        assert torch.isfinite(tensor).all()


@settings(max_examples=25, deadline=None)
@given(chi=st.lists(st.floats(-0.3, 0.3), min_size=1, max_size=5))
def test_mirror_images_share_the_weight(chi):
    chi = torch.tensor(chi, dtype=torch.float64)
    number = len(chi)
    rotations = random_rotations(number, torch.Generator().manual_seed(0))
    weights = torch.linspace(1, 2, number, dtype=torch.float64)
    own = torch.arange(number)
    members, shares, index = mirrored(rotations, weights, own, chi)
    total = torch.zeros(number, dtype=torch.float64).index_add(0, index, shares)
    torch.testing.assert_close(total, weights, atol=1e-15, rtol=1e-15)
    # one member where the cloud is chiral enough, two elsewhere
    # next to the width the smaller weight is less than the smallest number there is
    clear = (chi.abs() / mirror.WIDTH - 1).abs() > 0.01
    found = torch.bincount(index, minlength=number) == 2
    torch.testing.assert_close(found[clear], (chi.abs() < mirror.WIDTH)[clear])
    flip = torch.diag(torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64))
    images = torch.linalg.det(members) < 0
    torch.testing.assert_close(members[images], rotations[index[images]] @ flip)
    # inverting the cloud swaps the two
    _, swapped, swapped_index = mirrored(rotations, weights, own, -chi)
    for owner in range(number):
        torch.testing.assert_close(
            swapped[swapped_index == owner], shares[index == owner].flip(0), atol=1e-15, rtol=1e-12
        )


def test_most_random_environments_need_one_of_the_two():
    folder = os.environ.get("SYMMETRIZE_DATA")
    if folder is None:
        pytest.skip("the environment variable SYMMETRIZE_DATA names no folder of data")
    read = pytest.importorskip("ase.io").read
    molecules = read(Path(folder) / "pet_methane" / "methane_test.xyz", ":40")
    both = []
    for molecule in molecules:
        vectors = torch.from_numpy(molecule.positions)
        for around in vectors[None] - vectors[:, None]:
            lengths = around.norm(dim=-1)
            near = around[(lengths > 0) & (lengths < 4.0)]
            if len(near) < 3:
                continue  # planar
            order = near.norm(dim=-1).argsort()
            cloud = make_cloud(near[order], cutoff=4.0)
            both.append(float(chirality(cloud, *frames_of(cloud, number=1)).abs()) < mirror.WIDTH)
    assert sum(both) / len(both) < 0.45
