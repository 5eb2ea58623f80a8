"""One round of PET: tokens are made, mixed and read, and messages change direction."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from backbones.pet.buckets import Buckets
from backbones.structures import sum_over


class Round(nn.Module):
    """Tokens from geometry, species and messages, and the transformer that mixes them."""

    def __init__(
        self,
        species: int,
        first: bool,
        width: int,
        columns: int,
        layers: nn.ModuleList,
        center_width: int,
    ) -> None:
        super().__init__()
        self.center = nn.Embedding(species, center_width)
        self.geometry = nn.Linear(columns, width)
        # in the first round the message is the embedded species
        self.neighbor = None if first else nn.Embedding(species, width)
        self.compress = nn.Sequential(
            nn.Linear((2 if first else 3) * width, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.layers = layers
        self.wide = center_width != width

    def forward(
        self,
        geometry: Float[Tensor, "rows columns"],
        row_kinds: Int[Tensor, "rows"],
        message: Float[Tensor, "rows width"],
        kinds: Int[Tensor, "points"],
        damping: Float[Tensor, "rows"],
        where: Buckets,
    ) -> tuple[Float[Tensor, "rows width"], Float[Tensor, "points center_width"]]:
        """Tokens after the transformer, and centers."""
        parts = [self.geometry(geometry)]
        if self.neighbor is not None:
            parts.append(self.neighbor(row_kinds))
        tokens = self.compress(torch.cat([*parts, message], dim=1))
        centers: Tensor | None = self.center(kinds)
        if not self.wide:
            tokens = tokens.index_copy(0, where.center, centers)
            centers = None
        for layer in self.layers:
            tokens, centers = layer(tokens, centers, damping, where)
        return tokens, tokens.index_select(0, where.center) if centers is None else centers


class Readout(nn.Module):
    """One output of points, from their centers and from their edges times the cutoff function."""

    def __init__(self, width: int, center_width: int, dim: int) -> None:
        super().__init__()
        self.center = nn.Sequential(
            nn.Linear(center_width, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )
        self.edge = nn.Sequential(
            nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )
        self.read_center = nn.Linear(width, dim)
        self.read_edge = nn.Linear(width, dim)

    def forward(
        self,
        tokens: Float[Tensor, "rows width"],
        centers: Float[Tensor, "points center_width"],
        cutoff: Float[Tensor, "rows"],
        where: Buckets,
    ) -> Float[Tensor, "points dim"]:
        """One row for each point."""
        edges = self.read_edge(self.edge(tokens)) * cutoff[:, None]
        return self.read_center(self.center(centers)) + sum_over(edges, where.owner, len(centers))


class Permuted(torch.autograd.Function):
    """Rows in the order of an involution: ``Permuted.apply(rows, involution)``.

    Its derivative is itself. Left to indexing, it would be a sum over indices, which is slow.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(rows: Tensor, involution: Tensor) -> Tensor:
        """The rows in their new order."""
        return rows.index_select(0, involution)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        """Keep the involution for both directions of differentiation."""
        ctx.save_for_backward(inputs[1])
        ctx.save_for_forward(inputs[1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Back to the old one, which is the same way; can be differentiated again."""
        (involution,) = ctx.saved_tensors
        return Permuted.apply(gradient, involution), None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _: None) -> Tensor:
        """Tangents go the way of their rows."""
        (involution,) = ctx.saved_tensors
        return Permuted.apply(tangent, involution)
