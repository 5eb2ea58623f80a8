"""The wrapper: any network on point clouds, averaged over the frames of its input.

With a set of frames R_p and weights w_p that belong to a cloud A,

    F(A) = sum_p w_p rho(R_p) f(A R_p),    sum_p w_p = 1

is equivariant whatever the network f, and as smooth as f, the frames and their weights are.

Source: Pozdnyakov and Ceriotti, arXiv 2305.19302.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor, nn

from symmetrize.arguments import (
    check_frames,
    check_network,
    check_options,
    check_reduction,
    representations_of,
    warn_of_forces,
)
from symmetrize.arrays.segments import counts, segment_sum
from symmetrize.average import Average
from symmetrize.contract import Contract, contract_of, lowest, names_of_positions
from symmetrize.data.boundary import accepted
from symmetrize.data.clusters import clusters
from symmetrize.data.copies import Copies, Source, turned_copies
from symmetrize.data.layout import Layout, extended, layout
from symmetrize.data.reading import check_inputs, fields_of, read_points
from symmetrize.frames import Ensemble, Frames, HierarchicalFrames
from symmetrize.frames.ensemble import draw, merged
from symmetrize.frames.random import random_ensemble
from symmetrize.groups import GROUPS, Group
from symmetrize.network.calling import called, without_autocast
from symmetrize.network.graph import Sources, check_leads_to_positions, is_transformed
from symmetrize.network.returned import described
from symmetrize.network.undeclared import is_compiled, look_like_vectors, reading, warn_of
from symmetrize.outputs import ONLY, Declaration, Outputs, Spec
from symmetrize.points.cloud import centered
from symmetrize.points.environments import environments
from symmetrize.representation import as_representation

if TYPE_CHECKING:
    from torch_geometric.data import Data

# Environments of centers reach this much further than the network sees. A center whose neighbors
# are all about to leave its environment has no direction left, and the average passes into what the
# network makes of the center alone: beyond its sight, that changes nothing.
BEYOND = 1.3

Scope = Literal["structure", "center"]
Training = Literal["all", "sampled", "random"]
Reduce = Literal["sum", "mean"]


class Symmetrizer(nn.Module):
    """Make a network exactly and smoothly equivariant under rotations and reflections.

    Args:
        net: any callable from a torch_geometric ``Data`` or ``Batch`` to a tensor, or to dicts,
            tuples or objects of tensors. It must keep the structures of a batch apart
            (``data.batch``).
        outputs: how the outputs turn: irreps in e3nn notation (``"0e + 1o"``) or a Cartesian
            tensor (``"ij=ji"``). A network that returns several is declared in that form: a dict by
            name, of data classes and named tuples by field (``{"head": {"energy": "0e"}}``), or a
            tuple by order (``("0e", None)``); None leaves an item out. One row for each structure;
            declare one for each point with ``per_point("1o")``, and what ``log_softmax`` returns
            with ``log_probabilities("11x0e")``. None for a network that declares them in its
            ``contract``.
        inputs: attributes of the data that turn, by name; what is not named is left as it is, with
            a warning where the network reads what looks like vectors (None says that it is none).
            ``pos`` and, where present, ``cell`` always turn, as vectors. Vectors and tensors among
            them take part in choosing frames where points leave a choice: give them in units in
            which 1 is large enough to matter. None for those in the network's contract, if any.
        frames: a family of frames; if None ``HierarchicalFrames``, with the cutoff of the network's
            contract where it has one; for scope "center" 1.3 times its receptive field, as what it
            sees near the end of an environment without other neighbors is lost.
        group: "O(3)", rotations and reflections, or "SO(3)", rotations only.
        scope: "structure" turns structures as a whole; "center" gives each point an environment
            and frames of its own, within the cutoff of the frames, and one row of output.
        reduce: with scope "center", "sum" or "mean" over the centers of each structure instead of
            one row for each; outputs declared per point keep theirs.
        chunk_size: largest number of copies in one call of the network; None for all at once.
        training: what training mode evaluates: "all" frames, as evaluation mode does; one frame
            "sampled" by its weight (an unbiased estimate, gradients included); or one "random"
            rotation, independent of the cloud (data augmentation).
        generator: source of randomness for the last two; torch's default if None.
        prepare: called once on the data before copies are made of it (with scope "center": on the
            environments), to add what does not turn, such as ``edge_index``, so that it is not
            searched again for each copy. None for the network's own ``prepare``, if it has one.
        positions: names of further positions beside ``pos``, such as those of a pocket beside
            those of a ligand, or query points: they are measured from the same origin and turn
            with it, and take part in choosing frames. Vectors, which do not move along with the
            cloud, are ``inputs``. None for those in the network's contract. With scope "structure".

    The order of smoothness is that of the network, or of the frames where that is lower. Positions
    are measured from the centroid of the structure, or from the center, so that the result does
    not change under translation. Zero, one or two points, coincident and collinear points have
    exact answers with ``HierarchicalFrames``.

    Source: Pozdnyakov and Ceriotti, "Smooth, exact rotational symmetrization for deep learning on
    point clouds", arXiv 2305.19302.

    >>> from torch_geometric.data import Data
    >>> def net(data):  # x + y, summed over points: not even rotation covariant
    ...     total = data.pos.new_zeros(data.num_graphs, 3)
    ...     return total.index_add(0, data.batch, data.pos.cumsum(-1).exp())
    >>> model = Symmetrizer(net, outputs="1o")
    >>> pos = torch.rand(5, 3, dtype=torch.float64)
    >>> turn = torch.linalg.qr(torch.rand(3, 3, dtype=torch.float64))[0]
    >>> there = model(Data(pos=pos @ turn.T))
    >>> bool(torch.allclose(there, model(Data(pos=pos)) @ turn.T))
    True
    """

    def __init__(
        self,
        net: Callable[[Any], Any],
        outputs: Outputs | None = None,
        inputs: Mapping[str, Spec | None] | None = None,
        frames: Frames | None = None,
        group: Group = "O(3)",
        scope: Scope = "structure",
        reduce: Reduce | None = None,
        chunk_size: int | None = None,
        training: Training = "all",
        generator: torch.Generator | None = None,
        prepare: Callable[[Any], Any] | None = None,
        positions: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        check_network(net)
        self.net = net
        declared = contract_of(net)
        if outputs is None:
            if declared is None:
                there = getattr(net, "contract", None)
                other = f", only {described(there)} as `contract`" if there is not None else ""
                raise ValueError(
                    f"`outputs` is missing and {type(net).__name__} declares no contract{other}: "
                    "say how its outputs turn, as in outputs={'energy': '0e', 'dipole': '1o'}"
                )
            outputs = declared.outputs
        self.declaration = Declaration.of(outputs)
        if inputs is None:
            inputs = {} if declared is None else declared.inputs
        self.inputs = {
            name: as_representation("1o") for name in ("pos", "cell")
        } | representations_of(inputs)
        # what is said not to turn, and what else the network was watched with
        self.unturned = {name for name, spec in inputs.items() if spec is None}
        self._watched: set[str] = set()
        self._leads_to_positions: set[tuple[str, bool]] = set()
        if positions is None:
            positions = () if declared is None else declared.positions
        self.positions = names_of_positions(positions)
        self.inputs |= {name: as_representation("1o") for name in self.positions}
        if self.positions and scope == "center":
            raise ValueError(
                f'`positions` names {list(self.positions)} but with scope "center" a center sees '
                "only its environment: put these points into `pos`, marked by an attribute of "
                'points such as a species, or use scope="structure"'
            )
        if frames is None:
            frames = HierarchicalFrames(_natural_cutoff(declared, scope))
        check_frames(frames)
        self.frames = frames
        self.given_prepare = prepare
        # a module only to have its parameters and its device follow those of the network
        self.auxiliary = self.frames.auxiliary
        self.group: Group = _one_of("group", group, GROUPS)
        self.scope: Scope = _one_of("scope", scope, get_args(Scope))
        self.reduce = _one_of("reduce", reduce, (None, *get_args(Reduce)))
        self.train_with: Training = _one_of("training", training, get_args(Training))
        self.generator = generator
        check_options(chunk_size, generator, prepare)
        self.chunk_size = chunk_size
        for name in ("pos", "cell"):
            if str(self.inputs[name].irreps) != "1x1o":
                raise ValueError(
                    f"`inputs` declares {name!r} as {self.inputs[name]} but it holds polar "
                    "vectors: leave it out, or declare it '1o'"
                )
        if scope == "center" and self.frames.cutoff is None:
            raise ValueError(
                f'scope "center" needs a cutoff but {type(self.frames).__name__} has none: pass '
                "frames=HierarchicalFrames(cutoff=...), in the unit of the positions"
            )
        sight = None if declared is None else declared.receptive_field
        if scope == "center" and sight is not None and sight > (self.frames.cutoff or 0.0):
            raise ValueError(
                f"the network sees {sight} far but the environments of the frames end at "
                f"{self.frames.cutoff}: pass frames=HierarchicalFrames(cutoff={sight}), or fewer "
                "rounds of messages, so that points enter where the network does not see them yet"
            )
        if reduce is not None and scope != "center":
            raise ValueError(
                f'`reduce` is {reduce!r} but scope "structure" already has one row for each '
                'structure: use it with scope="center"'
            )
        check_reduction(reduce, self.declaration)
        warn_of_forces(self.declaration, self.frames)

    @property
    def prepare(self) -> Callable[[Any], Any] | None:
        """What is called once on the data before copies are made: as given, or the network's."""
        if self.given_prepare is not None:
            return self.given_prepare
        return getattr(self.net, "prepare", None)

    def extra_repr(self) -> str:
        """What is declared, where the module is printed."""
        declared = [*self.declaration.items(), *((n, None) for n in self.declaration.left_out)]
        outputs = "{" + ", ".join(f"{name!r}: {output}" for name, output in declared) + "}"
        inputs = {n: str(spec) for n, spec in self.inputs.items() if n not in ("pos", "cell")}
        unusual: dict[str, tuple[Any, Any]] = {
            "inputs": (inputs, {}),
            "reduce": (self.reduce, None),
            "chunk_size": (self.chunk_size, None),
            "training": (self.train_with, "all"),
        }
        others = "".join(
            f", {name}={value!r}" for name, (value, usual) in unusual.items() if value != usual
        )
        return (
            f"outputs={outputs}, group={self.group!r}, scope={self.scope!r}, frames={self.frames}"
            f"{others}"
        )

    # the search for frames depends on values: a compiler leaves it, and what calls it, alone
    @torch.compiler.disable
    def forward(self, data: Data) -> Any:
        """The symmetrized outputs, in the form in which the network returns them.

        Args:
            data: a torch_geometric ``Data`` (one structure, or several with ``batch``) or
                ``Batch``, with ``pos`` (P, 3) in float32 or float64.

        Returns:
            as the network: a tensor, or dicts, tuples or objects of tensors, with one row for each
            structure (or center), or for each point where so declared. What is left out is absent
            from dicts, and None elsewhere.

        Raises:
            ValueError: if the data is not finite, of the wrong shape, or empty, or if an output
                does not fit its representation.
        """
        source, owners, ensemble = self._frames(data, self.train_with if self.training else "all")
        averages, form = self._averages(source, ensemble)
        means = {name: average.mean() for name, average in averages.items()}
        return self.declaration.unnamed(self._reduced(means, owners), form)

    @property
    def contract(self) -> Contract:
        """What the symmetrized network claims: the group, and no more smoothness than its parts.

        Nothing is claimed of the smoothness of a network without a contract, nor, with scope
        "center", of one that sees points at the end of their environment: there they come and go.
        """
        declared = contract_of(self.net)
        order = None if declared is None else declared.smoothness
        if declared is not None and self.scope == "center":
            order = order if declared.envelope or declared.cutoff is not None else None
        frames = self.frames.smoothness(self.declaration.degree)
        return Contract(
            outputs=self.declaration,
            inputs={
                name: spec
                for name, spec in self.inputs.items()
                if name not in ("pos", "cell", *self.positions)
            },
            positions=self.positions,
            group=self.group if self.frames.is_exact else None,
            smoothness=lowest(order, frames),
            cutoff=self.frames.cutoff if self.scope == "center" else None,
            extensive=self.scope == "center" and self.reduce == "sum",
            periodic=declared is not None and declared.periodic,
            min_distance=None if declared is None else declared.min_distance,
        )

    def ensemble(self, data: Data) -> Ensemble:
        """The frames of each structure (or center) of the data, in the dtype of its positions."""
        source, _, ensemble = self._frames(data)
        return ensemble.to(source.data.pos.dtype)

    def spread(self, data: Data) -> Any:
        """How far the network's outputs differ between frames: its own breaking of symmetry.

        (sum_p w_p |rho(R_p) f(A R_p) - F(A)|^2)^(1/2) in the Euclidean norm of each irrep copy,
        from the evaluations that the average needs anyway. Zero where there is one frame only.

        Returns:
            as the network, with one column for each irrep copy (one for a Cartesian tensor), and
            one row for each structure, center or point; invariant under the group.
        """
        source, _, ensemble = self._frames(data)
        averages, form = self._averages(source, ensemble)
        spreads = {name: average.spread() for name, average in averages.items()}
        return self.declaration.unnamed(spreads, form)

    @without_autocast()
    def _frames(self, data: Data, which: Training = "all") -> tuple[Source, Layout, Ensemble]:
        """What is copied, whose it is, and its frames: all of them, or one for each owner.

        With scope "center" every environment is a structure to the network, and the layout of the
        data says which structure it comes from.
        """
        data = accepted(data, self.inputs, self.positions)
        if self.prepare is not None and self.scope == "structure":
            data = self.prepare(data)
        rows = layout(data)
        check_inputs(data, rows, self.inputs)
        structures = read_points(data, rows, self.inputs, self.positions)
        structures = self.frames.scored(structures)
        found = None
        if self.scope == "structure":
            numbers = [len(data[name]) for name in ("pos", *self.positions)]
            vectors, *others = centered(structures)[0].split(numbers)
            further = dict(zip(self.positions, others, strict=True))
            source = Source(data, rows, vectors, self.inputs, further=further)
        else:
            assert self.frames.cutoff is not None  # checked when the symmetrizer was made
            found = environments(structures, self.frames.cutoff)
            source = clusters(data, rows, found, self.inputs)
            if self.prepare is not None:
                data = self.prepare(source.data)
                source = replace(source, data=data, layout=extended(source.layout, data))
        if which == "random":
            device = source.vectors.device
            ensemble = random_ensemble(source.layout.size, device, self.group, self.generator)
            return source, rows, ensemble

        degree = self.declaration.degree
        if found is None:
            ensemble = self.frames.of_structures(structures, self.group, degree)
        else:
            fields = fields_of(source.data, source.layout, self.inputs, found.envelope)
            cloud = replace(found.cloud, fields=fields)
            ensemble = self.frames.of_centers(cloud, self.group, degree)
        ensemble = draw(ensemble, self.generator) if which == "sampled" else merged(ensemble)
        return source, rows, ensemble

    def _averages(self, source: Source, ensemble: Ensemble) -> tuple[dict[str, Average], Any]:
        """Evaluate the network on every member, in chunks, and turn its outputs back.

        Also returned is what the network returned, for its form; None if it was not called.
        """
        averages = {
            name: Average(output, ensemble, source, self.group, name)
            for name, output in self.declaration.items()
        }
        form = None
        framed = torch.nonzero(~ensemble.auxiliary)[:, 0]
        for members in framed.split(self.chunk_size or max(1, len(framed))):
            if len(members) == 0:  # no center, or none that needs the network
                continue
            chosen = ensemble.take(members)
            with without_autocast():
                copies = turned_copies(source, chosen)
            # before the network may put other values in their place
            sources = Sources.of(copies.data) if self._should_lead(copies) else None
            form = self._called(source, copies)
            rows = len(chosen), len(copies.copy)
            returned = self.declaration.named(form, rows)
            self._check_graph(returned, sources)
            for name, values in returned.items():
                averages[name].add(values, chosen, copies)
        if bool(ensemble.auxiliary.any()):
            assert self.auxiliary is not None
            returned = self.declaration.named(self.auxiliary(source.data))
            for name, values in returned.items():
                averages[name].add_auxiliary(values)
        return averages, form

    def _called(self, source: Source, copies: Copies) -> Any:
        """What the network returns for copies; seen once is what it reads that nobody declared."""
        known = {*self.inputs, *self.unturned, *self._watched}
        looks = look_like_vectors(source.data, source.layout, known)
        if not looks or is_compiled(self.net):
            return called(self.net, copies.data)
        self._watched |= {*looks}
        with reading(copies.data, looks) as seen:
            returned = called(self.net, copies.data)
        warn_of(seen, looks, stacklevel=8)
        return returned

    def _should_lead(self, copies: Copies) -> bool:
        """Whether outputs must depend on positions: single points have nothing to depend on."""
        pos = copies.data.pos
        if not (pos.requires_grad and torch.is_grad_enabled()) or is_transformed(pos):
            return False
        return len(copies.point) > 0 and int(copies.data.ptr.diff().max()) > 1

    def _check_graph(self, returned: Mapping[str, Tensor], sources: Sources | None) -> None:
        """Refuse outputs whose derivatives by positions would be those of the weights alone.

        Looked at until an output was found to depend on the positions: without neighbors it need
        not.
        """
        if sources is None:
            return
        for name, values in returned.items():
            if (name, self.training) in self._leads_to_positions or is_transformed(values):
                continue
            what = "the output" if name == ONLY else f"the output {name!r}"
            check_leads_to_positions(what, values, sources)
            self._leads_to_positions.add((name, self.training))

    def _reduced(self, values: dict[str, Tensor], layout: Layout) -> dict[str, Tensor]:
        """Sum or mean over the centers of each structure, if asked for, of rows of centers."""
        if self.reduce is None:
            return values
        number = counts(layout.batch, layout.size).clamp(min=1)
        reduced = {}
        for name, value in values.items():
            if self.declaration[name].per_point:
                reduced[name] = value
                continue
            reduced[name] = segment_sum(value, layout.batch, layout.size)
            if self.reduce == "mean":
                shape = (-1, *(1,) * (value.ndim - 1))
                reduced[name] = reduced[name] / number.to(value.dtype).reshape(shape)
        return reduced


def _natural_cutoff(declared: Contract | None, scope: Scope) -> float | None:
    """The length that a network brings along: frames of centers must see as far as it does."""
    if declared is None:
        return None
    if scope == "structure" or declared.receptive_field is None:
        return declared.cutoff
    return BEYOND * declared.receptive_field


def _one_of(name: str, value: Any, choices: tuple[Any, ...]) -> Any:
    if value not in choices:
        raise ValueError(
            f"`{name}` is {value!r} but must be one of {', '.join(map(repr, choices))}"
        )
    return value
