"""Chunks: the same numbers and derivatives from several calls, in the memory of one."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch_geometric.data import Batch, Data

from symmetrize import HierarchicalFrames, Symmetrizer, chunks, symmetrizer
from symmetrize.arrays.segments import Groups
from symmetrize.data.rows import Layout
from tests.common.laws import draw

# Shapes are checked in other tests: here they would take most of the time
pytestmark = pytest.mark.usefixtures("unchecked_shapes")

scopes = pytest.mark.parametrize("scope", ["structure", "center"])


class Deep(nn.Module):
    """Layers of points and a sum over them: it keeps many activations, and knows no symmetry."""

    def __init__(self, width: int = 16, statistics: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(3, width)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(4))
        self.norm = nn.BatchNorm1d(width) if statistics else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.double()

    def forward(self, data: Data) -> Tensor:
        x = self.first(data.pos)
        for layer in self.layers:
            x = self.dropout(layer(x).tanh())
        x = self.norm(x)[:, :1]
        fade = data.get("envelope", torch.ones(len(x)))
        return x.new_zeros(data.num_graphs, 1).index_add(0, data.batch, fade[:, None] * x)


def clouds(number: int, points: int = 7) -> Batch:
    return Batch.from_data_list([Data(pos=draw(points, 3, seed=k)) for k in range(number)])


def model(scope: str, net: nn.Module | None = None, **settings: Any) -> Symmetrizer:
    frames = HierarchicalFrames(3.0)
    return Symmetrizer(net or Deep(), "0e", frames=frames, scope=scope, **settings)


def derivatives(wrapped: Symmetrizer, data: Data) -> list[Tensor]:
    """Values, gradients, those of a loss on gradients, and those of parameters."""
    data = data.clone()
    data.pos.requires_grad_()
    values = wrapped(data)
    (slopes,) = torch.autograd.grad(values.square().sum(), data.pos, create_graph=True)
    leaves = [data.pos, *wrapped.parameters()]
    return [values, slopes, *torch.autograd.grad(slopes.square().sum(), leaves)]


@scopes
@pytest.mark.parametrize("settings", [{"chunk_size": 5}, {"memory": "100 kB"}], ids=str)
def test_chunks_change_no_derivative(scope: str, settings: dict[str, Any]) -> None:
    data = clouds(6)
    whole, parts = (derivatives(model(scope, **s), data) for s in ({}, settings))
    for one, other in zip(parts, whole, strict=True):
        scale = max(1.0, float(other.detach().abs().max()))
        torch.testing.assert_close(one, other, atol=1e-13 * scale, rtol=0)


def peak(wrapped: Symmetrizer, data: Data) -> float:
    """Bytes that values and their gradient take."""
    data = data.clone()
    data.pos.requires_grad_()
    with chunks.peak_memory(torch.device("cpu")) as found:
        wrapped(data).sum().backward()
    return found[0]


@scopes
def test_memory_is_that_of_one_call(scope: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = clouds(40 if scope == "structure" else 12, points=12)
    deep = Deep(width=128)

    def share() -> float:
        return peak(model(scope, deep, chunk_size=20), data) / peak(model(scope, deep), data)

    assert share() < (0.4 if scope == "structure" else 0.15)
    # without making them once more, all activations are kept
    monkeypatch.setattr(symmetrizer, "recomputed", lambda _, call: call())
    assert share() > 0.7


@pytest.mark.parametrize(("scope", "memory"), [("structure", 2_000_000), ("center", 1_000_000)])
def test_an_amount_of_memory_is_kept(scope: str, memory: int) -> None:
    data = clouds(60, points=12)
    with torch.no_grad():
        for settings in ({}, {"memory": memory}):
            net = Deep(width=64)
            taken: list[float] = []

            def forward(copies: Data, net: nn.Module = net, taken: list[float] = taken) -> Tensor:
                with chunks.peak_memory(torch.device("cpu")) as found:
                    returned = net(copies)
                taken.append(found[0])
                return returned

            model(scope, forward, **settings)(data)
            if settings:
                # and it is made use of, once it is known how much there is
                assert max(taken) <= memory
                assert max(taken) > memory / 4
                assert len(taken) > 3
            else:
                assert max(taken) > memory


@pytest.mark.parametrize(("scope", "few", "many"), [("structure", 8, 64), ("center", 3, 18)])
def test_work_is_linear_in_the_number_of_structures(
    scope: str, few: int, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrapped = model(scope, Deep(width=4), chunk_size=4)

    def work(number: int) -> float:
        """Numbers that operations return, for each of some structures again and again."""
        data = Batch.from_data_list(clouds(4).to_data_list() * number)
        with torch.no_grad(), _Counted() as counted:
            wrapped(data)
        return counted.numbers / number

    work(1)  # what is made once
    assert work(many) < 1.05 * work(few)
    # rows that are sorted for every call
    monkeypatch.setattr(Layout, "groups", lambda self, _, owner: Groups.of(owner, self.size))
    assert work(many) > 1.15 * work(few)


class _Counted(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        returned = func(*args, **(kwargs or {}))
        self.numbers += sum(t.numel() for t in tree_iter(returned) if isinstance(t, Tensor))
        return returned


def test_statistics_are_taken_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def statistics() -> list[Tensor]:
        net = Deep(statistics=True)
        wrapped = model("structure", net, chunk_size=5).train()
        derivatives(wrapped, clouds(6))
        return [buffer.clone() for buffer in net.buffers()]

    found = statistics()
    called = int(found[-1])
    assert called > 1
    monkeypatch.setattr(symmetrizer, "recomputed", lambda _, call: call())
    for one, other in zip(found, statistics(), strict=True):
        assert torch.equal(one, other)
    monkeypatch.setattr(symmetrizer, "recomputed", chunks.recomputed)
    monkeypatch.setattr(chunks._Untouched, "__exit__", lambda *_: None)
    assert int(statistics()[-1]) > called


def test_random_numbers_are_drawn_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn() -> list[Tensor]:
        wrapped = model("structure", Deep(dropout=0.5), chunk_size=5).train()
        torch.manual_seed(1)
        return derivatives(wrapped, clouds(6))

    found = drawn()
    monkeypatch.setattr(symmetrizer, "recomputed", lambda _, call: call())
    for one, other in zip(found, drawn(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-13, rtol=1e-12)


@scopes
def test_progress_is_told(scope: str) -> None:
    told: list[tuple[int, int]] = []
    wrapped = model(scope, chunk_size=4, progress=lambda done, total: told.append((done, total)))
    wrapped(clouds(5))
    done, total = zip(*told, strict=True)
    assert len(told) > 1
    assert list(done) == sorted(set(done))
    assert max(b - a for a, b in zip((0, *done), done, strict=False)) <= 4
    assert set(total) == {done[-1]}
