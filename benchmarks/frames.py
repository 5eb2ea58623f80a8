"""How many frames does each family take, and how smooth is the average over them?

Frames per environment of random methane, liquid water and crystals, and per structure of molecules,
water and object scans; the largest derivatives along straight paths, with a random network (see
``_paths.py``); and what a sharper selection trades between the two. Frames are those that the
network is evaluated on: equal rotations count once, frames of weight zero not at all.

Run: python -m benchmarks.frames, with SYMMETRIZE_DATA the folder of the data sets (about 8 minutes
on one core). Writes results/frames.json and the figures of docs/frames.md, and prints its tables.
"""

import argparse
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache, partial
from statistics import mean
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from benchmarks._data import (
    acetylacetone,
    clouds,
    crystal,
    data_folder,
    ethanol,
    furniture,
    methane,
    of_the_demo,
    small_organic,
    smallest_molecules,
    water,
    water_dimers,
)
from benchmarks._families import (
    AVERAGING,
    CUTOFF,
    LEAN,
    PRUNED,
    SMOOTH,
    UNPRUNED,
    columns,
    families,
    numbers_of_frames,
    summary,
    without_frames,
)
from benchmarks._frames_figure import draw
from benchmarks._paths import Paths, RandomNetworks, scan, served, straight_paths
from benchmarks._record import read_result, write_result
from benchmarks._structure_figures import draw_candidates, draw_map
from benchmarks._text import markdown, progress, short
from benchmarks._timing import medians, milliseconds
from symmetrize import HierarchicalFrames, PairFrames
from symmetrize.frames.hierarchical import Selection
from symmetrize.frames.hierarchical.presets import PRESETS

SNAPSHOTS = range(0, 300, 60)  # of liquid water, for environments
WHOLE_SNAPSHOTS = range(0, 300, 6)  # of liquid water, as structures
PATHS = 32
THREADS = 1
NEAREST = 12
RATTLE = 0.05  # Å per component, of ethanol
BEYOND = 1.0  # Å beyond the cutoff, from where atoms may enter along a path
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
BETAS = (0.1, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0)  # of the published pairs, in 1/Å
DECAYS = (1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)


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


@cache
def whole_molecules() -> dict[str, list[Data]]:
    """Sets of molecules that are seen as whole structures."""
    return {
        "acetylacetone": acetylacetone(),
        f"ethanol, rattled {RATTLE} Å": ethanol(RATTLE),
        "QM9, 9 to 22 atoms": small_organic(9, 22),
        "QM9, 23 atoms or more": small_organic(23, 99),
        "water dimer": water_dimers(),
        "random methane": methane(),
    }


def structure_counts() -> dict[str, dict[str, dict[str, float]]]:
    """Frames per whole structure: system, then family and group."""
    systems = {
        "364 objects": furniture(),
        "liquid water": water(WHOLE_SNAPSHOTS),
        **whole_molecules(),
        "G2 set, at rest": smallest_molecules(),
        "molecules of the demo": of_the_demo(),
        **{f"random clouds of {n} points": clouds(n) for n in (5, 20, 200)},
    }
    return {
        system: {
            f"{name}, {group}": summary(
                numbers_of_frames(families()[name], group, "structure", data)
            )
            for name, group in columns()
            if name in (SMOOTH, LEAN) or system in whole_molecules()
        }
        for system, data in progress(systems.items(), "frames per structure")
    }


def structure_paths() -> dict[str, dict[str, Any]]:
    """Derivatives along paths of whole molecules: molecule, then family."""
    networks = RandomNetworks(None, scale=0.5)
    table: dict[str, dict[str, Any]] = {}
    for system, data in progress(whole_molecules().items(), "paths of molecules"):
        starts = [d.pos - d.pos.mean(0) for d in data[:PATHS]]
        paths = straight_paths(starts, None, [d.z for d in data[:PATHS]])
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
        frames = HierarchicalFrames(CUTOFF, selection=replace(smooth, centers=selection))
        curves[shape].append({"decay": decay, **scan(frames, networks, paths)})
    return curves


def published() -> list[dict[str, float]]:
    """The published pairs by their sharpness, on the same paths; time relative to the default.

    The adaptive cutoff follows the neighbors the closer the sharper it is; at the smallest
    sharpness it lies beyond the cutoff, and all pairs count.
    """
    networks = RandomNetworks(CUTOFF, scale=0.8)
    paths = next(iter(environment_sets().values()))
    start = torch.zeros(len(paths), 1, dtype=torch.float64)
    families_by_beta = {
        beta: {
            name: PairFrames(CUTOFF, beta=beta, auxiliary=without_frames, **pruned)
            for name, pruned in ((UNPRUNED, {"prune": None}), (PRUNED, {}))
        }
        for beta in BETAS
    }
    found = []
    for beta, by_name in progress(families_by_beta.items(), "sharpness of pairs"):
        sides = {
            name: partial(paths.ensemble, frames, *paths.clouds(start))
            for name, frames in (*by_name.items(), (SMOOTH, families()[SMOOTH]))
        }
        times = medians(milliseconds(sides, rounds=20))
        row: dict[str, Any] = {"beta": beta}
        for name, frames in by_name.items():
            row[name] = scan(frames, networks, paths) | {"time": times[name] / times[SMOOTH]}
        found.append(row)
    return found


def published_table(found: list[dict[str, Any]]) -> str:
    rows = []
    for name in (UNPRUNED, PRUNED):
        cells = [one[name] for one in found]
        told = [f"{c['frames']:.2f} / {bound(c, 0)}{short(c['second_mean'])}" for c in cells]
        rows.append([name, *told])
        rows.append([f"{name}: time", *(f"{c['time']:.2f}" for c in cells)])
    return markdown(["", *(f"beta {one['beta']:g}/Å" for one in found)], rows)


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


def before_table() -> str:
    """Whole structures against frames from single points and bonds, measured before these."""
    before, now = read_result("frames_before"), read_result("frames")
    header = [
        "",
        *(f"{name}, {what}" for name in (SMOOTH, LEAN) for what in ("O(3)", "max abs d2F")),
    ]
    rows = []
    for system, counted in now["frames_per_structure"].items():
        if system not in before["frames_per_structure"]:
            continue
        cells = [system]
        for name in (SMOOTH, LEAN):
            was = before["frames_per_structure"][system][f"{name}, O(3)"]
            cells.append(f"{was['mean']:.2f} → {counted[f'{name}, O(3)']['mean']:.2f}")
            paths = [one["derivatives_of_structures"].get(system) for one in (before, now)]
            cells.append(" → ".join(mean_and_median(path[name]) for path in paths if path))
        rows.append(cells)
    return markdown(header, rows)


def mean_and_median(found: dict[str, float]) -> str:
    return f"{short(found['second_mean'])} ({short(found['second_median'])})"


TABLES: dict[str, Callable[[Any], str]] = {
    "frames_per_environment": lambda found: count_table(found, mean_cell),
    "derivatives_of_environments": path_table,
    "frames_per_structure": lambda found: count_table(found, full_cell),
    "derivatives_of_structures": path_table,
    "trade_off": trade_off_table,
    "published": published_table,
}


def table(key: str) -> str:
    """One of the stored ``TABLES``, or "before"."""
    return before_table() if key == "before" else TABLES[key](read_result("frames")[key])


MEASURES: dict[str, Callable[[], Any]] = {
    "frames_per_environment": environment_counts,
    "derivatives_of_environments": environment_paths,
    "frames_per_structure": structure_counts,
    "derivatives_of_structures": structure_paths,
    "trade_off": trade_off,
    "published": published,
}


def measure(parts: Iterable[str]) -> dict[str, Any]:
    """Some of ``MEASURES``."""
    torch.set_num_threads(THREADS)
    data_folder()
    return {"cutoff": CUTOFF} | {name: MEASURES[name]() for name in parts}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    told = "beside what is stored of the others"
    parser.add_argument("--parts", nargs="+", choices=MEASURES, default=list(MEASURES), help=told)
    parts = parser.parse_args().parts
    before = {} if set(parts) == set(MEASURES) else read_result("frames")
    found = {name: before[name] for name in MEASURES if name in before} | measure(parts)
    path = write_result("frames", found)
    draw(
        found["trade_off"],
        found["published"],
        next(iter(found["derivatives_of_environments"].values())),
    )
    draw_candidates()
    draw_map(read_result("frames_before"), found)
    print(*(f"{key}\n\n{table(key)}" for key in (*TABLES, "before")), path, sep="\n\n")


if __name__ == "__main__":
    main()
