"""Clouds in the plane: how well are handwritten digits told apart, upright and turned?

The 1797 digits that scikit-learn ships are clouds of up to 64 points (P, 2), one for each inked
pixel, with its ink. A small network of points in the plane learns them in three ways: as they
are written, turned at random, and each in one of the frames that ``Symmetrizer(net, group="SO(2)",
training="sampled")`` draws. It is tested upright and turned, by itself and symmetrized. A turn
makes a six of a nine: nothing that does not know what is up tells them apart.

Run: python -m benchmarks.digits (about 5 minutes). Writes results/digits.json, prints the table.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from benchmarks._record import read_result, write_result
from benchmarks._text import markdown, progress
from benchmarks._training import step
from symmetrize import Symmetrizer

SEEDS, PASSES, BATCH_SIZE, RATE, CLIP_NORM = (0, 1, 2), 40, 64, 3e-3, 5.0
WIDTH, TESTED = 128, 360
TRAININGS = ("as written", "turned at random", "sampled frames")
# Half the side of an image, in pixels
HALF = 3.5


class PlanarNet(nn.Module):
    """Sums of features of points in the plane, weighted by their ink; ten logits."""

    def __init__(self) -> None:
        super().__init__()
        self.points = nn.Sequential(
            nn.Linear(2, WIDTH),
            nn.SiLU(),
            nn.Linear(WIDTH, WIDTH),
            nn.SiLU(),
            nn.Linear(WIDTH, WIDTH),
            nn.SiLU(),
        )
        self.cloud = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.SiLU(), nn.Linear(WIDTH, 10))

    def forward(self, data: Data) -> Tensor:
        """(digits, 10); ``data.pos`` is (P, 2)."""
        size = data.num_graphs
        count = torch.bincount(data.batch, minlength=size).clamp(min=1)[:, None]
        middle = data.pos.new_zeros(size, 2).index_add(0, data.batch, data.pos) / count
        features = self.points(3 * (data.pos - middle[data.batch])) * data.ink[:, None]
        return self.cloud(features.new_zeros(size, WIDTH).index_add(0, data.batch, features) / 8)


def digits() -> list[Data]:
    """Every digit as a cloud, in units of half an image."""
    from sklearn.datasets import load_digits

    found = load_digits()
    items = []
    for image, label in zip(found.images, found.target, strict=True):
        row, column = np.nonzero(image)
        places = np.stack([column - HALF, HALF - row], -1) / HALF
        ink = torch.tensor(image[row, column] / 16).float()
        items.append(Data(pos=torch.tensor(places).float(), ink=ink, label=int(label)))
    return items


def turned(batch: Batch, generator: torch.Generator) -> Batch:
    """Every digit by an angle of its own, about the middle of its points."""
    other = batch.clone()
    angle = 2 * math.pi * torch.rand(batch.num_graphs, generator=generator, dtype=torch.float64)
    angle = angle.to(batch.pos.dtype)[batch.batch]
    cosine, sine = angle.cos(), angle.sin()
    x, y = batch.pos.unbind(-1)
    other.pos = torch.stack([cosine * x - sine * y, sine * x + cosine * y], dim=-1)
    return other


def trained(items: list[Data], how: str, seed: int) -> PlanarNet:
    """A network after all passes through some digits."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    net = PlanarNet()
    model: nn.Module = net
    if how == "sampled frames":
        model = Symmetrizer(
            net, "10x0e", group="SO(2)", training="sampled", generator=generator
        ).train()
    optimizer = torch.optim.Adam(net.parameters(), RATE)
    for epoch in progress(range(PASSES), f"{how}, seed {seed}"):
        rate = RATE * math.cos(math.pi / 2 * epoch / PASSES) ** 2
        for rows in torch.randperm(len(items), generator=generator).split(BATCH_SIZE):
            batch = Batch.from_data_list([items[i] for i in rows.tolist()])
            if how == "turned at random":
                batch = turned(batch, generator)
            loss = nn.functional.cross_entropy(model(batch), batch.label)
            step(net, loss, optimizer, rate, CLIP_NORM)
    return net


@torch.no_grad()
def tested(net: PlanarNet, items: list[Data]) -> dict[str, Any]:
    """Accuracies, upright and turned, and how far logits change with a turn."""
    batch = Batch.from_data_list(items)
    batch.pos, batch.ink = batch.pos.double(), batch.ink.double()
    other = turned(batch, torch.Generator().manual_seed(0))
    net = net.double()
    found: dict[str, Any] = {}
    for name, model in (
        ("bare", net),
        ("symmetrized", Symmetrizer(net, "10x0e", group="SO(2)").eval()),
    ):
        upright, rotated = model(batch), model(other)
        right = [float((x.argmax(1) == batch.label).double().mean()) for x in (upright, rotated)]
        change = float((rotated - upright).abs().max() / upright.std())
        found[name] = {"upright": right[0], "turned": right[1], "change": change}
    ensemble = Symmetrizer(net, "10x0e", group="SO(2)").ensemble(batch)
    found["frames"] = len(ensemble) / ensemble.size
    return found


def measure() -> dict[str, Any]:
    """All trainings, with every seed."""
    items = digits()
    order = torch.randperm(len(items), generator=torch.Generator().manual_seed(0)).tolist()
    test, train = ([items[i] for i in part] for part in (order[:TESTED], order[TESTED:]))
    results = {
        how: [tested(trained(train, how, seed), test) for seed in SEEDS] for how in TRAININGS
    }
    setting = {"seeds": SEEDS, "passes": PASSES, "tested": len(test), "learned": len(train)}
    return {**setting, "trainings": results}


def table(key: str) -> str:
    """The stored "accuracy": upright / turned, means and standard deviations over seeds."""
    assert key == "accuracy"
    rows = []
    for how, found in read_result("digits")["trainings"].items():
        cells = [how]
        for name in ("bare", "symmetrized"):
            for side in ("upright", "turned"):
                values = 100 * np.array([one[name][side] for one in found])
                cells.append(f"{values.mean():.1f} ± {values.std():.1f}")
        changes = [one["symmetrized"]["change"] for one in found]
        cells.append(f"{max(changes):.0e}")
        rows.append(cells)
    header = ["trained on digits", "bare, upright (%)", "bare, turned", "symmetrized, upright"]
    return markdown([*header, "symmetrized, turned", "largest change of logits"], rows)


def main() -> None:
    path = write_result("digits", measure())
    print(table("accuracy"))
    print(path)


if __name__ == "__main__":
    main()
