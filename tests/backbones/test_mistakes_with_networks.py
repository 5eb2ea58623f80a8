"""Mistakes of the first hour with the networks of this package: species, features, sizes."""

from collections.abc import Callable
from typing import Any

import jaxtyping
import pytest
import torch
from torch import nn
from torch_geometric.data import Batch, Data

import backbones
from backbones import (
    DGCNN,
    PET,
    ClassicDGCNN,
    ClassicPointNetPlusPlus,
    PointNet,
    PointNetPlusPlus,
)
from backbones.checkpoint import load, save
from symmetrize import Contract, HierarchicalFrames, Symmetrizer
from tests.common.point_networks import NETWORKS, takes_features


@pytest.fixture(autouse=True)
def as_users_run_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the checks of shapes and types that only tests switch on."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def cloud(seed: int = 0, points: int = 4, dtype: torch.dtype = torch.float32, **more: Any) -> Data:
    pos = torch.rand(points, 3, generator=torch.Generator().manual_seed(seed)).to(dtype)
    return Data(pos=pos, z=torch.tensor([8, 1, 1, 1])[:points], **more)


FOUR = Batch.from_data_list([cloud(seed, points) for seed, points in enumerate((3, 4, 2, 4))])


networks = pytest.mark.parametrize("name", backbones.__all__)
FEATURED = [name for name in NETWORKS if name in backbones.__all__ and takes_features(name)]


def made(name: str, outputs: Any = "0e", **options: Any) -> nn.Module:
    torch.manual_seed(0)
    kind, small = NETWORKS[name]
    return kind(outputs, **(small | {"species": [1, 8]} | options)).eval()


def test_every_network_is_tried():
    assert set(backbones.__all__) <= set(NETWORKS)


@networks
def test_species_are_named_or_counted(name):
    named, counted = made(name, species=[0, 1, 8]), made(name, species=9)
    data = FOUR.clone()
    assert named(data).shape == counted(data).shape == (4, 1)
    # one meaning: the values of z, so that naming all of them is counting them
    every = made(name, species=range(9))
    every.load_state_dict(counted.state_dict())
    assert torch.equal(every(data), counted(data))
    assert torch.equal(made(name, species=torch.arange(9))(data), counted(data))


@networks
def test_checkpoints_keep_how_species_were_given(name, tmp_path):
    for species in ([1, 8], 10):
        net = made(name, species=species)
        save(net, tmp_path)
        assert net.configuration["species"] == species
        assert torch.equal(load(tmp_path)(FOUR), net(FOUR))
        assert not any("species" in key for key in net.state_dict())


WRONG_SPECIES = {
    "negative": (-1, "`species` is -1 but must be a number of species, 1 or more"),
    "none": ([], "must name each value of `data.z` once"),
    "twice": ([1, 1], "must name each value of `data.z` once"),
    "symbols": (["H", "O"], r"`species` is \['H', 'O'\] but must hold integers: atomic numbers"),
    "a formula": ("H2O", "`species` is 'H2O' but must be atomic numbers"),
    "fractions": ([1.0, 8.0], "must hold integers"),
    "a fraction": (10.0, "`species` is 10.0 but must be atomic numbers"),
    "a negative one": ([-1, 8], "each at least 0"),
    "no species": (None, "`species` is None but must be atomic numbers"),
}


@networks
@pytest.mark.parametrize(("species", "message"), WRONG_SPECIES.values(), ids=WRONG_SPECIES)
def test_species_that_make_no_sense_are_refused(name, species, message):
    with pytest.raises((TypeError, ValueError), match=message):
        made(name, species=species)


WRONG_Z: dict[str, tuple[Any, str]] = {
    "missing": (
        None,
        r"the data has no species `z`, only .* but the network knows the species \[1",
    ),
    "float": (torch.ones(4), r"`z` is torch.float32 of shape \(4,\).*z.long\(\)"),
    "negative": (torch.tensor([1, -1, 8, 1]), r"`z` contains \[-1\] but the network knows"),
    "unknown": (torch.tensor([1, 6, 8, 99]), r"`z` contains \[6, 99\] but the network knows"),
    "one-hot": (torch.ones(4, 2).long(), r"`z` is torch.int64 of shape \(4, 2\) but must be one"),
    "a list": ([1, 8, 1, 1], r"`z` is a list but must be a tensor.*torch.as_tensor"),
    "too few": (torch.ones(3).long(), r"of shape \(3,\) but must be one integer for each of 4"),
}


@networks
@pytest.mark.parametrize(("z", "message"), WRONG_Z.values(), ids=WRONG_Z)
def test_wrong_species_of_points_are_named(name, z, message):
    data = cloud()
    data.z = z
    if z is None:
        del data.z
    with pytest.raises((TypeError, ValueError), match=message):
        made(name)(data)


@networks
def test_integers_of_any_kind_are_species(name):
    net = made(name)
    for dtype in (torch.int32, torch.uint8, torch.int16):
        data = cloud()
        data.z = data.z.to(dtype)
        assert torch.equal(net(data), net(cloud()))


WRONG_FEATURES: dict[str, tuple[Any, str]] = {
    "missing": (None, "the feature 'normals' is missing but must have 3 columns for each of the 4"),
    "width": (torch.ones(4, 2), r"has shape \(4, 2\) but must have 3 columns"),
    "one vector": (torch.ones(3), r"has shape \(3,\) but must have 3 columns for each of the 4"),
    "too few": (torch.ones(3, 3), r"has shape \(3, 3\) but must have 3 columns"),
    "a list": ([[0.0, 0.0, 1.0]] * 4, "is a list but must be a tensor"),
}


@pytest.mark.parametrize("name", FEATURED)
@pytest.mark.parametrize(("normals", "message"), WRONG_FEATURES.values(), ids=WRONG_FEATURES)
def test_wrong_features_are_named(name, normals, message):
    data = cloud() if normals is None else cloud(normals=normals)
    with pytest.raises((TypeError, ValueError), match=message):
        made(name, features={"normals": "1o"})(data)


@pytest.mark.parametrize("name", FEATURED)
@pytest.mark.parametrize("features", [["normals"], "normals"], ids=["list", "name"])
def test_features_say_how_they_turn(name, features):
    with pytest.raises(TypeError, match=r"`features` is .*features=\{'normals': '1o'\}"):
        made(name, features=features)


@networks
def test_outputs_must_be_said(name):
    make, small = NETWORKS[name]
    with pytest.raises(TypeError, match=rf"`outputs` is missing: {name} must know.*'energy': '0e'"):
        make(**small)
    with pytest.raises(TypeError, match="a Contract where a representation must stand"):
        made(name, outputs=Contract("0e"))
    with pytest.raises(ValueError, match="`outputs` is empty"):
        made(name, outputs=None)


@networks
def test_outputs_have_any_form_and_name(name, tmp_path):
    outputs = {"head": ("0e", {"values": "1o"}), "training": "0e", "left": None}
    net = made(name, outputs=outputs)
    found = net(FOUR)
    assert found["head"][1]["values"].shape == (4, 3)
    assert found["training"].shape == (4, 1)
    save(net, tmp_path)
    again = load(tmp_path)
    assert again.contract == net.contract
    assert torch.equal(again(FOUR)["head"][1]["values"], found["head"][1]["values"])
    model = Symmetrizer(net)
    assert model(FOUR)["head"][0].shape == (4, 1)


SIZES: dict[str, tuple[Callable[[], Any], str]] = {
    "a length in words": (
        lambda: PET("0e", [1], cutoff="5"),
        "`cutoff` is '5' but must be a length",
    ),
    "no length": (
        lambda: DGCNN("0e", cutoff=None),
        "`cutoff` is None but must be a positive number",
    ),
    "a width in words": (
        lambda: PointNet("0e", width="8"),
        "`width` is '8' but must be an integer",
    ),
    "half a feature": (lambda: PointNet("0e", width=8.5), "`width` is 8.5 but must be an integer"),
    "half a round": (lambda: DGCNN("0e", rounds=1.5), "`rounds` is 1.5 but must be an integer"),
    "fewer than no Gaussians": (
        lambda: DGCNN("0e", radial=-1),
        "`radial` is -1 but must be 0 or more",
    ),
    "no heads": (lambda: PET("0e", [1], heads=0), "`heads` is 0 but must be 1 or more"),
    "half a neighbor": (
        lambda: ClassicDGCNN("3x0e", neighbors=2.5),
        "`neighbors` is 2.5 but must be an integer",
    ),
    "one radius": (
        lambda: ClassicPointNetPlusPlus("3x0e", radii=0.2),
        "`radii` is 0.2 but must be a sequence of numbers",
    ),
    "one scale": (lambda: PointNetPlusPlus("0e", scales=0.5), "`scales` is 0.5 but must be a sequ"),
    "scales in words": (lambda: PointNetPlusPlus("0e", scales=["1"]), "must hold numbers"),
    "a cutoff of a contract": (lambda: Contract("0e", cutoff="5"), "`cutoff` is '5' but must be"),
    "rounds of a contract": (lambda: Contract("0e", rounds=None), "`rounds` is None but must be"),
    "smooth in words": (lambda: Contract("0e", smoothness="inf"), "`smoothness` is 'inf' but must"),
    "a preset for a cutoff": (
        lambda: HierarchicalFrames("lean"),
        "`cutoff` is 'lean'.*preset='lean'",
    ),
    "scores in a list": (
        lambda: HierarchicalFrames(species_scores=[1, 2]),
        r"`species_scores` is \[1, 2\] but must map",
    ),
}


@pytest.mark.parametrize(("make", "message"), SIZES.values(), ids=SIZES)
def test_sizes_that_are_none_are_named(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()


def test_sizes_may_be_numbers_of_numpy():
    import numpy as np

    assert PointNet("0e", width=np.int64(8), length=np.float32(2.0))(FOUR).shape == (4, 1)
    assert PointNetPlusPlus("0e", width=8, scales=np.array([0.5, 1.0]).tolist())(FOUR).shape == (
        4,
        1,
    )


DOUBLE, SINGLE = torch.float64, torch.float32


@networks
@pytest.mark.parametrize(
    ("of_net", "of_data", "message"),
    [
        (SINGLE, DOUBLE, r"`pos` is float64 but the parameters of {} are float32: convert the "
         r"network, model.double\(\), or the data, data.pos = data.pos.float\(\)"),
        (DOUBLE, SINGLE, r"`pos` is float32 but the parameters of {} are float64: convert the "
         r"network, model.float\(\), or the data, data.pos = data.pos.double\(\)"),
        (torch.float16, SINGLE, r"are float16: .*torch.autocast\(\"cpu\", torch.float16\)"),
        (torch.bfloat16, DOUBLE, r"are bfloat16: .*torch.autocast\(\"cpu\", torch.bfloat16\)"),
    ],
)  # fmt: skip
def test_precisions_that_do_not_fit_are_both_named(name, of_net, of_data, message):
    data = Batch.from_data_list([cloud(dtype=of_data)])
    # species in double precision would make double precision of what they are joined to
    options = {"species": 0} if name.startswith("Classic") else {}
    model = Symmetrizer(made(name, **options).to(of_net))
    with pytest.raises(RuntimeError, match=f"(?s){message.format(name)}") as caught:
        model(data)
    assert isinstance(caught.value.__cause__, RuntimeError)


@networks
def test_devices_that_do_not_fit_are_both_named(name):
    model = Symmetrizer(made(name).to("meta"))
    message = (
        rf"`pos` is on cpu but the parameters of {name} are on meta: move the network, "
        r"model.to\('cpu'\), or the data, data.to\('meta'\)"
    )
    with pytest.raises(RuntimeError, match=message):
        model(FOUR)
