"""Azimuths from tensors that a cloud carries, such as a strain or a quadrupole.

The components of a tensor in a frame vary, as the frame turns about its x axis by theta, as
sum_m a_m e^(i m theta). The phase of each a_m marks azimuths that belong to the tensor: psi with
2 m psi = -arg a_m^2, which are 2 m in number and smooth as a set where a_m is not zero. Together
they see all that depends on the azimuth. Components that change sign as z is reflected are left
out, and phases are doubled: so the set belongs to the tensor under inversion, too.

The construction is this library's own.
"""

from collections.abc import Collection

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from symmetrize.arrays.safe import safe_log
from symmetrize.arrays.segments import join, segment_sum
from symmetrize.arrays.vectors import transverse_basis
from symmetrize.frames.hierarchical.candidates import Candidates
from symmetrize.frames.hierarchical.offers import LOG_DIRECTION_QUALITY
from symmetrize.frames.hierarchical.refinement import turned_about_x
from symmetrize.points.cloud import Field


def waves(degree: int, turns: int) -> Complex[Tensor, "turns degree"]:
    """e^(-i m theta) / ``turns`` at theta = 2 pi k / ``turns``, for m = 1 to ``degree``."""
    angle = torch.arange(turns, dtype=torch.float64) * (-2 * torch.pi / turns)
    phase = angle[:, None] * torch.arange(1, degree + 1)
    return torch.polar(torch.ones_like(phase), phase) / turns


def tensor_azimuths(
    fields: Collection[Field], axes: Candidates, clouds: int
) -> tuple[list[tuple[Tensor, Tensor, Tensor]], Float[Tensor, "axes"]]:
    """Azimuths from all tensors of a number of clouds, and how much there is of them, squared.

    Quality |a_m|^2 / (|a_m|^2 + 1) m^-4, and low beside points, as that of fields.

    Returns:
        directions, logarithms of their quality and rows of their axes, for each field and order;
        and the amount about each axis.
    """
    number = len(axes.index)
    amount = axes.directions.new_zeros(number)
    found = []
    first, second = transverse_basis(axes.directions)
    frames = torch.stack([axes.directions, first, second], dim=-1)
    for field in fields:
        representation = field.representation
        degree = representation.lmax
        axis, row = join(axes.index, field.index, clouds)
        turns = 2 * degree + 2
        turned = turned_about_x(frames[axis], turns)
        values = field.values[row, None].expand(-1, turns, -1)
        components = representation.rotate(values, turned.transpose(-1, -2))
        mirror = torch.diag(frames.new_tensor([1.0, 1.0, -1.0]))
        even = torch.nonzero(representation.matrices(mirror[None])[0].diagonal() > 0)[:, 0]
        # (pairs, orders from 1, components)
        harmonics = torch.einsum(
            "pkc,km->pmc", components[..., even] + 0j, waves(degree, turns).to(frames.device)
        )
        size = harmonics.real.square() + harmonics.imag.square()
        presence = size / (size + 1)
        amount = amount + segment_sum(presence.square().sum((1, 2)), axis, number)

        for order in range(1, degree + 1):
            strength = presence[:, order - 1].reshape(-1)
            safe = torch.where(strength > 0, harmonics[:, order - 1].reshape(-1), 1.0)
            squared = safe * safe
            phase = -torch.atan2(squared.imag, squared.real) / (2 * order)
            root = torch.arange(2 * order, device=phase.device).to(phase.dtype)
            angle = (phase[:, None] + (torch.pi / order) * root).reshape(-1)
            owner = axis.repeat_interleave(len(even)).repeat_interleave(2 * order)
            quality = safe_log(strength) + LOG_DIRECTION_QUALITY - 4 * root.new_tensor(order).log()
            found.append(
                (
                    angle.cos()[:, None] * first[owner] + angle.sin()[:, None] * second[owner],
                    quality.repeat_interleave(2 * order),
                    owner,
                )
            )
    return found, amount
