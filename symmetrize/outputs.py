"""One output of a network: how its values turn, and what each of its rows stands for.

Outputs are averaged over frames as they are. The average of logarithms of probabilities is that of
no distribution, but smaller: ``log_probabilities`` averages the probabilities, and is exact. Or let
the network return logits, and take their softmax after the average: another distribution, as exact.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from e3nn import o3

from symmetrize.data.rows import RowsOf as RowsOf  # for others, too: it is a part of `Output`
from symmetrize.representation import Representation, as_representation

Averaging = Literal["mean", "log"]
Spec: TypeAlias = str | o3.Irreps | o3.Irrep | Representation


@dataclass(frozen=True)
class Output:
    """One declared output.

    Attributes:
        representation: how its values turn.
        rows: what each of its rows stands for: a "structure", a "point", or an "edge", which is a
            column of ``edge_index``.
        average: of what the average is taken: the values ("mean"), or, of log-probabilities, what
            they are the logarithms of ("log").

    Raises:
        ValueError: if log-probabilities turn, or it is not known what a row stands for.
    """

    representation: Representation
    rows: RowsOf = "structure"
    average: Averaging = "mean"

    def __post_init__(self) -> None:
        for name, choices in (("rows", get_args(RowsOf)), ("average", get_args(Averaging))):
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"`{name}` is {getattr(self, name)!r} but must be one of "
                    f"{', '.join(map(repr, choices))}"
                )
        if self.average == "log" and not self.representation.is_invariant:
            raise ValueError(
                f"log-probabilities are declared as {str(self.representation)!r} but no rotation "
                "or reflection changes them: declare scalars, as in log_probabilities('11x0e')"
            )

    @property
    def per_point(self) -> bool:
        """Whether there is one row for each point."""
        return self.rows == "point"

    def plain(self) -> dict[str, Any]:
        """By the names of its attributes, as JSON holds them.

        >>> per_point("1o").plain()
        {'representation': '1o', 'rows': 'point'}
        """
        told = {"representation": str(self.representation), "rows": self.rows}
        return told if self.average == "mean" else told | {"average": self.average}

    @classmethod
    def of_plain(cls, found: str | Mapping[str, Any], place: str = "an output") -> Output:
        """What ``plain`` wrote, or a representation alone.

        ``turns`` and ``per_point``, as earlier versions wrote them, are read, too.

        Args:
            found: plain values.
            place: where they stand, in errors.

        Raises:
            ValueError: if a field is missing or not known, or a value is none of it.
        """
        if isinstance(found, str):
            return cls(as_representation(found))
        given = dict(found)
        if "turns" in given and "representation" not in given:
            given["representation"] = given.pop("turns")
        if isinstance(given.get("per_point"), bool) and "rows" not in given:
            given["rows"] = "point" if given.pop("per_point") else "structure"
        known = [field.name for field in dataclasses.fields(cls)]
        unknown = sorted(set(given) - set(known))
        if unknown:
            raise ValueError(
                f"{place} has no {', '.join(unknown)}, but: {', '.join(known)}; what is not known "
                "may change what a model computes, so nothing is guessed"
            )
        if "representation" not in given:
            raise ValueError(
                f"{place} is {dict(found)} but must be a representation such as '0e', or "
                "{'representation': '1o', 'rows': 'point'}"
            )
        try:
            return cls(as_representation(given.pop("representation")), **given)
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from None

    def __str__(self) -> str:
        spec = repr(str(self.representation))
        if self.average == "log":
            others = {"structure": "", "point": ", per_point=True", "edge": ", rows='edge'"}
            return f"log_probabilities({spec}{others[self.rows]})"
        return spec if self.rows == "structure" else f"per_{self.rows}({spec})"


def per_point(spec: Spec) -> Output:
    """Declare an output with one row for each point, such as ``per_point("1o")`` for forces.

    >>> per_point("1o").per_point
    True
    """
    return Output(as_representation(spec), "point")


def per_edge(spec: Spec) -> Output:
    """Declare an output with one row for each edge, such as ``per_edge("ij")`` for blocks of pairs.

    Edges are the columns of ``data.edge_index``, which the data carries: in their order.

    >>> per_edge("ij").rows
    'edge'
    """
    return Output(as_representation(spec), "edge")


def log_probabilities(spec: Spec, per_point: bool = False, *, rows: RowsOf | None = None) -> Output:
    """Declare logarithms of probabilities, such as those that ``log_softmax`` returns.

    Their average over frames is log(sum_p w_p exp(f(A R_p))): the logarithm of the average of the
    probabilities, which add up to one where those of the network do. A probability of exactly zero,
    -inf, stays one if it is so in all frames, and gradients are finite either way. What ``spread``
    says is the spread of the probabilities.

    Args:
        spec: scalars that nothing changes, as in ``"11x0e"`` for 11 classes.
        per_point: whether there is one row for each point, as in segmentation.
        rows: what each row stands for, where that is an "edge", as in kinds of bonds.

    Raises:
        ValueError: if a rotation or a reflection would change them.

    >>> str(log_probabilities("11x0e"))
    "log_probabilities('11x0e')"
    """
    usual: RowsOf = "point" if per_point else "structure"
    return Output(as_representation(spec), usual if rows is None else rows, "log")
