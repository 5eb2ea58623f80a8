"""
In Lightning
============

A ``Symmetrizer`` is a module like any other: Lightning trains it as it is, logs, checkpoints, and
goes to several devices.
"""

import logging
import warnings

import lightning
import matplotlib.pyplot as plt
import numpy as np
import torch
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader

from backbones import PET
from symmetrize import Symmetrizer
from symmetrize.datasets import molecules

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="lightning")
lightning.seed_everything(0, verbose=False)


class Dipoles(lightning.LightningModule):
    """PET in sampled frames; a vector for each molecule."""

    def __init__(self) -> None:
        super().__init__()
        net = PET({"dipole": "1o"}, species=[1, 6, 7, 8], width=32, heads=2, layers=1, rounds=1)
        self.model = Symmetrizer(net, training="sampled")
        self.curve: list[float] = []

    def training_step(self, batch: Data, _: int) -> torch.Tensor:
        error = self.model(batch)["dipole"] - batch.dipole
        self.curve.append(error.detach().abs().mean().item())
        return error.square().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), 3e-3)


# %%
# Single precision, as usual. ``fit_baseline`` tells PET the unit of its output.

data = [one.clone() for one in molecules("train")[:512]]
for one in data:
    one.pos, one.dipole = one.pos.float(), one.dipole.float()
task = Dipoles()
task.model.net.fit_baseline(Batch.from_data_list(data))
trainer = lightning.Trainer(
    max_steps=150, accelerator="cpu", logger=False, enable_checkpointing=False,
    enable_progress_bar=False, enable_model_summary=False, gradient_clip_val=1.0,
)  # fmt: skip
trainer.fit(task, DataLoader(data, batch_size=32, shuffle=True))

figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
axes.plot(np.convolve(task.curve, np.ones(10) / 10, mode="valid"))
axes.set(xlabel="step", ylabel="error of dipoles, of 10 steps (e Å)", yscale="log")
print(f"from {task.curve[0]:.3f} to {np.mean(task.curve[-10:]):.3f} e Å")
