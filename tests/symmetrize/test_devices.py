"""Devices: results are where the data is, without double precision and deterministic, too."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.data.data import BaseData

from symmetrize import HierarchicalFrames, Symmetrizer
from symmetrize.data import home
from tests.common.laws import OUTPUTS, draw, named
from tests.common.networks import DeepSet

scopes = pytest.mark.parametrize("scope", ["structure", "center"])


def clouds(dtype: torch.dtype) -> Batch:
    shapes = [draw(6, 3, seed=k) for k in range(3)]
    # a line and a plane take the other paths
    shapes += [shapes[0] * torch.tensor([1.0, 0, 0]), shapes[1] * torch.tensor([1.0, 1, 0])]
    return Batch.from_data_list([Data(pos=shape.to(dtype)) for shape in shapes])


def model(scope: str, net: torch.nn.Module | None = None) -> Symmetrizer:
    net = net or DeepSet(OUTPUTS, fade=3.0 if scope == "center" else None)
    return Symmetrizer(net, OUTPUTS, frames=HierarchicalFrames(3.0), scope=scope, chunk_size=20)


def found(wrapped: Symmetrizer, data: Data) -> list[Tensor]:
    """Values, and the gradient of their sum."""
    data = data.clone()
    data.pos.requires_grad_()
    values = list(named(wrapped(data)).values())
    (slope,) = torch.autograd.grad(sum(v.sin().sum() for v in values), data.pos)
    return [*values, slope]


@scopes
def test_a_device_without_double_precision(scope: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU plays it: only what the network is called with, and returns, is ever there."""
    data = clouds(torch.float32)
    net = DeepSet(OUTPUTS, fade=3.0 if scope == "center" else None)
    usual = found(model(scope, net), data)
    there: list[torch.dtype] = []
    moved = BaseData.to

    def to(self: BaseData, device: torch.device, *given: object, **more: object) -> Batch:
        there.extend(v.dtype for v in self.to_dict().values() if isinstance(v, Tensor))
        return moved(self, device, *given, **more)

    monkeypatch.setattr(home, "SINGLE_ONLY", ("cpu",))
    monkeypatch.setattr(BaseData, "to", to)
    for one, other in zip(found(model(scope, net), data), usual, strict=True):
        assert torch.equal(one, other)
    assert torch.float32 in there
    assert torch.float64 not in there
    assert model(scope, net).ensemble(data).rotations.dtype == torch.float32


@pytest.fixture
def _deterministic() -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(before)


@scopes
@pytest.mark.usefixtures("_deterministic")
def test_deterministic_algorithms_suffice(scope: str) -> None:
    data = clouds(torch.float64)
    first, second = (found(model(scope), data) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one, other)


@scopes
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_gives_the_same(scope: str, dtype: torch.dtype) -> None:
    data = clouds(dtype)
    here = found(model(scope), data)
    there = found(model(scope), data.to("cuda"))
    for one, other in zip(here, there, strict=True):
        assert other.is_cuda
        scale = max(1.0, float(one.detach().abs().max()))
        tolerance = 1e-11 if dtype == torch.float64 else 2e-4
        torch.testing.assert_close(other.cpu(), one, atol=tolerance * scale, rtol=0)
