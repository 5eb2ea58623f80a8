"""The smooth step, whose derivatives are exact to the last digits wherever it rises."""

import pytest
import torch
from torch import Tensor

from symmetrize.arrays import switching

# From where the step is 1e-22 to the middle
PLACES = torch.linspace(0.02, 0.5, 97, dtype=torch.float64)


def derivatives(x: Tensor) -> tuple[Tensor, Tensor]:
    leaf = x.clone().requires_grad_()
    (first,) = torch.autograd.grad(switching.step(leaf).sum(), leaf, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), leaf)
    return first.detach(), second


def asymmetry() -> float:
    """How far derivatives before 1 are from those after 0, of which they are the image."""
    first, second = derivatives(PLACES)
    first_there, second_there = derivatives(1 - PLACES)
    errors = [(first_there - first) / first, (second_there + second) / second.abs().clamp(min=1e-9)]
    return float(torch.cat(errors).abs().max())


def test_derivatives_are_as_exact_before_one_as_after_zero():
    # the exponent is at most 50, and known to 50 ulp of 1 - x; its square to twice as many
    assert asymmetry() < 1e-9


def test_mutant_a_sigmoid_near_one_loses_its_derivatives(monkeypatch: pytest.MonkeyPatch):
    """Second derivatives then have jumps of the last digit of 1 times powers of 1 / (1 - x)."""

    def naive(x: Tensor) -> Tensor:
        return torch.sigmoid(1 / (1 - x) - 1 / x)

    monkeypatch.setattr(switching, "step", naive)
    assert asymmetry() > 0.1
