"""What can be wrong with a model: one exception for each kind of failure.

Here are those that several checks find; what is of one law stands beside it, in ``checks``. Kinds
are types, so that a search for the smallest counterexample does not slip from one fault of a
model to another. Each is an ``AssertionError`` and prints where it was found as code to paste.
"""

from __future__ import annotations

from typing import Any

from equivariance_tests.clouds import Cloud


class Failure(AssertionError):  # noqa: N818 - of a model, not of a program
    """A law that a model breaks, on one cloud.

    Attributes:
        said: what is wrong, in a sentence or two.
        cloud: the descriptor of the cloud, if there is one.
        code: the structure as Python code.
        error: how wrong, relative to the spread of the output where that makes sense.
        bound: the error that rounding explains.
        details: further numbers by name: place, size and order of a break, the turn, ...
        curve: what to draw, if there is something: lists "x" and "y", "xlabel", "ylabel", "title",
            and whether to draw it as "log".
    """

    kind = "failure"

    def __init__(
        self,
        said: str,
        cloud: Cloud | None = None,
        code: str = "",
        error: int | float = float("nan"),
        bound: int | float = float("nan"),
        details: dict[str, Any] | None = None,
        curve: dict[str, Any] | None = None,
    ) -> None:
        self.said, self.cloud, self.code, self.curve = said, cloud, code, curve
        self.error, self.bound, self.details = float(error), float(bound), details or {}
        super().__init__(self.text())

    def text(self) -> str:
        """The failure, the cloud and the code that makes it."""
        lines = [f"{self.kind}: {self.said}"]
        lines += [f"  {name}: {value}" for name, value in self.details.items()]
        if self.cloud is not None:
            lines.append(f"  cloud: {self.cloud!r}")
        if self.code:
            lines.append("  as data: " + self.code.replace("\n", "\n  "))
        return "\n".join(lines)

    def __reduce__(self) -> Any:
        # made from its arguments, with whatever was noted about it
        given = (self.said, self.cloud, self.code, self.error, self.bound, self.details, self.curve)
        return type(self), given, dict(vars(self))


class Stale(Failure):
    """Outputs depend on what the model was asked before."""

    kind = "remembers"


class NonFinite(Failure):
    """NaN or infinity, in an output or a derivative."""

    kind = "not finite"


class Raises(Failure):
    """The model raises on a valid input."""

    kind = "raises"


class Broken(Failure):
    """A function, or one of its derivatives, is not continuous."""

    kind = "break"


class Jump(Broken):
    """The function jumps."""

    kind = "jump"


class Kink(Broken):
    """The first derivative jumps."""

    kind = "kink"


class CurvatureBreak(Broken):
    """A second or higher derivative jumps."""

    kind = "break of the curvature"


def broken(order: int) -> type[Broken]:
    """The kind of a break in the derivative of this order.

    >>> broken(1).__name__
    'Kink'
    """
    return (Jump, Kink, CurvatureBreak)[min(order, 2)]


def first_line(raised: Exception) -> str:
    """The type of an exception, the first line of what it says, and what was noted about it."""
    said = [line for line in str(raised).strip().splitlines()[:1] if line]
    told = ": ".join([type(raised).__name__, *said])
    notes = "; ".join(dict.fromkeys(getattr(raised, "__notes__", ())))
    return f"{told} ({notes})" if notes else told
