"""What does certification find in networks that others wrote?

Each network is held to what an interatomic potential, or an equivariant network, is meant to be:
exact under O(3), smooth to all orders, local within its cutoff, additive where it is a sum of
atoms. Weights are random, as nothing here depends on training.

Run: python -m benchmarks.certify_others [--only NAME ...] [--profile fast]
With ``--only`` the other networks keep the results that they have, each with its own provenance.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from backbones.adapters import Call, Dense, connect, offer_to_pyg
from benchmarks._record import read_result, write_result
from benchmarks._text import markdown
from equivariance_tests import certify
from symmetrize import Contract, HierarchicalFrames, Outputs, Symmetrizer, per_point

SPECIES = (1, 6, 8)
CUTOFF = 5.0
SEED = 3


@dataclass(frozen=True)
class Entry:
    """A network of others (or, to compare, of ours).

    Attributes:
        make: the network, with random weights.
        contract: what it is held to.
        source: the package that it is from.
        options: of ``certify``.
    """

    make: Callable[[], Any]
    contract: Contract
    source: str
    options: dict[str, Any] = field(default_factory=dict)


def potential(rounds: int, outputs: Outputs = "0e") -> Contract:
    """An energy, a sum of atoms that see each other in some rounds within the cutoff."""
    return Contract(outputs, cutoff=CUTOFF, rounds=rounds, extensive=True)


def with_all_weights(net: nn.Module) -> nn.Module:
    """The network with weights drawn that are zero to start with, and hide what they would do."""
    for weight in net.parameters():
        if not weight.any():
            nn.init.normal_(weight, std=0.1)
    return net


class InDefaultDtype(nn.Module):
    """A network whose own constants have the default dtype, which is that of the positions here."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, data: Data) -> Any:
        """What the network returns."""
        before = torch.get_default_dtype()
        torch.set_default_dtype(data.pos.dtype)
        try:
            return self.net(data)
        finally:
            torch.set_default_dtype(before)


class WithFeatures(nn.Module):
    """An e3nn network of a dict, for data: ``x`` is one for each point."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, data: Data) -> Tensor:
        """One row for each structure that has points."""
        given = {"pos": data.pos, "batch": data.batch, "x": data.pos.new_ones(len(data.pos), 1)}
        given["z"] = given["x"]
        return self.net(given)


def e3nn_simple() -> nn.Module:
    from e3nn.nn.models.v2106.gate_points_networks import SimpleNetwork

    net = SimpleNetwork("0e", "0e + 1o + 2e", CUTOFF, 5.0, 5.0, mul=4, layers=1, lmax=2)
    return WithFeatures(net)


def e3nn_2101() -> nn.Module:
    from e3nn.nn.models.gate_points_2101 import Network

    net = Network(
        irreps_in=None,
        irreps_hidden="4x0e + 4x0o + 2x1e + 2x1o + 2x2e",
        irreps_out="0e + 1o + 2e",
        irreps_node_attr=None,
        irreps_edge_attr="0e + 1o + 2e",
        layers=1,
        max_radius=CUTOFF,
        number_of_basis=6,
        radial_layers=1,
        radial_neurons=16,
        num_neighbors=5.0,
        num_nodes=5.0,
    )
    return WithFeatures(net)


def schnet() -> nn.Module:
    from torch_geometric.nn.models import SchNet

    net = SchNet(hidden_channels=16, num_filters=16, num_interactions=2, cutoff=CUTOFF)
    return Call(net, "z, pos, batch")


def dimenet() -> nn.Module:
    from torch_geometric.nn.models import DimeNetPlusPlus

    net = DimeNetPlusPlus(16, 1, 2, 8, 8, 16, 4, 4, cutoff=CUTOFF)
    return Call(net, "z, pos, batch")


def visnet() -> nn.Module:
    from torch_geometric.nn.models import ViSNet

    net = ViSNet(hidden_channels=16, num_heads=4, num_layers=2, num_rbf=8, cutoff=CUTOFF)
    return InDefaultDtype(Call(net, "z, pos, batch -> energy, _"))


def small_pet() -> nn.Module:
    from benchmarks._metatrain import Metatrain

    changes = {"cutoff": CUTOFF, "d_pet": 8, "d_node": 8, "d_head": 8, "d_feedforward": 8}
    return Metatrain(list(SPECIES), **changes, num_heads=2, num_attention_layers=1)


class OfPoints(nn.Module):
    """A small smooth network of dense clouds that sees all points: a vector for each."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(3, 24), nn.Linear(24, 3)

    def forward(self, clouds: Tensor) -> Tensor:
        """(b, n, 3) to (b, n, 3)."""
        hidden = torch.tanh(self.inner(clouds))
        return self.outer(torch.sin(hidden.sum(1, keepdim=True) + 2 * hidden))


def frame_averaging() -> nn.Module:
    from frame_averaging_pytorch import FrameAverage

    return FrameAverage(OfPoints())


def symmetrized_points() -> nn.Module:
    net = Dense(OfPoints(), "b n c -> b n o")
    return Symmetrizer(net, per_point("1o"), frames=HierarchicalFrames(length_scale=1.0))


def symmetrized_pet() -> nn.Module:
    frames = HierarchicalFrames(length_scale=CUTOFF / 3)
    return Symmetrizer(small_pet(), per_point("0e"), frames=frames)


VECTORS = Contract(per_point("1o"))
IRREPS = Contract("0e + 1o + 2e", cutoff=CUTOFF, rounds=2, extensive=True)
OF_ATOMS: dict[str, Any] = {"species": SPECIES}
WITH_EDGES = OF_ATOMS | {"prepare": connect(radius=CUTOFF)}
ENTRIES: dict[str, Entry] = {
    "SimpleNetwork v2106": Entry(e3nn_simple, IRREPS, "e3nn"),
    "gate_points_2101": Entry(e3nn_2101, IRREPS, "e3nn"),
    "SchNet": Entry(schnet, potential(2), "torch_geometric", OF_ATOMS),
    "DimeNet++": Entry(dimenet, potential(3), "torch_geometric", OF_ATOMS),
    "ViSNet": Entry(visnet, potential(3, {"energy": "0e"}), "torch_geometric", OF_ATOMS),
    "PET": Entry(small_pet, potential(2, per_point("0e")), "metatrain", WITH_EDGES),
    "FrameAverage": Entry(
        frame_averaging, VECTORS, "frame_averaging_pytorch", {"call": "b n c -> b n o"}
    ),
    "the same points, symmetrized": Entry(symmetrized_points, VECTORS, "symmetrize"),
    "the same PET, symmetrized": Entry(
        symmetrized_pet, Contract(per_point("0e")), "symmetrize", WITH_EDGES | {"unit": CUTOFF / 3}
    ),
}


def made(entry: Entry) -> nn.Module:
    """The network, with constants in double precision too: e3nn's have the dtype of its making."""
    offer_to_pyg()  # those of torch-geometric do not run without
    torch.manual_seed(SEED)
    torch.set_default_dtype(torch.float64)
    try:
        return with_all_weights(entry.make()).double().eval()
    finally:
        torch.set_default_dtype(torch.float32)


def found(report: dict[str, Any]) -> list[str]:
    """What failed, a line for each kind of failure."""
    lines = []
    for one in report["findings"]:
        failure = one["failure"]
        if one["verdict"] == "could not run":
            lines.append(f"{one['check']}: could not run ({one['reason']})")
        elif failure is not None:
            cloud = one["cloud"].partition("(")[2].partition(",")[0].strip("')")
            # infinite, or none, where there is no answer
            error = one["error"]
            size = f" ({error:.2g})" if isinstance(error, float) and error else ""
            lines.append(f"{one['check']}: {failure['kind']}{size}, {cloud}")
    return lines


def measure(names: list[str], profile: str) -> dict[str, Any]:
    """The reports of these networks, and the stored ones of the others; stored one by one."""
    networks = {} if names == list(ENTRIES) else read_result("certify_others")["networks"]
    for name in names:
        entry = ENTRIES[name]
        report = certify(made(entry), entry.contract, profile=profile, **entry.options)
        networks[name] = {"source": entry.source} | report.to_json()
        # what takes long is not lost
        write_result("certify_others", {"networks": networks})
    return {"networks": networks}


def table(key: str) -> str:
    """What was found in each of the stored "networks"."""
    assert key == "networks"
    result = read_result("certify_others")
    rows = []
    for name in [name for name in ENTRIES if name in result["networks"]]:
        one = result["networks"][name]
        said = "<br>".join(found(one)) or "-"
        passed = sum(finding["verdict"] == "passed" for finding in one["findings"])
        rows.append([name, one["source"], f"{one['status']} ({passed} checks passed)", said])
    return markdown(["network", "package", "verdict", "what was found"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="*", choices=ENTRIES, default=list(ENTRIES))
    parser.add_argument("--profile", default="fast")
    given = parser.parse_args()
    print(write_result("certify_others", measure(given.only, given.profile)))


if __name__ == "__main__":
    main()
