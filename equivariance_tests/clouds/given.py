"""Structures of a user as clouds, so that every check takes them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import Data

from equivariance_tests.clouds.cloud import Cloud, Given, Setting
from equivariance_tests.clouds.structure import Structure


def as_cloud(given: Cloud | Data | Tensor, setting: Setting) -> Cloud:
    """A cloud of what may also be a single ``Data``, or positions (n, 3).

    Of a ``Data``, what the contract speaks of is read: ``pos``, ``z`` if there is one, ``cell`` and
    ``pbc`` if it is periodic, and the inputs by name.

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
    cell, pbc = _periods(given) if setting.contract.periodic else (None, None)
    inputs = {}
    for name, representation in setting.contract.inputs.items():
        rows = 1 if name in setting.of_structures else len(positions)
        inputs[name] = _number(given[name]).reshape(rows, *representation.value_shape)
    structure = Structure(
        _number(positions),
        given.z.detach().cpu() if "z" in given else None,
        cell,
        pbc,
        inputs,
        setting.of_structures,
        {name: _number(given[name]) for name in setting.contract.positions},
        setting.carries,
    )
    return Given("generic", len(positions), given=structure)


def _number(values: Tensor) -> Tensor:
    return values.detach().to("cpu", torch.float64)


def _periods(given: Data) -> tuple[Tensor, Tensor]:
    """Cell and periods; those of a finite structure if there are none."""
    if "cell" not in given:
        return torch.zeros(3, 3, dtype=torch.float64), torch.zeros(3, dtype=torch.bool)
    pbc = given.pbc if "pbc" in given else torch.ones(3, dtype=torch.bool)
    return _number(given.cell).reshape(3, 3), pbc.detach().cpu().bool().reshape(-1).expand(3)
