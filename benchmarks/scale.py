"""Do time and memory grow linearly, from a hundred atoms to a hundred thousand?

A very hot crystal of silicon (rattled by 0.4 Å) with a local Point Edge Transformer. Scope
"center": the energy in chunks of 2,000 copies, and the energy with forces, where chunks are
evaluated once more on the way back; a network of width 32 for all sizes, and one of the usual width
128 for 10,000 atoms. Scope "structure": frames of a finite random cloud as a whole. Memory is the
most that tensors took at once.

Run: python -m benchmarks.scale (about 2 minutes). Writes results/scale.json and prints the tables
of docs/performance.md.
"""

from collections.abc import Callable
from time import perf_counter
from typing import Any

import torch
from ase.build import bulk
from torch_geometric.data import Data

from backbones import PET
from benchmarks._record import read_result, write_result
from benchmarks._text import markdown, progress, short
from symmetrize import HierarchicalFrames, Symmetrizer, from_ase
from symmetrize.chunks import peak_memory

CUTOFF, RATTLE, CHUNK = 3.0, 0.4, 2000  # of the network and of displacements, in Å; copies
SIZES = (100, 1000, 10_000, 100_000)
SMALL, USUAL = 32, 128  # widths


def crystal(number: int) -> Data:
    """About this many atoms."""
    repeats = max(1, round((number / 8) ** (1 / 3)))
    atoms = bulk("Si", cubic=True) * repeats
    atoms.rattle(RATTLE, seed=0)
    return from_ase(atoms, dtype=torch.float32)


def model(width: int) -> Symmetrizer:
    torch.manual_seed(0)
    net = PET({"energy": "0e"}, species=[14], cutoff=CUTOFF, width=width, rounds=1)
    return Symmetrizer(net, scope="center", reduce="sum", chunk_size=CHUNK).eval()


def of_centers(number: int, width: int, forces: bool) -> dict[str, float]:
    """Milliseconds for each atom, and memory."""
    wrapped, data = model(width), crystal(number)

    def call() -> None:
        data.pos = data.pos.detach().requires_grad_(forces)
        with torch.set_grad_enabled(forces):
            energy = wrapped(data)["energy"].sum()
            if forces:
                torch.autograd.grad(energy, data.pos)

    seconds, memory = cost(call)
    with torch.no_grad():
        frames = len(wrapped.ensemble(data))
    return {
        "atoms": len(data.pos),
        "frames": round(frames / len(data.pos), 2),
        "ms_per_atom": round(1e3 * seconds / len(data.pos), 4),
        "GiB": round(memory / 2**30, 4),
        "kB_per_atom": round(memory / len(data.pos) / 1e3, 2),
    }


def of_structures(number: int) -> dict[str, float]:
    """Milliseconds and memory of the frames of one cloud."""
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(number, 3, dtype=torch.float64, generator=generator)
    _, memory = cost(lambda: HierarchicalFrames()(points))
    # counting takes longer than this
    start = perf_counter()
    HierarchicalFrames()(points)
    seconds = perf_counter() - start
    return {
        "points": number,
        "ms": round(1e3 * seconds, 2),
        "us_per_point": round(1e6 * seconds / number, 3),
        "MiB": round(memory / 2**20, 2),
    }


def cost(call: Callable[[], Any]) -> tuple[float, float]:
    """Seconds, and bytes, of one call, in which allocations are counted."""
    with peak_memory(torch.device("cpu")) as peak:
        start = perf_counter()
        call()
        seconds = perf_counter() - start
    return seconds, peak[0]


def measure() -> dict[str, Any]:
    """All sizes."""
    torch.set_num_threads(1)
    of_centers(SIZES[0], SMALL, True)  # what is made once
    of_structures(SIZES[0])
    cases = [(n, SMALL, forces) for forces in (False, True) for n in SIZES]
    cases.append((10_000, USUAL, True))
    centers = [
        {"width": width, "forces": forces} | of_centers(n, width, forces)
        for n, width, forces in progress(cases, "centers")
    ]
    return {
        "threads": 1,
        "chunk_size": CHUNK,
        "centers": centers,
        "structures": [of_structures(n) for n in progress(SIZES, "structures")],
    }


def table(key: str) -> str:
    """The stored "centers", or "structures"."""
    rows = read_result("scale")[key]
    if key == "structures":
        header = ["points", "frames (ms)", "µs per point", "memory (MiB)"]
        return markdown(
            header,
            [
                [f"{r['points']:,}", f"{r['ms']}", f"{r['us_per_point']}", f"{r['MiB']}"]
                for r in rows
            ],
        )
    header = ["evaluation", "width", "atoms", "frames", "ms per atom", "memory (GiB)"]
    return markdown(
        header,
        [
            [
                "energy and forces" if r["forces"] else "energy",
                f"{r['width']}",
                *(f"{r['atoms']:,}", f"{r['frames']:.1f}", short(r["ms_per_atom"])),
                short(r["GiB"]),
            ]
            for r in rows
        ],
    )


def main() -> None:
    path = write_result("scale", measure())
    print(table("centers"), table("structures"), path, sep="\n\n")


if __name__ == "__main__":
    main()
