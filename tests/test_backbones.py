"""The plain network: what it is invariant to, what it is not, and how smooth."""

import pytest
import torch
from torch_geometric.data import Batch, Data

from backbones import PointNet
from symmetrize.frames.random import random_rotations

SHAPES = {"energy": (1,), "polarizability": (3, 3)}


@pytest.fixture
def net():
    torch.manual_seed(0)
    return PointNet(SHAPES, species=10, width=16, rounds=3).double()


def cloud(points: int, seed: int = 0) -> Data:
    generator = torch.Generator().manual_seed(seed)
    return Data(
        pos=torch.randn(points, 3, dtype=torch.float64, generator=generator),
        z=torch.randint(1, 10, (points,), generator=generator),
    )


def largest_difference(first: dict, second: dict) -> float:
    return max((first[name] - second[name]).abs().max().item() for name in SHAPES)


# sums of O(10) terms of order 1 in another order: a few hundred units in the last place
ROUNDING = 300 * torch.finfo(torch.float64).eps


def test_order_and_translation_do_not_matter(net):
    data = cloud(7)
    order = torch.tensor([3, 1, 6, 0, 2, 5, 4])
    moved = Data(pos=data.pos[order] + torch.tensor([1.0, -2.0, 3.0]), z=data.z[order])
    assert largest_difference(net(data), net(moved)) < ROUNDING


def test_it_is_not_equivariant(net):
    data = cloud(7)
    turn = random_rotations(1, torch.Generator().manual_seed(1))[0]
    turned = Data(pos=data.pos @ turn.T, z=data.z)
    assert (net(data)["energy"] - net(turned)["energy"]).abs().max() > 1e3 * ROUNDING


@pytest.mark.parametrize("sizes", [(3, 5, 2), (4, 0, 1), (0,)], ids=str)
def test_structures_of_a_batch_do_not_see_each_other(net, sizes):
    clouds = [cloud(size, seed) for seed, size in enumerate(sizes)]
    together = net(Batch.from_data_list(clouds))
    for row, single in enumerate(clouds):
        alone = net(single)
        for name, shape in SHAPES.items():
            assert together[name].shape == (len(sizes), *shape)
            torch.testing.assert_close(together[name][row : row + 1], alone[name])


def test_species_matter_and_may_be_left_out(net):
    data = cloud(4)
    other = Data(pos=data.pos, z=(data.z + 1) % 10)
    assert largest_difference(net(data), net(other)) > 1e-3
    same_kind = Data(pos=data.pos, z=torch.zeros_like(data.z))
    assert largest_difference(net(same_kind), net(Data(pos=data.pos))) == 0


def test_batch_vector_alone_tells_structures_apart(net):
    together = Batch.from_data_list([cloud(3, 0), cloud(2, 1)])
    plain = Data(pos=together.pos, z=together.z, batch=together.batch)
    assert largest_difference(net(together), net(plain)) == 0


def test_second_derivatives_are_right(net):
    data = cloud(3)

    def energy(pos):
        return net(Data(pos=pos, z=data.z))["energy"].sum()

    pos = data.pos.requires_grad_()
    assert torch.autograd.gradcheck(energy, pos)
    assert torch.autograd.gradgradcheck(energy, pos)
