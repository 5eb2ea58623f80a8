"""Training the network of the demo: forces, turned molecules, a warm-up and a cosine."""

import math
import random
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from symmetrize import Symmetrizer
from symmetrize.demo.network import Network
from symmetrize.demo.task import OUTPUTS
from symmetrize.frames import Frames
from symmetrize.frames.ensemble import drawn
from symmetrize.groups import random_elements
from symmetrize.representation import as_representation

BATCH_SIZE = 64
SHUFFLES = 20  # orders of the data that are batched beforehand
LEARNING_RATE = 3e-3
WARM_UP = 100  # steps
FORCE_WEIGHT = 0.3

VECTOR = as_representation("1o")
REPRESENTATIONS = {name: as_representation(spec) for name, spec in OUTPUTS.items()}


class Scaled(nn.Module):
    """A network whose outputs of order 1 are brought to the scale and the mean of the data."""

    def __init__(self, net: nn.Module, mean: dict[str, Tensor], scale: dict[str, Tensor]) -> None:
        super().__init__()
        self.net = net
        for name in OUTPUTS:
            self.register_buffer(f"{name}_mean", mean[name])
            self.register_buffer(f"{name}_scale", scale[name])

    def forward(self, data: Data) -> dict[str, Tensor]:
        """Each output in the unit of the data."""
        return {
            name: getattr(self, f"{name}_mean") + getattr(self, f"{name}_scale") * value
            for name, value in self.net(data).items()
        }


def train(
    molecules: list[Data],
    steps: int,
    seed: int,
    frames: Frames | None,
    progress: Callable[[], Any],
) -> nn.Module:
    """A ``Network`` trained for so many steps; ``progress`` is called after each.

    In every step each molecule of a batch is turned, labels and all: if ``frames`` is None, by a
    random orthogonal matrix, which is how such networks are taught rotations, and what they never
    learn exactly; otherwise into one of its frames, drawn with its weight. This is what training
    mode "sampled" of ``Symmetrizer`` does, but for forces, to which the slope of the weight that
    was drawn adds noise: here they are those in a fixed frame. Frames are found once, as the
    molecules stay what they are.
    """
    torch.manual_seed(seed)
    order, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    everything = Batch.from_data_list(molecules)
    mean, scale = _statistics(everything)
    net = Scaled(Network(), mean, scale).float()
    optimizer = torch.optim.AdamW(net.parameters(), LEARNING_RATE, weight_decay=1e-3, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min(1, (step + 1) / WARM_UP) * math.cos(math.pi / 2 * step / steps) ** 2,
    )
    batches = _batches(molecules, order)
    ensemble = None
    if frames is not None:
        ensemble = Symmetrizer(net, OUTPUTS, frames=frames).ensemble(everything)
    for _ in range(steps):
        batch = order.choice(batches)
        if ensemble is None:
            turns = random_elements(batch.num_graphs, "O(3)", generator)
        else:
            turns = drawn(ensemble, generator).rotations.mT[batch.molecule]
        loss = _loss(net, _turned(batch, turns.float()), scale)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        progress()
    return net.double().eval()


def _statistics(data: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Invariant mean of each output, and the root mean square of what is left."""
    mean, scale = {}, {}
    for name, representation in REPRESENTATIONS.items():
        values = data[name]
        mean[name] = representation.project_invariant(values).mean(0)
        scale[name] = (values - mean[name]).square().mean().sqrt()
    return mean, scale


def _batches(molecules: list[Data], order: random.Random) -> list[Batch]:
    """Batches of several passes through the data, in float32; ``molecule`` says which they hold."""
    batches = []
    for _ in range(SHUFFLES):
        shuffled = order.sample(range(len(molecules)), len(molecules))
        for start in range(0, len(molecules) - BATCH_SIZE + 1, BATCH_SIZE):
            chosen = shuffled[start : start + BATCH_SIZE]
            batch = Batch.from_data_list([molecules[index] for index in chosen])
            batch.molecule = torch.tensor(chosen)
            batches.append(batch.apply(lambda x: x.float() if x.is_floating_point() else x))
    return batches


def _turned(batch: Batch, turns: Float[Tensor, "molecules 3 3"]) -> Batch:
    """The batch with every molecule turned by its own orthogonal matrix."""
    turned = batch.clone()
    for name in ("pos", "forces"):
        turned[name] = VECTOR.rotate(batch[name], turns[batch.batch])
    for name, representation in REPRESENTATIONS.items():
        turned[name] = representation.rotate(batch[name], turns)
    return turned


def _loss(net: nn.Module, batch: Batch, scale: dict[str, Tensor]) -> Float[Tensor, ""]:
    """Mean square errors in units of each output's scale; forces in that of the energy."""
    batch.pos.requires_grad_()
    outputs = net(batch)
    (slope,) = torch.autograd.grad(outputs["energy"].sum(), batch.pos, create_graph=True)
    loss = FORCE_WEIGHT * ((slope + batch.forces) / scale["energy"].float()).square().mean()
    for name, value in outputs.items():
        loss = loss + ((value - batch[name]) / scale[name].float()).square().mean()
    return loss
