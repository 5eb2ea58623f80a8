"""The network of the demo: plain PyTorch, and nothing in it knows of rotations.

Every atom passes the same small network, a sum over atoms makes one vector of the molecule, which
is given back to every atom and summed again. In the manner of PointNet (Qi, Su, Mo and Guibas, CVPR
2017, arXiv 1612.00593), with smooth activations, and sums for the maxima.
"""

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch
from torch_geometric.nn import global_add_pool, global_mean_pool

WIDTH = 128
ELEMENTS = 10  # up to fluorine
NUMBERS = {"energy": (1,), "dipole": (3,), "polarizability": (3, 3)}


class Network(nn.Module):
    """Energy, dipole and polarizability of molecules, from where their atoms are and which."""

    def __init__(self) -> None:
        super().__init__()
        self.place, self.element = nn.Linear(3, WIDTH), nn.Embedding(ELEMENTS, WIDTH)
        self.alone, self.context, self.together = (layers(WIDTH, WIDTH) for _ in range(3))
        self.molecule = nn.Linear(WIDTH, WIDTH)
        self.heads = nn.ModuleDict(
            {name: layers(WIDTH, torch.Size(shape).numel()) for name, shape in NUMBERS.items()}
        )

    def forward(self, data: Batch) -> dict[str, Tensor]:
        """Each output (molecules, *shape), in units of its own spread over the data."""
        batch, size = data.batch, data.num_graphs
        centroid = global_mean_pool(data.pos, batch, size)
        x = self.place(data.pos - centroid[batch]) + self.element(data.z)
        x = x + self.alone(x)
        x = x + self.context(global_add_pool(x, batch, size))[batch]
        x = x + self.together(x)
        molecule = nn.functional.silu(self.molecule(global_add_pool(x, batch, size)))
        return {
            name: self.heads[name](molecule).reshape(-1, *shape) for name, shape in NUMBERS.items()
        }


def layers(inner: int, outer: int) -> nn.Sequential:
    """Two hidden layers of the same width."""
    return nn.Sequential(
        nn.Linear(inner, WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH), nn.SiLU(),
        nn.Linear(WIDTH, outer),
    )  # fmt: skip
