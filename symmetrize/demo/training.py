"""Training the network of the demo: forces, random orthogonal matrices, a warm-up and a cosine."""

import math
import random
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from symmetrize.demo.network import Network
from symmetrize.demo.task import OUTPUTS
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
    molecules: list[Data], steps: int, seed: int, progress: Callable[[float], Any]
) -> nn.Module:
    """A ``Network`` trained for so many steps; ``progress`` is called with the loss of each.

    In every step each molecule of a batch is turned by a random orthogonal matrix, labels and all:
    this is how such networks are taught rotations, and what they never learn exactly.
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
    for _ in range(steps):
        batch = _turned(order.choice(batches), generator)
        loss = _loss(net, batch, scale)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        progress(loss.item())
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
    """Batches of several passes through the data, in float32."""
    batches = []
    for _ in range(SHUFFLES):
        shuffled = order.sample(molecules, len(molecules))
        for start in range(0, len(molecules) - BATCH_SIZE + 1, BATCH_SIZE):
            batch = Batch.from_data_list(shuffled[start : start + BATCH_SIZE])
            batches.append(batch.apply(lambda x: x.float() if x.is_floating_point() else x))
    return batches


def _turned(batch: Batch, generator: torch.Generator) -> Batch:
    """The batch with every molecule turned by its own random orthogonal matrix."""
    turns = random_elements(batch.num_graphs, "O(3)", generator).float()
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
