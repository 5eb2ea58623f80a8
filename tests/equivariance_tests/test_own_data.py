"""The one-line check on one's own data: ``assert_equivariant(model, my_data, contract)``."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data

from backbones import PET
from equivariance_tests import Contract, assert_equivariant, assert_permutation
from equivariance_tests.checks.equivariance import NotEquivariant
from equivariance_tests.report.failures import Raises
from symmetrize import HierarchicalFrames, Symmetrizer

CONTRACT = Contract("0e")


def points(size: int) -> Tensor:
    return torch.randn(size, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def molecule() -> Data:
    return Data(pos=points(4), z=torch.tensor([8, 1, 1, 6]))


def small_pet() -> PET:
    torch.manual_seed(0)
    return PET("0e", [1, 6, 8], cutoff=3.0, width=8, heads=2, layers=1, rounds=1).double()


def test_species_are_those_of_the_data() -> None:
    with pytest.raises(NotEquivariant):
        assert_equivariant(small_pet(), molecule(), CONTRACT)
    model = Symmetrizer(small_pet(), frames=HierarchicalFrames(3.0, preset="lean"))
    assert_equivariant(model, molecule())


def with_edges() -> Data:
    data = molecule()
    data.edge_index = torch.tensor([[0, 1, 2], [1, 2, 3]])
    data.edge_attr = torch.tensor([[1.0], [2.0], [3.0]], dtype=torch.float64)
    return data


def bonds(stretch: Callable[[Tensor], Tensor]) -> Callable[[Data], Tensor]:
    """An energy of bonds that the data brings along."""

    def energy(data: Data) -> Tensor:
        source, target = data.edge_index
        values = stretch(data.pos[source] - data.pos[target]) * data.edge_attr[:, 0]
        return values.new_zeros(data.num_graphs).index_add(0, data.batch[source], values)

    return energy


def test_what_else_the_data_has_is_shown_to_the_model() -> None:
    assert_equivariant(bonds(lambda v: v.square().sum(1).sqrt()), with_edges(), CONTRACT)
    with pytest.raises(NotEquivariant):
        assert_equivariant(bonds(lambda v: v.square()[:, 0]), with_edges(), CONTRACT)
    with pytest.raises(Raises, match="the model raises"):
        assert_equivariant(bonds(lambda v: v[:, 0]), molecule(), CONTRACT)
    with pytest.raises((ValueError, Raises), match=r"'edge_index'.*cannot be put in another order"):
        assert_permutation(bonds(lambda v: v.square().sum(1)), with_edges(), CONTRACT)


def test_a_cell_turns_whatever_the_contract_says() -> None:
    crystal = Data(pos=points(2), cell=np.diag([2.0, 3.0, 4.0]), pbc=np.array([True] * 3))

    def volume(data: Data) -> Tensor:
        return torch.linalg.det(data.cell).abs() + data.pos.new_zeros(data.num_graphs).index_add(
            0, data.batch, data.pos.square().sum(1)
        )

    assert_equivariant(volume, crystal, CONTRACT)
    with pytest.raises(NotEquivariant):
        assert_equivariant(lambda data: data.cell[:, 0, 0] + volume(data), crystal, CONTRACT)


def test_an_input_of_the_structure_is_told_by_its_size() -> None:
    contract = Contract("0e", inputs={"field": "1o"})
    data = Data(pos=points(4), field=torch.tensor([0.0, 0.0, 1.0]).double())

    def energy(data: Data) -> Tensor:
        field = data.field.reshape(-1, 3)[data.batch]
        return data.pos.new_zeros(data.num_graphs).index_add(
            0, data.batch, (data.pos * field).sum(1).tanh()
        )

    assert_equivariant(energy, data, contract)


def test_errors_that_have_no_unit_do_not_pass() -> None:
    """A model that answers this structure, and none of the plain clouds."""

    def only_four(data: Data) -> Tensor:
        if len(data.pos) != 4 * data.num_graphs:
            raise ValueError("four points, please")
        return data.pos.new_zeros(data.num_graphs).index_add(0, data.batch, data.pos[:, 0])

    with pytest.raises(ValueError, match=r"(?s)none of the plain clouds.*four points, please"):
        assert_equivariant(only_four, Data(pos=points(4)), CONTRACT)
