"""Reading what the user hands over: checks at the boundary, and the vectors that frames see."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from symmetrize.batches import Layout
from symmetrize.cloud import Field, Points
from symmetrize.representation import Representation, as_representation

if TYPE_CHECKING:
    from torch_geometric.data import Data

# Attributes that are understood where present
SCORES = "frame_scores"
SPECIES = "z"


def check_positions(data: Data) -> None:
    """Refuse positions that no frame can be made from, before anything is computed.

    Raises:
        TypeError: if the data is not a torch_geometric ``Data``, or has no float positions.
        ValueError: if positions are of the wrong shape or not finite, or the batch vector does not
            fit them.
    """
    from torch_geometric.data import Data

    if not isinstance(data, Data):
        raise TypeError(
            f"the data is a {type(data).__name__} but must be a torch_geometric Data or Batch: "
            "wrap positions as Data(pos=positions)"
        )
    positions = data.get("pos")
    if not isinstance(positions, Tensor):
        raise ValueError(
            f"the data has no positions `pos`, only {sorted(data.keys())}: set data.pos to a "
            "tensor of shape (points, 3)"
        )
    if positions.ndim != 2 or positions.size(-1) != 3:
        raise ValueError(
            f"`pos` has shape {tuple(positions.shape)} but must be (points, 3): put the points of "
            "all structures under each other and say whose they are in `batch`"
        )
    if positions.dtype not in (torch.float32, torch.float64):
        raise TypeError(
            f"`pos` is {positions.dtype} but must be float32 or float64: convert with .float()"
        )
    _check_finite("pos", positions)
    batch = data.batch
    if batch is None:
        return
    if batch.dtype != torch.long or batch.shape != positions.shape[:1]:
        raise ValueError(
            f"`batch` is {batch.dtype} of shape {tuple(batch.shape)} but must be int64 of shape "
            f"({len(positions)},): the structure of each point"
        )
    if len(batch) and int(batch.min()) < 0:
        raise ValueError(f"`batch` contains {int(batch.min())} but structures are numbered from 0")


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
        flat = value.shape[-1:] == (representation.dim,)
        if not flat and width != representation.value_shape:
            raise ValueError(
                f"the input {name!r} has shape {tuple(value.shape)} but is declared as "
                f"{representation}, of width {representation.dim}"
            )
        if name not in layout.rows:
            raise ValueError(
                f"the input {name!r} of shape {tuple(value.shape)} turns but its rows belong "
                f"neither to points nor to edges nor to the {layout.size} structures: collate "
                "with torch_geometric's Batch.from_data_list, which keeps track of them"
            )
        _check_finite(name, value)


def _check_finite(name: str, value: Tensor) -> None:
    bad = ~torch.isfinite(value.detach())
    if bool(bad.any()):
        where = torch.nonzero(bad)[0].tolist()
        raise ValueError(
            f"`{name}` is {value[tuple(where)].item()} at {where} but must be finite: remove or "
            "repair that row"
        )


def read_points(data: Data, layout: Layout, inputs: Mapping[str, Representation]) -> Points:
    """The structures of a batch, as frames see them.

    A structure with a ``cell`` is periodic along every lattice vector that is not zero, unless
    ``pbc`` says otherwise.

    Raises:
        ValueError: if there is not one cell for each structure, or a score is not positive.
    """
    cell = data.get("cell")
    pbc = None
    if cell is not None:
        if cell.numel() != 9 * layout.size:
            raise ValueError(
                f"`cell` has shape {tuple(cell.shape)} but must hold three vectors for each of "
                f"{layout.size} structures: with several structures in one Data, say in `batch` "
                "which of them each point belongs to"
            )
        cell = cell.reshape(layout.size, 3, 3)
        pbc = data.get("pbc")
        length = cell.detach().abs().amax(-1) > 0
        pbc = length if pbc is None else pbc.reshape(layout.size, 3).bool() & length
    scores = data.get(SCORES)
    if scores is None:
        log_scores = torch.zeros(len(data.pos), dtype=torch.float64, device=data.pos.device)
    else:
        _check_finite(SCORES, scores)
        if scores.shape != layout.batch.shape or bool((scores <= 0).any()):
            raise ValueError(
                f"`{SCORES}` must hold one positive number for each of {len(layout.batch)} points"
                f" but has shape {tuple(scores.shape)} and minimum {scores.min().item()}"
            )
        log_scores = scores.double().log()
    species = data.get(SPECIES)
    if species is not None and (species.dtype != torch.long or species.shape != layout.batch.shape):
        species = None
    directions = directions_of(data, layout, inputs)
    return Points(
        positions=data.pos,
        batch=layout.batch,
        size=layout.size,
        log_scores=log_scores,
        species=species,
        cell=cell,
        pbc=pbc,
        directions=directions[0],
        directions_index=directions[1],
        tensors=tensors_of(data, layout, inputs),
    )


def directions_of(
    data: Data,
    layout: Layout,
    inputs: Mapping[str, Representation],
    envelope: Float[Tensor, "points"] | None = None,
) -> tuple[Float[Tensor, "directions 3"], Int[Tensor, "directions"]]:
    """Vectors among the inputs, beside positions and cells, and the structure of each.

    A field or a set of normals gives a direction to what has none by itself. Vectors of edges are
    left out: they follow from the positions. Those of points are weighted by ``envelope``.
    """
    vectors, owners = [data.pos.new_zeros(0, 3).double()], [layout.batch[:0]]
    for representation, values, owner in _others(data, layout, inputs, envelope):
        for block in representation.blocks:
            axial = block.label.startswith("1e")
            polar = block.label.startswith("1o") or str(representation.irreps) == "1x1o"
            # an axial vector and its opposite turn as a set under inversion, too
            for sign in (1.0, -1.0) if axial else (1.0,) if polar else ():
                vectors.append(sign * values[:, block.columns])
                owners.append(owner)
    return torch.cat(vectors), torch.cat(owners)


def tensors_of(
    data: Data,
    layout: Layout,
    inputs: Mapping[str, Representation],
    envelope: Float[Tensor, "points"] | None = None,
) -> tuple[Field, ...]:
    """Tensors of degree two and more among the inputs, as ``directions_of`` finds vectors."""
    fields = []
    for representation, values, owner in _others(data, layout, inputs, envelope):
        if len(representation.value_shape) > 1:
            fields.append(Field(representation, values, owner))
            continue
        for block in representation.blocks:
            irrep = as_representation(block.label.partition("[")[0])
            if irrep.lmax > 1:
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
        values = data[name].double().reshape(len(rows.owner), -1, representation.dim)
        if rows.kind == "point" and envelope is not None:
            values = values * envelope.double()[:, None, None]
        yield representation, values.flatten(0, 1), rows.owner.repeat_interleave(values.size(1))
