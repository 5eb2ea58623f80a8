"""The families of frames that are compared, and how many frames each takes."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from symmetrize import FrameAveraging, Frames, HierarchicalFrames, PairFrames, Symmetrizer
from symmetrize.frames import Group

CUTOFF = 4.0  # in Å
MANY = 10**5  # frames of one structure: none is refused here
UNPRUNED, PRUNED, AVERAGING = "pairs, unpruned", "pairs, pruned", "frame averaging"
SMOOTH, LEAN = "smooth (default)", "lean"


def without_frames(*_: Any) -> Any:
    """Stands in for an auxiliary model, which is never called here."""


@cache
def families() -> Mapping[str, Frames]:
    """Frames by name; those of ``PairFrames`` let owners without frames pass, to be counted."""
    return {
        UNPRUNED: PairFrames(CUTOFF, prune=None, auxiliary=without_frames),
        PRUNED: PairFrames(CUTOFF, auxiliary=without_frames),
        SMOOTH: HierarchicalFrames(CUTOFF, max_frames=MANY),
        LEAN: HierarchicalFrames(CUTOFF, preset="lean", max_frames=MANY),
        AVERAGING: FrameAveraging(CUTOFF),
    }


def numbers_of_frames(frames: Frames, group: Group, scope: str, data: list[Data]) -> Tensor:
    """Evaluations of the network for each structure, or each center."""
    model = Symmetrizer(without_frames, "2e", frames=frames, group=group, scope=scope)  # type: ignore[arg-type]
    batches = (Batch.from_data_list(data[k : k + 50]) for k in range(0, len(data), 50))
    return torch.cat([model.evaluations(batch) for batch in batches]).double()


def columns() -> list[tuple[str, Group]]:
    """Families and groups of the columns of a table."""
    proper: list[tuple[str, Group]] = [(name, "SO(3)") for name in families()]
    return [*proper, (SMOOTH, "O(3)"), (LEAN, "O(3)")]


def summary(number: Tensor) -> dict[str, float]:
    return {
        "mean": round(float(number.mean()), 2),
        "median": float(number.median()),
        "largest": float(number.max()),
        "without": round(float((number == 0).double().mean()), 4),
    }
