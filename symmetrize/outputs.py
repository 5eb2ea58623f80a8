"""What a network returns: which representation each output has, and whose each row is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from e3nn import o3
from torch import Tensor

from symmetrize.representation import Representation, as_representation

Spec: TypeAlias = str | o3.Irreps | o3.Irrep | Representation


@dataclass(frozen=True)
class Output:
    """One declared output.

    Attributes:
        representation: how its values turn.
        per_point: whether it has one row for each point, instead of one for each structure.
    """

    representation: Representation
    per_point: bool = False


def per_point(spec: Spec) -> Output:
    """Declare an output with one row for each point, such as ``per_point("1o")`` for forces.

    >>> per_point("1o").per_point
    True
    """
    return Output(as_representation(spec), per_point=True)


Outputs: TypeAlias = Spec | Output | Mapping[str, Spec | Output]

# The name under which the only output of a network that returns a plain tensor goes
ONLY = "output"


@dataclass(frozen=True)
class Declaration(Mapping[str, Output]):
    """All outputs of a network by name; a plain tensor is the one output named ``ONLY``.

    >>> Declaration.of({"energy": "0e", "forces": per_point("1o")})["forces"].per_point
    True
    """

    by_name: dict[str, Output]
    is_mapping: bool

    def __getitem__(self, name: str) -> Output:
        return self.by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.by_name)

    def __len__(self) -> int:
        return len(self.by_name)

    @classmethod
    def of(cls, outputs: Outputs) -> Declaration:
        """Read what the user wrote.

        Raises:
            ValueError: if a representation is not understood, or nothing is declared.
        """
        if isinstance(outputs, Declaration):
            return outputs
        if isinstance(outputs, Mapping):
            if not outputs:
                raise ValueError(
                    "`outputs` is empty: declare how each output turns, as in {'energy': '0e'}"
                )
            return cls({name: _output(spec) for name, spec in outputs.items()}, True)
        return cls({ONLY: _output(outputs)}, False)

    @property
    def degree(self) -> int:
        """Largest angular momentum of any output."""
        return max(output.representation.lmax for output in self.values())

    def named(self, returned: Any) -> dict[str, Tensor]:
        """What the network returned, by name; a tensor is what is declared, if that is one output.

        Raises:
            TypeError: if it is not a tensor where one, or a mapping where several are declared.
            ValueError: if names differ from the declared ones.
        """
        if not self.is_mapping:
            if not isinstance(returned, Tensor):
                raise TypeError(
                    f"the network returned {type(returned).__name__} where one tensor was "
                    "declared: declare a mapping, as in outputs={'energy': '0e'}, for a network "
                    "that returns one"
                )
            return {ONLY: returned}
        if isinstance(returned, Tensor) and len(self) == 1:
            return dict.fromkeys(self, returned)
        if not isinstance(returned, Mapping):
            raise TypeError(
                f"the network returned {type(returned).__name__} where the outputs "
                f"{sorted(self)} were declared: return a dict of tensors, or declare one "
                "representation for one tensor"
            )
        if set(returned) != set(self):
            raise ValueError(
                f"the network returned {sorted(returned)} where {sorted(self)} were "
                "declared: declare every output, so that none is left without symmetry"
            )
        return dict(returned)

    def unnamed(self, values: dict[str, Tensor]) -> Any:
        """Values in the form in which the network returns them."""
        return values if self.is_mapping else values[ONLY]


def _output(spec: Spec | Output) -> Output:
    return spec if isinstance(spec, Output) else Output(as_representation(spec))
