"""What are the networks of this package, and what does it cost to symmetrize them?

For each network: source, declared smoothness, receptive field, scope to use, parameters, and time
for one structure, bare and symmetrized with the default frames, in a batch, in single precision,
forward, on one thread. Atomistic networks see acetylacetone (15 atoms), classic ones object scans
of 1024 points; all have their default sizes and random weights.

Run: python -m benchmarks.backbones, with SYMMETRIZE_DATA the folder of the data sets (about 3
minutes). Writes results/backbones.json and prints the table of docs/backbones.md.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch import nn
from torch_geometric.data import Batch, Data

import backbones
from benchmarks._data import acetylacetone, furniture
from benchmarks._record import read_result, write_result
from benchmarks.frames import markdown, progress
from symmetrize import Symmetrizer

OUTPUTS = {"energy": "0e", "dipole": "1o"}
CLASSES = "11x0e"
SPECIES = [1, 6, 8]
ROUNDS = 5
MOLECULES, OBJECTS = 32, 4


@dataclass(frozen=True)
class Entry:
    """A network of the table.

    Attributes:
        make: with its default sizes.
        source: where it was published, by arXiv number.
        shapes: whether it classifies objects, instead of describing molecules.
    """

    make: Callable[[], nn.Module]
    source: str
    shapes: bool = False


def metatrain_pet() -> nn.Module:
    """PET with metatrain's defaults and random weights, as the adapter for metatomic wraps it."""
    from backbones.adapters.metatomic import from_metatomic  # before metatrain

    from metatrain.pet import PET  # isort: skip
    from metatrain.utils.architectures import get_default_hypers  # isort: skip
    from metatrain.utils.data import DatasetInfo  # isort: skip
    from metatrain.utils.data.target_info import get_energy_target_info  # isort: skip

    unit = {"quantity": "energy", "unit": "eV", "description": ""}
    targets = {"energy": get_energy_target_info("energy", unit)}
    info = DatasetInfo("angstrom", atomic_types=SPECIES, targets=targets)
    return from_metatomic(PET(get_default_hypers("pet")["model"], info))


ENTRIES = {
    "PET": Entry(lambda: backbones.PET(OUTPUTS, SPECIES), "2305.19302"),
    "metatrain's PET": Entry(metatrain_pet, "2305.19302"),
    "PointNet": Entry(lambda: backbones.PointNet(OUTPUTS), "1612.00593"),
    "PointNetPlusPlus": Entry(lambda: backbones.PointNetPlusPlus(OUTPUTS), "1706.02413"),
    "DGCNN": Entry(lambda: backbones.DGCNN(OUTPUTS), "1801.07829"),
    "PointTransformer": Entry(lambda: backbones.PointTransformer(OUTPUTS), "2012.09164"),
    "ClassicPointNet": Entry(lambda: backbones.ClassicPointNet(CLASSES), "1612.00593", True),
    "ClassicPointNetPlusPlus": Entry(
        lambda: backbones.ClassicPointNetPlusPlus(CLASSES), "1706.02413", True
    ),
    "ClassicDGCNN": Entry(lambda: backbones.ClassicDGCNN(CLASSES), "1801.07829", True),
    "ClassicPointTransformer": Entry(
        lambda: backbones.ClassicPointTransformer(CLASSES), "2012.09164", True
    ),
}


def inputs(entry: Entry) -> tuple[Data, int]:
    """The batch that a network is timed on, and its number of structures."""
    found = (
        furniture()[:: 364 // OBJECTS][:OBJECTS] if entry.shapes else acetylacetone()[:MOLECULES]
    )
    batch = Batch.from_data_list(found)
    batch.pos = batch.pos.float()
    return batch, len(found)


def timed(call: Callable[[Data], Any], data: Data) -> float:
    """Median seconds of a call, after one to warm up."""
    times = []
    for turn in range(ROUNDS + 1):
        start = perf_counter()
        with torch.no_grad():
            call(data)
        if turn:
            times.append(perf_counter() - start)
    return median(times)


def measured(entry: Entry) -> dict[str, Any]:
    """One row of the table."""
    torch.manual_seed(0)
    net = entry.make().eval()
    model = Symmetrizer(net).eval()
    data, number = inputs(entry)
    contract = net.contract
    return {
        "source": f"arXiv {entry.source}",
        "smoothness": contract.smoothness,
        "cutoff": contract.cutoff,
        "rounds": contract.rounds,
        "locality": contract.locality,
        "parameters": sum(p.numel() for p in net.parameters()),
        "evaluations": len(model.ensemble(data)) / number,
        "bare_ms": 1e3 * timed(net, data) / number,
        "symmetrized_ms": 1e3 * timed(model, data) / number,
    }


def table(key: str) -> str:
    """The stored "networks"."""
    lines = []
    for name, row in read_result("backbones")[key].items():
        order = row["smoothness"]
        smooth = "none" if order is None else "C∞" if order == math.inf else f"C{order}"
        sight = "whole cloud" if row["cutoff"] is None else f"{row['rounds']} x {row['cutoff']:g}"
        scope = "center" if row["locality"] == "local" else "structure"
        times = [f"{row['bare_ms']:.2f}", f"{row['symmetrized_ms']:.2f}"]
        title = name if " " in name else f"`{name}`"
        size, frames = f"{row['parameters']:,}", f"{row['evaluations']:.1f}"
        lines.append([title, row["source"], smooth, sight, scope, size, frames, *times])
    header = ["network", "source", "smoothness", "receptive field", "scope", "parameters"]
    return markdown([*header, "frames", "bare (ms)", "symmetrized (ms)"], lines)


def main() -> None:
    torch.set_num_threads(1)
    rows = {name: measured(ENTRIES[name]) for name in progress(list(ENTRIES), "networks")}
    path = write_result("backbones", {"networks": rows})
    print(table("networks"), path, sep="\n\n")


if __name__ == "__main__":
    main()
