"""Frames that the network cannot tell apart share one evaluation, and nothing changes."""

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from symmetrize import HierarchicalFrames, Symmetrizer, per_point
from symmetrize.data import alike as module
from tests.common.laws import SPEC, configured, draw
from tests.common.networks import DeepSet
from tests.common.strata import CASES

# Shapes are checked in other tests: here they would take most of the time
pytestmark = pytest.mark.usefixtures("unchecked_shapes")

FLAT = ("pair", "line", "plane", "polygon")
SOLID = ("generic", "tetrahedron", "cube")


def all_of_them(source: object, index: Tensor, *_: object) -> tuple[Tensor, Tensor]:
    every = torch.arange(len(index))
    return every, every


def batch_of(names: tuple[str, ...], dtype: torch.dtype = torch.float64) -> Batch:
    return Batch.from_data_list([Data(pos=CASES[name].points().to(dtype)) for name in names])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("chunk_size", [None, 1, 3])
def test_sharing_changes_nothing(
    dtype: torch.dtype, chunk_size: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = DeepSet({"whole": SPEC, "each": SPEC}, per_point=["each"])
    outputs = {"whole": SPEC, "each": per_point(SPEC)}
    model = Symmetrizer(net, outputs, chunk_size=chunk_size)
    data = batch_of(FLAT + SOLID, dtype)
    shared, spread = model(data), model.spread(data)
    monkeypatch.setattr("symmetrize.symmetrizer.alike", all_of_them)
    eps = torch.finfo(dtype).eps
    for name, values in model(data).items():
        torch.testing.assert_close(shared[name], values, rtol=0, atol=200 * eps)
    for name, values in model.spread(data).items():
        # a root of squares that are rounding
        torch.testing.assert_close(spread[name], values, rtol=0, atol=200 * eps**0.5)


def test_as_many_evaluations_as_inputs_that_differ() -> None:
    model = configured("structure", "O(3)", outputs=SPEC)
    for name in FLAT + SOLID:
        data = batch_of((name,))
        frames = model.ensemble(data).rotations
        inputs = data.pos - data.pos.mean(0) @ torch.eye(3).double()
        turned = inputs @ frames
        different = (turned[:, None] - turned[None]).abs().amax((2, 3)) > 1e-9
        # those that differ from all before them
        expected = int((different | ~torch.ones_like(different).tril(-1)).all(1).sum())
        found = int(model.evaluations(data))
        assert found == expected, name
        assert (found < len(frames)) == (name in FLAT), name
        net = DeepSet(SPEC)
        configured("structure", "O(3)", outputs=SPEC, net=net)(data)
        assert net.calls == [found]


def test_what_carries_derivatives_is_not_shared() -> None:
    # where a plane bends, its reflection bends the other way: gradients of one are not enough
    model = configured("structure", "O(3)", outputs=SPEC)
    data = batch_of(("plane",))
    assert int(model.evaluations(data)) < len(model.ensemble(data))
    data.pos.requires_grad_()
    assert int(model.evaluations(data)) == len(model.ensemble(data))
    velocity = draw(*data.pos.shape)
    with torch.autograd.forward_ad.dual_level():
        dual = Data(pos=torch.autograd.forward_ad.make_dual(data.pos.detach(), velocity))
        assert int(model.evaluations(dual)) == len(model.ensemble(dual))
        _, tangent = torch.autograd.forward_ad.unpack_dual(model(dual))
    step = 1e-6 * velocity
    there, here = (model(Data(pos=data.pos.detach() + sign * step)) for sign in (1, -1))
    torch.testing.assert_close(tangent, (there - here) / 2e-6, rtol=1e-6, atol=1e-7)


def test_fields_tell_reflections_apart() -> None:
    net = DeepSet(SPEC, structures=["field"])
    model = configured("structure", "O(3)", outputs=SPEC, net=net, inputs={"field": "1o"})
    data = batch_of(("plane",))
    data.field = draw(1, 3)
    assert int(model.evaluations(data)) == len(model.ensemble(data))


def test_cells_of_what_is_not_periodic_change_nothing() -> None:
    # in a batch with a crystal every structure has a cell, of zeros where there is none
    net = DeepSet(SPEC)
    model = Symmetrizer(net, SPEC, frames=HierarchicalFrames(cutoff=2.0))
    crystal = Data(
        pos=draw(3, 3), cell=3 * torch.eye(3).double()[None], pbc=torch.ones(1, 3).bool()
    )
    parts = [Data(pos=CASES[name].points()) for name in FLAT]
    for one in parts:
        one.cell, one.pbc = torch.zeros(1, 3, 3).double(), torch.zeros(1, 3).bool()
    expected = [int(model.evaluations(one)) for one in (*(batch_of((n,)) for n in FLAT), crystal)]
    data = Batch.from_data_list([*parts, crystal])
    net.calls.clear()
    right = model(data)
    assert model.evaluations(data).tolist() == expected
    assert sum(net.calls) == sum(expected)
    for row, name in zip(right[: len(FLAT)], FLAT, strict=True):
        torch.testing.assert_close(row, model(batch_of((name,)))[0], rtol=0, atol=1e-13)
    data.cell.requires_grad_()
    assert model.evaluations(data).sum() > sum(expected)


def test_a_mutant_that_overlooks_fields_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    net = DeepSet(SPEC, structures=["field"])
    model = configured("structure", "O(3)", outputs=SPEC, net=net, inputs={"field": "1o"})
    data = batch_of(("plane", "polygon"))
    data.field = torch.stack([draw(3), torch.zeros(3).double()])
    right = model(data)
    assert int(model.evaluations(data)[0]) == int((model.ensemble(data).index == 0).sum())
    assert int(model.evaluations(data)[1]) < int((model.ensemble(data).index == 1).sum())
    monkeypatch.setattr(module, "_turns_further", lambda source: torch.zeros(2).bool())
    assert (model(data)[0] - right[0]).abs().max() > 1e-6


def test_parameters_have_their_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = torch.nn.Linear(3, 9).double()

    def net(data: Data) -> Tensor:
        values = layer(data.pos).tanh()
        return values.new_zeros(data.num_graphs, 9).index_add(0, data.batch, values)

    def gradient() -> Tensor:
        model = Symmetrizer(net, "0e + 1o + 2e", frames=HierarchicalFrames())
        return torch.autograd.grad(model(batch_of(FLAT)).square().sum(), layer.weight)[0]

    shared = gradient()
    monkeypatch.setattr("symmetrize.symmetrizer.alike", all_of_them)
    torch.testing.assert_close(shared, gradient(), rtol=1e-12, atol=1e-13)


def test_a_mutant_that_looks_at_too_little_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    model = configured("structure", "O(3)", outputs=SPEC)
    data = batch_of(SOLID)
    right = model(data)
    monkeypatch.setattr(module, "SOLID", torch.inf)
    monkeypatch.setattr(module, "ULPS_OF_COMBINATIONS", 2.0**60)
    assert (model(data) - right).abs().max() > 1e-6
