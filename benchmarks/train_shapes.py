"""How well do the classic networks tell 11 classes of furniture apart, upright and turned?

Every network is trained on the 255 objects of the training set in three ways: raw, on objects that
stand as they are; augmented, on objects turned by random elements of a group; and framed, wrapped
in ``Symmetrizer(net, training="sampled")``, which shows it each object in one of its frames. All
are tested on the 109 others, as they are and turned at random, with noise and of fewer points, by
themselves and symmetrized. The
group is O(3), of all rotations and reflections, or SO(2), of turns about the vertical: furniture
stands upright, and which way is up says much. The largest class has a share of 18.3 %, and one
object is 0.9 %.

Objects are thinned to some of their 1024 points, others in every epoch, scaled, and jittered; the
networks have a fraction of the published widths, so that one core will do. The last state counts:
there is no validation set to choose another one by. Training goes on from where it was interrupted,
and what is trained already is only evaluated.

Run: python -m benchmarks.train_shapes, then with --group "SO(2)", with SYMMETRIZE_DATA the folder
of the data sets (about an hour on one core each; --help names the options). Results of all networks
are written, those of some only shown.
"""

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from backbones import (
    ClassicDGCNN,
    ClassicPointNet,
    ClassicPointNetPlusPlus,
    ClassicPointTransformer,
)
from benchmarks._data import data_folder
from benchmarks._record import read_result, write_result
from benchmarks._text import markdown
from benchmarks._training import random_turns, step, store, stored
from symmetrize import Symmetrizer
from symmetrize.groups import Group, random_elements, random_rotations

# The radii and numbers of neighbors of the papers are made for 1024 points
NETWORKS: dict[str, Callable[[str], nn.Module]] = {
    "PointNet": lambda outputs: ClassicPointNet(outputs, width=0.5),
    "PointNet++": lambda outputs: ClassicPointNetPlusPlus(outputs, width=0.5, radii=(0.25, 0.5)),
    "DGCNN": lambda outputs: ClassicDGCNN(outputs, width=0.25, neighbors=10),
    "Point Transformer": lambda outputs: ClassicPointTransformer(outputs, width=0.5, neighbors=12),
}
# Passes through the data, in units of the option: objects in many positions take longer to learn
TRAININGS = {"raw": 1, "augmented": 2, "framed": 2}
# The groups, and the result that each is written to
RESULTS: dict[Group, str] = {"O(3)": "train_shapes", "SO(2)": "train_shapes_upright"}
VERTICAL = (0.0, 1.0, 0.0)
# Accuracy of a random forest on histograms of distances, which no rotation changes
BASELINE = 0.495

BATCH_SIZE = 16
LEARNING_RATE, WEIGHT_DECAY, WARM_UP = 2e-3, 0.05, 5  # epochs
CLIP_NORM = 5.0  # of gradients
SMOOTHING = 0.2  # of labels
SCALES, JITTER, CLIP = (0.8, 1.25), 0.01, 0.03
STORE_EVERY = 5  # epochs
ROTATIONS = 5  # of every test object
# Of test objects: noise of coordinates, in radii, and a quarter of their points
NOISE, THINNED = 0.05, 4


@dataclass(frozen=True)
class Objects:
    """Surface points (objects, 1024, 3) in the unit sphere, y up, and the class of each."""

    points: Tensor
    labels: Tensor

    def thinned(self, number: int, generator: torch.Generator) -> Tensor:
        """(objects, number, 3), other points of each."""
        scores = torch.rand(self.points.shape[:2], generator=generator)
        chosen = scores.topk(number, dim=1).indices
        return self.points.gather(1, chosen[..., None].expand(-1, -1, 3))


def objects() -> tuple[Objects, Objects, list[str]]:
    """What to learn from, what to be tested on, and the names of the classes."""
    stored = np.load(data_folder() / "furniture11_1024.npz", allow_pickle=False)
    points, labels = torch.tensor(stored["points"]).float(), torch.tensor(stored["label"]).long()
    test = torch.tensor(stored["split"]) == 1
    parts = (Objects(points[rows], labels[rows]) for rows in (~test, test))
    return *parts, [str(name) for name in stored["class_names"]]


def batch_of(points: Tensor) -> Data:
    """(objects, number, 3) as a batch."""
    return Batch.from_data_list([Data(pos=each) for each in points])


def symmetrized(net: nn.Module, group: Group, **options: Any) -> Symmetrizer:
    """Under a group, about the vertical if it has an axis."""
    return Symmetrizer(net, group=group, axis=None if group == "O(3)" else VERTICAL, **options)


def augmented(points: Tensor, group: Group | None, generator: torch.Generator) -> Tensor:
    """Points scaled and jittered and, if wanted, turned by random elements of a group."""
    number = len(points)
    if group == "O(3)":
        points = points @ random_turns(number, generator).to(points.dtype)
    elif group is not None:
        turns = random_elements(number, group, generator, axis=VERTICAL)
        points = points @ turns.to(points.dtype).mT
    low, high = SCALES
    scale = low + (high - low) * torch.rand(number, 1, 1, generator=generator)
    noise = JITTER * torch.randn(points.shape, generator=generator)
    return points * scale + noise.clamp(-CLIP, CLIP)


@dataclass
class Training:
    """One network in one training, and where its state is kept."""

    network: str
    kind: str
    options: argparse.Namespace
    classes: int

    def __post_init__(self) -> None:
        options = self.options
        self.epochs = TRAININGS[self.kind] * options.epochs
        name = f"{self.network}-{self.kind}-{options.points}-{self.epochs}-{options.seed}"
        if self.kind != "raw" and options.group != "O(3)":
            name += f"-{options.group}"
        self.path = Path(options.folder) / (name.replace(" ", "_") + ".pt")
        torch.manual_seed(options.seed)
        self.net = NETWORKS[self.network](f"{self.classes}x0e")
        self.optimizer = torch.optim.AdamW(
            self.net.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY
        )
        self.epoch, self.seconds, self.losses = 0, 0.0, []
        state = stored(self.path)
        if state is not None:
            self.net.load_state_dict(state["net"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.epoch, self.seconds = state["epoch"], state["seconds"]
            self.losses = state["losses"]

    def run(self, data: Objects, progress: Callable[[int, float], None]) -> None:
        """Train to the end; ``progress`` is called with every epoch and its loss."""
        while self.epoch < self.epochs:
            start = time.perf_counter()
            self.losses.append(self._pass(data))
            self.epoch += 1
            self.seconds += time.perf_counter() - start
            if self.epoch % STORE_EVERY == 0 or self.epoch == self.epochs:
                self._store()
            progress(self.epoch, self.losses[-1])
        self.net.eval()

    def _pass(self, data: Objects) -> float:
        """One pass through the data; an interrupted one starts anew with the same numbers."""
        seed = 10_000 * self.options.seed + self.epoch
        generator = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)  # of dropout
        model = self.net
        if self.kind == "framed":
            group = self.options.group
            model = symmetrized(self.net, group, training="sampled", generator=generator)
        model.train()
        points = data.thinned(self.options.points, generator)
        turned = self.options.group if self.kind == "augmented" else None
        points = augmented(points, turned, generator)
        # a rest smaller than a batch is left to the next epochs
        batches = torch.randperm(len(points), generator=generator).split(BATCH_SIZE)
        batches = [rows for rows in batches if len(rows) == BATCH_SIZE]
        total = 0.0
        for k, rows in enumerate(batches):
            rate = LEARNING_RATE * self._rate(self.epoch + k / len(batches))
            logits = model(batch_of(points[rows]))
            loss = nn.functional.cross_entropy(logits, data.labels[rows], label_smoothing=SMOOTHING)
            step(self.net, loss, self.optimizer, rate, CLIP_NORM)
            total += loss.item()
        return total / len(batches)

    def _rate(self, epoch: float) -> float:
        """A warm-up, then half a cosine."""
        return min(1.0, (epoch + 0.2) / WARM_UP) * math.cos(math.pi / 2 * epoch / self.epochs) ** 2

    def _store(self) -> None:
        state = {
            "net": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            **{name: getattr(self, name) for name in ("epoch", "seconds", "losses")},
        }
        store(self.path, state)


@torch.no_grad()
def logits_of(model: nn.Module, points: Tensor) -> Tensor:
    """(objects, classes) in float64."""
    model = model.double().eval()
    return torch.cat([model(batch_of(part)) for part in points.split(BATCH_SIZE)])


def tested(
    net: nn.Module, points: Tensor, turned: list[Tensor], labels: Tensor, group: Group
) -> dict[str, Any]:
    """Accuracies of a network by itself and symmetrized, upright and turned, noisy and thinned."""
    noise = torch.randn(points.shape, generator=torch.Generator().manual_seed(1))
    changed = {"noisy": points + NOISE * noise, "thinned": points[:, ::THINNED]}

    def accuracy(logits: Tensor) -> float:
        return float((logits.argmax(1) == labels).double().mean())

    found = {}
    for name, model in (("bare", net), ("symmetrized", symmetrized(net, group))):
        upright = logits_of(model, points)
        rotated = [logits_of(model, each) for each in turned]
        change = max(float((each - upright).abs().max()) for each in rotated)
        found[name] = {
            "upright": accuracy(upright),
            "rotated": float(np.mean([accuracy(each) for each in rotated])),
            "largest_change_of_logits": change / float(upright.std()),
            **{how: accuracy(logits_of(model, each)) for how, each in changed.items()},
        }
    return found


# Rows of the table: how the network was trained, and how it is tested
ROWS = {
    "trained upright": ("raw", "bare"),
    "trained turned": ("augmented", "bare"),
    "trained upright, symmetrized": ("raw", "symmetrized"),
    "trained turned, symmetrized": ("augmented", "symmetrized"),
    "trained symmetrized": ("framed", "symmetrized"),
}


def accuracies(results: dict[str, dict[str, Any]]) -> str:
    """Upright and turned, of every network."""
    rows = []
    for title, (kind, form) in ROWS.items():
        found = [trainings[kind][form] for trainings in results.values() if kind in trainings]
        if found:
            cells = [f"{100 * f['upright']:.1f} / {100 * f['rotated']:.1f}" for f in found]
            rows.append([title, *cells])
    same = f"{100 * BASELINE:.1f} / {100 * BASELINE:.1f}"
    rows.append(["random forest on histograms of distances", *[same] * len(results)])
    return markdown(["accuracy upright / turned (%)", *results], rows)


def changed_accuracies(results: dict[str, dict[str, Any]]) -> str:
    """Upright objects as they are, with noise, and of fewer points."""
    rows = []
    for title, (kind, form) in ROWS.items():
        found = [trainings[kind][form] for trainings in results.values()]
        cells = (
            " / ".join(f"{100 * f[how]:.1f}" for how in ("upright", "noisy", "thinned"))
            for f in found
        )
        rows.append([title, *cells])
    return markdown(["accuracy as they are / noisy / thinned (%)", *results], rows)


def table(key: str) -> str:
    """The stored "accuracy", or that "upright"; and on "changed" objects, or "upright_changed"."""
    name = RESULTS["SO(2)" if key.startswith("upright") else "O(3)"]
    found = read_result(name)["networks"]
    return changed_accuracies(found) if key.endswith("changed") else accuracies(found)


def _turns(number: int, group: Group, generator: torch.Generator) -> Tensor:
    """Rotations of test objects, uniform."""
    if group == "O(3)":
        return random_rotations(number, generator)
    return random_elements(number, group, generator, axis=VERTICAL)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Train the networks of the options, and test them; what is trained already is only tested."""
    train, test, names = objects()
    generator = torch.Generator().manual_seed(options.seed)
    # in double precision, so that turned objects are the same ones
    points = test.thinned(options.points, generator).double()
    turned = [points @ _turns(len(points), options.group, generator).mT for _ in range(ROTATIONS)]
    results: dict[str, dict[str, Any]] = {}
    columns = (TextColumn("{task.description:40}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns) as bar:
        for network in options.networks:
            results[network] = {}
            for kind in options.trainings:
                training = Training(network, kind, options, len(names))
                title = f"{network}, {kind}"
                task = bar.add_task(title, total=training.epochs, completed=training.epoch)

                def progress(epoch: int, loss: float, task: Any = task, title: str = title) -> None:
                    bar.update(task, completed=epoch, description=f"{title}: loss {loss:.3f}")
                    if epoch % STORE_EVERY == 0 and not bar.console.is_terminal:
                        bar.console.print(f"{title}: epoch {epoch}, loss {loss:.3f}")

                training.run(train, progress)
                result = tested(training.net, points, turned, test.labels, options.group)
                result |= {"loss": training.losses[-1], "seconds": round(training.seconds)}
                results[network][kind] = result
                bar.console.print(f"{title}: {result}", soft_wrap=True)
    setting = {name: getattr(options, name) for name in ("epochs", "points", "threads", "seed")}
    setting |= {
        "group": options.group,
        "rotations": ROTATIONS,
        "classes": names,
        "baseline": BASELINE,
    }
    return {**setting, "networks": results}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--epochs", type=int, default=50, help="of raw training; others are longer")
    parser.add_argument("--trainings", nargs="+", choices=list(TRAININGS), default=list(TRAININGS))
    parser.add_argument("--group", choices=list(RESULTS), default="O(3)")
    parser.add_argument("--points", type=int, default=256)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    default = Path(tempfile.gettempdir()) / "symmetrize-shapes"
    parser.add_argument("--folder", type=Path, default=default, help="of the states of training")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    found = measure(options)
    if set(options.networks) == set(NETWORKS) and set(options.trainings) == set(TRAININGS):
        command = " ".join(["python", "-m", "benchmarks.train_shapes", *sys.argv[1:]])
        write_result(RESULTS[options.group], found, command)
    print(f"\n{accuracies(found['networks'])}")


if __name__ == "__main__":
    main()
