"""How fast a symmetrized network changes along straight paths of its input.

The average F of a network f over weighted frames changes as f does, and as the weights do: its
derivatives are those of f plus the spread of f over rotations times how fast the weights change.
To see the second part, f is a fixed random network that is smooth and knows no symmetry,

    f_n(A) = o_n . tanh(V_n sum_j c_j tanh(W_n r_j + b_n) + a_n),

and F is followed along paths on which every point moves straight by 1 Å in a random direction. Of
several networks n the root mean square is taken. Derivatives are central differences on an even
grid, and on ever finer ones about the place where they are largest, until that converges.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from symmetrize import Ensemble, Frames, cutoff_switch
from symmetrize.arrays import join, segment_sum
from symmetrize.frames import Points, Vectors, random_rotations

NETWORKS, WIDTH = 8, 16
DEGREE = 2  # of the outputs that the frames are made for
GRID = 401  # points of a path
BLOCK = 128  # clouds in one call: small enough to stay in the cache
# Where a derivative is largest: points of each finer grid, which spans four steps of the one
# before, how much the largest value may still change, and how often to look: the last grid has a
# step of 2.5e-6 Å, and what is steeper than it shows counts as a jump
FINE, CONVERGED, LOOKS = 41, 0.03, 3
ROTATIONS = 200  # that show the spread of the network


class RandomNetworks:
    """Scalar networks with fixed random parameters; points fade out at the cutoff, if any."""

    def __init__(
        self, cutoff: float | None, scale: float, seed: int = 0, number: int = NETWORKS
    ) -> None:
        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, dtype=torch.float64, generator=generator)

        generator = torch.Generator().manual_seed(seed)
        self.cutoff = cutoff
        self.number = number
        self.inner = scale * normal(3, number * WIDTH)
        uniform = torch.rand(number * WIDTH, dtype=torch.float64, generator=generator)
        self.bias = 6 * uniform - 3
        self.middle = normal(number, WIDTH, WIDTH) / WIDTH**0.5
        self.shift = 0.3 * normal(number, WIDTH)
        self.outer = normal(number, WIDTH) / WIDTH**0.5

    def fade(self, vectors: Tensor) -> Tensor:
        """(P,) weight of each point, the same in all frames."""
        lengths = vectors.norm(dim=-1)
        if self.cutoff is None:
            return torch.ones_like(lengths)
        return cutoff_switch(lengths, self.cutoff, 0.375 * self.cutoff)

    def __call__(self, vectors: Tensor, fade: Tensor, index: Tensor, size: int) -> Tensor:
        """(size, networks) values for clouds of points with weights ``fade``."""
        hidden = fade[:, None] * torch.tanh(vectors @ self.inner + self.bias)
        pooled = segment_sum(hidden, index, size).reshape(size, self.number, WIDTH)
        mixed = torch.einsum("snw,nwv->snv", pooled, self.middle) + self.shift
        return (mixed.tanh() * self.outer).sum(-1)

    def average(self, cloud: Vectors, ensemble: Ensemble) -> Tensor:
        """(size, networks) sum_p w_p f(A R_p)."""
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
class Paths:
    """Clouds whose points move straight, from ``starts`` by ``shifts``, as times run from 0 to 1.

    Environments of a center at the origin if there is a cutoff, else whole clouds, with their
    species.
    """

    starts: list[Tensor]
    shifts: list[Tensor]
    cutoff: float | None
    species: list[Tensor] | None = None

    def __len__(self) -> int:
        return len(self.starts)

    def take(self, chosen: Iterable[int]) -> "Paths":
        """Some of the paths."""
        rows = list(chosen)
        return Paths(
            [self.starts[k] for k in rows],
            [self.shifts[k] for k in rows],
            self.cutoff,
            None if self.species is None else [self.species[k] for k in rows],
        )

    def clouds(self, times: Tensor) -> tuple[Points, Vectors]:
        """The cloud of each path at each of its times, (paths, n)."""
        number = times.size(1)
        parts = [
            (start + time[:, None, None] * shift).reshape(-1, 3)
            for start, shift, time in zip(self.starts, self.shifts, times, strict=True)
        ]
        sizes = torch.tensor([len(start) for start in self.starts]).repeat_interleave(number)
        index = torch.arange(len(sizes)).repeat_interleave(sizes)
        species = None
        if self.species is not None:
            species = torch.cat([one.repeat(number) for one in self.species])
        structures = Points.of(torch.cat(parts), index, len(sizes), species=species)
        if self.cutoff is None:
            return structures, structures.from_centroid
        vectors = structures.positions
        near = vectors.norm(dim=1) < self.cutoff
        return structures, Vectors.of(vectors[near], index[near], len(sizes), self.cutoff)

    def ensemble(self, frames: Frames, structures: Points, cloud: Vectors) -> Ensemble:
        """The ensemble of each of the clouds under SO(3)."""
        if self.cutoff is None:
            return frames.of_structures(structures, "SO(3)", DEGREE)
        return frames.of_centers(cloud, "SO(3)", DEGREE)


def straight_paths(
    clouds: list[Tensor],
    cutoff: float | None,
    species: list[Tensor] | None = None,
    through: bool = False,
) -> Paths:
    """Paths on which every point moves by 1 Å in a random direction.

    They start at the given clouds or, with ``through``, have these in their middle.
    """
    generator = torch.Generator().manual_seed(5)
    shifts = [torch.randn(c.shape, dtype=c.dtype, generator=generator) for c in clouds]
    shifts = [shift / shift.norm(dim=1, keepdim=True) for shift in shifts]
    if through:
        clouds = [cloud - shift / 2 for cloud, shift in zip(clouds, shifts, strict=True)]
    return Paths(clouds, shifts, cutoff, species)


def derivatives(values: Tensor, step: Tensor, order: int) -> Tensor:
    """(paths, n - 2) first or second derivatives, root mean square over the networks.

    Args:
        values: (paths, n, networks).
        step: (paths,) between times.
        order: 1 or 2.
    """
    if order == 1:
        found = (values[:, 2:] - values[:, :-2]) / (2 * step[:, None, None])
    else:
        found = (values[:, 2:] - 2 * values[:, 1:-1] + values[:, :-2]) / step[:, None, None] ** 2
    return found.square().mean(-1).sqrt()


def largest(
    function: Callable[[Tensor], Tensor], coarse: Tensor, order: int
) -> tuple[Tensor, Tensor]:
    """(paths,) the largest derivative on each path, and whether it has converged.

    Args:
        function: from times (paths, n) to values (paths, n, networks).
        coarse: its values on the even grid.
        order: 1 or 2.
    """
    step = torch.full((len(coarse),), 1 / (GRID - 1), dtype=torch.float64)
    before, place = derivatives(coarse, step, order).max(1)
    center, best = (place + 1) * step, before
    converged = torch.zeros_like(place, dtype=torch.bool)
    even = torch.linspace(0, 1, FINE, dtype=torch.float64)
    for _ in range(LOOKS):
        low, high = (center - 2 * step).clamp(min=0), (center + 2 * step).clamp(max=1)
        times = low[:, None] + (high - low)[:, None] * even
        step = (high - low) / (FINE - 1)
        now, place = derivatives(function(times), step, order).max(1)
        center = times.gather(1, place[:, None] + 1)[:, 0]
        best = torch.maximum(best, now)
        converged = (now - before).abs() <= CONVERGED * now
        if bool(converged.all()):
            break
        before = now
    return best, converged


def scan(frames: Frames | None, networks: RandomNetworks, paths: Paths) -> dict[str, float]:
    """Frames along the paths, and the largest |dF| and |d2F| of each, summarized over paths.

    Without frames, of the networks themselves. Derivatives are in units of the output per Å and per
    Å^2, as every point moves by 1 Å while the time runs from 0 to 1. ``steep`` is the part of the
    paths whose second derivative still grows on the finest grid.

    Raises:
        ValueError: if there are no frames somewhere on a path.
    """
    members = 0

    def values(times: Tensor) -> Tensor:
        nonlocal members
        found = times.new_zeros(*times.shape, NETWORKS)
        each = max(1, BLOCK // times.size(1))
        for rows in torch.arange(len(paths)).split(each):
            some = paths.take(rows.tolist())
            for columns in torch.arange(times.size(1)).split(BLOCK):
                part = times[rows][:, columns]
                structures, cloud = some.clouds(part)
                if frames is None:
                    fade = networks.fade(cloud.vectors)
                    value = networks(cloud.vectors, fade, cloud.index, cloud.size)
                else:
                    ensemble = some.ensemble(frames, structures, cloud)
                    members += len(ensemble)
                    value = networks.average(cloud, ensemble)
                found[rows[:, None], columns] = value.reshape(*part.shape, NETWORKS)
        return found

    grid = torch.linspace(0, 1, GRID, dtype=torch.float64).expand(len(paths), GRID)
    coarse = values(grid)
    number = members / grid.numel() if frames is not None else 1.0
    (first, _), (second, converged) = (largest(values, coarse, order) for order in (1, 2))
    return {
        "frames": number,
        "first_largest": float(first.max()),
        "first_mean": float(first.mean()),
        "second_largest": float(second.max()),
        "second_mean": float(second.mean()),
        "second_median": float(second.median()),
        "steep": float((~converged).double().mean()),
    }


def served(frames: Frames, paths: Paths) -> Paths:
    """The paths all along which frames exist."""
    grid = torch.linspace(0, 1, GRID, dtype=torch.float64)[None]
    kept = []
    for k in range(len(paths)):
        path = paths.take([k])
        try:
            path.ensemble(frames, *path.clouds(grid))
        except ValueError:
            continue
        kept.append(k)
    return paths.take(kept)
