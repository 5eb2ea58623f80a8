"""Networks on point clouds against the contracts that they declare, bare and symmetrized.

Weights are drawn larger than at the start of a training, so that outputs change by about one over a
cloud, and laws are not met for lack of anything that could break them.
"""

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from backbones import (
    DGCNN,
    PET,
    ClassicDGCNN,
    ClassicPointNet,
    ClassicPointNetPlusPlus,
    ClassicPointTransformer,
    PointNet,
    PointNetPlusPlus,
    PointTransformer,
    edges,
)
from symmetrize import HierarchicalFrames, Symmetrizer, per_point
from symmetrize.contract import lowest
from symmetrize.groups import random_rotations
from tests.common.laws import EXACT, elements, law_error, spreads
from tests.common.paths import PATHS, SMOOTH, Path, moving_last, points, scan_of
from tests.common.strata import CASES, CUTOFF, EYE, TURNS, Shape, collate, turned_output

SMALL = {"width": 0.125}
# two rounds that see as far as the environments of the shapes
NEAR = {"width": 8, "cutoff": CUTOFF / 2}
# as many species as the others know
POINT_EDGE = {"species": range(100), "heads": 2, "cutoff_width": 1.0}
NETWORKS: dict[str, tuple[Callable[..., nn.Module], dict[str, Any]]] = {
    "PointNet": (PointNet, {"width": 16, "length": 0.5}),
    "PointNetPlusPlus": (PointNetPlusPlus, NEAR),
    "DGCNN": (DGCNN, NEAR),
    "PointTransformer": (PointTransformer, NEAR),
    "PET": (PET, NEAR | POINT_EDGE),
    "ClassicPointNet": (ClassicPointNet, SMALL),
    "ClassicPointNet, aligned": (ClassicPointNet, SMALL | {"align": True}),
    # fewer neighbors than there are points, so that there is a choice to make
    "ClassicPointNetPlusPlus": (ClassicPointNetPlusPlus, SMALL | {"radii": (1.0, 2.0)}),
    "ClassicDGCNN": (ClassicDGCNN, SMALL | {"neighbors": 3}),
    "ClassicPointTransformer": (ClassicPointTransformer, SMALL | {"neighbors": 3}),
}
LOCAL = ["PointNetPlusPlus", "DGCNN", "PointTransformer", "PET"]
SMOOTH_NETWORKS = ["PointNet", *LOCAL]
CLASSIC = [name for name in NETWORKS if name.startswith("Classic")]

networks = pytest.mark.parametrize("name", NETWORKS)
smooth_networks = pytest.mark.parametrize("name", SMOOTH_NETWORKS)
local_networks = pytest.mark.parametrize("name", LOCAL)
classic_networks = pytest.mark.parametrize("name", CLASSIC)
SCOPES = [
    *((name, "structure") for name in NETWORKS),
    *((name, "center") for name in SMOOTH_NETWORKS),
]
scopes = pytest.mark.parametrize(("name", "scope"), SCOPES)
# PET knows species and positions only, has cutoffs of its own, and tests of these (test_pet.py)
with_features = pytest.mark.parametrize("name", [n for n in NETWORKS if n != "PET"])
scopes_with_features = pytest.mark.parametrize(
    ("name", "scope"), [pair for pair in SCOPES if pair[0] != "PET"]
)
of_one_frame = pytest.mark.parametrize("name", [n for n in LOCAL if n != "PET"])

OUTPUTS = {"energy": "0e", "dipole": "1o", "tensor": "ij=ji"}


def made(name: str, outputs: Any = OUTPUTS, **more: Any) -> nn.Module:
    """A small network with weights that depend on nothing but the seed, ready for evaluation."""
    kind, small = NETWORKS[name]
    net = kind(outputs, **(small | more)).double().eval()
    generator = torch.Generator().manual_seed(0)
    gain = 1.5
    with torch.no_grad():
        for layer in net.modules():
            weight = getattr(layer, "weight", None)
            if isinstance(layer, nn.Embedding):
                weight.normal_(0, 1, generator=generator)
            elif weight is not None and weight.ndim == 2:
                weight.normal_(0, gain / weight.size(1) ** 0.5, generator=generator)
            if getattr(layer, "bias", None) is not None:
                layer.bias.normal_(0, 0.3, generator=generator)
    return net


def symmetrized(net: nn.Module, scope: str = "structure", **frames: Any) -> Symmetrizer:
    """The one line, but for a network that sees all: then the environments need a radius."""
    if scope == "center" and net.contract.cutoff is None:
        frames["cutoff"] = CUTOFF
    if not frames:
        return Symmetrizer(net, scope=scope)
    if scope == "center" or net.contract.cutoff is not None:
        frames.setdefault("cutoff", CUTOFF)
    return Symmetrizer(net, frames=HierarchicalFrames(**frames), scope=scope)


def cloud(number: int, seed: int = 0) -> Data:
    generator = torch.Generator().manual_seed(seed)
    return Data(
        pos=torch.randn(number, 3, dtype=torch.float64, generator=generator),
        z=torch.randint(1, 10, (number,), generator=generator),
    )


# Sums in another order change the last places of what a dozen layers then amplify: a thousand units
# in the last place of the outputs
ROUNDING = 3e-13


def assert_same(here: dict[str, Tensor], there: dict[str, Tensor]) -> None:
    assert here.keys() == there.keys()
    for name, values in here.items():
        size = max(1.0, float(values.detach().abs().max())) if values.numel() else 1.0
        torch.testing.assert_close(there[name], values, atol=ROUNDING * size, rtol=0)


# --- the contract


@pytest.mark.parametrize(
    ("name", "smoothness", "locality", "extensive", "periodic"),
    [
        ("PointNet", math.inf, "global", False, False),
        ("PointNetPlusPlus", math.inf, "message passing", True, True),
        ("DGCNN", math.inf, "message passing", True, True),
        ("PointTransformer", math.inf, "message passing", True, True),
        ("PET", math.inf, "message passing", True, True),
        ("ClassicPointNet", 0, "global", False, False),
        ("ClassicPointNet, aligned", 0, "global", False, False),
        ("ClassicPointNetPlusPlus", None, "global", False, False),
        ("ClassicDGCNN", None, "global", False, False),
        ("ClassicPointTransformer", None, "global", False, False),
    ],
)
def test_contracts(
    name: str, smoothness: float | None, locality: str, extensive: bool, periodic: bool
) -> None:
    contract = made(name).contract
    assert contract.group is None
    assert contract.smoothness == smoothness
    assert contract.locality == locality
    assert (contract.extensive, contract.periodic) == (extensive, periodic)
    assert contract.receptive_field == (CUTOFF if name in LOCAL else None)
    model = symmetrized(made(name))
    assert model.contract.group == "O(3)"
    frames = model.frames.smoothness(model.declaration.degree)
    assert model.contract.smoothness == lowest(smoothness, frames)


@networks
def test_a_single_output_is_a_tensor(name: str) -> None:
    found = made(name, "11x0e")(Batch.from_data_list([cloud(5), cloud(3)]))
    assert found.shape == (2, 11)


@classic_networks
def test_classic_forms_refuse_outputs_of_points(name: str) -> None:
    with pytest.raises(ValueError, match="'forces' for each point"):
        made(name, {"energy": "0e", "forces": per_point("1o")})


@with_features
def test_a_missing_feature_is_named(name: str) -> None:
    net = made(name, features={"normals": "1o"})
    with pytest.raises(ValueError, match="'normals' is missing"):
        net(cloud(4))
    data = cloud(4)
    data.normals = torch.ones(4, 2, dtype=torch.float64)
    with pytest.raises(ValueError, match="must have 3 columns"):
        net(data)


@with_features
def test_species_matter_and_unknown_ones_are_named(name: str) -> None:
    net, data = made(name, species=10), cloud(5)
    other = Data(pos=data.pos, z=(data.z + 1) % 10)
    assert (net(data)["energy"] - net(other)["energy"]).abs() > 1e-3
    other.z[0] = 10
    with pytest.raises(ValueError, match="knows 10 species"):
        net(other)


# --- batches, order, translation


@pytest.mark.parametrize("sizes", [(3, 5, 2), (6, 0, 1), (0,)], ids=str)
@networks
def test_structures_of_a_batch_do_not_see_each_other(name: str, sizes: tuple[int, ...]) -> None:
    net = made(name)
    clouds = [cloud(size, seed) for seed, size in enumerate(sizes)]
    together = net(Batch.from_data_list(clouds))
    alone = [net(each) for each in clouds]
    assert_same(together, {n: torch.cat([each[n] for each in alone]) for n in OUTPUTS})
    assert together["tensor"].shape == (len(sizes), 3, 3)
    if 0 not in sizes:
        batch = Batch.from_data_list(clouds)
        assert_same(together, net(Data(pos=batch.pos, z=batch.z, batch=batch.batch)))


@networks
def test_order_and_translation_do_not_matter(name: str) -> None:
    net, data = made(name), cloud(9)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    moved = Data(pos=data.pos[order] + torch.tensor([1.0, -2.0, 4.0]), z=data.z[order])
    assert_same(net(data), net(moved))


@smooth_networks
def test_outputs_of_points_go_with_their_points(name: str) -> None:
    net = made(name, {"energy": "0e", "forces": per_point("1o")})
    data, order = cloud(5), torch.tensor([3, 1, 4, 0, 2])
    here, there = net(data), net(Data(pos=data.pos[order], z=data.z[order]))
    assert here["forces"].shape == (5, 3)
    assert_same({"forces": here["forces"][order]}, {"forces": there["forces"]})
    # points differ
    assert here["forces"].std(0).min() > 1e-3


# --- not equivariant by themselves, exact when symmetrized

MATRICES = elements("O(3)", TURNS["generic"], TURNS["improper"])
DEGENERATE = (
    "generic",
    "empty",
    "atom",
    "pair",
    "pair along the axes",
    "coincident",
    "line",
    "line off by 1e-8",
    "plane",
    "polygon",
    "pyramid",
    "pyramid of equal inertia",
    "point and copy",
    "tetrahedron",
    "cube",
)


@networks
def test_no_network_is_equivariant_by_itself(name: str) -> None:
    net = made(name)
    net, rows = net.requires_grad_(False), [CASES["generic"].points()]
    assert law_error(net, OUTPUTS, spreads(net, OUTPUTS), rows, MATRICES) > 0.1


@scopes
def test_every_network_is_exact_when_symmetrized(name: str, scope: str) -> None:
    model = symmetrized(made(name), scope).requires_grad_(False)
    rows = [CASES[stratum].points() for stratum in DEGENERATE]
    spread = spreads(model, OUTPUTS)
    for dtype, bound in EXACT.items():
        error = law_error(model.to(dtype), OUTPUTS, spread, rows, MATRICES, dtype)
        assert error <= bound, dtype


@scopes_with_features
def test_features_turn_with_the_cloud(name: str, scope: str) -> None:
    model = symmetrized(made(name, features={"normals": "1o"}), scope)
    generator = torch.Generator().manual_seed(2)
    items = [CASES[n].points() for n in ("generic", "line", "atom", "plane")]
    normals = [torch.randn(x.shape, dtype=x.dtype, generator=generator) for x in items]

    def found(matrix: Tensor, sign: float = 1.0) -> dict[str, Tensor]:
        turned = [
            Data(pos=x @ matrix.T, normals=sign * n @ matrix.T)
            for x, n in zip(items, normals, strict=True)
        ]
        return model(Batch.from_data_list(turned))

    here = found(EYE)
    for matrix in MATRICES:
        expected = {n: turned_output(here[n], spec, matrix) for n, spec in OUTPUTS.items()}
        assert_same(expected, found(matrix))
    assert (found(EYE, -1.0)["energy"] - here["energy"]).abs().max() > 1e-3


# --- smoothness


def assert_smooth_along(path: Path, model: Callable[[Data], Tensor]) -> None:
    found = scan_of(path, model)
    assert found.maxima[-1].min() > 0.1
    assert found.growth.max() < SMOOTH
    assert found.growth.min() > 1 / SMOOTH


# Graphs are searched anew in every place. A point enters the cutoff of 1.5 ...
CROSSING = "a cloud and an atom part"
THROUGH = (
    "flattened onto a line and out",
    "an atom passes through another",
    "neighbors collapse onto their center",
)


@pytest.mark.parametrize("path", [CROSSING, *THROUGH])
@smooth_networks
def test_smooth_forms_are_smooth(name: str, path: str) -> None:
    assert_smooth_along(PATHS[path], made(name, "0e+1o").requires_grad_(False))


@pytest.mark.parametrize(
    ("path", "scope"),
    [
        (CROSSING, "structure"),
        (CROSSING, "center"),
        ("bent through straight", "structure"),
        ("flattened onto a line and out", "center"),
        ("an atom passes through another", "structure"),
    ],
)
@smooth_networks
def test_smooth_forms_are_smooth_when_symmetrized(name: str, path: str, scope: str) -> None:
    model = symmetrized(made(name, "0e+1o"), scope).requires_grad_(False)
    assert model.contract.smoothness >= 3
    assert_smooth_along(PATHS[path], model)


@pytest.mark.parametrize("aligned", ["", ", aligned"])
def test_the_maximum_is_continuous_with_kinks(aligned: str) -> None:
    net = made(f"ClassicPointNet{aligned}", "0e+1o").requires_grad_(False)
    for model in (net, symmetrized(net)):
        first, second, third = scan_of(PATHS["nearest neighbors swap"], model).growth
        # differences of first order stay, those of second order double, but for where a kink lies
        assert first < 1.1
        assert second > 1.5
        assert third > 3.0


@pytest.mark.parametrize(
    "name", ["ClassicPointNetPlusPlus", "ClassicDGCNN", "ClassicPointTransformer"]
)
def test_the_choice_of_points_jumps(name: str) -> None:
    net = made(name, "0e+1o").requires_grad_(False)
    for model in (net, symmetrized(net)):
        growth = scan_of(PATHS["an atom passes through another"], model).growth
        torch.testing.assert_close(
            growth, torch.tensor([2.0, 4.0, 8.0]).double(), rtol=0.05, atol=0
        )


@of_one_frame
def test_mutant_a_hard_cutoff_jumps(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edges, "cutoff_switch", lambda r, cutoff, width: (r < cutoff).to(r.dtype))
    growth = scan_of(PATHS[CROSSING], made(name, "0e+1o").requires_grad_(False)).growth
    torch.testing.assert_close(growth, torch.tensor([2.0, 4.0, 8.0]).double(), rtol=0.05, atol=0)


MEETING = Path(*moving_last(points((0, 0, 0)), (0, 0, 0), (0.6, 0, 0.8)), -0.5, 0.5)


@of_one_frame
def test_mutant_the_bare_distance_has_a_kink(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    net = made(name, "0e+1o", length=0.2).requires_grad_(False)
    assert_smooth_along(MEETING, net)

    def shapes(self: edges.Edges, length: float) -> Tensor:
        return torch.cat([self.vectors, self.distances[:, None]], 1) / length

    monkeypatch.setattr(edges.Edges, "shapes", shapes)
    assert scan_of(MEETING, net).growth[1] > 1.5


def test_mutant_points_that_enter_at_once_jump() -> None:
    net = made("PointNet", "0e+1o").requires_grad_(False)

    class WithoutEnvelope(nn.Module):
        def forward(self, data: Data) -> Tensor:
            data.envelope = torch.ones_like(data.envelope)
            return net(data)

    model = Symmetrizer(
        WithoutEnvelope(), "0e+1o", frames=HierarchicalFrames(CUTOFF), scope="center"
    )
    growth = scan_of(PATHS[CROSSING], model).growth
    torch.testing.assert_close(growth, torch.tensor([2.0, 4.0, 8.0]).double(), rtol=0.05, atol=0)


@pytest.mark.parametrize("stratum", ["generic", "line", "coincident", "pair"])
@smooth_networks
def test_derivatives_are_right(name: str, stratum: str) -> None:
    net = made(name, "0e").requires_grad_(False)
    pos = CASES[stratum].points()[:3].requires_grad_()

    def energy(pos: Tensor) -> Tensor:
        return net(Data(pos=pos)).sum()

    assert torch.autograd.gradcheck(energy, pos)
    assert torch.autograd.gradgradcheck(energy, pos)


@smooth_networks
def test_every_parameter_learns_from_energies_and_forces(name: str) -> None:
    net, data = made(name, {"energy": "0e", "charges": per_point("0e")}), cloud(6)
    data.pos = 0.4 * data.pos  # every point within the smallest radius of some other
    model = symmetrized(net)
    data.pos.requires_grad_()
    found = model(data)
    (slope,) = torch.autograd.grad(found["energy"].sum(), data.pos, create_graph=True)
    loss = slope.square().sum() + found["energy"].sum() + found["charges"].square().sum()
    loss.backward()
    for parameter, values in net.named_parameters():
        assert values.grad is not None, parameter
        assert torch.isfinite(values.grad).all(), parameter
        assert values.grad.abs().max() > 0, parameter


@networks
def test_networks_learn_by_heart(name: str) -> None:
    torch.manual_seed(0)
    net = made(name, "2x0e", **({"dropout": 0.0} if name in CLASSIC else {})).train()
    batch, labels = Batch.from_data_list([cloud(8, seed) for seed in range(4)]), [0, 1, 1, 0]
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    losses = []
    for _ in range(30):
        loss = nn.functional.cross_entropy(net(batch), torch.tensor(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
    assert losses[-1] < 0.2


# --- local networks: extensive, periodic, one center at a time


def parts(net: nn.Module) -> tuple[Tensor, Tensor]:
    """Energies of two clouds far apart as one structure, and their sum one by one."""
    left, right = cloud(4, 0), cloud(5, 1)
    far = right.pos + torch.tensor([64.0, 0.0, 0.0])
    whole = Data(pos=torch.cat([left.pos, far]), z=torch.cat([left.z, right.z]))
    return net(whole)["energy"], net(left)["energy"] + net(right)["energy"]


@local_networks
def test_energies_of_fragments_add_up(name: str) -> None:
    whole, total = parts(made(name))
    assert_same({"energy": total}, {"energy": whole})


def test_mutant_a_global_network_is_not_extensive() -> None:
    whole, total = parts(made("PointNet"))
    assert (whole - total).abs() > 0.1


@local_networks
def test_a_structure_is_the_sum_of_its_centers(name: str) -> None:
    net, data = made(name), cloud(7)
    whole = net(data)
    centers = []
    for place in range(7):
        chosen = copy.copy(data)
        chosen.is_center = torch.arange(7) == place
        centers.append(net(chosen))
    assert_same(whole, {n: torch.stack([c[n] for c in centers]).sum(0) for n in OUTPUTS})


@local_networks
def test_points_out_of_sight_do_not_matter(name: str) -> None:
    net, data = made(name, {"charges": per_point("0e")}), cloud(4)
    here = torch.cat([data.pos, torch.tensor([[0.0, 0.0, 40.0]])])
    there = here + torch.tensor([0.0, 0.0, 1.0]) * (torch.arange(5) == 4)[:, None]
    one, two = (net(Data(pos=pos))["charges"] for pos in (here, there))
    assert_same({"charges": one}, {"charges": two})


CELL = torch.tensor([[1.9, 0.2, 0.0], [0.3, 1.7, -0.3], [0.4, 0.1, 2.1]], dtype=torch.float64)


def crystal(copies: int) -> Data:
    """Two atoms of two kinds in a skewed cell, in a row of copies along its first vector."""
    places = torch.tensor([[0.1, 0.0, 0.2], [0.9, 0.8, 1.1]], dtype=torch.float64)
    steps = torch.arange(copies, dtype=torch.float64)[:, None, None] * CELL[0]
    cell = CELL * torch.tensor([[copies], [1], [1]])
    return Data(
        pos=(places + steps).reshape(-1, 3),
        z=torch.tensor([1, 2]).repeat(copies),
        cell=cell[None],
        pbc=torch.ones(1, 3, dtype=torch.bool),
    )


@local_networks
def test_a_supercell_has_the_energy_of_its_cells(name: str) -> None:
    net = made(name)
    one, three = net(crystal(1)), net(crystal(3))
    assert_same({n: 3 * v for n, v in one.items()}, three)
    # mutant: images that are taken for the points themselves
    wrong = net.prepare(crystal(1))
    assert (wrong.edge_shift != 0).any()
    wrong.edge_shift = torch.zeros_like(wrong.edge_shift)
    assert (net(wrong)["energy"] - one["energy"]).abs() > 1e-3


@local_networks
def test_a_crystal_among_molecules_turns(name: str) -> None:
    net = made(name)
    molecule = cloud(4)
    molecule.cell = torch.zeros(1, 3, 3, dtype=torch.float64)
    molecule.pbc = torch.zeros(1, 3, dtype=torch.bool)
    batch = Batch.from_data_list([crystal(1), molecule, crystal(2)])
    alone = net(cloud(4))
    assert_same(alone, {n: v[1:2] for n, v in net(batch).items()})
    for scope in ("structure", "center"):
        model = symmetrized(net, scope)
        here = model(batch)
        for matrix in MATRICES:
            turned = batch.clone()
            turned.pos, turned.cell = batch.pos @ matrix.T, batch.cell @ matrix.T
            expected = {n: turned_output(here[n], spec, matrix) for n, spec in OUTPUTS.items()}
            assert_same(expected, model(turned))


@local_networks
def test_edges_are_searched_once_and_may_be_given(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, batch = made(name), Batch.from_data_list([crystal(1), crystal(2)])
    searched = []
    search = edges.neighbor_list
    monkeypatch.setattr(
        edges, "neighbor_list", lambda *given: searched.append(given) or search(*given)
    )
    for scope in ("structure", "center"):
        searched.clear()
        symmetrized(net, scope)(batch)
        assert len(searched) == 1
    prepared = net.prepare(batch)
    assert "edge_index" not in batch
    assert net.prepare(prepared) is prepared
    assert_same(net(batch), net(prepared))
    together = Batch.from_data_list([net.prepare(crystal(1)), net.prepare(crystal(2))])
    assert_same(net(batch), net(together))
    # longer edges do no harm
    longer = edges.with_edges(batch, 2 * net.cutoff)
    assert longer.edge_index.size(1) > 2 * prepared.edge_index.size(1)
    assert_same(net(batch), net(longer))


@local_networks
def test_periodic_edges_need_their_images(name: str) -> None:
    net = made(name)
    data = net.prepare(crystal(1))
    del data.edge_shift
    with pytest.raises(ValueError, match="edge_shift"):
        net(data)


@local_networks
def test_derivatives_by_the_cell(name: str) -> None:
    net, data = made(name, "0e").requires_grad_(False), crystal(1)

    def energy(strain: Tensor) -> Tensor:
        changed, deformation = data.clone(), torch.eye(3, dtype=torch.float64) + strain
        changed.pos, changed.cell = data.pos @ deformation, data.cell @ deformation
        return net(changed).sum()

    strain = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(energy, strain)
    assert torch.autograd.grad(energy(strain), strain)[0].abs().max() > 1e-3


@pytest.mark.parametrize("scales", [(), (0.5, 1.5), (0.0,)])
def test_scales_beyond_the_cutoff_are_refused(scales: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="units of the cutoff"):
        PointNetPlusPlus("0e", scales=scales)


# --- T-Nets


def test_t_nets_start_from_the_identity() -> None:
    torch.manual_seed(0)
    plain = ClassicPointNet("3x0e", **SMALL).double().eval()
    aligned = ClassicPointNet("3x0e", align=True, **SMALL).double().eval()
    missing = aligned.load_state_dict(plain.state_dict(), strict=False)
    assert missing.unexpected_keys == []
    data = Batch.from_data_list([cloud(5), cloud(0), cloud(2)])
    torch.testing.assert_close(aligned(data), plain(data), atol=1e-14, rtol=0)
    assert aligned.alignment_penalty(data) == 0
    assert plain.alignment_penalty(data) == 0


def test_the_penalty_is_that_of_the_map() -> None:
    net = made("ClassicPointNet, aligned", "3x0e")
    with torch.no_grad():
        for part in (net.align_input, net.align_features):
            part.last.weight.zero_()
            part.last.bias.zero_()
        # twice the identity: |1 - 4|^2 for each of 8 features
        net.align_features.last.bias.copy_(torch.eye(8).flatten())
    penalty = net.alignment_penalty(Batch.from_data_list([cloud(5), cloud(3)]))
    torch.testing.assert_close(penalty, torch.tensor(72.0).double())


# --- degenerate choices


@classic_networks
def test_ties_do_not_depend_on_the_orientation(name: str) -> None:
    # a cube has nothing but ties: of neighbors, of what is farthest from the centroid and the rest
    model = symmetrized(made(name)).requires_grad_(False)
    corners = Shape("cube").points()
    turns = random_rotations(5, torch.Generator().manual_seed(4))
    found = model(collate([corners, *(corners @ turn.T for turn in turns)]))["energy"]
    assert_same({"energy": found[:1].expand_as(found)}, {"energy": found})


def test_ties_depend_on_the_order_of_points_where_some_are_chosen() -> None:
    """What no rule can avoid: a choice of 3 among 4 equals."""
    corners = Shape("cube").points()
    order = torch.randperm(8, generator=torch.Generator().manual_seed(1))
    changes = {}
    for name in ("ClassicPointNet", "ClassicDGCNN"):
        net = made(name, "0e").requires_grad_(False)
        found = net(collate([corners, corners[order]]))
        changes[name] = float((found[0] - found[1]).abs())
    assert changes["ClassicPointNet"] < ROUNDING
    assert changes["ClassicDGCNN"] > 1e-3


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("PointNet", {"length": 0.0}),
        ("PointNet", {"rounds": 0}),
        ("DGCNN", {"length": math.nan}),
        ("PointTransformer", {"width": 0}),
        ("PointNetPlusPlus", {"neighbors": -5}),
        ("ClassicPointNet", {"width": -1.0}),
        ("ClassicDGCNN", {"neighbors": 0}),
        ("ClassicPointNetPlusPlus", {"radii": (0.2,)}),
        ("ClassicPointNetPlusPlus", {"radii": (0.2, -0.4)}),
    ],
    ids=str,
)
def test_sizes_that_make_no_network_are_refused(name: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=rf"`{next(iter(wrong))}` is"):
        made(name, **wrong)
