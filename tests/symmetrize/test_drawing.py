"""What is drawn of a structure and its frames."""

from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch, Data

from symmetrize import HierarchicalFrames, Symmetrizer, show
from symmetrize.datasets import molecules

pytest.importorskip("plotly", reason="needs the extra `show`")


def net(data: Data) -> torch.Tensor:
    return data.pos.new_zeros(data.num_graphs, 1)


def axes(figure: Any) -> np.ndarray:
    """(lines, 3) from the start to the end of each, of all axes."""
    found = []
    for trace in figure.data[3:]:
        path = np.stack([np.array(trace[axis], float) for axis in "xyz"], 1)
        found += [b - a for a, b in zip(path[::3], path[1::3], strict=False)]
    return np.array(found)


def test_axes_are_those_of_the_frames_and_as_long_as_weights_say() -> None:
    model, one = Symmetrizer(net, outputs="0e"), molecules("test")[3]
    ensemble = model.ensemble(one)
    found = axes(show(model, one))
    lengths = np.linalg.norm(found, axis=1)
    kept = ensemble.weights > 0.05**2 * ensemble.weights.max()
    assert len(found) == 3 * int(kept.sum())
    for frame, weight in zip(ensemble.rotations[kept], ensemble.weights[kept], strict=True):
        for axis in frame.T.numpy():
            along = found @ axis / lengths
            near = lengths[np.abs(along - 1) < 1e-9] / lengths.max()
            assert np.abs(near - float((weight / ensemble.weights.max()).sqrt())).min() < 1e-9


def test_they_turn_with_the_structure() -> None:
    model, one = Symmetrizer(net, outputs="0e"), molecules("test")[3]
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))[0]
    turned = one.clone()
    turned.pos = one.pos @ turn.T
    here, there = (
        sorted(np.round(found, 8).tolist())
        for found in (axes(show(model, one)) @ turn.numpy().T, axes(show(model, turned)))
    )
    np.testing.assert_allclose(here, there, atol=1e-6)


def test_a_path_has_as_many_images_as_structures() -> None:
    model, images = Symmetrizer(net, outputs="0e"), []
    for angle in (-0.1, 0.0, 0.1):
        pos = torch.tensor([[0, 0, 0], [1, angle, 0], [-1, angle, 0]], dtype=torch.float64)
        images.append(Data(pos=pos, z=torch.tensor([6, 8, 8])))
    figure = show(model, images)
    assert len(figure.frames) == len(figure.layout.sliders[0].steps) == 3
    assert {len(one.data) for one in figure.frames} == {len(figure.data)}
    assert len(show(model, Batch.from_data_list(images)).frames) == 3


def test_centers_have_their_own_and_cells_their_edges() -> None:
    frames = HierarchicalFrames(cutoff=3.0)
    model = Symmetrizer(net, outputs="0e", frames=frames, scope="center", reduce="sum")
    cell, pbc = 4.0 * torch.eye(3).double()[None], torch.tensor([[True, True, False]])
    data = Data(pos=torch.rand(4, 3).double(), cell=cell, pbc=pbc)
    figure = show(model, data)
    starts = np.stack([np.array(figure.data[3][axis], float)[::3] for axis in "xyz"], 1)
    apart = np.linalg.norm(starts[:, None] - data.pos.numpy(), axis=-1)
    assert float(apart.min(1).max()) < 1e-9
    assert len(np.unique(apart.argmin(1))) > 1
    edges = np.array(figure.data[2].z, float)
    assert np.nanmax(edges) == 0.0  # none along what has no period


def test_what_has_no_direction_has_no_axes() -> None:
    figure = show(Symmetrizer(net, outputs="0e"), Data(pos=torch.zeros(1, 3).double()))
    assert "no direction" in figure.layout.title.text
    assert len(axes(figure)) == 0


def test_points_of_the_plane() -> None:
    model = Symmetrizer(net, outputs="0e", group="SO(2)")
    figure = show(model, Data(pos=torch.randn(5, 2).double()))
    assert set(figure.data[0].z) == {0.0}


@pytest.mark.parametrize("sizes", [(3, 4), (0,), ()])
def test_structures_that_are_no_path(sizes: tuple[int, ...]) -> None:
    images = [Data(pos=torch.randn(n, 3).double()) for n in sizes]
    with pytest.raises(ValueError, match=r"points but must be one structure"):
        show(Symmetrizer(net, outputs="0e"), images)
