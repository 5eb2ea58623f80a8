"""Distances between the points of the same structures, in blocks that fit in memory.

A batch is ragged, a table of distances is not. Structures of about the same size share a table,
padded to the largest of them; large ones are cut along the second cloud.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

# Points y, points x, and distances
ChosenPairs: TypeAlias = tuple[Tensor, Tensor, Tensor]
Flow = Literal["source_to_target", "target_to_source"]

# Distances in one block: 32 MB
BLOCK = 2**22


@dataclass(frozen=True)
class PaddedPairs:
    """Some points y, each with all points x of its structure.

    Attributes:
        rows_y, rows_x: which points these are, those beyond the end of a structure arbitrary.
        distance: in float64; infinite beyond the end of a structure.
    """

    rows_y: Int[Tensor, "structures some"]
    rows_x: Int[Tensor, "structures all"]
    distance: Float[Tensor, "structures some all"]

    def where(self, chosen: Bool[Tensor, "structures some all"]) -> ChosenPairs:
        """Points y, points x, and distances of the chosen pairs."""
        structure, some, every = torch.nonzero(chosen & self.distance.isfinite()).unbind(1)
        distance = self.distance[structure, some, every]
        return self.rows_y[structure, some], self.rows_x[structure, every], distance


@dataclass(frozen=True)
class Sorted:
    """Points in the order of their structures: ``order[first[b] : first[b] + number[b]]``."""

    order: Int[Tensor, "points"]
    first: Int[Tensor, "structures"]
    number: Int[Tensor, "structures"]

    @classmethod
    def of(cls, batch: Int[Tensor, "points"], size: int) -> "Sorted":
        """Points that keep their order within each structure."""
        number = torch.bincount(batch, minlength=size)
        return cls(torch.argsort(batch, stable=True), number.cumsum(0) - number, number)

    def rows(
        self, structures: Int[Tensor, "chosen"]
    ) -> tuple[Int[Tensor, "chosen width"], Bool[Tensor, "chosen width"]]:
        """Points of each structure, padded to the largest, and which of them exist."""
        number = self.number[structures, None]
        place = torch.arange(int(number.max()), device=number.device)
        exists = place < number
        return self.order[self.first[structures, None] + torch.where(exists, place, 0)], exists


def blocks(
    x: Float[Tensor, "points_x columns"],
    y: Float[Tensor, "points_y columns"],
    sorted_x: Sorted,
    sorted_y: Sorted,
    structures: Int[Tensor, "chosen"],
) -> Iterator[PaddedPairs]:
    """All distances from points y to points x of the chosen structures, none of them empty.

    Distances are those of differences, exactly zero between coincident points.
    """
    x, y = x.detach().double(), y.detach().double()
    largest = torch.maximum(sorted_x.number, sorted_y.number)[structures]
    # powers of two: a loop over at most as many classes as the largest number has bits
    classes = largest.double().log2().ceil()
    for size_class in classes.unique():
        alike = structures[classes == size_class]
        area = int(sorted_x.number[alike].max()) * int(sorted_y.number[alike].max())
        for part in alike.split(max(1, BLOCK // area)):
            rows_x, exists_x = sorted_x.rows(part)
            rows_y, exists_y = sorted_y.rows(part)
            step = max(1, BLOCK // rows_x.numel())
            for some, real in zip(rows_y.split(step, 1), exists_y.split(step, 1), strict=True):
                distance = torch.cdist(
                    y[some], x[rows_x], compute_mode="donot_use_mm_for_euclid_dist"
                )
                beyond = ~(real[:, :, None] & exists_x[:, None, :])
                yield PaddedPairs(some, rows_x, distance.masked_fill(beyond, torch.inf))


def directed(pairs: Int[Tensor, "2 pairs"], flow: Flow) -> Int[Tensor, "2 pairs"]:
    """Edges of a graph from pairs (center, neighbor).

    Raises:
        ValueError: if ``flow`` is unknown.
    """
    if flow not in get_args(Flow):
        raise ValueError(f"`flow` is {flow!r} but must be one of {get_args(Flow)}")
    return pairs.flip(0) if flow == "source_to_target" else pairs


def same(x: Tensor, y: Tensor) -> bool:
    """Whether both are one tensor, so that rows with one index are one point."""
    return x is y or (
        x.data_ptr() == y.data_ptr() and x.shape == y.shape and x.stride() == y.stride()
    )


def batch_or_one(
    x: Tensor, y: Tensor, batch_x: Tensor | None, batch_y: Tensor | None
) -> tuple[Tensor, Tensor, int]:
    """The structure of each point of both clouds, and the number of structures."""
    if x.size(1) != y.size(1):
        raise ValueError(
            f"`x` has {x.size(1)} columns and `y` has {y.size(1)} but both must be points of one "
            "space"
        )
    batch_x = torch.zeros(len(x), dtype=torch.long, device=x.device) if batch_x is None else batch_x
    batch_y = torch.zeros(len(y), dtype=torch.long, device=y.device) if batch_y is None else batch_y
    largest = max(int(batch.max()) if len(batch) else -1 for batch in (batch_x, batch_y))
    return batch_x, batch_y, largest + 1
