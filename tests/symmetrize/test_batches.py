"""What does not matter: order, place, batches, chunks; what adds up: centers and fragments."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data

from symmetrize import (
    per_point,
)
from tests.common.laws import (
    OUTPUTS,
    PRESETS,
    configured,
    elements,
    law_error,
    scopes,
    spreads,
)
from tests.common.networks import DeepSet
from tests.common.strata import (
    CASES,
    CUTOFF,
    TURNS,
    Shape,
    batches,
    collate,
    shapes,
    turn,
)


@scopes
@settings(max_examples=8, deadline=None)
@given(shape=shapes(), seed=st.integers(0, 99), preset=st.sampled_from(PRESETS))
def test_the_order_of_points_does_not_matter(
    scope: str, shape: Shape, seed: int, preset: str
) -> None:
    outputs = {"whole": "0e+1o+0o+2e", "each": "0e+1o"}
    declared = {"whole": "0e+1o+0o+2e", "each": per_point("0e+1o")}
    net = DeepSet(outputs, per_point=["each"], fade=CUTOFF if scope == "center" else None)
    model = configured(scope, "O(3)", preset, declared, net)
    points = shape.points()
    order = torch.randperm(len(points), generator=torch.Generator().manual_seed(seed))
    here, there = model(collate([points])), model(collate([points[order]]))
    of_points = {"each"} if scope == "structure" else {"each", "whole"}
    for name, values in here.items():
        expected = values[order] if name in of_points else values
        torch.testing.assert_close(there[name], expected, atol=1e-12, rtol=0)


@scopes
@settings(max_examples=8, deadline=None)
@given(shape=shapes(), preset=st.sampled_from(PRESETS))
def test_translation_by_a_dyadic_vector(scope: str, shape: Shape, preset: str) -> None:
    # grid points move without rounding; others are rounded by an ulp of 8
    shift = torch.tensor([2.0, -4.0, 8.0], dtype=torch.float64)
    model, points = configured(scope, "O(3)", preset), shape.points()
    here, there = model(collate([points])), model(collate([points + shift]))
    for name, values in here.items():
        torch.testing.assert_close(there[name], values, atol=1e-12, rtol=0)


@scopes
@settings(max_examples=5, deadline=None)
@given(rows=batches(largest=3), chunk=st.sampled_from([3, 7, 50, 500]), seed=st.integers(0, 9))
def test_batches_their_order_and_chunks_do_not_matter(
    scope: str, rows: list[Shape], chunk: int, seed: int
) -> None:
    points = [shape.points() for shape in rows]
    together = configured(scope, "O(3)")(collate(points))
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed)).tolist()
    net = DeepSet(OUTPUTS, fade=CUTOFF if scope == "center" else None)
    chunked = configured(scope, "O(3)", net=net, chunk_size=chunk)
    shuffled = chunked(collate([points[i] for i in order]))
    # without any center there is nothing to call the network for
    assert max(net.calls, default=0) <= chunk
    sizes = [1 if scope == "structure" else len(p) for p in points]
    alone = [configured(scope, "O(3)")(collate([p])) for p in points]
    for name, values in together.items():
        parts = values.split(sizes)
        torch.testing.assert_close(
            shuffled[name], torch.cat([parts[i] for i in order]), atol=1e-13, rtol=0
        )
        torch.testing.assert_close(values, torch.cat([a[name] for a in alone]), atol=1e-13, rtol=0)


@scopes
def test_the_same_call_gives_the_same_bits(scope: str) -> None:
    data = collate([shape.points() for shape in CASES.values()])
    model = configured(scope, "O(3)")
    first, second = model(data), model(data)
    assert all(torch.equal(first[name], second[name]) for name in first)
    before = data.pos.clone()
    assert torch.equal(data.pos, before)


@scopes
def test_data_is_left_as_it_was(scope: str) -> None:
    data = collate([CASES["generic"].points()], field=[torch.ones(1, 3, dtype=torch.float64)])
    before = {name: value.clone() for name, value in data.to_dict().items() if name != "unit"}
    configured(scope, "O(3)", inputs={"field": "1o"})(data)
    assert set(data.keys()) == {*before, "unit"}
    assert all(torch.equal(data[name], value) for name, value in before.items())


@scopes
def test_data_batch_and_batch_vector_agree(scope: str) -> None:
    rows = [CASES[name].points() for name in ("generic", "line", "atom", "plane", "pair")]
    model = configured(scope, "O(3)", outputs="0e+1o+2e")
    batch = model(collate(rows))
    unit = torch.ones(5, 1, dtype=torch.float64)
    index = torch.repeat_interleave(torch.arange(5), torch.tensor([len(r) for r in rows]))
    sorted_vector = model(Data(pos=torch.cat(rows), batch=index, unit=unit))
    torch.testing.assert_close(sorted_vector, batch, atol=1e-14, rtol=0)
    order = torch.randperm(len(index), generator=torch.Generator().manual_seed(3))
    mixed = model(Data(pos=torch.cat(rows)[order], batch=index[order], unit=unit))
    expected = batch if scope == "structure" else batch[order]
    torch.testing.assert_close(mixed, expected, atol=1e-13, rtol=0)
    single = [model(Data(pos=row, unit=unit[:1])) for row in rows]
    torch.testing.assert_close(torch.cat(single), batch, atol=1e-14, rtol=0)


@scopes
def test_outputs_of_points(scope: str) -> None:
    outputs = {"energy": "0e", "forces": "1o", "charges": "0e", "tensors": "ij=ji"}
    each = ["forces", "charges", "tensors"]
    net = DeepSet(outputs, per_point=each, fade=CUTOFF if scope == "center" else None)
    declared = {n: per_point(s) if n in each else s for n, s in outputs.items()}
    model = configured(scope, "O(3)", "lean", declared, net)
    rows = [CASES[n].points() for n in ("generic", "empty", "line", "cube", "atom")]
    found = model(collate(rows))
    number = sum(len(row) for row in rows)
    assert {n: tuple(v.shape) for n, v in found.items()} == {
        "energy": (5 if scope == "structure" else number, 1),
        "forces": (number, 3),
        "charges": (number, 1),
        "tensors": (number, 3, 3),
    }
    spread = spreads(model, outputs)
    matrices = elements("O(3)", TURNS["generic"], TURNS["improper"])
    assert law_error(model, outputs, spread, rows, matrices) <= 1e-12


# --- what adds up


def test_fragments_far_apart_add_up() -> None:
    model = configured("center", "O(3)", outputs="0e+1o", reduce="sum")
    for one, other in (("generic", "line"), ("cube", "atom"), ("pair", "pair"), ("plane", "ties")):
        first, second = CASES[one].points(), CASES[other].points() + 100.0 * turn(3)[:, 0]
        found = model(collate([first, second, torch.cat([first, second])]))
        # an ulp of 100 is 1.4e-14
        torch.testing.assert_close(found[0] + found[1], found[2], atol=1e-12, rtol=0)


def test_sums_and_means_over_centers() -> None:
    rows = [CASES[n].points() for n in ("generic", "empty", "line", "atom")]
    sizes = [len(row) for row in rows]
    each = configured("center", "O(3)", "lean")(collate(rows))
    total = configured("center", "O(3)", "lean", reduce="sum")(collate(rows))
    mean = configured("center", "O(3)", "lean", reduce="mean")(collate(rows))
    for name, values in each.items():
        parts = values.split(sizes)
        sums = torch.stack([part.sum(0) for part in parts])
        torch.testing.assert_close(total[name], sums, atol=1e-13, rtol=0)
        means = torch.stack([part.sum(0) / max(1, len(part)) for part in parts])
        torch.testing.assert_close(mean[name], means, atol=1e-13, rtol=0)


def test_a_reduction_leaves_outputs_of_points_alone() -> None:
    outputs = {"energy": "0e", "charge": "0e"}
    net = DeepSet(outputs, per_point=["charge"], fade=CUTOFF)
    declared = {"energy": "0e", "charge": per_point("0e")}
    rows = [CASES[n].points() for n in ("generic", "atom")]
    found = configured("center", "O(3)", "lean", declared, net, reduce="sum")(collate(rows))
    assert found["energy"].shape == (2, 1)
    assert found["charge"].shape == (sum(map(len, rows)), 1)
