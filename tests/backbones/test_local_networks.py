"""Networks that see a bounded range are extensive, periodic, and sums over their centers."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from backbones import (
    PointNetPlusPlus,
    edges,
)
from symmetrize import per_point
from tests.common.point_networks import (
    MATRICES,
    OUTPUTS,
    assert_same,
    cloud,
    local_networks,
    made,
    symmetrized,
)
from tests.common.strata import turned_output


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
