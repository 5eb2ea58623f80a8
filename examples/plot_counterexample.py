"""
A counterexample
================

An energy of the three nearest neighbors of each point passes a test with a random rotation. It is
not smooth, and here is where.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import torch

from equivariance_tests import Contract, certify
from equivariance_tests.report.figure import draw


def nearest(positions: torch.Tensor) -> torch.Tensor:
    """A sum over the three nearest neighbors of each point."""
    distances = torch.cdist(positions, positions).sort().values[:, 1:4]
    return torch.exp(-distances.square() / 4).sum()[None]


# %%
# What it claims: an invariant with two continuous derivatives. What is found:

report = certify(
    nearest,
    Contract("0e", smoothness=2),
    checks=["equivariance", "permutation", "path scan"],
    progress=False,
)
print(report["path scan"].failure)

# %%
# The same, drawn: errors against what rounding explains, and the values about the break.

path = Path(tempfile.mkdtemp()) / "report.png"
draw(report, path)
figure = plt.figure(figsize=(9, 3.6))
axes = figure.add_axes((0, 0, 1, 1))
axes.imshow(plt.imread(path))
axes.axis("off")
print(report.badge)
