"""How well does PET learn random methane from a few hundred structures?

Trains on energies and forces, or on energies alone, with a random rotation or reflection of every
structure in every step, from several seeds; reports errors on the validation set while it trains,
and at the end also on the test set, of the network by itself and symmetrized. The published PET
(width 128) has an energy RMSE of about 330 meV from 1,000 structures, read off the learning curve
of the paper (+- 10 %).

Atoms come as close as 0.5 Å: forces reach 150 eV/Å where their mean is below 2. The loss is
quadratic in errors of energies, which the published figure is a root mean square of, and linear in
large errors of forces. What no structure to learn from shows is how steep energies are where atoms
come closer than in all of them. Learned "above repulsion", a network is told: it learns what is
left of energies and forces beside the screened repulsion of nuclei.

Training goes on from where it was interrupted, and what is trained is only evaluated. The best
network by validation is kept as a checkpoint (safetensors and JSON) in the folder.

Run: python -m benchmarks.train_methane [--structures 100 200] [--seeds 0] [--folder FOLDER], with
SYMMETRIZE_DATA the folder of the data sets. All 36 runs take four hours on one core, those of 100
structures two minutes each. What is measured stands in the result beside what was before.

Source of the data and the published figure: Pozdnyakov and Ceriotti, arXiv 2305.19302.
"""

import argparse
import copy
import itertools
import math
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from statistics import mean
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
NAME = "train_methane"
FIGURE = Path(__file__).parents[1] / "docs" / "figures" / "methane.png"
METRICS = ("energy_rmse", "energy_mae", "force_rmse", "force_mae")
KEYS = ("structures", "learned", "seed")
SIZES, SEEDS = (100, 200, 400, 800), (0, 1, 2)
# What is learned, in words
BOTH, ALONE, ABOVE = "energies and forces", "energies alone", "both, above repulsion"
# The loss, the optimizer, and epochs between looks
EPOCHS, BATCH, RATE, DECAY, ENERGY_WEIGHT, EVERY = 300, 16, 5e-4, 1e-4, 8.0, 10
# Of the universal screening function
SHARES = torch.tensor([0.1818, 0.5099, 0.2802, 0.02817], dtype=torch.float64)
RATES = torch.tensor([3.2, 0.9423, 0.4029, 0.2016], dtype=torch.float64)
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


def repulsion(pos: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """Energy (1, 1) in eV and forces (P, 3) in eV/Å of nuclei, screened by their electrons.

    Source: Ziegler, Biersack and Littmark, The Stopping and Range of Ions in Solids (1985).
    """
    pos = pos.clone().requires_grad_()
    first, second = torch.triu_indices(len(z), len(z), 1)
    distance = (pos[first] - pos[second]).norm(dim=1)
    one, other = z[first].double(), z[second].double()
    reduced = distance * (one**0.23 + other**0.23) / (0.8854 * 0.529177)
    screening = (SHARES * (-RATES * reduced[:, None]).exp()).sum(1)
    energy = (14.399645 * one * other / distance * screening).sum()
    (slope,) = torch.autograd.grad(energy, pos)
    return energy.detach().reshape(1, 1), -slope


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


def errors(net: nn.Module, data: list[Data], base: float) -> dict[str, float]:
    """Errors of energies (meV per structure) and forces (meV/Å per component)."""
    energy, force = [], []
    net.eval()
    for start in range(0, len(data), 100):
        batch = Batch.from_data_list(data[start : start + 100])
        energies, forces = predicted(net, batch, create_graph=False)
        energy.append((energies.detach().double() - (batch.energy - base)).flatten())
        force.append((forces - batch.forces).detach().flatten())
    e, f = 1e3 * torch.cat(energy), 1e3 * torch.cat(force)
    return {
        "energy_rmse": e.square().mean().sqrt().item(),
        "energy_mae": e.abs().mean().item(),
        "force_rmse": f.square().mean().sqrt().item(),
        "force_mae": f.abs().mean().item(),
    }


@dataclass(frozen=True)
class Choice:
    """One training: how many structures, what of them, and from which seed."""

    structures: int
    learned: str
    seed: int


class Run:
    """A training run that can be interrupted: everything it needs is in its folder."""

    def __init__(self, choice: Choice, folder: Path) -> None:
        self.choice = choice
        name = f"{choice.structures} {choice.learned} {choice.seed}"
        self.folder = folder / name.replace(",", "").replace(" ", "-")
        self.data = {part: structures(part) for part in ("train", "val", "test")}
        self.data["train"] = self.data["train"][: choice.structures]
        if choice.learned == ABOVE:
            for one in itertools.chain(*self.data.values()):
                energy, forces = repulsion(one.pos.double(), one.z)
                one.energy, one.forces = one.energy - energy, one.forces - forces.float()
        energies = torch.cat([data.energy for data in self.data["train"]])
        forces = torch.cat([data.forces for data in self.data["train"]])
        # one composition: what it says about energies is their mean
        self.mean = energies.mean().item()
        self.scale = (energies - self.mean).square().mean().sqrt().item()
        self.force_scale = forces.abs().mean().item()
        torch.manual_seed(choice.seed)
        self.generator = torch.Generator().manual_seed(choice.seed)
        self.net = PET({"energy": "0e"}, **SETTINGS)
        self.net.baseline.energy_scale.fill_(self.scale / 5)
        self.average = copy.deepcopy(self.net)
        self.optimizer = torch.optim.AdamW(
            self.net.parameters(), RATE, weight_decay=DECAY, fused=True
        )
        self.epoch, self.seconds, self.curve = 0, 0.0, []
        self.steps = math.ceil(len(self.data["train"]) / BATCH)
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
        total = EPOCHS * self.steps
        rise = max(1, total // 100)
        return (
            RATE * min(1.0, (done + 1) / rise)
            * 0.5 * (1 + math.cos(math.pi * min(1.0, done / total)))
        )  # fmt: skip

    def train_epoch(self) -> None:
        """One pass over the training set."""
        data, net = self.data["train"], self.net.train()
        order = torch.randperm(len(data), generator=self.generator).tolist()
        for k, start in enumerate(range(0, len(order), BATCH)):
            done = self.epoch * self.steps + k
            chosen = [data[i] for i in order[start : start + BATCH]]
            batch = turned(Batch.from_data_list(chosen), self.generator)
            forces = None
            if self.choice.learned == ALONE:
                energy = net(batch)["energy"]
            else:
                energy, forces = predicted(net, batch, create_graph=True)
            error = (energy - (batch.energy - self.mean).float()) / self.scale
            loss = ENERGY_WEIGHT * error.square().mean()
            if forces is not None:
                loss = loss + nn.functional.huber_loss(
                    forces / self.force_scale, batch.forces / self.force_scale
                )
            step(net, loss, self.optimizer, self.rate(done), clip=1.0)
            keep = min(0.999, (1 + done) / (10 + done))
            with torch.no_grad():
                for ours, theirs in zip(self.average.parameters(), net.parameters(), strict=True):
                    ours.lerp_(theirs, 1 - keep)

    def train(self) -> None:
        """All epochs that are left, with a state and a look at the validation set now and then."""
        with Progress() as progress:
            task = progress.add_task(self.folder.name, total=EPOCHS, completed=self.epoch)
            while self.epoch < EPOCHS:
                start = time.perf_counter()
                self.train_epoch()
                self.seconds += time.perf_counter() - start
                self.epoch += 1
                progress.update(task, advance=1)
                if self.epoch % EVERY == 0 or self.epoch == EPOCHS:
                    found = errors(self.average, self.data["val"], self.mean)
                    row = {"epoch": self.epoch, "seconds": self.seconds, **found}
                    self.curve.append(row)
                    if found["energy_rmse"] < self.best:
                        self.best = found["energy_rmse"]
                        save(self.average, self.folder / "best")
                    self.store()

    def report(self) -> dict[str, Any]:
        """Errors of the best network, by itself and symmetrized."""
        net = load(self.folder / "best")
        model = Symmetrizer(net, frames=HierarchicalFrames(length_scale=1.0)).eval()
        return {
            **asdict(self.choice),
            "date": str(date.today()),
            "seconds": self.seconds,
            "curve": self.curve,
            "bare": {part: errors(net, self.data[part], self.mean) for part in ("val", "test")},
            "symmetrized": {
                part: errors(model, self.data[part], self.mean) for part in ("val", "test")
            },
        }


def measure(choices: list[Choice], folder: Path) -> dict[str, Any]:
    """Train, from where it was interrupted, and look at the best networks."""
    found = []
    for choice in choices:
        run = Run(choice, folder)
        run.resume()
        run.train()
        found.append(run.report())
    settings = SETTINGS | {
        "epochs": EPOCHS,
        "batch": BATCH,
        "rate": RATE,
        "decay": DECAY,
        "energy_weight": ENERGY_WEIGHT,
    }
    return {"settings": settings, "published_energy_rmse": PUBLISHED, "runs": found}


def merged(found: dict[str, Any]) -> dict[str, Any]:
    """What was measured, with what is stored of other runs, in order."""
    runs = {Choice(*(one[k] for k in KEYS)): one for one in stored_runs() + found["runs"]}
    kinds = (BOTH, ALONE, ABOVE)
    order = sorted(runs, key=lambda one: (one.structures, kinds.index(one.learned), one.seed))
    return found | {"runs": [runs[choice] for choice in order]}


def stored_runs() -> list[dict[str, Any]]:
    """All that is stored."""
    return read_result(NAME)["runs"] if (RESULTS / f"{NAME}.json").exists() else []


def over_seeds(kind: str, form: str, metric: str) -> dict[int, list[float]]:
    """Errors on the test set of each number of structures, one for each seed."""
    found: dict[int, list[float]] = {}
    for run in stored_runs():
        if run["learned"] == kind:
            found.setdefault(run["structures"], []).append(run[form]["test"][metric])
    return found


def table(key: str) -> str:
    """Errors on the test set, over the seeds: means, and from the smallest to the largest."""
    assert key == "test"
    rows = []
    for kind in (BOTH, ABOVE, ALONE):
        for size in over_seeds(kind, "bare", "energy_rmse"):
            row = [str(size), kind]
            for metric in METRICS:
                bare = over_seeds(kind, "bare", metric)[size]
                whole = over_seeds(kind, "symmetrized", metric)[size]
                row.append(f"{_range(bare)} → {mean(whole):.0f}")
            rows.append(row)
    rows.append(["1,000", "published PET", str(round(PUBLISHED[1000])), "", "", ""])
    names = ["energy RMSE (meV)", "energy MAE", "force RMSE (meV/Å)", "force MAE"]
    return markdown(["structures", "learned", *names], rows)


def _range(values: list[float]) -> str:
    return f"{mean(values):.0f} ({min(values):.0f} to {max(values):.0f})"


def draw() -> None:
    """Errors while training, and by the number of structures, from all stored results."""
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
    for run in stored_runs():
        if run["learned"] == BOTH:
            shade = plt.get_cmap("viridis")(0.85 - 0.75 * SIZES.index(run["structures"]) / 3)
            rmse = [row["energy_rmse"] for row in run["curve"]]
            label = f"{run['structures']} structures" if run["seed"] == 0 else None
            left.plot([row["epoch"] for row in run["curve"]], rmse, color=shade, lw=1, label=label)
    left.set(xlabel="epoch", ylabel="energy RMSE, validation (meV)", yscale="log")
    left.legend(frameon=False)
    for kind, color in ((BOTH, "#0072B2"), (ABOVE, "#009E73"), (ALONE, "#D55E00")):
        found = over_seeds(kind, "symmetrized", "energy_rmse")
        sizes, values = list(found), list(found.values())
        centers = [mean(one) for one in values]
        right.plot(sizes, centers, marker="o", color=color, label=kind)
        right.fill_between(
            sizes, [min(v) for v in values], [max(v) for v in values], color=color, alpha=0.2, lw=0
        )
    right.plot(list(PUBLISHED), list(PUBLISHED.values()), "k:", marker="x", label="published PET")
    right.set(xlabel="training structures", ylabel="energy RMSE, test, symmetrized (meV)")
    right.set(xscale="log", yscale="log")
    right.legend(frameon=False)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25, which="both", linewidth=0.5)
    figure.savefig(FIGURE, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    folder = Path(tempfile.gettempdir()) / "symmetrize_methane"
    parser.add_argument("--folder", type=Path, default=folder, help="for states and checkpoints")
    parser.add_argument("--structures", type=int, nargs="+", default=list(SIZES))
    kinds = {"both": BOTH, "energies": ALONE, "above-repulsion": ABOVE}
    parser.add_argument("--learn", nargs="+", choices=kinds, default=list(kinds))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    choices = [
        Choice(size, kinds[kind], seed)
        for size in options.structures
        for kind in options.learn
        for seed in options.seeds
    ]
    command = " ".join(["python", "-m", "benchmarks.train_methane", *sys.argv[1:]])
    print(write_result(NAME, merged(measure(choices, options.folder)), command))
    draw()
    print(table("test"))


if __name__ == "__main__":
    main()
