"""Two figures of docs/frames.md: where frames of whole structures come from, and what they cost."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from benchmarks._families import LEAN, SMOOTH
from symmetrize.frames.hierarchical.density import _products, density_of
from symmetrize.frames.hierarchical.presets import PRESETS
from symmetrize.frames.hierarchical.structures import (
    DEGREES,
    StructureChoice,
    choice_of_crystals,
    choice_of_structures,
)
from symmetrize.points.cloud import Points

if TYPE_CHECKING:
    from ase import Atoms

FIGURES = Path(__file__).parents[1] / "docs" / "figures"
CUTOFF = 5.0  # Å, of the crystal
FINE = 181  # points of the map from pole to pole
COLORS = {SMOOTH: "#0072B2", LEAN: "#D55E00"}  # of Okabe and Ito


def shown() -> dict[str, tuple["Atoms", int]]:
    """Structures, and the degree of the density that is drawn."""
    from ase.build import bulk, molecule

    return {
        "ethanol: the dipole": (molecule("CH3CH2OH"), DEGREES[0]),
        "copper: {} maxima of the density of bonds": (bulk("Cu", cubic=True), DEGREES[0]),
        "C60: {} maxima of the density of atoms": (molecule("C60"), DEGREES[1]),
    }


def choice_of(atoms: "Atoms") -> StructureChoice:
    """What the default frames choose from."""
    positions = torch.tensor(atoms.positions)
    index, species = torch.zeros(len(atoms), dtype=torch.long), torch.tensor(atoms.numbers)
    preset = PRESETS["smooth"]
    if atoms.pbc.any():
        cell, pbc = torch.tensor(atoms.cell.array)[None], torch.tensor(atoms.pbc)[None]
        structures = Points.of(positions, index, 1, cell=cell, pbc=pbc, species=species)
        return choice_of_crystals(structures, preset.crystals, CUTOFF, None)
    cloud = Points.of(positions, index, 1, species=species).from_centroid
    return choice_of_structures(cloud, species, preset.structures, None)


def draw_candidates() -> None:
    """Directions of points or bonds, their density, and the x axes that are chosen, by weight."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    def place(directions: Tensor) -> tuple[Any, Any]:
        x, y, z = (directions / directions.norm(dim=-1, keepdim=True)).unbind(-1)
        return torch.atan2(y, x).numpy(), z.clamp(-1, 1).asin().numpy()

    latitude = torch.linspace(-torch.pi / 2, torch.pi / 2, FINE, dtype=torch.float64)
    longitude = torch.linspace(-torch.pi, torch.pi, 2 * FINE, dtype=torch.float64)
    theta, phi = torch.meshgrid(latitude, longitude, indexing="ij")
    sphere = torch.stack([theta.cos() * phi.cos(), theta.cos() * phi.sin(), theta.sin()], dim=-1)
    figure, panels = plt.subplots(
        1, 3, figsize=(13, 2.7), subplot_kw={"projection": "hammer"}, layout="constrained"
    )
    for panel, (title, (atoms, degree)) in zip(panels, shown().items(), strict=True):
        choice = choice_of(atoms)
        # a turn that brings nothing to the rim
        turn = torch.linalg.qr(torch.tensor([[3.0, 1, 1], [1, 3, 2], [0, 1, 3]]).double())[0]
        seen = choice.seen.directions
        lab = choice.basis[0].T @ turn
        density = density_of(seen, choice.seen.weights, degree)
        values = _products((sphere @ lab.T).reshape(-1, 3), degree) @ density.coefficients[0]
        heights = values.reshape(theta.shape).numpy()
        panel.pcolormesh(longitude, latitude, heights, cmap="Greys", shading="auto")
        near = choice.seen.weights > 0.02 * choice.seen.weights.max()
        panel.plot(*place(seen.vectors[near] @ lab), "o", color="#E69F00", markersize=3)
        axes = choice.axes()
        x, y = place(axes.directions @ lab)
        size = 40 + 260 * axes.weights.numpy()
        panel.scatter(x, y, s=size, facecolors="none", edgecolors="#0072B2", linewidths=2, zorder=3)
        panel.set(xticks=[], yticks=[])
        panel.set_title(title.format(len(x)), fontsize=11)
    figure.savefig(FIGURES / "candidates.png", dpi=120)


def draw_map(before: dict[str, Any], now: dict[str, Any]) -> None:
    """Evaluations against derivatives of all sets, from before to now."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 5.5), layout="constrained")
    for name, color in COLORS.items():
        for number, system in enumerate(now["derivatives_of_structures"]):
            ends = [
                (
                    found["frames_per_structure"][system][f"{name}, O(3)"]["mean"],
                    found["derivatives_of_structures"][system][name]["second_mean"],
                )
                for found in (before, now)
            ]
            arrow = {"arrowstyle": "-|>", "color": color, "alpha": 0.6}
            axes.annotate("", ends[1], xytext=ends[0], arrowprops=arrow)
            axes.plot(*ends[0], "o", color=color, fillstyle="none", markersize=7)
            axes.plot(*ends[1], "o", color=color, label=name if number == 0 else None, markersize=9)
            axes.annotate(
                str(number + 1), ends[1], color="white", ha="center", va="center", fontsize=7
            )
    names = enumerate(now["derivatives_of_structures"], 1)
    axes.text(
        0.98,
        0.98,
        "\n".join(f"{number}  {system}" for number, system in names),
        transform=axes.transAxes,
        va="top",
        ha="right",
        fontsize=9,
    )
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="evaluations per structure at rest, O(3)",
        ylabel="max |d²F| along a path, mean over paths (1/Å²)",
        title="From single points and bonds (open) to the steadiest directions (full)",
    )
    ticks = [1, 1.5, 2, 3, 5, 10, 20]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.legend(frameon=False, loc="lower right")
    figure.savefig(FIGURES / "structures.png", dpi=120)
