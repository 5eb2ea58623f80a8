"""
Relaxed molecules are symmetric
===============================

The four bonds of methane are equal. A potential that breaks rotations a little leaves them a
little different, in ways that depend on how the molecule lies.
"""

import matplotlib.pyplot as plt
import numpy as np
from ase.build import molecule
from ase.optimize import BFGS

from backbones.pretrained import small_pet
from symmetrize import SymmetrizedCalculator, Symmetrizer

potential = small_pet().double()
found = {}
for name, model in (("bare", potential), ("symmetrized", Symmetrizer(potential))):
    atoms = molecule("CH4")
    atoms.rotate(50, (1, 2, 3))
    atoms.rattle(0.02, seed=0)
    atoms.calc = SymmetrizedCalculator(model)
    BFGS(atoms, logfile=None).run(fmax=1e-5, steps=100)
    found[name] = atoms.get_distances(0, [1, 2, 3, 4])
    print(f"{name}: bonds differ by {np.ptp(found[name]):.0e} Å")

figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
for name, lengths in found.items():
    axes.plot(range(1, 5), lengths, "o", label=name)
axes.set(xlabel="hydrogen", ylabel="C-H bond (Å)", xticks=range(1, 5))
axes.ticklabel_format(useOffset=False)
axes.legend()
