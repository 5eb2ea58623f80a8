"""The figure of the demo: one network before and after, along three paths of molecules.

Methanol turned through a full circle, where nothing should change; carbon dioxide bent through a
straight line, where a rotation about the line is lost; and ammonia stretched through its symmetric
shape, where two principal axes are equal and frame averaging jumps.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch_geometric.data import Batch, Data

from symmetrize.demo.evaluation import Model

POINTS = 361
# geometries near the minimum: bonds in Angstrom, angle between N-H and the threefold axis
CO_BOND, NH_BOND, NH_TILT = 1.14, 1.00, np.deg2rad(111.5)

# columns: across the line along the bend, across it normal to the bend, along the line; the
# molecule lies askew, so that no axis of the coordinates is special
BENT = torch.linalg.matrix_exp(
    torch.tensor([[0.0, -0.5, 0.9], [0.5, 0.0, -0.7], [-0.9, 0.7, 0.0]], dtype=torch.float64)
)

Values = Float[Tensor, "points"]
Outputs = Mapping[str, Tensor]
Quantity = Callable[[Outputs], Values]
Course = tuple[Float[np.ndarray, "points"], list[Data]]

STYLES = {
    "network": {"color": "#9aa0a6", "linewidth": 1.6, "zorder": 1},
    "FrameAveraging": {"color": "#e07b39", "linewidth": 1.6, "zorder": 2},
    "symmetrized": {"color": "#1b5e8c", "linewidth": 2.2, "zorder": 3},
}


def example(molecules: list[Data]) -> Data:
    """Methanol, the largest of the molecules, in its configuration of median energy."""
    largest = max(len(molecule.pos) for molecule in molecules)
    methanols = [molecule for molecule in molecules if len(molecule.pos) == largest]
    methanols.sort(key=lambda molecule: molecule.energy.item())
    return methanols[len(methanols) // 2]


def circle(molecule: Data) -> tuple[Float[np.ndarray, "points"], list[Data]]:
    """The molecule turned about a skew axis; angles in degrees."""
    degrees = np.linspace(0, 360, POINTS)
    axis = torch.nn.functional.normalize(torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64), dim=0)
    cross = torch.linalg.cross(axis.expand(3, 3), torch.eye(3, dtype=torch.float64))
    turns = [torch.linalg.matrix_exp(angle * cross) for angle in np.deg2rad(degrees)]
    return degrees, [Data(pos=molecule.pos @ turn, z=molecule.z) for turn in turns]


def bending() -> tuple[Float[np.ndarray, "points"], list[Data]]:
    """Carbon dioxide, its carbon moved across the line of the oxygens; bond angles in degrees."""
    bends = np.linspace(-0.12, 0.12, POINTS)
    z = torch.tensor([6, 8, 8])
    ends = [[0.0, 0.0, -CO_BOND], [0.0, 0.0, CO_BOND]]
    shapes = [torch.tensor([[bend, 0.0, 0.0], *ends], dtype=torch.float64) for bend in bends]
    angles = 180 - np.rad2deg(2 * np.arctan(bends / CO_BOND))
    return angles, [Data(pos=shape @ BENT.T, z=z) for shape in shapes]


def stretching() -> tuple[Float[np.ndarray, "points"], list[Data]]:
    """Ammonia, one bond stretched from shorter to longer than the others; change in Angstrom."""
    changes = np.linspace(-0.05, 0.05, POINTS)
    z = torch.tensor([7, 1, 1, 1])
    azimuths = 2 * np.pi / 3 * np.arange(3) + 0.4
    bonds = np.stack(
        [np.sin(NH_TILT) * np.cos(azimuths), np.sin(NH_TILT) * np.sin(azimuths),
         np.full(3, np.cos(NH_TILT))], -1
    )  # fmt: skip
    shapes = []
    for change in changes:
        lengths = NH_BOND + np.array([change, 0.0, 0.0])
        shapes.append(np.concatenate([np.zeros((1, 3)), lengths[:, None] * bonds]))
    return changes, [Data(pos=torch.from_numpy(shape), z=z) for shape in shapes]


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
            "NH$_3$ stretched through its symmetric shape",
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
        lowest = float(energy(outputs["symmetrized"]).min())
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
