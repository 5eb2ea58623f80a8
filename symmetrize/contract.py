"""What a model claims about itself: the one notion shared by networks, wrapper and tests.

A network declares its contract as the attribute ``contract``; ``Symmetrizer(network)`` reads from
it how outputs and inputs turn and how far the network sees, and offers the contract of the result,
which has a group.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Literal, TypeAlias, get_args

from torch import nn

from symmetrize.arguments import representations_of
from symmetrize.declaration import Declaration, Outputs
from symmetrize.groups import GROUPS, UPRIGHT, Direction, Group, as_direction, is_axial
from symmetrize.outputs import Spec
from symmetrize.plain import plain
from symmetrize.representation import Representation

# Number of continuous derivatives; None where none is claimed
Smoothness: TypeAlias = int | float | None
# Along which directions a cloud may be moved: all, or only those across the axis of the group
Translations: TypeAlias = Literal["all", "across"]
# Words for what JSON and TOML have no value for
WORDS: dict[str, dict[str, float | None]] = {
    "group": {"none": None},
    "smoothness": {"inf": math.inf, "none": None},
}


@dataclass(frozen=True, init=False)
class Contract:
    """How outputs turn, how smooth they are in the positions, and how far a point sees.

    Attributes:
        outputs: how the outputs turn, as in ``Symmetrizer``; a mapping from names to ``Output``
            once read. For a network without symmetry: how they are meant to turn.
        inputs: how attributes of the data turn, beside ``pos`` and ``cell``.
        positions: names of further positions beside ``pos``, which turn and move along with it.
        group: "O(3)" or "SO(3)", or "O(2)" or "SO(2)" about an axis, under which the outputs turn
            exactly; None for no claim, as of a network that is to be symmetrized.
        smoothness: number of continuous derivatives with respect to positions, on every path along
            which points keep their identity: ``math.inf``, an order, 0 for continuous with kinks
            (max pooling, ReLU), or None for no claim (hard cutoffs, nearest neighbors).
        cutoff: largest distance, in the unit of the positions, over which points see each other
            directly; None if every point sees all others.
        rounds: number of times that what is seen is passed on (message passing).
        envelope: whether points count by their weight ``data.envelope`` where the data has one, so
            that environments may end before the network stops seeing (scope "center").
        extensive: whether outputs of structures are sums over fragments out of sight of each other.
        periodic: whether ``cell`` and ``pbc`` are understood.
        min_distance: least distance of two points, images among them, from which on all this holds,
            as of a potential with a repulsive core; None if it holds for points in one place, too.
        axis: that of "O(2)" and "SO(2)"; where each structure has its own, the name of the input,
            which turns along, so that the claim is one of O(3) or SO(3). None without an axis.
        translations: "all", or "across" if outputs depend on where points are along the axis.

    Permutation and translation need no mention: every model on point clouds claims both. Networks
    that choose some of several points at equal distance (nearest neighbors, sampled points) meet
    permutations but for such ties.

    >>> contract = Contract({"energy": "0e", "dipole": "1o"}, cutoff=5.0, rounds=2)
    >>> contract.receptive_field
    10.0
    >>> str(contract.outputs["dipole"].representation)
    '1o'
    """

    outputs: Declaration
    inputs: dict[str, Representation]
    group: Group | None
    smoothness: Smoothness
    cutoff: float | None
    rounds: int
    envelope: bool
    extensive: bool
    periodic: bool
    positions: tuple[str, ...]
    min_distance: float | None
    axis: Direction | str | None
    translations: Translations

    def __init__(
        self,
        outputs: Outputs,
        inputs: Mapping[str, Spec] | None = None,
        group: Group | None = "O(3)",
        smoothness: Smoothness = math.inf,
        cutoff: int | float | None = None,
        rounds: int = 1,
        envelope: bool = False,
        extensive: bool = False,
        periodic: bool = False,
        positions: Sequence[str] = (),
        min_distance: int | float | None = None,
        axis: Sequence[int | float] | str | None = None,
        translations: Translations = "all",
    ) -> None:
        if group not in (*GROUPS, None):
            names = ", ".join(map(repr, GROUPS))
            raise ValueError(f"`group` is {group!r} but must be {names}, or None for no claim")
        if smoothness is not None and (
            not isinstance(smoothness, Real)
            or not smoothness >= 0
            or (smoothness < math.inf and smoothness % 1 != 0)
        ):
            raise ValueError(
                f"`smoothness` is {smoothness!r} but must be a number of continuous derivatives: "
                "0, 1, 2, ... or math.inf; None claims nothing"
            )
        for name, value in (
            ("envelope", envelope),
            ("extensive", extensive),
            ("periodic", periodic),
        ):
            if not isinstance(value, bool):
                raise ValueError(f"`{name}` is {value!r} but must be True or False")
        if isinstance(min_distance, bool):
            raise ValueError(f"`min_distance` is {min_distance} but must be a length, or None")
        if cutoff is not None and not (isinstance(cutoff, Real) and 0 < cutoff < math.inf):
            raise ValueError(
                f"`cutoff` is {cutoff!r} but must be a positive length; None if every point sees "
                "all others"
            )
        if not isinstance(rounds, Integral) or rounds < 1:
            raise ValueError(
                f"`rounds` is {rounds!r} but must be an integer, at least 1: how many times points "
                "see each other's neighbors, 1 for a network that passes no messages on"
            )
        if min_distance is not None and not 0 < min_distance < (cutoff or math.inf):
            below = "" if cutoff is None else f" below the cutoff {cutoff}"
            raise ValueError(
                f"`min_distance` is {min_distance} but must be a positive length{below}; None if "
                "points may be in one place"
            )
        along = axis_for(group, axis)
        check_translations(translations, along)
        claims = {
            "outputs": Declaration.of(outputs),
            "inputs": representations_of({} if inputs is None else inputs),
            "group": group,
            "smoothness": smoothness,
            "cutoff": None if cutoff is None else float(cutoff),
            "rounds": rounds,
            "envelope": envelope,
            "extensive": extensive,
            "periodic": periodic,
            "positions": names_of_positions(positions),
            "min_distance": None if min_distance is None else float(min_distance),
            "axis": along,
            "translations": translations,
        }
        for name, value in claims.items():
            object.__setattr__(self, name, value)

    def plain(self) -> dict[str, Any]:
        """What is claimed, by the names of the arguments, as JSON holds it.

        >>> Contract("1o", smoothness=math.inf).plain()["smoothness"]
        'inf'
        """
        return {
            "outputs": self.outputs.plain(),
            "inputs": {name: str(turns) for name, turns in self.inputs.items()},
            **{
                field.name: _word(plain(getattr(self, field.name)))
                for field in dataclasses.fields(self)
                if field.name not in ("outputs", "inputs")
            },
        }

    @classmethod
    def of_plain(cls, found: Mapping[str, Any]) -> Contract:
        """What ``plain`` wrote; what is left out has its default, and "none" claims nothing.

        Raises:
            ValueError: if a field is unknown or missing, or its value is none of a contract.

        >>> claimed = Contract.of_plain({"outputs": {"energy": "0e"}, "smoothness": "none"})
        >>> claimed.smoothness is None
        True
        """
        known = [field.name for field in dataclasses.fields(cls)]
        unknown = sorted(set(found) - set(known))
        if unknown:
            raise ValueError(f"a contract has no {', '.join(unknown)}, but: {', '.join(known)}")
        if "outputs" not in found:
            raise ValueError(
                "the contract has no `outputs`: say how each turns, as in {'energy': '0e'}"
            )
        given: dict[str, Any] = {
            name: WORDS.get(name, {}).get(value, value) if isinstance(value, str) else value
            for name, value in found.items()
        }
        try:
            return cls(Declaration.of_plain(given.pop("outputs")), **given)
        except TypeError as error:
            raise ValueError(f"a value of the contract has the wrong type: {error}") from error

    @property
    def receptive_field(self) -> float | None:
        """Distance beyond which points do not change what belongs to a point; None if global."""
        return None if self.cutoff is None else self.rounds * self.cutoff

    @property
    def locality(self) -> Literal["global", "message passing", "local"]:
        """Whether a point sees all others, others through others, or only its environment."""
        if self.cutoff is None:
            return "global"
        return "local" if self.rounds == 1 else "message passing"


def _word(value: Any) -> Any:
    """A plain value, with a word for what is infinite."""
    return "inf" if isinstance(value, float) and value == math.inf else value


def names_of_positions(names: Sequence[str]) -> tuple[str, ...]:
    """Names of further positions, as they were given.

    Raises:
        ValueError: if they are not names, or ``pos`` is among them.

    >>> names_of_positions(["pos_pocket"])
    ('pos_pocket',)
    """
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise ValueError(
            f"`positions` is {names!r} but must be a list of names, as in positions=['pos_pocket']"
        )
    if "pos" in names:
        raise ValueError(
            "`positions` names 'pos', which are positions without being named: leave it out"
        )
    return tuple(dict.fromkeys(names))


def axis_for(group: Group | None, axis: Any) -> Direction | str | None:
    """The axis that goes with a group: upright if nothing is said, none in space.

    Raises:
        ValueError: if it has no direction, or the group needs none.

    >>> axis_for("SO(2)", None), axis_for("O(3)", None)
    ((0.0, 0.0, 1.0), None)
    """
    if isinstance(axis, str) or (axis is None and not is_axial(group)):
        return axis
    if not is_axial(group):
        raise ValueError(
            f"`axis` is {axis!r} but `group` is {group!r}, which treats all directions alike: "
            "about an axis take 'O(2)' (rotations and reflections) or 'SO(2)' (rotations only)"
        )
    return UPRIGHT if axis is None else as_direction(axis)


def check_translations(translations: Any, axis: Direction | str | None) -> None:
    """Refuse translations across an axis that is not there.

    Raises:
        ValueError: naming what is allowed.
    """
    if translations not in get_args(Translations):
        raise ValueError(f"`translations` is {translations!r} but must be 'all' or 'across'")
    if translations == "across" and axis is None:
        raise ValueError(
            "`translations` is 'across' but there is no axis to be across of: it goes with the "
            "groups 'O(2)' and 'SO(2)'"
        )


def lowest(one: Smoothness, other: Smoothness) -> Smoothness:
    """Smoothness of what is made of parts of these orders; None as soon as one claims nothing.

    >>> lowest(math.inf, 2), lowest(2, None)
    (2, None)
    """
    return None if one is None or other is None else min(one, other)


def declared_by(net: object, name: str) -> Any:
    """What a network declares by a name, or None; through torch's wrappers for many processes.

    ``DistributedDataParallel`` and ``DataParallel`` hand on the calls of a network, and no more.
    """
    while isinstance(net, nn.DataParallel | nn.parallel.DistributedDataParallel):
        net = net.module
    return getattr(net, name, None)


def contract_of(net: object) -> Contract | None:
    """The contract that a network declares, if it does."""
    found = declared_by(net, "contract")
    return found if isinstance(found, Contract) else None
