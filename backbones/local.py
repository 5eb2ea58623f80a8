"""The frame of a smooth local network: edges, rounds of messages, sums over points.

The features of a point start from its species and its own features, never from where it is; in
each round they change by what its neighbors within the cutoff send. Outputs of structures are sums
over their points. So the output is extensive, invariant to translations, exact under permutations,
periodic where the structure is, and C-infinity, as messages fade with all derivatives at the cutoff
and every activation is smooth.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import Data

from backbones.edges import edges_of, with_edges
from backbones.heads import Heads
from backbones.inputs import PointInputs, check_counts, check_features, check_sizes
from backbones.structures import structures_of
from symmetrize import Contract, Outputs


class LocalNetwork(nn.Module):
    """Rounds of messages between points within a cutoff.

    Args:
        outputs: as in ``Symmetrizer``; of structures or, with ``per_point``, of points.
        layer: makes the layer of one round from the number of columns of shapes: a module from
            the features of the points (P, width), their ``Edges`` and the shapes of these
            (E, columns) to what is added to the features.
        cutoff: in the unit of the positions.
        rounds: of messages; points see each other over ``rounds * cutoff``.
        width: features of a point.
        species: the values of ``data.z``, as in ``[1, 8]``, or their number, for values from 0 on;
            points without ``z`` are all of kind 0.
        features: further attributes with a row for each point, and how they turn, as in
            ``{"spin": "1e"}``.
        length: unit of length in which edge vectors enter, about the distance of neighbors.
        radial: number of Gaussians of the distance that enter beside them, up to the cutoff: as
            sharply as that the network tells distances apart from the start.

    Raises:
        ValueError: if an output is not understood, or ``cutoff`` or ``rounds`` is not positive.
    """

    def __init__(
        self,
        outputs: Outputs,
        layer: Callable[[int], nn.Module],
        cutoff: int | float = 5.0,
        rounds: int = 2,
        width: int = 64,
        species: int | Sequence[int] = 100,
        features: Mapping[str, str] | None = None,
        length: int | float = 1.0,
        radial: int = 24,
    ) -> None:
        super().__init__()
        check_counts(width=width, rounds=rounds)
        check_sizes(cutoff=cutoff, length=length)
        check_counts(least=0, radial=radial)
        check_features(features)
        self.contract = Contract(
            outputs,
            inputs=features,
            group=None,
            cutoff=float(cutoff),
            rounds=rounds,
            extensive=True,
            periodic=True,
        )
        self.cutoff, self.length, self.radial = float(cutoff), float(length), radial
        self.inputs = PointInputs(self.contract, species, width)
        self.start = nn.Linear(self.inputs.columns, width)
        self.layers = nn.ModuleList(layer(4 + radial) for _ in range(rounds))
        self.heads = Heads(self.contract, structure=0, point=width, hidden=width)

    def prepare(self, data: Data) -> Data:
        """A shallow copy with the edges, unless the data has them: see ``with_edges``."""
        return with_edges(data, self.cutoff, self.contract.rounds)

    def forward(self, data: Data) -> Any:
        """The declared outputs; of an environment (``data.is_center``) its center's alone."""
        data = self.prepare(data)
        batch, size = structures_of(data)
        edges = edges_of(data, self.cutoff)
        shapes = edges.shapes(self.length, self.radial)
        points: Float[Tensor, "points features"] = self.start(self.inputs(data))
        for layer in self.layers:
            points = points + layer(points, edges, shapes)
        return self.heads.of_points(points, batch, size, data.get("is_center"))
