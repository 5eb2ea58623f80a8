"""
How sure is it
==============

What a network answers in different frames differs, and how much is at hand from evaluations that
the average needs anyway. It is small where the network has learned, and grows where it has not:
here as methanol is squeezed and stretched.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from ase.build import molecule

from backbones.pretrained import small_pet
from symmetrize import QuadratureFrames, Symmetrizer, from_ase

potential = small_pet().double()
# many orientations: methanol has one frame of its own, over which nothing differs
model = Symmetrizer(potential, frames=QuadratureFrames(2))
sizes = np.linspace(0.7, 1.4, 29)
spreads = []
for size in sizes:
    atoms = molecule("CH3OH")
    atoms.positions *= size
    with torch.no_grad():
        spreads.append(1e3 * float(model.spread(from_ase(atoms))["energy"]))

figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
axes.plot(sizes, spreads)
axes.set(xlabel="size, of that at rest", ylabel="spread of the energy (meV)", yscale="log")
middle = spreads[int(np.argmin(np.abs(sizes - 1)))]
print(
    f"{middle:.0f} meV at rest, {spreads[0]:.0f} squeezed to 0.7, "
    f"{spreads[-1]:.0f} stretched to 1.4"
)
