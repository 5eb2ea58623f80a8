"""A structure with the frames that it is averaged over, to be turned and played with a mouse.

At the centroid of a structure, or at each center, three lines are drawn for each frame: its x, y
and z axis in red, green and blue, as long as the root of its weight says, dashed where the frame
is improper. Frames turn with the structure; along a path they come and go with their weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from symmetrize.data.periods import periods
from symmetrize.extras import needed_for
from symmetrize.symmetrizer import Symmetrizer

if TYPE_CHECKING:
    from plotly.graph_objects import Figure
    from torch_geometric.data import Data

AXES = {"x": "#D55E00", "y": "#009E73", "z": "#0072B2"}
# Of the commonest elements; others take turns through the rest
ELEMENTS = {1: "#E0E0E0", 6: "#404040", 7: "#3050F8", 8: "#FF0D0D", 9: "#90E050", 16: "#E6C229"}
OTHERS = ("#AA7FFF", "#56B4E9", "#E69F00", "#CC79A7", "#8A9BA8", "#7B5141")
# Of an axis of the largest weight, in radii of the structure; and the least that can be seen
LENGTH, LEAST = 0.8, 0.05
# Neighbors are joined up to so many times the distance of the nearest one, in clouds that small
JOINED, JOINED_POINTS = 1.25, 200


def show(model: Symmetrizer, data: Data | Sequence[Data]) -> Figure:
    """One structure, or several as the images of a path, with their frames.

    Args:
        model: whose frames are drawn; the network is not evaluated.
        data: a structure, or a sequence of structures of the same number of points, or a batch of
            them, which a slider plays.

    Returns:
        a figure of plotly: ``figure.show()`` opens it, ``figure.write_html("frames.html")`` keeps
        it, and a notebook shows it by itself.

    Raises:
        ValueError: if there are no points, or structures differ in their number.
        ModuleNotFoundError: if plotly is not installed.

    >>> from symmetrize import Symmetrizer
    >>> from symmetrize.datasets import molecules
    >>> model = Symmetrizer(lambda data: data.pos.new_zeros(data.num_graphs, 1), outputs="0e")
    >>> figure = show(model, molecules("test")[0])
    >>> len(figure.data)
    9
    """
    with needed_for("drawing frames", "show"):
        from plotly import graph_objects

    images = data if isinstance(data, list | tuple) else _separate(data)
    sizes = sorted({len(one.pos) for one in images})
    if len(sizes) != 1 or sizes == [0]:
        raise ValueError(
            f"the structures have {sizes} points but must be one structure that has points, or the "
            "images of a path on which the same points move"
        )
    drawn = [_traces(model, one) for one in images]
    figure = graph_objects.Figure(
        data=[graph_objects.Scatter3d(**one) for one in drawn[0][0]],
        layout=_layout(images, drawn[0][1]),
    )
    if len(images) > 1:
        figure.frames = [
            graph_objects.Frame(
                data=[graph_objects.Scatter3d(**one) for one in traces],
                name=str(place),
                layout={"title": {"text": title}},
            )
            for place, (traces, title) in enumerate(drawn)
        ]
        figure.update_layout(**_player(len(images)))
    return figure


def _separate(data: Any) -> list[Any]:
    """The structures of a batch, one by one."""
    return data.to_data_list() if hasattr(data, "to_data_list") else [data]


@torch.no_grad()
def _traces(model: Symmetrizer, data: Any) -> tuple[list[dict[str, Any]], str]:
    """What plotly draws of one image, as many traces for each, and a title."""
    ensemble = model.ensemble(data).to(torch.float64, torch.device("cpu"))
    points = _in_space(data.pos.detach().double().cpu().numpy())
    origins = points if ensemble.size == len(points) > 1 else points.mean(0, keepdims=True)
    framed = ~(ensemble.isotropic | ensemble.auxiliary)
    weights = ensemble.weights.numpy()
    rotations = ensemble.rotations.numpy()
    improper = np.linalg.det(rotations) < 0
    radius = max(_radius(points), 1e-6)
    if len(origins) > 1:
        radius = radius / len(origins) ** (1 / 3)
    lengths = LENGTH * radius * np.sqrt(weights / weights.max())
    shown = framed.numpy() & (weights > LEAST**2 * weights.max())
    traces = [_points(points, data.get("z")), _joined(points), _cell(data)]
    for dash, chosen in (("solid", shown & ~improper), ("dash", shown & improper)):
        rows = np.nonzero(chosen)[0]
        starts = origins[ensemble.index.numpy()[rows] if len(origins) > 1 else np.zeros_like(rows)]
        for place, (axis, color) in enumerate(AXES.items()):
            ends = starts + lengths[rows, None] * rotations[rows, :, place]
            told = [f"{axis} of a frame of weight {weight:.3g}" for weight in weights[rows]]
            traces.append(
                _lines(starts, ends, axis, color, dash, 5, told)
                | {"legendgroup": axis, "showlegend": dash == "solid"}
            )
    return traces, _title(weights[framed.numpy()], float(weights[~framed.numpy()].sum()), ensemble)


def _title(weights: np.ndarray, rest: float, ensemble: Any) -> str:
    number = len(weights)
    said = "one frame" if number == 1 else f"{number} frames"
    if ensemble.size > 1:
        return f"{said} of {ensemble.size} centers"
    largest = ", ".join(f"{weight:.3g}" for weight in sorted(weights, reverse=True)[:6])
    more = ", ..." if number > 6 else ""
    left = f"; {rest:.2g} of the weight has no direction" if rest > 1e-12 else ""
    return f"{said}, weights {largest}{more}{left}" if number > 1 else f"{said}{left}"


def _in_space(points: np.ndarray) -> np.ndarray:
    """Points of the plane at z = 0."""
    return points if points.shape[1] == 3 else np.pad(points, ((0, 0), (0, 1)))


def _radius(points: np.ndarray) -> float:
    return float(np.linalg.norm(points - points.mean(0), axis=1).max())


def _points(points: np.ndarray, species: Any) -> dict[str, Any]:
    kinds = np.zeros(len(points), int) if species is None else species.flatten().tolist()
    order = sorted(set(kinds) - set(ELEMENTS))
    colors = [ELEMENTS.get(one) or OTHERS[order.index(one) % len(OTHERS)] for one in kinds]
    return {
        "x": points[:, 0],
        "y": points[:, 1],
        "z": points[:, 2],
        "mode": "markers",
        "name": "points",
        "marker": {
            "size": 12 if len(points) <= JOINED_POINTS else 3,
            "color": colors,
            "line": {"color": "#202020", "width": 1},
        },
        "text": [f"point {k}, species {one}" for k, one in enumerate(kinds)],
        "hoverinfo": "text",
        "showlegend": False,
    }


def _joined(points: np.ndarray) -> dict[str, Any]:
    """Lines between near neighbors, which guide the eye and mean no bonds."""
    first = second = np.zeros(0, int)
    if 1 < len(points) <= JOINED_POINTS:
        apart = np.linalg.norm(points[:, None] - points, axis=-1)
        apart[np.diag_indices_from(apart)] = np.inf
        nearest = apart.min(1)
        near = apart <= JOINED * np.maximum.outer(nearest, nearest)
        first, second = np.nonzero(np.triu(near, 1))
    return _lines(points[first], points[second], "neighbors", "#909090", "solid", 4) | {
        "showlegend": False
    }


def _cell(data: Any) -> dict[str, Any]:
    """The edges of the cell, of its rows that have a period."""
    lattice = periods(data)
    starts = ends = np.zeros((0, 3))
    if lattice is not None:
        cell = (
            lattice.cell[0].detach().double().cpu().numpy() * lattice.pbc[0].cpu().numpy()[:, None]
        )
        corners = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
        pairs = [
            (a, a + step) for a in corners for step in np.eye(3, dtype=int) if (a + step <= 1).all()
        ]
        starts, ends = (np.array([pair[side] for pair in pairs]) @ cell for side in (0, 1))
    return _lines(starts, ends, "cell", "#505050", "solid", 2) | {"showlegend": False}


def _lines(
    starts: np.ndarray,
    ends: np.ndarray,
    name: str,
    color: str,
    dash: str,
    width: int,
    told: Sequence[str] = (),
) -> dict[str, Any]:
    """Lines, separated by what is no number; an empty trace where there is none."""
    path = np.full((len(starts), 3, 3), np.nan)
    path[:, 0], path[:, 1] = starts, ends
    x, y, z = path.reshape(-1, 3).T if len(path) else np.full((3, 1), np.nan)
    return {
        "x": x,
        "y": y,
        "z": z,
        "mode": "lines",
        "name": name,
        "line": {"color": color, "width": width, "dash": dash},
        "text": [one for one in told for _ in range(3)],
        "hoverinfo": "text" if told else "skip",
    }


def _layout(images: Sequence[Any], title: str) -> dict[str, Any]:
    """Equal units on all axes, and the same ones along a path."""
    points = np.concatenate([_in_space(one.pos.detach().double().cpu().numpy()) for one in images])
    middle, half = (points.min(0) + points.max(0)) / 2, max(1.1 * _radius(points), 1e-6)
    hidden = {"visible": False}
    scene = {
        f"{axis}axis": hidden | {"range": [float(middle[k] - half), float(middle[k] + half)]}
        for k, axis in enumerate("xyz")
    }
    return {
        "title": {"text": title, "font": {"size": 14}},
        "scene": scene
        | {
            "aspectmode": "manual",
            "aspectratio": dict.fromkeys("xyz", 1.7),
            "camera": {"projection": {"type": "orthographic"}},
        },
        "margin": {"l": 0, "r": 0, "t": 50, "b": 0},
        "legend": {"orientation": "h", "x": 0, "y": 1.0},
        "height": 480,
    }


def _player(number: int) -> dict[str, Any]:
    """A slider, and a button that plays the path."""
    each = {"mode": "immediate", "frame": {"duration": 60, "redraw": True}}
    each["transition"] = {"duration": 0}
    steps = [
        {"method": "animate", "label": str(k), "args": [[str(k)], each]} for k in range(number)
    ]
    button = {"method": "animate", "label": "play", "args": [None, each | {"fromcurrent": True}]}
    return {
        "sliders": [{"steps": steps, "currentvalue": {"prefix": "image "}, "x": 0.12, "len": 0.85}],
        "updatemenus": [
            {"type": "buttons", "buttons": [button], "x": 0.08, "y": 0, "yanchor": "top"}
        ],
        "margin": {"l": 0, "r": 0, "t": 50, "b": 100},
    }
