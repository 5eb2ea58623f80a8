"""Checkpoints: what is saved comes back, and nothing in them is executed."""

import builtins
import copy
import functools
import gc
import inspect
import json
import pickle
import warnings

import pytest
import torch
from torch import nn
from torch_geometric.data import Batch, Data

import backbones
from backbones.adapters import Call, connect
from backbones.checkpoint import configured, load, save
from backbones.classic import Classifier
from symmetrize import (
    Frames,
    HierarchicalFrames,
    PairFrames,
    QuadratureFrames,
    RandomFrames,
    Symmetrizer,
    load_weights,
    per_point,
)
from symmetrize import frames as symmetrize_frames
from symmetrize.frames import __all__ as public
from tests.common.families import EXAMPLES

OUTPUTS = {"energy": "0e", "forces": per_point("1o"), "alpha": "ij=ji"}
CLASSES = "3x0e"
# Small ones, and arguments that are not their defaults; what is not named here has its defaults
ARGUMENTS = {
    "PET": {"species": [1, 8], "width": 8, "heads": 2, "cutoff": 4},
    "PointNet": {"width": 8},
    "PointNetPlusPlus": {"width": 8, "scales": [1]},
    "DGCNN": {"width": 8, "features": {"spin": "1e"}},
    "PointTransformer": {"cutoff": 3.0, "width": 8},
    "ClassicPointNet": {"width": 0.125, "align": True},
    "ClassicPointNetPlusPlus": {"width": 0.125},
    "ClassicDGCNN": {"width": 0.125},
    "ClassicPointTransformer": {"width": 0.125},
}


def make(name: str) -> nn.Module:
    network = getattr(backbones, name)
    outputs = CLASSES if issubclass(network, Classifier) else OUTPUTS
    return network(outputs, **ARGUMENTS.get(name, {}))


MADE = {name: functools.partial(make, name) for name in backbones.__all__}


def cloud() -> Batch:
    pos = torch.rand(6, 3, generator=torch.Generator().manual_seed(0)).double()
    data = Data(pos=pos, spin=pos.flip(0), z=torch.tensor([8, 1, 1, 8, 1, 1]))
    return Batch.from_data_list([data])


def test_every_network_is_tried():
    assert sorted(MADE) == sorted(backbones.__all__)
    assert set(ARGUMENTS) <= set(MADE)


def values(found):
    return found.values() if isinstance(found, dict) else [found]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", MADE)
def test_a_network_comes_back_as_it_was(tmp_path, name, dtype):
    torch.manual_seed(0)
    net = MADE[name]().to(dtype).eval()
    data = cloud()
    data.pos, data.spin = data.pos.to(dtype), data.spin.to(dtype)
    save(net, tmp_path / "net")
    back = load(tmp_path / "net")
    assert type(back) is type(net)
    assert not back.training
    assert back.contract == net.contract
    for there, here in zip(values(back(data)), values(net(data)), strict=True):
        assert there.dtype == dtype
        assert torch.equal(there, here)


def test_the_baseline_comes_along(tmp_path):
    net = MADE["PET"]().double()
    data = cloud()
    data.energy = torch.tensor([[-150.0]]).double()
    net.fit_baseline(data)
    save(net, tmp_path)
    torch.testing.assert_close(load(tmp_path)(cloud())["energy"], net(cloud())["energy"])


def test_the_configuration_can_be_read(tmp_path):
    save(MADE["PET"](), tmp_path)
    described = json.loads((tmp_path / "network.json").read_text())
    assert described["network"] == "PET"
    assert described["arguments"]["species"] == [1, 8]
    assert described["arguments"]["rounds"] == 2  # a default
    forces = described["arguments"]["outputs"]["forces"]
    assert forces == {"representation": "1o", "rows": "point"}
    assert {path.name for path in tmp_path.iterdir()} == {"network.json", "weights.safetensors"}


class Trap:
    """Would leave a trace if it were unpickled."""

    def __reduce__(self):
        return exec, ("import builtins; builtins.sprung = True",)


def test_pickles_are_not_opened(tmp_path):
    save(MADE["PET"](), tmp_path)
    torch.save(Trap(), tmp_path / "weights.pt")
    for name, kind in (("weights.safetensors", "a safetensors file"), ("network.json", "JSON")):
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(pickle.dumps(Trap()))
        with pytest.raises(ValueError, match=f"{name} is not {kind}"):
            load(tmp_path)
        (tmp_path / name).write_bytes(content)
    assert not hasattr(builtins, "sprung")
    load(tmp_path)  # what else lies there is not looked at


def test_mutant_a_loader_that_unpickles_springs_the_trap():
    try:
        pickle.loads(pickle.dumps(Trap()))
        assert hasattr(builtins, "sprung")
    finally:
        del builtins.sprung


def changed(folder, change) -> None:
    """Change the configuration in place."""
    path = folder / "network.json"
    described = json.loads(path.read_text())
    change(described)
    path.write_text(json.dumps(described))


# --- networks in a wrapper

FRAMES = {
    **EXAMPLES,
    "PairFrames with an auxiliary model": PairFrames(
        4.0, auxiliary=Symmetrizer(backbones.PointNet(OUTPUTS, width=4))
    ),
}


def test_every_family_and_every_setting_is_tried():
    tried = list(FRAMES.values())
    families = [getattr(symmetrize_frames, name) for name in public]
    for family in families:
        if not (isinstance(family, type) and issubclass(family, Frames)) or family is Frames:
            continue
        mine = [frames.settings() for frames in tried if type(frames) is family]
        for name, argument in inspect.signature(family).parameters.items():
            values = [settings[name] for settings in mine]
            assert any(repr(value) != repr(argument.default) for value in values), (family, name)


@pytest.mark.parametrize("name", FRAMES)
def test_a_symmetrizer_keeps_its_frames(tmp_path, name):
    torch.manual_seed(0)
    frames = FRAMES[name]
    model = Symmetrizer(backbones.PointNet(OUTPUTS, width=4), frames=frames).double().eval()
    save(model, tmp_path)
    torch.manual_seed(1)
    back = load(tmp_path)
    assert isinstance(back, Symmetrizer)
    assert repr(back.frames) == repr(frames)
    others = {"auxiliary", "selection"}
    for setting, value in frames.settings().items():
        assert setting in others or back.frames.settings()[setting] == value
    here, there = model(cloud()), back(cloud())
    assert all(torch.equal(there[output], here[output]) for output in OUTPUTS)
    if frames.auxiliary is not None:
        # on a line these frames have no say
        line = Data(pos=torch.tensor([[0.0, 0, 0], [0, 0, 1], [0, 0, 2.5]]).double())
        assert torch.equal(back(line)["energy"], model(line)["energy"])


SETTINGS = {
    "as usual": {},
    "rotations only": {"group": "SO(3)"},
    "centers": {"scope": "center", "reduce": "sum", "chunk_size": 7},
    "centers alone": {"scope": "center", "reduce": None, "outputs": {"energy": "0e"}},
    "training": {"training": "sampled"},
    "in memory": {"memory": "1 GiB"},
    "augmentation": {"training": "random", "chunk_size": 1},
    "inputs": {"inputs": {"spin": "1e"}},
    "an input that does not turn": {"inputs": {"spin": None}},
    "further positions": {"positions": ["probe"]},
    "one tensor": {"outputs": "0e"},
    "one tensor of points": {"outputs": per_point("1x0e+1x1o")},
    "about an axis": {"group": "O(2)", "axis": (0.0, 0.6, 0.8), "translations": "across"},
    "a name that is a field": {"outputs": {"turns": "0e", "per_point": per_point("i")}},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_symmetrizer_keeps_its_settings(tmp_path, name):
    settings = dict(SETTINGS[name])
    outputs = settings.pop("outputs", OUTPUTS)
    net = backbones.DGCNN(outputs, width=4, cutoff=2.0, features={"spin": "1e"})
    settings.setdefault("frames", HierarchicalFrames(6.0))
    model = Symmetrizer(net, **settings).double().train()
    save(model, tmp_path)
    back = load(tmp_path)
    assert back.contract == model.contract
    assert back.extra_repr() == model.extra_repr()
    assert back.inputs == model.inputs
    assert (back.train_with, back.chunk_size, back.memory, back.training) == (
        *(model.train_with, model.chunk_size, model.memory),
        False,
    )
    data = cloud()
    data.probe = data.pos + 1.0
    here, there = model.eval()(data), back(data)
    for one, other in zip(values(there), values(here), strict=True):
        assert torch.equal(one, other)


def test_every_setting_of_a_symmetrizer_is_tried():
    """What is added to it is kept, or told apart in ``symmetrize.plain.SPECIAL``."""
    tried = {name for settings in SETTINGS.values() for name in settings}
    known = {*tried, "net", "frames", "prepare", "generator", "progress"}
    assert set(inspect.signature(Symmetrizer).parameters) <= known


def test_a_wrapper_in_a_wrapper_comes_back(tmp_path):
    inner = Symmetrizer(MADE["PointNet"](), group="SO(3)", frames=QuadratureFrames(1))
    save(Symmetrizer(inner, frames=RandomFrames(2)), tmp_path)
    back = load(tmp_path)
    assert repr(back.frames) == "RandomFrames(number=2)"
    assert back.net.group == "SO(3)"


def test_the_network_of_a_symmetrizer_is_saved_by_itself(tmp_path):
    model = Symmetrizer(MADE["PointNet"]())
    save(model, tmp_path)
    save(model.net, tmp_path)  # the same folder: nothing of the wrapper stays
    assert type(load(tmp_path)) is backbones.PointNet


def test_checkpoints_of_the_first_format_are_read(tmp_path):
    net = MADE["PET"]()
    save(net, tmp_path)
    changed(tmp_path, lambda described: described.update(format=1))
    assert load(tmp_path).contract == net.contract


# --- networks of one's own


class Mine(nn.Module):
    """Two kinds of weights, a shared one, and what is not saved."""

    def __init__(self, width=4):
        super().__init__()
        self.first, self.second = nn.Linear(3, width), nn.Linear(3, width)
        self.second.weight = self.first.weight
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self.register_buffer("unit", torch.ones(()), persistent=False)

    def forward(self, data):
        rows = self.first(data.pos).tanh() + self.second(data.pos * self.unit)
        pooled = rows.new_zeros(data.num_graphs, rows.size(1))
        return pooled.index_add(0, data.batch, rows)[:, :1]


@configured
class Remembering(Mine):
    def __init__(self, width, kinds=(1, 8), outputs="0e"):
        super().__init__(width)
        self.kinds = kinds


def factory():
    return Mine(5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("wrapped", [False, True], ids=["bare", "wrapped"])
@pytest.mark.parametrize(
    ("net", "make"),
    [
        (lambda: Mine(), Mine),
        (factory, factory),
        (lambda: Mine(6), lambda: Mine(6)),
        (lambda: Remembering(7, kinds=(1,)), Remembering),
    ],
    ids=["class", "function", "lambda", "configured"],
)
def test_a_network_of_ones_own_is_made_by_its_user(tmp_path, net, make, wrapped, dtype):
    torch.manual_seed(0)
    model = net()
    if wrapped:
        model = Symmetrizer(model, "0e", frames=QuadratureFrames(1), group="SO(3)")
    model = model.to(dtype).eval()
    data = cloud()
    data.pos = data.pos.to(dtype)
    save(model, tmp_path)
    back = load(tmp_path, make)
    assert type(back) is type(model)
    assert torch.equal(back(data), model(data))
    core = back.net if wrapped else back
    assert core.second.weight is core.first.weight  # tied weights stay tied
    if make is Remembering:
        assert list(core.kinds) == [1]


def test_a_function_in_a_wrapper_needs_no_weights(tmp_path):
    def total(data):
        return data.pos.new_zeros(data.num_graphs, 3).index_add(0, data.batch, data.pos.exp())

    model = Symmetrizer(total, "1o")
    save(model, tmp_path)
    assert torch.equal(load(tmp_path, lambda: total)(cloud()), model(cloud()))


def test_an_adapter_is_made_by_its_user(tmp_path):
    def made():
        return Call(nn.Linear(3, 3, dtype=torch.float64), "pos")

    model = Symmetrizer(made(), per_point("1o"), prepare=connect(radius=2.0))
    save(model, tmp_path)
    with pytest.raises(ValueError, match=r"`prepare` of its own.*load\(folder, prepare="):
        load(tmp_path, made)
    back = load(tmp_path, made, prepare=connect(radius=2.0))
    assert torch.equal(back(cloud()), model(cloud()))


class OfMine(QuadratureFrames):
    """A family of one's own."""


def test_frames_of_ones_own_are_passed_again(tmp_path):
    save(Symmetrizer(MADE["PointNet"](), frames=OfMine(2)), tmp_path)
    with pytest.raises(ValueError, match=r"'?OfMine'?, no family.*load\(folder, frames=OfMine"):
        load(tmp_path)
    assert load(tmp_path, frames=OfMine(2)).frames.degree == 2


def test_an_auxiliary_model_of_ones_own_is_passed_again(tmp_path):
    def frames():
        return PairFrames(4.0, auxiliary=Mine())

    model = Symmetrizer(MADE["PointNet"](), frames=frames())
    save(model, tmp_path)
    with pytest.raises(ValueError, match=r"auxiliary model 'Mine'.*pass the frames again"):
        load(tmp_path)
    back = load(tmp_path, frames=frames())
    assert torch.equal(back.auxiliary.first.weight, model.auxiliary.first.weight)


class Timed(Symmetrizer):
    """A wrapper of one's own."""


def test_a_wrapper_of_ones_own_is_made_by_its_user(tmp_path):
    model = Timed(MADE["PointNet"]().double())
    save(model, tmp_path)
    with pytest.raises(ValueError, match="'Timed', which is not of this package"):
        load(tmp_path)
    back = load(tmp_path, lambda: Timed(MADE["PointNet"]()))
    assert torch.equal(back(cloud())["energy"], model(cloud())["energy"])


@pytest.mark.parametrize("wrap", [torch.compile, nn.DataParallel], ids=["compiled", "parallel"])
def test_of_wrappers_of_torch_the_model_is_saved(tmp_path, wrap):
    model = Symmetrizer(MADE["PointNet"]())
    save(wrap(model), tmp_path)
    back = load(tmp_path)
    assert type(back) is Symmetrizer
    assert back.state_dict().keys() == model.state_dict().keys()


class PET(backbones.PET):
    """Of the same name as one of this package, and another network."""


def test_a_name_alone_makes_no_network_of_this_package(tmp_path):
    save(PET(OUTPUTS, [1, 8], width=8, heads=2), tmp_path)
    with pytest.raises(ValueError, match="'PET', which is not of this package"):
        load(tmp_path)
    assert type(load(tmp_path, PET)) is PET


def test_dtypes_come_back_one_by_one(tmp_path):
    net = Mine()
    net.second.bias.data = net.second.bias.data.double()
    save(net, tmp_path)
    back = load(tmp_path, Mine)
    assert back.second.bias.dtype == torch.float64
    assert back.first.bias.dtype == back.unit.dtype == torch.float32
    assert back.steps.dtype == torch.long


# --- what is refused

REFUSED = {
    "a class path": (lambda d: d.update(network="os.system"), r"os\.system.*must hold one of"),
    "a module path": (lambda d: d.update(network="backbones.PET"), "must hold one of"),
    "a later format": (lambda d: d.update(format=99), "format 99 but this version reads 1 and 2"),
    "no format": (lambda d: d.pop("format"), "must hold an object with `format`"),
    "an unknown field": (lambda d: d.update(hook="print"), r"must have the fields.*'hook'"),
    "a missing field": (lambda d: d.pop("arguments"), "must have the fields"),
    "an unknown argument": (lambda d: d["arguments"].update(depth=3), r"'depth'.*does not fit"),
    "a missing argument": (lambda d: d["arguments"].pop("species"), "does not fit.*species"),
    "arguments in a list": (lambda d: d.update(arguments=[1]), "must hold arguments by name"),
    "an unknown claim": (
        lambda d: d["arguments"]["outputs"]["energy"].update(unit="eV"),
        "output 'energy' has no unit, but: representation, rows",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_understood_is_refused(tmp_path, name):
    change, said = REFUSED[name]
    save(MADE["PET"](), tmp_path)
    changed(tmp_path, change)
    with pytest.raises(ValueError, match=said):
        load(tmp_path)


REFUSED_AROUND = {
    "a family by its path": (
        lambda s: s["frames"].update(family="builtins.eval"),
        "'builtins.eval' but must be one of",
    ),
    "the base of all families": (
        lambda s: s["frames"].update(family="Frames"),
        "'Frames' but must be one of",
    ),
    "an unknown setting of frames": (
        lambda s: s["frames"]["settings"].update(sharpness=3),
        "'sharpness'.*does not fit",
    ),
    "an unknown setting": (lambda s: s.update(precision="half"), "must have the fields"),
    "a missing setting": (lambda s: s.pop("frames"), "must have the fields"),
    "a setting of no sense": (lambda s: s.update(chunk_size=0), "`chunk_size` is 0"),
    "settings in a list": (lambda s: s.update(frames=[]), "`frames` must have the fields"),
}


@pytest.mark.parametrize("name", REFUSED_AROUND)
def test_what_is_not_understood_around_a_network_is_refused(tmp_path, name):
    change, said = REFUSED_AROUND[name]
    save(Symmetrizer(MADE["PointNet"]()), tmp_path)
    changed(tmp_path, lambda described: change(described["symmetrizer"]))
    with pytest.raises(ValueError, match=said):
        load(tmp_path)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no network\.json in .*no folder"):
        load(tmp_path / "nowhere")
    torch.save(Mine().state_dict(), tmp_path / "mine.pt")
    with pytest.raises(FileNotFoundError, match=r"but \['mine.pt'\].*Pickles .* are not opened"):
        load(tmp_path, Mine)
    save(Mine(), tmp_path)
    (tmp_path / "weights.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"no weights\.safetensors"):
        load(tmp_path, Mine)


def test_a_factory_that_does_not_fit_is_named(tmp_path):
    save(Mine(4), tmp_path)
    with pytest.raises(ValueError, match=r"'Mine', which is not.*load\(folder, make=Mine\)"):
        load(tmp_path)
    with pytest.raises(ValueError, match=r"(?s)do not fit: make the network.*size mismatch"):
        load(tmp_path, lambda: Mine(5))
    with pytest.raises(TypeError, match=r"`make` is a Mine but must make one.*lambda"):
        load(tmp_path, Mine(4))
    with pytest.raises(ValueError, match="made a int but must make a torch module"):
        load(tmp_path, lambda: 3)
    with pytest.raises(ValueError, match="are for a Symmetrizer"):
        load(tmp_path, Mine, frames=RandomFrames(1))
    save(MADE["PET"](), tmp_path)
    with pytest.raises(ValueError, match="holds a PET of this package, which needs no `make`"):
        load(tmp_path, Mine)


class WithState(nn.Module):
    def get_extra_state(self):
        return {"epoch": 3}

    def set_extra_state(self, state):
        raise AssertionError


@configured
class OfObjects(nn.Module):
    def __init__(self, activation):
        super().__init__()


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (len, "a builtin_function_or_method cannot be saved"),
        (WithState(), "state '_extra_state' is a dict"),
        (OfObjects(nn.SiLU()), r"an argument that a checkpoint cannot hold \(.*SiLU"),
    ],
    ids=["function", "extra state", "objects"],
)
def test_what_cannot_be_loaded_is_not_saved(tmp_path, model, said):
    with pytest.raises(TypeError, match=said):
        save(model, tmp_path / "net")
    assert not (tmp_path / "net").exists()


def test_files_are_closed(tmp_path):
    """And may be overwritten while the model that was read from them is in use."""
    model = Symmetrizer(MADE["PointNet"]().double())
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        save(model, tmp_path)
        back = load(tmp_path)
        gc.collect()
    before = back(cloud())["energy"]
    (tmp_path / "weights.safetensors").write_bytes(b"")
    assert torch.equal(back(cloud())["energy"], before)


# --- state dicts


def twins(*wrappers):
    """A network and, for each wrapper, another of other weights in it."""
    made = [Mine() for _ in range(len(wrappers) + 1)]
    return made[0], *(wrap(net) for wrap, net in zip(wrappers, made[1:], strict=True))


def symmetrized(net):
    return Symmetrizer(net, "0e")


def with_auxiliary(net):
    return Symmetrizer(net, "0e", frames=PairFrames(4.0, auxiliary=Mine()))


def called(net):
    return Symmetrizer(Call(net, "data"), "0e")


WRAPPERS = {
    "wrapped": symmetrized,
    "with an auxiliary model": with_auxiliary,
    "in an adapter": called,
    "compiled": lambda net: torch.compile(symmetrized(net)),
    "bare": lambda net: net,
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_weights_of_bare_and_wrapped_networks_load_into_each_other(name):
    bare, model = twins(WRAPPERS[name])
    kept = {n: v.clone() for n, v in model.state_dict().items() if "auxiliary" in n}
    assert load_weights(model, bare.state_dict()) is model
    found = model.state_dict()
    for key, value in bare.state_dict().items():
        assert torch.equal(next(v for n, v in found.items() if n.endswith(key)), value)
    assert all(torch.equal(found[n], v) for n, v in kept.items())
    another = load_weights(Mine(), model.state_dict())
    assert all(torch.equal(v, bare.state_dict()[n]) for n, v in another.state_dict().items())


def test_as_torch_does_it_by_the_network():
    bare, model = twins(symmetrized)
    model.net.load_state_dict(bare.state_dict())
    bare.load_state_dict(model.net.state_dict())


def test_an_auxiliary_model_of_the_same_kind_is_not_the_network():
    """Both have every name: the shorter prefix is that of the network."""
    bare = Mine()
    frames = PairFrames(4.0, auxiliary=symmetrized(Mine()))
    model = load_weights(Symmetrizer(Mine(), "0e", frames=frames), bare.state_dict())
    assert torch.equal(model.net.first.weight, bare.first.weight)
    assert not torch.equal(model.auxiliary.net.first.weight, bare.first.weight)


def test_weights_of_another_network_are_refused():
    state = symmetrized(Mine()).state_dict()
    with pytest.raises(ValueError, match=r"has 'bias', 'weight' and the weights 'net\.first"):
        load_weights(nn.Linear(3, 4), state)
    part = {name: value for name, value in Mine().state_dict().items() if "first" in name}
    with pytest.raises(ValueError, match="do not fit Symmetrizer"):
        load_weights(symmetrized(Mine()), part)  # a part would leave the rest as it was
    del state["net.first.bias"]
    with pytest.raises(ValueError, match="do not fit Mine, bare or wrapped"):
        load_weights(Mine(), state)
    with pytest.raises(RuntimeError, match="size mismatch"):
        load_weights(symmetrized(Mine(5)), Mine(4).state_dict())


def test_a_copy_remembers_how_it_was_made(tmp_path):
    save(copy.deepcopy(MADE["PointNet"]()), tmp_path)
    assert type(load(tmp_path)) is backbones.PointNet
