"""Smooth switches: steps, cutoffs, and selection by ratio to the best.

Every function here is C-infinity, with all derivatives zero where it reaches 0 or 1.

Source: Pozdnyakov and Ceriotti, arXiv 2305.19302, section 4 (the step); selection by ratio to a
Lehmer mean is this library's own.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from symmetrize.arrays.segments import segment_max, segment_sum

# exp(-1 / EDGE) is zero even as a float64
EDGE = 1e-3


def step(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Rise from 0 (x <= 0) to 1 (x >= 1), C-infinity, by as much after 1/2 as before it.

    >>> step(torch.tensor([-1.0, 0.5, 2.0]))
    tensor([0.0000, 0.5000, 1.0000])
    """
    # nearer to 0 and 1 than this the step is 0 and 1 in any float format, and powers of 1/x in its
    # derivatives overflow
    inside = x.clamp(EDGE, 1 - EDGE)
    # the part that is small is computed, 1 - step in the upper half: derivatives of a sigmoid near
    # 1 have the last digit of 1 as their error, times powers of 1 / (1 - x)
    exponent = (1 - inside).reciprocal() - inside.reciprocal()
    upper = exponent > 0
    small = torch.sigmoid(torch.where(upper, -exponent, exponent))
    return torch.where(upper, 1 - small, small)


def ramp(x: Float[Tensor, "*shape"], low: float, high: float) -> Float[Tensor, "*shape"]:
    """The step moved to the interval: 0 below ``low``, 1 above ``high``."""
    return step((x - low) / (high - low))


def cutoff_switch(
    distances: Float[Tensor, "*shape"], cutoff: float | Tensor, width: float | Tensor
) -> Float[Tensor, "*shape"]:
    """1 below ``cutoff - width``, 0 at and beyond ``cutoff`` (all in one unit of length)."""
    return step((cutoff - distances) / width)


def select(
    log_quality: Float[Tensor, "candidates"],
    index: Int[Tensor, "candidates"],
    size: int,
    window: tuple[float, float],
    order: float,
) -> Float[Tensor, "candidates"]:
    """Weight of each candidate from the ratio of its quality to the best of its owner.

    The soft maximum is the Lehmer mean L = sum q^(k+1) / sum q^k, which never exceeds the true
    one, so that the best candidate always has weight 1; candidates below ``window[0] * L`` have
    weight exactly 0. Only ratios of qualities matter, so qualities come as logarithms and never
    underflow. C-infinity in the logarithms.

    Args:
        log_quality: logarithm of each candidate's quality; -inf excludes it.
        index: owner of each candidate, 0 to ``size`` - 1.
        size: number of owners.
        window: ratios at which the weight leaves 0 and reaches 1; at most 1.
        order: k of the Lehmer mean.

    >>> q = torch.tensor([1.0, 0.99, 0.1])
    >>> select(q.log(), torch.tensor([0, 0, 0]), 1, (0.5, 0.9), 8.0)
    tensor([1., 1., 0.])
    """
    usable = log_quality > -torch.inf
    finite = torch.where(usable, log_quality, 0.0)
    # the shift cancels in the ratio, so it needs no gradient
    shift = segment_max(torch.where(usable, log_quality, -torch.inf).detach(), index, size)
    shift = torch.where(shift > -torch.inf, shift, 0.0)
    quality = torch.where(usable, (finite - shift[index]).exp(), 0.0)
    power = torch.where(usable, (order * (finite - shift[index])).exp(), 0.0)
    top = segment_sum(power * quality, index, size)
    bottom = segment_sum(power, index, size)
    present = bottom > 0
    lehmer = torch.where(present, top, 1.0) / torch.where(present, bottom, 1.0)
    return ramp(quality / lehmer[index], *window)
