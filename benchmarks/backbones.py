"""What are the networks of this package, and what does it cost to symmetrize them?

For each network: source, declared smoothness, receptive field, scope to use, parameters, and time
for one structure, bare and symmetrized with the default frames, in a batch, in single precision,
forward, on one thread. Atomistic networks see acetylacetone (15 atoms), classic ones object scans
of 1024 points; all have their default sizes and random weights.

Run: python -m benchmarks.backbones, with SYMMETRIZE_DATA the folder of the data sets (about 3
minutes). Writes results/backbones.json and prints the table of docs/backbones.md.
"""

import math
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Any

import torch
from torch import nn
from torch_geometric.data import Batch, Data

import backbones
from backbones.classic import Classifier
from benchmarks._data import acetylacetone, furniture
from benchmarks._record import read_result, write_result
from benchmarks._text import markdown, progress
from benchmarks._timing import medians, milliseconds
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


def entry_of(network: type[nn.Module]) -> Entry:
    """The entry of a network of ``backbones``, whose module names its source."""
    source = re.search(r"arXiv (\d+\.\d+)", sys.modules[network.__module__].__doc__ or "")
    shapes = issubclass(network, Classifier)
    needs_species = signature(network).parameters["species"].default is Parameter.empty
    given = {"species": SPECIES} if needs_species else {}
    return Entry(
        lambda: network(CLASSES if shapes else OUTPUTS, **given),
        source[1] if source else "none",
        shapes,
    )


def entries() -> dict[str, Entry]:
    """All networks of ``backbones``, and metatrain's PET to compare with."""
    from benchmarks._metatrain import metatrain_pet  # needs the extra "atomistic"

    named = {name: entry_of(getattr(backbones, name)) for name in backbones.__all__}
    own = dict(sorted(named.items(), key=lambda item: item[1].shapes))
    return own | {"metatrain's PET": Entry(lambda: metatrain_pet(SPECIES), own["PET"].source)}


def inputs(entry: Entry) -> tuple[Data, int]:
    """The batch that a network is timed on, and its number of structures."""
    found = (
        furniture()[:: 364 // OBJECTS][:OBJECTS] if entry.shapes else acetylacetone()[:MOLECULES]
    )
    batch = Batch.from_data_list(found)
    batch.pos = batch.pos.float()
    return batch, len(found)


def measured(entry: Entry) -> dict[str, Any]:
    """One row of the table."""
    torch.manual_seed(0)
    net = entry.make().eval()
    model = Symmetrizer(net).eval()
    data, number = inputs(entry)
    contract = net.contract
    with torch.no_grad():
        sides = {"bare_ms": lambda: net(data), "symmetrized_ms": lambda: model(data)}
        times = medians(milliseconds(sides, ROUNDS))
    return {
        "source": f"arXiv {entry.source}",
        "smoothness": contract.smoothness,
        "cutoff": contract.cutoff,
        "rounds": contract.rounds,
        "locality": contract.locality,
        "parameters": sum(p.numel() for p in net.parameters()),
        "evaluations": len(model.ensemble(data)) / number,
        **{side: time / number for side, time in times.items()},
    }


def measure() -> dict[str, Any]:
    """One row for each network."""
    torch.set_num_threads(1)
    named = entries()
    return {"networks": {n: measured(named[n]) for n in progress(list(named), "networks")}}


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
    path = write_result("backbones", measure())
    print(table("networks"), path, sep="\n\n")


if __name__ == "__main__":
    main()
