"""Log-probabilities: averaged as probabilities, so that what comes out is a distribution."""

import math
from typing import Any

import jaxtyping
import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from backbones import PET, ClassicPointNet, PointNet
from backbones.checkpoint import load, save
from symmetrize import (
    Contract,
    HierarchicalFrames,
    Output,
    PairFrames,
    Symmetrizer,
    log_probabilities,
    per_point,
)
from symmetrize.arrays.segments import segment_log_mean
from symmetrize.representation import as_representation
from tests.common.strata import CASES, TURNS, Shape, collate

CLASSES = 5
NAMES = ("generic", "cube", "line", "plane", "atom", "pair", "coincident", "empty")
# with several frames that differ
GENERIC = [Shape("generic", 8, seed).points() for seed in range(3)]
CLOUDS = collate([*GENERIC, *(CASES[name].points() for name in NAMES)])
MIX = torch.randn(3, CLASSES, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture
def as_users_run_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the checks of shapes and types that only tests switch on."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def of_points(data: Data) -> Tensor:
    """Logits of points that no rotation leaves as they are."""
    return 2 * torch.sin(2 * data.pos + 0.6) @ MIX.to(data.pos)


def of_structures(data: Data) -> Tensor:
    rows = of_points(data)
    return rows.new_zeros(data.num_graphs, CLASSES).index_add(0, data.batch, rows)


def log_softmax(data: Data) -> Tensor:
    return of_structures(data).log_softmax(-1)


def softmax(data: Data) -> Tensor:
    return log_softmax(data).exp()


def turned(data: Batch, name: str) -> Batch:
    there = data.clone()
    there.pos = data.pos @ TURNS[name].matrix().T.to(data.pos)
    return there


OPTIONS: dict[str, dict[str, Any]] = {
    "all at once": {},
    "in chunks": {"chunk_size": 3},
    "rotations": {"group": "SO(3)"},
    "lean": {"frames": HierarchicalFrames(preset="lean")},
    "centers": {"scope": "center", "frames": HierarchicalFrames(3.0)},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_they_are_the_logarithm_of_averaged_probabilities(options, dtype):
    data = CLOUDS.clone()
    data.pos = data.pos.to(dtype)
    found = Symmetrizer(log_softmax, log_probabilities("5x0e"), **options)(data)
    # the probabilities themselves take the plain average
    expected = Symmetrizer(softmax, "5x0e", **options)(data)
    # a hundred members, each rounded
    eps = 200 * torch.finfo(dtype).eps
    torch.testing.assert_close(found.exp(), expected, rtol=eps, atol=eps)
    torch.testing.assert_close(found.exp().sum(-1), torch.ones_like(found[:, 0]), rtol=eps, atol=0)


def test_mutant_averaged_logarithms_are_no_distribution():
    """Mutant of the test above: the plain average, which sums to less."""
    found = Symmetrizer(log_softmax, "5x0e")(CLOUDS)
    assert float(found.exp().sum(-1).min()) < 0.9


@pytest.mark.parametrize("name", ["generic", "improper"])
@pytest.mark.parametrize("scope", ["structure", "center"])
def test_they_are_invariant(name, scope):
    frames = HierarchicalFrames(3.0) if scope == "center" else None
    model = Symmetrizer(log_softmax, log_probabilities("5x0e"), scope=scope, frames=frames)
    torch.testing.assert_close(model(turned(CLOUDS, name)), model(CLOUDS), rtol=0, atol=1e-12)


@pytest.mark.parametrize("reduce", [None, "sum"])
def test_of_points(reduce):
    def net(data):
        return of_points(data).log_softmax(-1)

    options = {"scope": "center", "reduce": reduce, "frames": HierarchicalFrames(3.0)}
    for more in ({}, options):
        found = Symmetrizer(net, log_probabilities("5x0e", per_point=True), **more)(CLOUDS)
        expected = Symmetrizer(lambda d: net(d).exp(), per_point("5x0e"), **more)(CLOUDS)
        torch.testing.assert_close(found.exp(), expected, rtol=1e-12, atol=1e-14)


def test_with_an_auxiliary_model():
    # pair frames know nothing of a line: there the auxiliary model speaks, and near it, both do
    def auxiliary(data):
        return (of_structures(data) * 0).log_softmax(-1)

    data = collate([CASES["line"].points(), CASES["generic"].points()])
    frames = PairFrames(4.0, auxiliary=auxiliary)
    found = Symmetrizer(log_softmax, log_probabilities("5x0e"), frames=frames)(data)
    torch.testing.assert_close(found[0].exp(), torch.full((5,), 0.2).double())
    torch.testing.assert_close(found[1].exp().sum(), torch.ones(()).double())


def test_their_spread_is_that_of_probabilities():
    model = Symmetrizer(log_softmax, log_probabilities("5x0e"))
    expected = Symmetrizer(softmax, "5x0e").spread(CLOUDS)
    torch.testing.assert_close(model.spread(CLOUDS), expected)
    assert expected.max() > 0.01


def some_classes_are_out(data: Data) -> Tensor:
    """One always, another in some frames."""
    logits = of_structures(data)
    never = torch.tensor([False, False, True, False, False])
    sometimes = torch.zeros_like(logits, dtype=torch.bool)
    sometimes[:, 4] = logits[:, 0] > logits[:, 1]
    return logits.masked_fill(never | sometimes, -math.inf).log_softmax(-1)


def test_a_probability_of_zero_stays_one_and_gradients_are_finite():
    data = collate(GENERIC)
    data.pos.requires_grad_()
    found = Symmetrizer(some_classes_are_out, log_probabilities("5x0e"))(data)
    expected = Symmetrizer(lambda d: some_classes_are_out(d).exp(), "5x0e")(data)
    torch.testing.assert_close(found.exp(), expected)
    assert (found[:, 2] == -math.inf).all()
    there = [0, 1, 3, 4]
    assert torch.isfinite(found[:, there]).all()
    spread = Symmetrizer(some_classes_are_out, log_probabilities("5x0e")).spread(data)
    assert torch.isfinite(spread).all()
    assert (spread[:, 4] > 1e-6).all()  # it is out in some frames, and not in others
    (gradient,) = torch.autograd.grad(found[:, there].sum(), data.pos, create_graph=True)
    assert torch.isfinite(gradient).all()
    (second,) = torch.autograd.grad(gradient.square().sum(), data.pos)
    assert torch.isfinite(second).all()


def test_a_loss_of_them_trains():
    torch.manual_seed(0)
    net = ClassicPointNet(log_probabilities("5x0e"), width=0.125).eval()
    model = Symmetrizer(net)
    data = collate([CASES["generic"].points(), CASES["cube"].points()])
    data.pos = data.pos.float()
    loss = torch.nn.functional.nll_loss(model(data), torch.tensor([1, 3]))
    loss.backward()
    assert all(
        torch.isfinite(each.grad).all() for each in net.parameters() if each.grad is not None
    )
    for which in ("sampled", "random"):
        found = Symmetrizer(net, training=which).train()
        found.net.eval()
        torch.testing.assert_close(found(data).exp().sum(-1), torch.ones(2))


@pytest.mark.parametrize("size", [0.0, 800.0, -800.0])
def test_means_of_large_logarithms_neither_overflow_nor_vanish(size):
    values = torch.tensor([[0.0, -3.0], [-1.0, -math.inf], [-2.0, -4.0]], dtype=torch.float64)
    values.requires_grad_()
    weights = torch.tensor([0.25, 0.75, 1.0], dtype=torch.float64, requires_grad=True)
    index = torch.tensor([0, 0, 2])
    found = segment_log_mean(values + size, weights, index, 4)
    expected = torch.full((4, 2), -math.inf, dtype=torch.float64)
    expected[0, 0] = math.log(0.25 + 0.75 * math.exp(-1)) + size
    expected[0, 1] = math.log(0.25) - 3 + size
    expected[2] = torch.tensor([-2.0, -4.0]) + size
    torch.testing.assert_close(found, expected)
    found[[0, 2]].sum().backward()
    assert torch.isfinite(values.grad).all()
    assert torch.isfinite(weights.grad).all()
    broken = segment_log_mean(torch.tensor([[math.nan]]), torch.ones(1), index[:1], 1)
    assert torch.isnan(broken).all()


def test_gradients_are_those_of_the_formula():
    values = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(4, dtype=torch.float64, requires_grad=True)
    index = torch.tensor([0, 1, 1, 0])
    assert torch.autograd.gradcheck(
        lambda v, w: segment_log_mean(v, w, index, 2), (values, weights)
    )


@pytest.mark.parametrize("make", [
    lambda out: PointNet(out, width=8),
    lambda out: ClassicPointNet(out, width=0.125).eval(),
    lambda out: PET(out, species=[0], width=8, heads=2),
], ids=["PointNet", "ClassicPointNet", "PET"])  # fmt: skip
def test_networks_of_this_package_return_what_they_declare(make, tmp_path):
    torch.manual_seed(0)
    net = make({"kind": log_probabilities("5x0e"), "density": log_probabilities("0e")})
    data = collate([CASES["generic"].points(), CASES["cube"].points()])
    data.pos = data.pos.float()
    found = net(data)
    torch.testing.assert_close(found["kind"].exp().sum(-1), torch.ones(2))
    assert found["density"].abs().min() > 0  # one number is normalized over nothing
    model = Symmetrizer(net)
    torch.testing.assert_close(model(data)["kind"].exp().sum(-1), torch.ones(2))
    assert model.contract.outputs["kind"].average == "log"
    save(net, tmp_path)
    assert load(tmp_path).contract == net.contract


BAD: dict[str, tuple[Any, str]] = {
    "vector": (lambda: log_probabilities("1o"), "are declared as '1o' but no rotation"),
    "pseudoscalar": (lambda: log_probabilities("0o"), "are declared as '0o' but"),
    "some": (lambda: log_probabilities("3x0e + 1o"), "declare scalars, as in log_probabilities"),
    "tensor": (lambda: log_probabilities("ij=ji"), "are declared as 'ij=ji'"),
    "another average": (
        lambda: Output(as_representation("0e"), average="median"),
        "`average` is 'median' but must be one of 'mean', 'log'",
    ),
    "a sum over centers": (
        lambda: Symmetrizer(
            log_softmax,
            log_probabilities("5x0e"),
            scope="center",
            frames=HierarchicalFrames(3.0),
            reduce="sum",
        ),
        "`reduce` is 'sum' but 'output' holds log-probabilities.*declare logits, '5x0e'",
    ),
    "a mean over centers": (
        lambda: Symmetrizer(
            log_softmax,
            {"kind": log_probabilities("5x0e")},
            scope="center",
            frames=HierarchicalFrames(3.0),
            reduce="mean",
        ),
        "`reduce` is 'mean' but 'kind' holds log-probabilities",
    ),
}


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize(("make", "message"), BAD.values(), ids=BAD)
def test_what_has_no_distribution_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_contracts_read_them_as_plain_values():
    contract = Contract({"kind": log_probabilities("5x0e")})
    assert contract.outputs["kind"].representation == as_representation("5x0e")
    assert contract.outputs.named({"kind": torch.zeros(2, 5)})["kind"].shape == (2, 5)
    assert "log_probabilities('5x0e')" in str(contract.outputs["kind"])
