"""The figure of docs/frames.md: what fewer frames cost in smoothness."""

from pathlib import Path
from typing import Any

from benchmarks._families import AVERAGING, LEAN, PRUNED, SMOOTH, UNPRUNED
from benchmarks._text import short

FIGURE = Path(__file__).parents[1] / "docs" / "figures" / "frames.png"
NOTES = {
    UNPRUNED: "pairs, unpruned (published)",
    PRUNED: "pairs, pruned (published)",
    AVERAGING: "frame averaging (jumps at\nequal principal axes)",
}


def draw(
    curves: dict[str, list[dict[str, float]]], pairs: list[dict[str, Any]], found: dict[str, Any]
) -> None:
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
    x = [one[UNPRUNED]["frames"] for one in pairs]
    y = [one[UNPRUNED]["second_mean"] for one in pairs]
    axes.plot(x, y, color="#CC79A7", marker="D", markersize=4, label="pairs, beta 0.1 to 12 / Å")
    for one, place in zip(pairs, zip(x, y, strict=True), strict=True):
        label(f"{one['beta']:g}", place, (6, 2), fontsize=8, color="#CC79A7")
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
    top = 4 * max(y)
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
        xlim=(1, 200),
        ylim=(raw / 2, top),
        xlabel="frames per environment, SO(3)",
        ylabel="max |d²F| along a path, mean over paths (1/Å²)",
    )
    ticks = [1, 2, 5, 10, 20, 50, 100]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.legend(title="hierarchical frames, decay 1.5 to 8 (numbers)", frameon=False, fontsize=9)
    axes.set_title("Liquid water, 12 nearest neighbors, random motion by 1 Å", fontsize=11)
    FIGURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(FIGURE, dpi=120)
