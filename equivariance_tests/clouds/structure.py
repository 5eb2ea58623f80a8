"""A structure: positions, species, cell and whatever else turns with it, and what is done to it.

Everything is float64 and on the CPU; ``collate`` makes the batch that a model takes.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch_geometric.data import Batch, Data

from equivariance_tests.clouds.carried import carrying
from equivariance_tests.clouds.edges import Edges
from symmetrize import Contract, Output

# Distances below this part of the coordinates are their rounding
ROUNDED = 2.0**-48


@dataclass(frozen=True)
class Structure:
    """Points in space, finite or periodic, of which one test is made.

    Attributes:
        positions: (n, 3), in the unit of the model.
        species: (n,) integers, or None for a model that knows none.
        cell: (3, 3) lattice vectors as rows, or None.
        pbc: (3,) which of them are periods, with ``cell``.
        inputs: other attributes that the contract names: (n, *value_shape) or (1, *value_shape).
        of_structures: names of the inputs with a single row, which belongs to the structure.
        further: (m, 3) further positions by name, which turn and move along.
        carries: kinds of what it carries, see ``carried``; made of its points when it is collated.
        kept: data of a user with whatever else its model reads, which stays as it is.
        edges: pairs of points, of a model with outputs of edges, or of a user.
    """

    positions: Float[Tensor, "points 3"]
    species: Int[Tensor, "points"] | None = None
    cell: Float[Tensor, "3 3"] | None = None
    pbc: Bool[Tensor, "3"] | None = None
    inputs: Mapping[str, Float[Tensor, "rows *value"]] = field(default_factory=dict)
    of_structures: frozenset[str] = frozenset()
    further: Mapping[str, Float[Tensor, "others 3"]] = field(default_factory=dict)
    carries: frozenset[str] = frozenset()
    kept: Data | None = None
    edges: Edges | None = None

    def __len__(self) -> int:
        return len(self.positions)

    def number_of_rows(self, output: Output) -> int:
        """How many rows an output has of this structure alone."""
        if output.rows == "edge":
            listed = None if self.kept is None else self.kept.get("edge_index")
            index = listed if self.edges is None else self.edges.index
            return 0 if index is None else index.size(1)
        return len(self) if output.rows == "point" else 1

    @property
    def brings(self) -> bool:
        """Whether a user gave it attributes that other structures lack."""
        return self.kept is not None or (self.edges is not None and self.edges.within is None)

    @property
    def extent(self) -> float:
        """Largest distance of a point from the mean of all; 1 if that is zero, but for rounding."""
        if len(self) == 0:
            return 1.0
        away = float((self.positions - self.positions.mean(0)).norm(dim=1).max())
        # the mean of equal numbers is not always that number
        return away if away > ROUNDED * self.largest else 1.0

    @property
    def largest(self) -> float:
        """Largest coordinate, which rounding is relative to."""
        return float(self.positions.abs().max()) if len(self) else 0.0

    def turned(self, matrix: Float[Tensor, "3 3"], contract: Contract) -> Structure:
        """Rotated or reflected about the origin, with cell and inputs."""
        inputs = {
            name: contract.inputs[name].rotate(values[None], matrix[None])[0]
            for name, values in self.inputs.items()
        }
        cell = None if self.cell is None else self.cell @ matrix.T
        further = {name: others @ matrix.T for name, others in self.further.items()}
        positions = self.positions @ matrix.T
        return replace(self, positions=positions, cell=cell, inputs=inputs, further=further)

    def at(self, positions: Float[Tensor, "points 3"]) -> Structure:
        """The same points elsewhere; further positions stay where they are."""
        return replace(self, positions=positions)

    def moved(self, shift: Float[Tensor, "3"]) -> Structure:
        """As a whole elsewhere."""
        further = {name: others + shift for name, others in self.further.items()}
        return replace(self, positions=self.positions + shift, further=further)

    def free(self, shift: Float[Tensor, "3"], contract: Contract) -> Float[Tensor, "3"]:
        """The part of a shift that the contract says to change nothing."""
        if contract.translations == "all":
            return shift
        axis = contract.axis
        along = self.inputs[axis][0] if isinstance(axis, str) else shift.new_tensor(axis)
        return shift - (shift @ along) / (along @ along) * along

    @property
    def all_positions(self) -> Float[Tensor, "all_points 3"]:
        """Positions and further ones."""
        return torch.cat([self.positions, *self.further.values()])

    def permuted(self, order: Int[Tensor, "points"]) -> Structure:
        """The same points in another order.

        Raises:
            ValueError: if attributes of a user come along, of which nobody knows how they change.
        """
        if self.kept is not None:
            raise ValueError(
                f"the structure has {sorted(self.kept.keys())}, which cannot be put in another "
                "order: give data with pos, z, cell and declared inputs alone, and let `prepare` "
                "add the rest"
            )
        positions = self.positions[order]
        return replace(
            self,
            positions=positions,
            edges=None if self.edges is None else self.edges.permuted(order, positions),
            species=None if self.species is None else self.species[order],
            inputs={
                name: values[order] if self.by_point(name) else values
                for name, values in self.inputs.items()
            },
        )

    def joined(self, other: Structure) -> Structure:
        """This one and another in one, finite, structure; attributes of structures are its own."""
        both = None
        if self.species is not None and other.species is not None:
            both = torch.cat([self.species, other.species])
        inputs = {
            name: torch.cat([values, other.inputs[name]]) if self.by_point(name) else values
            for name, values in self.inputs.items()
        }
        positions = torch.cat([self.positions, other.positions])
        further = {
            name: torch.cat([others, other.further[name]]) for name, others in self.further.items()
        }
        edges = None
        if self.edges is not None:
            edges = self.edges.joined(other.edges, len(self), positions)
        return replace(
            self, positions=positions, species=both, inputs=inputs, further=further, edges=edges
        )

    def by_point(self, name: str) -> bool:
        """Whether an input has one row for each point."""
        return name not in self.of_structures

    def rounded(self, dtype: torch.dtype) -> Structure:
        """All numbers as they are in another precision."""
        return replace(
            self,
            positions=self.positions.to(dtype).double(),
            cell=None if self.cell is None else self.cell.to(dtype).double(),
            inputs={name: values.to(dtype).double() for name, values in self.inputs.items()},
            further={name: others.to(dtype).double() for name, others in self.further.items()},
        )

    def code(self) -> str:
        """Python that makes the ``Data`` of this structure, digit for digit."""
        lines = [f"pos=torch.tensor({self.positions.tolist()}, dtype=torch.float64)"]
        if self.species is not None:
            lines.append(f"z=torch.tensor({self.species.tolist()})")
        if self.cell is not None and self.pbc is not None:
            lines.append(f"cell=torch.tensor([{self.cell.tolist()}], dtype=torch.float64)")
            lines.append(f"pbc=torch.tensor([{self.pbc.tolist()}])")
        for name, values in {**self.inputs, **self.further}.items():
            lines.append(f"{name}=torch.tensor({values.tolist()}, dtype=torch.float64)")
        if self.edges is not None:
            lines.append(f"edge_index=torch.tensor({self.edges.index.tolist()}).long()")
        if len(self) == 0:
            lines[0] = "pos=torch.zeros(0, 3, dtype=torch.float64)"
        return "Data(\n" + "".join(f"    {line},\n" for line in lines) + ")"


def collate(
    structures: Sequence[Structure],
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> Batch:
    """The batch that a model takes: ``pos``, ``z``, ``cell``, ``pbc``, and the inputs by name.

    Beside further positions stands whose they are, as in ``pos_pocket_batch``.
    """
    items = []
    for structure in structures:
        item = Data() if structure.kept is None else copy.copy(structure.kept)
        item.pos = structure.positions.to(dtype)
        if structure.species is not None:
            item.z = structure.species
        if structure.cell is not None and structure.pbc is not None:
            item.cell, item.pbc = structure.cell.to(dtype)[None], structure.pbc[None]
        for name, values in {**structure.inputs, **structure.further}.items():
            item[name] = values.to(dtype)
        if structure.edges is not None:
            item.edge_index = structure.edges.index
        items.append(carrying(item, structure.carries))
    follow = list(structures[0].further) if structures else []
    return Batch.from_data_list(items, follow_batch=follow).to(device)
