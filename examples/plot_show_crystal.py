"""
Frames of a crystal
===================

A perfect crystal of rock salt has as many frames as its group has elements that turn it into
itself; as its atoms move farther, fewer are left.
"""

import numpy as np
from ase.build import bulk

from backbones import PET
from symmetrize import HierarchicalFrames, Symmetrizer, from_ase, show

net = PET({"energy": "0e"}, species=[11, 17], cutoff=4.0, width=8, heads=2).double()
model = Symmetrizer(net, frames=HierarchicalFrames(net.cutoff))
atoms = bulk("NaCl", "rocksalt", 5.64, cubic=True)
shifts = np.random.default_rng(0).normal(size=atoms.positions.shape)
images = []
for rattle in np.linspace(0, 0.4, 17):
    moved = atoms.copy()
    moved.positions += rattle * shifts
    images.append(from_ase(moved))
numbers = [len(model.ensemble(one)) for one in images]
print(f"{numbers[0]} frames at rest, {numbers[-1]} at 0.4 Å")

# %%
show(model, images)
