"""How fast a symmetrized network changes along straight paths of its input.

The average F of a network f over weighted frames changes as f does, and as the weights do: its
derivatives are those of f plus the spread of f over rotations times how fast the weights change.
To see the second part, f is a fixed random network that is smooth and knows no symmetry,

    f_n(A) = o_n . tanh(V_n sum_j c_j tanh(W_n r_j + b_n) + a_n),

and F is followed along paths on which every point moves straight by 1 Å in a random direction. Of
several networks n the root mean square is taken. Derivatives are central differences on an even
grid, repeated on ever finer ones about the places where they are largest, until these converge.
"""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import mean, median

import torch
from torch import Tensor

from symmetrize import Ensemble, Frames
from symmetrize.cloud import Cloud, centered_cloud, points
from symmetrize.frames.random import random_rotations
from symmetrize.segments import join, segment_sum
from symmetrize.switching import cutoff_switch

NETWORKS, WIDTH = 8, 24
DEGREE = 2  # of the outputs that the frames are made for
GRID = 401  # points of a path
# Where a derivative is largest: places looked at again, points of each finer grid, how much the
# largest value may still change, and how often to look
PLACES, FINE, CONVERGED, LOOKS = 2, 41, 0.02, 12
ROTATIONS = 200  # that show the spread of the network


class RandomNetworks:
    """Scalar networks with fixed random parameters; points fade out at the cutoff, if any."""

    def __init__(self, cutoff: float | None, scale: float, seed: int = 0) -> None:
        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, dtype=torch.float64, generator=generator)

        generator = torch.Generator().manual_seed(seed)
        self.cutoff = cutoff
        self.inner = scale * normal(3, NETWORKS * WIDTH)
        uniform = torch.rand(NETWORKS * WIDTH, dtype=torch.float64, generator=generator)
        self.bias = 6 * uniform - 3
        self.middle = normal(NETWORKS, WIDTH, WIDTH) / WIDTH**0.5
        self.shift = 0.3 * normal(NETWORKS, WIDTH)
        self.outer = normal(NETWORKS, WIDTH) / WIDTH**0.5

    def fade(self, vectors: Tensor) -> Tensor:
        """(P,) weight of each point, the same in all frames."""
        lengths = vectors.norm(dim=-1)
        if self.cutoff is None:
            return torch.ones_like(lengths)
        return cutoff_switch(lengths, self.cutoff, 0.375 * self.cutoff)

    def __call__(self, vectors: Tensor, fade: Tensor, index: Tensor, size: int) -> Tensor:
        """(size, NETWORKS) values for clouds of points with weights ``fade``."""
        hidden = fade[:, None] * torch.tanh(vectors @ self.inner + self.bias)
        pooled = segment_sum(hidden, index, size).reshape(size, NETWORKS, WIDTH)
        mixed = torch.einsum("snw,nwv->snv", pooled, self.middle) + self.shift
        return (mixed.tanh() * self.outer).sum(-1)

    def average(self, cloud: Cloud, ensemble: Ensemble) -> Tensor:
        """(size, NETWORKS) sum_p w_p f(A R_p)."""
        frame, point = join(ensemble.index, cloud.index, cloud.size)
        turned = torch.einsum("pi,pij->pj", cloud.vectors[point], ensemble.rotations[frame])
        turned = torch.where(ensemble.isotropic[frame, None], 0.0, turned)
        values = self(turned, self.fade(cloud.vectors)[point], frame, len(ensemble))
        return segment_sum(ensemble.weights[:, None] * values, ensemble.index, cloud.size)

    def spread(self, start: Tensor) -> float:
        """Standard deviation of f over rotations of one cloud."""
        rotations = random_rotations(ROTATIONS, torch.Generator().manual_seed(1))
        turned = torch.einsum("pi,rij->rpj", start, rotations).reshape(-1, 3)
        index = torch.arange(ROTATIONS).repeat_interleave(len(start))
        values = self(turned, self.fade(start).repeat(ROTATIONS), index, ROTATIONS)
        return float(values.var(0).mean().sqrt())


@dataclass(frozen=True)
class Path:
    """Points that move straight from ``start`` by ``shift``; whole clouds if without a cutoff."""

    start: Tensor
    shift: Tensor
    cutoff: float | None

    def ensembles(self, frames: Frames, times: Tensor) -> tuple[Cloud, Ensemble]:
        """The cloud at each time, under SO(3), and its ensemble."""
        moving = (self.start + times[:, None, None] * self.shift).reshape(-1, 3)
        index = torch.arange(len(times)).repeat_interleave(len(self.start))
        structures = points(moving, index, len(times))
        if self.cutoff is None:
            return centered_cloud(structures), frames.of_structures(structures, "SO(3)", DEGREE)
        nothing = moving[:0], index[:0]
        zero = moving.new_zeros(len(times))
        cloud = Cloud(
            moving, index, len(times), structures.log_scores, zero, *nothing, self.cutoff
        )
        return cloud, frames.of_centers(cloud, "SO(3)", DEGREE)


def straight_paths(starts: list[Tensor], cutoff: float | None, seed: int = 5) -> list[Path]:
    """A path from each start, on which every point moves by 1 Å in a random direction."""
    generator = torch.Generator().manual_seed(seed)
    shifts = [torch.randn(s.shape, dtype=s.dtype, generator=generator) for s in starts]
    return [
        Path(start, shift / shift.norm(dim=1, keepdim=True), cutoff)
        for start, shift in zip(starts, shifts, strict=True)
    ]


def has_frames(frames: Frames, path: Path) -> bool:
    """Whether frames exist all along a path."""
    try:
        path.ensembles(frames, torch.linspace(0, 1, GRID, dtype=torch.float64))
    except ValueError:
        return False
    return True


def differences(values: Tensor, step: float, order: int) -> Tensor:
    """First or second derivatives along a path, root mean square over the networks."""
    if order == 1:
        derivatives = (values[2:] - values[:-2]) / (2 * step)
    else:
        derivatives = (values[2:] - 2 * values[1:-1] + values[:-2]) / step**2
    return derivatives.square().mean(1).sqrt()


def largest(function: Callable[[Tensor], Tensor], coarse: Tensor, order: int) -> float:
    """The largest derivative of a function of time whose values on the even grid are given."""
    step = 1 / (GRID - 1)
    found = differences(coarse, step, order)
    best = float(found.max())
    for place in found.argsort(descending=True)[:PLACES].tolist():
        center, width, before = (place + 1) * step, step, float(found[place])
        for _ in range(LOOKS):
            low, high = max(center - 2 * width, 0.0), min(center + 2 * width, 1.0)
            times = torch.linspace(low, high, FINE, dtype=torch.float64)
            width = (high - low) / (FINE - 1)
            fine = differences(function(times), width, order)
            now, center = float(fine.max()), float(times[1 + int(fine.argmax())])
            best = max(best, now)
            if abs(now - before) <= CONVERGED * now:
                break
            before = now
    return best


def scan(frames: Frames | None, networks: RandomNetworks, paths: list[Path]) -> dict[str, float]:
    """Frames along the paths, and the largest |dF| and |d2F| of each, summarized over paths.

    Without frames, of the networks themselves. Derivatives are in units of the output per Å and per
    Å^2, as every point moves by 1 Å while the time runs from 0 to 1.
    """
    grid = torch.linspace(0, 1, GRID, dtype=torch.float64)
    number, first, second = [], [], []
    for path in paths:

        def value(times: Tensor, path: Path = path) -> Tensor:
            moving = (path.start + times[:, None, None] * path.shift).reshape(-1, 3)
            if frames is not None:
                return networks.average(*path.ensembles(frames, times))
            index = torch.arange(len(times)).repeat_interleave(len(path.start))
            return networks(moving, networks.fade(moving), index, len(times))

        if frames is not None:
            number.append(len(path.ensembles(frames, grid)[1]) / GRID)
        coarse = value(grid)
        first.append(largest(value, coarse, 1))
        second.append(largest(value, coarse, 2))
    return {
        "frames": mean(number) if number else 1.0,
        "first_largest": max(first),
        "first_mean": mean(first),
        "second_largest": max(second),
        "second_mean": mean(second),
        "second_median": median(second),
    }
