"""How a model is called: each convention becomes a network of ``Data``.

What a model takes is seen from the names of its arguments, or said in ``call``:

- ``model(data)``: our networks, ``Symmetrizer``, most torch-geometric models;
- ``model(z, pos, batch)``, ``model(pos, edge_index)``: attributes of the data by name;
- ``model(points)``, with a layout: ``"b n c -> b o"`` for dense clouds and ``"n c -> o"`` for
  a function of the positions of one structure;
- an ASE calculator, which knows ``energy``, ``forces``, ``stress``, ``dipole``;
- a model of torch-sim, which knows the first three;
- a file of metatomic, by its path, or such a model in memory.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch

from equivariance_tests.model.calculators import OfAtoms, is_calculator, is_of_torch_sim
from symmetrize import Contract

# Names under which functions of the positions of one structure take them
POSITIONS = ("pos", "positions", "points", "coordinates", "coords", "xyz", "x", "r", "R")
# What functions of the positions of one structure return, in a layout
OF_POSITIONS = ("o", "n o")
# Attributes of the data that arguments may be named after
ATTRIBUTES = ("pos", "z", "batch", "edge_index", "cell", "pbc", "num_graphs")


def as_network(model: Any, contract: Contract, call: str | None = None) -> Callable[[Batch], Any]:
    """A callable that takes a batch.

    Raises:
        TypeError: if the model is not callable or a class, or ``call`` is no string.
        ValueError: if ``call`` is not understood.

    >>> as_network(print, Contract("0e"), call=" ")
    Traceback (most recent call last):
        ...
    ValueError: `call` is ' ' but must say how the model is called: attributes of the data, as in \
"z, pos, batch", or a layout, as in "b n c -> b o" or "n c -> o"; leave it out where the names of \
its arguments tell
    """
    from backbones.adapters import Call

    if isinstance(model, type):
        raise TypeError(
            f"the model is the class {model.__name__} but must be one of its instances: give "
            f"{model.__name__}(...)"
        )
    if call is not None:
        if not isinstance(call, str):
            raise TypeError(
                f"`call` is {call!r} but must be a string: attributes of the data, as in "
                "'z, pos, batch', or a layout, as in 'b n c -> b o'"
            )
        return _as_said(model, contract, call)
    if is_calculator(model):
        return OfAtoms(model, contract)
    if is_of_torch_sim(model):
        from equivariance_tests.model.states import OfStates

        return OfStates(model, contract)
    if not callable(model):
        raise TypeError(
            f"the model is a {type(model).__name__} but must be callable, or an ASE calculator"
        )
    names = required(model)
    if names and names[0] in POSITIONS and len(names) == 1:
        return OfPositions(model, contract)
    if names and all(name in (*ATTRIBUTES, *contract.inputs) for name in names):
        return Call(model, ", ".join(names), lends=False)
    return model


def _as_said(model: Any, contract: Contract, call: str) -> Callable[[Batch], Any]:
    """The network of a model that is called as its user says."""
    from backbones.adapters import Call, Dense

    if not isinstance(call, str) or not call.strip():
        raise ValueError(
            f"`call` is {call!r} but must say how the model is called: attributes of the data, as "
            'in "z, pos, batch", or a layout, as in "b n c -> b o" or "n c -> o"; leave it out '
            "where the names of its arguments tell"
        )
    takes, _, returns = (part.strip() for part in call.partition("->"))
    if takes == "n c" and returns in OF_POSITIONS:
        return OfPositions(model, contract)
    is_layout = takes == "n c" or takes.split()[:1] == ["b"]
    try:
        return Dense(model, call) if is_layout else Call(model, call, lends=False)
    except ValueError as error:
        raise ValueError(f"`call` is {call!r}, which is not understood: {error}") from None


class OfPositions:
    """A network of data from a function of the positions (n, 3) of one structure."""

    def __init__(self, function: Callable[[Tensor], Any], contract: Contract) -> None:
        self.function, self.outputs = function, contract.outputs

    def __call__(self, data: Batch) -> Any:
        """One row for each structure, or for each point; a dict where the function has one."""
        try:
            return self._called(data)
        except Exception as error:
            error.add_note(
                "called as a function of the positions (n, 3) of one structure; if it takes "
                'something else say so, as in call="b n c -> b o"'
            )
            raise

    def _called(self, data: Batch) -> Any:
        sizes = torch.bincount(data.batch, minlength=data.num_graphs).tolist()
        # a function of one structure is called once for each: nothing is known of what it does
        # (with nothing to differentiate by if there are no points: torch.pdist crashes on that)
        found = [
            self.outputs.named(self.function(rows if len(rows) else rows.detach()))
            for rows in data.pos.split(sizes)
        ]
        values = {
            name: (torch.stack if output.rows == "structure" else torch.cat)(
                [one[name] for one in found]
            )
            for name, output in self.outputs.items()
        }
        return self.outputs.unnamed(values)


def required(model: Any) -> list[str]:
    """Names of the arguments that must be given."""
    function = model.forward if isinstance(model, torch.nn.Module) else model
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    return [
        one.name
        for one in parameters
        if one.default is one.empty and one.kind in (one.POSITIONAL_OR_KEYWORD, one.POSITIONAL_ONLY)
    ]
