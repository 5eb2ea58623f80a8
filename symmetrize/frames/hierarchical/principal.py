"""Principal axes of second moments, with levers that vanish before the axes are ill defined.

Source: frame averaging (Puny et al., arXiv 2110.03336); smooth weights in the sense of Dym et al.
(arXiv 2402.16077) are this library's own.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from symmetrize.arrays.safe import safe_sqrt
from symmetrize.arrays.switching import ramp
from symmetrize.arrays.vectors import dot, unit_vectors

# Relative gap below which two eigenvalues count as equal: far below any that can be selected
EQUAL_EIGENVALUES = 1e-3
# Relative product of the gaps over which an axis fades in; the gap to the nearest is no smaller
FAINT_GAPS = (2e-3, 2e-2)


def principal_axes(
    second: Float[Tensor, "size 3 3"], evenness: Float[Tensor, "size"]
) -> tuple[Float[Tensor, "size 2 3"], Float[Tensor, "size 2"]]:
    """The first and the last principal axis of each matrix, up to their sense, and their levers.

    An axis e of n points turns toward another, e', by (e . dr)(e' . r) + (e' . dr)(e . r) over the
    gap of the eigenvalues as one of them moves by dr, so that its lever is
    (sum over e' of (eigenvalue + eigenvalue') / gap^2)^(-1/2), of the order of n^(1/2) times the
    size of the cloud, times the relative gap.
    Derivatives are exact to third order and free of NaN at equal eigenvalues, where those of an
    eigensolver are not.

    Args:
        second: (size, 3, 3), sums of w r r^T over the points of each cloud.
        evenness: (size,), sum of w^2 / sum of w.
    """
    trace = second.diagonal(dim1=-2, dim2=-1).sum(-1)
    present = trace > 0
    safe_trace = torch.where(present, trace, 1.0)
    eye = torch.eye(3, dtype=second.dtype, device=second.device)
    matrix = torch.where(present[:, None, None], second / safe_trace[:, None, None], eye / 3)
    spectrum = torch.linalg.eigvalsh(matrix.detach())
    chosen = torch.stack([spectrum[:, 2], spectrum[:, 0]], dim=1).reshape(-1)
    gap = torch.stack(
        [spectrum[:, 2] - spectrum[:, 1], spectrum[:, 1] - spectrum[:, 0]], dim=1
    ).reshape(-1)
    usable = gap > EQUAL_EIGENVALUES
    matrix = matrix.repeat_interleave(2, dim=0)
    matrix = torch.where(usable[:, None, None], matrix, torch.diag(eye.new_tensor([0.0, 1, 2])))
    value = torch.where(usable, chosen, 0.0)

    # Newton steps from the exact root carry its derivatives, doubling their order each time
    second_sum = torch.where(usable, 0.5 * (1 - matrix.square().sum((-2, -1))), 2.0)
    first_sum = torch.where(usable, torch.ones_like(value), 3.0)
    # the triple product: second derivatives of torch.linalg.det are NaN for singular matrices
    product = dot(matrix[:, 0], torch.linalg.cross(matrix[:, 1], matrix[:, 2]))
    for _ in range(2):
        polynomial = ((value - first_sum) * value + second_sum) * value - product
        slope = (3 * value - 2 * first_sum) * value + second_sum
        value = value - polynomial / slope
    # the other two eigenvalues enter by their sum and product, and slope is that of both gaps
    slope = (3 * value - 2 * first_sum) * value + second_sum
    others = first_sum - value
    both = second_sum - value * others
    squared_turn = (
        (2 * value - others) * value.square() + (others.square() - 6 * both) * value + both * others
    )
    squared_turn = torch.where(usable, squared_turn, 1.0)
    lever = torch.where(usable, slope.abs(), 0.0) / safe_sqrt(squared_turn)
    lever = lever * ramp(torch.where(usable, slope.abs(), 0.0), *FAINT_GAPS)

    adjugate = _adjugate(matrix - value[:, None, None] * eye)
    column = adjugate.detach().diagonal(dim1=-2, dim2=-1).abs().argmax(-1)
    vectors = adjugate.gather(2, column[:, None, None].expand(-1, 3, 1))[..., 0]
    directions, _ = unit_vectors(vectors)
    size = safe_sqrt(torch.where(present, trace / torch.where(present, evenness, 1.0), 0.0))
    return directions.reshape(-1, 2, 3), lever.reshape(-1, 2) * size[:, None]


def _adjugate(matrix: Float[Tensor, "rows 3 3"]) -> Float[Tensor, "rows 3 3"]:
    """Transposed cofactors of symmetric matrices, by cross products of their columns."""
    a, b, c = matrix.unbind(-1)
    cross = torch.linalg.cross
    return torch.stack([cross(b, c), cross(c, a), cross(a, b)], dim=-1)
