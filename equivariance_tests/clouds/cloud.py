"""A cloud as a descriptor of small integers, and the setting that makes a structure of it.

A ``Cloud`` says which stratum, about how many points, which of them, how they lie in space. It
prints as code to paste and shrinks to fewer points, a simpler stratum, and no turn. What is the
same for all clouds of a model, its cutoff, its species, the attributes that it takes, is in the
``Setting``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np
import torch
from torch import Tensor

from equivariance_tests.clouds.apart import fitted, least_distance
from equivariance_tests.clouds.carried import check_kinds
from equivariance_tests.clouds.crystals import CRYSTALS
from equivariance_tests.clouds.edges import Edges
from equivariance_tests.clouds.rattled import rattled
from equivariance_tests.clouds.strata import CUTOFF, FINITE
from equivariance_tests.clouds.structure import Structure
from equivariance_tests.clouds.turns import UNTURNED, Quaternion, Turn, standing
from symmetrize import Contract

# Further positions of a decorated cloud
FURTHER = 3
# Where the contract has a least distance clouds keep this factor more, but less than the cutoff, so
# that there is room for the displacements of the checks
GAP = 1.25
# The part of it by which large coordinates may be rounded off
ROUNDED_OFF = 1e-3
# Where the clouds of large coordinates lie, in powers of ten of this
AWAY = torch.tensor([1.0, -1.0, 0.5], dtype=torch.float64)
STRATA: tuple[str, ...] = (*FINITE, *CRYSTALS)


@dataclass(frozen=True, repr=False)
class Cloud:
    """A cloud, by what it is like.

    Attributes:
        stratum: one of ``STRATA``.
        number: of points, about; some strata have their own.
        seed: which of the clouds of the stratum.
        turn: integer quaternion (w, x, y, z) by which it lies in space.
        scale: power of ten by which it is larger than usual; crystals are never smaller.
        offset: power of ten, in the unit of the setting, of its distance from the origin; 0 at it.
        decorated: whether species and inputs differ from point to point; if not, all points are
            of the first species, but in crystals of two, and inputs are zero, so that a cloud has
            the symmetry of its shape.
        first: how many of its points there are, from the first on; all if not given.
        rattled: how far each point is moved in a random direction, in the unit of the setting if
            ``scale`` is 0; see ``rattled``.

    >>> Cloud("pyramid", number=5)
    Cloud('pyramid', number=5)
    >>> len(Setting().structure(Cloud("pyramid")))
    5
    """

    stratum: str = "generic"
    number: int = 4
    seed: int = 0
    turn: Quaternion = UNTURNED
    scale: int = 0
    offset: int = 0
    decorated: bool = False
    first: int | None = None
    rattled: int | float = 0.0

    def __post_init__(self) -> None:
        if self.stratum not in STRATA:
            raise ValueError(
                f"`stratum` is {self.stratum!r} but must be one of {', '.join(STRATA)}"
            )

    def __repr__(self) -> str:
        said = [repr(self.stratum)]
        for one in fields(self)[1:]:
            value = getattr(self, one.name)
            if value != one.default:
                said.append(f"{one.name}={value!r}")
        return f"Cloud({', '.join(said)})"


@dataclass(frozen=True, repr=False, eq=False)
class Given(Cloud):
    """A structure of a user, where a cloud is expected; equal to nothing but itself.

    Attributes:
        given: the structure.
    """

    given: Structure | None = None

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"the structure of {0 if self.given is None else len(self.given)} points given"


@dataclass(frozen=True)
class Setting:
    """What the structures of one model have in common.

    Attributes:
        cutoff: what stands for the cutoff in the strata, in the unit of the positions.
        species: the integers that ``z`` may be; empty for a model that takes none.
        contract: says which inputs there are and whether cells are understood.
        of_structures: names of inputs with one row for each structure, not for each point.
        carries: kinds of data that structures carry beside their points, of ``CARRIED``.
        edges_listed: whether ``prepare`` lists edges: structures then carry none.

    >>> setting = Setting.of(Contract("0e", cutoff=6.0), species=[1, 8])
    >>> setting.structure(Cloud("at the cutoff", number=3)).positions.norm(dim=1).max()
    tensor(6., dtype=torch.float64)
    """

    cutoff: float = CUTOFF
    species: tuple[int, ...] = ()
    contract: Contract = field(default_factory=lambda: Contract("0e"))
    of_structures: frozenset[str] = frozenset()
    carries: frozenset[str] = frozenset()
    edges_listed: bool = False

    @classmethod
    def of(
        cls,
        contract: Contract,
        species: Sequence[int] = (),
        of_structures: Sequence[str] = (),
        unit: int | float | None = None,
        carries: Sequence[str] = (),
        edges_listed: bool = False,
    ) -> Setting:
        """The setting of a model with this contract.

        Args:
            contract: of the model.
            species: the integers that ``z`` may be.
            of_structures: names of inputs with one row for each structure.
            unit: length that points of a cloud are typically apart, in the unit of the positions;
                a third of the cutoff if not given, 1 without a cutoff, or the least distance of the
                contract if that is larger.
            carries: kinds of data that structures carry.
            edges_listed: whether ``prepare`` lists edges.

        Raises:
            ValueError: if a name is not among the inputs of the contract.
        """
        unknown = set(of_structures) - set(contract.inputs)
        if unknown:
            raise ValueError(
                f"`of_structures` names {sorted(unknown)} but the contract has the inputs "
                f"{sorted(contract.inputs)}: declare them there"
            )
        if unit is not None:
            cutoff = CUTOFF * float(unit)
        elif contract.cutoff is not None:
            cutoff = contract.cutoff
        else:
            cutoff = CUTOFF * max(1.0, contract.min_distance or 0.0)
        kinds = check_kinds(carries)
        names = frozenset(of_structures)
        return cls(cutoff, tuple(species), contract, names, kinds, edges_listed)

    @property
    def unit(self) -> float:
        """The length that is 1 in the strata."""
        return self.cutoff / CUTOFF

    @property
    def edges_within(self) -> float | None:
        """How far points are apart that are joined by edges; None where structures carry none.

        That is the cutoff, or any distance without one. Only outputs with rows of edges need them,
        and not where ``prepare`` lists its own: it may keep those that are there.
        """
        if self.edges_listed or all(one.rows != "edge" for one in self.contract.outputs.values()):
            return None
        return math.inf if self.contract.cutoff is None else self.contract.cutoff

    @property
    def apart(self) -> float:
        """How far points of clouds are apart at least; 0 if the contract does not say."""
        least = self.contract.min_distance
        if least is None:
            return 0.0
        within = math.inf if self.contract.cutoff is None else self.contract.cutoff
        return min(GAP * least, math.sqrt(least * within))

    @property
    def room(self) -> float:
        """How far any point may be moved in any direction; infinite if it does not matter."""
        least = self.contract.min_distance
        return math.inf if least is None else 0.45 * (self.apart - least)

    def stands(self, structure: Structure) -> bool:
        """Whether the points are as far apart as the contract says."""
        least = self.contract.min_distance
        return least is None or least_distance(structure, least) >= least

    def left_out(self, cloud: Cloud, dtype: torch.dtype = torch.float64) -> str:
        """Why the contract does not speak of a cloud, as a dtype has it, or nothing."""
        least = self.contract.min_distance
        if least is None:
            return ""
        structure = self.structure(cloud).rounded(dtype)
        enough = least if isinstance(cloud, Given) else (1 - ROUNDED_OFF) * self.apart
        if least_distance(structure, enough) >= enough:
            return ""
        return f"points are closer than the contract speaks of, from {least:g} on"

    def structure(self, cloud: Cloud) -> Structure:
        """The structure that a cloud describes, for this model.

        With points that are apart, where the contract has a least distance and the stratum allows.
        """
        if isinstance(cloud, Given) and cloud.given is not None:
            return cloud.given
        rng = np.random.default_rng(cloud.seed)
        # clouds along their axes are along that of the contract
        axis = self.contract.axis
        matrix = Turn(cloud.turn).matrix()
        if axis is not None and not isinstance(axis, str):
            matrix = standing(axis) @ matrix
        factor = 10.0**cloud.scale
        cell = pbc = kinds = None
        if cloud.stratum in CRYSTALS:
            crystal = CRYSTALS[cloud.stratum](cloud.number, cloud.seed)
            # in a smaller one there would be neighbors without number
            factor = max(factor, 1.0)
            points, pbc = crystal.points[: cloud.first], crystal.pbc
            kinds = crystal.kinds
            cell = self._scaled(crystal.cell, factor)
        else:
            points = FINITE[cloud.stratum](cloud.number, cloud.seed)[: cloud.first]
            if self.contract.periodic:  # finite structures are batched with periodic ones
                cell = torch.zeros(3, 3, dtype=torch.float64)
                pbc = torch.zeros(3, dtype=torch.bool)
        if cloud.rattled:
            points = rattled(points, cloud.rattled, cloud.seed)
        kept, positions, cell = self._apart(cloud, self._scaled(points, factor), cell, pbc)
        kinds = None if kinds is None else kinds[kept]
        positions = positions @ matrix.T
        cell = None if cell is None else cell @ matrix.T
        structure = self._dressed(Structure(positions, cell=cell, pbc=pbc), cloud, rng, kinds)
        if cloud.offset:
            structure = structure.moved(self.unit * 10.0**cloud.offset * AWAY)
        return structure

    def _apart(
        self, cloud: Cloud, points: Tensor, cell: Tensor | None, pbc: Tensor | None
    ) -> tuple[list[int], Tensor, Tensor | None]:
        """Points and cell as they are, or fewer or further apart, if there is a least distance.

        And which points these are.
        """
        every = list(range(len(points)))
        if not self.apart:
            return every, points, cell
        # lengths count: that of the cutoff, and of cells as compared with it
        measured = "cutoff" in cloud.stratum
        crystal = cloud.stratum in CRYSTALS
        fit = fitted(
            Structure(points, cell=cell, pbc=pbc),
            self.apart,
            thinned=measured or crystal,
            scaled=not measured or cloud.stratum == "crystal larger than the cutoff",
        )
        if fit is None:
            return every, points, cell
        cell = None if cell is None else fit.factor * cell
        return fit.kept, fit.factor * points[fit.kept], cell

    def _scaled(self, points: Tensor, factor: float) -> Tensor:
        # multiplied first: a point at CUTOFF then lies exactly at the cutoff
        return points * self.cutoff / CUTOFF * factor

    def _dressed(
        self, structure: Structure, cloud: Cloud, rng: np.random.Generator, kinds: Tensor | None
    ) -> Structure:
        """With species, of these kinds or drawn, and inputs."""
        size = len(structure)
        species = None
        if self.species:
            which = rng.integers(len(self.species), size=size) * cloud.decorated
            if kinds is not None and not cloud.decorated:
                which = kinds.numpy() % len(self.species)
            species = torch.as_tensor(np.asarray(self.species)[which], dtype=torch.long)
        inputs = {}
        for name, representation in self.contract.inputs.items():
            rows = 1 if name in self.of_structures else size
            shape = (rows, *representation.value_shape)
            drawn = torch.as_tensor(rng.integers(-4, 5, size=shape) / 4.0)
            inputs[name] = representation.symmetrize_indices(drawn * cloud.decorated)
            if name == self.contract.axis:  # it has a direction, that of the cloud or another
                own = Turn(cloud.turn).matrix()[:, 2:].T
                inputs[name] = own + drawn / 4 if cloud.decorated else own
        # one in the middle of the cloud leaves its symmetry alone
        further = {}
        for name in self.contract.positions:
            drawn = torch.as_tensor(rng.integers(-8, 9, size=(FURTHER, 3)) / 4.0)
            middle = structure.positions.mean(0) if size else 0.0 * drawn[0]
            others = drawn if cloud.decorated else 0.0 * drawn[:1]
            further[name] = middle + others * self.unit * 10.0**cloud.scale
        return Structure(
            structure.positions,
            species,
            structure.cell,
            structure.pbc,
            inputs,
            self.of_structures,
            further,
            self.carries,
            edges=self.edges(structure.positions),
        )

    def edges(self, positions: Tensor) -> Edges | None:
        """The edges of some points, where an output has rows of them."""
        within = self.edges_within
        return None if within is None else Edges.of(positions, within)
