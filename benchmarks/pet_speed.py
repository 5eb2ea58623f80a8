"""Is our PET as fast as metatrain's at equal size, and how much of a batch is padding?

Both take the same edges, in single precision on 2 threads, with the sizes of metatrain's defaults
(2.9 million parameters). The sides take turns; times are medians, the speedup is the median of the
ratios of single rounds. A force-training step differentiates a loss of energy and forces with
respect to all parameters; no optimizer.

Run: python -m benchmarks.pet_speed, with SYMMETRIZE_DATA the folder of the data sets (about 2
minutes). Writes results/pet_speed.json and prints the tables of docs/backbones.md.
"""

from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from backbones.edges import with_edges
from backbones.pet.buckets import buckets
from benchmarks._data import methane, molecules, water
from benchmarks._record import read_result, write_result
from benchmarks._text import markdown, progress
from benchmarks._timing import medians, milliseconds

SPECIES = [1, 6, 8]
CUTOFF = 4.5
ROUNDS = 9
THREADS = 2
DROP = 116


def drop() -> Data:
    """The atoms of liquid water nearest to the middle of the cell, as a finite cluster."""
    snapshot = water([0])[0]
    middle = snapshot.pos.mean(0)
    near = (snapshot.pos - middle).norm(dim=1).argsort()[:DROP]
    return Data(pos=snapshot.pos[near], z=snapshot.z[near])


def single(data: Data) -> Data:
    return data.apply(lambda x: x.float() if x.is_floating_point() else x)


def total(net: nn.Module, data: Data) -> Tensor:
    found = net(data)
    return (found["energy"] if isinstance(found, dict) else found).sum()


def forward(net: nn.Module, data: Data) -> None:
    with torch.no_grad():
        total(net.eval(), data)


def forces(net: nn.Module, data: Data) -> None:
    data.pos = data.pos.detach().requires_grad_()
    torch.autograd.grad(total(net.eval(), data), data.pos)


def step(net: nn.Module, data: Data) -> None:
    data.pos = data.pos.detach().requires_grad_()
    energy = total(net.train(), data)
    (slope,) = torch.autograd.grad(energy, data.pos, create_graph=True)
    net.zero_grad()
    (energy.square() + slope.square().mean()).backward()


TASKS: dict[str, Callable[[nn.Module, Data], None]] = {
    "forward": forward,
    "with forces": forces,
    "force-training step": step,
}


def compared(task: Callable[[nn.Module, Data], None], nets: list[nn.Module], data: Data) -> Any:
    """Median milliseconds of each network, and the median ratio of the first to the second."""
    sides = {
        "metatrain_ms": lambda: task(nets[0], data),
        "ours_ms": lambda: task(nets[1], data),
    }
    times = milliseconds(sides, ROUNDS, warm_up=2, back_and_forth=True)
    ratios = [a / b for a, b in zip(*times.values(), strict=True)]
    return {**medians(times), "speedup": median(ratios)}


def speeds() -> dict[str, Any]:
    from benchmarks._metatrain import Metatrain, ours  # needs the extra "atomistic"

    torch.manual_seed(0)
    nets = [Metatrain(SPECIES), ours(SPECIES)]
    systems = {f"drop of water, {DROP} atoms": drop(), "liquid water, 192 atoms": water([0])[0]}
    found: dict[str, Any] = {
        "parameters": {
            name: sum(p.numel() for p in net.parameters())
            for name, net in zip(("metatrain", "ours"), nets, strict=True)
        }
    }
    for name, data in progress(list(systems.items()), "speed"):
        data = single(nets[1].prepare(data))
        rows = {task: compared(call, nets, data) for task, call in TASKS.items()}
        found[name] = {"edges": data.num_edges, "tasks": rows}
    return found


def batches() -> dict[str, Data]:
    """What is evaluated together: one kind of structure, and very different ones."""
    solvents = molecules("botnet/dataset_acac/train_300K.xyz.gz", 32)
    mixed = [*solvents, *methane()[:32], *molecules("tensoap/water_dimer_1000.xyz.gz", 32), drop()]
    return {
        "32 random methane": Batch.from_data_list(methane()[:32]),
        "32 acetylacetone": Batch.from_data_list(solvents),
        f"drop of water, {DROP} atoms": drop(),
        "liquid water, 192 atoms": water([0])[0],
        "all molecules and the drop": Batch.from_data_list(mixed),
    }


def paddings() -> dict[str, dict[str, float]]:
    """Part of the rows without a token: in our blocks, and if all were padded to the largest."""
    found = {}
    for name, data in batches().items():
        data = with_edges(data, CUTOFF)
        where = buckets(data.edge_index[1], len(data.pos))
        tokens = len(data.pos) + data.num_edges
        widest = max(width for _, width in where.shapes)
        found[name] = {
            "tokens": tokens,
            "blocks": len(where.shapes),
            "ours": where.padding,
            "padded": 1 - tokens / (len(data.pos) * widest),
        }
    return found


def table(key: str) -> str:
    """The stored "padding" or "speed"."""
    stored = read_result("pet_speed")[key]
    if key == "padding":
        header = ["batch", "tokens", "blocks", "padding", "padded to the largest"]
        rows = []
        for name, row in stored.items():
            parts = [f"{row['ours']:.1%}", f"{row['padded']:.1%}"]
            rows.append([name, f"{row['tokens']:,}", str(row["blocks"]), *parts])
        return markdown(header, rows)
    rows = []
    for name, found in stored.items():
        if name != "parameters":
            for task, row in found["tasks"].items():
                times = [f"{row['metatrain_ms']:.0f}", f"{row['ours_ms']:.0f}"]
                rows.append([f"{name}, {task}", *times, f"{row['speedup']:.2f}"])
    return markdown(["", "metatrain (ms)", "ours (ms)", "speedup"], rows)


def measure() -> dict[str, Any]:
    """Padding of several batches, and times of both networks."""
    torch.set_num_threads(THREADS)
    return {"threads": THREADS, "padding": paddings(), "speed": speeds()}


def main() -> None:
    path = write_result("pet_speed", measure())
    print(table("padding"), table("speed"), path, sep="\n\n")


if __name__ == "__main__":
    main()
