"""What the network of the demo learns: energy, dipole and polarizability of small molecules."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from symmetrize.datasets import molecules

if TYPE_CHECKING:
    from torch_geometric.data import Data

#: how each output turns, and the unit in which it is reported
OUTPUTS = {"energy": "0e", "dipole": "1o", "polarizability": "ij=ji"}
UNITS = {"energy": (1e3, "meV"), "dipole": (1e3, "me Å"), "polarizability": (1e3, "10⁻³ Å³")}


@dataclass(frozen=True)
class Task:
    """Molecules to learn from and to be tested on.

    Their energies are what a linear fit to the numbers of atoms of each element leaves over.
    """

    train: list["Data"]
    test: list["Data"]


def load_task() -> Task:
    """The molecules shipped with the package, in float64."""
    train, test = molecules("train"), molecules("test")
    energies = torch.cat([molecule.energy for molecule in train])
    fit = torch.linalg.lstsq(_counts(train), energies[:, None], driver="gelsd").solution[:, 0]
    for part in (train, test):
        for molecule, composition in zip(part, _counts(part) @ fit, strict=True):
            molecule.energy = (molecule.energy - composition)[:, None]
            # hydrogen, carbon, nitrogen, oxygen: all the network has to know of
            del molecule.formula
    return Task(train, test)


def _counts(graphs: list["Data"]) -> Float[Tensor, "molecules elements"]:
    elements = torch.tensor([1, 6, 7, 8])
    return torch.stack([(graph.z[:, None] == elements).sum(0) for graph in graphs]).double()
