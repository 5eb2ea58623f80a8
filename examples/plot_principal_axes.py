"""
What principal axes do
======================

Frame averaging puts a cloud into its principal axes. Where two of them are equal they turn at
once, and an energy jumps. The frames of this library fade in and out.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch_geometric.data import Batch, Data

from backbones import PointNet
from symmetrize import FrameAveraging, HierarchicalFrames, Symmetrizer

torch.manual_seed(9)
net = PointNet({"energy": "0e"}, width=32).double()
models = {
    "principal axes": Symmetrizer(net, frames=FrameAveraging()),
    "symmetrized": Symmetrizer(net, frames=HierarchicalFrames()),
}

# %%
# Two points on one axis, four on another: in the middle of the path both axes are equal, and
# principal axes exchange their names.

sides = torch.linspace(0.9, 1.1, 241, dtype=torch.float64)
points = [[5**0.5, 0, 0], [-(5**0.5), 0, 0], [0, 1, 0], [0, -1, 0], [0, 2, 0], [0, -2, 0]]
stretched = torch.ones(len(sides), 1, 3).double()
stretched[:, 0, 0] = sides
path = Batch.from_data_list([Data(pos=torch.tensor(points).double() * each) for each in stretched])

figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
for name, model in models.items():
    with torch.no_grad():
        energy = model(path)["energy"][:, 0].numpy()
    axes.plot(sides, energy - energy.mean(), label=name)
    print(f"{name}: largest step {np.abs(np.diff(energy)).max():.1e}")
axes.set(xlabel="length along the first axis", ylabel="energy")
axes.legend()
