"""What users hand over in other forms: cells as ase gives them, arrays, species by other names."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data
from torch_geometric.data.storage import GlobalStorage

from backbones import PET
from symmetrize import (
    HierarchicalFrames,
    QuadratureFrames,
    Symmetrizer,
    forces_and_stress,
    neighbor_list,
    per_point,
    periods,
)
from symmetrize.data.boundary import species_of
from symmetrize.data.layout import layout
from symmetrize.network.undeclared import look_like_vectors
from symmetrize.representation import as_representation

# Shapes are checked in other tests: here they would take most of the time
pytestmark = pytest.mark.usefixtures("unchecked_shapes")


def points(size: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(size, 3, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def cubes(data: Data) -> Tensor:
    """Sums of cubes of coordinates: not even rotation covariant, and smooth."""
    rows = data.pos.pow(3).sum(1, keepdim=True)
    return rows.new_zeros(data.num_graphs, 1).index_add(0, data.batch, rows)


TURN = torch.linalg.qr(points(3, 5))[0]
CUBE = 4.0 * torch.eye(3, dtype=torch.float64)
SKEWED = torch.tensor([[4.0, 0, 0], [1, 4, 0], [0.5, -1, 5]], dtype=torch.float64)

# --- periods

CELLS: dict[str, tuple[Any, Any, list[bool]]] = {
    "tensor": (CUBE[None], None, [True] * 3),
    "array": (CUBE.numpy(), True, [True] * 3),
    "list": (CUBE.tolist(), [True, True, False], [True, True, False]),
    "one truth value": (CUBE, False, [False] * 3),
    "lengths and angles": ([4.0, 4.0, 4.0, 90.0, 90.0, 90.0], np.array([True] * 3), [True] * 3),
    "lengths": (np.array([4.0, 4.0, 4.0]), None, [True] * 3),
    "integers": ((4 * np.eye(3)).astype(int), np.ones(3, dtype=int), [True] * 3),
    "nine numbers": (CUBE.flatten().tolist(), None, [True] * 3),
    "nine numbers in a row": (CUBE.reshape(1, 9), None, [True] * 3),
    "a molecule in a box of zeros": (np.zeros((3, 3)), True, [False] * 3),
}


@pytest.mark.parametrize(("cell", "pbc", "expected"), CELLS.values(), ids=CELLS)
def test_cells_and_periods_are_read_as_ase_gives_them(
    cell: Any, pbc: Any, expected: list[bool]
) -> None:
    data = Data(pos=points(2), cell=cell)
    if pbc is not None:
        data.pbc = pbc
    found = periods(data)
    assert found is not None
    assert found.pbc.tolist() == [expected]
    wanted = CUBE if any(expected) or pbc is False else 0 * CUBE
    torch.testing.assert_close(found.cell[0], wanted, atol=0, rtol=0)
    # in a batch, too, where collation leaves arrays in lists
    several = Batch.from_data_list([data, data.clone()])
    both = periods(several)
    assert both is not None
    assert both.pbc.tolist() == [expected] * 2
    model = Symmetrizer(cubes, "0e", frames=HierarchicalFrames(6.0, preset="lean"))
    torch.testing.assert_close(model(several)[:1], model(data), atol=1e-13, rtol=0)


def test_lengths_and_angles_are_those_of_the_cell() -> None:
    lengths = SKEWED.norm(dim=1)
    unit = SKEWED / lengths[:, None]
    cosines = [unit[1] @ unit[2], unit[0] @ unit[2], unit[0] @ unit[1]]
    angles = torch.rad2deg(torch.acos(torch.stack(cosines)))
    found = periods(Data(pos=points(1), cell=torch.cat([lengths, angles])))
    assert found is not None
    # the same metric: the cell itself but for its place in space
    torch.testing.assert_close(found.cell[0] @ found.cell[0].T, SKEWED @ SKEWED.T)


BAD_PERIODS: dict[str, tuple[dict[str, Any], str]] = {
    "no cell": ({"pbc": True}, r"`pbc` is \[\[True, True, True\]\] but the data has no `cell`"),
    "in a plane": (
        {"cell": [[1.0, 0, 0], [0, 1, 0], [1, 1, 0]]},
        r"periods of structure 0, rows \[0, 1, 2\].*lie in a plane.*say in `pbc`",
    ),
    "impossible angles": ({"cell": [1.0, 1, 1, 90, 90, 200]}, "which are those of no three"),
    "text": ({"cell": "cubic"}, "`cell` is a str that is no array of numbers"),
    "shape": ({"cell": np.ones((2, 2))}, r"`cell` has shape \(2, 2\) but must hold three vectors"),
    "numbers": ({"cell": CUBE, "pbc": [0.5, 1, 1]}, "must say True or False"),
    "letters": ({"cell": CUBE, "pbc": "TTF"}, "`pbc` is TTF but must say True or False"),
    "too many": ({"cell": CUBE, "pbc": [True] * 4}, r"`pbc` has shape \(4,\).*three values"),
}


@pytest.mark.parametrize(("given", "message"), BAD_PERIODS.values(), ids=BAD_PERIODS)
def test_what_is_no_period_is_refused_in_words(given: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=f"(?s){message}"):
        Symmetrizer(cubes, "0e", frames=HierarchicalFrames(6.0))(Data(pos=points(2), **given))


def test_neighbor_lists_and_networks_have_the_same_rule() -> None:
    """A molecule with a zero cell and ``pbc`` true, and a slab whose vacuum row is zero."""
    pos = points(4)
    finite = neighbor_list(pos, 3.0)
    zeros, always = torch.zeros(1, 3, 3).double(), torch.ones(1, 3, dtype=torch.bool)
    found = neighbor_list(pos, 3.0, None, zeros, always)
    assert torch.equal(found.center, finite.center)
    slab = CUBE.clone()
    slab[2] = 0.0
    two = torch.tensor([[True, True, False]])
    with_rule = neighbor_list(pos, 3.0, None, slab[None], always)
    assert torch.equal(with_rule.shift, neighbor_list(pos, 3.0, None, slab[None], two).shift)
    net = PET("0e", [1, 6], cutoff=3.0, width=8, heads=2, layers=1, rounds=1).double()
    molecule = Data(pos=pos, z=torch.tensor([1, 6, 1, 1]))
    in_a_box = Data(pos=pos, z=molecule.z, cell=np.zeros((3, 3)), pbc=np.array([True] * 3))
    model = Symmetrizer(net)
    torch.testing.assert_close(model(in_a_box), model(molecule), atol=1e-13, rtol=0)
    assert forces_and_stress(model, in_a_box).stress.isnan().all()


# --- positions, species, inputs


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(lambda pos: pos.numpy(), id="array"),
        pytest.param(lambda pos: pos.float().numpy(), id="array of float32"),
        pytest.param(lambda pos: pos.tolist(), id="list"),
    ],
)
def test_positions_may_be_arrays_and_lists(form: Callable[[Tensor], Any]) -> None:
    items = [Data(pos=form(points(n, n))) for n in (3, 5)]
    expected = Batch.from_data_list([Data(pos=points(n, n)) for n in (3, 5)])
    model = Symmetrizer(cubes, "0e", frames=HierarchicalFrames(preset="lean"))
    wanted = model(expected)
    found = torch.cat([model(one) for one in items])
    own = getattr(items[0].pos, "dtype", np.float32)
    assert found.dtype == (torch.float64 if own == np.float64 else torch.float32)
    # a few last digits of sums of cubes
    digits = 1e-12 if own == np.float64 else 1e-4
    torch.testing.assert_close(found.double(), wanted, atol=digits, rtol=digits)
    if not isinstance(items[0].pos, list):
        torch.testing.assert_close(model(Batch.from_data_list(items)), found)
    with pytest.raises(TypeError, match="array of int64 but must be of float32"):
        model(Data(pos=np.zeros((2, 3), dtype=int)))


@pytest.mark.parametrize("name", ["z", "atomic_numbers", "numbers", "species"])
@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.int16, torch.uint8])
def test_species_by_any_name_and_integer(name: str, dtype: torch.dtype) -> None:
    kinds = torch.tensor([8, 1, 1])
    scores = HierarchicalFrames(species_scores={1: 0.01})
    data = Data(pos=points(3))
    plain = Symmetrizer(cubes, "0e", frames=scores)
    reference = plain.ensemble(Data(pos=points(3), z=kinds))
    for form in (kinds.to(dtype), kinds.to(dtype)[:, None], kinds.to(dtype).numpy()):
        data[name] = form
        assert torch.equal(species_of(data), kinds)
        found = plain.ensemble(data)
        assert torch.equal(found.rotations, reference.rotations)
    without = Symmetrizer(cubes, "0e").ensemble(Data(pos=points(3)))
    assert len(without) != len(reference) or not torch.equal(without.weights, reference.weights)


def test_scores_of_species_without_species_are_refused() -> None:
    model = Symmetrizer(cubes, "0e", frames=HierarchicalFrames(species_scores={1: 0.01}))
    for given in ({}, {"z": torch.ones(3)}, {"z": torch.ones(2).long()}):
        with pytest.raises(ValueError, match=r"(?s)`species_scores`.*no species.*data.z"):
            model(Data(pos=points(3), **given))


@pytest.mark.parametrize("kind", ["1o", "ij", "2e"])
def test_an_input_of_one_structure_needs_no_dimension_of_structures(kind: str) -> None:
    shape = as_representation(kind).value_shape
    values = [torch.randn(shape, dtype=torch.float64), torch.randn(shape, dtype=torch.float64)]

    def net(data: Data) -> Tensor:
        assert data.field.shape == (data.num_graphs, *shape)
        return cubes(data) * (1 + data.field.flatten(1)[:, :2].sum(1, keepdim=True))

    model = Symmetrizer(net, "0e", inputs={"field": kind})
    rows = [model(Data(pos=points(4), field=value[None])) for value in values]
    for value, row in zip(values, rows, strict=True):
        for form in (value, value.numpy(), value.tolist()):
            torch.testing.assert_close(model(Data(pos=points(4), field=form)), row)
        if kind == "ij":  # flat, as irreps are
            flat = Symmetrizer(lambda d: cubes(d) * d.field.shape[-1], "0e", inputs={"field": kind})
            assert flat(Data(pos=points(4), field=value.flatten())).isfinite().all()
    # a structure without points has it as well
    assert model(Data(pos=points(0), field=values[0])).shape == (1, 1)
    both = Batch.from_data_list([Data(pos=points(4), field=value) for value in values])
    torch.testing.assert_close(model(both), torch.cat(rows), atol=1e-13, rtol=0)


def test_inputs_are_stacked_where_their_class_stacks_them() -> None:
    class Stacked(Data):
        def __cat_dim__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
            return None if key == "field" else super().__cat_dim__(key, value, *args, **kwargs)

    def net(data: Data) -> Tensor:
        assert data.field.shape == (data.num_graphs, 3)
        return cubes(data) * data.field[:, :1]

    one = Stacked(pos=points(4), field=torch.tensor([1.0, 2, 3]).double())
    model = Symmetrizer(net, "0e", inputs={"field": "1o"})
    together = model(Batch.from_data_list([one, one]))
    torch.testing.assert_close(model(one), together[:1], atol=1e-13, rtol=0)


def test_numbers_of_structures_are_no_vector_of_them() -> None:
    """Of three structures, there are three."""
    batch = Batch.from_data_list([Data(pos=points(4), charge=1.0)] * 3)
    with pytest.raises(ValueError, match=r"'charge' has shape \(3,\) but is declared as 1o"):
        Symmetrizer(cubes, "0e", inputs={"charge": "1o"})(batch)


def test_positions_in_other_orders_of_bytes_and_sparse_ones() -> None:
    swapped = points(4).numpy().astype(">f8")
    model = Symmetrizer(cubes, "0e")
    torch.testing.assert_close(model(Data(pos=swapped)), model(Data(pos=points(4))))
    with pytest.raises(TypeError, match=r"sparse tensor but must be dense.*to_dense"):
        model(Data(pos=points(4).to_sparse()))


def test_lists_of_data_and_atoms_are_told_what_to_do() -> None:
    model = Symmetrizer(cubes, "0e")
    with pytest.raises(TypeError, match=r"list.*Batch.from_data_list"):
        model([Data(pos=points(2)), Data(pos=points(3))])
    ase = pytest.importorskip("ase")
    with pytest.raises(TypeError, match=r"Atoms.*from_ase\(atoms\)"):
        model(ase.Atoms("H2", positions=[[0, 0, 0], [0, 0, 1]]))
    with pytest.raises(ValueError, match=r"no positions `pos`.*set data.pos to data.coords"):
        model(Data(coords=points(2)))


# --- positions beside pos


def pocketed(size: int, others: int, seed: int = 0) -> Data:
    return Data(pos=points(size, seed), pos_pocket=2 * points(others, seed + 1))


def of_pocket(data: Data) -> Tensor:
    """Of differences between ligand and pocket, so that translation is not the network's."""
    whose = data.get("pos_pocket_batch", torch.zeros(len(data.pos_pocket)).long())
    close = data.pos[:, None] - data.pos_pocket[None]
    same = data.batch[:, None] == whose[None]
    values = (close.pow(3).sum(-1) * torch.exp(-close.square().sum(-1) / 9) * same).sum(1)
    return values.new_zeros(data.num_graphs).index_add(0, data.batch, values)[:, None]


@pytest.mark.parametrize(("size", "others"), [(5, 4), (1, 3), (2, 1), (1, 1), (1, 0), (0, 3)])
def test_further_positions_turn_and_move_along(size: int, others: int) -> None:
    items = [pocketed(size, others, seed) for seed in (0, 7)]
    model = Symmetrizer(of_pocket, "0e", positions=["pos_pocket"])
    data = Batch.from_data_list(items, follow_batch=["pos_pocket"])
    before = model(data)
    assert size * others <= 1 or before.abs().min() > 1e-6
    moved = data.clone()
    shift = torch.tensor([8.0, -4.0, 2.0], dtype=torch.float64)
    for name in ("pos", "pos_pocket"):
        moved[name] = data[name] @ TURN.T + shift
    torch.testing.assert_close(model(moved), before, atol=1e-12, rtol=0)
    assert model.contract.positions == ("pos_pocket",)


def test_declared_as_vectors_they_would_break_translation() -> None:
    """The mutant: what positions were before they could be declared."""
    data = Batch.from_data_list([pocketed(5, 4)], follow_batch=["pos_pocket"])
    model = Symmetrizer(of_pocket, "0e", inputs={"pos_pocket": "1o"})
    moved = data.clone()
    for name in ("pos", "pos_pocket"):
        moved[name] = data[name] + 4.0
    assert (model(moved) - model(data)).abs().max() > 1e-3


def test_forces_know_of_further_positions() -> None:
    data = Batch.from_data_list([pocketed(3, 2)], follow_batch=["pos_pocket"])
    model = Symmetrizer(of_pocket, "0e", positions=["pos_pocket"])
    virial = forces_and_stress(model, data).virial
    step = 1e-5
    for k in range(3):
        energies = []
        for sign in (1, -1):
            strain = torch.eye(3, dtype=torch.float64)
            strain[k, k] += sign * step
            strained = data.clone()
            for name in ("pos", "pos_pocket"):
                strained[name] = data[name] @ strain
            energies.append(model(strained))
        slope = (energies[0] - energies[1]) / (2 * step)
        # central differences: step^2 times a third derivative of order 100
        torch.testing.assert_close(virial[:, k, k], -slope[:, 0], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"positions": "pos_pocket"}, r"`positions` is 'pos_pocket' but must be a list"),
        ({"positions": ["pos"]}, "'pos', which are positions without being named"),
        (
            {"positions": ["a"], "scope": "center", "frames": HierarchicalFrames(3.0)},
            r"only its environment: put these points into `pos`",
        ),
    ],
)
def test_positions_are_declared_by_name(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Symmetrizer(of_pocket, "0e", **options)


def test_missing_positions_are_named() -> None:
    model = Symmetrizer(of_pocket, "0e", positions=["pos_pocket"])
    with pytest.raises(ValueError, match="no 'pos_pocket', which `positions` declares"):
        model(Data(pos=points(3)))


# --- what looks like vectors and is not declared


def with_velocities(data: Data) -> Tensor:
    rows = (data.pos * data.vel).sum(1, keepdim=True).square() + data.vel[:, :1]
    return cubes(data) + rows.new_zeros(data.num_graphs, 1).index_add(0, data.batch, rows)


@pytest.mark.parametrize("how", ["attribute", "item", "get"])
def test_vectors_that_are_read_but_not_declared_are_named_once(how: str) -> None:
    read: dict[str, Callable[[Data], Tensor]] = {
        "attribute": lambda data: data.vel,
        "item": lambda data: data["vel"],
        "get": lambda data: data.get("vel"),
    }
    model = Symmetrizer(lambda data: cubes(data) * read[how](data).sum(), "0e")
    data = Data(pos=points(4), vel=points(4), forces=points(4))
    with pytest.warns(UserWarning, match=r"reads 'vel'.*inputs=\{'vel': '1o'\}") as caught:
        model(data)
    assert [one.filename for one in caught] == [__file__]  # at the line of the user
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model(data)


@pytest.mark.parametrize(
    "inputs", [{"vel": "1o"}, {"vel": None}, {"vel": "3x0e"}], ids=["turns", "not", "scalars"]
)
def test_what_is_declared_is_not_warned_of(inputs: dict[str, Any]) -> None:
    Symmetrizer(with_velocities, "0e", inputs=inputs)(Data(pos=points(4), vel=points(4)))


WAYS_AROUND: dict[str, Callable[[Data], Any]] = {
    "a copy": lambda data: data.clone().to("cpu").vel,
    "a dict": lambda data: data.to_dict()["vel"],
    "structures": lambda data: [one.vel for one in data.to_data_list()],
}


@pytest.mark.parametrize("how", WAYS_AROUND)
def test_what_is_read_by_another_way_is_warned_of(how: str) -> None:
    def net(data: Data) -> Tensor:
        WAYS_AROUND[how](data)
        return cubes(data)

    with pytest.warns(UserWarning, match="reads 'vel'"):
        Symmetrizer(net, "0e")(Data(pos=points(4), vel=points(4)))


LOOKS: dict[str, tuple[Callable[[], Tensor], str | None]] = {
    "channels of vectors": (lambda: points(20).reshape(4, 5, 3), "1o"),
    "a tensor": (lambda: torch.eye(3)[None], "ij"),
    "spins that point up": (lambda: torch.tensor([[0.0, 0, 1]]).repeat(4, 1), "1o"),
    "shifts of zero": (lambda: torch.zeros(4, 3), None),
    "classes": (lambda: torch.eye(3)[torch.tensor([0, 2, 2, 1])], None),
    "numbers": (lambda: torch.ones(4), None),
}


@pytest.mark.parametrize(("make", "spec"), LOOKS.values(), ids=LOOKS)
def test_what_looks_like_vectors(make: Callable[[], Tensor], spec: str | None) -> None:
    data = Data(pos=points(4), feature=make())
    found = look_like_vectors(data, layout(data), {"pos"})
    assert found == ({} if spec is None else {"feature": spec})


def test_data_that_a_network_keeps_is_as_any_other() -> None:
    kept: list[Any] = []

    def net(data: Data) -> Tensor:
        kept.extend([data.clone(), data.to_dict(), *data.to_data_list()])
        return cubes(data)

    Symmetrizer(net, "0e")(Data(pos=points(4), vel=points(4)))
    clone, plain, *_ = pickle.loads(pickle.dumps(kept))
    assert type(clone._store) is GlobalStorage
    assert type(plain) is dict


def test_targets_that_no_network_reads_are_not_warned_of() -> None:
    """Forces to learn from stand in the data; copying the data is no reading either."""

    def net(data: Data) -> Tensor:
        data.to_data_list()
        return cubes(data.clone().to("cpu"))

    Symmetrizer(net, "0e")(Data(pos=points(4), forces=points(4), dipole=points(1)))


# --- forces that are none


class Cut(nn.Module):
    """A network with weights of its own whose way from the positions is cut."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.linear = nn.Linear(3, 1).double()

    def forward(self, data: Data) -> Tensor:
        pos = data.pos
        if self.how == "detach":
            pos = pos.detach()
        elif self.how == "a leaf of its own":
            pos = pos.detach().requires_grad_()
        elif self.how == "other positions in the data":
            data.pos = pos = pos.detach()
        elif self.how == "numpy":
            pos = torch.from_numpy(np.square(pos.detach().numpy()))
        with torch.set_grad_enabled(self.how != "no_grad"):
            rows = self.linear(pos).sin()
        return rows.new_zeros(data.num_graphs, 1).index_add(0, data.batch, rows)


@pytest.mark.parametrize("scope", ["structure", "center"])
@pytest.mark.parametrize(
    "how", ["detach", "a leaf of its own", "other positions in the data", "numpy", "no_grad"]
)
def test_a_graph_that_is_cut_has_no_forces(how: str, scope: Any) -> None:
    model = Symmetrizer(Cut(how), "0e", frames=HierarchicalFrames(6.0), scope=scope)
    data = Data(pos=points(4))
    assert model(data).isfinite().all()  # without gradients it is as good as any
    message = r"(?s)gradients, but the graph of the output.*torch.no_grad\(\), .detach\(\)"
    with pytest.raises(ValueError, match=message):
        forces_and_stress(model, data)
    data.pos.requires_grad_()
    with pytest.raises(ValueError, match=message):
        model(data)
    with torch.no_grad():
        model(data)


def test_positions_that_are_changed_in_the_data_are_not_cut() -> None:
    def net(data: Data) -> Tensor:
        data.pos.mul_(2.0)
        energies = cubes(data)
        data.pos = data.pos.detach()
        return energies

    def times_two(data: Data) -> Tensor:
        return 8.0 * cubes(data)

    data = Data(pos=points(4).requires_grad_())
    ours, theirs = (
        torch.autograd.grad(Symmetrizer(each, "0e")(data).sum(), data.pos)[0]
        for each in (net, times_two)
    )
    torch.testing.assert_close(ours, theirs, atol=0, rtol=1e-12)


@pytest.mark.parametrize("with_gradients", [False, True])
def test_transforms_over_parameters_are_no_cuts(with_gradients: bool) -> None:
    data = Data(pos=points(4).requires_grad_(with_gradients))
    models = [Symmetrizer(Cut("not"), "0e") for _ in range(3)]
    parameters, _ = torch.func.stack_module_state(models)

    def energy(values: dict[str, Any]) -> Tensor:
        return torch.func.functional_call(Symmetrizer(models[0].net, "0e"), values, (data,)).sum()

    expected = torch.stack([model(data).sum() for model in models])
    torch.testing.assert_close(torch.func.vmap(energy)(parameters), expected)
    slopes = torch.func.vmap(torch.func.grad(energy))(parameters)
    assert all(slope.isfinite().all() for slope in slopes.values())


def test_one_output_of_several_that_is_cut_is_named() -> None:
    def net(data: Data) -> dict[str, Tensor]:
        return {"energy": cubes(data), "charge": cubes(data).detach()}

    model = Symmetrizer(net, {"energy": "0e", "charge": "0e"})
    data = Data(pos=points(4).requires_grad_())
    with pytest.raises(ValueError, match="the graph of the output 'charge'"):
        model(data)
    # both ways out
    Symmetrizer(net, {"energy": "0e", "charge": None})(data)


def test_empty_structures_and_single_points_may_be_constant() -> None:
    def net(data: Data) -> Tensor:
        if data.num_graphs == len(data.pos) or len(data.pos) == 0:
            return data.pos.new_zeros(data.num_graphs, 1)
        return cubes(data)

    model = Symmetrizer(net, "0e")
    for size in (0, 1):
        model(Data(pos=points(size).requires_grad_()))
    healthy = Data(pos=points(4).requires_grad_())
    (slope,) = torch.autograd.grad(model(healthy).sum(), healthy.pos)
    assert slope.abs().max() > 1e-3


@pytest.mark.filterwarnings("default:.*are declared side by side.*:UserWarning")
def test_an_energy_and_forces_of_its_own_are_warned_of() -> None:
    outputs = {"energy": "0e", "forces": per_point("1o")}
    with pytest.warns(UserWarning, match=r"'energy' and \['forces'\].*forces_and_stress\(model"):
        Symmetrizer(cubes, outputs)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Symmetrizer(cubes, {"energy": "0e", "forces": None})
        Symmetrizer(cubes, {"forces": per_point("1o")})
        # the same frames for all clouds: averages and derivatives commute
        Symmetrizer(cubes, outputs, frames=QuadratureFrames(1))


def test_separate_averages_are_no_longer_derivatives() -> None:
    """What the warning is about: by how much, and that the one line mends it."""

    def net(data: Data) -> dict[str, Tensor]:
        pos = data.pos.detach().requires_grad_()
        with torch.enable_grad():
            rows = pos.pow(3).sum(1, keepdim=True).sin()
            (slope,) = torch.autograd.grad(rows.sum(), pos)
        own = data.pos.pow(3).sum(1, keepdim=True).sin()
        energy = own.new_zeros(data.num_graphs, 1).index_add(0, data.batch, own)
        return {"energy": energy, "forces": -slope}

    data = Data(pos=points(4))
    apart = Symmetrizer(net, {"energy": "0e", "forces": per_point("1o")})(data)["forces"]
    model = Symmetrizer(net, {"energy": "0e", "forces": None})
    together = forces_and_stress(model, data).forces
    assert (apart - together).norm() > 0.01 * together.norm()

    def torque(forces: Tensor) -> Tensor:
        return torch.linalg.cross(data.pos, forces).sum(0)

    assert torque(apart).norm() > 1e-3
    assert torque(together).norm() < 1e-12


# --- compilation


def test_a_compiled_wrapper_equals_the_wrapper() -> None:
    """The wrapper is left alone by the compiler, and so is what it does not understand."""
    model = Symmetrizer(cubes, "0e")
    compiled = torch.compile(model)
    for size in (4, 6, 0, 1):
        data = Data(pos=points(size))
        torch.testing.assert_close(compiled(data), model(data), atol=0, rtol=0)
    data = Data(pos=points(4).requires_grad_())
    ours, theirs = (torch.autograd.grad(m(data).sum(), data.pos)[0] for m in (model, compiled))
    assert torch.equal(ours, theirs)
