"""Candidates that see all points of a cloud at once: moments, principal axes, harmonics.

They settle large clouds with few frames, where points tie in thousands of ways and each of them is
noisy. Their qualities compare with those of points; each falls to -inf before the candidate becomes
ill defined. Lengths are in the unit of the cloud, its rms radius.

Source: principal axes extend frame averaging (Puny et al., arXiv 2110.03336) to smooth weights in
the sense of Dym et al. (arXiv 2402.16077); the rest is this library's own.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from symmetrize.arrays.safe import safe_log
from symmetrize.arrays.segments import counts, join, segment_sum
from symmetrize.arrays.switching import ramp
from symmetrize.arrays.vectors import dot, transverse_basis, unit_vectors
from symmetrize.frames.hierarchical.candidates import Axes, Azimuths
from symmetrize.frames.hierarchical.settings import Selection
from symmetrize.points.cloud import Vectors

# Noise of points far out grows with their number n, that of moments falls: the quality of moments
# grows as this power of n
NUMBER_POWER = 3
# A harmonic whose squared amount is below this is rounding, and has no phase: second derivatives of
# the phase contain its inverse square, which overflows
FAINTEST = 1e-60


@dataclass(frozen=True)
class Moments:
    """Moments of whole clouds, to choose frames from beside their points.

    Attributes:
        cloud: the clouds, in their unit.
        log_trust: (size,), logarithm of how far the shape of each is to be trusted.
        selection: says how much each kind of moment is worth.
    """

    cloud: Vectors
    log_trust: Float[Tensor, "size"]
    selection: Selection

    def axes(self) -> list[Axes]:
        """Axes along first moments, and along principal axes."""
        return [
            moment_axes(self.cloud, self._log_scale(self.selection.moments)),
            principal_axes(self.cloud, self._log_scale(self.selection.principal)),
        ]

    def azimuths(self, axes: Axes) -> Azimuths:
        """Azimuths from circular harmonics about each axis."""
        return harmonic_azimuths(self.cloud, axes, self._log_scale(self.selection.harmonics))

    def _log_scale(self, worth: float) -> Float[Tensor, "size"]:
        """Logarithm of the quality of a moment of the size of noise, for each cloud."""
        number = counts(self.cloud.index, self.cloud.size).clamp(min=1)
        log_number = number.to(self.cloud.vectors.dtype).log()
        log_worth = math.log(worth) if worth > 0 else -math.inf
        return self.log_trust + NUMBER_POWER * log_number + log_worth


def moment_axes(cloud: Vectors, log_scale: Float[Tensor, "size"]) -> Axes:
    """Axes along first moments of the cloud, in a few radial shells.

    M_a = sum_j h_a(r_j^2) r_j / (sum_j h_a^2 r_j^2)^(1/2), of order 1 for a cloud without a
    preferred direction and n^(1/2) for n points with one. Quality exp(log_scale) |M_a|^2.
    """
    squared = dot(cloud.vectors, cloud.vectors)[:, None]
    # functions of the square are smooth at the centroid, functions of the length are not; a
    # constant would give the first moment about the centroid, which is zero
    shells = torch.cat([torch.exp(-squared), torch.exp(-squared / 4), squared.tanh()], dim=-1)
    moments = segment_sum(shells[:, :, None] * cloud.vectors[:, None, :], cloud.index, cloud.size)
    norms = segment_sum(shells.square() * squared, cloud.index, cloud.size)
    present = norms > 0
    scaled = moments / torch.where(present, norms, 1.0).sqrt()[..., None]
    directions, size = unit_vectors(torch.where(present[..., None], scaled, 0.0).reshape(-1, 3))
    owners = torch.arange(cloud.size, device=cloud.index.device)
    owners = owners.repeat_interleave(shells.shape[1])
    return Axes(directions, log_scale[owners] + 2 * safe_log(size), owners)


# Relative gap below which two eigenvalues count as equal: far below any that can be selected
EQUAL_EIGENVALUES = 1e-3
# Product of the gaps over which an axis fades in; the gap to the nearest is no smaller
FAINT_GAPS = (2e-3, 2e-2)


def principal_axes(cloud: Vectors, log_scale: Float[Tensor, "size"]) -> Axes:
    """Axes along both signs of the first and last principal axis of the cloud.

    Quality exp(log_scale) (product of the gaps to the other eigenvalues / trace^2)^2, so that an
    axis fades as it becomes undefined. Derivatives are exact to third order and free of NaN at
    equal eigenvalues, where those of an eigensolver are not.
    """
    outer = cloud.vectors[:, :, None] * cloud.vectors[:, None, :]
    covariance = segment_sum(outer, cloud.index, cloud.size)
    trace = covariance.diagonal(dim1=-2, dim2=-1).sum(-1)
    present = trace > 0
    eye = torch.eye(3, dtype=covariance.dtype, device=covariance.device)
    covariance = torch.where(
        present[:, None, None],
        covariance / torch.where(present, trace, 1.0)[:, None, None],
        eye / 3,
    )
    spectrum = torch.linalg.eigvalsh(covariance.detach())
    chosen = torch.stack([spectrum[:, 2], spectrum[:, 0]], dim=1).reshape(-1)
    gap = torch.stack(
        [spectrum[:, 2] - spectrum[:, 1], spectrum[:, 1] - spectrum[:, 0]], dim=1
    ).reshape(-1)
    usable = gap > EQUAL_EIGENVALUES
    matrix = covariance.repeat_interleave(2, dim=0)
    matrix = torch.where(usable[:, None, None], matrix, torch.diag(eye.new_tensor([0.0, 1, 2])))
    value = torch.where(usable, chosen, 0.0)

    # Newton steps from the exact root carry its derivatives, doubling their order each time
    second = 0.5 * (1 - matrix.square().sum((-2, -1)))
    second = torch.where(usable, second, 2.0)
    first = torch.where(usable, torch.ones_like(value), 3.0)
    # the triple product: second derivatives of torch.linalg.det are NaN for singular matrices
    third = dot(matrix[:, 0], torch.linalg.cross(matrix[:, 1], matrix[:, 2]))
    for _ in range(2):
        polynomial = ((value - first) * value + second) * value - third
        slope = (3 * value - 2 * first) * value + second
        value = value - polynomial / slope
    # (value - other)(value - another) = slope: the smooth product of both gaps
    slope = (3 * value - 2 * first) * value + second
    adjugate = _adjugate(matrix - value[:, None, None] * eye)
    column = adjugate.detach().diagonal(dim1=-2, dim2=-1).abs().argmax(-1)
    vectors = adjugate.gather(2, column[:, None, None].expand(-1, 3, 1))[..., 0]
    directions, _ = unit_vectors(vectors)
    owners = torch.arange(cloud.size, device=cloud.index.device).repeat_interleave(2)
    gaps = torch.where(usable, slope.abs(), 0.0)
    quality = log_scale[owners] + 2 * safe_log(gaps) + safe_log(ramp(gaps, *FAINT_GAPS))
    return Axes(
        torch.cat([directions, -directions]), torch.cat([quality, quality]), torch.cat([owners] * 2)
    )


def _adjugate(matrix: Float[Tensor, "rows 3 3"]) -> Float[Tensor, "rows 3 3"]:
    """Transposed cofactors of symmetric matrices, by cross products of their columns."""
    a, b, c = matrix.unbind(-1)
    cross = torch.linalg.cross
    return torch.stack([cross(b, c), cross(c, a), cross(a, b)], dim=-1)


HARMONICS = 6
# Distance from the axis, and along it, in the unit of the cloud, below which a point counts less
HARMONIC_CORE = 0.5
# An odd c may vanish for every point, up to rounding: its norm has this part of that of an even c
ODD_FLOOR = 0.1
# A sum of squares below this is zero: further products with it underflow
VANISHING = 1e-280


def harmonic_azimuths(cloud: Vectors, axes: Axes, log_scale: Float[Tensor, "size"]) -> Azimuths:
    """Azimuths from circular harmonics of the cloud about each axis.

    Z_m = sum_j c_j u_j^m / (sum_j c_j^2 |u_j|^(2m))^(1/2), with
    u = (y + iz) / (|t|^2 + HARMONIC_CORE^2)^(1/2) for the transverse part t = (y, z) of each point,
    m = 1 to 6, and c even or odd along the axis.
    The m-th roots of the phase of Z_m are m azimuths, smooth as a set where Z_m is not zero.
    Quality exp(log_scale) |Z_m|^2 m^-4 times the mean of |u|^2: low orders win, and what is left of
    them in a nearly collinear cloud loses.
    """
    number = len(axes.index)
    first, second = transverse_basis(axes.directions)
    axis, point = join(axes.index, cloud.index, cloud.size)
    vectors = cloud.vectors[point]
    along = dot(vectors, axes.directions[axis])
    y, z = dot(vectors, first[axis]), dot(vectors, second[axis])
    scale = (y.square() + z.square() + HARMONIC_CORE**2).rsqrt()
    y, z = y * scale, z * scale
    odd = along / (along.square() + HARMONIC_CORE**2).sqrt()

    # real columns, one of each kind for every order: several times faster than complex rows
    real, imaginary, size = y, z, y.square() + z.square()
    square, odd_square = size, odd.square()
    columns = []
    for _ in range(HARMONICS):
        columns += [real, imaginary, odd * real, odd * imaginary, size, odd_square * size]
        real, imaginary = real * y - imaginary * z, real * z + imaginary * y
        size = size * square
    sums = segment_sum(torch.stack(columns, dim=1), axis, number)
    sums = sums.reshape(number, HARMONICS, 6)
    total = torch.complex(sums[..., [0, 2]], sums[..., [1, 3]]).transpose(1, 2)
    norms = (sums[..., [4, 5]] + ODD_FLOOR * sums[..., [4, 4]]).transpose(1, 2)
    present = norms > VANISHING
    total = torch.where(present, total / torch.where(present, norms, 1.0).sqrt(), 0.0).reshape(-1)

    squared = total.real.square() + total.imag.square()
    usable = squared > FAINTEST
    safe = torch.where(usable, total, 1.0)
    # integers divide and take logarithms in the default dtype, so they are made floats first
    order = torch.arange(1, HARMONICS + 1, device=axis.device).repeat(2 * number)
    real_order = order.to(squared.dtype)
    phase = torch.atan2(safe.imag, safe.real) / real_order
    rows = torch.arange(number, device=axis.device).repeat_interleave(2 * HARMONICS)
    # harmonics do not know how far from the axis the cloud reaches, but other offers do
    number_of_points = counts(axis, number).clamp(min=1).to(along.dtype)
    reach = log_scale[axes.index] + safe_log(sums[:, 0, 4] / number_of_points)
    quality = reach[rows] + safe_log(squared) - 4 * real_order.log()

    root = torch.repeat_interleave(torch.arange(len(order), device=axis.device), order)
    turn = torch.cat([torch.arange(m, device=axis.device) for m in range(1, HARMONICS + 1)])
    turn = turn.repeat(2 * number)
    angle = phase[root] + (2 * torch.pi / real_order[root]) * turn
    owner = rows[root]
    directions = angle.cos()[:, None] * first[owner] + angle.sin()[:, None] * second[owner]
    return Azimuths(directions, quality[root], owner)
