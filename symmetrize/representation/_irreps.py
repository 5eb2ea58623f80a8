"""Direct sums of irreps, "8x0e + 4x1o", in e3nn's order and basis.

All copies of one degree turn together: ``D^l`` is computed once per rotation and applied to them
in one product. Scalars need no matrix, and no determinant is taken unless a value has the parity
``-(-1)^l`` (0o, 1e, 2o, ...), whose matrix is ``sign(det R)`` times that of the other parity.
"""

from collections import Counter
from typing import NamedTuple

import torch
from e3nn import o3
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from symmetrize.groups import Group, check_group, has_reflections
from symmetrize.representation._base import Block, Representation
from symmetrize.representation._wigner import (
    check_lmax,
    check_rotations,
    determinant_sign,
    natural_matrices,
)


class _Part(NamedTuple):
    """The copies of one irrep that lie side by side in the flat value."""

    degree: int
    parity: int
    copies: int
    start: int

    @property
    def name(self) -> str:
        return f"{self.degree}{'e' if self.parity == 1 else 'o'}"

    @property
    def takes_sign(self) -> bool:
        return self.parity != (-1) ** self.degree

    @property
    def slices(self) -> list[slice]:
        width = 2 * self.degree + 1
        starts = (self.start + copy * width for copy in range(self.copies))
        return [slice(start, start + width) for start in starts]

    def of(self, values: Float[Tensor, "*lead dim"]) -> Float[Tensor, "*lead copies width"]:
        width = 2 * self.degree + 1
        return values.narrow(-1, self.start, self.copies * width).unflatten(
            -1, (self.copies, width)
        )


class IrrepsRepresentation(Representation):
    """A direct sum of irreps of O(3), laid out as e3nn lays it out.

    Args:
        irreps: anything `e3nn.o3.Irreps` accepts, with degrees up to 11.

    Raises:
        ValueError: if the irreps hold no values, or a degree is too large.

    >>> representation = IrrepsRepresentation("0e + 2x1o")
    >>> representation.dim
    7
    >>> [block.label for block in representation.blocks]
    ['0e', '1o[0]', '1o[1]']
    """

    def __init__(self, irreps: o3.Irreps | o3.Irrep | str) -> None:
        # empty entries such as 0x1o hold no values
        self._irreps = o3.Irreps(irreps).remove_zero_multiplicities()
        if self._irreps.dim == 0:
            raise ValueError(
                f"the irreps {str(irreps)!r} hold no values: name at least one, such as '0e'"
            )
        check_lmax(self._irreps.lmax)
        # plain tuples, because torch.compile cannot trace through o3.Irreps
        self._parts = tuple(
            _Part(ir.l, ir.p, copies, columns.start)
            for (copies, ir), columns in zip(self._irreps, self._irreps.slices(), strict=True)
        )
        self._degrees = tuple(sorted({part.degree for part in self._parts}))
        self._takes_sign = any(part.takes_sign for part in self._parts)
        self.dim = int(self._irreps.dim)
        self.value_shape = (self.dim,)
        self.lmax = self._degrees[-1]
        self.is_invariant = self.lmax == 0 and not self._takes_sign
        self.blocks = tuple(_labeled_blocks(self._parts))

    @property
    def irreps(self) -> o3.Irreps:
        """The irreps, as declared."""
        return self._irreps

    def _rotate(
        self, values: Float[Tensor, "*batch extra dim"], rotations: Float[Tensor, "*batch 3 3"]
    ) -> Float[Tensor, "*batch extra dim"]:
        matrices = natural_matrices(self.lmax, rotations)
        pieces = {part: part.of(values) for part in self._parts}
        if self._takes_sign:
            sign = determinant_sign(rotations).to(values.dtype)[..., None, None, None]
            pieces = {part: x * sign if part.takes_sign else x for part, x in pieces.items()}
        for degree in self._degrees:
            if degree > 0:
                same = {part: x for part, x in pieces.items() if part.degree == degree}
                turned = _turn_together([*same.values()], matrices[degree].to(values.dtype))
                pieces.update(zip(same, turned, strict=True))
        return torch.cat([pieces[part].flatten(-2) for part in self._parts], dim=-1)

    def matrices(self, rotations: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch dim dim"]:
        """Return the block-diagonal ``D(R)`` in the dtype of ``rotations``."""
        check_rotations(rotations)
        natural = natural_matrices(self.lmax, rotations)
        sign = determinant_sign(rotations)[..., None, None]
        rows: list[Tensor] = []
        for part in self._parts:
            block = natural[part.degree] * sign if part.takes_sign else natural[part.degree]
            rows.extend(pad(block, (at.start, self.dim - at.stop)) for at in part.slices)
        return torch.cat(rows, dim=-2)

    def project_invariant(
        self, values: Float[Tensor, "*shape"], group: Group = "O(3)"
    ) -> Float[Tensor, "*shape"]:
        """Keep 0e (under SO(3) also 0o) and set the rest to zero.

        >>> IrrepsRepresentation("0e + 0o + 1o").project_invariant(torch.ones(1, 5))
        tensor([[1., 0., 0., 0., 0.]])
        """
        check_group(group)
        flat = self.flatten(values)
        pieces = [
            part.of(flat)
            if part.degree == 0 and (part.parity == 1 or not has_reflections(group))
            else torch.zeros_like(part.of(flat))
            for part in self._parts
        ]
        return torch.cat([piece.flatten(-2) for piece in pieces], dim=-1).reshape(values.shape)

    def block_squares(self, values: Float[Tensor, "*shape"]) -> Float[Tensor, "*lead blocks"]:
        """Return the squared norm of every irrep copy, of shape ``(..., len(blocks))``.

        >>> IrrepsRepresentation("0e + 1o").block_squares(torch.tensor([[2.0, 3.0, 0.0, 4.0]]))
        tensor([[ 4., 25.]])
        """
        flat = self.flatten(values)
        return torch.cat([part.of(flat).square().sum(-1) for part in self._parts], dim=-1)

    def __str__(self) -> str:
        return " + ".join(
            f"{part.copies}x{part.name}" if part.copies > 1 else part.name for part in self._parts
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, IrrepsRepresentation):
            return NotImplemented
        # "2x0e" and "0e + 0e" are one layout: compare copy by copy
        return self.blocks == other.blocks

    def __hash__(self) -> int:
        return hash(tuple(block.label for block in self.blocks))


def _labeled_blocks(parts: tuple[_Part, ...]) -> list[Block]:
    """List every irrep copy with a label of its own: "0e", or "1o[0]", "1o[1]", ..."""
    copies = [(part.name, columns) for part in parts for columns in part.slices]
    total = Counter(name for name, _ in copies)
    seen: Counter[str] = Counter()
    blocks = []
    for name, columns in copies:
        blocks.append(Block(name if total[name] == 1 else f"{name}[{seen[name]}]", columns))
        seen[name] += 1
    return blocks


def _turn_together(
    pieces: list[Float[Tensor, "*batch extra _ width"]],
    matrices: Float[Tensor, "*batch width width"],
) -> list[Float[Tensor, "*batch extra _ width"]]:
    """Apply one matrix per batch entry to all copies of a degree in a single product."""
    together = torch.cat(pieces, dim=-2) if len(pieces) > 1 else pieces[0]
    # rows v turn as v @ D.T
    turned = (together.flatten(-3, -2) @ matrices.mT).unflatten(-2, together.shape[-3:-1])
    return list(turned.split([piece.shape[-2] for piece in pieces], dim=-2))
