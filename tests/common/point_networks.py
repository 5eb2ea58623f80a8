"""Small networks on point clouds, with weights of their own seed, as several tests ask them.

Weights are drawn larger than at the start of a training, so that outputs change by about one over a
cloud, and laws are not met for lack of anything that could break them.
"""

import inspect
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from backbones import (
    DGCNN,
    PET,
    ClassicDGCNN,
    ClassicPointNet,
    ClassicPointNetPlusPlus,
    ClassicPointTransformer,
    PointNet,
    PointNetPlusPlus,
    PointTransformer,
)
from backbones.local import LocalNetwork
from symmetrize import HierarchicalFrames, Symmetrizer
from tests.common.laws import elements
from tests.common.strata import CUTOFF, TURNS

SMALL = {"width": 0.125}
# two rounds that see as far as the environments of the shapes
NEAR = {"width": 8, "cutoff": CUTOFF / 2}
# as many species as the others know
POINT_EDGE = {"species": range(100), "heads": 2, "cutoff_width": 1.0}
# Each network of the package by its name, small; further settings of one after a comma
NETWORKS: dict[str, tuple[type[nn.Module], dict[str, Any]]] = {
    "PointNet": (PointNet, {"width": 16, "length": 0.5}),
    "PointNetPlusPlus": (PointNetPlusPlus, NEAR),
    "DGCNN": (DGCNN, NEAR),
    "PointTransformer": (PointTransformer, NEAR),
    "PET": (PET, NEAR | POINT_EDGE),
    "ClassicPointNet": (ClassicPointNet, SMALL),
    "ClassicPointNet, aligned": (ClassicPointNet, SMALL | {"align": True}),
    # fewer neighbors than there are points, so that there is a choice to make
    "ClassicPointNetPlusPlus": (ClassicPointNetPlusPlus, SMALL | {"radii": (1.0, 2.0)}),
    "ClassicDGCNN": (ClassicDGCNN, SMALL | {"neighbors": 3}),
    "ClassicPointTransformer": (ClassicPointTransformer, SMALL | {"neighbors": 3}),
}
LOCAL = ["PointNetPlusPlus", "DGCNN", "PointTransformer", "PET"]
SMOOTH_NETWORKS = ["PointNet", *LOCAL]
CLASSIC = [name for name in NETWORKS if name.startswith("Classic")]

networks = pytest.mark.parametrize("name", NETWORKS)
smooth_networks = pytest.mark.parametrize("name", SMOOTH_NETWORKS)
local_networks = pytest.mark.parametrize("name", LOCAL)
classic_networks = pytest.mark.parametrize("name", CLASSIC)
SCOPES = [
    *((name, "structure") for name in NETWORKS),
    *((name, "center") for name in SMOOTH_NETWORKS),
]
scopes = pytest.mark.parametrize(("name", "scope"), SCOPES)


def takes_features(name: str) -> bool:
    """Whether a network has an argument ``features``: others know species and positions only."""
    return "features" in inspect.signature(NETWORKS[name][0]).parameters


with_features = pytest.mark.parametrize("name", [n for n in NETWORKS if takes_features(n)])
scopes_with_features = pytest.mark.parametrize(
    ("name", "scope"), [pair for pair in SCOPES if takes_features(pair[0])]
)
# Others than those made of `LocalNetwork` have edges of their own, and tests of these (test_pet.py)
of_one_frame = pytest.mark.parametrize(
    "name", [name for name in LOCAL if issubclass(NETWORKS[name][0], LocalNetwork)]
)

OUTPUTS = {"energy": "0e", "dipole": "1o", "tensor": "ij=ji"}


def made(name: str, outputs: Any = OUTPUTS, **more: Any) -> nn.Module:
    """A small network with weights that depend on nothing but the seed, ready for evaluation."""
    kind, small = NETWORKS[name]
    net = kind(outputs, **(small | more)).double().eval()
    generator = torch.Generator().manual_seed(0)
    gain = 1.5
    with torch.no_grad():
        for layer in net.modules():
            weight = getattr(layer, "weight", None)
            if isinstance(layer, nn.Embedding):
                weight.normal_(0, 1, generator=generator)
            elif weight is not None and weight.ndim == 2:
                weight.normal_(0, gain / weight.size(1) ** 0.5, generator=generator)
            if getattr(layer, "bias", None) is not None:
                layer.bias.normal_(0, 0.3, generator=generator)
    return net


def symmetrized(net: nn.Module, scope: str = "structure", **frames: Any) -> Symmetrizer:
    """The one line, but for a network that sees all: then the environments need a radius."""
    if scope == "center" and net.contract.cutoff is None:
        frames["cutoff"] = CUTOFF
    if not frames:
        return Symmetrizer(net, scope=scope)
    if scope == "center" or net.contract.cutoff is not None:
        frames.setdefault("cutoff", CUTOFF)
    return Symmetrizer(net, frames=HierarchicalFrames(**frames), scope=scope)


def cloud(number: int, seed: int = 0) -> Data:
    generator = torch.Generator().manual_seed(seed)
    return Data(
        pos=torch.randn(number, 3, dtype=torch.float64, generator=generator),
        z=torch.randint(1, 10, (number,), generator=generator),
    )


# Sums in another order change the last places of what a dozen layers then amplify: a thousand units
# in the last place of the outputs
ROUNDING = 3e-13


def assert_same(here: dict[str, Tensor], there: dict[str, Tensor]) -> None:
    assert here.keys() == there.keys()
    for name, values in here.items():
        size = max(1.0, float(values.detach().abs().max())) if values.numel() else 1.0
        torch.testing.assert_close(there[name], values, atol=ROUNDING * size, rtol=0)


# what every law is tried with
MATRICES = elements("O(3)", TURNS["generic"], TURNS["improper"])
