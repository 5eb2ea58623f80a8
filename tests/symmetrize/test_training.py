"""Training on one member of the average: unbiased, reproducible, all members in evaluation."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data

from symmetrize import (
    Symmetrizer,
)
from tests.common.laws import (
    configured,
    draw,
    scopes,
)
from tests.common.networks import DeepSet
from tests.common.strata import (
    CASES,
    CUTOFF,
    collate,
)


def one_member_model(training: str, seed: int = 0, **options: Any) -> Symmetrizer:
    return configured(
        "structure",
        "O(3)",
        outputs="0e+1o",
        training=training,
        generator=torch.Generator().manual_seed(seed),
        **options,
    )


@pytest.mark.parametrize("name", ["tetrahedron", "equal inertia", "polygon", "line", "atom"])
def test_sampling_is_unbiased_and_so_is_its_gradient(name: str) -> None:
    number = 2000
    base = CASES[name].points()
    base = base + 0.05 * draw(*base.shape) if name in ("tetrahedron", "polygon") else base
    exact_at = base.clone().requires_grad_()
    ensemble_value = one_member_model("all")(collate([exact_at]))
    covector = draw(1, 4, seed=5)
    (exact_gradient,) = torch.autograd.grad((ensemble_value * covector).sum(), exact_at)

    points = base.expand(number, *base.shape).clone().requires_grad_()
    index = torch.arange(number).repeat_interleave(len(base))
    data = Data(
        pos=points.reshape(-1, 3), batch=index, unit=torch.ones(number, 1, dtype=torch.float64)
    )
    model = one_member_model("sampled").train()
    samples = model(data)
    (gradients,) = torch.autograd.grad((samples * covector).sum(), points)
    for found, exact in ((samples, ensemble_value[0]), (gradients, exact_gradient)):
        error = found.mean(0) - exact
        standard = found.std(0) / math.sqrt(number)
        # 5 standard errors of each of up to 40 numbers; exact zeros to rounding
        assert (error.abs() <= 5 * standard + 1e-10).all()
    model.eval()
    torch.testing.assert_close(model(collate([base])), ensemble_value.detach())


def test_training_evaluates_one_member_and_evaluation_all() -> None:
    data = collate([CASES["cube"].points(), CASES["generic"].points()])
    for training in ("sampled", "random", "all"):
        net = DeepSet("0e+1o")
        model = configured("structure", "O(3)", outputs="0e+1o", net=net, training=training)
        model.train()(data)
        trained = sum(net.calls)
        model.eval()(data)
        evaluated = sum(net.calls) - trained
        assert evaluated == len(model.ensemble(data)) >= 48
        assert trained == (evaluated if training == "all" else 2)


@pytest.mark.parametrize("training", ["sampled", "random"])
@scopes
def test_a_generator_makes_training_reproducible(scope: str, training: str) -> None:
    data = collate([CASES["cube"].points(), CASES["line"].points(), CASES["empty"].points()])
    net = DeepSet("0e+1o", fade=CUTOFF)

    def run(seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        model = configured(
            scope, "O(3)", outputs="0e+1o", net=net, training=training, generator=generator
        )
        model.train()
        return torch.stack([model(data), model(data)])

    first = run(1)
    assert torch.equal(first, run(1))
    assert not torch.equal(first, run(2))
    assert not torch.equal(first[0], first[1])
    before = torch.get_rng_state()
    run(1)
    assert torch.equal(torch.get_rng_state(), before)


def test_random_training_covers_the_group() -> None:
    # pos of a copy is pos R: rotations are uniform if their mean and their determinants' vanish
    number = 4000
    seen: list[Tensor] = []

    def net(data: Data) -> Tensor:
        seen.append(data.pos.reshape(-1, 3, 3))
        return data.pos.new_zeros(data.num_graphs, 1)

    base = torch.eye(3, dtype=torch.float64) - 1 / 3  # sums to zero: vectors are positions
    pos = base.repeat(number, 1)
    data = Data(pos=pos, batch=torch.arange(number).repeat_interleave(3))
    model = Symmetrizer(net, "0e", training="random", generator=torch.Generator().manual_seed(0))
    model.train()(data)
    # entries of the copies have a standard deviation below 1
    assert seen[0].mean(0).abs().max() <= 5 / math.sqrt(number)
