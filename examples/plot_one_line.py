"""
One line
========

A network of torch-geometric that knows nothing of rotations, before and after.
"""

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch_geometric.data import Batch, Data
from torch_geometric.nn import PointNetConv, global_add_pool, knn_graph

from backbones.adapters import offer_to_pyg
from symmetrize import Symmetrizer
from symmetrize.groups import random_elements

offer_to_pyg()  # knn_graph then needs no compiled extension


class Net(nn.Module):
    """Two layers of PointNet++ on a graph of neighbors; a vector for each cloud."""

    def __init__(self) -> None:
        super().__init__()
        self.first = PointNetConv(nn.Sequential(nn.Linear(3, 32), nn.SiLU(), nn.Linear(32, 32)))
        self.second = PointNetConv(nn.Sequential(nn.Linear(35, 32), nn.SiLU(), nn.Linear(32, 32)))
        self.last = nn.Linear(32, 3)

    def forward(self, data: Data) -> torch.Tensor:
        edges = knn_graph(data.pos, k=6, batch=data.batch)
        hidden = self.second(self.first(None, data.pos, edges).tanh(), data.pos, edges)
        return self.last(global_add_pool(hidden, data.batch))


torch.manual_seed(0)
net = Net().double().eval()

# %%
# The one line. The network returns a vector, ``"1o"``, and is asked about a few turned copies of
# each cloud.

model = Symmetrizer(net, outputs="1o")

# %%
# Turned clouds should give turned vectors. How far off are they?

clouds = Batch.from_data_list([Data(pos=torch.randn(20, 3).double()) for _ in range(8)])
turns = random_elements(50, "O(3)", torch.Generator().manual_seed(1))
errors: dict[str, list[float]] = {"the network": [], "symmetrized": []}
with torch.no_grad():
    for name, each in (("the network", net), ("symmetrized", model)):
        before = each(clouds)
        for turn in turns:
            turned = clouds.clone()
            turned.pos = clouds.pos @ turn.T
            errors[name].append(float((each(turned) - before @ turn.T).abs().max() / before.std()))

figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
axes.hist([errors["the network"], errors["symmetrized"]], bins=[10**k for k in range(-16, 2)])
axes.set(xscale="log", xlabel="error under a rotation or reflection, of the spread", ylabel="turns")
axes.legend(list(errors))
print({name: f"{max(values):.0e}" for name, values in errors.items()})
