"""Hessians against differences of forces: molecules and crystals, near symmetry and near lines."""

import math

import pytest
import torch
from ase.build import bulk, molecule
from torch import Tensor
from torch.func import grad, jvp
from torch_geometric.data import Batch, Data

from backbones import PET
from symmetrize import (
    Symmetrizer,
    forces_and_stress,
    from_ase,
    hessian,
    hessian_vector_products,
)
from tests.common.strata import turn

# Shapes are checked in other tests: here they would take most of the time
pytestmark = pytest.mark.usefixtures("unchecked_shapes")


def rattled(atoms, distance: float, seed: int = 0) -> Data:
    data = from_ase(atoms, dtype=torch.float64)
    noise = torch.randn(len(atoms), 3, generator=torch.Generator().manual_seed(seed)).double()
    data.pos = data.pos + distance * noise / math.sqrt(3)
    return data


STRUCTURES = {
    "water": lambda: rattled(molecule("H2O"), 0.05),
    "nearly collinear": lambda: rattled(molecule("CO2"), 1e-3),
    "collinear": lambda: rattled(molecule("CO2"), 0.0),
    "nearly tetrahedral": lambda: rattled(molecule("CH4"), 1e-4),
    "nearly planar": lambda: rattled(molecule("C2H4"), 1e-3),
    "perfect crystal": lambda: rattled(bulk("Si"), 0.0),
    "nearly perfect crystal": lambda: rattled(bulk("Si"), 1e-3),
    "hot crystal": lambda: rattled(bulk("NaCl", "rocksalt", 5.6), 0.2),
}
structures = pytest.mark.parametrize("name", STRUCTURES)


def model(**settings) -> Symmetrizer:
    torch.manual_seed(0)
    net = PET({"energy": "0e"}, species=20, cutoff=3.5, width=8, hidden=8, heads=2, rounds=1)
    return Symmetrizer(net.double(), **settings).eval()


def differences(net, data: Data, step: float = 1e-5) -> Tensor:
    """Of forces, of fourth order, as a matrix."""
    number = data.pos.numel()
    rows = torch.eye(number, dtype=torch.float64).reshape(number, *data.pos.shape)
    found = torch.zeros(number, number, dtype=torch.float64)
    for factor, weight in ((1, 8.0), (-1, -8.0), (2, -1.0), (-2, 1.0)):
        for k, row in enumerate(rows):
            moved = data.clone()
            moved.pos = data.pos + factor * step * row
            found[k] -= weight * forces_and_stress(net, moved).forces.flatten() / (12 * step)
    return found


@structures
def test_hessians_are_differences_of_forces(name: str) -> None:
    net, data = model(), STRUCTURES[name]()
    found = hessian(net, data).reshape(data.pos.numel(), -1)
    scale = float(found.abs().max())
    torch.testing.assert_close(found, found.T, atol=1e-11 * scale, rtol=0)
    torch.testing.assert_close(found, differences(net, data), atol=1e-6 * scale, rtol=0)


@structures
def test_the_virial_is_symmetric(name: str) -> None:
    """By a strain that need not be symmetric: what turns the structure does no work."""
    net, data = model(), STRUCTURES[name]()
    strain = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True)

    def strained() -> Data:
        moved = data.clone()
        moved.pos = data.pos @ (torch.eye(3) + strain)
        moved.cell = data.cell @ (torch.eye(3) + strain)
        return moved

    (slope,) = torch.autograd.grad(net(strained())["energy"].sum(), strain)
    scale = max(1.0, float(slope.abs().max()))
    torch.testing.assert_close(slope, slope.T, atol=1e-12 * scale, rtol=0)
    virial = forces_and_stress(net, data).virial[0]
    torch.testing.assert_close(virial, -slope, atol=1e-12 * scale, rtol=0)
    # that of the network itself is not
    (bare,) = torch.autograd.grad(net.net(net.net.prepare(strained()))["energy"].sum(), strain)
    assert float((bare - bare.T).abs().max()) > 1e-4 * scale


@structures
def test_forward_derivatives_are_the_same(name: str) -> None:
    """What is looked for without derivatives is without forward ones, too."""
    net, data = model(), STRUCTURES[name]()
    along = torch.randn(data.pos.shape, generator=torch.Generator().manual_seed(2)).double()

    def energy(pos: Tensor) -> Tensor:
        moved = data.clone()
        moved.pos = pos
        return net(moved)["energy"].sum()

    work = -(forces_and_stress(net, data).forces * along).sum()
    _, slope = jvp(energy, (data.pos,), (along,))
    torch.testing.assert_close(slope, work, atol=1e-12, rtol=1e-12)
    expected = hessian_vector_products(net, data, along)
    _, found = jvp(grad(energy), (data.pos,), (along,))
    scale = float(expected.abs().max())
    torch.testing.assert_close(found, expected, atol=1e-11 * scale, rtol=0)


def test_a_turn_turns_its_blocks() -> None:
    net, data = model(), STRUCTURES["water"]()
    matrix = turn(3)
    there = data.clone()
    there.pos = data.pos @ matrix.T
    here = torch.einsum("ia,paqb,jb->piqj", matrix, hessian(net, data), matrix)
    scale = float(here.abs().max())
    torch.testing.assert_close(hessian(net, there), here, atol=1e-11 * scale, rtol=0)


def test_products_are_those_of_the_hessian_in_chunks_and_batches() -> None:
    data = [STRUCTURES[name]() for name in ("water", "nearly collinear")]
    batch = Batch.from_data_list(data)
    vectors = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(1)).double()
    told: list[tuple[int, int]] = []
    found = hessian_vector_products(
        model(chunk_size=2), batch, vectors, progress=lambda *seen: told.append(seen)
    )
    assert told == [(1, 2), (2, 2)]
    for rows, one in zip((slice(0, 3), slice(3, 6)), data, strict=True):
        expected = torch.einsum("paqb,nqb->npa", hessian(model(), one), vectors[:, rows])
        scale = float(expected.abs().max())
        torch.testing.assert_close(found[:, rows], expected, atol=1e-12 * scale, rtol=0)
    alone = hessian_vector_products(model(), batch, vectors[1])
    torch.testing.assert_close(alone, found[1], atol=1e-11, rtol=1e-11)


def test_mistakes() -> None:
    batch = Batch.from_data_list([STRUCTURES["water"]()] * 2)
    with pytest.raises(ValueError, match=r"holds 2 structures.*one by one"):
        hessian(model(), batch)
    with pytest.raises(ValueError, match=r"shape \(2, 3\) but must be \(6, 3\)"):
        hessian_vector_products(model(), batch, torch.zeros(2, 3))
