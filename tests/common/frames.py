"""What the tests of frames share: clouds of every stratum, averages, and a scan of paths.

Two weighted sets of frames are compared through the average F(A) = sum_p w_p rho(R_p) f(A R_p) of
a fixed smooth function f that is not equivariant: were the sets different, so would F be.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from hypothesis import strategies as st
from torch import Tensor

from symmetrize.arrays.segments import join, segment_sum
from symmetrize.arrays.switching import cutoff_switch
from symmetrize.arrays.vectors import safe_norm
from symmetrize.frames import Ensemble, Frames, Group, Vectors, random_rotations

CUTOFF = 3.0
HIDDEN = 12

_generator = torch.Generator().manual_seed(7)
_inner = torch.randn(3, HIDDEN, dtype=torch.float64, generator=_generator)
_bias = torch.randn(HIDDEN, dtype=torch.float64, generator=_generator)
# scalar, pseudoscalar, vector, pseudovector, tensor of rank two
_outer = torch.randn(HIDDEN, 17, dtype=torch.float64, generator=_generator) / HIDDEN


def make_cloud(*vectors: Tensor | list, cutoff: float | None = None) -> Vectors:
    """A batch of clouds, one for each (n, 3) argument."""
    rows = [torch.as_tensor(v, dtype=torch.float64).reshape(-1, 3) for v in vectors]
    index = torch.cat([torch.full((len(r),), i, dtype=torch.long) for i, r in enumerate(rows)])
    return Vectors.of(torch.cat(rows), index, len(rows), cutoff)


def turned(cloud: Vectors, rotation: Tensor) -> Vectors:
    return replace(cloud, vectors=cloud.vectors @ rotation.T)


def permuted(cloud: Vectors, seed: int) -> Vectors:
    order = torch.randperm(len(cloud.index), generator=torch.Generator().manual_seed(seed))
    return replace(
        cloud,
        vectors=cloud.vectors[order],
        index=cloud.index[order],
        log_scores=cloud.log_scores[order],
    )


def network(vectors: Tensor, index: Tensor, size: int, cutoff: float | None) -> Tensor:
    """(size, 17) f of each cloud: smooth, permutation invariant, and nothing else."""
    fade = 1.0 if cutoff is None else cutoff_switch(safe_norm(vectors), cutoff, cutoff / 2)
    hidden = torch.tanh(vectors @ _inner + _bias) * torch.as_tensor(fade).reshape(-1, 1)
    return torch.sin(segment_sum(hidden, index, size)) @ _outer


def equivariant_network(cloud: Vectors) -> Tensor:
    """(size, 17), for members that stand for an auxiliary model."""
    vectors = cloud.vectors
    if cloud.cutoff is not None:
        vectors = vectors * cutoff_switch(cloud.lengths, cloud.cutoff, cloud.cutoff / 2)[:, None]
    zero = torch.zeros_like(vectors)
    products = (vectors[:, :, None] * vectors[:, None, :]).flatten(1)
    values = [vectors.square().sum(-1, keepdim=True), zero[:, :1], vectors, zero, products]
    return segment_sum(torch.cat(values, -1), cloud.index, cloud.size)


def represent(values: Tensor, rotations: Tensor) -> Tensor:
    """rho(R) of the outputs: (n, 17) turned by (n, 3, 3)."""
    det = torch.linalg.det(rotations)[:, None]
    scalar, pseudoscalar, vector, axial, tensor = values.split([1, 1, 3, 3, 9], -1)
    return torch.cat(
        [
            scalar,
            pseudoscalar * det,
            torch.einsum("nij,nj->ni", rotations, vector),
            torch.einsum("nij,nj->ni", rotations, axial) * det,
            torch.einsum(
                "nij,njk,nlk->nil", rotations, tensor.reshape(-1, 3, 3), rotations
            ).flatten(1),
        ],
        -1,
    )


def average(cloud: Vectors, ensemble: Ensemble) -> Tensor:
    """(size, 17) F of each cloud; the ensemble has the owners of the cloud."""
    member, point = join(ensemble.index, cloud.index, cloud.size)
    copies = torch.einsum("ki,kij->kj", cloud.vectors[point], ensemble.rotations[member])
    values = represent(network(copies, member, len(ensemble), cloud.cutoff), ensemble.rotations)
    aside = equivariant_network(cloud)[ensemble.index]
    values = torch.where(ensemble.auxiliary[:, None], aside, values)
    return segment_sum(ensemble.weights[:, None] * values, ensemble.index, cloud.size)


def largest_jump(
    frames: Frames, path: Callable[[float], Tensor], low: float, high: float, group: Group
) -> float:
    """Largest change of F over a path, where it changes most and as the step goes to zero.

    Of 40 intervals the one over which F changes most is divided again, five times: a smooth F
    changes by 1e-8 of its slope over the last one, a jump stays.
    """
    for _ in range(5):
        grid = torch.linspace(low, high, 41, dtype=torch.float64).tolist()
        rows = [path(t) for t in grid]
        cloud = make_cloud(*[r[r.norm(dim=-1) < CUTOFF] for r in rows], cutoff=CUTOFF)
        values = average(cloud, frames.of_centers(cloud, group, 2))
        change = values.diff(dim=0).abs().amax(-1)
        place = int(change.argmax())
        low, high = grid[place], grid[place + 1]
    return float(change.max())


STRATA = (
    "generic",
    "planar",
    "collinear",
    "nearly collinear",
    "antiparallel pair",
    "coincident",
    "on the center",
    "at the cutoff",
    "tetrahedron",
    "square pyramid",
    "one point",
    "empty",
)


def stratum(name: str, number: int, seed: int, radius: float = 2.0) -> Tensor:
    """(n, 3) points of a kind; all but those of fixed shape have about ``number`` points."""
    generator = torch.Generator().manual_seed(seed)
    points = radius * (2 * torch.rand(number, 3, dtype=torch.float64, generator=generator) - 1)
    line = torch.tensor([0.36, 0.48, 0.8], dtype=torch.float64)
    match name:
        case "planar":
            return points * torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64)
        case "collinear":
            return points[:, :1] * line
        case "nearly collinear":
            return points[:, :1] * line + 1e-3 * points
        case "antiparallel pair":
            return torch.cat([points[:2], -points[:1]])
        case "coincident":
            return torch.cat([points, points[:2]])
        case "on the center":
            return torch.cat([points, torch.zeros(1, 3, dtype=torch.float64)])
        case "at the cutoff":
            return torch.cat([points, CUTOFF * (1 - 1e-9) * line[None]])
        case "tetrahedron":
            corners = [[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]
            return torch.tensor(corners, dtype=torch.float64)
        case "square pyramid":
            corners = [[1.0, 1, 0], [1, -1, 0], [-1, 1, 0], [-1, -1, 0], [0, 0, 1.7]]
            return torch.tensor(corners, dtype=torch.float64)
        case "one point":
            return points[:1]
        case "empty":
            return points[:0]
    return points


@st.composite
def clouds(
    draw: st.DrawFn, names: tuple[str, ...] = STRATA, cutoff: float | None = CUTOFF
) -> Vectors:
    """Batches of one to three clouds."""
    kinds = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3))
    rows = [stratum(kind, draw(st.integers(3, 6)), draw(st.integers(0, 99))) for kind in kinds]
    if cutoff is not None:
        rows = [row[row.norm(dim=-1) < cutoff] for row in rows]
    return make_cloud(*rows, cutoff=cutoff)


@st.composite
def orthogonal(draw: st.DrawFn, group: str = "O(3)") -> Tensor:
    """Proper rotations, and improper ones for O(3)."""
    rotation = random_rotations(1, torch.Generator().manual_seed(draw(st.integers(0, 999))))[0]
    return -rotation if group == "O(3)" and draw(st.booleans()) else rotation
