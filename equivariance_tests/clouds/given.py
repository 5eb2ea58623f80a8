"""Structures of a user as clouds, so that every check takes them."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric.data import Data

from equivariance_tests.clouds.cloud import Cloud, Given, Setting
from equivariance_tests.clouds.edges import Edges
from equivariance_tests.clouds.structure import Structure
from symmetrize import periods

# What a structure has of its own
KNOWN = ("pos", "z", "cell", "pbc", "batch", "ptr", "num_nodes")
# By how much points are moved about to tell how much outputs vary, relative to the extent
JITTER = 0.2


def around(structure: Structure, number: int) -> list[Cloud]:
    """Structures like one of a user, with its points moved about."""
    generator = torch.Generator().manual_seed(0)
    found: list[Cloud] = []
    for _ in range(number):
        away = torch.randn(structure.positions.shape, dtype=torch.float64, generator=generator)
        moved = structure.at(structure.positions + JITTER * structure.extent * away)
        found.append(Given("generic", len(structure), given=moved))
    return found


def as_cloud(given: Cloud | Data | Tensor, setting: Setting) -> Cloud:
    """A cloud of what may also be a single ``Data``, or positions (n, 3).

    Of a ``Data``, ``pos``, the cell and the inputs of the contract turn; whatever else it has is
    shown to the model as it is. ``edge_index`` alone follows its points to any order.

    Raises:
        ValueError: if positions are not (n, 3), or an input is missing.

    >>> from symmetrize import Contract
    >>> setting = Setting.of(Contract("0e"))
    >>> as_cloud(torch.zeros(2, 3), setting)
    the structure of 2 points given
    """
    if isinstance(given, Cloud):
        return given
    positions = given if isinstance(given, Tensor) else given.pos
    if positions is None or positions.ndim != 2 or positions.size(1) != 3:
        shape = None if positions is None else tuple(positions.shape)
        raise ValueError(f"positions have shape {shape} but must be (n, 3), of one structure")
    if isinstance(given, Tensor):
        given = Data(pos=given)
    wanted = [*setting.contract.inputs, *setting.contract.positions]
    missing = [name for name in wanted if name not in given]
    if missing:
        raise ValueError(
            f"the structure lacks {missing}, which the contract names: give a Data that has them"
        )
    cell, pbc = _periods(given) if setting.contract.periodic or "cell" in given else (None, None)
    inputs, of_structures = {}, setting.of_structures
    for name, representation in setting.contract.inputs.items():
        if given[name].numel() == representation.dim:
            of_structures |= {name}
        rows = 1 if name in of_structures else len(positions)
        inputs[name] = _number(given[name]).reshape(rows, *representation.value_shape)
    known = {*KNOWN, *wanted}
    others = [name for name in given.keys() if name not in known]  # noqa: SIM118
    edges = kept = None
    if others == ["edge_index"]:
        edges = Edges(None, given.edge_index.detach().cpu().long())
    elif others:
        kept = _only(given, others)
    if "edge_index" not in given:
        edges = setting.edges(_number(positions))
    structure = Structure(
        _number(positions),
        given.z.detach().cpu() if "z" in given else None,
        cell,
        pbc,
        inputs,
        of_structures,
        {name: _number(given[name]) for name in setting.contract.positions},
        setting.carries,
        kept,
        edges,
    )
    return Given("generic", len(positions), given=structure)


def _only(given: Data, names: Sequence[str]) -> Data:
    """The data with some of its attributes, in its own class: it knows what they count."""
    kept = copy.copy(given)
    for name in list(kept.keys()):
        if name not in names:
            del kept[name]
    return kept


def _number(values: Tensor) -> Tensor:
    return values.detach().to("cpu", torch.float64)


def _periods(given: Data) -> tuple[Tensor, Tensor]:
    """Cell and periods; those of a finite structure if there are none."""
    found = periods(given)
    if found is None:
        return torch.zeros(3, 3, dtype=torch.float64), torch.zeros(3, dtype=torch.bool)
    return _number(found.cell[0]), found.pbc[0].cpu()
