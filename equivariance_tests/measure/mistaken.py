"""A row of an edge that is wrong: is it the right value of something else?

Rows in another order have the value of another edge each. Blocks that are the wrong way round are
the transpose of what is expected. Both fail the same laws, and are mended in different places.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from equivariance_tests.model.answers import Answers

# Values that differ by this part of the spread are not the same by chance
SAME = {torch.float64: 1e-9, torch.float32: 1e-4}


def mistaken(
    name: str,
    ends: tuple[int, ...],
    found: Answers,
    expected: Answers,
    scales: Mapping[str, Float[Tensor, "dim"]],
    within: float,
) -> str:
    """What a wrong row of one structure is the right value of, in words; empty if of nothing.

    Args:
        name: of the output.
        ends: of the edge whose row is wrong.
        found: what the model answers.
        expected: what it should.
        scales: the spread of each column of each output.
        within: what is the same, in units of the spread.

    >>> from equivariance_tests.model.answers import Rows
    >>> rows = Rows(torch.zeros(2).long(), torch.tensor([[0, 1], [1, 2]]))
    >>> def answers(*values):
    ...     return Answers({"x": torch.tensor(values)[:, None]}, {"x": rows}, 1)
    >>> mistaken("x", (0, 1), answers(5.0, 2.0), answers(2.0, 5.0), {"x": torch.ones(1)}, 1e-6)
    'it has the value of edge (1, 2)'
    """
    rows = expected.rows[name].ends
    mine = (found.rows[name].ends == torch.tensor(ends)).all(1).nonzero()[:, 0]
    theirs = (rows == torch.tensor(ends)).all(1).nonzero()[:, 0]
    if len(ends) != 2 or len(mine) != 1 or len(theirs) != 1:
        return ""  # images of one pair are not told apart by their ends

    def same(values: Float[Tensor, "rows dim"]) -> Bool[Tensor, "rows"]:
        value = found.values[name][mine]
        return ((values - value).abs() / scales[name] <= within).all(1)

    said = []
    if bool(same(_transposed(expected.values[name][theirs])).all()):
        said.append("it is the transpose of what is expected")
    others = [tuple(one) for one in rows[same(expected.values[name])].tolist()]
    if ends[::-1] in others:
        said.append(f"it has the value of the reversed edge {ends[::-1]}")
    elif others and not said and ends not in others:
        said.append(f"it has the value of edge {others[0]}")
    return ", and ".join(said)


def _transposed(values: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows dim"]:
    """Blocks of 3 x 3 the other way round; NaN, which is nothing's value, for anything else."""
    if values.size(1) != 9:
        return torch.full_like(values, torch.nan)
    return values.reshape(-1, 3, 3).mT.reshape(-1, 9)
