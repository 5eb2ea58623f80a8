"""
What is up
==========

Furniture stands upright, and which way is up says much. Under ``group="SO(2)"`` networks are
symmetrized about the vertical alone, and keep it.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch_geometric.data import Data

from backbones import PointNet
from symmetrize import Symmetrizer
from symmetrize.groups import random_elements

torch.manual_seed(1)
net = PointNet({"class": "0e"}, width=32).double()
upright = Symmetrizer(net, group="SO(2)", axis=(0, 0, 1))
anyhow = Symmetrizer(net, group="SO(3)")

# %%
# A table: four legs, and a top. It is turned about the vertical, and laid on its side.

rng = np.random.default_rng(0)
top = np.column_stack([rng.uniform(-1, 1, (60, 2)), np.ones(60)])
legs = [[x, y, z] for x in (-0.9, 0.9) for y in (-0.7, 0.7) for z in np.linspace(0, 0.9, 6)]
table = torch.tensor(np.concatenate([top, legs]))
turns = {
    "about the vertical": random_elements(20, "SO(2)", torch.Generator().manual_seed(0)),
    "in space": random_elements(20, "SO(3)", torch.Generator().manual_seed(0)),
}
figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
for place, (name, model) in enumerate(
    (("bare", net), ('group="SO(2)"', upright), ('group="SO(3)"', anyhow))
):
    for shift, (how, group) in zip((-0.15, 0.15), turns.items(), strict=True):
        with torch.no_grad():
            values = torch.cat([model(Data(pos=table @ turn.T))["class"] for turn in group])
        color = "C0" if shift < 0 else "C1"
        axes.plot(
            np.full(len(values), place + shift), values[:, 0] - values.mean(), ".", color=color,
            label=how if place == 0 else None,
        )  # fmt: skip
        print(f"{name}, turned {how}: changes by {float(values.max() - values.min()):.0e}")
axes.set(xticks=range(3), ylabel="output, about its mean")
axes.set_xticklabels(["bare", 'group="SO(2)"', 'group="SO(3)"'])
axes.legend()
