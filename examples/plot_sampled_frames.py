"""
Train in frames
===============

The same small network learns dipoles of molecules in random rotations, and in sampled frames: one
frame of each molecule in each step, at the cost of the bare network.
"""

import copy

import matplotlib.pyplot as plt
import torch
from torch_geometric.data import Batch

from backbones import PointNet
from symmetrize import Symmetrizer
from symmetrize.datasets import molecules

STEPS = 250
train = Batch.from_data_list(molecules("train")[::6])
test = Batch.from_data_list(molecules("test")[::6])
torch.manual_seed(0)
start = PointNet({"dipole": "1o"}, width=48).double()

# %%
# ``training="sampled"`` and ``training="random"`` say what the network sees; evaluated, both are
# averages over all frames.

curves = {}
for mode in ("random", "sampled"):
    generator = torch.Generator().manual_seed(0)
    model = Symmetrizer(copy.deepcopy(start), training=mode, generator=generator)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    curves[mode] = []
    for step in range(STEPS):
        model.train()
        loss = (model(train)["dipole"] - train.dipole).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 49:
            with torch.no_grad():
                error = (model.eval()(test)["dipole"] - test.dipole).abs().mean()
            curves[mode].append((step + 1, 1e3 * float(error)))

figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
for mode, curve in curves.items():
    axes.plot(*zip(*curve, strict=True), marker="o", label=f'training="{mode}"')
axes.set(xlabel="step", ylabel="test error of dipoles (me Å)", yscale="log")
axes.legend()
print({mode: f"{curve[-1][1]:.0f} me Å" for mode, curve in curves.items()})
