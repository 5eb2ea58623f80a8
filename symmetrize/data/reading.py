"""What the wrapper sees in a batch: inputs that fit, and the points that frames are made from."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from symmetrize.arrays.finite import check_finite
from symmetrize.arrays.vectors import unit_vectors
from symmetrize.data.boundary import species_of
from symmetrize.data.periods import periods
from symmetrize.data.rows import Layout
from symmetrize.groups import Direction
from symmetrize.points.axis import Axis
from symmetrize.points.cloud import Field, Points
from symmetrize.representation import Representation, as_representation

if TYPE_CHECKING:
    from torch_geometric.data import Data

# Positive numbers, one for each point, that its quality for frames is multiplied by
SCORES = "frame_scores"


def check_inputs(data: Data, layout: Layout, inputs: Mapping[str, Representation]) -> None:
    """Refuse a batch without structures, and inputs that are absent, not finite or do not fit.

    Raises:
        TypeError, ValueError: naming the input.
    """
    if layout.size == 0:
        raise ValueError(
            "the batch is empty: it has 0 structures, and an average over none has no value; "
            "a structure without points is valid, as Data(pos=torch.zeros(0, 3))"
        )
    if len(layout.batch) and int(layout.batch.max()) >= layout.size:
        raise ValueError(
            f"`batch` contains {int(layout.batch.max())} but there are {layout.size} structures, "
            "numbered from 0"
        )
    for name, representation in inputs.items():
        if name not in data:
            if name == "cell":
                continue
            raise ValueError(
                f"the data has no {name!r}, which `inputs` declares as {representation}; it has "
                f"{sorted(data.keys())}"
            )
        value = data[name]
        if not value.is_floating_point():
            raise TypeError(
                f"the input {name!r} is {value.dtype} but turns as {representation}, which needs "
                "a floating-point dtype: convert with .to(data.pos.dtype)"
            )
        width = tuple(value.shape[value.ndim - len(representation.value_shape) :])
        flat = value.shape[-1:] == (representation.dim,) or (representation.dim == 1 == value.ndim)
        rows = layout.rows.get(name)
        fits = rows is None or value.numel() % (len(rows.owner) * representation.dim or 1) == 0
        if not fits or (not flat and width != representation.value_shape):
            raise ValueError(
                f"the input {name!r} has shape {tuple(value.shape)} but is declared as "
                f"{representation}, of width {representation.dim}"
            )
        if rows is None:
            raise ValueError(
                f"the input {name!r} of shape {tuple(value.shape)} turns but its rows belong "
                f"neither to points nor to edges nor to the {layout.size} structures: collate "
                "with torch_geometric's Batch.from_data_list, which keeps track of them"
            )
        check_finite(name, value)


def axis_of(data: Data, layout: Layout, axis: Direction | str | None) -> Axis | None:
    """The axis of each structure: one for all, or an attribute by its name, which is turned to z.

    Raises:
        ValueError: if the attribute is not one vector for each structure, or a vector is zero.
    """
    if axis is None:
        return None
    if not isinstance(axis, str):
        return Axis.of_all(axis, layout.size, data.pos.device)
    rows = layout.rows.get(axis)
    each = torch.arange(layout.size, device=data.pos.device)
    # of single points, a row is theirs as well
    if rows is None or not torch.equal(rows.owner, each) or data[axis].numel() != 3 * layout.size:
        raise ValueError(
            f"`axis` names {axis!r}, of shape {tuple(data[axis].shape)}, but it must hold one "
            f"vector for each of the {layout.size} structures: data.{axis} of shape (1, 3) in "
            "each, collated by Batch.from_data_list"
        )
    directions, lengths = unit_vectors(data[axis].double().reshape(layout.size, 3))
    if bool((lengths == 0).any()):
        nothing = int(torch.nonzero(lengths == 0)[0, 0])
        raise ValueError(
            f"`axis` names {axis!r}, which is zero in structure {nothing}: without a direction "
            'there is no turn about it; for structures without an axis use group="O(3)"'
        )
    return Axis(directions)


def read_points(
    data: Data,
    layout: Layout,
    further: Sequence[str] = (),
    fields: Collection[Field] = (),
    axis: Axis | None = None,
) -> Points:
    """The structures of a batch, as frames see them.

    What is periodic, ``periods`` says. Further positions are points like others, behind them and
    of species of their own: where the points of ``pos`` leave a choice, they may settle it.

    Raises:
        ValueError: if there is not one cell for each structure, or a score is not positive.
    """
    found = periods(data)
    scores = data.get(SCORES)
    if scores is None:
        log_scores = torch.zeros(len(data.pos), dtype=torch.float64, device=data.pos.device)
    else:
        check_finite(SCORES, scores)
        if scores.shape != layout.batch.shape or bool((scores <= 0).any()):
            raise ValueError(
                f"`{SCORES}` must hold one positive number for each of {len(layout.batch)} points"
                f" but has shape {tuple(scores.shape)} and minimum {scores.min().item()}"
            )
        log_scores = scores.double().log()
    positions, batch, species = data.pos, layout.batch, species_of(data)
    for kind, name in enumerate(further, start=1):
        positions = torch.cat([positions, data[name].to(positions.dtype)])
        batch = torch.cat([batch, layout.rows[name].owner])
        log_scores = torch.cat([log_scores, log_scores.new_zeros(len(data[name]))])
        if species is not None:
            species = torch.cat([species, species.new_full((len(data[name]),), -kind)])
    return Points(
        positions=positions,
        batch=batch,
        size=layout.size,
        log_scores=log_scores,
        species=species,
        cell=None if found is None else found.cell,
        pbc=None if found is None else found.pbc,
        fields=tuple(fields),
        axis=axis,
    )


def fields_of(
    data: Data,
    layout: Layout,
    inputs: Mapping[str, Representation],
    envelope: Float[Tensor, "points"] | None = None,
) -> tuple[Field, ...]:
    """What turns among the inputs, beside positions and cells: irreps one by one, tensors whole.

    A field or a set of normals gives a direction to what has none by itself. Inputs of edges are
    left out: they follow from the positions. Those of points are weighted by ``envelope``.
    """
    fields = []
    for representation, values, owner in _others(data, layout, inputs, envelope):
        if len(representation.value_shape) > 1:
            fields.append(Field(representation, values, owner))
            continue
        for block in representation.blocks:
            irrep = as_representation(block.label.partition("[")[0])
            if irrep.lmax > 0:
                fields.append(Field(irrep, values[:, block.columns], owner))
    return tuple(fields)


def _others(
    data: Data,
    layout: Layout,
    inputs: Mapping[str, Representation],
    envelope: Float[Tensor, "points"] | None,
) -> Iterator[tuple[Representation, Float[Tensor, "rows dim"], Int[Tensor, "rows"]]]:
    """Inputs beside positions, cells and edges, as rows of float64, and the structure of each."""
    for name, representation in inputs.items():
        if name in ("pos", "cell") or name not in data or layout.rows[name].kind == "edge":
            continue
        rows = layout.rows[name]
        number, width = len(rows.owner), representation.dim
        values = data[name].double()
        values = values.reshape(number, values.numel() // max(1, number * width), width)
        if rows.kind == "point" and envelope is not None:
            values = values * envelope.double()[:, None, None]
        yield representation, values.flatten(0, 1), rows.owner.repeat_interleave(values.size(1))
