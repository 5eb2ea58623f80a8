"""Groups about an axis: exact and smooth on every cloud, and "up" stays what it is."""

import os
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor
from torch_geometric.data import Batch, Data

from backbones.checkpoint import load, save
from equivariance_tests import certify
from equivariance_tests.checks import check_of
from equivariance_tests.clouds import Cloud
from equivariance_tests.clouds.turns import standing, turns_of
from equivariance_tests.measure.trial import Trial
from symmetrize import (
    Contract,
    FrameAveraging,
    Frames,
    HierarchicalFrames,
    PairFrames,
    QuadratureFrames,
    RandomFrames,
    Symmetrizer,
    forces_and_stress,
    per_point,
)
from symmetrize.groups import Direction, as_direction, contains, random_elements
from tests.common.laws import (
    EXACT,
    OUTPUTS,
    PRESETS,
    SCOPES,
    SPEC,
    inputs_error,
    law_error,
    spreads,
)
from tests.common.networks import DeepSet, MessagePassing, periodic_edges
from tests.common.paths import PATHS, SMOOTH, Path, moving_last, points, scan_of
from tests.common.strata import CASES, CUTOFF, STRATA, Shape, Turn, batches, collate, turns

# Shapes are checked in other tests: here they would take most of the time
pytestmark = pytest.mark.usefixtures("unchecked_shapes")

AXIAL = ("SO(2)", "O(2)")
UPRIGHT, TILTED = (0.0, 0.0, 1.0), as_direction((1, 2, -2))
axial_groups = pytest.mark.parametrize("group", AXIAL)
scopes = pytest.mark.parametrize("scope", SCOPES)


def made(scope: str, group: str, preset: str = "smooth", **options: Any) -> Symmetrizer:
    net = DeepSet(OUTPUTS, fade=None if scope == "structure" else CUTOFF)
    cutoff = CUTOFF if scope == "center" else None
    frames = HierarchicalFrames(cutoff, preset=preset)
    return Symmetrizer(net, OUTPUTS, frames=frames, scope=scope, group=group, **options)


def matrices_of(group: str, axis: Direction = UPRIGHT) -> list[Tensor]:
    return [turn.matrix(axis) for name, turn in turns_of(group).items() if name != "identity"]


# --- exactness


@pytest.mark.parametrize("dtype", EXACT)
@pytest.mark.parametrize("axis", [UPRIGHT, TILTED], ids=["upright", "tilted"])
@pytest.mark.parametrize("preset", PRESETS)
@axial_groups
@scopes
def test_exact_on_every_stratum(
    scope: str, group: str, preset: str, axis: Direction, dtype: torch.dtype
) -> None:
    model = made(scope, group, preset, axis=axis)
    spread = spreads(model, OUTPUTS)
    # those that stand along the axis, and those that do not; fragments are far apart
    shapes = [shape for shape in CASES.values() if shape.stratum != "fragments"]
    shapes += [Shape(name, 5, 1) for name in STRATA if name != "fragments"]
    rows = [shape.points() @ standing(axis).T for shape in shapes]
    matrices = [turns_of(group)[n].matrix(axis) for n in ("generic", "quarter turn")]
    if group == "O(2)":
        matrices.append(turns_of(group)["improper"].matrix(axis))
    assert law_error(model, OUTPUTS, spread, rows, matrices, dtype) <= EXACT[dtype]


@pytest.mark.parametrize("examples", [6, pytest.param(300, marks=pytest.mark.deep)])
@axial_groups
@scopes
def test_ragged_batches_turn(scope: str, group: str, examples: int) -> None:
    near = tuple(name for name in STRATA if name != "fragments")
    model = made(scope, group)
    spread = spreads(model, OUTPUTS)

    @settings(max_examples=examples, deadline=None)
    @given(rows=batches(near), element=turns(group))
    def turn(rows: list[Shape], element: Turn) -> None:
        clouds = [shape.points() for shape in rows]
        assert law_error(model, OUTPUTS, spread, clouds, [element.matrix()]) <= 1e-12

    turn()


@axial_groups
def test_an_axis_of_each_structure_turns_along(group: str) -> None:
    clouds = [CASES[n].points() for n in ("generic", "plane", "line", "cube", "coincident", "atom")]
    generator = torch.Generator().manual_seed(2)
    axes = [torch.randn(1, 3, dtype=torch.float64, generator=generator) for _ in clouds]
    inside = "O(3)" if group == "O(2)" else "SO(3)"
    for scope in SCOPES:
        for translations in ("all", "across"):
            model = made(scope, group, axis="up", translations=translations)
            assert model.contract.group == inside
            here = model(collate(clouds, up=axes))
            # every structure by an element of its own
            turning = random_elements(len(clouds), inside, generator)
            there = model(
                collate(
                    [x @ q.T for x, q in zip(clouds, turning, strict=True)],
                    up=[3.0 * u @ q.T for u, q in zip(axes, turning, strict=True)],
                )
            )
            owner = torch.arange(len(clouds))
            if scope == "center":
                owner = owner.repeat_interleave(torch.tensor([len(x) for x in clouds]))
            for name, values in here.items():
                representation = model.declaration[name].representation
                expected = representation.rotate(values, turning[owner])
                torch.testing.assert_close(there[name], expected, atol=1e-12, rtol=0)


def test_an_axis_along_z_by_name_is_the_axis_z() -> None:
    clouds = [CASES[name].points() for name in ("generic", "cube", "line", "plane")]
    axes = [torch.tensor([[0.0, 0.0, 2.0]]).double() for _ in clouds]
    named = made("structure", "O(2)", axis="up")(collate(clouds, up=axes))
    fixed = made("structure", "O(2)")(collate(clouds))
    for name, values in fixed.items():
        torch.testing.assert_close(named[name], values, atol=1e-13, rtol=0)


@pytest.mark.parametrize("axis", [(0, 0, 1), (1, 2, -2)])
@axial_groups
def test_slabs(group: str, axis: tuple[float, float, float]) -> None:
    along = as_direction(axis)
    cell = torch.tensor([[2.0, 0, 0], [0.5, 1.75, 0], [0, 0, 8.0]], dtype=torch.float64)
    places = torch.tensor([[0.0, 0, 0], [1.0, 0.75, 1.25]], dtype=torch.float64)
    # standing on its surface, and not
    for stood in (standing(along), torch.eye(3, dtype=torch.float64)):
        data = periodic_edges(places @ stood.T, cell @ stood.T, [True, True, False], 2.4)
        model = Symmetrizer(
            MessagePassing(SPEC, 2.4), SPEC, frames=HierarchicalFrames(2.4), group=group, axis=axis
        )
        matrices = matrices_of(group, along)
        assert inputs_error(model, data, SPEC, {"edge_vector": "1o"}, matrices) <= 1e-12


# --- what "up" means is kept


def heights(data: Data) -> Tensor:
    """Where points are along y: the sum of the squares, and of each point itself."""
    up = data.pos[:, 1:2]
    return up.new_zeros(data.num_graphs, 1).index_add(0, data.batch, up.square())


@scopes
def test_what_is_invariant_about_the_axis_is_left_as_it_is(scope: str) -> None:
    data = collate([CASES[name].points() + 0.3 for name in ("generic", "cube", "prism")])
    frames = HierarchicalFrames(CUTOFF)
    model = Symmetrizer(
        heights,
        "0e",
        frames=frames,
        scope=scope,
        group="O(2)",
        axis=(0, 1, 0),
        translations="across",
    )
    found = model(data)
    if scope == "structure":
        torch.testing.assert_close(found, heights(data), atol=1e-13, rtol=0)
        # in space there is no up: the average is another
        in_space = Symmetrizer(heights, "0e", frames=frames)(data)
        assert float((in_space - heights(data)).abs().max()) > 0.1
    else:
        # neighbors are at their heights, too
        near = torch.cdist(data.pos, data.pos) < CUTOFF
        near &= data.batch[:, None] == data.batch[None, :]
        expected = (near * data.pos[:, 1].square()).sum(1)[:, None]
        torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("translations", ["all", "across"])
@scopes
def test_translations(scope: str, translations: str) -> None:
    model = made(scope, "SO(2)", axis=TILTED, translations=translations)
    data = collate([CASES[name].points() for name in ("generic", "cube", "atom", "line")])
    along = torch.tensor(TILTED, dtype=torch.float64)
    shift = torch.tensor([0.7, -1.3, 0.4], dtype=torch.float64)
    across = shift - (shift @ along) * along
    here = model(data)

    def change(by: Tensor) -> float:
        moved = data.clone()
        moved.pos = data.pos + by
        there = model(moved)
        return max(float((there[name] - here[name]).abs().max()) for name in OUTPUTS)

    assert change(across) <= 1e-12
    assert (change(0.5 * along) <= 1e-12) == (translations == "all")


# --- smoothness


ONTO_THE_AXIS = {
    # a point crosses the axis through the centroid, which all others are on
    "off the axis and back": Path(
        points((0, 0, -1.2), (0, 0, 0.3), (0, 0, 1.1)),
        points((1, 0.2, 0), (-0.4, 0.9, 0), (-0.6, -1.1, 0)),
        -0.6,
        0.6,
    ),
    "a horizontal pair meets": Path(
        points((0, 0, 0), (0, 0, 0), (0, 0, 0.9)),
        points((1, 0, 0.1), (-1, 0.2, 0), (0, 0, 0)),
        -0.7,
        0.7,
    ),
    "an atom crosses a square": Path(
        *moving_last(
            points((1, 0, 0.2), (-1, 0, 0.2), (0, 1, 0.2), (0, -1, 0.2), (0, 0, -0.8)),
            (0, 0, 0),
            (0.6, 0.8, 0.1),
        ),
        -0.6,
        0.6,
    ),
}
EVERY_PATH = ONTO_THE_AXIS | PATHS
# The square pyramid hardly changes along its axis, and so says little
CASES_OF_PATHS = [
    pytest.param(name, scope, id=f"{name}-{scope}")
    for name, path in EVERY_PATH.items()
    for scope in path.scopes
    if name != "equal moments of a square pyramid"
]


class Upright(Path):
    """The same without a generic orientation: what lies along z stays there."""

    def rows(self, parameters: Tensor) -> list[Tensor]:
        return list(self.base + parameters[:, None, None] * self.velocity)


SMOOTH_SPEC = "0e+0o+1o+1e+2e"


@pytest.mark.parametrize(("preset", "group"), [("smooth", "O(2)"), ("lean", "SO(2)")])
@pytest.mark.parametrize(("name", "scope"), CASES_OF_PATHS)
@pytest.mark.usefixtures("unchecked_shapes")
def test_smooth_to_third_order(scope: str, name: str, preset: str, group: str) -> None:
    given = EVERY_PATH[name]
    path = Upright(given.base, given.velocity, given.low, given.high)
    net = DeepSet(SMOOTH_SPEC, fade=CUTOFF if scope == "center" else None, hidden=8)
    cutoff = CUTOFF if scope == "center" else None
    frames = HierarchicalFrames(cutoff, preset=preset, length_scale=given.length_scale)
    model = Symmetrizer(net, SMOOTH_SPEC, frames=frames, scope=scope, group=group)
    found = scan_of(path, model)
    assert found.maxima[-1].min() > 0.1
    assert found.growth.max() < SMOOTH
    assert found.growth.min() > 1 / SMOOTH


def test_principal_axes_jump() -> None:
    path = ONTO_THE_AXIS["an atom crosses a square"]
    net = DeepSet(SMOOTH_SPEC, hidden=8)
    model = Symmetrizer(net, SMOOTH_SPEC, frames=FrameAveraging(), group="SO(2)")
    upright = Upright(path.base, path.velocity, path.low, path.high)
    assert scan_of(upright, model).growth.max() > 1.5


def test_derivatives_by_the_axis() -> None:
    model = Symmetrizer(DeepSet("0e"), "0e", group="O(2)", axis="up")
    pos = CASES["generic"].points()

    def energy(up: Tensor) -> Tensor:
        return model(Data(pos=pos, up=up))

    up = torch.tensor([[0.3, -0.5, 0.9]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(energy, up)


# --- frames, and other families


class Space(Frames):
    """A family that knows nothing of axes: the identity."""

    def of_clouds(self, cloud: Any, group: Any, degree: int) -> Any:
        raise AssertionError("is not asked")


@pytest.mark.parametrize("axis", [UPRIGHT, TILTED])
@pytest.mark.parametrize(
    "frames",
    [HierarchicalFrames(), FrameAveraging(), QuadratureFrames(3), RandomFrames(4)],
    ids=lambda frames: type(frames).__name__,
)
@axial_groups
def test_frames_are_elements_of_the_group(frames: Frames, group: str, axis: Direction) -> None:
    for name in ("generic", "cube", "line", "atom", "coincident", "plane"):
        ensemble = frames(CASES[name].points(), group=group, axis=axis)
        assert bool(contains(group, ensemble.rotations, axis).all())
    drawn = random_elements(50, group, torch.Generator().manual_seed(0), axis=axis)
    assert bool(contains(group, drawn, axis).all())
    assert bool((torch.linalg.det(drawn) < 0).any()) == (group == "O(2)")


def test_what_is_on_the_axis_takes_one_evaluation() -> None:
    model = Symmetrizer(DeepSet("0e+1o"), "0e+1o", group="O(2)")
    for name in ("atom", "coincident", "line", "pair"):
        assert int(model.evaluations(Data(pos=Shape(name, 5, 1).points()))) == 1, name


def test_trained_on_sampled_frames_and_random_turns() -> None:
    data = collate([CASES["generic"].points(), CASES["cube"].points()])
    for training in ("sampled", "random"):
        model = Symmetrizer(
            DeepSet("0e+1o"),
            "0e+1o",
            group="O(2)",
            axis=TILTED,
            training=training,
            generator=torch.Generator().manual_seed(0),
        )
        mean = torch.stack([model(data) for _ in range(200)]).mean(0)
        exact = model.eval()(data)
        if training == "sampled":
            torch.testing.assert_close(mean, exact, atol=0.1, rtol=0)
        assert float((model.train()(data) - exact).abs().max()) > 1e-6


def test_forces_have_no_torque_about_the_axis() -> None:
    model = Symmetrizer(DeepSet({"energy": "0e"}), {"energy": "0e"}, group="SO(2)")
    data = collate([CASES["generic"].points()])
    forces = forces_and_stress(model, data).forces
    torque = torch.linalg.cross(data.pos - data.pos.mean(0), forces).sum(0)
    assert float(torque[2].abs()) <= 1e-12
    assert float(torque[:2].abs().min()) > 1e-3


FOLDER = os.environ.get("SYMMETRIZE_DATA")


@pytest.mark.skipif(FOLDER is None, reason="needs SYMMETRIZE_DATA, the folder of the data sets")
@axial_groups
def test_furniture_takes_one_or_two_evaluations(group: str) -> None:
    stored = np.load(f"{FOLDER}/furniture11_1024.npz", allow_pickle=False)
    clouds = torch.tensor(stored["points"][::7]).double()
    batch = torch.arange(len(clouds)).repeat_interleave(clouds.size(1))
    ensemble = HierarchicalFrames()(clouds.flatten(0, 1), batch, group=group, axis=(0, 1, 0))
    assert len(ensemble) / len(clouds) <= 2


# --- contracts, settings, mistakes


CLAIMED = {"energy": "0e", "dipole": "1o", "forces": per_point("1o")}


def declared() -> DeepSet:
    net = DeepSet({"energy": "0e", "dipole": "1o", "forces": "1o"}, per_point=["forces"])
    net.contract = Contract(CLAIMED, group=None, envelope=True)
    return net


FAST = ("equivariance", "parity", "stabilizer", "Lie derivative", "translation", "negative control")


@pytest.mark.filterwarnings("ignore:'energy' and")
@pytest.mark.parametrize(
    ("group", "axis", "translations"),
    [("O(2)", (1, 2, -2), "across"), ("SO(2)", "up", "all")],
)
def test_certified(group: str, axis: Any, translations: str) -> None:
    model = Symmetrizer(declared(), group=group, axis=axis, translations=translations)
    named = {"of_structures": ["up"]} if axis == "up" else {}
    report = certify(model, checks=FAST, **named)
    assert report.passed, str(report)


CLOUDS = [Cloud("generic", 6, seed) for seed in range(4)]


@pytest.mark.filterwarnings("ignore:'energy' and")
@pytest.mark.parametrize(
    ("claim", "check"),
    [
        ({"group": "O(3)"}, "equivariance"),
        ({"group": "SO(3)"}, "equivariance"),
        ({"group": "SO(2)", "axis": (1, 0, 0)}, "equivariance"),
        ({"group": "O(2)"}, "parity"),
        ({"group": "SO(2)"}, "translation"),
    ],
)
def test_false_claims_are_refuted(claim: dict[str, Any], check: str) -> None:
    inner = Symmetrizer(declared(), group="SO(2)", translations="across")
    trial = Trial.of(inner, Contract(CLAIMED, smoothness=5, **claim))
    assert any(one.failure for one in check_of(check).outcomes(trial, CLOUDS))


def test_principal_axes_are_found_out() -> None:
    inner = Symmetrizer(declared(), group="SO(2)", frames=FrameAveraging())
    trial = Trial.of(inner, Contract(CLAIMED, group="SO(2)", smoothness=0))
    # square prisms have no principal axes across
    assert any(one.failure for one in check_of("stabilizer").outcomes(trial, [Cloud("prism", 4)]))


def test_settings_are_kept(tmp_path: Any) -> None:
    from backbones import PointNet

    net = PointNet({"energy": "0e"}, species=[1], width=8).double()
    model = Symmetrizer(net, group="O(2)", axis=(0, 3, 4), translations="across")
    save(model, tmp_path)
    again = load(tmp_path)
    assert (again.group, again.translations) == ("O(2)", "across")
    assert again.axis == pytest.approx((0.0, 0.6, 0.8))
    assert "axis=(0.0, 0.6, 0.8)" in repr(again)
    assert Contract.of_plain(again.contract.plain()) == again.contract


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"group": "O(3)", "axis": (0, 0, 1)}, "treats all directions alike"),
        ({"group": "O(3)", "axis": "up"}, "treats all directions alike"),
        ({"group": "SO(2)", "axis": (0, 0, 0)}, "has no direction"),
        ({"group": "SO(2)", "axis": (1, 2)}, "three numbers"),
        ({"group": "SO(2)", "axis": float("nan")}, "three numbers"),
        ({"translations": "across"}, "no axis"),
        ({"group": "O(2)", "translations": "z"}, "'all' or 'across'"),
        ({"group": "O(2)", "frames": PairFrames(3.0)}, "HierarchicalFrames has some"),
        ({"group": "O(2)", "frames": Space()}, "HierarchicalFrames has some"),
        ({"group": "C(2)"}, "'SO(2)'"),
    ],
)
def test_mistakes(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("(", r"\(").replace(")", r"\)")):
        Symmetrizer(DeepSet("0e"), "0e", **options)


@pytest.mark.parametrize(
    ("up", "message"),
    [
        (torch.zeros(1, 3), "zero in structure 1"),
        (torch.ones(5, 3), "one vector for each"),
        (None, "has no 'up'"),
    ],
)
def test_axes_that_are_none(up: Tensor | None, message: str) -> None:
    model = Symmetrizer(DeepSet("0e"), "0e", group="SO(2)", axis="up")
    first = Data(pos=torch.rand(5, 3), up=torch.ones(1, 3) if up is None or len(up) == 1 else up)
    second = Data(pos=torch.rand(5, 3), up=up)
    if up is None:
        first, second = Data(pos=torch.rand(5, 3)), Data(pos=torch.rand(5, 3))
    with pytest.raises(ValueError, match=message):
        model(Batch.from_data_list([first, second]))
