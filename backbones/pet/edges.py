"""Edges as PET needs them: with their reverses, lengths without a kink, and cutoff functions."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.data import Data

from backbones.edges import edge_vectors
from symmetrize import cutoff_switch, safe_norm

Switch = Literal["smooth", "cosine"]


@dataclass(frozen=True)
class DirectedPairs:
    """Ordered pairs of points, each in both directions.

    Attributes:
        center, neighbor: (E,), rows of the points.
        vectors: (E, 3), from center to neighbor, images included.
        reverse: (E,), the edge that leads back.
    """

    center: Int[Tensor, "edges"]
    neighbor: Int[Tensor, "edges"]
    vectors: Float[Tensor, "edges 3"]
    reverse: Int[Tensor, "edges"]


def directed_pairs(data: Data) -> DirectedPairs:
    """The edges of data that has them, with vectors that gradients flow through.

    Raises:
        ValueError: if an edge has no reverse.
    """
    neighbor, center = data.edge_index
    reverse = _reverse(center, neighbor, data.get("edge_shift"), len(data.pos))
    return DirectedPairs(center, neighbor, edge_vectors(data), reverse)


def _reverse(
    center: Int[Tensor, "edges"],
    neighbor: Int[Tensor, "edges"],
    shift: Int[Tensor, "edges 3"] | None,
    number: int,
) -> Int[Tensor, "edges"]:
    """The edge from neighbor to center with the opposite shift, for each edge."""
    image = reverse_image = torch.zeros_like(center)
    if shift is not None and len(shift):
        reach = 1 + int(shift.abs().max())
        base = shift.new_tensor([4 * reach**2, 2 * reach, 1])
        image, reverse_image = (shift * base).sum(-1), -(shift * base).sum(-1)
    span = 1 + 2 * int(image.abs().max()) if len(image) else 1
    there = torch.argsort((center * number + neighbor) * span + image)
    back = torch.argsort((neighbor * number + center) * span + reverse_image)
    reverse = torch.empty_like(there).scatter_(0, there, back)
    paired = (neighbor[reverse] == center) & (center[reverse] == neighbor)
    if shift is not None:
        paired = paired & (shift[reverse] == -shift).all(-1)
    if not bool(paired.all()):
        raise ValueError(
            f"`edge_index` has {len(center)} edges but not each has its reverse: messages go both "
            "ways; use both directions of every edge, or leave `edge_index` out"
        )
    return reverse


def switched(lengths: Tensor, cutoff: int | float, width: int | float, switch: Switch) -> Tensor:
    """1 up to ``cutoff - width``, 0 from ``cutoff`` on: C-infinity ("smooth") or C1 ("cosine")."""
    if switch == "smooth":
        return cutoff_switch(lengths, cutoff, width)
    x = ((lengths - (cutoff - width)) / width).clamp(0.0, 1.0)
    return 0.5 * (1.0 + torch.cos(torch.pi * x))


def length_of(vectors: Float[Tensor, "edges 3"], softening: int | float) -> Float[Tensor, "edges"]:
    """Length, with the kink at zero rounded off below ``softening``; the bare length if it is 0."""
    if softening == 0.0:
        return safe_norm(vectors)
    # a vector of four components, the last of which does not vanish
    squared = vectors.square().sum(-1) + softening**2
    return squared.sqrt()
