"""Weighted frames: what every family of frames returns.

A frame has its axes as columns: ``positions @ frame`` expresses row vectors in it. Rotating the
cloud, ``positions @ Q.T``, maps ``frame -> Q @ frame``.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from symmetrize.arrays.segments import counts, equal_rows, offsets, segment_sum
from symmetrize.arrays.transforms import carries_derivatives


@dataclass(frozen=True)
class Ensemble:
    """The members of a weighted average over frames, for a batch of owners.

    An owner is a structure or a center. The weights of the members of each owner sum to one.

    Attributes:
        rotations: (F, 3, 3), proper or improper orthogonal matrices, axes as columns.
        weights: (F,), positive.
        index: (F,), owner of each member, ascending.
        size: number of owners.
        isotropic: (F,), members that stand for the collapsed cloud: their rotation is the identity
            and only the invariant part of the network's output counts.
        auxiliary: (F,), members that stand for an auxiliary equivariant model, likewise.
    """

    rotations: Float[Tensor, "frames 3 3"]
    weights: Float[Tensor, "frames"]
    index: Int[Tensor, "frames"]
    size: int
    isotropic: Bool[Tensor, "frames"]
    auxiliary: Bool[Tensor, "frames"]

    def __len__(self) -> int:
        return len(self.weights)

    def to(self, dtype: torch.dtype, device: torch.device | None = None) -> "Ensemble":
        """The same ensemble in another dtype, and elsewhere; frames are made in float64."""
        return Ensemble(
            self.rotations.to(device, dtype),
            self.weights.to(device, dtype),
            self.index.to(device),
            self.size,
            self.isotropic.to(device),
            self.auxiliary.to(device),
        )

    def take(self, members: Tensor) -> "Ensemble":
        """The chosen members (a mask or positions), with their weights as they are."""
        return Ensemble(
            self.rotations[members],
            self.weights[members],
            self.index[members],
            self.size,
            self.isotropic[members],
            self.auxiliary[members],
        )


def assemble(
    rotations: Float[Tensor, "frames 3 3"],
    weights: Float[Tensor, "frames"],
    index: Int[Tensor, "frames"],
    size: int,
    isotropic: Float[Tensor, "size"] | None = None,
    auxiliary: Float[Tensor, "size"] | None = None,
) -> Ensemble:
    """An ensemble from frames and, for each owner, the weight of what is not a frame.

    Members of weight zero are dropped; the rest is divided by its sum over each owner and sorted
    by owner.

    Args:
        rotations: (F, 3, 3), axes as columns.
        weights: (F,), zero or more, of any sum.
        index: (F,), owner of each, in any order.
        size: number of owners.
        isotropic: (size,), weight of what the network makes of the collapsed cloud, of which only
            the invariant part counts: exact for every owner, but blind to its shape.
        auxiliary: (size,), weight of an auxiliary model, which the frames must have.

    Raises:
        ValueError: if an owner has no member of positive weight.

    >>> frames = torch.eye(3).expand(2, 3, 3)
    >>> ensemble = assemble(
    ...     frames, torch.tensor([3.0, 1.0]), torch.tensor([0, 0]), 2, torch.tensor([0.0, 1.0])
    ... )
    >>> ensemble.weights, ensemble.index, ensemble.isotropic
    (tensor([0.7500, 0.2500, 1.0000]), tensor([0, 0, 1]), tensor([False, False,  True]))
    """
    kind = torch.zeros_like(index)
    for number, extra in ((1, isotropic), (2, auxiliary)):
        owner = index[:0] if extra is None else torch.nonzero(extra > 0)[:, 0]
        if extra is not None and len(owner):
            identity = torch.eye(3, dtype=rotations.dtype, device=rotations.device)
            rotations = torch.cat([rotations, identity.expand(len(owner), 3, 3)])
            weights = torch.cat([weights, extra[owner]])
            index = torch.cat([index, owner])
            kind = torch.cat([kind, torch.full_like(owner, number)])

    kept = torch.nonzero(weights > 0)[:, 0]
    kept = kept[torch.argsort(index[kept], stable=True)]
    rotations, weights, index, kind = rotations[kept], weights[kept], index[kept], kind[kept]
    total = segment_sum(weights, index, size)
    if bool((total <= 0).any()):
        empty = int(torch.nonzero(total <= 0)[0, 0])
        raise ValueError(
            f"no frame has a positive weight for structure or center {empty}: its points may be "
            "collinear or alone. Use `HierarchicalFrames`, which has an answer for every cloud, "
            "or give these frames an auxiliary model"
        )
    return Ensemble(rotations, weights / total[index], index, size, kind == 1, kind == 2)


def together(parts: list[Ensemble], owners: list[Tensor]) -> Ensemble:
    """One ensemble of several, each of the given owners, which are all owners once."""
    index = torch.cat([own[part.index] for part, own in zip(parts, owners, strict=True)])
    order = torch.argsort(index, stable=True)
    return Ensemble(
        torch.cat([part.rotations for part in parts])[order],
        torch.cat([part.weights for part in parts])[order],
        index[order],
        sum(part.size for part in parts),
        torch.cat([part.isotropic for part in parts])[order],
        torch.cat([part.auxiliary for part in parts])[order],
    )


# Weights below this many units in the last place of one are not heard. Derivatives of weights that
# rise from zero are far larger than the weights: where they count, it is the square of that
FAINT_ULPS = 2.0**-8


def audible(ensemble: Ensemble, dtype: torch.dtype) -> Ensemble:
    """The members whose weight is not lost in the rounding of averages in ``dtype``."""
    faint = FAINT_ULPS * torch.finfo(dtype).eps
    if carries_derivatives(ensemble.weights):
        faint = faint**2
    heard = ensemble.weights.detach() > faint
    return ensemble if bool(heard.all()) else ensemble.take(heard)


def merged(ensemble: Ensemble) -> Ensemble:
    """The same ensemble with equal rotations of one owner as one member.

    A perfect crystal has many equal frames. First derivatives would survive merging, second ones
    would not, so that ensembles that carry gradients are left as they are.
    """
    rotations, weights = ensemble.rotations, ensemble.weights
    if carries_derivatives(rotations) or carries_derivatives(weights):
        return ensemble
    kind = ensemble.index * 4 + ensemble.isotropic * 2 + ensemble.auxiliary
    group, first = equal_rows(rotations.flatten(1), kind)
    if len(first) == len(group):
        return ensemble
    total = segment_sum(weights, group, len(first))
    mean = segment_sum(weights[:, None, None] * rotations, group, len(first))
    return replace(ensemble.take(first), rotations=mean / total[:, None, None], weights=total)


def drawn(ensemble: Ensemble, generator: torch.Generator | None = None) -> Ensemble:
    """One member for each owner, drawn with its weight; an unbiased estimate of the average.

    The weight of the drawn member is 1, with the gradient of the logarithm of its weight, so that
    gradients of the estimate are unbiased too.
    """
    number = counts(ensemble.index, ensemble.size)
    last = offsets(number)[1:] - 1
    device = ensemble.weights.device
    at = generator.device if generator is not None else device
    uniform = torch.rand(ensemble.size, dtype=torch.float64, device=at, generator=generator)
    # weights of each owner sum to one: owner k covers [k, k + 1) of the running sum
    weights = ensemble.weights.detach().double()
    running = weights.cumsum(0)
    start = running[last] - segment_sum(weights, ensemble.index, ensemble.size)
    member = torch.searchsorted(running, start + uniform.to(device), right=True)
    member = torch.minimum(torch.maximum(member, last - number + 1), last)
    drawn = ensemble.take(member)
    return replace(drawn, weights=drawn.weights / drawn.weights.detach())
