"""Checkpoints: what is saved comes back, and nothing in them is executed."""

import json
import pickle

import pytest
import torch
from torch import nn
from torch_geometric.data import Batch, Data

import backbones
from backbones.checkpoint import load, save
from symmetrize import Symmetrizer, per_point

OUTPUTS = {"energy": "0e", "forces": per_point("1o"), "alpha": "ij=ji"}
CLASSES = "3x0e"
MADE = {
    "PET": lambda: backbones.PET(OUTPUTS, [1, 8], width=8, heads=2, cutoff=4),
    "PointNet": lambda: backbones.PointNet(OUTPUTS, width=8),
    "PointNetPlusPlus": lambda: backbones.PointNetPlusPlus(OUTPUTS, width=8, scales=[1]),
    "DGCNN": lambda: backbones.DGCNN(OUTPUTS, width=8, features={"spin": "1e"}),
    "PointTransformer": lambda: backbones.PointTransformer(OUTPUTS, 3.0, width=8),
    "ClassicPointNet": lambda: backbones.ClassicPointNet(CLASSES, width=0.125, align=True),
    "ClassicPointNetPlusPlus": lambda: backbones.ClassicPointNetPlusPlus(CLASSES, width=0.125),
    "ClassicDGCNN": lambda: backbones.ClassicDGCNN(CLASSES, width=0.125),
    "ClassicPointTransformer": lambda: backbones.ClassicPointTransformer(CLASSES, width=0.125),
}


def cloud() -> Batch:
    pos = torch.rand(6, 3, generator=torch.Generator().manual_seed(0)).double()
    data = Data(pos=pos, spin=pos.flip(0), z=torch.tensor([8, 1, 1, 8, 1, 1]))
    return Batch.from_data_list([data])


def test_every_network_is_tried():
    assert sorted(MADE) == sorted(backbones.__all__)


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
    assert described["arguments"]["outputs"]["forces"] == {"turns": "1o", "per_point": True}
    assert {path.name for path in tmp_path.iterdir()} == {"network.json", "weights.safetensors"}


class Trap:
    """Would leave a trace if it were unpickled."""

    def __reduce__(self):
        return exec, ("import builtins; builtins.sprung = True",)


def test_pickles_are_not_opened(tmp_path):
    save(MADE["PET"](), tmp_path)
    (tmp_path / "weights.safetensors").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(Exception, match=r"(?i)header|safetensor"):
        load(tmp_path)
    assert "sprung" not in dir(__builtins__)


def test_only_networks_of_this_package_can_be_named(tmp_path):
    save(MADE["PET"](), tmp_path)
    path = tmp_path / "network.json"
    path.write_text(path.read_text().replace('"PET"', '"os.system"'))
    with pytest.raises(ValueError, match=r"os\.system.*must hold one of"):
        load(tmp_path)
    path.write_text(path.read_text().replace('"format": 1', '"format": 99'))
    with pytest.raises(ValueError, match="has format 99 but this version reads 1"):
        load(tmp_path)


@pytest.mark.parametrize(
    "net", [nn.Linear(1, 1), Symmetrizer(MADE["PET"]())], ids=["other", "wrapped"]
)
def test_what_cannot_be_loaded_is_not_saved(tmp_path, net):
    with pytest.raises(TypeError, match="cannot be saved"):
        save(net, tmp_path)
