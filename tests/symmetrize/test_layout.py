"""Whose the rows of a batch are, and where the middle of a cloud is."""

import pytest
import torch
from torch_geometric.data import Batch, Data

from symmetrize import Symmetrizer
from symmetrize.data.layout import layout
from symmetrize.points.cloud import Points, about_centroid


@pytest.mark.parametrize("name", ["cell", "field"])
def test_rows_of_structures_are_not_those_of_as_many_edges(name: str) -> None:
    """Two structures of three points with one edge each, and one lattice or field each."""
    edge = torch.tensor([[0], [1]])
    items = [Data(pos=torch.eye(3), edge_index=edge) for _ in range(2)]
    # the second structure has both edges: rows of edges belong to it, and to it alone
    items[0].edge_index, items[1].edge_index = edge[:, :0], torch.tensor([[0, 1], [1, 0]])
    for item in items:
        item[name] = torch.eye(3)[None] if name == "cell" else torch.ones(1, 3)
    rows = layout(Batch.from_data_list(items)).rows
    assert rows[name].kind == "structure"
    assert rows[name].owner.tolist() == [0, 1]
    assert rows["edge_index"].owner.tolist() == [1, 1]


@pytest.mark.parametrize("offset", [1e3, 1e6])
def test_the_middle_of_a_cloud_far_away_has_all_digits_of_the_cloud(offset: float) -> None:
    cloud = torch.randn(7, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    vectors, _ = about_centroid(Points.of(cloud + offset))
    # a centroid of one pass has the digits of the offset: it is off by 1e-13 and 1e-10
    assert vectors.mean(0).abs().max() < 1e-15


@pytest.mark.parametrize("name", ["point", "edge", "structure", "structures"])
def test_attributes_may_be_called_as_kinds_of_rows_are(name: str) -> None:
    """Three rows, two of them of the second structure, in copies as in the data."""
    given = {name: torch.tensor([10.0, 11.0, 20.0]), f"{name}_batch": torch.tensor([0, 1, 1])}
    edges, batch = torch.tensor([[0, 3], [1, 4]]), torch.tensor([0, 0, 0, 1, 1])
    data = Data(pos=torch.randn(5, 3), batch=batch, edge_index=edges, **given)

    def total(copies: Data) -> torch.Tensor:
        whose, rows = copies[f"{name}_batch"], copies[name]
        return copies.pos.new_zeros(copies.num_graphs).index_add(0, whose, rows)[:, None]

    assert Symmetrizer(total, "0e")(data).flatten().tolist() == pytest.approx([10.0, 31.0])


def test_an_index_may_be_called_as_a_kind_of_rows_is() -> None:
    class Marked(Data):
        def __inc__(self, key: str, value: object, *args: object, **kwargs: object) -> object:
            return len(self.pos) if key == "edge" else super().__inc__(key, value, *args, **kwargs)

    marks, edges = torch.tensor([0, 1, 2, 0, 1, 2, 0]), torch.tensor([[0, 1], [1, 0]])
    item = Marked(pos=torch.randn(3, 3), edge_index=edges, edge=marks)

    def number(copies: Data) -> torch.Tensor:
        whose = copies.batch[copies.edge]
        return torch.bincount(whose, minlength=copies.num_graphs).to(copies.pos)[:, None]

    found = Symmetrizer(number, "0e")(Batch.from_data_list([item, item]))
    assert found.flatten().tolist() == pytest.approx([7.0, 7.0])
