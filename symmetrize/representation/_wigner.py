"""Real Wigner matrices ``D^l(R)`` as polynomials in the entries of ``R``.

``D^0 = 1``, ``D^1 = R`` (e3nn's basis ``x, y, z``) and, with orthonormal coupling tensors C,

    D^l = C^T (D^(l-1) x R) C.

No angle appears, so there are no poles: the identity, half turns and every other rotation are
equally accurate, and all derivatives are finite and exact. The recursion is homogeneous of degree
l, hence for an improper ``R = -S`` it returns ``(-1)^l D^l(S)``: the matrix of the irrep with
parity ``(-1)^l`` (0e, 1o, 2e, ...). The other parity takes one factor ``sign det R`` more.

A matrix that is not orthogonal is not repaired: the result is then the polynomial's value there.
On a GPU, products in single precision follow PyTorch's TF32 setting.

Source: A. R. Edmonds, "Angular momentum in quantum mechanics", section 4.3 (coupling of rotation
matrices); the coefficients are e3nn's.
"""

from contextlib import AbstractContextManager, nullcontext

import torch
from e3nn import o3
from jaxtyping import Float
from torch import Tensor

from symmetrize.representation._constants import Constant

LMAX = 11
"""Largest supported degree: that of e3nn's own harmonics."""


def wigner_d(
    lmax: int, rotations: Float[Tensor, "*batch 3 3"]
) -> tuple[Float[Tensor, "*batch _ _"], ...]:
    """Return ``D^0 ... D^lmax`` of the proper part ``S = det(R) R`` of each rotation.

    Args:
        lmax: largest degree, from 0 to 11.
        rotations: orthogonal matrices, of shape ``(*batch, 3, 3)``; orthogonality is not checked.

    Returns:
        matrices of shape ``(*batch, 2l + 1, 2l + 1)``, in the dtype and on the device of
        ``rotations``, smooth in R; the sign of the determinant is not differentiated.

    Raises:
        ValueError: if ``lmax`` is out of range or ``rotations`` does not end in ``(3, 3)``.
        TypeError: if ``rotations`` is not of a floating-point dtype.

    >>> half_turn = torch.diag(torch.tensor([-1.0, 1.0, -1.0]))  # about y
    >>> torch.diagonal(wigner_d(2, half_turn)[2])
    tensor([ 1., -1.,  1., -1.,  1.])
    """
    check_lmax(lmax)
    check_rotations(rotations)
    return natural_matrices(lmax, determinant_sign(rotations)[..., None, None] * rotations)


def natural_matrices(
    lmax: int, rotations: Float[Tensor, "*batch 3 3"]
) -> tuple[Float[Tensor, "*batch _ _"], ...]:
    """Return the matrices of 0e, 1o, 2e, ... (parity ``(-1)^l``), proper or improper alike."""
    matrices = [torch.ones_like(rotations[..., :1, :1]), rotations]
    with full_precision(rotations.device):
        for degree in range(2, lmax + 1):
            matrices.append(
                _second(rotations) if degree == 2 else _next(degree, matrices[-1], rotations)
            )
    return tuple(matrices[: lmax + 1])


def _second(rotations: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 5 5"]:
    """Couple ``R`` and ``R`` to ``D^2`` in one product: as `_next`, and four times as fast."""
    # the batch comes last, where the elementwise product runs over contiguous memory
    entries = rotations.reshape(-1, 9).T
    pairs = (entries[:, None] * entries).flatten(0, 1)
    matrices = (_QUADRATIC.to(rotations.dtype, rotations.device) @ pairs).T
    return matrices.reshape(*rotations.shape[:-2], 5, 5)


def _next(
    degree: int,
    below: Float[Tensor, "*batch below below"],
    rotations: Float[Tensor, "*batch 3 3"],
) -> Float[Tensor, "*batch here here"]:
    """Couple ``D^(l-1)`` and ``R`` to ``D^l``."""
    here = 2 * degree + 1
    c = _COUPLING[degree].to(rotations.dtype, rotations.device)  # C[i, a, m]
    # sum_b R[a, b] C[j, b, n], as (j, a n)
    right = (rotations @ c.transpose(0, 1).flatten(1)).unflatten(-1, (here - 2, here))
    right = right.transpose(-3, -2).flatten(-2)
    # times D^(l-1)[i, j], as (i a, n); then C[i, a, m] from the left
    product = (below @ right).unflatten(-1, (3, here)).flatten(-3, -2)
    return c.flatten(0, 1).T @ product


def _coupling(degree: int) -> Float[Tensor, "below 3 here"]:
    """Return ``C[i, a, m]`` with orthonormal ``C[:, :, m]``, which e3nn scales by (2l + 1)^-1/2."""
    return (2 * degree + 1) ** 0.5 * o3.wigner_3j(degree - 1, 1, degree, dtype=torch.float64)


# made on import, some 20 ms, so that no tracer or mode is around; on the CPU whatever the default
with torch.device("cpu"), torch.inference_mode(False):
    _COUPLING = {degree: Constant(_coupling(degree)) for degree in range(2, LMAX + 1)}
    # all products R_ij R_ab -> the entries of D^2
    _QUADRATIC = Constant(
        torch.einsum("iam,jbn->mnijab", _coupling(2), _coupling(2)).reshape(25, 81)
    )


def determinant_sign(rotations: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch"]:
    """Return +1 for proper and -1 for improper rotations, as a constant without gradient.

    >>> determinant_sign(-torch.eye(3))
    tensor(-1.)
    """
    # the triple product of three nearly orthonormal rows is within rounding of +1 or -1
    first, second, third = rotations.detach().unbind(-2)
    triple = (first * torch.linalg.cross(second, third)).sum(-1)
    return 1 - 2 * (triple < 0).to(rotations.dtype)


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """Suspend autocast, whose half-precision products would break the symmetry at 1e-3."""
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def check_lmax(lmax: int) -> None:
    """Raise unless degrees up to ``lmax`` are supported."""
    if not 0 <= lmax <= LMAX:
        raise ValueError(
            f"lmax is {lmax} but must lie in [0, {LMAX}]: e3nn's harmonics, which fix the basis, "
            f"end there; declare a representation of degree {LMAX} or less"
        )


def check_rotations(rotations: Tensor) -> None:
    """Raise unless ``rotations`` is a floating-point tensor of 3x3 matrices."""
    if rotations.ndim < 2 or tuple(rotations.shape[-2:]) != (3, 3):
        raise ValueError(
            f"`rotations` has shape {tuple(rotations.shape)} but must be (batch, 3, 3): convert "
            "quaternions or angles to matrices first"
        )
    if not rotations.is_floating_point():
        raise TypeError(f"`rotations` has dtype {rotations.dtype}: convert it to a floating one")
