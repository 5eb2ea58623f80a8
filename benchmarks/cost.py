"""What does the wrapper add to the evaluations of the network, and to a step of training?

The time of a call whose network returns stored values at once, which is what choosing frames,
turning copies and averaging outputs take, over the time of the network alone on the same copies. In
single precision, forward and with the gradient with respect to positions. The whole call with the
true network is timed, too. Of the wrapper alone, what passes before it calls the network is for
frames and turned copies, and what passes afterwards for averaging.

Run: python -m benchmarks.cost, with SYMMETRIZE_DATA the folder of the data sets (about 2
minutes). Writes results/cost.json and prints the table of docs/performance.md.
"""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data
from torch_geometric.utils import to_dense_batch

from backbones import DGCNN, PET, ClassicPointNet, PointNet
from benchmarks._data import acetylacetone, furniture, water
from benchmarks._record import read_result, write_result
from benchmarks._text import markdown, progress
from benchmarks._timing import medians, milliseconds
from symmetrize import HierarchicalFrames, Symmetrizer

CUTOFF = 4.0  # of the frames, in Å
ROUNDS, STEPS = 9, 15
THREADS = 1
SPECIES = 100
SHOWN = ("whole", "network", "wrapper", "frames", "turning", "averaging")


class AttentionNet(nn.Module):
    """A transformer over the points of an environment, of the size of a layer of PET.

    Source of the sizes: Pozdnyakov and Ceriotti, arXiv 2305.19302.
    """

    def __init__(self, width: int = 128, heads: int = 4, layers: int = 2) -> None:
        super().__init__()
        self.position = nn.Linear(4, width)
        self.species = nn.Embedding(SPECIES, width)
        layer = nn.TransformerEncoderLayer(width, heads, 4 * width, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.read = nn.Linear(width, 9)

    def forward(self, data: Data) -> Tensor:
        """(environments, 9), from the points of each weighted by their envelope."""
        length = (data.pos.square().sum(-1, keepdim=True) + 1e-6).sqrt()
        tokens = self.position(torch.cat([data.pos, length], -1)) + self.species(data.z)
        dense, present = to_dense_batch(tokens, data.batch)
        weights, _ = to_dense_batch(data.envelope, data.batch)
        mixed = self.encoder(dense, src_key_padding_mask=~present)
        return self.read((weights[..., None] * mixed).sum(1))


@dataclass(frozen=True)
class Case:
    """A network, its declared outputs, and the data that it is called with."""

    net: nn.Module
    outputs: Any
    scope: Literal["structure", "center"]
    data: list[Data]

    def model(self, net: nn.Module, **settings: Any) -> Symmetrizer:
        """The wrapper with the default frames, around the network or what stands in for it."""
        frames = HierarchicalFrames(CUTOFF)
        prepare = getattr(self.net, "prepare", None)
        return Symmetrizer(
            net, self.outputs, frames=frames, scope=self.scope, prepare=prepare, **settings
        ).eval()

    def batch(self) -> Data:
        """The data in single precision."""
        batch = Batch.from_data_list(self.data)
        batch.pos = batch.pos.float()
        if "cell" in batch:
            batch.cell = batch.cell.float()
        return batch


def cases() -> dict[str, Case]:
    irreps = "0e + 1o + 2e"
    named = {"energy": "0e", "dipole": "1o"}
    molecular, edges = PointNet(named), DGCNN(named, cutoff=CUTOFF)
    pet = PET(named, species=[1, 6, 8], cutoff=CUTOFF)
    acac = acetylacetone()[:32]
    attention = AttentionNet()
    return {
        "classic PointNet, 32 objects of 1024 points": Case(
            ClassicPointNet(irreps), irreps, "structure", furniture()[::11][:32]
        ),
        "PET, 1 acetylacetone": Case(pet, named, "structure", acac[:1]),
        "PET, 32 acetylacetone": Case(pet, named, "structure", acac),
        "DGCNN, 32 acetylacetone": Case(edges, named, "structure", acac),
        "PointNet, 32 acetylacetone": Case(molecular, named, "structure", acac),
        "PointNet, 1 acetylacetone": Case(molecular, named, "structure", acac[:1]),
        "attention, water, structure": Case(
            WithoutEnvelope(attention), irreps, "structure", water([0])
        ),
        "attention, water, center": Case(attention, irreps, "center", water([0])),
        "attention, 16 acetylacetone, center": Case(attention, irreps, "center", acac[:16]),
    }


class WithoutEnvelope(nn.Module):
    """The network on whole structures, whose points all count fully."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, data: Data) -> Tensor:
        """(structures, 9)."""
        data.envelope = torch.ones_like(data.pos[:, 0])
        return self.net(data)


def total(returned: Any) -> Tensor:
    """A scalar to differentiate."""
    values = returned.values() if isinstance(returned, dict) else [returned]
    return torch.stack([value.sum() for value in values]).sum()


class Kept(nn.Module):
    """A network that keeps the copies it was called with."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.copies = net, Data()

    def forward(self, data: Data) -> Any:
        """What the network returns."""
        self.copies = data
        return self.net(data)


class Stored(nn.Module):
    """Returns what a network returned, at once; gradients reach the positions, and are zero."""

    def __init__(self, returned: Any) -> None:
        super().__init__()
        self.returned = returned
        self.called = 0.0  # when it was, last

    def forward(self, data: Data) -> Any:
        """The stored values."""
        self.called = perf_counter()
        touch = 0 * data.pos.sum()
        if "envelope" in data:
            touch = touch + 0 * data.envelope.sum()
        if isinstance(self.returned, dict):
            return {name: value + touch for name, value in self.returned.items()}
        return self.returned + touch


def measured(case: Case, gradient: bool) -> dict[str, float]:
    """Milliseconds of the parts, copies of each structure or center, and the overhead."""
    kept, batch = Kept(case.net), case.batch()
    batch.pos.requires_grad_(gradient)
    with torch.set_grad_enabled(gradient):
        model = case.model(case.net)
        ensemble = model.ensemble(batch)
        # with derivatives there are a few more copies
        case.model(kept)(batch)
        copies = kept.copies
        with torch.no_grad():
            stand_in = Stored(case.net(copies))
            idle = case.model(stand_in)
        copies.pos = copies.pos.detach().requires_grad_(gradient)
        if "envelope" in copies:
            copies.envelope = copies.envelope.detach()

        def timed(function: Callable[[Data], Any], data: Data) -> Callable[[], Any]:
            if not gradient:
                return lambda: function(data)
            return lambda: torch.autograd.grad(total(function(data)), data.pos)

        before: list[float] = []

        def wrapper() -> None:
            start = perf_counter()
            timed(idle, batch)()
            before.append(1e3 * (stand_in.called - start))

        sides = {"whole": timed(model, batch), "network": timed(case.net, copies)}
        sides["wrapper"] = wrapper
        if not gradient:
            # each part comes after the network, too, which leaves a cold cache
            sides["network again"] = sides["network"]
            sides["frames"] = lambda: model.ensemble(batch)
        times = medians(milliseconds(sides, ROUNDS))
    if not gradient:
        # what the wrapper does before it calls the network is frames and turning
        reached = median(before[1:])
        times["turning"] = reached - times["frames"]
        times["averaging"] = times["wrapper"] - reached
    return {
        "copies": len(ensemble) / ensemble.size,
        **{name: round(times[name], 2) for name in SHOWN if name in times},
        "overhead": round(times["wrapper"] / times["network"], 3),
        "whole_over_network": round(times["whole"] / times["network"], 3),
    }


def step_of_training(case: Case) -> dict[str, float]:
    """A step with one sampled frame for each structure, over one without symmetrization.

    Medians of ratios of neighboring steps: forward, backward and Adam, edges included.
    """
    batch = case.batch()
    model = case.model(case.net, training="sampled").train()
    optimizer = torch.optim.Adam(case.net.parameters(), 1e-5)
    prepare = getattr(case.net, "prepare", None) or (lambda data: data)

    def step(function: Callable[[Data], Any]) -> Callable[[], None]:
        def stepped() -> None:
            optimizer.zero_grad()
            total(function(batch)).backward()
            optimizer.step()

        return stepped

    sides = {
        "sampled": step(model),
        "plain": step(lambda data: case.net(prepare(data.clone()))),
    }
    times = milliseconds(sides, STEPS, warm_up=2, back_and_forth=True)
    case.net.eval()
    ratios = [one / other for one, other in zip(times["sampled"], times["plain"], strict=True)]
    found = medians(times) | {"ratio": median(ratios)}
    return {name: round(value, 3) for name, value in found.items()}


def measure() -> dict[str, Any]:
    """All cases, forward and with gradients, and steps of training."""
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    found = {
        name: {"forward": measured(case, False), "gradient": measured(case, True)}
        for name, case in progress(cases().items(), "networks")
    }
    trained = {
        name: step_of_training(case)
        for name, case in progress(cases().items(), "training")
        if case.scope == "structure"
    }
    setting = {"dtype": "float32", "group": "O(3)", "preset": "smooth", "rounds": ROUNDS}
    return {**setting, "threads": THREADS, "cases": found, "training": trained}


def table(key: str) -> str:
    """The stored "overhead", or steps of "training"."""
    if key == "training":
        header = ["network and data", "plain step (ms)", "sampled frame (ms)", "ratio"]
        steps = read_result("cost")["training"].items()
        return markdown(
            header,
            [
                [name, f"{s['plain']:.1f}", f"{s['sampled']:.1f}", f"{s['ratio']:.2f}"]
                for name, s in steps
            ],
        )
    found = read_result("cost")["cases"]
    header = [
        *("network and data", "copies", "network (ms)", "frames (ms)", "turning", "averaging"),
        *("overhead", "network with gradient (ms)", "overhead"),
    ]
    rows = [
        [
            *(name, f"{ahead['copies']:.1f}", f"{ahead['network']:.1f}"),
            *(f"{ahead[part]:.1f}" for part in ("frames", "turning", "averaging")),
            f"{ahead['overhead']:.0%}",
            *(f"{back['network']:.1f}", f"{back['overhead']:.0%}"),
        ]
        for name, ahead, back in ((n, f["forward"], f["gradient"]) for n, f in found.items())
    ]
    return markdown(header, rows)


def main() -> None:
    path = write_result("cost", measure())
    print(table("overhead"), table("training"), path, sep="\n\n")


if __name__ == "__main__":
    main()
