"""What do frames make of networks that others trained, and that do not respect rotations?

Three of them, as they were published:

- a PointNet that tells 40 classes of ModelNet40 apart, trained on objects that stand upright in a
  few azimuths, on furniture from elsewhere: at given azimuths, at random ones, symmetrized about
  the vertical and in space; by itself and after some passes through other furniture, as it stands,
  turned at random, or each in one of its sampled frames;
- a network of particle fluids, whose corrections of positions are vectors, under O(3) and, as
  fluids fall, under O(2) about the vertical;
- a network on a grid that scores how a ligand lies in a protein, under SO(3).

Run: python -m benchmarks.pretrained (about 10 minutes), with SYMMETRIZE_DATA the folder of the data
sets, pretrained/ among them. Writes results/pretrained.json, and prints its tables.
"""

import copy
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from backbones import ClassicPointNet
from benchmarks._data import data_folder
from benchmarks._docking import DockingNet, complex_of
from benchmarks._fluids import INPUTS, OUTPUTS, WALLS, FluidNet, dropping_cube
from benchmarks._record import read_result, write_result
from benchmarks._text import markdown, progress, short
from benchmarks._training import step
from symmetrize import QuadratureFrames, Symmetrizer
from symmetrize.groups import Group, random_elements, turns_about

VERTICAL = (0.0, 1.0, 0.0)
SEED, TURNS, AZIMUTHS = 0, 8, 12
# Of fine-tuning
PASSES, BATCH_SIZE, RATE, CLIP_NORM = 20, 16, 1e-4, 5.0
TUNINGS = ("as they stand", "turned at random", "sampled frames")
# Classes of ModelNet40, in the order of the network
MODELNET = [
    name
    for line in (
        "airplane bathtub bed bench bookshelf bottle bowl car chair cone cup curtain desk door",
        "dresser flower_pot glass_box guitar keyboard lamp laptop mantel monitor night_stand",
        "person piano plant radio range_hood sink sofa stairs stool table tent toilet tv_stand",
        "vase wardrobe xbox",
    )
    for name in line.split()
]
# Which of them are right for a class of furniture, by the first word of its name
RIGHT = {
    **{name: (name,) for name in ("chair", "bed", "lamp", "sofa", "door", "bathtub", "toilet")},
    **{name: (name,) for name in ("sink", "stairs", "wardrobe", "monitor", "bookshelf", "stool")},
    "table": ("table", "desk"),
    "desk": ("desk", "table"),
    "plant": ("plant", "flower_pot", "vase"),
    "cabinet": ("dresser", "night_stand", "wardrobe", "bookshelf"),
    "shelf": ("bookshelf",),
}


# --- classes of objects


def classifier(folder: Path) -> ClassicPointNet:
    """The PointNet of learning3d, trained on ModelNet40, in ours; logits of 40 classes."""
    path = folder / "learning3d" / "exp_classifier_best_model.t7"
    state = torch.load(path, map_location="cpu", weights_only=True)
    names = {"linear3": "readout.heads.by_name.output"}
    for place, (conv, norm) in enumerate(
        [(f"feature_model.conv{k}", f"feature_model.bn{k}") for k in range(1, 6)]
        + [("linear1", "bn1"), ("linear2", "bn2")]
    ):
        stack, layer = (
            ("first", place)
            if place < 2
            else ("second", place - 2)
            if place < 5
            else ("readout.layers", place - 5)
        )
        names |= {conv: f"{stack}.lins.{layer}", norm: f"{stack}.norms.{layer}.module"}
    net = ClassicPointNet("40x0e")
    ours = {}
    for name, value in state.items():
        head, _, part = name.rpartition(".")
        if head in names:
            # convolutions of width one are linear
            ours[f"{names[head]}.{part}"] = value.squeeze(-1) if value.ndim == 3 else value
    net.load_state_dict(ours)
    return net.eval()


def furniture() -> tuple[Tensor, Tensor, Tensor]:
    """Objects (n, 1024, 3) of classes of ModelNet40, (n, 40) what is right, (n,) for tests."""
    stored = np.load(data_folder() / "furniture11_1024.npz", allow_pickle=False)
    points = torch.tensor(stored["points"]).float()
    points = points - points.mean(1, keepdim=True)
    points = points / points.norm(dim=2).amax(1)[:, None, None]
    named = [str(name).lower().split("_")[0] for name in stored["class_names"]]
    right = torch.tensor([[one in RIGHT.get(name, ()) for one in MODELNET] for name in named])
    labels = torch.tensor(stored["label"]).long()
    kept = right.any(1)[labels]
    return points[kept], right[labels][kept], torch.tensor(stored["split"])[kept] == 1


def batch_of(points: Tensor) -> Batch:
    """(objects, number, 3) as a batch."""
    return Batch.from_data_list([Data(pos=each) for each in points])


@torch.no_grad()
def accuracy(model: Callable[[Any], Tensor], points: Tensor, right: Tensor) -> float:
    """Part of the objects whose largest logit is that of a right class."""
    logits = torch.cat([model(batch_of(part)) for part in points.split(BATCH_SIZE)])
    return float(right.gather(1, logits.argmax(1, keepdim=True)).double().mean())


def answers(net: nn.Module, points: Tensor, right: Tensor) -> dict[str, float]:
    """Accuracies of a network, bare at several azimuths, and symmetrized."""
    generator = torch.Generator().manual_seed(SEED)
    found = {}
    for degrees in (0, 90, 180, 270):
        turn = turns_about(VERTICAL, torch.tensor([math.radians(degrees)]).double())[0].float()
        found[f"azimuth {degrees}"] = accuracy(net, points @ turn.mT, right)
    azimuths, anyhow = [], []
    for _ in range(AZIMUTHS):
        turns = random_elements(len(points), "SO(2)", generator, axis=VERTICAL).float()
        azimuths.append(accuracy(net, points @ turns.mT, right))
        turns = random_elements(len(points), "SO(3)", generator).float()
        anyhow.append(accuracy(net, points @ turns.mT, right))
    found |= {"random azimuth": float(np.mean(azimuths)), "random rotation": float(np.mean(anyhow))}
    turns = random_elements(len(points), "SO(2)", generator, axis=VERTICAL).float()
    for name, model in (
        ("frames about the vertical", upright(net)),
        ("12 azimuths", upright(net, frames=QuadratureFrames(AZIMUTHS - 1))),
        ("frames in space", Symmetrizer(net, group="O(3)")),
    ):
        found[name] = accuracy(model.eval(), points @ turns.mT, right)
    return found


def upright(net: nn.Module, **options: Any) -> Symmetrizer:
    """Symmetrized about the vertical."""
    return Symmetrizer(net, group="SO(2)", axis=VERTICAL, **options)


def tuned(net: nn.Module, points: Tensor, right: Tensor, how: str) -> nn.Module:
    """A copy of the network after some passes through objects; statistics of batches stay."""
    generator = torch.Generator().manual_seed(SEED)
    torch.manual_seed(SEED)  # of dropout
    net = copy.deepcopy(net)
    optimizer = torch.optim.Adam(net.parameters(), RATE)
    model: nn.Module = net
    if how == "sampled frames":
        model = upright(net, training="sampled", generator=generator)
    for _ in progress(range(PASSES), how):
        for rows in torch.randperm(len(points), generator=generator).split(BATCH_SIZE):
            model.train()
            for module in net.modules():
                if isinstance(module, nn.BatchNorm1d):
                    module.eval()
            shown = points[rows]
            if how == "turned at random":
                turns = random_elements(len(rows), "SO(2)", generator, axis=VERTICAL)
                shown = shown @ turns.float().mT
            chances = model(batch_of(shown)).log_softmax(1)
            loss = -torch.where(right[rows], chances, -torch.inf).logsumexp(1).mean()
            step(net, loss, optimizer, RATE, CLIP_NORM)
    return net.eval()


def of_classes(folder: Path) -> dict[str, Any]:
    """Accuracies on furniture, before and after fine-tuning."""
    net = classifier(folder)
    points, right, test = furniture()
    found: dict[str, Any] = {"before, all objects": answers(net, points, right)}
    found["before"] = answers(net, points[test], right[test])
    for how in TUNINGS:
        changed = tuned(net, points[~test], right[~test], how)
        found[f"after: {how}"] = answers(changed, points[test], right[test])
    ensemble = upright(net).ensemble(batch_of(points))
    return {
        "objects": len(points),
        "tested": int(test.sum()),
        "frames": len(ensemble) / len(points),
        "accuracy": found,
    }


# --- vectors and scores


def largest_error(
    model: Callable[[Any], Tensor],
    turned: Callable[[Tensor], Any],
    back: Callable[[Tensor, Tensor], Tensor],
    group: Group,
) -> dict[str, float]:
    """Relative errors under random elements of the group, the mean and the largest.

    Args:
        model: from data to values.
        turned: the data, turned by a matrix.
        back: values, turned back by it.
        group: about the vertical, if it has an axis.
    """
    generator = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        here = model(turned(torch.eye(3, dtype=torch.float64)))
        errors = [
            float((back(model(turned(q)), q) - here).square().mean().sqrt())
            for q in random_elements(TURNS, group, generator, axis=VERTICAL)
        ]
        size = float(here.square().mean().sqrt())
    return {"mean": float(np.mean(errors)) / size, "largest": max(errors) / size}


def of_fluids(folder: Path) -> dict[str, Any]:
    """Errors of corrections of a falling cube of fluid."""
    net = FluidNet(folder / "cconv_fluids" / "pretrained_model_weights.pt").double().eval()
    data = dropping_cube()
    turning = ("pos", "velocity", WALLS, "normal")

    def turned(matrix: Tensor) -> Batch:
        other = data.clone()
        for name in turning:
            other[name] = data[name] @ matrix.T
        return other

    found: dict[str, Any] = {"particles": len(data.pos)}
    groups: dict[str, dict[str, Any]] = {"O(3)": {}, "O(2)": {"axis": VERTICAL}}
    for group, options in groups.items():
        model = Symmetrizer(net, OUTPUTS, INPUTS, group=group, positions=[WALLS], **options)  # type: ignore[arg-type]
        error = partial(largest_error, turned=turned, back=lambda v, q: v @ q, group=group)  # type: ignore[arg-type]
        with torch.no_grad():
            change = (model(data) - net(data)).square().mean().sqrt()
            change = float(change / net(data).square().mean().sqrt())
        found[group] = {
            "evaluations": int(model.evaluations(data)),
            "bare": error(net),
            "symmetrized": error(model),
            "change": change,
        }
    return found


def of_docking(folder: Path) -> dict[str, Any]:
    """Spread of the affinity of lysozyme and isobutylbenzene over rotations, in units of pK."""
    net = DockingNet(folder / "gnina" / "crossdock_default2018.pt").double().eval()
    data = complex_of(folder / "gnina")
    model = Symmetrizer(net, {"affinity": "0e", "pose": "0e"}, group="SO(3)").eval()
    matrices = random_elements(TURNS, "SO(3)", torch.Generator().manual_seed(SEED))
    found: dict[str, Any] = {
        "atoms": len(data.pos),
        "evaluations": int(model.evaluations(data)),
    }
    for name, one in (("bare", net), ("symmetrized", model)):
        values = []
        for matrix in progress(matrices, f"docking, {name}"):
            turned = Data(pos=data.pos @ matrix.T, z=data.z, radius=data.radius)
            with torch.no_grad():
                values.append(float(one(Batch.from_data_list([turned]))["affinity"]))
        found[name] = {"mean": float(np.mean(values)), "spread": float(np.ptp(values))}
    return found


# --- tables


def table(key: str) -> str:
    """The stored "classes", "fluids" or "docking"."""
    found = read_result("pretrained")[key]
    if key == "classes":
        rows = found["accuracy"]
        columns = list(next(iter(rows.values())))
        cells = [[name, *(f"{100 * row[c]:.0f}" for c in columns)] for name, row in rows.items()]
        return markdown(["right (%)", *columns], cells)
    if key == "fluids":
        cells = [
            [
                group,
                str(one["evaluations"]),
                *(f"{short(one[k]['mean'])} / {short(one[k]['largest'])}" for k in ("bare",)),
                f"{one['symmetrized']['largest']:.0e}",
                short(one["change"]),
            ]
            for group, one in found.items()
            if group != "particles"
        ]
        header = ["group", "evaluations", "bare, mean / largest", "symmetrized", "change"]
        return markdown(header, cells)
    cells = [
        [name, f"{found[name]['mean']:.3f}", f"{found[name]['spread']:.1g}"]
        for name in ("bare", "symmetrized")
    ]
    return markdown(["affinity (pK)", "mean over rotations", "largest difference"], cells)


def measure() -> dict[str, Any]:
    """All three networks."""
    folder = data_folder() / "pretrained"
    return {
        "docking": of_docking(folder),
        "fluids": of_fluids(folder),
        "classes": of_classes(folder),
    }


def main() -> None:
    path = write_result("pretrained", measure())
    for key in ("classes", "fluids", "docking"):
        print(table(key), end="\n\n")
    print(path)


if __name__ == "__main__":
    main()
