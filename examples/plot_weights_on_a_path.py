"""
Frames come and go
==================

Ammonia turns inside out, through a planar shape of higher symmetry. Each line is the weight of
one frame: none begins or ends but at zero.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

from symmetrize import HierarchicalFrames

frames = HierarchicalFrames()
heights = np.linspace(-0.5, 0.5, 301)
angles = 2 * np.pi * np.array([0.0, 0.33, 0.68]) + 0.2  # not quite symmetric
figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
numbers = []
for height in heights:
    hydrogens = np.column_stack([np.cos(angles), np.sin(angles), np.full(3, height)])
    pos = torch.tensor(np.concatenate([[[0, 0, 0]], hydrogens]))
    ensemble = frames(pos - pos.mean(0), group="O(3)", degree=1)
    numbers.append(len(ensemble))
    axes.plot(np.full(len(ensemble), height), ensemble.weights, ",", color="C0")
axes.set(xlabel="height of the hydrogens (Å)", ylabel="weights of frames", ylim=(0, None))
print(f"{min(numbers)} to {max(numbers)} frames")
