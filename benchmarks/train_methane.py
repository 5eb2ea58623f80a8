"""How well does PET learn random methane from a few hundred structures?

Trains on energies and forces, with a random rotation or reflection of every structure in every
step, and reports errors on the validation set while it trains; at the end also on the test set, of
the network by itself and symmetrized. The published PET (width 128) has an energy RMSE of about
330 meV from 1,000 structures, read off the learning curve of the paper (+- 10 %).

Atoms come as close as 0.5 Å: forces reach 150 eV/Å where their mean is below 2. The loss is
quadratic in errors of energies, which the published figure is a root mean square of, and linear in
large errors of forces.

Training goes on from where it was interrupted. The best network by validation is kept as a
checkpoint (safetensors and JSON) in the folder.

Run: python -m benchmarks.train_methane [--structures 800] [--epochs 300] [--folder FOLDER], with
SYMMETRIZE_DATA the folder of the data sets.  The default takes about 40 minutes on one core.

Source of the data and the published figure: Pozdnyakov and Ceriotti, arXiv 2305.19302.
"""

import argparse
import copy
import math
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from ase.io import read
from rich.progress import Progress
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from backbones.checkpoint import load, save
from backbones.pet import PET
from benchmarks._data import data_folder
from benchmarks._record import RESULTS, read_result, write_result
from benchmarks._text import markdown
from benchmarks._training import random_turns, step, store, stored
from symmetrize import HierarchicalFrames, Symmetrizer

# Energy RMSE of the published PET in meV by the number of its training structures, read off a plot
PUBLISHED = {1000: 330.0, 3000: 155.0, 10000: 68.0}
FIGURE = Path(__file__).parents[1] / "docs" / "figures" / "methane.png"
METRICS = ("energy_rmse", "energy_mae", "force_rmse", "force_mae")
SETTINGS: dict[str, Any] = {
    "species": [1, 6],
    # all distances are below 6 Å: every atom sees all others, as in the paper
    "cutoff": 8.0,
    "cutoff_width": 1.5,
    "width": 128,
    "heads": 4,
    "rounds": 2,
    "layers": 2,
}


def structures(part: str) -> list[Data]:
    """One part of the data set, in eV and Å, with the edges of every structure."""
    net = PET({"energy": "0e"}, **(SETTINGS | {"width": 4, "rounds": 1, "layers": 1}))
    path = data_folder() / "pet_methane" / f"methane_{part}.xyz"
    found = []
    for atoms in read(path, ":"):
        data = Data(
            pos=torch.tensor(atoms.get_positions()).float(),
            z=torch.tensor(atoms.get_atomic_numbers()),
            energy=torch.tensor([[atoms.get_potential_energy()]]),
            forces=torch.tensor(atoms.get_forces()).float(),
        )
        found.append(net.prepare(data))
    return found


def turned(batch: Batch, generator: torch.Generator) -> Batch:
    """Every structure turned by its own random orthogonal matrix, forces and all."""
    turns = random_turns(batch.num_graphs, generator).float()[batch.batch]
    batch = copy.copy(batch)
    batch.pos = (turns @ batch.pos[:, :, None])[..., 0]
    batch.forces = (turns @ batch.forces[:, :, None])[..., 0]
    return batch


def predicted(net: nn.Module, batch: Batch, create_graph: bool) -> tuple[Tensor, Tensor]:
    """Energies without their baseline, which float32 is too coarse for, and forces."""
    batch.pos = batch.pos.detach().requires_grad_()
    energy = net(batch)["energy"]
    (slope,) = torch.autograd.grad(energy.sum(), batch.pos, create_graph=create_graph)
    return energy, -slope


def errors(net: nn.Module, data: list[Data], mean: float) -> dict[str, float]:
    """Errors of energies (meV per structure) and forces (meV/Å per component)."""
    energy, force = [], []
    net.eval()
    for start in range(0, len(data), 100):
        batch = Batch.from_data_list(data[start : start + 100])
        energies, forces = predicted(net, batch, create_graph=False)
        energy.append((energies.detach().double() - (batch.energy - mean)).flatten())
        force.append((forces - batch.forces).detach().flatten())
    e, f = 1e3 * torch.cat(energy), 1e3 * torch.cat(force)
    return {
        "energy_rmse": e.square().mean().sqrt().item(),
        "energy_mae": e.abs().mean().item(),
        "force_rmse": f.square().mean().sqrt().item(),
        "force_mae": f.abs().mean().item(),
    }


class Run:
    """A training run that can be interrupted: everything it needs is in its folder."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.folder = Path(options.folder) / str(options.structures)
        self.data = {part: structures(part) for part in ("train", "val", "test")}
        self.data["train"] = self.data["train"][: options.structures]
        energies = torch.cat([data.energy for data in self.data["train"]])
        forces = torch.cat([data.forces for data in self.data["train"]])
        # one composition: what it says about energies is their mean
        self.mean = energies.mean().item()
        self.scale = (energies - self.mean).square().mean().sqrt().item()
        self.force_scale = forces.abs().mean().item()
        torch.manual_seed(options.seed)
        self.generator = torch.Generator().manual_seed(options.seed)
        self.net = PET({"energy": "0e"}, **SETTINGS)
        self.net.baseline.energy_scale.fill_(self.scale / 5)
        self.average = copy.deepcopy(self.net)
        self.optimizer = torch.optim.AdamW(
            self.net.parameters(), options.rate, weight_decay=options.decay, fused=True
        )
        self.epoch, self.seconds, self.curve = 0, 0.0, []
        self.steps = math.ceil(len(self.data["train"]) / options.batch)
        self.best = math.inf

    def resume(self) -> None:
        """Go on from the state in the folder, if there is one."""
        state = stored(self.folder / "state.pt")
        if state is not None:
            self.net.load_state_dict(state["net"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.generator.set_state(state["generator"])
            for name in ("epoch", "seconds", "curve", "best"):
                setattr(self, name, state[name])

    def store(self) -> None:
        """Write the state to the folder."""
        state = {
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            **{name: getattr(self, name) for name in ("epoch", "seconds", "curve", "best")},
        }
        store(self.folder / "state.pt", state)

    def rate(self, done: int) -> float:
        """Learning rate: a rise over the first hundredth, then half a cosine."""
        total = self.options.epochs * self.steps
        rise = max(1, total // 100)
        return (
            self.options.rate * min(1.0, (done + 1) / rise)
            * 0.5 * (1 + math.cos(math.pi * min(1.0, done / total)))
        )  # fmt: skip

    def train_epoch(self) -> None:
        """One pass over the training set."""
        data, net = self.data["train"], self.net.train()
        order = torch.randperm(len(data), generator=self.generator).tolist()
        for k, start in enumerate(range(0, len(order), self.options.batch)):
            done = self.epoch * self.steps + k
            chosen = [data[i] for i in order[start : start + self.options.batch]]
            batch = turned(Batch.from_data_list(chosen), self.generator)
            energy, forces = predicted(net, batch, create_graph=True)
            energy_loss = ((energy - (batch.energy - self.mean).float()) / self.scale).square()
            force_loss = nn.functional.huber_loss(
                forces / self.force_scale, batch.forces / self.force_scale
            )
            loss = self.options.energy_weight * energy_loss.mean() + force_loss
            step(net, loss, self.optimizer, self.rate(done), clip=1.0)
            keep = min(0.999, (1 + done) / (10 + done))
            with torch.no_grad():
                for ours, theirs in zip(self.average.parameters(), net.parameters(), strict=True):
                    ours.lerp_(theirs, 1 - keep)

    def train(self) -> None:
        """All epochs that are left, with a state and a look at the validation set now and then."""
        with Progress() as progress:
            task = progress.add_task("training", total=self.options.epochs, completed=self.epoch)
            while self.epoch < self.options.epochs:
                start = time.perf_counter()
                self.train_epoch()
                self.seconds += time.perf_counter() - start
                self.epoch += 1
                progress.update(task, advance=1)
                if self.epoch % self.options.every == 0 or self.epoch == self.options.epochs:
                    found = errors(self.average, self.data["val"], self.mean)
                    row = {"epoch": self.epoch, "seconds": self.seconds, **found}
                    self.curve.append(row)
                    if found["energy_rmse"] < self.best:
                        self.best = found["energy_rmse"]
                        save(self.average, self.folder / "best")
                    self.store()
                    print({name: round(value, 1) for name, value in row.items()}, flush=True)

    def report(self) -> dict[str, Any]:
        """Errors of the best network, by itself and symmetrized."""
        net = load(self.folder / "best")
        model = Symmetrizer(net, frames=HierarchicalFrames(length_scale=1.0)).eval()
        return {
            "structures": len(self.data["train"]),
            "settings": SETTINGS | {k: v for k, v in vars(self.options).items() if k != "folder"},
            "parameters": sum(p.numel() for p in net.parameters()),
            "published_energy_rmse": PUBLISHED,
            "seconds": self.seconds,
            "curve": self.curve,
            "bare": {part: errors(net, self.data[part], self.mean) for part in ("val", "test")},
            "symmetrized": {
                part: errors(model, self.data[part], self.mean) for part in ("val", "test")
            },
        }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Train, from where it was interrupted, and look at the best network."""
    run = Run(options)
    run.resume()
    run.train()
    return run.report()


def runs_stored() -> list[dict[str, Any]]:
    """All stored results, by the number of structures."""
    names = [path.stem for path in RESULTS.glob("train_methane_*.json")]
    return sorted(map(read_result, names), key=lambda run: run["structures"])


def table(key: str) -> str:
    """Errors on one part of the data, "test" or "val"."""
    rows = []
    for run in runs_stored():
        for kind in ("bare", "symmetrized"):
            found = [f"{run[kind][key][name]:.0f}" for name in METRICS]
            rows.append([f"{run['structures']} structures, {kind}", *found])
    rows.append(["published PET, 1,000 structures", str(round(PUBLISHED[1000])), "", "", ""])
    names = ["energy RMSE (meV)", "energy MAE", "force RMSE (meV/Å)", "force MAE"]
    return markdown(["", *names], rows)


def draw() -> None:
    """Errors while training, and by the number of structures, from all stored results."""
    import matplotlib.pyplot as plt

    runs = runs_stored()
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for k, run in enumerate(runs):
        curve = run["curve"]
        shade = plt.get_cmap("viridis")(0.85 - 0.75 * k / max(1, len(runs) - 1))
        rmse = [row["energy_rmse"] for row in curve]
        label = f"{run['structures']} structures"
        left.plot([row["epoch"] for row in curve], rmse, color=shade, label=label)
    left.set(xlabel="epoch", ylabel="energy RMSE, validation (meV)", yscale="log")
    left.legend(frameon=False)
    sizes = [run["structures"] for run in runs]
    for kind, marker in (("bare", "o"), ("symmetrized", "s")):
        rmse = [run[kind]["test"]["energy_rmse"] for run in runs]
        right.plot(
            sizes, rmse, marker=marker, fillstyle="none", label=f"{kind}, energies and forces"
        )
    right.plot(list(PUBLISHED), list(PUBLISHED.values()), "k:", marker="x", label="published PET")
    right.set(xlabel="training structures", ylabel="energy RMSE, test (meV)")
    right.set(xscale="log", yscale="log")
    right.legend(frameon=False)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25, which="both", linewidth=0.5)
    figure.savefig(FIGURE, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    folder = Path(tempfile.gettempdir()) / "symmetrize_methane"
    parser.add_argument("--folder", default=folder, help="for states and checkpoints")
    parser.add_argument("--structures", type=int, default=800)
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=5e-4)
    parser.add_argument("--decay", type=float, default=1e-4)
    parser.add_argument("--energy-weight", type=float, default=8.0)
    parser.add_argument("--every", type=int, default=10, help="epochs between looks")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    command = f"python -m benchmarks.train_methane --structures {options.structures}"
    print(write_result(f"train_methane_{options.structures}", measure(options), command))
    draw()


if __name__ == "__main__":
    main()
