"""However a model is called, it is the same function of structures: each way beside a plain one."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch_geometric.typing
from torch import Tensor, nn
from torch_geometric.data import Batch
from torch_geometric.nn import radius_graph

from backbones.adapters import Call, connect
from equivariance_tests.clouds import Cloud, Structure
from equivariance_tests.model.calculators import SHAPES, OfAtoms
from equivariance_tests.model.calls import as_network
from equivariance_tests.model.subject import Subject
from symmetrize import Contract, per_point

# A ragged batch with an empty structure in its middle
CLOUDS = [Cloud("generic", 4), Cloud("empty"), Cloud("atom"), Cloud("polygon", 5)]
SCALAR, FIELD = Contract("0e"), Contract(per_point("1o"))


def moment(positions: Tensor) -> Tensor:
    """Of one structure, as every model below."""
    return positions.square().sum().tanh()


def each(found: Tensor, structures: list[Structure], function: Callable[[Tensor], Tensor]) -> None:
    """Every row is what the function says of that structure alone."""
    rows = [function(one.positions).reshape(-1, found.size(1)) for one in structures]
    torch.testing.assert_close(found, torch.cat(rows))


def of_data(data: Batch) -> Tensor:
    squares = data.pos.square().sum(1)
    return squares.new_zeros(data.num_graphs).index_add(0, data.batch, squares).tanh()


def of_attributes(pos: Tensor, batch: Tensor, num_graphs: int) -> Tensor:
    return pos.new_zeros(num_graphs).index_add(0, batch, pos.square().sum(1)).tanh()


def of_clouds(clouds: Tensor) -> Tensor:
    return clouds.square().sum((1, 2)).tanh()[:, None]


def of_masked_clouds(clouds: Tensor, exists: Tensor) -> Tensor:
    return (clouds.square().sum(2) * exists).sum(1).tanh()[:, None]


class Module(nn.Module):
    """Says what it takes in ``forward``."""

    def forward(self, pos: Tensor, batch: Tensor, num_graphs: int) -> Tensor:
        return of_attributes(pos, batch, num_graphs)


@pytest.mark.parametrize(
    ("model", "call"),
    [
        pytest.param(of_data, None, id="data"),
        pytest.param(of_attributes, None, id="attributes-by-name"),
        pytest.param(Module(), None, id="module-with-attributes"),
        pytest.param(
            lambda p, b, n: of_attributes(p, b, n), "pos, batch, num_graphs", id="attributes-said"
        ),
        pytest.param(lambda positions: moment(positions), None, id="positions-by-name"),
        pytest.param(lambda cloud: moment(cloud), "n c -> o", id="positions-said"),
        pytest.param(of_clouds, "b n c -> b o", id="dense"),
        pytest.param(lambda clouds: of_clouds(clouds.mT), "b c n -> b o", id="dense-transposed"),
        pytest.param(of_masked_clouds, "b n c, b n -> b o", id="dense-with-mask"),
    ],
)
def test_every_convention_gives_one_row_for_each_structure(model: Any, call: str | None) -> None:
    subject = Subject.of(model, SCALAR, call=call)
    structures = subject.structures(CLOUDS)
    each(subject(structures).values["output"], structures, moment)


@pytest.mark.parametrize(
    ("model", "call"),
    [
        pytest.param(lambda positions: positions.tanh(), None, id="positions"),
        pytest.param(lambda clouds: clouds.tanh(), "b n c -> b n o", id="dense"),
        pytest.param(lambda pos: pos.tanh(), None, id="attribute"),
    ],
)
def test_outputs_of_points_have_one_row_for_each_point(model: Any, call: str | None) -> None:
    subject = Subject.of(model, FIELD, call=call)
    structures = subject.structures(CLOUDS)
    each(subject(structures).values["output"], structures, torch.tanh)


def test_several_outputs_have_names() -> None:
    contract = Contract({"energy": "0e", "forces": per_point("1o")})
    subject = Subject.of(lambda r: {"energy": moment(r), "forces": r.tanh()}, contract)
    structures = subject.structures(CLOUDS)
    answers = subject(structures)
    each(answers.values["energy"], structures, moment)
    each(answers.values["forces"], structures, torch.tanh)


def test_edges_are_made_by_what_prepares_the_batch() -> None:
    def count(pos: Tensor, edge_index: Tensor) -> Tensor:
        return pos.new_zeros(len(pos), 1).index_add(
            0, edge_index[1], torch.ones_like(pos[edge_index[0], :1])
        )

    subject = Subject.of(count, Contract(per_point("0e")), prepare=connect(radius=1.5))
    structures = subject.structures(CLOUDS)

    def neighbors(positions: Tensor) -> Tensor:
        return (torch.cdist(positions, positions) < 1.5).sum(1, dtype=torch.float64) - 1

    each(subject(structures).values["output"], structures, neighbors)


def test_inputs_of_the_contract_are_arguments_by_name() -> None:
    def work(pos: Tensor, field: Tensor) -> Tensor:
        return (pos * field).sum(1)

    contract = Contract(per_point("0e"), inputs={"field": "1o"})
    subject = Subject.of(work, contract)
    structures = subject.structures([Cloud("generic", 4, decorated=True)])
    expected = (structures[0].positions * structures[0].inputs["field"]).sum(1, keepdim=True)
    torch.testing.assert_close(subject(structures).values["output"], expected)


@pytest.mark.parametrize(
    ("model", "call", "error", "said"),
    [
        pytest.param(7, None, TypeError, "is a int but must be callable", id="not-callable"),
        pytest.param(of_clouds, "b n c -> q", ValueError, "must lead from one of", id="layout"),
        pytest.param(of_data, "pos, 3", ValueError, "where a name must stand", id="signature"),
    ],
)
def test_what_cannot_be_called_is_refused(
    model: Any, call: str | None, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        as_network(model, SCALAR, call)


def test_rows_that_are_missing_are_missed() -> None:
    subject = Subject.of(lambda data: data.pos.sum().reshape(1), SCALAR)
    with pytest.raises(ValueError, match="must have one row for each"):
        subject(subject.structures(CLOUDS))


def test_a_model_without_a_contract_is_refused() -> None:
    with pytest.raises(ValueError, match="declares no contract"):
        Subject.of(of_data)


# --- ASE

ATOMISTIC = Contract({"energy": "0e", "forces": per_point("1o")}, cutoff=3.0, extensive=True)


def lennard_jones() -> Any:
    from ase.calculators.lj import LennardJones

    return LennardJones(sigma=0.8, rc=3.0, ro=2.0, smooth=True)


def test_a_calculator_answers_as_it_does_for_atoms() -> None:
    from ase import Atoms

    subject = Subject.of(lennard_jones(), ATOMISTIC)
    structures = subject.structures(CLOUDS)
    answers = subject(structures)
    for i, one in enumerate(structures):
        if len(one) == 0:
            assert float(answers.of(i).values["energy"]) == 0.0
            assert answers.of(i).values["forces"].shape == (0, 3)
            continue
        atoms = Atoms(f"H{len(one)}", positions=one.positions.numpy(), calculator=lennard_jones())
        assert float(answers.of(i).values["energy"]) == pytest.approx(
            atoms.get_potential_energy(), rel=0
        )
        torch.testing.assert_close(
            answers.of(i).values["forces"], torch.as_tensor(atoms.get_forces())
        )


def test_species_are_atomic_numbers_and_hydrogen_without_them() -> None:
    from ase.calculators.calculator import Calculator

    class Charges(Calculator):
        implemented_properties = ("energy", "dipole")

        def calculate(self, atoms: Any, properties: Any, changes: Any) -> None:
            numbers = atoms.get_atomic_numbers()
            self.results = {"energy": numbers.sum(), "dipole": numbers @ atoms.positions}

    contract = Contract({"energy": "0e", "dipole": "1o"})
    cloud = Cloud("generic", 4, decorated=True)
    with_species = Subject.of(Charges(), contract, species=[29, 47])
    (structure,) = with_species.structures([cloud])
    assert structure.species is not None
    values = with_species([structure]).values
    assert float(values["energy"]) == float(structure.species.sum())
    expected = structure.species.double() @ structure.positions
    torch.testing.assert_close(values["dipole"][0], expected)
    without = Subject.of(Charges(), contract)
    assert float(without(without.structures([cloud])).values["energy"]) == 4.0


def test_the_stress_is_a_tensor_and_zero_without_a_volume() -> None:
    contract = Contract({"stress": "ij=ji"}, cutoff=3.0, periodic=True)
    subject = Subject.of(lennard_jones(), contract)
    structures = subject.structures([Cloud("crystal, skewed", 3), Cloud("generic", 3)])
    periodic, finite = subject(structures).values["stress"].reshape(-1, 3, 3)
    assert float(periodic.diagonal().abs().min()) > 0
    torch.testing.assert_close(periodic, periodic.T)
    assert float(finite.abs().max()) == 0


def test_a_calculator_forgets_between_structures() -> None:
    """ASE compares positions to within 1e-15: what is that near would come from its cache."""
    subject = Subject.of(lennard_jones(), ATOMISTIC)
    structures = subject.structures([Cloud("generic", 4)])
    calculator = subject.net.calculator  # type: ignore[attr-defined]
    subject(structures)
    calculator.results["energy"] = 1e9
    assert float(subject(structures).values["energy"]) < 1e9


def test_a_calculator_follows_the_precision_of_the_positions() -> None:
    subject = Subject.of(lennard_jones(), ATOMISTIC, dtype=torch.float32)
    batch = subject.batch(subject.structures(CLOUDS))
    assert {value.dtype for value in subject.raw(batch).values.values()} == {torch.float32}


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        pytest.param({"charge": "0e"}, "name the outputs of the contract by energy", id="unknown"),
        pytest.param({"dipole": "1o"}, "is not a property of LennardJones", id="not-implemented"),
        pytest.param({"forces": "1o"}, "must be declared as per_point", id="forces-of-structures"),
        pytest.param({"energy": per_point("0e")}, "a plain representation", id="energy-of-points"),
    ],
)
def test_what_a_calculator_does_not_know_is_refused(outputs: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        OfAtoms(lennard_jones(), Contract(outputs))


def test_names_of_properties_are_those_of_ase() -> None:
    from ase.calculators.calculator import all_properties

    assert set(SHAPES) <= set(all_properties)


def test_a_bare_model_is_judged_without_graphs_that_its_users_lack(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is told of the way out, which a certified ``Call`` has taken."""
    monkeypatch.setattr(torch_geometric.typing, "WITH_RADIUS", False)

    def moments(pos: Tensor, batch: Tensor) -> Tensor:
        source, target = radius_graph(pos, 2.0, batch)
        pairs = (pos[source] - pos[target]).norm(dim=1)
        return pos.new_zeros(int(batch.max()) + 1, 1).index_add(0, batch[source], pairs[:, None])

    cloud, contract = [Cloud("generic", 4)], Contract("0e", smoothness=None)
    with pytest.raises(ImportError) as raised:
        Subject.of(moments, contract)(Subject.of(moments, contract).structures(cloud))
    assert "offer_to_pyg()" in " ".join(raised.value.__notes__)
    lent = Subject.of(Call(moments, "pos, batch"), contract)
    assert len(lent(lent.structures(cloud)).values["output"]) == 1
