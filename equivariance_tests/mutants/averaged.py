"""The healthy network that mutants average: smooth, of whole clouds, and not equivariant."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch

from equivariance_tests.mutants.pairs import CUTOFF, WIDTH, summed, within
from symmetrize import Contract, Outputs, cutoff_switch, safe_norm

HIDDEN = 12
# On which it varies; frames that do not know it take a cloud of any size for one of size one
LENGTH = 1.0
OUTPUTS: dict[str, str] = {"energy": "0e", "vector": "1o"}


class DeepSet(nn.Module):
    """F = B sin(sum_i tanh(A x_i + a)), with positions from their mean.

    Args:
        outputs: named, of structures.
        seed: of the weights, which single precision holds exactly.
    """

    def __init__(self, outputs: Outputs = OUTPUTS, seed: int = 0) -> None:
        super().__init__()
        # honest: averaging is what makes it equivariant
        self.contract = Contract(outputs, group=None)
        generator = torch.Generator().manual_seed(seed)
        dim = sum(one.representation.dim for one in self.contract.outputs.values())
        self.inner = nn.Parameter(0.7 * torch.randn(3, HIDDEN, generator=generator))
        self.bias = nn.Parameter(torch.randn(HIDDEN, generator=generator))
        self.outer = nn.Parameter(torch.randn(HIDDEN, dim, generator=generator))

    def forward(self, data: Batch) -> Any:
        """One row for each structure."""
        number = torch.bincount(data.batch, minlength=data.num_graphs).clamp(min=1)
        mean = summed(data.pos, data.batch, data.num_graphs) / number[:, None]
        hidden = torch.tanh((data.pos - mean[data.batch]) @ self.inner + self.bias)
        values = torch.sin(summed(hidden, data.batch, data.num_graphs)) @ self.outer
        outputs = self.contract.outputs
        parts = values.split([one.representation.dim for one in outputs.values()], -1)
        return outputs.unnamed(
            {
                name: part.reshape(-1, *one.representation.value_shape)
                for (name, one), part in zip(outputs.items(), parts, strict=True)
            }
        )


class DirectedPairs(nn.Module):
    """Sum over pairs of a function of their vector: local and extensive, but not equivariant."""

    contract = Contract(OUTPUTS, group=None, cutoff=CUTOFF, extensive=True)

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.inner = nn.Parameter(torch.randn(3, HIDDEN, generator=generator))
        self.outer = nn.Parameter(torch.randn(HIDDEN, 4, generator=generator) / math.sqrt(HIDDEN))

    def forward(self, data: Batch) -> dict[str, Tensor]:
        """One row for each structure."""
        pairs = within(CUTOFF, data)
        fade = cutoff_switch(safe_norm(pairs.vectors), CUTOFF, WIDTH)
        values = fade[:, None] * (torch.sin(pairs.vectors @ self.inner + 1.0) @ self.outer)
        pooled = summed(values, data.batch[pairs.center], data.num_graphs)
        return {"energy": pooled[:, :1], "vector": pooled[:, 1:]}
