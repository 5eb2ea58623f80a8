"""What trainings share: turns of their data, steps, and states to go on from."""

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from symmetrize.groups import random_rotations


def random_turns(number: int, generator: torch.Generator) -> Float[Tensor, "number 3 3"]:
    """(number, 3, 3) float64, uniform on O(3).

    Signs are drawn before rotations, other than in ``symmetrize.groups.random_elements``: so they
    were when the stored networks were trained.
    """
    sign = 1.0 - 2.0 * torch.randint(2, (number, 1, 1), generator=generator)
    return sign * random_rotations(number, generator)


def step(
    net: nn.Module, loss: Tensor, optimizer: torch.optim.Optimizer, rate: float, clip: float
) -> None:
    """Change the weights, at a learning rate, by a gradient of no more than a norm."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(net.parameters(), clip)
    optimizer.step()


def store(path: Path, state: dict[str, Any]) -> None:
    """Write a state: all of it, or, if that is interrupted, none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    torch.save(state, unfinished)
    unfinished.replace(path)


def stored(path: Path) -> dict[str, Any] | None:
    """The state that ``store`` wrote; None if there is none."""
    return torch.load(path, weights_only=True) if path.exists() else None
