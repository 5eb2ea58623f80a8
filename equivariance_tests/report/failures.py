"""What can be wrong with a model: one exception for each kind of failure.

Kinds are types, so that a search for the smallest counterexample does not slip from one fault of a
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


class NotEquivariant(Failure):
    """Outputs do not turn as declared."""

    kind = "not equivariant"


class WrongParity(NotEquivariant):
    """Outputs turn with rotations but not with reflections."""

    kind = "wrong parity"


class NotStabilized(Failure):
    """The output of a symmetric cloud lacks the symmetry of the cloud."""

    kind = "less symmetric than the cloud"


class NotStationary(Failure):
    """The derivative along an infinitesimal rotation is not that of the representation."""

    kind = "wrong Lie derivative"


class Imprecise(Failure):
    """An error that does not fall with the precision of the numbers: it is in the method."""

    kind = "error of the method"


class NotPermuted(Failure):
    """Outputs depend on the order of points."""

    kind = "depends on the order of points"


class NotTranslated(Failure):
    """Outputs depend on where the cloud lies."""

    kind = "depends on the origin"


class NotBatched(Failure):
    """Outputs depend on what else is in the batch."""

    kind = "depends on the batch"


class NotFaithful(Failure):
    """Copies of a structure differ from it by more than a rotation."""

    kind = "copies are not faithful"


class NotDeterministic(Failure):
    """The same input has several outputs."""

    kind = "random"


class Stale(Failure):
    """Outputs depend on what the model was asked before."""

    kind = "remembers"


class WrongDtype(Failure):
    """Outputs do not have the dtype, or are not on the device, of the positions."""

    kind = "wrong dtype or device"


class NonFinite(Failure):
    """NaN or infinity, in an output or a derivative."""

    kind = "not finite"


class Raises(Failure):
    """The model raises on a valid input."""

    kind = "raises"


class Vacuous(Failure):
    """An output is the same for all clouds: every law holds for it, and says nothing."""

    kind = "vacuous"


class Indifferent(Failure):
    """A wrong declaration passes too: the test cannot tell."""

    kind = "negative control passes"


class WrongGradient(Failure):
    """The gradient is not that of the function."""

    kind = "wrong gradient"


class WorkNotClosed(Failure):
    """The gradient, integrated along a path, is not the difference of the function."""

    kind = "work is not closed"


class WrongForces(Failure):
    """Forces are not minus the derivative of the energy by the positions."""

    kind = "wrong forces"


class WrongStress(Failure):
    """A stress or a virial is not the derivative of the energy by strain."""

    kind = "wrong stress"


class WrongWork(Failure):
    """The work of the forces along a path is not what the energy falls by."""

    kind = "work is not what the energy falls by"


class NotExtensive(Failure):
    """Two fragments out of sight of each other are not the sum of both."""

    kind = "not extensive"


class NotLocal(Failure):
    """A point beyond the declared reach changes an output."""

    kind = "sees beyond its cutoff"


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
