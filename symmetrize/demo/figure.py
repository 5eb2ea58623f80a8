"""The figure of the demo: one network before and after, along three paths of molecules.

A molecule turned through a full circle, where nothing should change; carbon dioxide bent through a
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

STYLES = {
    "network": {"color": "#9aa0a6", "linewidth": 1.6, "zorder": 1},
    "FrameAveraging": {"color": "#e07b39", "linewidth": 1.6, "zorder": 2},
    "symmetrized": {"color": "#1b5e8c", "linewidth": 2.2, "zorder": 3},
}


def example(molecules: list[Data]) -> Data:
    """The first of the largest molecules."""
    return max(molecules, key=lambda molecule: len(molecule.pos))


def circle(molecule: Data) -> tuple[Float[np.ndarray, "points"], list[Data]]:
    """The molecule turned about a skew axis; angles in degrees."""
    degrees = np.linspace(0, 360, POINTS)
    axis = torch.nn.functional.normalize(torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64), dim=0)
    cross = torch.linalg.cross(axis.expand(3, 3), torch.eye(3, dtype=torch.float64))
    turns = [torch.linalg.matrix_exp(angle * cross) for angle in np.deg2rad(degrees)]
    return degrees, [Data(pos=molecule.pos @ turn, z=molecule.z) for turn in turns]


def bending() -> tuple[Float[np.ndarray, "points"], list[Data]]:
    """Carbon dioxide, its carbon moved across the line of the oxygens; bond angles in degrees."""
    bends = np.linspace(-0.3, 0.3, POINTS)
    z = torch.tensor([6, 8, 8])
    ends = [[0.0, 0.0, -CO_BOND], [0.0, 0.0, CO_BOND]]
    # the molecule lies askew: no axis of the coordinates is special
    turn = torch.linalg.matrix_exp(
        torch.tensor([[0.0, -0.5, 0.9], [0.5, 0.0, -0.7], [-0.9, 0.7, 0.0]], dtype=torch.float64)
    )
    shapes = [torch.tensor([[bend, 0.0, 0.0], *ends], dtype=torch.float64) for bend in bends]
    angles = 180 - np.rad2deg(2 * np.arctan(bends / CO_BOND))
    return angles, [Data(pos=shape @ turn, z=z) for shape in shapes]


def stretching() -> tuple[Float[np.ndarray, "points"], list[Data]]:
    """Ammonia, one bond stretched from shorter to longer than the others; change in Angstrom."""
    changes = np.linspace(-0.08, 0.08, POINTS)
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


@torch.no_grad()
def energies(model: Model, path: list[Data]) -> Float[np.ndarray, "points"]:
    """The energy along a path, in meV."""
    energy: Tensor = model(Batch.from_data_list(path))["energy"]
    return 1e3 * energy[:, 0].numpy()


def draw(models: Mapping[str, Model], molecule: Data, path: Path) -> None:
    """Write the figure; ``models`` by the names in ``STYLES``."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    paths: list[tuple[str, str, Callable]] = [
        ("turned through a circle", "angle (degrees)", lambda: circle(molecule)),
        ("CO$_2$ bent through a straight line", "bond angle (degrees)", bending),
        ("NH$_3$ stretched through its symmetric shape", "change of one N-H bond (Å)", stretching),
    ]
    figure, panels = plt.subplots(1, 3, figsize=(12.5, 3.9), layout="constrained")
    for panel, (title, label, make) in zip(panels, paths, strict=True):
        x, shapes = make()
        for name, model in models.items():
            panel.plot(x, energies(model, shapes), label=name, **STYLES[name])
        panel.set_title(title, fontsize=11)
        panel.set_xlabel(label)
    panels[0].set_ylabel("energy (meV)")
    panels[0].legend()
    figure.savefig(path, dpi=160)
    plt.close(figure)
