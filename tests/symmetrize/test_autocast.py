"""Half precision inside the network, by autocast: frames and turning keep all their digits.

Errors of the law are those of rounding: copies of a turned cloud are the same up to an ulp, and
what half precision makes of them differs where that ulp decides how a number is rounded.
"""

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

import backbones
from backbones.adapters import connect
from backbones.edges import edge_vectors, with_edges
from symmetrize import HierarchicalFrames, Symmetrizer, forces_and_stress
from symmetrize.network.calling import without_autocast
from tests.common.strata import CASES, TURNS, collate

# Units in the last place of bfloat16: errors of layers are unrelated, and the average over frames
# makes them smaller
ROUNDING = 2 * torch.finfo(torch.bfloat16).eps
SMALL: dict[str, dict[str, Any]] = {
    "PET": {"width": 16, "heads": 2, "species": [0]},
    **{name: {"width": 16} for name in ("PointNet", "PointNetPlusPlus", "DGCNN")},
    "PointTransformer": {"width": 16},
    "ClassicPointNet": {"width": 0.125},
}
networks = pytest.mark.parametrize("name", SMALL)


def half() -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16)


def clouds(turn: str | None = None) -> Batch:
    data = collate([CASES[name].points() for name in ("generic", "line", "atom", "cube", "empty")])
    if turn is not None:
        data.pos = data.pos @ TURNS[turn].matrix().T
    data.pos = data.pos.float()
    return data


def made(name: str, outputs: Any = "1o", **options: Any) -> Symmetrizer:
    torch.manual_seed(0)
    return Symmetrizer(getattr(backbones, name)(outputs, **SMALL[name]).eval(), **options)


@networks
@torch.no_grad()
def test_the_network_runs_in_half_precision_and_the_average_in_single(name):
    model, data = made(name), clouds()
    single = model(data)
    with half():
        found, bare = model(data), model.net(data)
    assert found.dtype == torch.float32
    scale = float(single.abs().max())
    assert float((found - single).abs().max()) < ROUNDING * scale
    # it did run in half precision: nothing else would differ by that much
    assert float((bare.float() - model.net(data)).abs().max()) > 1e-5 * scale


@networks
@pytest.mark.parametrize("turn", ["generic", "improper"])
@torch.no_grad()
def test_the_law_holds_up_to_rounding(name, turn):
    model, matrix = made(name), TURNS[turn].matrix().float()
    with half():
        here, there = model(clouds()), model(clouds(turn))
        bare = model.net(clouds(turn)) - model.net(clouds()) @ matrix.T
    scale = float(here.abs().max())
    assert float((there - here @ matrix.T).abs().max()) < ROUNDING * scale
    assert float(bare.abs().max()) > 10 * ROUNDING * scale


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("scope", ["structure", "center"])
def test_frames_and_copies_are_the_same_to_the_last_bit(scope, dtype):
    seen: list[Tensor] = []

    def net(data: Data) -> Tensor:
        seen.append(data.pos)
        assert torch.is_autocast_enabled("cpu") == expected
        return data.pos.new_zeros(data.num_graphs, 1)

    data = clouds()
    data.pos = data.pos.to(dtype)
    data.field = torch.rand(data.num_graphs, 3, dtype=dtype)
    frames = HierarchicalFrames(2.0)
    model = Symmetrizer(net, "0e", inputs={"field": "1o"}, frames=frames, scope=scope)
    ensembles = []
    for expected in (False, True):
        with half() if expected else nullcontext():
            model(data)
            model.spread(data)
            ensembles.append(model.ensemble(data))
    assert torch.equal(seen[0], seen[2])
    assert torch.equal(ensembles[0].rotations, ensembles[1].rotations)
    assert torch.equal(ensembles[0].weights, ensembles[1].weights)


@pytest.mark.parametrize("scope", ["structure", "center"])
def test_what_prepares_the_data_keeps_its_digits(scope):
    dtypes = []

    def prepare(data: Data) -> Data:
        dtypes.append((data.pos @ data.pos.T).dtype)
        return connect(radius=1.5)(data)

    frames = HierarchicalFrames(2.0)
    model = Symmetrizer(
        lambda d: d.pos.new_zeros(d.num_graphs, 1),
        "0e",
        frames=frames,
        scope=scope,
        prepare=prepare,
    )
    with half():
        model(clouds())
        # the mutant: where nothing takes care of it, digits are lost
        dtypes.append((clouds().pos @ clouds().pos.T).dtype)
        with without_autocast():
            assert (clouds().pos @ clouds().pos.T).dtype == torch.float32
    assert dtypes == [torch.float32, torch.bfloat16]


def test_forces_come_out_in_single_precision():
    model = made("PointNet", "0e")
    data = Data(pos=CASES["generic"].points().float())
    with half():
        found = forces_and_stress(model, data).forces
    assert found.dtype == torch.float32
    scale = float(found.abs().max())
    assert scale > 0
    # no net force, whatever the digits of the network: the centroid is taken in double precision
    assert float(found.sum(0).abs().max()) < 1e-5 * scale


def test_training_under_autocast_reaches_all_parameters():
    model = made("PointNet", "0e").train()
    with half():
        loss = model(clouds()).square().mean()
    loss.backward()
    assert all(torch.isfinite(each.grad).all() for each in model.parameters())


def test_strain_and_lattices_keep_their_digits():
    cell = torch.tensor([[5.1, 0.2, 0.0], [0.0, 4.7, 0.3], [0.1, 0.0, 5.3]])
    pos = torch.rand(4, 3, generator=torch.Generator().manual_seed(0)) @ cell
    data = Data(pos=pos, cell=cell[None], pbc=torch.ones(1, 3, dtype=torch.bool))

    def energy(data: Data) -> Tensor:
        # sums of products of numbers, which autocast leaves alone
        return (data.pos.square().sum() + data.cell.pow(3).sum()).reshape(1)

    single = forces_and_stress(energy, data)
    with half():
        found = forces_and_stress(energy, data)
    for one, other in zip(found, single, strict=True):
        assert torch.equal(one, other)

    prepared = with_edges(data, 4.0)
    with half():
        found = edge_vectors(prepared)
    assert prepared.edge_shift.abs().max() > 0
    assert torch.equal(found, edge_vectors(prepared))
    assert float((found.norm(dim=1) - 4.0).max()) < 0
