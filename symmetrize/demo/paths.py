"""Paths of molecules on which symmetry is lost, or gained for a moment.

Methanol turned through a full circle, where nothing should change; carbon dioxide bent through a
straight line, where a rotation about the line is lost; and ammonia stretched through its symmetric
shape, where two principal axes are equal and frame averaging jumps.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch_geometric.data import Data

POINTS = 361
STRETCHES = np.linspace(-0.05, 0.05, POINTS)
# geometries near the minimum: bonds in Angstrom, angle between N-H and the threefold axis
CO_BOND, NH_BOND, NH_TILT = 1.14, 1.00, np.deg2rad(111.5)

# columns: across the line along the bend, across it normal to the bend, along the line; the
# molecule lies askew, so that no axis of the coordinates is special
BENT = torch.linalg.matrix_exp(
    torch.tensor([[0.0, -0.5, 0.9], [0.5, 0.0, -0.7], [-0.9, 0.7, 0.0]], dtype=torch.float64)
)

Course = tuple[Float[np.ndarray, "points"], list[Data]]


def example(molecules: list[Data]) -> Data:
    """Methanol, the largest of the molecules, in its configuration of median energy."""
    largest = max(len(molecule.pos) for molecule in molecules)
    methanols = [molecule for molecule in molecules if len(molecule.pos) == largest]
    methanols.sort(key=lambda molecule: molecule.energy.item())
    return methanols[len(methanols) // 2]


def circle(molecule: Data) -> Course:
    """The molecule turned about a skew axis; angles in degrees."""
    degrees = np.linspace(0, 360, POINTS)
    axis = torch.nn.functional.normalize(torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64), dim=0)
    cross = torch.linalg.cross(axis.expand(3, 3), torch.eye(3, dtype=torch.float64))
    turns = [torch.linalg.matrix_exp(angle * cross) for angle in np.deg2rad(degrees)]
    return degrees, [Data(pos=molecule.pos @ turn, z=molecule.z) for turn in turns]


def bending() -> Course:
    """Carbon dioxide, its carbon moved across the line of the oxygens; bond angles in degrees."""
    bends = np.linspace(-0.12, 0.12, POINTS)
    z = torch.tensor([6, 8, 8])
    ends = [[0.0, 0.0, -CO_BOND], [0.0, 0.0, CO_BOND]]
    shapes = [torch.tensor([[bend, 0.0, 0.0], *ends], dtype=torch.float64) for bend in bends]
    angles = 180 - np.rad2deg(2 * np.arctan(bends / CO_BOND))
    return angles, [Data(pos=shape @ BENT.T, z=z) for shape in shapes]


def stretching(changes: Float[np.ndarray, "points"] = STRETCHES) -> Course:
    """Ammonia, one bond shorter to longer than the others by changes in Angstrom."""
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
