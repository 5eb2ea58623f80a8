"""Laws of a symmetrized network: F(gA) = rho(g) F(A), whatever the cloud, the frames, the network.

The error of a law is the largest deviation in a block (one irrep, or one Cartesian tensor) divided
by the root mean square of that block over unrelated clouds, so that neither constant outputs nor
zeros pass. The turned outputs take a path of their own: Wigner matrices fit on spherical harmonics.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import Batch, Data

from symmetrize import (
    FrameAveraging,
    Frames,
    HierarchicalFrames,
    PairFrames,
    QuadratureFrames,
    RandomFrames,
    Symmetrizer,
    per_point,
)
from tests.common.strata import (
    CASES,
    CUTOFF,
    NONDEGENERATE,
    SOLIDS,
    TURNS,
    DeepSet,
    MessagePassing,
    Shape,
    Turn,
    batches,
    block_columns,
    collate,
    shapes,
    turn,
    turned_output,
    turns,
)

OUTPUTS = {
    "irreps": "0e+0o+1o+1e+2e+2o+3o+3e+4e+4o",
    "symmetric": "ij=ji",
    "antisymmetric": "ij=-ji",
    "third": "ijk=jik=ikj",
}
GROUPS = ("O(3)", "SO(3)")
SCOPES = ("structure", "center")
PRESETS = ("smooth", "lean")
# Coordinates of order one, turned, cost an ulp or two; averages of up to a few hundred frames, and
# slopes of the weights up to a few hundred, leave that below this.
EXACT = {torch.float64: 1e-12, torch.float32: 2e-5}
# Where the coordinates themselves are rounded by more than an ulp of their differences (far from
# the origin, fragments far apart), the error may be this many times the change of the result as
# every coordinate changes by one ulp.
ROUNDING = 20.0

groups = pytest.mark.parametrize("group", GROUPS)
scopes = pytest.mark.parametrize("scope", SCOPES)


def configured(
    scope: str,
    group: str,
    frames: Frames | str = "smooth",
    outputs: Any = OUTPUTS,
    net: Callable[[Data], Any] | None = None,
    unit: float = 1.0,
    **options: Any,
) -> Symmetrizer:
    """A network without symmetry, symmetrized; presets name hierarchical frames."""
    cutoff = CUTOFF * unit if scope == "center" else None
    if isinstance(frames, str):
        frames = HierarchicalFrames(cutoff, preset=frames)
    if net is None:
        net = DeepSet(outputs, fade=None if scope == "structure" else CUTOFF)
    return Symmetrizer(net, outputs, frames=frames, scope=scope, group=group, **options)


def named(values: Any) -> dict[str, Tensor]:
    return values if isinstance(values, dict) else {"output": values}


def specs(model: Symmetrizer) -> dict[str, str]:
    return {name: str(output.representation) for name, output in model.declaration.items()}


def blocks(values: Tensor, spec: str) -> list[Tensor]:
    flat = values.double().flatten(1) if values.ndim > 1 else values.double()[:, None]
    return [flat[:, columns] for columns in block_columns(spec)]


def spreads(
    model: Callable[[Data], Any], names: dict[str, str], stratum: str = "generic"
) -> dict[str, list[float]]:
    """Root mean square of each block over unrelated clouds, from its mean."""
    clouds = collate([Shape(stratum, 6, seed).points() for seed in range(30)])
    found = named(model(clouds))
    result = {
        name: [
            float((block - block.mean(0)).square().mean().sqrt())
            for block in blocks(found[name], spec)
        ]
        for name, spec in names.items()
    }
    # no block may be zero, or its law would hold vacuously
    assert min(min(values) for values in result.values()) > 0.01
    return result


@functools.cache
def usual_spreads(scope: str, group: str, preset: str) -> dict[str, list[float]]:
    return spreads(configured(scope, group, preset), OUTPUTS)


def law_error(
    model: Callable[[Data], Any],
    names: dict[str, str],
    spread: dict[str, list[float]],
    rows: Sequence[Tensor],
    matrices: Sequence[Tensor],
    dtype: torch.dtype = torch.float64,
    unit: float = 1.0,
) -> float:
    """Largest error of F(gA) = rho(g) F(A) over clouds, matrices and blocks, in one call."""
    rows = [row.to(dtype).double() for row in rows]
    everything = [*rows, *(row @ matrix.T for matrix in matrices for row in rows)]
    found = named(model(collate(everything, dtype=dtype, unit=unit)))
    worst = 0.0
    for name, spec in names.items():
        here, *there = found[name].double().chunk(1 + len(matrices))
        assert torch.isfinite(found[name]).all()
        for matrix, values in zip(matrices, there, strict=True):
            change = values - turned_output(here, spec, matrix)
            for block, size in zip(blocks(change, spec), spread[name], strict=True):
                if block.numel():
                    worst = max(worst, float(block.abs().max()) / size)
    return worst


def rounding_noise(
    model: Callable[[Data], Any],
    names: dict[str, str],
    spread: dict[str, list[float]],
    rows: Sequence[Tensor],
    dtype: torch.dtype,
    unit: float = 1.0,
) -> float:
    """Largest change of a result as each coordinate changes by one ulp of the largest one."""
    generator = torch.Generator().manual_seed(0)
    rows = [row.to(dtype).double() for row in rows]
    ulp = torch.finfo(dtype).eps * max(float(row.abs().max()) for row in rows)
    moved = [
        row + ulp * torch.randn(row.shape, dtype=row.dtype, generator=generator)
        for _ in range(4)
        for row in rows
    ]
    found = named(model(collate([*rows, *moved], dtype=dtype, unit=unit)))
    worst = 0.0
    for name, spec in names.items():
        here, *there = found[name].double().chunk(5)
        for values in there:
            for block, size in zip(blocks(values - here, spec), spread[name], strict=True):
                worst = max(worst, float(block.abs().max()) / size)
    return worst


def elements(group: str, *chosen: Turn) -> list[Tensor]:
    """Matrices of the turns, the improper ones as proper ones where the group has no others."""
    matrices = [t.matrix() for t in chosen]
    return [m * torch.linalg.det(m).sign() if group == "SO(3)" else m for m in matrices]


# --- F(gA) = rho(g) F(A)


CONFIGURATIONS = [
    pytest.param(scope, group, preset, dtype, id=f"{scope}-{group}-{preset}-{name}")
    for dtype, name in ((torch.float64, "f64"), (torch.float32, "f32"))
    for scope in SCOPES
    # the frames of O(3) contain those of SO(3): rounding does the same to both
    for group in (GROUPS if dtype == torch.float64 else ("O(3)",))
    for preset in PRESETS
]


@pytest.mark.parametrize(("scope", "group", "preset", "dtype"), CONFIGURATIONS)
def test_hierarchical_frames_are_exact_on_every_stratum(
    scope: str, group: str, preset: str, dtype: torch.dtype
) -> None:
    model, spread = configured(scope, group, preset), usual_spreads(scope, group, preset)
    matrices = elements(group, TURNS["generic"], TURNS["improper"])

    def error(shapes: Sequence[Shape]) -> float:
        rows = [shape.points() for shape in shapes]
        return law_error(model, OUTPUTS, spread, rows, matrices, dtype)

    near = {name: shape for name, shape in CASES.items() if shape.stratum != "fragments"}
    # one batch of all of them takes a tenth of the time; one by one only to name what fails
    if not error(list(near.values())) <= EXACT[dtype]:
        failing = {name: error([shape]) for name, shape in near.items()}
        assert {name: e for name, e in failing.items() if not e <= EXACT[dtype]} == {}
        pytest.fail("a batch of all strata is not exact, though each by itself is")


@pytest.mark.parametrize(("scope", "group", "preset", "dtype"), CONFIGURATIONS)
def test_hierarchical_frames_are_exact_on_fragments(
    scope: str, group: str, preset: str, dtype: torch.dtype
) -> None:
    model, spread = configured(scope, group, preset), usual_spreads(scope, group, preset)
    matrices = elements(group, TURNS["generic"], TURNS["improper"])
    rows = [CASES["fragments"].points()]
    # differences of coordinates of 128 are known to 128 ulp
    noise = rounding_noise(model, OUTPUTS, spread, rows, dtype)
    error = law_error(model, OUTPUTS, spread, rows, matrices, dtype)
    assert error <= max(EXACT[dtype], ROUNDING * noise)


@groups
@scopes
@settings(max_examples=6, deadline=None)
@given(rows=batches(), element=turns())
def test_ragged_batches_turn(scope: str, group: str, rows: list[Shape], element: Turn) -> None:
    for preset in PRESETS:
        error = law_error(
            configured(scope, group, preset),
            OUTPUTS,
            usual_spreads(scope, group, preset),
            [shape.points() for shape in rows],
            elements(group, element),
        )
        assert error <= EXACT[torch.float64], preset


@pytest.mark.deep
@groups
@scopes
@settings(max_examples=600, deadline=None)
@given(rows=batches(), element=turns())
def test_many_ragged_batches_turn(scope: str, group: str, rows: list[Shape], element: Turn) -> None:
    for preset in PRESETS:
        error = law_error(
            configured(scope, group, preset),
            OUTPUTS,
            usual_spreads(scope, group, preset),
            [shape.points() for shape in rows],
            elements(group, element),
        )
        assert error <= EXACT[torch.float64], preset


@pytest.mark.parametrize("element", [pytest.param(t, id=n) for n, t in TURNS.items()])
@scopes
def test_every_kind_of_element_is_exact(scope: str, element: Turn) -> None:
    rows = [CASES[n].points() for n in ("generic", "pair", "plane", "cube", "line off by 1e-4")]
    for preset in PRESETS:
        model, spread = configured(scope, "O(3)", preset), usual_spreads(scope, "O(3)", preset)
        assert law_error(model, OUTPUTS, spread, rows, [element.matrix()]) <= 1e-12


@pytest.mark.parametrize("unit", [1e-6, 1e6])
@scopes
def test_any_unit_of_length(scope: str, unit: float) -> None:
    names = ("atom", "pair", "line", "line off by 1e-8", "generic", "plane", "cube", "coincident")
    rows = [unit * CASES[name].points() for name in names]
    matrices = elements("O(3)", TURNS["generic"], TURNS["improper"])
    for preset in PRESETS:
        model = configured(scope, "O(3)", preset, unit=unit)
        spread = usual_spreads(scope, "O(3)", preset)
        for dtype, bound in EXACT.items():
            assert law_error(model, OUTPUTS, spread, rows, matrices, dtype, unit) <= bound


def test_the_unit_of_length_changes_nothing() -> None:
    rows = [CASES[name].points() for name in ("generic", "plane", "ties", "cube")]
    for scope in SCOPES:
        for unit in (2.0**-20, 2.0**20):
            here = configured(scope, "O(3)")(collate(rows))
            there = configured(scope, "O(3)", unit=unit)(
                collate([unit * row for row in rows], unit=unit)
            )
            for name, values in here.items():
                # powers of two scale without rounding, exponentials of the same numbers
                torch.testing.assert_close(there[name], values, atol=1e-13, rtol=0)


@pytest.mark.parametrize("offset", [1e3, 1e6])
@scopes
def test_far_from_the_origin_of_the_coordinates(scope: str, offset: float) -> None:
    shift = offset * torch.tensor([1.0, -1.0, 0.5], dtype=torch.float64)
    matrices = elements("O(3)", TURNS["generic"], TURNS["improper"])
    model, spread = configured(scope, "O(3)"), usual_spreads(scope, "O(3)", "smooth")
    for name in ("atom", "coincident", "pair", "line", "generic", "plane", "fcc shell", "pyramid"):
        rows = [CASES[name].points() + shift]
        noise = rounding_noise(model, OUTPUTS, spread, rows, torch.float64)
        error = law_error(model, OUTPUTS, spread, rows, matrices)
        assert error <= max(1e-12, ROUNDING * noise), name
    # one point far away is one point: no rounding to speak of
    rows = [CASES["coincident"].points() + shift]
    assert law_error(model, OUTPUTS, spread, rows, matrices) <= 1e-12


@groups
@scopes
@settings(max_examples=8, deadline=None)
@given(rows=batches(NONDEGENERATE, 3), element=turns())
def test_pair_frames_are_exact_where_they_are_defined(
    scope: str, group: str, rows: list[Shape], element: Turn
) -> None:
    model = Symmetrizer(
        DeepSet(OUTPUTS, fade=2 * CUTOFF if scope == "center" else None),
        OUTPUTS,
        frames=PairFrames(2 * CUTOFF),
        scope=scope,
        group=group,
    )
    error = law_error(
        model,
        OUTPUTS,
        usual_spreads(scope, group, "smooth"),
        [Shape(s.stratum, max(s.number, 5), s.seed, s.turn).points() for s in rows],
        elements(group, element),
    )
    assert error <= 1e-12


# --- what must fail the same test


def error_of(
    frames: Frames | None, rows: list[Tensor], dtype: torch.dtype = torch.float64
) -> float:
    """Error of a generic rotation and a generic improper one; of the bare network for None."""
    net = DeepSet(OUTPUTS)
    model = net if frames is None else Symmetrizer(net, OUTPUTS, frames=frames)
    matrices = elements("O(3)", TURNS["generic"], TURNS["improper"])
    return law_error(model, OUTPUTS, spreads(net, OUTPUTS), rows, matrices, dtype)


@pytest.mark.parametrize(
    "frames",
    [None, QuadratureFrames(5), RandomFrames(50)],
    ids=["bare network", "QuadratureFrames", "RandomFrames"],
)
def test_what_is_approximate_fails(frames: Frames | None) -> None:
    rows = [CASES["generic"].points()]
    assert error_of(frames, rows) > 0.01
    # the ladder of precision: an error of the method is the same in both, one of rounding is not
    coarse, fine = error_of(frames, rows, torch.float32), error_of(frames, rows)
    assert 0.9 < coarse / fine < 1.1


def test_what_is_exact_climbs_the_ladder_of_precision() -> None:
    rows = [CASES["generic"].points()]
    coarse = error_of(HierarchicalFrames(), rows, torch.float32)
    assert coarse / max(error_of(HierarchicalFrames(), rows), 1e-18) > 1e6


def test_frame_averaging_is_exact_but_for_equal_moments() -> None:
    assert error_of(FrameAveraging(), [CASES["generic"].points()]) <= 1e-12
    for name in ("pyramid", "pyramid of equal inertia", "cube", "symmetric top"):
        assert error_of(FrameAveraging(), [CASES[name].points()]) > 1e-3
        assert error_of(HierarchicalFrames(), [CASES[name].points()]) <= 1e-12


WRONG = {
    "parity of a vector": ("1o", "1e"),
    "parity of a tensor": ("2e", "2o"),
    "parity of a scalar": ("0e", "0o"),
    "three scalars for a vector": ("3x0e", "1o"),
    "a vector for three scalars": ("1o", "3x0e"),
}


@pytest.mark.parametrize(("declared", "tested"), WRONG.values(), ids=WRONG)
def test_the_wrong_representation_fails(declared: str, tested: str) -> None:
    model = configured("structure", "O(3)", outputs=declared)
    matrices = elements("O(3)", TURNS["generic"], TURNS["improper"])
    rows = [CASES["generic"].points()]
    right = spreads(model, {"output": declared})
    assert law_error(model, {"output": declared}, right, rows, matrices) <= 1e-12
    wrong = spreads(model, {"output": tested})
    assert law_error(model, {"output": tested}, wrong, rows, matrices) > 0.1


def test_rotations_alone_do_not_give_inversion() -> None:
    names = {"output": "0e+1o"}
    model = configured("structure", "SO(3)", outputs="0e+1o")
    spread, rows = spreads(model, names), [CASES["right helix"].points()]
    assert law_error(model, names, spread, rows, [TURNS["generic"].matrix()]) <= 1e-12
    assert law_error(model, names, spread, rows, [TURNS["inversion"].matrix()]) > 0.01


def test_enantiomers_have_opposite_pseudoscalars_and_mirror_images_none() -> None:
    model = configured("structure", "O(3)", outputs="0e+0o")
    left, right = (Shape(name, 5, 0, turn=1).points() for name in ("left helix", "right helix"))
    achiral = [CASES[n].points() for n in ("plane", "prism", "pyramid", "tetrahedron", "pair")]
    found = model(collate([left, right, *achiral]))
    assert found[0, 1].abs() > 0.01
    torch.testing.assert_close(found[0], found[1] * found.new_tensor([1, -1]), atol=1e-13, rtol=0)
    assert found[2:, 1].abs().max() <= 1e-13


# The largest irreps of even parity that the point group of each solid allows, by group theory:
# a cubic group fixes no vector and no tensor of rank two, and one component for l = 4.
@pytest.mark.parametrize("name", ["cube", "octahedron", "tetrahedron", "fcc shell"])
def test_cubic_clouds_have_cubic_outputs(name: str) -> None:
    model = configured("structure", "O(3)", outputs="0e+1o+1e+2e+3e+4e")
    found = model(collate([Shape(name).points()]))[0]
    assert found[0].abs() > 0.01
    assert found[1:19].abs().max() <= 1e-13  # 1o, 1e, 2e, 3e
    assert found[19:].norm() > 1e-3
    # m = 0 and m = 4 of Y_4 along the axes, in the ratio (5/7)^(1/2)
    found = found[19:].abs().sort().values
    torch.testing.assert_close(found[-2] / found[-1], torch.tensor((5 / 7) ** 0.5).double())
    assert found[:-2].max() <= 1e-13


@pytest.mark.parametrize(
    ("stratum", "order"),
    [
        ("tetrahedron", 12),
        ("cube", 24),
        ("octahedron", 24),
        ("icosahedron", 60),
        ("dodecahedron", 60),
    ],
)
@pytest.mark.parametrize("preset", PRESETS)
def test_frames_of_a_solid_come_in_multiples_of_its_rotations(
    stratum: str, order: int, preset: str
) -> None:
    points = Shape(stratum, turn=1).points()
    for group, factor in (("SO(3)", 1), ("O(3)", 2)):
        number = len(HierarchicalFrames(preset=preset)(points, group=group))
        # every solid has mirror planes, so that under O(3) each frame needs its image
        assert number % (factor * order) == 0
        assert number >= factor * order


# --- permutation, translation, batches


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


# --- inputs that turn


def inputs_error(
    model: Symmetrizer, data: Data, spec: str, turning: dict[str, str], matrices: Sequence[Tensor]
) -> float:
    """Largest |F(gA) - rho(g) F(A)| with positions, cell and the named inputs turned."""
    here = model(data)
    worst = 0.0
    for matrix in matrices:
        there = data.clone()
        there.pos = data.pos @ matrix.T
        if "cell" in data:
            there.cell = data.cell @ matrix.T
        for name, kind in turning.items():
            there[name] = turned_output(data[name], kind, matrix)
        values = model(there)
        assert torch.isfinite(values).all()
        worst = max(worst, float((values - turned_output(here, spec, matrix)).abs().max()))
    return worst


SPEC = "0e+0o+1o+1e+2e+2o"
MATRICES = elements("O(3)", *(TURNS[n] for n in ("generic", "improper", "half turn about x")))


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


FIELDS = {
    "a field": ("structure", "1o", (1, 3)),
    "a pseudovector": ("structure", "1e", (1, 3)),
    "a traceless tensor": ("structure", "2e", (1, 5)),
    "a Cartesian tensor": ("structure", "ij=ji", (1, 3, 3)),
    "a pseudoscalar and a vector": ("structure", "0o+1o", (1, 4)),
    "velocities": ("point", "1o", (-1, 3)),
    "spins": ("point", "1e", (-1, 3)),
    "two vectors for each point": ("point", "2x1o", (-1, 6)),
    "tensors of points": ("point", "2e", (-1, 5)),
}


@pytest.mark.parametrize("stratum", ["atom", "pair", "line", "plane", "generic", "coincident"])
@pytest.mark.parametrize(("whose", "kind", "shape"), FIELDS.values(), ids=FIELDS)
@scopes
def test_inputs_turn_with_the_cloud(
    scope: str, whose: str, kind: str, shape: tuple[int, ...], stratum: str
) -> None:
    # on an atom, a pair and a line, what the cloud leaves open the input must settle
    points = CASES[stratum].points()
    fade = CUTOFF if scope == "center" else None
    net = DeepSet(SPEC, fade=fade, **{f"{whose}s": ["input"]})
    rows = shape[0] if shape[0] > 0 else len(points)
    model = configured(scope, "O(3)", outputs=SPEC, net=net, inputs={"pos": "1o", "input": kind})
    items = []
    for strength in (1.0, 0.1):
        values = strength * draw(rows, *shape[1:])
        if kind == "ij=ji":
            values = (values + values.mT) / 2
        items.append(Data(pos=points, input=values))
    batch = Batch.from_data_list(items)
    assert inputs_error(model, batch, SPEC, {"input": kind}, MATRICES) <= 1e-12


@pytest.mark.parametrize("strength", [1e-6, 1e-3, 0.03, 0.1, 0.3, 1.0, 3.0, 30.0])
@scopes
def test_collinear_molecule_in_a_transverse_field(scope: str, strength: float) -> None:
    points = Shape("line", 3, 2, turn=2).points()
    transverse = strength * turn(2)[:, 0]
    net = DeepSet(SPEC, structures=["field"], fade=CUTOFF if scope == "center" else None)
    model = configured(scope, "O(3)", outputs=SPEC, net=net, inputs={"field": "1o"})
    data = Data(pos=points, field=transverse[None])
    assert inputs_error(model, data, SPEC, {"field": "1o"}, MATRICES) <= 1e-12


def test_an_atom_in_a_field_answers_along_it() -> None:
    net = DeepSet("0e+0o+1o+1e+2e", structures=["field"])
    model = configured(
        "structure", "O(3)", outputs="0e+0o+1o+1e+2e", net=net, inputs={"field": "1o"}
    )
    field = torch.tensor([[0.0, 0.0, 2.0]], dtype=torch.float64)
    found = model(Data(pos=CASES["atom"].points(), field=field))[0]
    zero, dipole = found[[1, 2, 3, 5, 6, 7]], found[4]
    # mirror planes through the field leave the vector along it alone
    assert zero.abs().max() <= 1e-13
    assert dipole.abs() > 0.01


@groups
@scopes
def test_inputs_that_do_not_turn_are_left_as_they_are(scope: str, group: str) -> None:
    points = CASES["generic"].points()
    net = DeepSet(SPEC, points=["z"], fade=CUTOFF if scope == "center" else None)

    def with_species(data: Data) -> Tensor:
        data.z = data.species.double()
        return net(data)

    model = configured(scope, group, outputs=SPEC, net=with_species)
    data = Data(pos=points, species=torch.tensor([1, 6, 8, 1, 1]))
    matrices = elements(group, TURNS["generic"], TURNS["improper"])
    assert inputs_error(model, data, SPEC, {}, matrices) <= 1e-12
    other = Data(pos=points, species=torch.tensor([1, 6, 1, 8, 1]))
    assert (model(data) - model(other)).abs().max() > 1e-3


# --- edges


def edges_within(points: Tensor, radius: float) -> Tensor:
    distance = torch.cdist(points, points)
    near = (distance < radius) & ~torch.eye(len(points), dtype=torch.bool)
    return near.nonzero().T.contiguous()


@pytest.mark.parametrize("given_vectors", [False, True], ids=["from positions", "given"])
@scopes
def test_networks_with_edges(scope: str, given_vectors: bool) -> None:
    reach = 2.0
    net = MessagePassing(SPEC, reach, given=given_vectors)
    inputs = {"pos": "1o", "edge_vector": "1o"} if given_vectors else None
    model = configured(scope, "O(3)", outputs=SPEC, net=net, inputs=inputs)
    items = []
    for name in ("generic", "line", "atom", "cube", "empty", "polygon"):
        points = CASES[name].points()
        edges = edges_within(points, reach)
        items.append(
            Data(pos=points, edge_index=edges, edge_vector=points[edges[1]] - points[edges[0]])
        )
    batch = Batch.from_data_list(items)
    turning = {"edge_vector": "1o"}
    assert inputs_error(model, batch, SPEC, turning, MATRICES) <= 1e-12
    alone = torch.cat([model(item) for item in items])
    torch.testing.assert_close(model(batch), alone, atol=1e-13, rtol=0)


def test_edges_of_an_unsorted_batch_vector() -> None:
    rows = [CASES[name].points() for name in ("generic", "line", "cube")]
    index = torch.repeat_interleave(torch.arange(3), torch.tensor([len(r) for r in rows]))
    items = [Data(pos=row, edge_index=edges_within(row, 2.0)) for row in rows]
    batch = Batch.from_data_list(items)
    order = torch.randperm(len(index), generator=torch.Generator().manual_seed(1))
    place = torch.empty_like(order).scatter_(0, order, torch.arange(len(order)))
    shuffle = torch.randperm(batch.edge_index.size(1), generator=torch.Generator().manual_seed(2))
    mixed = Data(
        pos=batch.pos[order], batch=index[order], edge_index=place[batch.edge_index][:, shuffle]
    )
    for scope in SCOPES:
        model = configured(scope, "O(3)", outputs=SPEC, net=MessagePassing(SPEC, 2.0))
        expected = model(batch)
        expected = expected if scope == "structure" else expected[order]
        torch.testing.assert_close(model(mixed), expected, atol=1e-13, rtol=0)


def test_a_local_message_passing_network_sees_the_same_edges_in_an_environment() -> None:
    # an environment of radius 3 holds all points of a small cloud, so that without turning, an
    # environment and the cloud are one to a network that does not know the origin
    points = CASES["tetrahedron"].points()
    net = MessagePassing("0e", 2.9)
    data = Data(pos=points, edge_index=edges_within(points, 2.9))
    seen = configured("center", "SO(3)", outputs="0e", net=net)(data)
    whole = configured("structure", "SO(3)", outputs="0e", net=net)(data)
    torch.testing.assert_close(seen, whole.expand_as(seen), atol=1e-12, rtol=0)


# --- periodic structures


def periodic_edges(points: Tensor, cell: Tensor, pbc: list[bool], radius: float) -> Data:
    """Edges to every image within the radius, by trying them all."""
    ranges = [range(-5, 6) if p else range(1) for p in pbc]
    steps = torch.cartesian_prod(*[torch.tensor(list(r)) for r in ranges])
    vectors = points[None, None] + (steps.double() @ cell)[:, None, None] - points[None, :, None]
    near = vectors.norm(dim=-1) < radius
    near &= vectors.norm(dim=-1) > 1e-9
    step, start, end = near.nonzero(as_tuple=True)
    return Data(
        pos=points,
        cell=cell[None],
        pbc=torch.tensor([pbc]),
        edge_index=torch.stack([start, end]),
        edge_shift=steps[step],
        edge_vector=vectors[step, start, end],
    )


LATTICES: dict[str, tuple[list[list[float]], list[list[float]], list[bool]]] = {
    "skewed": (
        [[2.9, 0.2, 0.0], [1.1, 2.7, -0.3], [0.4, 0.6, 3.1]],
        [[0.1, 0.0, 0.2], [1.2, 0.9, 1.4], [2.0, 0.3, 1.1]],
        [True] * 3,
    ),
    "left-handed": (
        [[1.1, 2.7, -0.3], [2.9, 0.2, 0.0], [0.4, 0.6, 3.1]],
        [[0.1, 0.0, 0.2], [1.2, 0.9, 1.4]],
        [True] * 3,
    ),
    "one atom, simple cubic": (
        [[1.5, 0, 0], [0, 1.5, 0], [0, 0, 1.5]],
        [[0.0, 0.0, 0.0]],
        [True] * 3,
    ),
    "one atom, nothing within the cutoff": (
        [[4.0, 0, 0], [0.5, 4.5, 0], [0, 0.25, 5.0]],
        [[0.25, 0.5, 0.0]],
        [True] * 3,
    ),
    "slab": (
        [[2.0, 0, 0], [0.5, 1.75, 0], [0, 0, 8.0]],
        [[0.0, 0, 0], [1.0, 0.75, 1.25]],
        [True, True, False],
    ),
    "chain": (
        [[0, 0, 2.0], [5, 0, 0], [0, 5, 0]],
        [[0.0, 0, 0], [0, 0, 0.75]],
        [True, False, False],
    ),
    "zigzag chain": (
        [[0, 0, 2.0], [5, 0, 0], [0, 5, 0]],
        [[0.0, 0, 0], [0, 0.5, 0.75]],
        [True, False, False],
    ),
    "line in a cell without periods": (
        [[6.0, 0, 0], [0, 7, 0], [0, 0, 8.0]],
        [[0.0, 0, 0], [0, 0, 0.75], [0, 0, 2.0]],
        [False] * 3,
    ),
}
REACH = 2.4


@pytest.mark.parametrize(("cell", "points", "pbc"), LATTICES.values(), ids=LATTICES)
@pytest.mark.parametrize("preset", PRESETS)
def test_periodic_structures(
    cell: list[list[float]], points: list[list[float]], pbc: list[bool], preset: str
) -> None:
    lattice, places = (torch.tensor(x, dtype=torch.float64) @ turn(1).T for x in (cell, points))
    data = periodic_edges(places, lattice, pbc, REACH)
    frames = HierarchicalFrames(REACH, preset=preset)
    for group in GROUPS:
        matrices = elements(group, TURNS["generic"], TURNS["improper"])
        model = Symmetrizer(MessagePassing(SPEC, REACH), SPEC, frames=frames, group=group)
        assert inputs_error(model, data, SPEC, {"edge_vector": "1o"}, matrices) <= 1e-12
        inputs = {"pos": "1o", "edge_vector": "1o"}
        given = MessagePassing(SPEC, REACH, given=True)
        model = Symmetrizer(given, SPEC, inputs, frames=frames, group=group)
        assert inputs_error(model, data, SPEC, {"edge_vector": "1o"}, matrices) <= 1e-12


# What frames are chosen from: points and periods. Those of these two are all on one line.
ONE_LINE = ("chain", "line in a cell without periods")


@pytest.mark.parametrize(
    ("cell", "points", "pbc"),
    [pytest.param(*lattice, id=n) for n, lattice in LATTICES.items() if n not in ONE_LINE],
)
def test_a_network_that_sees_the_cell_itself(
    cell: list[list[float]], points: list[list[float]], pbc: list[bool]
) -> None:
    # through fractional coordinates, say, all three rows of the cell matter to a network
    lattice, places = (torch.tensor(x, dtype=torch.float64) @ turn(1).T for x in (cell, points))
    data = Data(pos=places, cell=lattice[None], pbc=torch.tensor([pbc]))
    net = DeepSet(SPEC, structures=["cell"])
    model = Symmetrizer(net, SPEC, frames=HierarchicalFrames(REACH))
    assert inputs_error(model, data, SPEC, {}, MATRICES) <= 1e-12


@pytest.mark.parametrize("name", ONE_LINE)
def test_rows_of_the_cell_without_a_period_turn_but_choose_no_frames(name: str) -> None:
    cell, points, pbc = LATTICES[name]
    lattice, places = (torch.tensor(x, dtype=torch.float64) @ turn(1).T for x in (cell, points))
    data = Data(pos=places, cell=lattice[None], pbc=torch.tensor([pbc]))
    periods = torch.tensor(pbc)[:, None]
    # the same molecule or chain in a box that lies otherwise, and in one of another size
    others = [
        Data(pos=places, cell=torch.where(periods, lattice, box)[None], pbc=data.pbc)
        for box in (lattice @ turn(2).T, 1.5 * lattice)
    ]
    frames = HierarchicalFrames(REACH)

    def reads_periods(data: Data) -> Tensor:
        copy = data.clone()
        copy.cell = torch.where(data.pbc[..., None], data.cell, 0.0)
        return DeepSet(SPEC, structures=["cell"])(copy)

    model = Symmetrizer(reads_periods, SPEC, frames=frames)
    assert inputs_error(model, data, SPEC, {}, MATRICES) <= 1e-12
    for other in others:
        torch.testing.assert_close(model(other), model(data), atol=1e-13, rtol=0)

    # the limit: to a network that reads all rows the box is a part of the structure, one that
    # settles the azimuth of a line, and which no frame follows
    model = Symmetrizer(DeepSet(SPEC, structures=["cell"]), SPEC, frames=frames)
    assert inputs_error(model, data, SPEC, {}, MATRICES) > 1e-6
    for other in others:
        assert (model(other) - model(data)).abs().max() > 1e-3


@pytest.mark.parametrize(("cell", "points", "pbc"), LATTICES.values(), ids=LATTICES)
def test_environments_in_periodic_structures(
    cell: list[list[float]], points: list[list[float]], pbc: list[bool]
) -> None:
    lattice, places = (torch.tensor(x, dtype=torch.float64) @ turn(1).T for x in (cell, points))
    data = Data(pos=places, cell=lattice[None], pbc=torch.tensor([pbc]))
    net = DeepSet(SPEC, fade=CUTOFF)
    for group in GROUPS:
        matrices = elements(group, TURNS["generic"], TURNS["improper"])
        model = configured("center", group, outputs=SPEC, net=net)
        assert inputs_error(model, data, SPEC, {}, matrices) <= 1e-12
    # one environment by trying all images: the same points, the same answer
    edges = periodic_edges(places, lattice, pbc, CUTOFF)
    cluster = torch.cat([0 * places[:1], edges.edge_vector[edges.edge_index[0] == 0]])
    alone = configured("center", "O(3)", outputs=SPEC, net=net)(Data(pos=cluster))
    found = configured("center", "O(3)", outputs=SPEC, net=net)(data)
    torch.testing.assert_close(alone[0], found[0], atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", ["one atom, simple cubic", "skewed", "slab"])
def test_edges_between_images_in_environments_are_refused(name: str) -> None:
    # an environment may hold several images of one point, and an edge names none of them
    cell, points, pbc = LATTICES[name]
    lattice, places = (torch.tensor(x, dtype=torch.float64) for x in (cell, points))
    net = Counter()
    with pytest.raises(ValueError, match=r'(?s)which image.*edge.*scope="structure"'):
        configured("center", "O(3)", outputs="0e", net=net)(
            periodic_edges(places, lattice, pbc, REACH)
        )
    assert net.calls == 0


def test_finite_and_periodic_structures_in_one_batch() -> None:
    cell, points, pbc = LATTICES["skewed"]
    periodic = Data(
        pos=torch.tensor(points).double(),
        cell=torch.tensor([cell]).double(),
        pbc=torch.tensor([pbc]),
    )
    finite = Data(
        pos=CASES["plane"].points(),
        cell=torch.zeros(1, 3, 3).double(),
        pbc=torch.tensor([[False] * 3]),
    )
    net = DeepSet(SPEC)
    model = Symmetrizer(net, SPEC, frames=HierarchicalFrames(REACH))
    both = model(Batch.from_data_list([finite, periodic]))
    torch.testing.assert_close(both[:1], model(finite), atol=1e-13, rtol=0)
    torch.testing.assert_close(both[1:], model(periodic), atol=1e-13, rtol=0)
    plain = configured("structure", "O(3)", outputs=SPEC, net=net)
    torch.testing.assert_close(both[:1], plain(Data(pos=finite.pos)), atol=1e-13, rtol=0)


CRYSTALS = {
    "diamond": ([[0, 1, 1], [1, 0, 1], [1, 1, 0]], [[0.0, 0, 0], [0.5, 0.5, 0.5]], 12),
    "fcc": ([[0, 1, 1], [1, 0, 1], [1, 1, 0]], [[0.0, 0, 0]], 24),
}


@pytest.mark.parametrize(("cell", "basis", "order"), CRYSTALS.values(), ids=CRYSTALS)
@pytest.mark.parametrize("rotated", [False, True], ids=["along the axes", "turned"])
def test_frames_of_perfect_crystals_are_merged(
    cell: list[list[float]], basis: list[list[float]], order: int, rotated: bool
) -> None:
    rotation = turn(int(rotated))
    lattice = 1.8 * torch.tensor(cell, dtype=torch.float64) @ rotation.T
    places = 1.8 * torch.tensor(basis, dtype=torch.float64) @ rotation.T
    data = Data(pos=places, cell=lattice[None])
    frames = HierarchicalFrames(4.0, preset="lean")
    for group, factor in (("SO(3)", 1), ("O(3)", 2)):
        model = Symmetrizer(
            DeepSet(SPEC, fade=4.0), SPEC, frames=frames, group=group, scope="center"
        )
        numbers = torch.bincount(model.ensemble(data).index)
        assert (numbers % (factor * order) == 0).all()
        assert (numbers >= factor * order).all()
        matrices = elements(group, TURNS["generic"], TURNS["improper"])
        assert inputs_error(model, data, SPEC, {}, matrices) <= 1e-12


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


# --- training


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


# --- spread


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
    assert configured("structure", "O(3)", outputs="0e+1o").spread(data).min() > 1e-3


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


# --- bad input


class Counter:
    """A network that counts its calls."""

    def __init__(self, width: int = 1) -> None:
        self.calls, self.width = 0, width

    def __call__(self, data: Data) -> Tensor:
        """Zeros."""
        self.calls += 1
        return data.pos.new_zeros(data.num_graphs, self.width)


POS = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]], dtype=torch.float64)


def spoiled(value: float) -> Tensor:
    pos = POS.clone()
    pos[1, 2] = value
    return pos


BAD_DATA: dict[str, tuple[Any, str]] = {
    "NaN": (Data(pos=spoiled(math.nan)), r"`pos` is nan at \[1, 2\] but must be finite"),
    "infinity": (Data(pos=spoiled(math.inf)), r"`pos` is inf at \[1, 2\] but must be finite"),
    "no positions": (Data(x=POS), "no positions `pos`"),
    "flat positions": (Data(pos=POS.flatten()), r"shape \(9,\).*must be \(points, 3\)"),
    "two dimensions": (Data(pos=POS[:, :2]), r"shape \(3, 2\).*must be \(points, 3\)"),
    "padded": (Data(pos=POS[None]), r"shape \(1, 3, 3\).*under each other"),
    "integers": (Data(pos=POS.long()), r"torch.int64 but must be float32 or float64.*convert"),
    "half precision": (Data(pos=POS.half()), "torch.float16 but must be float32 or float64"),
    "a tensor": (POS, r"Tensor.*must be a torch_geometric Data.*Data\(pos="),
    "a list": ([Data(pos=POS)], r"list.*must be a torch_geometric Data or Batch"),
    "short batch": (Data(pos=POS, batch=torch.zeros(2).long()), r"shape \(2,\).*\(3,\)"),
    "batch of floats": (Data(pos=POS, batch=torch.zeros(3)), "float32.*must be int64"),
    "negative batch": (Data(pos=POS, batch=torch.tensor([-1, 0, 0])), "contains -1.*from 0"),
    "empty batch": (
        Data(pos=torch.zeros(0, 3), batch=torch.zeros(0).long()),
        "the batch is empty.*0 structures.*valid",
    ),
    "missing input": (Data(pos=POS, cell=torch.eye(3)), "has no 'field'.*declares"),
    "input of wrong width": (Data(pos=POS, field=torch.ones(1, 2)), r"'field' has shape \(1, 2\)"),
    "input not finite": (Data(pos=POS, field=torch.ones(1, 3) / 0), r"`field` is inf at \[0, 0\]"),
    "integer input": (Data(pos=POS, field=torch.ones(1, 3).long()), "field.*int64.*float"),
    "input of nobody": (
        Data(
            pos=POS.repeat(2, 1),
            field=torch.ones(3, 3),
            batch=torch.tensor([0, 0, 0, 1, 1, 1]),
        ),
        "neither to points nor to edges nor to the 2 structures",
    ),
    "cell not finite": (
        Data(pos=POS, field=torch.ones(1, 3), cell=torch.eye(3)[None] * math.nan),
        "`cell` is nan",
    ),
    "cell of wrong shape": (
        Data(pos=POS, field=torch.ones(1, 3), cell=torch.ones(1, 5)),
        r"`cell` has shape \(1, 5\)",
    ),
    "one cell for three structures": (
        Data(
            pos=POS,
            batch=torch.arange(3),
            field=torch.ones(3, 3),
            cell=torch.eye(3, dtype=torch.float64),
        ),
        "cell.*3 structures|cell.*structure",
    ),
    "scores of wrong shape": (
        Data(pos=POS, field=torch.ones(1, 3), frame_scores=torch.ones(2)),
        "`frame_scores` must hold one positive number for each of 3 points",
    ),
    "negative scores": (
        Data(pos=POS, field=torch.ones(1, 3), frame_scores=torch.tensor([1.0, 1, -1])),
        "`frame_scores`.*minimum -1",
    ),
    "scores not finite": (
        Data(pos=POS, field=torch.ones(1, 3), frame_scores=torch.tensor([1.0, math.nan, 1])),
        "`frame_scores`.*(nan|finite)",
    ),
    "infinite scores": (
        Data(pos=POS, field=torch.ones(1, 3), frame_scores=torch.tensor([1.0, math.inf, 1])),
        "`frame_scores`.*(inf|finite)",
    ),
    "periodic without a cutoff": (
        Data(pos=POS, field=torch.ones(1, 3), cell=torch.eye(3, dtype=torch.float64)[None]),
        r"periodic.*HierarchicalFrames\(cutoff=",
    ),
}


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize(("data", "message"), BAD_DATA.values(), ids=BAD_DATA)
def test_bad_data_is_refused_before_the_network_is_called(data: Any, message: str) -> None:
    net = Counter()
    with pytest.raises((ValueError, TypeError), match=f"(?s){message}"):
        Symmetrizer(net, "0e", inputs={"field": "1o"})(data)
    assert net.calls == 0


BAD_ARGUMENTS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown group": ({"group": "U(1)"}, r"`group` is 'U\(1\)'.*'O\(3\)', 'SO\(3\)'"),
    "unknown scope": ({"scope": "centre"}, "`scope` is 'centre'.*'structure', 'center'"),
    "unknown training": ({"training": "one"}, "`training` is 'one'.*'sampled'"),
    "unknown reduction": ({"scope": "center", "reduce": "max"}, "`reduce` is 'max'.*'mean'"),
    "no cutoff": ({"scope": "center"}, r"needs a cutoff.*HierarchicalFrames\(cutoff="),
    "a reduction of structures": ({"reduce": "sum"}, r'`reduce` is \'sum\'.*scope="center"'),
    "chunks of nothing": ({"chunk_size": 0}, "`chunk_size` is 0 but must be at least 1"),
    "no outputs": ({"outputs": {}}, "`outputs` is empty"),
    "unknown irrep": ({"outputs": "1x"}, "1x"),
    "scalar positions": ({"inputs": {"pos": "3x0e"}}, "'pos'.*declare it '1o'"),
}


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize(("options", "message"), BAD_ARGUMENTS.values(), ids=BAD_ARGUMENTS)
def test_bad_arguments_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=f"(?s){message}"):
        Symmetrizer(Counter(), **{"outputs": "0e", **options})


BAD_FRAMES: dict[str, tuple[Callable[[], Any], str]] = {
    "negative cutoff": (lambda: HierarchicalFrames(-1.0), "`cutoff` is -1.0.*positive"),
    "cutoff NaN": (lambda: HierarchicalFrames(math.nan), "`cutoff` is nan.*positive"),
    "length scale": (lambda: HierarchicalFrames(length_scale=0.0), "`length_scale` is 0.0"),
    "preset": (lambda: HierarchicalFrames(preset="fast"), "`preset` is 'fast'.*lean"),
    "no frames": (lambda: HierarchicalFrames(max_frames=0), "`max_frames` is 0.*at least 1"),
    "score": (lambda: HierarchicalFrames(species_scores={1: 0.0}), "species 1 the score 0.0"),
    "score NaN": (lambda: HierarchicalFrames(species_scores={1: math.nan}), "species 1.*nan"),
}


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize(("make", "message"), BAD_FRAMES.values(), ids=BAD_FRAMES)
def test_bad_frames_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"(?s){message}"):
        make()


def returning(value: Any) -> Callable[[Data], Any]:
    return lambda data: value(data) if callable(value) else value


BAD_RETURNS: dict[str, tuple[Any, Any, str]] = {
    "too wide": ("1o", lambda d: d.pos.new_zeros(d.num_graphs, 4), "4.*1o.*3"),
    "a wide scalar": ("0e", lambda d: d.pos.new_zeros(d.num_graphs, 4), "4.*0e.*1"),
    "a flat tensor": ("ij", lambda d: d.pos.new_zeros(d.num_graphs, 8), "8.*ij.*9"),
    "points for structures": ("1o", lambda d: d.pos, "one row for each.*per_point"),
    "structures for points": (
        per_point("1o"),
        lambda d: d.pos.new_zeros(d.num_graphs, 3),
        "points.*one row for each",
    ),
    "a single row": ("1o", lambda d: d.pos.new_zeros(3), "one row for each"),
    "no row": ("0e", lambda d: d.pos.sum(), "one row for each"),
    "a dict for a tensor": ("0e", lambda d: {"a": d.pos}, "dict.*declare a mapping"),
    "a tensor for a dict": ({"a": "0e", "b": "0e"}, lambda d: d.pos, "Tensor.*'a', 'b'"),
    "another name": ({"a": "0e"}, lambda d: {"b": d.pos}, "'b'.*'a'.*declare every output"),
    "integers": ("0e", lambda d: d.pos.new_zeros(d.num_graphs, 1).long(), "int64"),
}


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize(("outputs", "value", "message"), BAD_RETURNS.values(), ids=BAD_RETURNS)
def test_outputs_that_do_not_fit_are_refused(outputs: Any, value: Any, message: str) -> None:
    cloud = collate([CASES["cube"].points(), CASES["generic"].points()])
    with pytest.raises((ValueError, TypeError), match=f"(?s){message}"):
        Symmetrizer(returning(value), outputs)(cloud)


def test_too_many_frames_are_refused_with_a_way_out() -> None:
    net = Counter()
    model = Symmetrizer(net, "0e", frames=HierarchicalFrames(max_frames=10))
    with pytest.raises(ValueError, match=r"(?s)more than `max_frames` = 10.*raise `max_frames`"):
        model(collate([SOLIDS["cube"]]))
    assert net.calls == 0


def test_pair_frames_without_a_frame_say_so() -> None:
    net = Counter()
    model = Symmetrizer(net, "0e", frames=PairFrames(CUTOFF))
    with pytest.raises(ValueError, match=r"(?s)no frame.*collinear.*HierarchicalFrames.*auxiliary"):
        model(collate([CASES["line"].points()]))
    assert net.calls == 0


@scopes
def test_a_network_is_never_called_without_structures(scope: str) -> None:
    # many networks cannot pool over nothing
    net = DeepSet("0e+1o")
    model = configured(scope, "O(3)", outputs="0e+1o", net=net)
    found = model(collate([CASES["empty"].points()]))
    assert found.shape == ((1, 4) if scope == "structure" else (0, 4))
    assert 0 not in net.calls
    pairs = PairFrames(CUTOFF, auxiliary=DeepSet("0e+1o"))
    Symmetrizer(net, "0e+1o", frames=pairs)(collate([CASES["line"].points()]))
    assert 0 not in net.calls
