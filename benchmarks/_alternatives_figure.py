"""The figure of docs/performance.md: what is left of the symmetry, and what it takes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

FIGURE = Path(__file__).parents[1] / "docs" / "figures" / "alternatives.png"
# Errors are drawn from here on: what is below is rounding
ROUNDING = 1e-15
# Families of ways, their color (Okabe and Ito) and marker
LOOKS = {
    "this library": ("#D55E00", "*"),
    "metatomic": ("#0072B2", "o"),
    "pair frames": ("#009E73", "s"),
    "PCA frames": ("#CC79A7", "D"),
    "one random": ("#56B4E9", "v"),
}


def draw(structures: Mapping[str, Mapping[str, Any]], chosen: tuple[str, str, str]) -> None:
    """One panel for each structure, on logarithmic axes."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, 3, figsize=(11, 4.2), sharey=True, layout="constrained")
    for axes, structure in zip(panels, chosen, strict=True):
        for name, row in structures[structure].items():
            if "rotation_error" not in row:
                continue
            kind = next(key for key in LOOKS if name.startswith(key))
            color, marker = LOOKS[kind]
            axes.plot(
                row["evaluations"],
                max(row["rotation_error"], ROUNDING),
                color=color,
                marker=marker,
                markersize=15 if kind == "this library" else 8,
                markeredgecolor="black",
                linestyle="none",
            )
        axes.set(xscale="log", yscale="log", title=structure, xlabel="evaluations of the network")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("largest error under rotation\n(spread of the network)")
    for kind, (color, marker) in LOOKS.items():
        label = {"one random": "one random rotation (i-PI)", "pair frames": "pair frames (ECSE)"}
        panels[0].plot(
            [], [], color=color, marker=marker, linestyle="none", label=label.get(kind, kind)
        )
    figure.legend(fontsize=9, loc="outside lower center", ncols=len(LOOKS))
    FIGURE.parent.mkdir(exist_ok=True)
    figure.savefig(FIGURE, dpi=150)
    plt.close(figure)
