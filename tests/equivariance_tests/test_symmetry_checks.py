"""Each check of symmetry and additivity passes healthy models and fails its mutant."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from equivariance_tests.checks.base import Check
from equivariance_tests.checks.control import Indifferent, NegativeControl, wrong_declarations
from equivariance_tests.checks.equivariance import Equivariance
from equivariance_tests.checks.extensivity import Extensivity, NotExtensive
from equivariance_tests.checks.locality import Locality, NotLocal
from equivariance_tests.checks.permutation import NotPermuted, Permutation
from equivariance_tests.checks.precision import Imprecise, PrecisionLadder
from equivariance_tests.checks.stabilizer import SYMMETRIC, NotStabilized, Stabilizer, symmetries
from equivariance_tests.checks.translation import NotTranslated, Translation
from equivariance_tests.checks.vacuity import Vacuity, Vacuous
from equivariance_tests.clouds import Cloud, Setting, Structure
from equivariance_tests.clouds.point_group import point_group
from equivariance_tests.clouds.point_group import symmetrized as symmetrized_cloud
from equivariance_tests.measure.trial import Trial
from equivariance_tests.report.failures import Failure, Raises
from symmetrize import (
    Contract,
    FrameAveraging,
    Frames,
    HierarchicalFrames,
    QuadratureFrames,
    Symmetrizer,
    per_point,
)
from tests.common.networks import DeepSet, bump

# Shapes are checked in other tests: here they would take most of the time
pytestmark = pytest.mark.usefixtures("unchecked_shapes")

CHECKS: dict[str, Check] = {
    check.name: check
    for check in (
        *(Permutation(), Translation(), Stabilizer(), Extensivity(), Locality()),
        *(PrecisionLadder(), Vacuity(), NegativeControl()),
    )
}
DTYPES = {"float64": torch.float64, "float32": torch.float32}
REACH = 3.0
OUTPUTS = {"energy": "0e", "dipole": "1o", "field": per_point("1o")}


def contract(**claims: Any) -> Contract:
    given = {"outputs": OUTPUTS, "cutoff": REACH, "extensive": True, "periodic": True}
    return Contract(**(given | claims))


class Radial:
    """Sums over pairs within reach: exact, smooth, extensive. What is wrong comes on top of it."""

    def __init__(self, wrong: Callable[[Any, dict[str, Tensor]], dict[str, Tensor]] | None = None):
        self.wrong = wrong

    def __call__(self, data: Any) -> dict[str, Tensor]:
        vectors = pairs(data)
        weights = bump(vectors, REACH) * others(data)
        if "charge" in data:
            weights = weights * data.charge[:, 0]
        count, field = weights.sum(1), (weights[..., None] * vectors).sum(1)
        values = {
            "energy": total(data, torch.sin(count)[:, None]),
            "dipole": total(data, count[:, None] * field),
            "field": field,
        }
        return values if self.wrong is None else values | self.wrong(data, values)


def pairs(data: Any) -> Tensor:
    return data.pos[None, :] - data.pos[:, None]


def others(data: Any) -> Tensor:
    """Which points are in one structure with another one."""
    same = data.batch[:, None] == data.batch[None, :]
    return same & ~torch.eye(len(same), dtype=torch.bool)


def total(data: Any, rows: Tensor) -> Tensor:
    return rows.new_zeros(data.num_graphs, rows.size(1)).index_add(0, data.batch, rows)


def mean(data: Any, rows: Tensor) -> Tensor:
    """Of the rows of each structure, for each point."""
    size = total(data, torch.ones_like(rows)).clamp(min=1)
    return (total(data, rows) / size)[data.batch]


def symmetrized(**more: Any) -> Symmetrizer:
    return Symmetrizer(
        DeepSet({"energy": "0e", "dipole": "1o", "field": "1o"}, per_point=["field"]),
        outputs=OUTPUTS,
        **more,
    )


def centers() -> Symmetrizer:
    outputs = {"energy": "0e", "dipole": "1o"}
    return Symmetrizer(
        DeepSet(outputs, fade="envelope"),
        outputs=outputs,
        frames=HierarchicalFrames(cutoff=REACH),
        scope="center",
        reduce="sum",
    )


class Fastidious(Radial):
    """Refuses clouds that rise above a quarter of the reach: no law of symmetry can be asked."""

    def __call__(self, data: Any) -> dict[str, Tensor]:
        if len(data.pos) and float(data.pos[:, 2].max()) > REACH / 4:
            raise RuntimeError("out of range")
        return super().__call__(data)


def charged() -> Trial:
    claims = contract(inputs={"charge": "0e"}, periodic=False)
    return Trial.of(Radial(), claims, species=(1, 8))


HEALTHY = {
    "radial sum": lambda: Trial.of(Radial(), contract()),
    "radial sum with charges and species": charged,
    "radial sum in another unit": lambda: Trial.of(Scaled(), contract(cutoff=0.1 * REACH)),
    "radial sum without claims": lambda: Trial.of(
        Radial(), contract(smoothness=None, extensive=False, cutoff=None)
    ),
    "rotations only": lambda: Trial.of(symmetrized(group="SO(3)")),
    "symmetrized structures": lambda: Trial.of(symmetrized()),
    "symmetrized centers": lambda: Trial.of(centers()),
}


class Scaled(Radial):
    """The same function of positions in a unit that is not dyadic."""

    def __call__(self, data: Any) -> dict[str, Tensor]:
        data = data.clone()
        data.pos = 10 * data.pos
        return super().__call__(data)


def failures(check: Check, trial: Trial, every: int = 1) -> list[Failure]:
    """Of the cases of a check; not all of them where the model is slow."""
    cases = check.cases(trial.contract)
    outcomes = check.outcomes(trial, cases[::every])
    assert any(not one.skipped for one in outcomes)
    return [one.failure for one in outcomes if one.failure is not None]


# the precision ladder looks at both
@pytest.mark.parametrize(
    ("check", "dtype"), [*product(CHECKS, ["float64"]), *product(list(CHECKS)[:5], ["float32"])]
)
@pytest.mark.parametrize("model", HEALTHY)
def test_healthy_models_pass(model: str, check: str, dtype: str) -> None:
    trial = HEALTHY[model]().at(DTYPES[dtype])
    if CHECKS[check].reason_to_skip(trial) != "":
        # nothing else is silent about these
        assert check in ("size extensivity", "locality")
        assert not (trial.contract.extensive and trial.contract.cutoff)
        return
    every = 1 if check in ("vacuity", "negative control") else 13  # odd: either orientation
    assert failures(CHECKS[check], trial, every) == []


# --- mutants


def by_place(data: Any, values: dict[str, Tensor]) -> dict[str, Tensor]:
    first = data.ptr[:-1].clamp(max=max(len(data.pos) - 1, 0))
    filled = (data.ptr.diff() > 0)[:, None]
    return {
        "energy": values["energy"] + 1e-6 * filled * values["field"][first].norm(dim=1)[:, None]
    }


def by_neighbor_in_memory(data: Any, values: dict[str, Tensor]) -> dict[str, Tensor]:
    return {"field": values["field"] + 1e-6 * values["field"].cumsum(0)}


def rows_in_order_of_size(data: Any, values: dict[str, Tensor]) -> dict[str, Tensor]:
    key = data.batch * 1e3 + values["field"].norm(dim=1)
    return {"field": values["field"][key.argsort(stable=True)]}


def at_the_origin(data: Any, values: dict[str, Tensor]) -> dict[str, Tensor]:
    return {"energy": values["energy"] + total(data, 1e-6 * torch.tanh(data.pos[:, :1]))}


def in_a_box(data: Any, values: dict[str, Tensor]) -> dict[str, Tensor]:
    return {"energy": values["energy"] * (data.pos.abs().amax() < 500)}


def differences_in_single_precision(data: Any, values: dict[str, Tensor]) -> dict[str, Tensor]:
    again = data.clone()
    again.pos = data.pos.float()
    return {name: found.to(data.pos.dtype) for name, found in Radial()(again).items()}


def mean_energy(data: Any, values: dict[str, Tensor]) -> dict[str, Tensor]:
    size = data.ptr.diff().clamp(min=1)[:, None]
    return {"energy": values["energy"] / size}


def function_of_the_whole(data: Any, values: dict[str, Tensor]) -> dict[str, Tensor]:
    return {"energy": values["energy"] + 1e-3 * values["energy"].square()}


def with_a_constant(data: Any, values: dict[str, Tensor]) -> dict[str, Tensor]:
    return {"energy": values["energy"] + 1e-3}


def rest_of_an_interaction(data: Any, values: dict[str, Tensor]) -> dict[str, Tensor]:
    squared = pairs(data).square().sum(-1)
    return {
        "energy": values["energy"]
        + total(data, (others(data) * 1e-6 / (1 + squared)).sum(1)[:, None])
    }


def less_the_mean(data: Any, values: dict[str, Tensor]) -> dict[str, Tensor]:
    size = values["field"].norm(dim=1, keepdim=True)
    return {"field": values["field"] * (1 - 1e-3 * mean(data, size))}


def dipole_of_zero(data: Any, values: dict[str, Tensor]) -> dict[str, Tensor]:
    return {"dipole": 0 * values["dipole"]}


def energy_of_one(data: Any, values: dict[str, Tensor]) -> dict[str, Tensor]:
    return {"energy": 0 * values["energy"] + 1}


def turned_by_a_rounded_matrix(data: Any, values: dict[str, Tensor]) -> dict[str, Tensor]:
    """Into a frame and back, but the frame is kept in single precision."""
    c, s = torch.tensor(0.7).cos(), torch.tensor(0.7).sin()
    frame = torch.stack([c, -s, s, c]).reshape(2, 2).to(values["dipole"])
    dipole = values["dipole"].clone()
    dipole[:, :2] = dipole[:, :2] @ frame @ frame.T
    return {"dipole": dipole}


WRONG: dict[str, tuple[str, Callable, type[Failure]]] = {
    "point of index zero": ("permutation", by_place, NotPermuted),
    "neighbor in memory": ("permutation", by_neighbor_in_memory, NotPermuted),
    "rows sorted": ("permutation", rows_in_order_of_size, NotPermuted),
    "origin": ("translation", at_the_origin, NotTranslated),
    "zero far away": ("translation", in_a_box, NotTranslated),
    "mean, declared extensive": ("size extensivity", mean_energy, NotExtensive),
    "not linear": ("size extensivity", function_of_the_whole, NotExtensive),
    "constant offset": ("size extensivity", with_a_constant, NotExtensive),
    "sees beyond the cutoff": ("locality", rest_of_an_interaction, NotLocal),
    "mean over all points": ("locality", less_the_mean, NotLocal),
    "zero": ("vacuity", dipole_of_zero, Vacuous),
    "constant": ("vacuity", energy_of_one, Vacuous),
    "matrix in single precision": ("precision ladder", turned_by_a_rounded_matrix, Imprecise),
    "differences of rounded numbers": (
        "translation",
        differences_in_single_precision,
        NotTranslated,
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_mutants_fail(name: str) -> None:
    check, wrong, kind = WRONG[name]
    found = failures(CHECKS[check], Trial.of(Radial(wrong), contract()), every=9)
    assert found
    for failure in found:
        assert type(failure) is kind
        assert "Data(" in failure.text()


# an error of 1e-6 is rounding in single precision
@pytest.mark.parametrize(
    "name",
    [
        *("rows sorted", "zero far away", "mean, declared extensive", "not linear"),
        *("constant offset", "mean over all points", "zero", "constant"),
    ],
)
def test_mutants_fail_in_single_precision(name: str) -> None:
    check, wrong, kind = WRONG[name]
    trial = Trial.of(Radial(wrong), contract(), dtype=torch.float32)
    assert {type(one) for one in failures(CHECKS[check], trial, every=9)} == {kind}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("frames", [FrameAveraging(), QuadratureFrames(5)], ids=["axes", "rule"])
def test_outputs_less_symmetric_than_their_cloud(frames: Frames, dtype: str) -> None:
    trial = Trial.of(symmetrized(frames=frames), Contract(OUTPUTS), dtype=DTYPES[dtype])
    names = ("pyramid of equal inertia", "cube", "generic")
    clouds = [Cloud(name, turn=(3, -1, 2, 5)) for name in names]
    outcomes = CHECKS["stabilizer"].outcomes(trial, clouds)
    assert [type(one.failure) for one in outcomes[:2]] == [NotStabilized, NotStabilized]
    assert outcomes[2].skipped == "it has no symmetry"


def test_error_of_a_quadrature_does_not_fall() -> None:
    trial = Trial.of(symmetrized(frames=QuadratureFrames(5)), Contract(OUTPUTS))
    found = failures(CHECKS["precision ladder"], trial, every=6)
    assert {type(one) for one in found} == {Imprecise}
    # the same error in either precision, but for what single precision adds
    ratios = [one.details["error in float32"] / one.details["error in float64"] for one in found]
    assert ratios == pytest.approx([1.0] * len(ratios), abs=0.1)


def test_model_of_one_precision_cannot_be_compared() -> None:
    def single(data: Any) -> Tensor:
        return total(data, data.pos @ torch.ones(3, 1))

    check = CHECKS["precision ladder"]
    trial = Trial.of(single, Contract("0e"), dtype=torch.float32)
    outcomes = check.outcomes(trial, check.cases(trial.contract))
    assert all(one.skipped.startswith("the model does not run in float64") for one in outcomes)


# --- what declarations and controls say


def test_vector_declared_as_scalars_passes_for_a_vector() -> None:
    claims = Contract({"energy": "0e", "dipole": "3x0e", "field": per_point("0e + 3x0e")})
    model = Radial(lambda data, v: {"field": torch.cat([v["field"][:, :1], v["field"]], 1)})
    (found,) = failures(CHECKS["negative control"], Trial.of(model, claims))
    assert type(found) is Indifferent
    # found among other scalars too
    assert "three 0e of dipole as a vector; three 0e of field as a vector" in str(found)


def test_vector_of_the_other_parity_passes_as_what_it_is() -> None:
    claims = Contract({"energy": "0e", "dipole": "1e", "field": per_point("1o")})
    (found,) = failures(CHECKS["negative control"], Trial.of(Radial(), claims))
    assert "1e of dipole with the other parity: wrong" in str(found)


@pytest.mark.parametrize("group", ["O(3)", "SO(3)"])
@pytest.mark.parametrize(
    "spec", ["0e", "2x0o + 5x0e", "0e + 2x1o + 2e", "i", "ij=ji", "ijk=-jik=-ikj"]
)
def test_every_part_has_a_wrong_declaration(spec: str, group: str) -> None:
    claims = Contract({"output": spec}, group=group)
    found = list(wrong_declarations(claims))
    columns = {column for wrong in found for column in wrong.columns}
    assert columns == set(range(claims.outputs["output"].representation.dim))
    for wrong in found:
        right = claims.outputs["output"].representation.matrices(wrong.turn.matrix())
        assert (right[wrong.columns][:, wrong.columns] - wrong.matrix).abs().max() > 0.1


@pytest.mark.parametrize("spec", ["0o", "5x0e", "1e", "ij=ji", "ijk=-jik=-ikj"])
def test_true_declarations_have_no_failing_control(spec: str) -> None:
    net = DeepSet(spec)
    trial = Trial.of(Symmetrizer(net, outputs=spec))
    assert failures(CHECKS["negative control"], trial) == []


def test_control_notices_a_test_that_turns_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Structure, "turned", lambda self, matrix, contract: self)
    (found,) = failures(CHECKS["negative control"], Trial.of(Radial(), contract()))
    assert "energy plus 0.1 of its spread times the square of a coordinate" in str(found)


def test_vacuous_parts_are_named() -> None:
    def half(data: Any) -> Tensor:
        dipole = Radial()(data)["dipole"]
        return torch.cat([0 * dipole, dipole, 0 * dipole[:, :1] + 3], 1)

    trial = Trial.of(half, Contract("1e + 1o + 0e"))
    (found,) = failures(CHECKS["vacuity"], trial)
    assert "output 1e, output 0e is the same" in str(found)


def nothing(data: Any) -> Tensor:
    return data.pos.new_full((data.num_graphs, 1), torch.nan)


@pytest.mark.parametrize("check", ["vacuity", "negative control"])
def test_nothing_is_said_of_a_model_without_answers(check: str) -> None:
    trial = Trial.of(nothing, Contract("0e"))
    (outcome,) = CHECKS[check].outcomes(trial, CHECKS[check].cases(trial.contract))
    assert outcome.skipped
    assert outcome.failure is None


def test_a_model_that_raises_on_turned_clouds_fails_on_those_alone() -> None:
    trial = Trial.of(Fastidious(), contract(periodic=False))
    found = Equivariance().outcomes(trial, [Cloud("empty"), Cloud("polygon", 4)])
    assert found[0].failure is None
    assert type(found[1].failure) is Raises
    assert "RuntimeError: out of range" in str(found[1].failure)


def test_what_a_check_itself_raises_is_no_failure_of_the_model() -> None:
    class Faulty(Equivariance):
        def errors(self, trial: Trial, structures: Any) -> Any:
            raise KeyError("a fault of the check")

    with pytest.raises(KeyError):
        Faulty().outcomes(Trial.of(Radial(), contract()), [Cloud("pair")])


def test_laws_that_are_not_claimed_are_silent() -> None:
    none = Trial.of(Radial(), contract(group=None, extensive=False, cutoff=None))
    said = {name: check.reason_to_skip(none) for name, check in CHECKS.items()}
    assert {name for name, reason in said.items() if not reason} == {
        *("permutation", "translation", "vacuity")
    }


@pytest.mark.parametrize("check", ["stabilizer", "size extensivity", "locality"])
def test_crystals_are_skipped(check: str) -> None:
    trial = Trial.of(Radial(), contract())
    (outcome,) = CHECKS[check].outcomes(trial, [Cloud("crystal")])
    assert outcome.skipped == "periodic"


# --- ties


class Nearest:
    """The distance to the nearest neighbor but one, of which the first is taken."""

    def __init__(self, place: float = 0.0) -> None:
        self.place = place

    def __call__(self, data: Any) -> Tensor:
        distances = torch.where(others(data), pairs(data).norm(dim=-1), 1e3)
        nearest = distances.argsort(dim=1, stable=True)[:, :1]
        vectors = pairs(data)[torch.arange(len(nearest))[:, None], nearest]
        first = torch.arange(len(nearest)) - data.ptr[data.batch] == 0
        return vectors.sum(1) * (nearest.sum(1, keepdim=True) > -1) + self.place * first[:, None]


@pytest.mark.parametrize("check", ["permutation", "translation"])
def test_choice_among_ties_is_excused_without_smoothness(check: str) -> None:
    tied, apart = Cloud("cube"), Cloud("equal inertia", number=6, seed=2)
    outputs = per_point("1o")
    for smoothness, place in ((None, 0.0), (0, 0.0), (None, 1e-3)):
        trial = Trial.of(Nearest(place), Contract(outputs, smoothness=smoothness))
        at_tie, elsewhere = CHECKS[check].outcomes(trial, [tied, apart])
        if check == "permutation":
            assert (at_tie.failure is not None) == (smoothness == 0)
            assert (elsewhere.failure is not None) == (place > 0)
        else:
            assert elsewhere.failure is None


# --- point groups

ORDERS = {
    **{"tetrahedron": 24, "diamond shell": 24, "octahedron": 48, "cube": 48, "fcc shell": 48},
    **{"bcc shells": 48, "icosahedron": 120, "dodecahedron": 120, "pyramid": 8, "plane": 2},
    **{"pyramid off by 1e-12": 8, "left helix": 2, "generic": 1, "equal inertia": 1},
    **{"polygon and center": 20, "prism": 20},
}


@pytest.mark.parametrize("name", ORDERS)
def test_point_groups_are_groups_of_known_order(name: str) -> None:
    structure = Setting().structure(Cloud(name, 5, 1, turn=(3, -1, 2, 5)))
    matrices, permutations = point_group(structure)
    assert len(matrices) == ORDERS[name]
    points = structure.positions - structure.positions.mean(0)
    torch.testing.assert_close(points[permutations], points @ matrices.mT, rtol=0, atol=1e-14)
    # g h maps as h and then g do, and is in the group
    products = torch.einsum("gij,hjk->ghik", matrices, matrices)
    apart = (products[:, :, None] - matrices).abs().amax((-2, -1))
    distance, element = apart.min(-1)
    assert distance.max() < 1e-13
    for g, h in ((0, -1), (-1, 0), (len(matrices) // 2, len(matrices) // 3)):
        composed = permutations[g][permutations[h]]
        assert torch.equal(composed, permutations[element[g, h]])


@pytest.mark.parametrize("number", [3, 4, 5, 6, 7])
def test_point_groups_of_polygons(number: int) -> None:
    structure = Setting().structure(Cloud("polygon", number))
    assert len(point_group(structure)[0]) == 4 * number


def test_species_and_copies_break_symmetry() -> None:
    cube = Setting().structure(Cloud("cube"))
    marked = torch.tensor([1] + 7 * [0])
    # a threefold axis through the corner, and three mirrors
    assert len(point_group(replace(cube, species=marked))[0]) == 6
    doubled = cube.at(torch.cat([cube.positions, cube.positions[:1]]))
    matrices, permutations = point_group(doubled)
    assert len(matrices) == 6
    assert {int(row[0]) for row in permutations} == {0}
    everywhere = cube.at(cube.positions.repeat(2, 1))
    matrices, permutations = point_group(everywhere)
    assert len(matrices) == 48
    points = everywhere.positions
    torch.testing.assert_close(points[permutations], points @ matrices.mT, rtol=0, atol=1e-14)


def test_groups_without_end_are_sampled() -> None:
    lines = {"line": 26, "pair": 52, "coincident": 13, "atom": 13, "empty": 13}
    for name, order in lines.items():
        structure = Setting().structure(Cloud(name, 5, 1, turn=(1, -2, 4, 2)))
        assert len(point_group(structure)[0]) == order


@pytest.mark.parametrize("name", SYMMETRIC)
def test_symmetric_strata_are(name: str) -> None:
    trial = HEALTHY["rotations only"]()
    structure = trial.setting.structure(Cloud(name, 5, 1, turn=(3, -1, 2, 5)))
    whole = point_group(structure)[0]
    assert len(whole) > 1
    proper = symmetries(trial, structure)[0]
    torch.testing.assert_close(torch.linalg.det(proper), torch.ones(len(proper)).double())
    assert len(proper) == (torch.linalg.det(whole) > 0).sum()


@pytest.mark.parametrize("name", ["icosahedron", "pyramid of equal inertia", "prism", "line"])
def test_rounded_clouds_regain_their_symmetry(name: str) -> None:
    exact = Setting().structure(Cloud(name, 5, 1, turn=(3, -1, 2, 5)))
    coarse = exact.rounded(torch.float32)
    whole = len(point_group(exact)[0])
    assert len(point_group(coarse, 1e-14)[0]) < whole
    again = symmetrized_cloud(coarse, 1e-6)
    assert len(point_group(again, 2e-15)[0]) == whole
    # as far as coordinates of order one were rounded
    torch.testing.assert_close(again.positions, coarse.positions, rtol=0, atol=2e-7)
