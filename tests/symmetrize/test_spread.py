"""The spread of a network over its frames: invariant, with gradients, zero if equivariant."""

import torch
from hypothesis import given, settings
from torch import Tensor
from torch_geometric.data import Data

from symmetrize import (
    HierarchicalFrames,
    RandomFrames,
    Symmetrizer,
)
from tests.common.laws import (
    OUTPUTS,
    configured,
    scopes,
)
from tests.common.strata import (
    CASES,
    CUTOFF,
    Shape,
    Turn,
    batches,
    block_columns,
    collate,
    turns,
)


@scopes
@settings(max_examples=6, deadline=None)
@given(rows=batches(largest=3), element=turns())
def test_the_spread_is_invariant(scope: str, rows: list[Shape], element: Turn) -> None:
    model = configured(scope, "O(3)")
    points = [shape.points() for shape in rows]
    matrix = element.matrix()
    here = model.spread(collate(points))
    there = model.spread(collate([p @ matrix.T for p in points]))
    for name, values in here.items():
        assert values.size(1) == len(block_columns(OUTPUTS[name]))
        # the root of a variance of rounding errors is the root of their square
        torch.testing.assert_close(there[name], values, atol=1e-7, rtol=1e-9)


def test_the_spread_tells_the_breaking_of_symmetry() -> None:
    def equivariant(data: Data) -> Tensor:
        length = data.pos.square().sum(-1, keepdim=True)
        values = torch.cat([length, data.pos * torch.exp(-length)], -1)
        return values.new_zeros(data.num_graphs, 4).index_add(0, data.batch, values)

    data = collate([CASES[n].points() for n in ("cube", "generic", "line", "plane")])
    assert Symmetrizer(equivariant, "0e+1o").spread(data).max() <= 1e-7
    found = configured("structure", "O(3)", outputs="0e+1o").spread(data)
    # to a network of sets the frames of a cube are one: they differ by its own symmetries
    assert found[0, 0] <= 1e-7
    assert found.flatten()[1:].min() > 1e-3


@scopes
def test_the_gradient_of_the_spread_is_finite(scope: str) -> None:
    # a penalty on the spread is a loss: where there is one frame only the spread is zero
    for name in ("right helix", "atom", "generic", "empty"):
        points = CASES[name].points().requires_grad_()
        for frames in (HierarchicalFrames(CUTOFF, preset="lean"), RandomFrames(1)):
            if scope == "center" and frames.cutoff is None:
                continue
            model = configured(scope, "SO(3)", frames, "0e+1o")
            values = model.spread(collate([points])).sum()
            (gradient,) = torch.autograd.grad(values, points)
            assert torch.isfinite(gradient).all(), name
