"""Frames of nearly collinear clouds, whose azimuth is ill defined: averages about the line.

A network varies with the azimuth phi as e^(i m phi), with a factor of the order of
(distance from the line)^|m|. Frames turned about their x axis by 2 pi k / K, k = 0 to K - 1, cancel
every harmonic but multiples of K, so that hardly anything depends on where the turns start. An
output of degree l adds up to l to m: K must exceed it.

The construction is this library's own.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor


def turned_about_x(
    frames: Float[Tensor, "frames 3 3"], turns: int
) -> Float[Tensor, "frames turns 3 3"]:
    """Each frame turned about its x axis by 2 pi k / ``turns``, k = 0 to ``turns`` - 1."""
    angle = torch.arange(turns, dtype=frames.dtype, device=frames.device) * (2 * math.pi / turns)
    cosine, sine = angle.cos()[:, None], angle.sin()[:, None]
    x, y, z = (frames[:, None, :, k] for k in range(3))
    return torch.stack(
        [x.expand(-1, turns, -1), cosine * y + sine * z, cosine * z - sine * y], dim=-1
    )


def refined(
    frames: Float[Tensor, "frames 3 3"],
    weights: Float[Tensor, "frames"],
    row: Int[Tensor, "frames"],
    plain: Float[Tensor, "frames"],
    turns: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Replace the part 1 - ``plain`` of each frame by ``turns`` frames turned about its x axis."""
    near = torch.nonzero(plain < 1)[:, 0]
    if len(near) == 0:
        return frames, weights, row
    turned = turned_about_x(frames[near], turns)
    share = (1 - plain[near]) * weights[near] / turns
    return (
        torch.cat([frames, turned.flatten(0, 1)]),
        torch.cat([plain * weights, share.repeat_interleave(turns)]),
        torch.cat([row, row[near].repeat_interleave(turns)]),
    )
