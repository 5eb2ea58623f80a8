"""PET, the Point Edge Transformer: every edge a token, every environment a transformer.

Each point i has an environment: a token for itself and one for each neighbor j, made of the
displacement r_ij, its length, the species of j and the message that came from j. A transformer
mixes the tokens of an environment, with attention damped by the cutoff function. What it makes of
the token of j is the message to j: in the next round the token of i in the environment of j starts
from the mean of the message that had come in and the one that came back. In every round outputs are
read from all tokens and added up, those of neighbors times their cutoff function.

Source: Pozdnyakov and Ceriotti, "Smooth, exact rotational symmetrization for deep learning on point
clouds", arXiv 2305.19302, section 6 and appendix.
"""

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch_geometric.data import Data

from backbones.baseline import Baseline
from backbones.checkpoint import configured
from backbones.edges import with_edges
from backbones.heads import key_of, shaped
from backbones.inputs import check_counts
from backbones.pet.buckets import Buckets, buckets
from backbones.pet.edges import Switch, directed_pairs, length_of, switched
from backbones.pet.layers import Activation, Layer, Norm, NormPlace
from backbones.pet.rounds import Permuted, Readout, Round
from backbones.radial import gaussians
from backbones.species import Species
from backbones.structures import structures_of, sum_over
from symmetrize import Contract, Outputs


@configured
class PET(nn.Module):
    """The Point Edge Transformer, for finite and periodic structures; not equivariant.

    Invariant under translations and the order of points. Outputs of structures are sums over
    points. C-infinity in positions and cells with the default ``switch`` and ``softening``: where
    neighbors come and go, where points coincide, for isolated points, which are a center without
    neighbors. Derivatives of any order: forces in a loss are fine.

    A batch is not padded: see ``backbones.pet.buckets``. float32 or float64, as the parameters.

    Args:
        outputs: named outputs of any representation, per structure or ``per_point``, in the
            notation of ``Symmetrizer``.
        species: the values of ``data.z``, atomic numbers for instance, or their number, for values
            from 0 on.
        cutoff: radius of an environment, in the unit of positions.
        cutoff_width: range below ``cutoff`` over which a neighbor fades, in the same unit.
        switch: how it fades: "smooth" (C-infinity) or "cosine" (one continuous derivative).
        width: features of a token.
        center_width: features of the stream of centers; ``width`` if None, as in the paper.
        heads: of the attention.
        hidden: width inside feed-forward networks; twice ``width`` if None.
        rounds: of messages; the receptive field is ``rounds * cutoff``.
        layers: of each transformer.
        norm: "LayerNorm" or "RMSNorm".
        activation: "SiLU", or "SwiGLU" in the feed-forward networks.
        order: norms before ("pre") or after ("post") attention and feed-forward networks.
        softening: length, in the unit of positions, below which the length of a displacement is
            rounded off: r becomes (r^2 + softening^2)^(1/2). With 0, as in the paper, the outputs
            have a kink where two points coincide.
        radial: number of Gaussians of the distance beside the displacement and its length; 0, as
            in the paper. Some 24 teach a liquid in a tenth of the steps.

    >>> net = PET({"energy": "0e", "dipole": "1o"}, species=[1, 8], width=16, heads=2)
    >>> water = Data(pos=torch.eye(3), z=torch.tensor([8, 1, 1]))
    >>> {name: tuple(value.shape) for name, value in net(water).items()}
    {'energy': (1, 1), 'dipole': (1, 3)}
    """

    def __init__(
        self,
        outputs: Outputs,
        species: int | Sequence[int],
        cutoff: int | float = 5.0,
        cutoff_width: int | float = 1.0,
        switch: Switch = "smooth",
        width: int = 128,
        center_width: int | None = None,
        heads: int = 4,
        hidden: int | None = None,
        rounds: int = 2,
        layers: int = 2,
        norm: Norm = "LayerNorm",
        activation: Activation = "SiLU",
        order: NormPlace = "pre",
        softening: int | float = 0.1,
        radial: int = 0,
    ) -> None:
        super().__init__()
        for name, value, choices in (
            ("switch", switch, get_args(Switch)),
            ("norm", norm, get_args(Norm)),
            ("activation", activation, get_args(Activation)),
            ("order", order, get_args(NormPlace)),
        ):
            if value not in choices:
                raise ValueError(
                    f"`{name}` is {value!r} but must be one of {', '.join(map(repr, choices))}"
                )
        check_counts(
            width=width,
            heads=heads,
            rounds=rounds,
            layers=layers,
            **{} if center_width is None else {"center_width": center_width},
            **{} if hidden is None else {"hidden": hidden},
        )
        check_counts(least=0, radial=radial)
        for name, length in (
            ("cutoff", cutoff),
            ("cutoff_width", cutoff_width),
            ("softening", softening),
        ):
            if isinstance(length, bool) or not isinstance(length, Real):
                raise TypeError(f"`{name}` is {length!r} but must be a length, a number")
        if not 0 < cutoff < math.inf:
            raise ValueError(f"`cutoff` is {cutoff} but must be a positive length")
        if not 0 < cutoff_width <= cutoff:
            raise ValueError(
                f"`cutoff_width` is {cutoff_width} but must lie in (0, {cutoff}]: a zero width "
                "makes the output jump at the cutoff"
            )
        if not 0 <= softening < math.inf:
            raise ValueError(f"`softening` is {softening} but must be a length, 0 or more")
        self.species = Species(species)
        number = len(self.species)
        kink = 0 if softening == 0.0 else math.inf
        self.contract = Contract(
            outputs,
            group=None,
            smoothness=min(kink, math.inf if switch == "smooth" else 1),
            cutoff=cutoff,
            rounds=rounds,
            extensive=True,
            periodic=True,
        )
        self.cutoff, self.cutoff_width, self.switch = float(cutoff), float(cutoff_width), switch
        self.softening, self.radial = float(softening), radial
        center_width = width if center_width is None else center_width
        hidden = 2 * width if hidden is None else hidden
        self.wide = center_width != width
        self.first_message = nn.Embedding(number, width)
        self.rounds = nn.ModuleList(
            Round(
                number, first, width, 4 + radial,
                nn.ModuleList(
                    Layer(width, center_width, heads, hidden, norm, activation, order)
                    for _ in range(layers)
                ),
                center_width,
            )
            for first in (k == 0 for k in range(rounds))
        )  # fmt: skip
        self.readouts = nn.ModuleDict(
            {
                key_of(name): nn.ModuleList(
                    Readout(width, center_width, output.representation.dim) for _ in range(rounds)
                )
                for name, output in self.contract.outputs.items()
            }
        )

        self.baseline = Baseline(self.contract, number)

    def fit_baseline(self, data: Data) -> None:
        """Fit what composition says about the outputs, and their scale, to a batch with targets.

        Targets are attributes of the data with the names of the outputs; outputs without a target
        keep their baseline. See ``backbones.baseline``.

        Raises:
            ValueError: if there is no target at all, or one is not finite or of the wrong shape.
        """
        if not any(name in data for name in self.contract.outputs):
            raise ValueError(
                f"the data has none of the targets {sorted(self.contract.outputs)}, only "
                f"{sorted(data.keys())}: set one as an attribute"
            )
        batch, _ = structures_of(data)
        kinds = self.species(data)
        for name in self.contract.outputs:
            if name in data:
                self.baseline.fit(name, data[name], kinds, batch)

    def prepare(self, data: Data) -> Data:
        """The data with its edges, which do not turn: searched once, copied afterwards."""
        return with_edges(data, self.cutoff, self.contract.rounds)

    def forward(self, data: Data) -> Any:
        """Each output, with one row for each structure, or for each point where so declared.

        Args:
            data: ``pos`` (P, 3); species ``z`` (P,); ``cell`` (B, 3, 3) and ``pbc`` (B, 3) of
                periodic structures; edges, if they are known (see ``prepare``).

        Raises:
            ValueError: if ``z`` is missing or has a species that the network does not know, or
                there is an edge without its reverse.
        """
        data = self.prepare(data)
        batch, size = structures_of(data)
        kinds = self.species(data)
        edges = directed_pairs(data)
        where = buckets(edges.center, len(batch))
        back = torch.arange(where.rows, device=batch.device)
        back[where.edge] = where.edge[edges.reverse]
        learned = self.network(edges.vectors, kinds, kinds[edges.neighbor], where, back)
        values = self.baseline(learned, kinds)

        is_center = data.get("is_center")
        outputs = {}
        for name, output in self.contract.outputs.items():
            value = values[name]
            if not output.per_point:
                if is_center is not None:  # an environment answers for its center alone
                    value = value * is_center.to(value.dtype)[:, None]
                value = sum_over(value, batch, size)
            outputs[name] = shaped(value, output)
        return self.contract.outputs.unnamed(outputs)

    def network(
        self,
        vectors: Float[Tensor, "edges 3"],
        kinds: Int[Tensor, "points"],
        neighbor_kinds: Int[Tensor, "edges"],
        where: Buckets,
        back: Int[Tensor, "rows"],
    ) -> dict[str, Float[Tensor, "points dim"]]:
        """The outputs of points from the vectors of their edges: all that is learned.

        Args:
            vectors: from centers to neighbors.
            kinds: place of the species of each point in ``species``.
            neighbor_kinds: the same for the neighbor of each edge.
            where: the row of each center and edge.
            back: the row of the reverse of each edge; its own for other rows.
        """
        rows = where.rows
        at_rows = vectors.new_zeros(rows, 3).index_copy(0, where.edge, vectors)
        length = length_of(at_rows, self.softening)
        true_length = length_of(at_rows, 0.0)
        is_edge = torch.zeros(rows, dtype=torch.bool, device=vectors.device)
        is_edge[where.edge] = True
        cutoff = switched(true_length, self.cutoff, self.cutoff_width, self.switch)
        cutoff = torch.where(is_edge, cutoff, 0.0)
        # the center counts fully, padding not at all
        damping = cutoff.index_fill(0, where.center, 1.0)

        apart = gaussians(at_rows, self.cutoff, self.radial)
        geometry = torch.cat([at_rows, length[:, None], apart], dim=1)
        row_kinds = torch.zeros(rows, dtype=torch.long, device=vectors.device)
        row_kinds = row_kinds.index_copy(0, where.edge, neighbor_kinds)
        message = self.first_message(row_kinds)
        totals: dict[str, Tensor] = {}
        for k, turn in enumerate(self.rounds):
            tokens, centers = turn(geometry, row_kinds, message, kinds, damping, where)
            message = 0.5 * (message + Permuted.apply(tokens, back))
            for name in self.contract.outputs:
                readouts = self.readouts[key_of(name)]
                read = readouts.get_submodule(str(k))(tokens, centers, cutoff, where)
                totals[name] = totals[name] + read if name in totals else read
        return totals
