"""Networks that respect rotations by themselves, to compare with; finite and periodic structures.

SchNet of torch-geometric is invariant: scalars of structures only. The gated tensor-product network
of e3nn takes any representation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from e3nn import o3
from e3nn.math import soft_one_hot_linspace
from e3nn.nn.models.v2106.gate_points_message_passing import MessagePassing
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import SchNet

from benchmarks.compare.configuration import ConfigurationError
from symmetrize import Contract, neighbor_list
from symmetrize.declaration import Declaration

# Radial functions of the network of e3nn, neurons of its radial networks, usual number of neighbors
RADIAL, NEURONS, NEIGHBORS = 10, 64, 16.0


def pairs(data: Data, cutoff: float) -> tuple[Tensor, Tensor, Tensor]:
    """Neighbors, centers, and vectors from these to those in the precision of the positions."""
    cell, pbc = (data.get(name) for name in ("cell", "pbc"))
    found = neighbor_list(data.pos, cutoff, data.batch, cell, pbc)
    return found.neighbor, found.center, found.vectors.to(data.pos.dtype)


class Schnet(nn.Module):
    """SchNet of torch-geometric on edges that know of cells.

    Args:
        outputs: one invariant one, of structures.
        species: not needed: any atomic number below 100.
        cutoff: in Å.
        settings: of ``SchNet``.
    """

    def __init__(
        self,
        outputs: Mapping[str, Any],
        species: Sequence[int],
        cutoff: float = 5.0,
        **settings: Any,
    ) -> None:
        super().__init__()
        if len(outputs) != 1 or str(next(iter(outputs.values()))) != "0e":
            raise ConfigurationError(
                "SchNet has one invariant output of structures, but the targets are "
                f"{dict(outputs)}: leave it out, or the other targets"
            )
        (self.name,) = outputs
        given = {"hidden_channels": 64, "num_filters": 64, "num_interactions": 3} | settings
        self.net = SchNet(cutoff=cutoff, **given)
        self.net.interaction_graph = nn.Identity()  # edges come with the data
        self.cutoff, self.rounds = cutoff, given["num_interactions"]
        self.contract = Contract(
            dict(outputs), smoothness=None, cutoff=cutoff, rounds=self.rounds, periodic=True
        )

    def forward(self, data: Data) -> dict[str, Tensor]:
        """The sum over atoms, as ``SchNet.forward`` has it."""
        net = self.net
        neighbor, center, vectors = pairs(data, self.cutoff)
        distance = vectors.norm(dim=1)
        edges, filters = torch.stack([neighbor, center]), net.distance_expansion(distance)
        atoms = net.embedding(data.z)
        for interaction in net.interactions:
            atoms = atoms + interaction(atoms, edges, distance, filters)
        atoms = net.lin2(net.act(net.lin1(atoms)))
        total = atoms.new_zeros(data.num_graphs, 1)
        return {self.name: total.index_add(0, data.batch, atoms)}


class Tensors(nn.Module):
    """Gated tensor products of e3nn: natively equivariant, for outputs of any representation.

    Args:
        outputs: of structures, sums over points, or of points.
        species: atomic numbers.
        cutoff: in Å.
        width: copies of each irreducible representation.
        layers: of messages.
        lmax: highest degree inside.
    """

    def __init__(
        self,
        outputs: Mapping[str, Any],
        species: Sequence[int],
        cutoff: float = 5.0,
        width: int = 16,
        layers: int = 2,
        lmax: int = 2,
    ) -> None:
        super().__init__()
        self.declared = Declaration.of(dict(outputs))
        self.register_buffer("species", torch.tensor(sorted(species)))
        self.cutoff = cutoff
        hidden = o3.Irreps([(width, (degree, p)) for degree in range(lmax + 1) for p in (1, -1)])
        self.harmonics = o3.Irreps.spherical_harmonics(lmax)
        parts = [one.representation.irreps for one in self.declared.values()]
        total = o3.Irreps([part for irreps in parts for part in irreps])
        scalars = o3.Irreps([(len(species), (0, 1))])
        self.net = MessagePassing(
            [scalars, *layers * [hidden], total], "0e", self.harmonics, [RADIAL, NEURONS], NEIGHBORS
        )
        self.bases = {name: _basis(str(one.representation)) for name, one in self.declared.items()}
        self.contract = Contract(
            dict(outputs), smoothness=None, cutoff=cutoff, rounds=layers + 1, periodic=True
        )

    def forward(self, data: Data) -> dict[str, Tensor]:
        """Each output, of structures or points."""
        neighbor, center, vectors = pairs(data, self.cutoff)
        length = vectors.norm(dim=1)
        kinds = torch.searchsorted(self.species, data.z)
        one_hot = nn.functional.one_hot(kinds, len(self.species)).to(data.pos.dtype)
        radial = soft_one_hot_linspace(
            length, 0.0, self.cutoff, RADIAL, basis="smooth_finite", cutoff=True
        )
        shapes = o3.spherical_harmonics(self.harmonics, vectors, True, normalization="component")
        ones = one_hot.new_ones(len(one_hot), 1)
        points = self.net(one_hot, ones, neighbor, center, shapes, radial * RADIAL**0.5)
        found, start = {}, 0
        for name, output in self.declared.items():
            dim = output.representation.irreps.dim
            rows = points[:, start : start + dim]
            start += dim
            if not output.per_point:
                rows = rows.new_zeros(data.num_graphs, dim).index_add(0, data.batch, rows)
            basis = self.bases[name]
            found[name] = rows if basis is None else torch.tensordot(rows, basis.to(rows), 1)
        return found


def _basis(formula: str) -> Tensor | None:
    """From irreducible components to a tensor in float64, for representations like "ij=ji"."""
    if "i" not in formula:
        return None
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        return o3.ReducedTensorProducts(formula, i="1o").change_of_basis
    finally:
        torch.set_default_dtype(usual)
