"""Networks on point clouds against the contracts that they declare, bare and symmetrized."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from backbones import (
    ClassicPointNet,
)
from symmetrize import per_point
from symmetrize.contract import lowest
from symmetrize.groups import random_rotations
from tests.common.laws import EXACT, law_error, spreads
from tests.common.point_networks import (
    LOCAL,
    MATRICES,
    OUTPUTS,
    ROUNDING,
    SMALL,
    assert_same,
    classic_networks,
    cloud,
    made,
    networks,
    scopes,
    scopes_with_features,
    smooth_networks,
    symmetrized,
    with_features,
)
from tests.common.strata import CASES, CUTOFF, EYE, Shape, collate, turned_output

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
