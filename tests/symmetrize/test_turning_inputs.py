"""Inputs that turn with the cloud: fields, velocities, tensors, and what does not turn."""

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from tests.common.laws import (
    MATRICES,
    SPEC,
    configured,
    draw,
    elements,
    groups,
    inputs_error,
    scopes,
)
from tests.common.networks import DeepSet
from tests.common.strata import (
    CASES,
    CUTOFF,
    TURNS,
    Shape,
    turn,
)

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


# on an atom, a pair and a line, what the cloud leaves open the input must settle
STRATA = ("atom", "pair", "line", "plane", "generic", "coincident")


@pytest.mark.parametrize(("whose", "kind", "shape"), FIELDS.values(), ids=FIELDS)
@scopes
def test_inputs_turn_with_the_cloud(
    scope: str, whose: str, kind: str, shape: tuple[int, ...]
) -> None:
    fade = CUTOFF if scope == "center" else None
    net = DeepSet(SPEC, fade=fade, **{f"{whose}s": ["input"]})
    model = configured(scope, "O(3)", outputs=SPEC, net=net, inputs={"pos": "1o", "input": kind})

    def error(*strata: str) -> float:
        items = []
        for points in (CASES[stratum].points() for stratum in strata):
            rows = shape[0] if shape[0] > 0 else len(points)
            values = draw(rows, *shape[1:])
            if kind == "ij=ji":
                values = (values + values.mT) / 2
            items += [Data(pos=points, input=strength * values) for strength in (1.0, 0.1)]
        batch = Batch.from_data_list(items)
        return inputs_error(model, batch, SPEC, {"input": kind}, MATRICES)

    # one batch of all takes a fifth of the time; one by one only to name what fails
    if not error(*STRATA) <= 1e-12:
        failing = {stratum: found for stratum in STRATA if not (found := error(stratum)) <= 1e-12}
        assert failing == {}
        pytest.fail("a batch of all strata is not exact, though each by itself is")


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
