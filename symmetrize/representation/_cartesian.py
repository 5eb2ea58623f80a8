"""Cartesian tensors with index symmetry, "ij=ji", in the notation of `e3nn.io.CartesianTensor`.

A rotation acts on every index, ``T'_ij = R_ia R_jb T_ab``, so the parity of rank k, ``(-1)^k``,
needs no rule of its own. Rotations keep the declared symmetry; it matters for the irreps that a
tensor contains, and for `CartesianRepresentation.symmetrize_indices`.
"""

from collections import Counter

import torch
from e3nn import o3
from jaxtyping import Float
from torch import Tensor

from symmetrize.groups import Group, check_group, has_reflections
from symmetrize.representation._base import Block, Representation
from symmetrize.representation._constants import Constant
from symmetrize.representation._index_symmetry import decompose, index_symmetry
from symmetrize.representation._wigner import check_rotations, full_precision


class CartesianRepresentation(Representation):
    """A Cartesian tensor of any rank, stored in full: ``(3, 3)`` for "ij" as for "ij=ji".

    Args:
        formula: one letter per index, in alphabetical order, then the permutations that leave
            the tensor as it is, or change its sign: "i" (a vector), "ij", "ij=ji" (symmetric),
            "ij=-ji" (antisymmetric), "ijk=jik=ikj" (totally symmetric).

    Raises:
        ValueError: if the formula is not understood, or allows no tensor but zero.

    >>> polarizability = CartesianRepresentation("ij=ji")
    >>> polarizability.value_shape, polarizability.dim
    ((3, 3), 9)
    >>> polarizability.irreps
    1x0e+1x2e
    """

    def __init__(self, formula: str) -> None:
        self.formula = formula.replace(" ", "")
        self._symmetry = index_symmetry(self.formula)
        self.rank = len(self._symmetry[0][1])
        self.value_shape = (3,) * self.rank
        self.dim = 3**self.rank
        degrees, states = decompose(self._symmetry)
        self.lmax = int(degrees[-1])
        self._copies = {d: n // (2 * d + 1) for d, n in Counter(degrees.tolist()).items()}
        self._invariants = Constant(torch.from_numpy(states[:, degrees == 0]))
        self.is_invariant = False  # parts of degree 0 come with others, or are odd
        self.blocks = (Block(self.formula, slice(0, self.dim)),)

    @property
    def irreps(self) -> o3.Irreps:
        """The irreps of a tensor with the declared index symmetry, by ascending degree."""
        parity = (-1) ** self.rank
        return o3.Irreps([(copies, (degree, parity)) for degree, copies in self._copies.items()])

    def _rotate(
        self, values: Float[Tensor, "*batch extra dim"], rotations: Float[Tensor, "*batch 3 3"]
    ) -> Float[Tensor, "*batch extra dim"]:
        matrices = rotations.to(values.dtype)
        for _ in range(self.rank):
            # turn the last index (j -> i) and bring it to the front: rank steps restore the order
            values = values.unflatten(-1, (self.dim // 3, 3))
            values = torch.einsum("...ij,...naj->...nia", matrices, values).flatten(-2)
        return values

    def matrices(self, rotations: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch dim dim"]:
        """Return ``R x R x ...``, which acts on the flat tensor."""
        check_rotations(rotations)
        result = rotations
        for _ in range(self.rank - 1):
            # (i, j) and (a, b) -> (i a, j b)
            outer = result[..., :, None, :, None] * rotations[..., None, :, None, :]
            result = outer.flatten(-4, -3).flatten(-2, -1)
        return result

    def project_invariant(
        self, values: Float[Tensor, "*shape"], group: Group = "O(3)"
    ) -> Float[Tensor, "*shape"]:
        """Keep the isotropic part: for rank 2 that of the trace, for rank 3 that of epsilon_ijk.

        The latter is invariant under SO(3) only: no tensor of odd rank is invariant under O(3).
        The result has the declared index symmetry.

        >>> stress = torch.diag(torch.tensor([1.0, 2.0, 6.0]))
        >>> CartesianRepresentation("ij=ji").project_invariant(stress).diagonal().round(decimals=4)
        tensor([3., 3., 3.])
        """
        check_group(group)
        flat = self.flatten(values)
        if has_reflections(group) and self.rank % 2 == 1:
            return torch.zeros_like(values)
        basis = self._invariants.to(values.dtype, values.device)
        with full_precision(values.device):
            return ((flat @ basis) @ basis.T).reshape(values.shape)

    def symmetrize_indices(self, values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Average over the declared index permutations, with their signs."""
        tensor = self.flatten(values).unflatten(-1, self.value_shape)
        lead = tensor.ndim - self.rank
        terms = [
            sign * tensor.permute(*range(lead), *(lead + axis for axis in axes))
            for sign, axes in self._symmetry
        ]
        return (sum(terms[1:], start=terms[0]) / len(terms)).reshape(values.shape)

    def block_squares(self, values: Float[Tensor, "*shape"]) -> Float[Tensor, "*lead blocks"]:
        """Return the squared Frobenius norm, of shape ``(..., 1)``."""
        return self.flatten(values).square().sum(-1, keepdim=True)

    def __str__(self) -> str:
        return self.formula

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.formula!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CartesianRepresentation):
            return NotImplemented
        return self._symmetry == other._symmetry  # the letters do not matter

    def __hash__(self) -> int:
        return hash(self._symmetry)
