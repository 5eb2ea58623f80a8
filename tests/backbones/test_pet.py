"""PET: the same as an independent implementation, smooth where it says so, exact once wrapped."""

import functools
import itertools
import math
import subprocess
import sys
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import Batch, Data

from backbones.baseline import Baseline
from backbones.edges import with_edges
from backbones.pet import PET
from backbones.pet.buckets import buckets
from backbones.pet.edges import directed_pairs
from symmetrize import (
    Contract,
    Ensemble,
    Frames,
    HierarchicalFrames,
    Symmetrizer,
    neighbor_list,
    per_point,
)
from symmetrize.frames import Group, Vectors, assemble
from tests.common.laws import EXACT, elements, law_error, spreads
from tests.common.paths import scan
from tests.common.strata import CASES, STRATA, TURNS, Shape, shapes, turn

OUTPUTS = {"scalar": "0e", "vector": "1o", "tensor": "ij=ji", "others": "0o+1e+2o"}
CUTOFF = 3.0
SMALL: dict[str, Any] = {"width": 16, "heads": 2, "cutoff": CUTOFF, "cutoff_width": 1.5}


def small(outputs: Any = OUTPUTS, **changes: Any) -> PET:
    """A narrow PET with random weights, in float64."""
    torch.manual_seed(3)
    species = changes.pop("species", [0, 1, 6, 8])
    return PET(outputs, species, **(SMALL | changes)).double()


def molecule(number: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Data:
    generator = torch.Generator().manual_seed(seed)
    positions = 1.5 * torch.randn(number, 3, dtype=torch.float64, generator=generator)
    kinds = torch.tensor([1, 6, 8])[torch.randint(3, (number,), generator=generator)]
    return Data(pos=positions.to(dtype), z=kinds)


def crystal(seed: int = 0, repeats: tuple[int, int, int] = (1, 1, 1)) -> Data:
    """A skewed cell of four atoms, smaller than the cutoff, and its supercells."""
    generator = torch.Generator().manual_seed(seed)
    cell = torch.tensor([[2.6, 0.0, 0.0], [0.7, 2.4, 0.0], [-0.3, 0.5, 2.8]]).double()
    inside = torch.rand(4, 3, dtype=torch.float64, generator=generator) @ cell
    kinds = torch.tensor([1, 6, 8, 1])
    images = [torch.tensor(n).double() @ cell for n in itertools.product(*map(range, repeats))]
    return Data(
        pos=torch.cat([inside + image for image in images]),
        z=kinds.repeat(len(images)),
        cell=(torch.tensor(repeats)[:, None] * cell)[None],
        pbc=torch.ones(1, 3, dtype=torch.bool),
    )


def largest(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    return max(float((one[name] - other[name]).detach().abs().max()) for name in one)


# Some hundred products of O(1) terms in another order: a few thousand units in the last place
ROUNDING = 5e3 * torch.finfo(torch.float64).eps


# --- blocks of environments


@given(
    st.lists(st.integers(0, 12), min_size=0, max_size=30),
    st.sampled_from([0, 1, 20, 1000]),
    st.randoms(use_true_random=False),
)
def test_every_token_has_a_row_of_its_own_in_the_block_of_its_environment(degrees, price, random):
    center = [i for i, degree in enumerate(degrees) for _ in range(degree)]
    random.shuffle(center)
    index = torch.tensor(center, dtype=torch.long)
    found = buckets(index, len(degrees), price)
    rows = torch.cat([found.center, found.edge])
    assert len(rows.unique()) == len(rows)
    assert found.rows == sum(number * width for number, width in found.shapes)
    assert torch.equal(found.owner[found.edge], index)
    starts = [
        start + k * width
        for start, (number, width) in zip(
            itertools.accumulate((n * w for n, w in found.shapes), initial=0),
            found.shapes,
            strict=False,
        )
        for k in range(number)
    ]
    # the environment of a row is the last one that starts at or before it: that of its owner
    of_row = torch.searchsorted(torch.tensor(starts), rows, right=True) - 1
    own = torch.cat([torch.arange(len(degrees)), index])
    assert torch.equal(torch.tensor(starts)[of_row], found.center[own])
    if price == 0:
        assert found.padding == 0


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.integers(0, 40))
def test_blocks_are_the_cheapest_of_all(degrees, price):
    index = torch.tensor([i for i, d in enumerate(degrees) for _ in range(d)], dtype=torch.long)
    found = buckets(index, len(degrees), price)
    sizes = sorted({1 + degree for degree in degrees})
    prices = []
    for cuts in itertools.product([False, True], repeat=len(sizes) - 1):
        ends = [size for size, cut in zip(sizes, cuts, strict=False) if cut] + [sizes[-1]]
        rows = sum(min(end for end in ends if end > degree) for degree in degrees)
        prices.append(rows + price * len(ends))
    assert found.rows + price * len(found.shapes) == min(prices)


def test_water_is_hardly_padded():
    # the mean environment has 20 neighbors, the largest twice as many
    generator = torch.Generator().manual_seed(0)
    pos = 12.4 * torch.rand(192, 3, dtype=torch.float64, generator=generator)
    cell = 12.4 * torch.eye(3, dtype=torch.float64)[None]
    data = with_edges(Data(pos=pos, cell=cell), 4.5)
    found = buckets(data.edge_index[1], 192)
    widest = 192 * max(width for _, width in found.shapes)
    used = 192 + data.num_edges
    assert found.padding < 0.1 < 1 - used / widest


# --- edges


def test_edges_of_a_crystal_lead_back_and_have_all_images():
    data = with_edges(crystal(), CUTOFF)
    edges = directed_pairs(data)
    torch.testing.assert_close(edges.vectors[edges.reverse], -edges.vectors, rtol=0, atol=1e-14)
    assert torch.equal(edges.reverse[edges.reverse], torch.arange(data.num_edges))
    lattice = torch.tensor(list(itertools.product(range(-3, 4), repeat=3))).double()
    every = data.pos[None, :, None] + (lattice @ data.cell[0]) - data.pos[:, None, None]
    near = (every.norm(dim=-1) < CUTOFF).sum() - 4  # but for each point itself
    assert data.num_edges == int(near)


def test_an_edge_without_its_reverse_is_refused():
    data = molecule(3)
    data.edge_index = torch.tensor([[0, 1, 2], [1, 0, 1]])
    data.edge_cutoff = torch.tensor([[CUTOFF]])
    with pytest.raises(ValueError, match="not each has its reverse"):
        small()(data)


def test_bonds_are_not_taken_for_neighbors():
    net, data = small(), molecule(5)
    bonded = data.clone()
    bonded.edge_index, bonded.edge_attr = torch.tensor([[0, 1], [1, 0]]), torch.ones(2, 4)
    assert largest(net(bonded), net(data)) == 0
    assert largest(Symmetrizer(net)(bonded), Symmetrizer(net)(data)) == 0


def test_images_lead_back_by_their_own_shift():
    data = small().prepare(crystal())
    data.edge_shift = data.edge_shift.abs()
    with pytest.raises(ValueError, match="not each has its reverse"):
        small()(data)


def test_edges_are_searched_once_for_all_frames(monkeypatch):
    calls = []

    def search(*given: Any) -> Any:
        calls.append(given)
        return neighbor_list(*given)

    monkeypatch.setattr("backbones.edges.neighbor_list", search)
    model = Symmetrizer(small())
    pos = CASES["tetrahedron"].points()
    data = Data(pos=pos, z=torch.ones(len(pos), dtype=torch.long))
    assert len(model.ensemble(data)) > 1
    calls.clear()
    model(data)
    assert len(calls) == 1


# --- an independent implementation


@pytest.mark.parametrize(
    ("theirs", "order", "center_width"),
    [("PreLN", "pre", 32), ("PostLN", "post", 32), ("PostLN", "post", 16)],
)
@pytest.mark.parametrize(("norm", "activation"), [("RMSNorm", "SwiGLU"), ("LayerNorm", "SiLU")])
def test_it_is_the_network_of_metatrain(theirs, order, center_width, norm, activation):
    pytest.importorskip("metatrain")
    from benchmarks._metatrain import Metatrain, with_weights_of

    torch.manual_seed(0)
    other = Metatrain(
        [1, 6, 8],
        featurizer_type="residual",
        cutoff_function="Cosine",
        cutoff=CUTOFF,
        cutoff_width=1.5,
        transformer_type=theirs,
        normalization=norm,
        activation=activation,
        d_pet=16,
        d_node=center_width,
        d_head=16,
        d_feedforward=24,
        num_heads=2,
    ).double()
    net = small(
        {"energy": per_point("0e")},
        species=[1, 6, 8],
        switch="cosine",
        softening=0.0,
        order=order,
        center_width=center_width,
        hidden=24,
        norm=norm,
        activation=activation,
    )
    with_weights_of(net, other)
    for data in (crystal(), molecule(7)):
        data = net.prepare(data)
        ours, expected = net(data)["energy"], other(data)
        assert expected.std() > 1e-2
        torch.testing.assert_close(ours, expected, rtol=0, atol=ROUNDING)


# --- a network on point clouds


@pytest.mark.parametrize("sizes", [(3, 5, 2), (4, 0, 1), (0,), (1,)], ids=str)
def test_structures_of_a_batch_do_not_see_each_other(sizes):
    net = small()
    clouds = [molecule(size, seed) for seed, size in enumerate(sizes)]
    together = net(Batch.from_data_list(clouds))
    for row, single in enumerate(clouds):
        alone = net(single)
        for name, value in together.items():
            assert value.shape == (len(sizes), *alone[name].shape[1:])
        assert largest({n: v[row : row + 1] for n, v in together.items()}, alone) < ROUNDING


def test_finite_and_periodic_structures_in_one_batch():
    net = small()
    finite = molecule(5)
    finite.cell, finite.pbc = torch.zeros(1, 3, 3).double(), torch.zeros(1, 3).bool()
    together = net(Batch.from_data_list([crystal(), finite]))
    assert largest({n: v[:1] for n, v in together.items()}, net(crystal())) < ROUNDING
    assert largest({n: v[1:] for n, v in together.items()}, net(molecule(5))) < ROUNDING


def test_order_and_translation_do_not_matter():
    net, data = small(), molecule(7)
    order = torch.tensor([3, 1, 6, 0, 2, 5, 4])
    moved = Data(pos=data.pos[order] + torch.tensor([1.0, -2.0, 3.0]), z=data.z[order])
    assert largest(net(data), net(moved)) < ROUNDING


def test_outputs_of_points_follow_their_points():
    net, data = small(per_point("1o")), molecule(6)
    order = torch.tensor([3, 1, 0, 2, 5, 4])
    moved = Data(pos=data.pos[order], z=data.z[order])
    torch.testing.assert_close(net(data)[order], net(moved), rtol=0, atol=ROUNDING)


def test_fragments_out_of_sight_add_up():
    net, one, other = small(), molecule(4, 0), molecule(3, 1)
    apart = Data(
        pos=torch.cat([one.pos, other.pos + 40.0]), z=torch.cat([one.z, other.z])
    )  # further than the receptive field
    alone, beside, both = net(one), net(other), net(apart)
    assert largest({n: alone[n] + beside[n] for n in both}, both) < ROUNDING


def test_the_receptive_field_ends_where_the_contract_says():
    net = small(per_point("1o"), rounds=2)
    line = torch.tensor([[0.0, 0, 0], [2.5, 0, 0], [5.0, 0, 0], [7.5, 0, 0]]).double()
    at = net(Data(pos=line, z=torch.tensor([1, 6, 1, 6])))[0]
    moved = line.clone()
    moved[2, 1] += 0.1  # two hops away, within 6
    assert (net(Data(pos=moved, z=torch.tensor([1, 6, 1, 6])))[0] - at).abs().max() > 1e-6
    moved = line.clone()
    moved[3, 1] += 0.1  # three hops away, beyond 6
    assert (net(Data(pos=moved, z=torch.tensor([1, 6, 1, 6])))[0] - at).abs().max() < ROUNDING
    assert net.contract.receptive_field == 6.0


@pytest.mark.parametrize("repeats", [(2, 1, 1), (1, 2, 3)], ids=str)
def test_a_supercell_is_as_many_cells(repeats):
    net = small()
    one, many = net(crystal()), net(crystal(repeats=repeats))
    number = math.prod(repeats)
    assert largest({n: number * v for n, v in one.items()}, many) < number * ROUNDING


def test_single_precision_is_close_to_double():
    net, data = small(), molecule(8)
    exact = net(data)
    single = net.float()(molecule(8, dtype=torch.float32))
    assert all(value.dtype == torch.float32 for value in single.values())
    # a few hundred operations on numbers of order one
    assert largest({n: v.double() for n, v in single.items()}, exact) < 5e2 * 1.2e-7


@pytest.mark.parametrize("norm", ["LayerNorm", "RMSNorm"])
@pytest.mark.parametrize("order", ["pre", "post"])
def test_second_derivatives_are_right(norm, order):
    net = small("0e", norm=norm, order=order, width=4, center_width=6, activation="SwiGLU")
    data = net.prepare(crystal())

    def energy(pos: Tensor, cell: Tensor) -> Tensor:
        moved = data.clone()
        moved.pos, moved.cell = pos, cell
        return net(moved).sum()

    inputs = (data.pos.requires_grad_(), data.cell.requires_grad_())
    assert torch.autograd.gradcheck(energy, inputs)
    assert torch.autograd.gradgradcheck(energy, inputs)


@pytest.mark.parametrize("part", [0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 1e-4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_many_derivatives_are_finite_just_within_the_cutoff(dtype, part):
    net = small("0e").to(dtype)
    length = torch.tensor(CUTOFF - part * 1.5, dtype=dtype, requires_grad=True)
    pos = torch.stack([0 * length, length, 0 * length, 0 * length, 0 * length, 0 * length])
    value = net(Data(pos=pos.view(2, 3), z=torch.tensor([8, 1]))).sum()
    for _ in range(4):
        (value,) = torch.autograd.grad(value, length, create_graph=True)
        assert torch.isfinite(value)


def test_functional_transforms():
    net, data = small("0e"), molecule(4)
    data = net.prepare(data)

    def energy(pos: Tensor) -> Tensor:
        moved = data.clone()
        moved.pos = pos
        return net(moved).sum()

    expected = torch.autograd.functional.hessian(energy, data.pos)
    torch.testing.assert_close(torch.func.hessian(energy)(data.pos), expected)


def test_forces_can_be_trained():
    net, data = small("0e"), molecule(5)
    data.pos.requires_grad_()
    (slope,) = torch.autograd.grad(net(data).sum(), data.pos, create_graph=True)
    slope.square().sum().backward()
    without = [n for n, p in net.named_parameters() if p.grad is None]
    # constants do not act on forces
    assert all("read_" in name and "bias" in name for name in without)
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cutoff_width": 0.0}, "makes the output jump at the cutoff"),
        ({"cutoff_width": 9.0}, r"must lie in \(0"),
        ({"heads": 3}, "must divide `width`"),
        ({"species": []}, "must name each value"),
        ({"species": [1, 1]}, "must name each value"),
        ({"species": [1, 10**9]}, "below 1000"),
        ({"cutoff": -1.0}, "must be a positive length"),
        ({"softening": -1.0}, "must be a length"),
    ],
)
def test_bad_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        small(**options)


def test_unknown_species_are_refused():
    with pytest.raises(ValueError, match=r"contains \[7, 92\] but the network knows"):
        small()(Data(pos=torch.rand(3, 3).double(), z=torch.tensor([1, 7, 92])))


# --- smoothness


CLOUD = torch.tensor([[0, 0, 0], [1.2, 0.1, -0.2], [-0.4, 0.9, 0.5], [0.3, -0.7, 0.8]]).double()
ONE_MOVES = torch.tensor([[0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0], [-0.48, 0.6, -0.64]]).double()
PLACES = {
    "an atom leaves the cutoff": (0.0, 1.2, 4.2),
    "an atom passes through another": (0.0, -0.6, 0.6),
}


def along(net: Any, start: float) -> Any:
    """The outputs as one atom moves, its neighbors searched anew at every place."""
    base = torch.cat([CLOUD, torch.full((1, 3), start).double()])

    def values(parameters: Tensor) -> Tensor:
        moved = base + parameters[:, None, None] * ONE_MOVES
        kinds = torch.tensor([1, 6, 8, 1, 6])
        batch = Batch.from_data_list([Data(pos=pos @ turn(1).T, z=kinds) for pos in moved])
        with torch.no_grad():
            return torch.cat([value.flatten(1) for value in net(batch).values()], 1)

    return values


@pytest.mark.parametrize("radial", [0, 5])
@pytest.mark.parametrize("place", PLACES, ids=str)
def test_all_derivatives_exist(place, radial):
    start, low, high = PLACES[place]
    found = scan(along(small(radial=radial), start), low, high)
    # a kink would make second differences grow by 2, a break of curvature third ones
    assert (found.growth < 1.1).all(), found.maxima


@pytest.mark.parametrize(
    ("changes", "place", "order"),
    [
        ({"softening": 0.0}, "an atom passes through another", 0),
        ({"switch": "cosine"}, "an atom leaves the cutoff", 1),
    ],
    ids=["bare length", "cosine"],
)
def test_what_is_less_smooth_says_so_and_is(changes, place, order):
    start, low, high = PLACES[place]
    net = small(**changes)
    assert net.contract.smoothness == order
    found = scan(along(net, start), low, high)
    # differences of the order above the last continuous one tend to grow without end, by a factor
    # of two for each order beyond
    assert found.growth[order + 1] > 1.5, found.maxima


# --- symmetrized


def with_species(model: Any) -> Any:
    """A model of clouds that have no species."""

    def call(data: Data) -> Any:
        data = data.clone()
        data.z = torch.zeros(len(data.pos), dtype=torch.long)
        with torch.no_grad():
            return model(data)

    return call


@functools.cache
def wrapped(scope: str, dtype: torch.dtype = torch.float64) -> Any:
    net = small(rounds=2 if scope == "structure" else 1).to(dtype)
    return with_species(
        Symmetrizer(net, scope=scope, reduce=None if scope == "structure" else "sum")
    )


@functools.cache
def usual(scope: str) -> dict[str, list[float]]:
    return spreads(wrapped(scope), OUTPUTS)


# Twenty points in 120 frames take as long as all others together, and have an icosahedron's group
CROWDED = "dodecahedron"


@pytest.mark.parametrize("dtype", EXACT, ids=str)
@pytest.mark.parametrize("scope", ["structure", "center"])
@settings(max_examples=15, deadline=None)
@given(
    shape=shapes([name for name in STRATA if name != CROWDED]),
    element=st.sampled_from(list(TURNS.values())),
)
def test_symmetrized_it_is_exact_on_every_stratum(scope, dtype, shape, element):
    error = law_error(
        wrapped(scope, dtype),
        OUTPUTS,
        usual(scope),
        [shape.points()],
        elements("O(3)", element),
        dtype,
    )
    assert error <= EXACT[dtype]


@pytest.mark.deep
@pytest.mark.parametrize("scope", ["structure", "center"])
def test_symmetrized_it_is_exact_on_many_points_in_many_frames(scope):
    rows, matrices = (
        [CASES[CROWDED].points()],
        elements("O(3)", TURNS["generic"], TURNS["improper"]),
    )
    for dtype, bound in EXACT.items():
        assert (
            law_error(wrapped(scope, dtype), OUTPUTS, usual(scope), rows, matrices, dtype) <= bound
        )


@pytest.mark.parametrize("stratum", ["generic", "pyramid", "line"])
def test_bare_it_is_not(stratum):
    net = with_species(small())
    error = law_error(net, OUTPUTS, usual("structure"), [Shape(stratum, 5, 0).points()], [turn(3)])
    assert error > 0.01


def test_a_symmetrized_crystal_turns():
    model, data = Symmetrizer(small()), crystal()
    matrix = turn(5)
    turned = data.clone()
    turned.pos, turned.cell = data.pos @ matrix.T, data.cell @ matrix.T
    here, there = model(data), model(turned)
    torch.testing.assert_close(here["scalar"], there["scalar"], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(here["vector"] @ matrix.T, there["vector"], rtol=1e-12, atol=1e-12)


class Still(Frames):
    """One frame, that of the coordinates: what is left of the wrapper is its environments."""

    def __init__(self, cutoff: float) -> None:
        self.cutoff = cutoff

    def of_clouds(self, cloud: Vectors, group: Group, degree: int) -> Ensemble:
        """The identity for each cloud."""
        frames = torch.eye(3, dtype=torch.float64).repeat(cloud.size, 1, 1)
        return assemble(frames, frames[:, 0, 0], torch.arange(cloud.size), cloud.size)


@pytest.mark.parametrize("rounds", [1, 2])
def test_a_structure_is_the_sum_of_its_environments(rounds):
    # of one round, environments hold the edges of their centers only
    # not a symmetric tensor: the wrapper makes it so
    net, data = small({"scalar": "0e", "vector": "1o"}, rounds=rounds), molecule(9)
    model = Symmetrizer(net, frames=Still(rounds * CUTOFF), scope="center", reduce="sum")
    assert largest(model(data), net(data)) < ROUNDING
    whole = net.prepare(Batch.from_data_list([data]))
    whole.is_center = torch.arange(9) == 0
    kept = net.prepare(Data(pos=data.pos, z=data.z, is_center=whole.is_center)).num_edges
    of_center = 2 * int((whole.edge_index[1] == 0).sum())
    assert kept == (of_center if rounds == 1 else whole.num_edges)


def test_one_line_is_enough_and_uses_the_cutoff_of_the_network():
    model = Symmetrizer(small())
    assert isinstance(model.frames, HierarchicalFrames)
    assert model.frames.cutoff == CUTOFF
    assert model.contract.group == "O(3)"
    assert Symmetrizer(small(), scope="center").frames.cutoff == 1.3 * 2 * CUTOFF
    with pytest.raises(ValueError, match=r"sees 6\.0 far"):
        Symmetrizer(small(), scope="center", frames=HierarchicalFrames(CUTOFF))


# --- baseline and compile


def test_the_baseline_is_a_linear_regression():
    generator = torch.Generator().manual_seed(0)
    batch = Batch.from_data_list([molecule(3 + k % 5, k) for k in range(40)])
    net = small({"energy": "0e", "dipole": "1o", "charge": per_point("0e")})
    weights = torch.tensor([-0.5, -37.0, -75.0]).double()
    kind = (batch.z[:, None] == torch.tensor([1, 6, 8])).double()
    noise = 0.1 * torch.randn(40, 1, dtype=torch.float64, generator=generator)
    batch.energy = torch.zeros(40, 1).double().index_add(0, batch.batch, kind @ weights[:, None])
    batch.energy += noise * torch.bincount(batch.batch)[:, None]
    batch.dipole = torch.randn(40, 3, dtype=torch.float64, generator=generator)
    batch.charge = kind @ torch.tensor([[0.4], [-0.1], [-0.7]]).double()
    net.fit_baseline(batch)
    found = net.baseline
    assert (found.energy_weight[1:, 0] - weights).abs().max() < 0.2
    assert 0.05 < found.energy_scale < 0.15
    # nothing invariant is in a vector
    assert found.dipole_weight.abs().max() == 0
    torch.testing.assert_close(found.charge_weight[1:, 0], torch.tensor([0.4, -0.1, -0.7]).double())
    assert found.charge_scale == 1  # nothing is left: no unit to measure it in


def test_one_composition_shares_its_energy():
    found = Baseline(Contract("0e"), 2)
    kinds, batch = torch.tensor([0, 1, 1, 0, 1, 1]), torch.tensor([0, 0, 0, 1, 1, 1])
    found.fit("output", torch.tensor([[-9.0], [-11.0]]), kinds, batch)
    total = found({"output": torch.zeros(6, 1)}, kinds)["output"].view(2, 3).sum(1)
    torch.testing.assert_close(total, torch.tensor([-10.0, -10.0]))


COMPILED = """
import torch
from torch_geometric.data import Data
from backbones import PET

torch.manual_seed(0)
net = PET({"energy": "0e"}, [1, 6, 8], width=16, heads=2, cutoff=3.0)
pos = 1.5 * torch.randn(6, 3)
data = net.prepare(Data(pos=pos.requires_grad_(), z=torch.tensor([1, 6, 8, 1, 1, 6])))
found = []
for model in (net, torch.compile(net)):
    energy = model(data)["energy"].sum()
    found.append([energy, *torch.autograd.grad(energy, pos)])
for plain, compiled in zip(*found, strict=True):
    torch.testing.assert_close(compiled, plain, rtol=1e-5, atol=1e-5)
"""


@pytest.mark.slow
def test_it_can_be_compiled_with_its_forces():
    # by itself, without the checks of types that tests put around every function
    subprocess.run([sys.executable, "-W", "ignore", "-c", COMPILED], check=True)
