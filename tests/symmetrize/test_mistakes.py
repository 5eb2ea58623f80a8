"""Mistakes of the first hour: each is answered with what was given, what must stand there, and how.

What a network raises for reasons of its own passes through unchanged.
"""

import functools
from collections.abc import Callable
from typing import Any

import jaxtyping
import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data
from torch_geometric.nn import SchNet

from backbones import PointNet
from backbones.adapters import Call, Dense, connect, offer_to_pyg
from equivariance_tests.model.calls import as_network
from symmetrize import Contract, Frames, HierarchicalFrames, Symmetrizer, per_point


@pytest.fixture(autouse=True)
def as_users_run_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the checks of shapes and types that only tests switch on."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def cloud(seed: int = 0, points: int = 4, dtype: torch.dtype = torch.float32, **more: Any) -> Data:
    pos = torch.rand(points, 3, generator=torch.Generator().manual_seed(seed)).to(dtype)
    return Data(pos=pos, z=torch.tensor([8, 1, 1, 1])[:points], **more)


FOUR = Batch.from_data_list([cloud(seed, points) for seed, points in enumerate((3, 4, 2, 4))])


def energies(data: Data) -> Tensor:
    rows = data.pos.exp().sum(1, keepdim=True)
    return rows.new_zeros(data.num_graphs, 1).index_add(0, data.batch, rows)


def wrapped(net: Any = energies, outputs: Any = "0e", **options: Any) -> Callable[[], Any]:
    return lambda: Symmetrizer(net, outputs, **options)


# --- arguments of the wrapper

ARGUMENTS: dict[str, tuple[Callable[[], Any], str]] = {
    "a class": (
        lambda: Symmetrizer(PointNet),
        r"the class PointNet but must be an instance of it.*Symmetrizer\(PointNet\(\.\.\.\)\)",
    ),
    "a file": (wrapped("model.pt"), "the network is the string 'model.pt' but must be a module"),
    "weights": (wrapped(nn.Linear(1, 1).state_dict()), "a OrderedDict.*load its weights"),
    "nothing": (wrapped(None), "the network is None but must be a module or a function"),
    "frames for a network": (wrapped(HierarchicalFrames()), "is a HierarchicalFrames but must be"),
    "a class of frames": (
        wrapped(frames=HierarchicalFrames),
        r"`frames` is the class HierarchicalFrames.*frames=HierarchicalFrames\(\.\.\.\)",
    ),
    "the base of frames": (wrapped(frames=Frames), "`frames` is the class Frames but"),
    "a name of frames": (
        wrapped(frames="hierarchical"),
        r"`frames` is the string 'hierarchical'.*frames=HierarchicalFrames\(cutoff=",
    ),
    "a preset": (wrapped(frames="lean"), r"the string 'lean'.*preset='lean'"),
    "a cutoff": (wrapped(frames=4.0), r"`frames` is 4.0.*HierarchicalFrames\(cutoff=4.0\)"),
    "a tensor of frames": (wrapped(frames=torch.eye(3)), "`frames` is a Tensor but"),
    "inputs in a list": (
        wrapped(inputs=["field"]),
        r"`inputs` is a list, \['field'\].*inputs=\{'field': '1o'\}",
    ),
    "one input": (wrapped(inputs="field"), r"the string 'field'.*inputs=\{'field': '1o'\}"),
    "inputs in a set": (wrapped(inputs={"field"}), r"`inputs` is a set.*\{'field': '1o'\}"),
    "inputs, a number": (wrapped(inputs=3), r"`inputs` is 3 but must map.*\{'field': '1o'\}"),
    "inputs of points": (
        wrapped(inputs={"field": per_point("1o")}),
        r"'field' as per_point\('1o'\) but inputs need no per_point or.*inputs=\{'field': '1o'\}",
    ),
    "inputs of a contract": (lambda: Contract("0e", inputs=["field"]), r"\{'field': '1o'\}"),
    "a seed": (wrapped(generator=0), r"`generator` is 0.*torch.Generator\(\).manual_seed\(0\)"),
    "a radius": (wrapped(prepare=5.0), r"`prepare` is 5.0.*connect\(radius=5.0\)"),
    "a class to prepare": (wrapped(prepare=type(connect(k=2))), "`prepare` is the class Connect"),
    "half a copy": (wrapped(chunk_size=2.0), "`chunk_size` is 2.0 but must be an integer"),
    "a yes": (wrapped(chunk_size=True), "`chunk_size` is True but must be an integer"),
    "memory in apples": (wrapped(memory="2 apples"), "'2 apples' but must be a positive number of"),
    "no memory": (wrapped(memory=0), "`memory` is 0 but must be a positive number of bytes"),
    "half a byte": (wrapped(memory=0.5), "`memory` is 0.5 but must be a positive number"),
    "chunks and memory": (wrapped(memory="1 GB", chunk_size=3), "one of them is enough"),
    "a bar": (wrapped(progress=True), "`progress` is True but must be a function of two numbers"),
    "a contract for outputs": (wrapped(outputs=Contract("0e")), "a Contract.*contract.outputs"),
    "another contract": (
        lambda: Symmetrizer(_with_contract(["0e"])),
        r"declares no contract, only a list of \[str\] as `contract`: say how",
    ),
}


def _with_contract(contract: Any) -> nn.Module:
    net = nn.Linear(1, 1)
    net.contract = contract
    return net


@pytest.mark.parametrize(("make", "message"), ARGUMENTS.values(), ids=ARGUMENTS)
def test_arguments_that_are_mistaken_are_named(make, message):
    with pytest.raises((TypeError, ValueError), match=f"(?s){message}"):
        make()


# --- how a network is called


class OfAttributes(nn.Module):
    def forward(self, z, pos, batch=None):
        return pos


class Between(nn.Module):
    def forward(self, pos, edge_attr=None, batch=None):
        return pos.mean(0)


class Two(nn.Module):
    def forward(self, x, positions):
        return positions


def of_keywords(*, pos, batch):
    return pos


class Callable_:
    def __call__(self, pos, batch):
        return pos


CALLS = {
    "function": (lambda z, pos, batch: pos, r"<lambda> takes \(z, pos, batch\)", "z, pos, batch"),
    "module": (OfAttributes(), r"OfAttributes takes \(z, pos, batch\)", "z, pos, batch"),
    "SchNet": (SchNet(8, 8, 1), "SchNet takes", "z, pos, batch"),
    "other names": (Two(), "Two takes", "x, positions"),
    "keywords": (of_keywords, "of_keywords takes", "pos=pos, batch=batch"),
    "object": (Callable_(), r"takes \(pos, batch\)", "pos, batch"),
    "partial": (functools.partial(of_keywords, pos=3), "takes", "pos=pos, batch=batch"),
    "nothing": (lambda: 3, r"takes \(\)", "pos"),
}


@pytest.mark.parametrize(("net", "said", "signature"), CALLS.values(), ids=CALLS)
def test_a_network_of_attributes_is_told_to_be_wrapped(net, said, signature):
    if isinstance(net, functools.partial):
        net = functools.partial(lambda z, pos, batch: pos, 3)
        signature = "pos, batch"
    proposed = rf"Call\(net, '{signature}'\).* that its arguments stand for, of .*'batch'.*'pos'"
    with pytest.raises(TypeError, match=f"(?s){said}.*{proposed}"):
        Symmetrizer(net, "0e")(FOUR)


def test_what_is_proposed_works():
    offer_to_pyg()
    net = SchNet(8, 8, 1)
    assert Symmetrizer(Call(net, "z, pos, batch"), "0e")(FOUR).shape == (4, 1)
    with pytest.raises(TypeError, match=r"Call\(net, 'z, pos, batch'\)"):
        Symmetrizer(net, "0e")(FOUR)
    # one argument is enough to be called with the data: what comes then is the network's
    with pytest.raises(AttributeError, match=r"Call\(net, \"pos, batch\"\)"):
        Symmetrizer(Between(), "0e")(FOUR)


class Faulty(nn.Module):
    """Raises inside, what Python raises for a call that does not fit."""

    def forward(self, data):
        return self.inner(data)

    def inner(self, data, more):
        return data.pos


class FaultyOfTwo(nn.Module):
    """As above, and called by a hook that makes two arguments of one."""

    def __init__(self):
        super().__init__()
        self.register_forward_pre_hook(lambda net, given: (given[0].z, given[0].pos))

    def forward(self, z, pos):
        return len(3)


@pytest.mark.parametrize(
    ("net", "error", "message"),
    [
        (Faulty(), TypeError, r"inner\(\) missing 1 required positional argument: 'more'$"),
        (FaultyOfTwo(), TypeError, r"^object of type 'int' has no len\(\)$"),
        (lambda data: data.pos @ torch.ones(4, 1), RuntimeError, "mat1 and mat2 shapes cannot be"),
        (lambda data: {}["energy"], KeyError, "^'energy'$"),
        (lambda data: 1 / 0, ZeroDivisionError, "division by zero"),
    ],
)
def test_errors_of_the_network_itself_pass_through(net, error, message):
    with pytest.raises(error, match=message) as caught:
        Symmetrizer(net, "0e")(FOUR)
    assert caught.value.__cause__ is None
    assert not hasattr(caught.value, "__notes__")


def test_a_hook_may_make_arguments_of_the_data():
    class OfTwo(nn.Module):
        def forward(self, z, pos):
            return pos * z[:, None]

    net = OfTwo()
    net.register_forward_pre_hook(lambda net, given: (given[0].z, given[0].pos))
    assert Symmetrizer(net, per_point("1o"))(FOUR).shape == FOUR.pos.shape


def test_a_network_of_tensors_gets_a_note():
    with pytest.raises(TypeError, match=r"(?s)must be Tensor, not DataBatch.*Call\(net, \"pos"):
        Symmetrizer(nn.Linear(3, 1), per_point("0e"))(FOUR)


ADAPTERS: dict[str, tuple[Callable[[], Any], str]] = {
    "a class to call": (lambda: Call(SchNet, "z, pos"), r"the class SchNet.*Call\(SchNet\("),
    "a dense class": (lambda: Dense(nn.Linear, "b n c -> b n o"), r"Dense\(Linear\(\.\.\.\)"),
    "no model": (lambda: Call(None, "pos"), "the model is a NoneType but must be"),
    "no signature": (
        lambda: Call(print, ""),
        "the signature is '' but must name.*'data' for the",
    ),
    "blanks": (lambda: Call(print, "  "), "the signature is '  ' but must name"),
    "only results": (lambda: Call(print, "-> energy"), "the signature is '-> energy' but must"),
    "None": (lambda: Call(print, None), "the signature is None but must name"),
    "no layout": (lambda: Dense(print, ""), "`layout` is '' but must lead"),
    "a layout of None": (lambda: Dense(print, None), "`layout` is a NoneType but must be a string"),
    "a list for a contract": (
        lambda: Call(print, "pos", ["0e"]),
        r"`contract` is a list but must be a Contract, as in Contract\(\['0e'\]\)",
    ),
    "a dict for a contract": (
        lambda: Dense(print, "b n c -> b o", contract={"energy": "0e"}),
        r"`contract` is a dict.*Contract\(\{'energy': '0e'\}\)",
    ),
    "no call to certify": (
        lambda: as_network(print, Contract("0e"), ""),
        "`call` is '' but must say how the model is called",
    ),
    "a list to certify": (
        lambda: as_network(print, Contract("0e"), ["pos"]),
        r"`call` is \['pos'\] but must be a string",
    ),
    "too few names": (
        lambda: Call(lambda d: (d, 1, 2), "data -> energy")(FOUR),
        r"a tuple of 3.*as in 'data -> energy, _, _'",
    ),
    "too many names": (
        lambda: Call(lambda d: [d], "data -> energy, forces")(FOUR),
        r"a list of 1.*as in 'data -> energy'",
    ),
    "names of a dict": (
        lambda: Call(lambda d: {"e": d, "f": d}, "data -> energy, _")(FOUR),
        r"a dict of \['e', 'f'\].*write no `->`.*'extra': None",
    ),
    "an argument more": (
        lambda: Call(lambda pos: pos, "pos, batch")(FOUR),
        r"(?s)takes 1 positional argument.*called as its signature 'pos, batch' says",
    ),
}


@pytest.mark.parametrize(("make", "message"), ADAPTERS.values(), ids=ADAPTERS)
def test_adapters_say_what_they_take(make, message):
    with pytest.raises((TypeError, ValueError), match=f"(?s){message}"):
        make()


@pytest.mark.parametrize(
    "layout", ["b n c -> b o", "b c n -> b o", "n c -> o", "b c n, b n -> b o"]
)
def test_dense_clouds_are_contiguous(layout):
    seen = []

    def model(clouds, exists=None):
        seen.append(clouds.view(-1).shape)
        return clouds.view(len(clouds), -1)[:, :1] if layout[0] == "b" else clouds.view(-1)[:1]

    Symmetrizer(Dense(model, layout), "0e")(FOUR)
    assert seen


def test_what_networks_are_called_with_is_contiguous():
    data = FOUR.clone()
    data.field, data.edge_index = torch.rand(4, 3, 3), torch.tensor([[0, 1], [1, 0]])

    def net(copies):
        for name, value in copies.to_dict().items():
            assert not isinstance(value, Tensor) or value.is_contiguous(), name
        return energies(copies)

    Symmetrizer(net, "0e", inputs={"field": "ij"})(data)


# --- rows


@pytest.mark.parametrize(
    ("net", "outputs", "message"),
    [
        (
            lambda d: d.pos.new_zeros(4, 1),
            "0e",
            r"\(4, 1\) for a batch of (\d+) copies of 4 struct",
        ),
        (lambda d: d.pos.new_zeros(1), "0e", "one row for each copy.*chunk_size=1"),
        (lambda d: d.pos.sum(), "0e", r"shape \(\) for a batch of.*num_graphs"),
        (lambda d: d.pos, "1o", r"it has rows of points: declare it as per_point"),
        (energies, per_point("0e"), "rows of structures: declare it without per_point"),
        (
            lambda d: {"a": energies(d), "b": d.pos},
            {"a": "0e", "b": "1o"},
            "for the output 'b' for a batch of",
        ),
    ],
)
def test_rows_are_counted_in_copies_of_structures(net, outputs, message):
    with pytest.raises(ValueError, match=message):
        Symmetrizer(net, outputs)(FOUR)
    center = Symmetrizer(net, outputs, scope="center", frames=HierarchicalFrames(2.0))
    with pytest.raises(ValueError, match=r"for a batch of \d+ copies of 13 environments"):
        center(FOUR)


# --- dtypes and devices

DOUBLE, SINGLE = torch.float64, torch.float32


def test_inside_of_an_adapter_it_is_the_model_that_is_named():
    model = Symmetrizer(Call(nn.Linear(3, 1), "pos"), per_point("0e"))
    with pytest.raises(RuntimeError, match="parameters of Linear are float32"):
        model(cloud(dtype=DOUBLE))


def test_another_input_may_be_the_one_that_does_not_fit():
    class OfField(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 1)

        def forward(self, data):
            return self.linear(data.field)

    model = Symmetrizer(OfField(), "0e", inputs={"field": "1o"})
    with pytest.raises(RuntimeError, match=r"`field` is float64 .*data.field = data.field.float"):
        model(cloud(field=torch.ones(1, 3).double()))


class Casting(nn.Module):
    """Knows what it wants, and returns what it has."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 1)

    def forward(self, data):
        return self.linear(data.pos.float())


def test_networks_that_convert_are_left_to_it():
    model = Symmetrizer(Casting(), per_point("0e"))
    found = model(cloud(dtype=DOUBLE))
    assert found.dtype == SINGLE
    torch.testing.assert_close(found, model(cloud()))


def test_other_errors_of_networks_that_convert_are_their_own():
    class Broken(Casting):
        def forward(self, data):
            raise RuntimeError("no more memory")

    with pytest.raises(RuntimeError, match=r"^no more memory$"):
        Symmetrizer(Broken(), "0e")(cloud(dtype=DOUBLE))


def test_half_precision_positions_are_refused():
    for dtype in (torch.float16, torch.bfloat16):
        with pytest.raises(TypeError, match="must be float32 or float64"):
            Symmetrizer(energies, "0e")(cloud(dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_outputs_are_averaged_in_single(dtype):
    def net(data):
        return energies(data).to(dtype)

    found = Symmetrizer(net, "0e")(FOUR)
    assert found.dtype == SINGLE
    torch.testing.assert_close(found, Symmetrizer(energies, "0e")(FOUR), rtol=1e-2, atol=0)
    # as many members as there are, all with the same value: their sum has no more error than one
    same = Symmetrizer(lambda data: torch.full((data.num_graphs, 1), 3.0, dtype=dtype), "0e")
    torch.testing.assert_close(same(FOUR), torch.full((4, 1), 3.0), rtol=1e-6, atol=0)
