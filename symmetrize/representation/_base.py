"""What every representation offers: the contract shared by irreps and Cartesian tensors.

Values are laid out ``(*batch, *extra, *value_shape)``, or flat as ``(*batch, *extra, dim)``:
one rotation per batch entry, shared by the extra dimensions (the points of a turned cloud, say).
"""

import math
from abc import ABC, abstractmethod
from typing import NamedTuple

from e3nn import o3
from jaxtyping import Float
from torch import Tensor

from symmetrize.groups import Group
from symmetrize.representation._wigner import check_rotations, full_precision


class Block(NamedTuple):
    """One irrep copy, or one Cartesian tensor, within the flat value.

    Attributes:
        label: the name of the irrep, numbered if there are several ("1o[0]"), or the formula.
        columns: where it lies in the flat value.
    """

    label: str
    columns: slice


class Representation(ABC):
    """How a value turns when space is rotated or reflected.

    Obtain one from `as_representation`. Representations are immutable and hashable; two are equal
    when they turn the same layout in the same way.

    Attributes:
        dim: flat width of a value.
        value_shape: shape of one value; ``(dim,)`` for irreps, ``(3, 3)`` for a Cartesian "ij".
        lmax: largest degree contained.
        is_invariant: whether the value consists of even scalars only, so that nothing turns it.
        blocks: the parts of the flat value that turn among themselves, one per irrep copy.
    """

    dim: int
    value_shape: tuple[int, ...]
    lmax: int
    is_invariant: bool
    blocks: tuple[Block, ...]

    @property
    @abstractmethod
    def irreps(self) -> o3.Irreps:
        """The irreps contained in the value, index symmetry honored."""

    def rotate(
        self, values: Float[Tensor, "*shape"], rotations: Float[Tensor, "*batch 3 3"]
    ) -> Float[Tensor, "*shape"]:
        """Turn each value by its rotation.

        Args:
            values: ``(*batch, *extra, *value_shape)`` or ``(*batch, *extra, dim)``; a single
                scalar may also come as ``(*batch,)``.
            rotations: active rotations, proper or improper, ``(*batch, 3, 3)``; usually
                ``(batch, 3, 3)``. Orthogonality is not checked.

        Returns:
            the turned values, in the shape, dtype and on the device of ``values``. Matrices are
            computed in the dtype of ``rotations`` and cast once. Even scalars are returned as
            they are, not copied.

        Raises:
            ValueError: if the shapes do not fit each other or the representation.
            TypeError: if ``values`` or ``rotations`` are not of a floating-point dtype.

        >>> import torch
        >>> from symmetrize.representation import as_representation
        >>> quarter_turn = torch.tensor([[[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]])
        >>> values = torch.tensor([[5.0, 1.0, 0.0, 0.0]])
        >>> as_representation("0e + 1o").rotate(values, quarter_turn)
        tensor([[5., 0., 1., 0.]])
        """
        check_rotations(rotations)
        batch = rotations.shape[:-2]
        flat = self.flatten(values, batch_ndim=len(batch))
        if flat.shape[:-1][: len(batch)] != batch:
            raise ValueError(
                f"`values` has shape {tuple(values.shape)} but `rotations` has shape "
                f"{tuple(rotations.shape)}: their leading dimensions must agree; give each value "
                "its rotation, or put values that share one into further dimensions"
            )
        if self.is_invariant:
            return values
        extra = math.prod(flat.shape[len(batch) : -1])
        with full_precision(values.device):
            turned = self._rotate(flat.reshape(*batch, extra, self.dim), rotations)
        return turned.reshape(values.shape)

    @abstractmethod
    def _rotate(
        self, values: Float[Tensor, "*batch extra dim"], rotations: Float[Tensor, "*batch 3 3"]
    ) -> Float[Tensor, "*batch extra dim"]: ...

    @abstractmethod
    def matrices(self, rotations: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch dim dim"]:
        """Return the matrix that turns a flat column value, ``D(R)``, for each rotation.

        Meant for tests and inspection; `rotate` does the same without building it.
        """

    @abstractmethod
    def project_invariant(
        self, values: Float[Tensor, "*shape"], group: Group = "O(3)"
    ) -> Float[Tensor, "*shape"]:
        """Keep the part of each value that no element of ``group`` changes, and zero the rest.

        Under "O(3)" that part is the even scalars, under "SO(3)" every scalar, odd ones included.
        Shapes are those of `rotate`.
        """

    @abstractmethod
    def block_squares(self, values: Float[Tensor, "*shape"]) -> Float[Tensor, "*lead blocks"]:
        """Return the squared Euclidean norm of each of `blocks`, unchanged by any rotation."""

    def symmetrize_indices(self, values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Project on the declared index symmetry; irreps have none and are returned as they are.

        >>> import torch
        >>> from symmetrize.representation import as_representation
        >>> as_representation("ij=ji").symmetrize_indices(torch.arange(9.0).reshape(3, 3))
        tensor([[0., 2., 4.],
                [2., 4., 6.],
                [4., 6., 8.]])
        """
        return values

    def flatten(
        self, values: Float[Tensor, "*shape"], batch_ndim: int = 1
    ) -> Float[Tensor, "*lead dim"]:
        """Bring values of any accepted shape to ``(*lead, dim)``.

        A single scalar without a dimension of its own is told by having no more than
        ``batch_ndim`` dimensions.
        """
        if not values.is_floating_point():
            raise TypeError(f"`values` has dtype {values.dtype}: convert it to a floating one")
        if self.dim == 1 and values.ndim <= max(1, batch_ndim):
            return values[..., None]
        if values.ndim > 0 and values.shape[-1] == self.dim:
            return values
        rank = len(self.value_shape)
        if values.shape[-rank:] == self.value_shape:
            return values.flatten(-rank)
        expected = f"(..., {self.dim})"
        if rank > 1:
            expected += f" or (..., {', '.join(map(str, self.value_shape))})"
        raise ValueError(
            f"`values` has shape {tuple(values.shape)} but {str(self)!r} takes {expected}: compare "
            "the declared representation with what the network returns"
        )
