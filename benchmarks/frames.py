"""How many frames does each family take, and how smooth is the average over them?

Frames per environment of random methane, liquid water and crystals, and per structure of molecules,
water and object scans; the largest derivatives along straight paths, with a random network (see
``_paths.py``); and what a sharper selection trades between the two. Frames are those that the
network is evaluated on: equal rotations count once, frames of weight zero not at all.

Run: python -m benchmarks.frames, with SYMMETRIZE_DATA the folder of the data sets (about 3 minutes
on 2 cores). Writes results/frames.json and docs/figures/frames.png, and prints the tables of
docs/frames.md.
"""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from benchmarks._data import (
    acetylacetone,
    crystal,
    data_folder,
    furniture,
    methane,
    water,
    water_dimers,
)
from benchmarks._paths import Paths, RandomNetworks, scan, served, straight_paths
from benchmarks._record import read_result, write_result
from benchmarks._text import markdown, progress, short
from symmetrize import FrameAveraging, Frames, HierarchicalFrames, PairFrames, Symmetrizer
from symmetrize.frames import Group
from symmetrize.frames.presets import PRESETS
from symmetrize.frames.settings import Preset, Selection

FIGURE = Path(__file__).parents[1] / "docs" / "figures" / "frames.png"
CUTOFF = 4.0
SNAPSHOTS = range(0, 300, 60)  # of liquid water, for environments
WHOLE_SNAPSHOTS = range(0, 300, 6)  # of liquid water, as structures
PATHS = 32
THREADS = 1
NEAREST = 12
BEYOND = 1.0  # Å beyond the cutoff, from where atoms may enter along a path
MANY = 10**5  # frames of one structure: none is refused here
UNPRUNED, PRUNED, AVERAGING = "pairs, unpruned", "pairs, pruned", "frame averaging"
SMOOTH, LEAN = "smooth (default)", "lean"
NOTES = {
    UNPRUNED: "pairs, unpruned (published)",
    PRUNED: "pairs, pruned (published)",
    AVERAGING: "frame averaging (jumps at\nequal principal axes)",
}
# Windows and angle powers of the trade-off curves: those of the presets, and one between them
SHAPES = {
    "windows and core of smooth": {},
    "narrower windows": {"core": 0.5, "axis_window": (0.5, 1.0), "azimuth_window": (0.45, 1.0)},
    "windows and angles of lean": {
        "core": 0.5,
        "angle_power": 3.0,
        "axis_window": (0.5, 1.0),
        "azimuth_window": (0.45, 1.0),
    },
}
DECAYS = (1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)


def without_frames(*_: Any) -> Any:
    """Stands in for an auxiliary model, which is never called here."""


@cache
def families() -> Mapping[str, Frames]:
    """Frames by name; those of ``PairFrames`` let owners without frames pass, to be counted."""
    return {
        UNPRUNED: PairFrames(CUTOFF, prune=None, auxiliary=without_frames),
        PRUNED: PairFrames(CUTOFF, auxiliary=without_frames),
        SMOOTH: HierarchicalFrames(CUTOFF, max_frames=MANY),
        LEAN: HierarchicalFrames(CUTOFF, preset="lean", max_frames=MANY),
        AVERAGING: FrameAveraging(CUTOFF),
    }


def numbers_of_frames(frames: Frames, group: Group, scope: str, data: list[Data]) -> Tensor:
    """Evaluations of the network for each structure, or each center."""
    model = Symmetrizer(without_frames, "2e", frames=frames, group=group, scope=scope)  # type: ignore[arg-type]
    found = []
    for first in range(0, len(data), 50):
        ensemble = model.ensemble(Batch.from_data_list(data[first : first + 50]))
        owners = ensemble.index[~ensemble.auxiliary]
        found.append(torch.bincount(owners, minlength=ensemble.size))
    return torch.cat(found).double()


def columns() -> list[tuple[str, Group]]:
    """Families and groups of the columns of a table."""
    proper: list[tuple[str, Group]] = [(name, "SO(3)") for name in families()]
    return [*proper, (SMOOTH, "O(3)"), (LEAN, "O(3)")]


def summary(number: Tensor) -> dict[str, float]:
    return {
        "mean": round(float(number.mean()), 2),
        "median": float(number.median()),
        "largest": float(number.max()),
        "without": round(float((number == 0).double().mean()), 4),
    }


def environment_counts() -> dict[str, dict[str, dict[str, float]]]:
    """Frames per environment: system, then family and group."""
    systems = {
        "random methane": methane(),
        "liquid water": water(SNAPSHOTS),
        **{
            f"{label}, {f'rattled {rattle} Å' if rattle else 'perfect'}": crystal(*cell, rattle)
            for label, cell in {
                "diamond Si": ("Si", "diamond", 5.431),
                "fcc Cu": ("Cu", "fcc", 3.615),
            }.items()
            for rattle in (0.0, 0.1, 0.2)
        },
    }
    return {
        system: {
            f"{name}, {group}": summary(numbers_of_frames(families()[name], group, "center", data))
            for name, group in columns()
        }
        for system, data in progress(systems.items(), "frames per environment")
    }


def neighbors(data: Data, radius: float) -> list[Tensor]:
    """Vectors from each atom to its neighbors, sorted by distance."""
    from ase import Atoms
    from ase.neighborlist import neighbor_list

    cell = None if data.cell is None else data.cell.numpy()
    atoms = Atoms(positions=data.pos.numpy(), cell=cell, pbc=cell is not None)
    center, distance, vectors = neighbor_list("idD", atoms, radius)
    order = np.lexsort((distance, center))
    number = np.bincount(center, minlength=len(atoms))
    return list(torch.tensor(vectors[order]).split(number.tolist()))


@cache
def environment_sets() -> dict[str, Paths]:
    """Paths of environments."""
    near = neighbors(water(SNAPSHOTS)[0], CUTOFF + BEYOND)
    near = near[:: len(near) // PATHS][:PATHS]
    perfect = neighbors(crystal("Si", "diamond", 5.431, 0.0)[0], CUTOFF + BEYOND)[0]
    carbons = [data.pos[1:] - data.pos[0] for data in methane()[:PATHS]]
    return {
        f"water, {NEAREST} nearest": straight_paths([v[:NEAREST] for v in near], CUTOFF),
        "water, all": straight_paths(near, CUTOFF),
        "methane, C": straight_paths(carbons, CUTOFF),
        "Si, through perfect": straight_paths([perfect] * PATHS, CUTOFF, through=True),
    }


def environment_paths() -> dict[str, dict[str, Any]]:
    """Derivatives along paths of environments: set of paths, then family."""
    networks = RandomNetworks(CUTOFF, scale=0.8)
    # without an auxiliary model: derivatives are those of the frames alone
    bare = {UNPRUNED: PairFrames(CUTOFF, prune=None), PRUNED: PairFrames(CUTOFF)}
    table: dict[str, dict[str, Any]] = {}
    for system, paths in progress(environment_sets().items(), "paths of environments"):
        kept = served(bare[UNPRUNED], paths)
        table[system] = {
            "paths": len(kept),
            "paths left out": len(paths) - len(kept),
            "spread": mean(networks.spread(start) for start in kept.starts),
            "network": scan(None, networks, kept),
            **{n: scan(f, networks, kept) for n, f in {**families(), **bare}.items()},
        }
    return table


def structure_counts() -> dict[str, dict[str, dict[str, float]]]:
    """Frames per whole structure: system, then family and group."""
    systems = {
        "364 objects": furniture(),
        "liquid water": water(WHOLE_SNAPSHOTS),
        "acetylacetone": acetylacetone(),
        "water dimer": water_dimers(),
        "random methane": methane(),
    }
    return {
        system: {
            f"{name}, {group}": summary(
                numbers_of_frames(families()[name], group, "structure", data)
            )
            for name, group in columns()
            if system not in ("364 objects", "liquid water") or name in (SMOOTH, LEAN)
        }
        for system, data in progress(systems.items(), "frames per structure")
    }


def structure_paths() -> dict[str, dict[str, Any]]:
    """Derivatives along paths of whole molecules: molecule, then family."""
    networks = RandomNetworks(None, scale=0.5)
    systems = {
        "acetylacetone": acetylacetone(),
        "water dimer": water_dimers(),
        "random methane": methane(),
    }
    table: dict[str, dict[str, Any]] = {}
    for system, data in progress(systems.items(), "paths of molecules"):
        starts = [d.pos - d.pos.mean(0) for d in data[:PATHS]]
        paths = straight_paths(starts, None)
        table[system] = {
            "paths": len(paths),
            "spread": mean(networks.spread(start) for start in starts),
            "network": scan(None, networks, paths),
            **{n: scan(families()[n], networks, paths) for n in (SMOOTH, LEAN, AVERAGING)},
        }
    return table


def trade_off() -> dict[str, list[dict[str, float]]]:
    """Frames and derivatives of a family of selections, on the first set of paths."""
    networks = RandomNetworks(CUTOFF, scale=0.8)
    paths = next(iter(environment_sets().values()))
    smooth = PRESETS["smooth"]
    base = {k: getattr(smooth.centers, k) for k in Selection.__dataclass_fields__}
    settings = [(shape, decay) for shape in SHAPES for decay in DECAYS]
    curves: dict[str, list[dict[str, float]]] = {shape: [] for shape in SHAPES}
    for shape, decay in progress(settings, "trade-off"):
        selection = Selection(**{**base, **SHAPES[shape], "decay": decay})
        frames = HierarchicalFrames(CUTOFF, selection=Preset(selection, smooth.structures))
        curves[shape].append({"decay": decay, **scan(frames, networks, paths)})
    return curves


def count_table(
    table: dict[str, dict[str, dict[str, float]]], cell: Callable[[dict[str, float]], str]
) -> str:
    keys = [f"{name}, {group}" for name, group in columns()]
    header = ["", *(key.removesuffix(", SO(3)") for key in keys)]
    rows = (
        [system, *(cell(row[key]) if key in row else "" for key in keys)]
        for system, row in table.items()
    )
    return markdown(header, rows)


def mean_cell(found: dict[str, float]) -> str:
    note = f" ({found['without']:.1%} have none)" if found["without"] else ""
    return f"{found['mean']:.2f}{note}"


def full_cell(found: dict[str, float]) -> str:
    return f"{found['mean']:.2f} / {found['median']:.0f} / {found['largest']:.0f}"


def path_table(table: dict[str, dict[str, Any]]) -> str:
    header = ["paths", "frames from", "frames", "max abs dF", "max abs d2F", "median of the latter"]
    rows = [
        [
            *(system, name, f"{found['frames']:.2f}"),
            f"{short(found['first_largest'])}, {short(found['first_mean'])}",
            f"{bound(found, 0)}{short(found['second_largest'])}, {short(found['second_mean'])}",
            f"{bound(found, 0.5)}{short(found['second_median'])}",
        ]
        for system, row in table.items()
        for name, found in row.items()
        if isinstance(found, dict)
    ]
    return markdown(header, rows)


def bound(found: dict[str, float], part: float) -> str:
    """Marks numbers that still grow on the finest grid, on more than a part of the paths."""
    return "≥ " if found["steep"] > part else ""


def trade_off_table(curves: dict[str, list[dict[str, float]]]) -> str:
    header = ["", *(f"decay {decay:g}" for decay in DECAYS)]
    rows = [
        [shape, *(f"{p['frames']:.2f} / {short(p['second_mean'])}" for p in curve)]
        for shape, curve in curves.items()
    ]
    return markdown(header, rows)


TABLES: dict[str, Callable[[Any], str]] = {
    "frames_per_environment": lambda found: count_table(found, mean_cell),
    "derivatives_of_environments": path_table,
    "frames_per_structure": lambda found: count_table(found, full_cell),
    "derivatives_of_structures": path_table,
    "trade_off": trade_off_table,
}


def table(key: str) -> str:
    """One of the stored ``TABLES``."""
    return TABLES[key](read_result("frames")[key])


def draw(curves: dict[str, list[dict[str, float]]], found: dict[str, Any]) -> None:
    """Frames against the second derivative, both on logarithmic axes."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    def label(
        text: str, point: tuple[float, float], offset: tuple[float, float], **how: Any
    ) -> None:
        axes.annotate(text, point, xytext=offset, textcoords="offset points", **how)

    figure, axes = plt.subplots(figsize=(8, 5.5), layout="constrained")
    # colors of Okabe and Ito, which also color-blind readers tell apart
    looks = zip(("#0072B2", "#009E73", "#E69F00"), "os^", strict=True)
    for (shape, curve), (color, marker) in zip(curves.items(), looks, strict=True):
        x, y = [p["frames"] for p in curve], [p["second_mean"] for p in curve]
        axes.plot(x, y, color=color, marker=marker, markersize=5, label=shape)
    for point in next(iter(curves.values())):
        place = point["frames"], point["second_mean"]
        label(f"{point['decay']:g}", place, (-10, -10), fontsize=8, color="#0072B2")
    offsets = {SMOOTH: (14, 4), LEAN: (12, 0), UNPRUNED: (-40, -18), AVERAGING: (-24, -34)}
    for name, offset in offsets.items():
        place, ours = (found[name]["frames"], found[name]["second_mean"]), name in (SMOOTH, LEAN)
        axes.plot(
            *place,
            linestyle="none",
            marker="*" if ours else "D",
            markersize=16 if ours else 8,
            color="#D55E00" if ours else "#CC79A7",
            markeredgecolor="black",
            zorder=3,
        )
        label(NOTES.get(name, name), place, offset, fontsize=10)
    top = 2 * found[UNPRUNED]["second_mean"]
    steep = found[PRUNED]
    axes.annotate(
        f"{NOTES[PRUNED]}: {short(steep['second_mean'])}",
        (steep["frames"], top),
        xytext=(steep["frames"], top / 6),
        arrowprops={"arrowstyle": "->"},
        ha="center",
        fontsize=10,
    )
    raw = found["network"]["second_mean"]
    axes.axhline(raw, color="gray", linestyle=":")
    label("the network itself", (1.05, raw), (0, 4), fontsize=9, color="gray")
    axes.set(
        xscale="log",
        yscale="log",
        xlim=(1, 20),
        ylim=(raw / 2, top),
        xlabel="frames per environment, SO(3)",
        ylabel="max |d²F| along a path, mean over paths (1/Å²)",
    )
    ticks = [1, 1.5, 2, 3, 5, 10, 20]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.legend(title="hierarchical frames, decay 1.5 to 8 (numbers)", frameon=False, fontsize=9)
    axes.set_title("Liquid water, 12 nearest neighbors, random motion by 1 Å", fontsize=11)
    FIGURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(FIGURE, dpi=120)


def measure() -> dict[str, Any]:
    """All of it, by the keys of ``TABLES``."""
    torch.set_num_threads(THREADS)
    data_folder()
    return {
        "cutoff": CUTOFF,
        "frames_per_environment": environment_counts(),
        "derivatives_of_environments": environment_paths(),
        "frames_per_structure": structure_counts(),
        "derivatives_of_structures": structure_paths(),
        "trade_off": trade_off(),
    }


def main() -> None:
    found = measure()
    path = write_result("frames", found)
    draw(found["trade_off"], next(iter(found["derivatives_of_environments"].values())))
    print(*(f"{key}\n\n{table(key)}" for key in TABLES), path, sep="\n\n")


if __name__ == "__main__":
    main()
