"""Periodic structures: cells turn, frames see periods, environments see images."""

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from symmetrize import (
    HierarchicalFrames,
    Symmetrizer,
)
from tests.common.laws import (
    GROUPS,
    MATRICES,
    PRESETS,
    SPEC,
    configured,
    elements,
    inputs_error,
)
from tests.common.networks import Counter, DeepSet, MessagePassing, periodic_edges
from tests.common.strata import (
    CASES,
    CUTOFF,
    TURNS,
    turn,
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
