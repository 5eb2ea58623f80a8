"""
Frames of a molecule
====================

``show`` draws a structure with its frames: turn it with the mouse, and play carbon dioxide as it
bends through the line.
"""

import numpy as np
import torch
from torch_geometric.data import Data

from backbones import PointNet
from symmetrize import Symmetrizer, show

model = Symmetrizer(PointNet({"energy": "0e"}).double())
images = []
for angle in np.linspace(-0.5, 0.5, 41):
    arms = 1.16 * np.array([[np.cos(angle), np.sin(angle), 0], [-np.cos(angle), np.sin(angle), 0]])
    pos = torch.tensor(np.concatenate([np.zeros((1, 3)), arms]))
    images.append(Data(pos=pos, z=torch.tensor([6, 8, 8])))
numbers = [int(model.evaluations(one)) for one in images]
print(f"{min(numbers)} to {max(numbers)} evaluations")

# %%
show(model, images)
