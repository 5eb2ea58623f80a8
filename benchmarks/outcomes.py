"""What a good unconstrained potential does wrong, and what is left of it in each family of frames.

The potential that comes along, a PET trained in random rotations, by itself and in frames: a fixed
quadrature, principal axes, and the default frames. Each moves a molecule at constant energy, bends
a linear molecule, pulls two molecules apart through the cutoff, relaxes aluminum without
constraints, and vibrates silicon. And it answers whether the spread over frames says how large
errors are, on structures that the potential never saw.

Run: python -m benchmarks.outcomes (half an hour on one core; needs ase, spglib, and for the spread
comparisons/structures.xyz of scripts/label_structures.py). Writes results/outcomes.json and
docs/figures/outcomes.png, and prints the tables of docs/outcomes.md. --picoseconds of dynamics;
--parts measures some of it again, beside what is stored of the others.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.filters import FrechetCellFilter
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS

from backbones.pretrained import card, small_pet
from benchmarks._phonons import frequencies
from benchmarks._record import RESULTS, read_result, write_result
from benchmarks._text import markdown, progress, short
from symmetrize import (
    FrameAveraging,
    HierarchicalFrames,
    QuadratureFrames,
    SymmetrizedCalculator,
    Symmetrizer,
    from_ase,
)
from symmetrize.groups import random_elements

THREADS = 1
TIME = 0.5  # fs of one step of dynamics
KELVIN = 300
# Models that are run for all of the time, and the part of it for others
LONG, OTHERS = ("bare", "symmetrized"), 0.02
DISPLACEMENT = 1e-3  # Å, of phonons
STRUCTURES = Path("comparisons/structures.xyz")
FIGURE = Path(__file__).parents[1] / "docs" / "figures" / "outcomes.png"
MAE = "MAE (meV/atom)"
DEGREE = 3  # of the quadrature: 24 rotations, 48 with inversions


def models() -> dict[str, Callable[[Any], Any]]:
    """The potential by itself and in frames."""
    net = small_pet().double()
    return {
        "bare": net,
        "quadrature": Symmetrizer(net, frames=QuadratureFrames(DEGREE)),
        "principal axes": Symmetrizer(net, frames=FrameAveraging()),
        "symmetrized": Symmetrizer(net, frames=HierarchicalFrames(net.cutoff)),
    }


def moved(atoms: Atoms, model: Any, picoseconds: float) -> dict[str, float]:
    """Drift of the energy, its fluctuation, and changes of momentum and angular momentum."""
    atoms = atoms.copy()
    atoms.calc = SymmetrizedCalculator(model)
    BFGS(atoms, logfile=None).run(fmax=0.02, steps=60)
    rng = np.random.default_rng(1)
    MaxwellBoltzmannDistribution(atoms, temperature_K=2 * KELVIN, rng=rng)
    Stationary(atoms)
    first = atoms.get_angular_momentum()
    scale = float(np.abs(np.cross(atoms.positions, atoms.get_momenta())).sum())
    engine = VelocityVerlet(atoms, TIME * units.fs)
    energies, turning, pushing = [], [], []
    steps = int(1000 * picoseconds / TIME)
    for _ in engine.irun(steps):
        energies.append(atoms.get_total_energy())
        turning.append(float(np.abs(atoms.get_angular_momentum() - first).max()))
        pushing.append(float(np.abs(atoms.get_momenta().sum(0)).max()))
    values = 1e3 * np.array(energies) / len(atoms)
    slope = np.polyfit(np.arange(len(values)) * TIME / 1000, values, 1)[0]
    found = {"drift": float(slope), "fluctuation": float(values.std()), "momentum": max(pushing)}
    if not atoms.pbc.any():
        found["angular"] = max(turning) / scale
    return found


def dynamics(picoseconds: float) -> dict[str, dict[str, dict[str, float]]]:
    """A molecule, by model; some of them shorter. Crystals: benchmarks.relaxation."""
    systems = {"methanol": molecule("CH3OH")}
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name, atoms in systems.items():
        found[name] = {}
        for which, model in progress(models().items(), f"dynamics of {name}"):
            time = picoseconds * (1.0 if which in LONG else OTHERS)
            found[name][which] = {"picoseconds": time, **moved(atoms, model, time)}
    return found


def energies(model: Any, images: list[Atoms]) -> list[float]:
    """Of images, one after the other, as in a simulation."""
    found = []
    for atoms in images:
        with torch.no_grad():
            data = from_ase(atoms)
            found.append(float(model(data)["energy"]))
    return found


def bending() -> dict[str, Any]:
    """The energy of CO2 as it bends through the line, turned at random."""
    turn = random_elements(1, "SO(3)", torch.Generator().manual_seed(3))[0].numpy()
    angles = np.linspace(-0.35, 0.35, 141)
    images = []
    for angle in angles:
        arms = 1.16 * np.array([[np.cos(angle), np.sin(angle), 0], [-1, 0, 0]])
        images.append(Atoms("COO", np.concatenate([np.zeros((1, 3)), arms]) @ turn.T))
    return {"angle": np.degrees(angles).tolist(), **on_path(images)}


def parting() -> dict[str, Any]:
    """The energy of two waters as they part through the cutoff."""
    first, second = molecule("H2O"), molecule("H2O")
    second.rotate(70, (1, 2, 3))
    distances = np.linspace(2.8, 11.0, 165)
    images = []
    for distance in distances:
        other = second.copy()
        other.positions += [0.8 * distance, 0.6 * distance, 0]
        images.append(first + other)
    return {"distance": distances.tolist(), **on_path(images)}


def on_path(images: list[Atoms]) -> dict[str, Any]:
    """Energies in eV, from their mean at the end, by model."""
    found = {}
    for which, model in progress(models().items(), "paths"):
        values = np.array(energies(model, images))
        found[which] = (values - values[-1]).tolist()
    return {"energy": found}


def relaxed() -> dict[str, dict[str, Any]]:
    """Aluminum from a deformed cell, without constraints: lengths, angles and space group."""
    from spglib import get_spacegroup

    found = {}
    for which, model in progress(models().items(), "relaxations"):
        atoms = bulk("Al", cubic=True)
        rng = np.random.default_rng(5)
        strain = rng.uniform(-0.02, 0.02, (3, 3))
        atoms.set_cell(atoms.cell @ (np.eye(3) + strain), scale_atoms=True)
        atoms.rattle(0.05, seed=5)
        atoms.calc = SymmetrizedCalculator(model)
        run = BFGS(FrechetCellFilter(atoms), logfile=None)
        done = run.run(fmax=1e-4, steps=150)
        cell = (atoms.cell, atoms.get_scaled_positions(), atoms.numbers)
        lengths, angles = atoms.cell.lengths(), atoms.cell.angles()
        found[which] = {
            "steps": run.get_number_of_steps() if done else -1,
            "lengths": [float(np.ptp(lengths)), float(lengths.mean())],
            "angles": float(np.abs(angles - 90).max()),
            "group": get_spacegroup(cell, 1e-3),
        }
    return found


def phonons() -> dict[str, list[float]]:
    """Frequencies of silicon at Gamma in THz; the last three are equal by symmetry."""
    found = {}
    for which, model in progress(models().items(), "phonons"):
        atoms = bulk("Si", a=5.43)
        turn = random_elements(1, "SO(3)", torch.Generator().manual_seed(1))[0].numpy()
        atoms.set_cell(atoms.cell @ turn.T, scale_atoms=True)
        atoms.calc = SymmetrizedCalculator(model)
        found[which] = frequencies(atoms, DISPLACEMENT)
    return found


def calibration() -> dict[str, Any]:
    """Spread over frames and over random rotations against the error, per structure (eV/Å)."""
    from benchmarks.compare.configuration import read
    from benchmarks.compare.data import split
    from benchmarks.compare.sets import data_of
    from symmetrize import forces_and_stress

    (run,) = read("potential").runs()
    test = split(data_of(run.data), run.data).test
    net = small_pet().double()
    model = Symmetrizer(net, frames=HierarchicalFrames(net.cutoff))
    generator = torch.Generator().manual_seed(0)
    rows: dict[str, list[float]] = {"error": [], "rotations": [], "crystal": []}
    for data in progress(test, "calibration"):
        true = data.forces
        found = forces_and_stress(model, data).forces
        turned = []
        for turn in random_elements(8, "O(3)", generator):
            other = data.clone()
            other.pos = data.pos @ turn.mT
            other.cell = data.cell @ turn.mT
            turned.append(forces_and_stress(net, other).forces @ turn)
        rows["error"].append(float((found - true).square().mean().sqrt()))
        spread = torch.stack(turned).var(0).mean().sqrt()
        rows["rotations"].append(float(spread))
        rows["crystal"].append(float(bool(data.pbc.any())))
    error, rotations = np.array(rows["error"]), np.array(rows["rotations"])
    order = np.argsort(rotations)
    parts = np.array_split(order, 5)
    return {
        **rows,
        "rank_correlation": float(
            np.corrcoef(np.argsort(np.argsort(error)), np.argsort(np.argsort(rotations)))[0, 1]
        ),
        "fifths": [[float(rotations[p].mean()), float(error[p].mean())] for p in parts],
    }


def measure(picoseconds: float, parts: list[str]) -> dict[str, Any]:
    """What is asked for."""
    torch.set_num_threads(THREADS)
    measured: dict[str, Callable[[], Any]] = {
        "bending": bending,
        "parting": parting,
        "phonons": phonons,
        "relaxed": relaxed,
        "calibration": calibration,
        "dynamics": lambda: dynamics(picoseconds),
    }
    return {name: measured[name]() for name in parts}


# --- tables


def dynamics_table(found: dict[str, Any]) -> str:
    rows = []
    for name, by_model in found["dynamics"].items():
        for which, one in by_model.items():
            time = one["picoseconds"]
            # over less time it is a fluctuation
            drift = f"{one['drift']:.1g}" if time >= 1 else "-"
            turning = f"{one['angular']:.0e}" if "angular" in one else "-"
            numbers = (drift, f"{one['fluctuation']:.1g}", turning, f"{one['momentum']:.0e}")
            rows.append([f"{name}, {time:g} ps", which, *numbers])
    return markdown(
        [
            *("", "model", "drift of the energy (meV/atom/ps)", "fluctuation (meV/atom)"),
            *("change of angular momentum", "momentum (ase's units)"),
        ],
        rows,
    )


def path_table(found: dict[str, Any]) -> str:
    bend, part = found["bending"], found["parting"]
    middle = len(bend["angle"]) // 2
    rows = []
    for which, values in bend["energy"].items():
        energy = 1e3 * np.array(values)
        step = bend["angle"][1] - bend["angle"][0]
        slope = (energy[middle + 1] - energy[middle - 1]) / (2 * step)
        odd = np.abs(energy - energy[::-1]).max() / 2
        jump = np.abs(np.diff(np.array(part["energy"][which]) * 1e3, 2)).max()
        last = 1e3 * np.abs(np.array(part["energy"][which])[-20:]).max()
        rows.append([which, f"{slope:.1g}", f"{odd:.1g}", f"{jump:.2g}", f"{last:.1g}"])
    return markdown(
        [
            *("", "CO2: slope at the line (meV/degree)", "difference of the two ways (meV)"),
            *("waters: largest second difference (meV)", "left beyond the cutoff (meV)"),
        ],
        rows,
    )


def phonon_table(found: dict[str, Any]) -> str:
    return markdown(
        ["", "optical modes (THz)", "largest minus smallest"],
        (
            [which, ", ".join(f"{f:.3f}" for f in row[3:]), f"{max(row[3:]) - min(row[3:]):.0e}"]
            for which, row in found["phonons"].items()
        ),
    )


def relaxation_table(found: dict[str, Any]) -> str:
    return markdown(
        ["", "steps", "lengths differ by (Å)", "angles off 90° by", "space group, to 1e-3 Å"],
        (
            [
                which,
                "not in 150" if one["steps"] < 0 else str(one["steps"]),
                f"{one['lengths'][0]:.0e} of {one['lengths'][1]:.3f}",
                f"{one['angles']:.0e}°",
                one["group"],
            ]
            for which, one in found["relaxed"].items()
        ),
    )


def calibration_table(found: dict[str, Any]) -> str:
    one = found["calibration"]
    return markdown(
        ["structures by their spread", "spread over rotations (eV/Å)", "error of forces (eV/Å)"],
        (
            [f"{place + 1}. fifth", short(spread), short(error)]
            for place, (spread, error) in enumerate(one["fifths"])
        ),
    )


def errors_table(found: dict[str, Any]) -> str:
    told = card()
    names = {"energy per point": (1e3, "energy (meV/atom)"), "forces": (1e3, "forces (meV/Å)")}
    rows = []
    for form, one in told["errors"].items():
        turned = max(told["rotation_error"][form].values())
        errors = [short(scale * one[name]["mae"]) for name, (scale, _) in names.items()]
        rows.append([form, *errors, f"{turned:.0e}"])
    header = ["", *(f"{said}, MAE" for _, said in names.values()), "rotation error (spread)"]
    return markdown(header, rows)


TABLES: dict[str, Callable[[dict[str, Any]], str]] = {
    "errors": errors_table,
    "dynamics": dynamics_table,
    "paths": path_table,
    "phonons": phonon_table,
    "relaxations": relaxation_table,
    "calibration": calibration_table,
}


def table(key: str) -> str:
    """One of the stored ``TABLES``."""
    return TABLES[key](read_result("outcomes"))


def draw(found: dict[str, Any], path: Path) -> None:
    """Bending, parting, and errors against spreads."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    colors = {
        "bare": "#D55E00", "quadrature": "#E69F00", "principal axes": "#CC79A7",
        "symmetrized": "#0072B2",
    }  # fmt: skip
    figure, axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    for panel, key, across in zip(
        axes, ("bending", "parting"), ("angle", "distance"), strict=False
    ):
        one = found[key]
        exact = np.array(one["energy"]["symmetrized"])
        for which, values in one["energy"].items():
            away = 1e3 * (np.array(values) - exact)
            panel.plot(one[across], away, color=colors[which], label=which)
    said = "energy beyond that of the symmetrized (meV)"
    axes[0].set(xlabel="CO2: angle off the line (degrees)", ylabel=said)
    axes[1].set(xlabel="two waters: distance (Å)", ylabel=said)
    axes[0].legend()
    if "calibration" in found:
        one = found["calibration"]
        kinds = np.array(one["crystal"]) > 0
        for which, shown, color in (
            ("molecules", ~kinds, "#009E73"),
            ("crystals", kinds, "#000000"),
        ):
            axes[2].loglog(
                np.array(one["rotations"])[shown], np.array(one["error"])[shown], ".",
                color=color, label=which,
            )  # fmt: skip
        axes[2].set(xlabel="spread of forces over rotations (eV/Å)", ylabel="error (eV/Å)")
        axes[2].legend()
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


PARTS = ("bending", "parting", "phonons", "relaxed", "calibration", "dynamics")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picoseconds", type=float, default=20.0)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    options = parser.parse_args()
    found = measure(options.picoseconds, options.parts)
    stored = RESULTS / "outcomes.json"
    before = read_result("outcomes") if stored.exists() else {}
    found = {name: before[name] for name in PARTS if name in before} | found
    path = write_result("outcomes", found, "python -m benchmarks.outcomes")
    draw(found, FIGURE)
    print(path)


if __name__ == "__main__":
    main()
