"""
Tensors and parity
==================

Outputs are declared by how they turn: scalars and pseudoscalars, vectors and axial vectors,
symmetric tensors, irreps of any degree. Each is right under rotations and reflections.
"""

import matplotlib.pyplot as plt
import torch
from torch_geometric.data import Data

from backbones import PointNet
from symmetrize import Symmetrizer
from symmetrize.groups import random_elements
from symmetrize.representation import as_representation

OUTPUTS = {
    "energy": "0e", "chirality": "0o", "dipole": "1o", "spin": "1e",
    "polarizability": "ij=ji", "octupole": "3o", "many": "2x0e + 1o + 2e",
}  # fmt: skip
torch.manual_seed(0)
net = PointNet(OUTPUTS, width=32).double()
model = Symmetrizer(net)
cloud = Data(pos=torch.randn(7, 3).double())

# %%
# Under a reflection a pseudoscalar changes its sign, and an axial vector turns the other way
# than a vector.

(turn,) = random_elements(1, "O(3)", torch.Generator().manual_seed(3))
turn = turn * -torch.linalg.det(turn)  # improper
with torch.no_grad():
    here, there = model(cloud), model(Data(pos=cloud.pos @ turn.T))
print("chirality:", float(here["chirality"]), "and mirrored", float(there["chirality"]))

errors = {}
for name, declared in OUTPUTS.items():
    representation = as_representation(declared)
    expected = representation.rotate(here[name].reshape(1, -1), turn[None])
    scale = here[name].abs().max()
    errors[name] = float((there[name].reshape(1, -1) - expected).abs().max() / scale)
figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
axes.barh([f"{n}, {d}" for n, d in OUTPUTS.items()], [max(e, 1e-17) for e in errors.values()])
axes.set(xscale="log", xlim=(1e-17, 1), xlabel="relative error under an improper rotation")
print(f"largest error {max(errors.values()):.0e}")
