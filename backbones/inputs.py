"""What points bring along beside their positions: a species and features."""

import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import Data

from backbones.species import Species
from symmetrize import Contract


class PointInputs(nn.Module):
    """Features and species of each point, as columns.

    Args:
        contract: whose ``inputs`` the features are, one row for each point.
        species: see ``Species``; 0 for a network that does not see ``z``.
        embedding: columns that stand for a species.

    >>> inputs = PointInputs(Contract("0e", inputs={"normals": "1o"}), species=10, embedding=4)
    >>> inputs.columns
    7
    >>> data = Data(pos=torch.rand(5, 3), normals=torch.rand(5, 3), z=torch.ones(5).long())
    >>> inputs(data).shape
    torch.Size([5, 7])
    """

    def __init__(
        self, contract: Contract, species: int | Sequence[int] = 0, embedding: int = 16
    ) -> None:
        super().__init__()
        self.widths = {name: spec.dim for name, spec in contract.inputs.items()}
        none = isinstance(species, int) and not isinstance(species, bool) and species == 0
        self.species = None if none else Species(species)
        self.kinds = None if self.species is None else nn.Embedding(len(self.species), embedding)
        self.columns = sum(self.widths.values()) + (0 if self.species is None else embedding)

    def forward(self, data: Data) -> Float[Tensor, "points columns"]:
        """The columns, in the dtype of the positions.

        Raises:
            TypeError: if a feature is no tensor.
            ValueError: if a feature is missing or does not fit, or a species is not known.
        """
        parts = [self._feature(data, name, width) for name, width in self.widths.items()]
        if self.species is not None and self.kinds is not None:
            parts.append(self.kinds(self.species(data)))
        return torch.cat(parts, 1) if parts else data.pos[:, :0]

    def _feature(self, data: Data, name: str, width: int) -> Tensor:
        values = data.get(name)
        if values is not None and not isinstance(values, Tensor):
            raise TypeError(
                f"the feature {name!r} is a {type(values).__name__} but must be a tensor: "
                f"data.{name} = torch.as_tensor(data.{name})"
            )
        if values is None or values.numel() != len(data.pos) * width:
            found = "is missing" if values is None else f"has shape {tuple(values.shape)}"
            raise ValueError(
                f"the feature {name!r} {found} but must have {width} columns for each of the "
                f"{len(data.pos)} points: set data.{name}, or make the network without it"
            )
        return values.reshape(len(data.pos), width).to(data.pos.dtype)


def check_features(features: Any) -> None:
    """Refuse names of features that do not say how they turn.

    Raises:
        TypeError: if it is no mapping.
    """
    if features is None or isinstance(features, Mapping):
        return
    names = [features] if isinstance(features, str) else features
    listed = isinstance(names, list | tuple | set) and len(names) > 0
    example = {str(name): "1o" for name in names} if listed else {"normals": "1o"}
    raise TypeError(
        f"`features` is {features!r} but must map names to how they turn: features={example}, "
        "'1o' for a vector, '0e' for what does not turn"
    )


def check_sizes(**sizes: Any) -> None:
    """Refuse sizes that make no network, by the name of the argument.

    Raises:
        TypeError: if one is no number.
        ValueError: if one is not positive and finite.
    """
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, Real):
            raise TypeError(f"`{name}` is {size!r} but must be a positive number, {_way_out(name)}")
        if not 0 < float(size) < math.inf:
            raise ValueError(f"`{name}` is {size} but must be a positive number, {_way_out(name)}")


def check_counts(least: int = 1, **counts: Any) -> None:
    """Refuse numbers of things that are no whole number from ``least`` on, by their names.

    Raises:
        TypeError: if one is no integer.
        ValueError: if one is less.
    """
    for name, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, Integral):
            raise TypeError(
                f"`{name}` is {count!r} but must be an integer, {least} or more, "
                f"{_way_out(name, '2')}"
            )
        if count < least:
            raise ValueError(
                f"`{name}` is {count} but must be {least} or more, {_way_out(name, '2')}"
            )


def check_lengths(**lengths: Any) -> None:
    """Refuse what is no sequence of numbers, by the name of the argument.

    Raises:
        TypeError: for a single number, a string, and what holds others than numbers.
    """
    for name, given in lengths.items():
        several = given.tolist() if hasattr(given, "tolist") else given
        if isinstance(several, str) or not isinstance(several, Sequence):
            raise TypeError(
                f"`{name}` is {several!r} but must be a sequence of numbers, "
                f"{_way_out(name, '(0.5, 1.0)')}"
            )
        if not all(isinstance(one, Real) for one in several):
            raise TypeError(
                f"`{name}` is {several!r} but must hold numbers, {_way_out(name, '(0.5, 1.0)')}"
            )


def _way_out(name: str, example: str = "1.0") -> str:
    return f"as in {name}={example}: leave it out for the default"
