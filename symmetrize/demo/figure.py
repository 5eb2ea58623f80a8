"""The figure of the demo: energies and other outputs along three paths of molecules."""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch_geometric.data import Batch, Data

from symmetrize.demo.evaluation import Model
from symmetrize.demo.paths import BENT, Course, bending, circle, stretching

Values = Float[Tensor, "points"]
Outputs = Mapping[str, Tensor]
Quantity = Callable[[Outputs], Values]

STYLES = {
    "network": {"color": "#9aa0a6", "linewidth": 1.6, "zorder": 1},
    "trained FrameAveraging": {"color": "#e07b39", "linewidth": 1.6, "zorder": 2},
    "trained symmetrized": {"color": "#1b5e8c", "linewidth": 2.2, "zorder": 3},
}


def energy(outputs: Outputs) -> Values:
    """The energy in meV, from the lowest of the symmetrized one."""
    return 1e3 * outputs["energy"][:, 0]


def dipole(outputs: Outputs) -> Values:
    """The length of the dipole, in e Angstrom."""
    return outputs["dipole"].norm(dim=1)


def anisotropy(outputs: Outputs) -> Values:
    """Polarizability across the line, along the bend minus normal to it, in cubic Angstrom."""
    tensor = BENT.mT @ outputs["polarizability"] @ BENT
    return tensor[:, 0, 0] - tensor[:, 1, 1]


def draw_figure(models: Mapping[str, Model], molecule: Data, path: Path) -> None:
    """Write the figure; ``models`` by the names in ``STYLES``."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import MaxNLocator

    columns: list[tuple[str, str, Course, tuple[str, Quantity]]] = [
        (
            "CH$_3$OH turned through a circle",
            "angle (degrees)",
            circle(molecule),
            ("dipole (e Å)", dipole),
        ),
        (
            "CO$_2$ bent through a straight line",
            "bond angle (degrees)",
            bending(),
            ("difference of polarizabilities\nacross the line (Å$^3$)", anisotropy),
        ),
        (
            "NH$_3$ through its symmetric shape",
            "change of one N-H bond (Å)",
            stretching(),
            ("dipole (e Å)", dipole),
        ),
    ]
    figure, panels = plt.subplots(2, 3, figsize=(12.5, 6.2), sharex="col", layout="constrained")
    for (above, below), (title, xlabel, (x, shapes), second) in zip(panels.T, columns, strict=True):
        batch = Batch.from_data_list(shapes)
        with torch.no_grad():
            outputs = {name: model(batch) for name, model in models.items()}
        lowest = float(energy(outputs["trained symmetrized"]).min())
        for name, found in outputs.items():
            above.plot(x, energy(found) - lowest, label=name, **STYLES[name])
            below.plot(x, second[1](found), **STYLES[name])
        above.set_title(title, loc="left", fontsize=11)
        above.set_ylabel("energy (meV)")
        below.set_ylabel(second[0])
        below.set_xlabel(xlabel)
    for panel in panels.flat:
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(color="#e8eaed", linewidth=0.8)
        panel.set_axisbelow(True)
        panel.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 9, 10]))
        panel.margins(x=0.02)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    figure.savefig(path, dpi=160)
    plt.close(figure)
