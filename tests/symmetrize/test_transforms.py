"""Derivatives and maps of ``torch.func`` through the wrapper, against those of autograd."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, vjp, vmap
from torch_geometric.data import Data

from backbones import PET, PointNet
from symmetrize import Symmetrizer
from tests.common.laws import draw

# Shapes are checked in other tests: here they would take most of the time
pytestmark = pytest.mark.usefixtures("unchecked_shapes")

PLACES = {
    "PointNet": {"scope": "structure"},
    "PET": {"scope": "structure"},
    "PET of centers": {"scope": "center", "reduce": "sum"},
    "PET in chunks": {"scope": "structure", "chunk_size": 1},
}
places = pytest.mark.parametrize("name", PLACES)
POSITIONS = draw(5, 3, seed=3)
ALONG = draw(5, 3, seed=4)


def model(name: str) -> Symmetrizer:
    torch.manual_seed(0)
    outputs = {"energy": "0e"}
    net = (
        PointNet(outputs)
        if name == "PointNet"
        else PET(outputs, species=1, cutoff=2.5, width=8, hidden=8, heads=2, rounds=1)
    )
    return Symmetrizer(net.double(), **PLACES[name]).eval()


def energy_of(wrapped: Symmetrizer) -> Callable[[Tensor], Tensor]:
    species = torch.zeros(len(POSITIONS), dtype=torch.long)
    return lambda pos: wrapped(Data(pos=pos, z=species))["energy"].sum()


@places
def test_derivatives_are_those_of_autograd(name: str) -> None:
    energy = energy_of(model(name))
    leaf = POSITIONS.clone().requires_grad_()
    (slope,) = torch.autograd.grad(energy(leaf), leaf)
    curvature = torch.autograd.functional.hessian(energy, POSITIONS)
    along = torch.einsum("paqb,qb->pa", curvature, ALONG)
    found: dict[str, tuple[Any, Tensor]] = {
        "grad": (grad(energy)(POSITIONS), slope),
        "vjp": (vjp(energy, POSITIONS)[1](torch.ones(()).double())[0], slope),
        "jvp": (jvp(energy, (POSITIONS,), (ALONG,))[1], (slope * ALONG).sum()),
        "jacrev": (jacrev(energy)(POSITIONS), slope),
        "jacfwd": (jacfwd(energy)(POSITIONS), slope),
        "hessian": (hessian(energy)(POSITIONS), curvature),
        "jvp of grad": (jvp(grad(energy), (POSITIONS,), (ALONG,))[1], along),
    }
    for transform, (one, other) in found.items():
        scale = max(1.0, float(other.abs().max()))
        torch.testing.assert_close(
            one, other, atol=1e-12 * scale, rtol=0, msg=lambda said, t=transform: f"{t}: {said}"
        )


@places
def test_parameters_are_mapped_over(name: str) -> None:
    wrapped = model(name)
    species = torch.zeros(len(POSITIONS), dtype=torch.long)

    def energy(parameters: dict[str, Tensor], pos: Tensor) -> Tensor:
        data = Data(pos=pos, z=species)
        return functional_call(wrapped, parameters, (data,))["energy"].sum()

    parameters = dict(wrapped.named_parameters())
    several = {key: torch.stack([value, 1.1 * value]) for key, value in parameters.items()}
    found = vmap(energy, in_dims=(0, None))(several, POSITIONS)
    slopes = vmap(grad(energy, argnums=1), in_dims=(0, None))(several, POSITIONS)
    for number, factor in enumerate((1.0, 1.1)):
        one = {key: factor * value for key, value in parameters.items()}
        torch.testing.assert_close(found[number], energy(one, POSITIONS), atol=1e-12, rtol=1e-12)
        slope = grad(energy, argnums=1)(one, POSITIONS)
        torch.testing.assert_close(slopes[number], slope, atol=1e-12, rtol=1e-12)


@places
def test_a_map_over_positions_is_answered(name: str) -> None:
    with pytest.raises(ValueError, match=r"mapped over.*Batch.from_data_list\(clouds\)"):
        vmap(energy_of(model(name)))(torch.stack([POSITIONS, ALONG]))
