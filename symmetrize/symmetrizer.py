"""The wrapper: any network on point clouds, averaged over the frames of its input.

With a set of frames R_p and weights w_p that belong to a cloud A,

    F(A) = sum_p w_p rho(R_p) f(A R_p),    sum_p w_p = 1

is equivariant whatever the network f, and as smooth as f, the frames and their weights are.

Source: Pozdnyakov and Ceriotti, arXiv 2305.19302.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from jaxtyping import Int
from torch import Tensor, nn

from symmetrize.arguments import (
    check_frames,
    check_network,
    check_options,
    check_reduction,
    representations_of,
    warn_of_forces,
)
from symmetrize.arrays.segments import counts, offsets
from symmetrize.arrays.transforms import is_transformed
from symmetrize.average import Averages
from symmetrize.chunks import Fitting, bytes_of, evenly, recomputed
from symmetrize.contract import (
    Contract,
    Translations,
    axis_for,
    check_translations,
    contract_of,
    declared_by,
    lowest,
    names_of_positions,
)
from symmetrize.data.alike import alike
from symmetrize.data.copies import Copies, Source, as_they_are, turned_copies
from symmetrize.data.home import abroad, at_home
from symmetrize.declaration import Declaration, Outputs
from symmetrize.frames import Ensemble, Frames, HierarchicalFrames
from symmetrize.frames.base import check_has_group
from symmetrize.frames.ensemble import audible, drawn, merged
from symmetrize.frames.random import random_ensemble
from symmetrize.groups import GROUPS, Group, has_reflections, is_axial
from symmetrize.network.caller import Caller
from symmetrize.network.calling import without_autocast
from symmetrize.outputs import Spec
from symmetrize.representation import as_representation
from symmetrize.returned import described
from symmetrize.scopes import SCOPES, Reduce, Scene, ScopeName, View

if TYPE_CHECKING:
    from torch_geometric.data import Data

Training = Literal["all", "sampled", "random"]


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
            declare one for each point with ``per_point("1o")``, for each edge of the data with
            ``per_edge("ij")``, and what ``log_softmax`` returns with
            ``log_probabilities("11x0e")``. None for a network that declares them in its
            ``contract``.
        inputs: attributes of the data that turn, by name; what is not named is left as it is, with
            a warning where the network reads what looks like vectors (None says that it is none).
            ``pos`` and, where present, ``cell`` always turn, as vectors. Vectors and tensors among
            them take part in choosing frames where points leave a choice: give them in units in
            which 1 is large enough to matter. None for those in the network's contract, if any.
        frames: a family of frames; if None ``HierarchicalFrames``, with the cutoff of the network's
            contract where it has one; for scope "center" 1.3 times its receptive field, as what it
            sees near the end of an environment without other neighbors is lost.
        group: "O(3)", rotations and reflections, or "SO(3)", rotations only; about an axis "O(2)",
            with reflections across planes that hold it, or "SO(2)", for clouds that stand upright.
        scope: "structure" turns structures as a whole; "center" gives each point an environment
            and frames of its own, within the cutoff of the frames, and one row of output.
        reduce: with scope "center", "sum" or "mean" over the centers of each structure instead of
            one row for each; outputs declared per point or per edge keep theirs.
        chunk_size: largest number of copies in one call of the network; None for all at once. With
            several calls and derivatives, what they need is computed once more, call by call, so
            that memory is bounded by one call, for the time of one more forward evaluation.
        memory: instead of the size of chunks what one call may take, in bytes or as "2 GiB": the
            first calls are measured, from a single copy on, and the size is chosen accordingly.
            Frames and outputs are not part of it.
        training: what training mode evaluates: "all" frames, as evaluation mode does; one frame
            "sampled" by its weight (an unbiased estimate, gradients included); or one "random"
            rotation, independent of the cloud (data augmentation).
        generator: source of randomness for the last two; torch's default if None.
        prepare: called once on the data before copies are made of it (with scope "center": on the
            environments), to add what does not turn, such as ``edge_index``, so that it is not
            searched again for each copy. None for the network's own ``prepare``, if it has one.
        progress: called after each call of the network with the number of copies that are done and
            of all, as in ``lambda done, total: print(done, total)``.
        positions: names of further positions beside ``pos``, such as those of a pocket beside
            those of a ligand, or query points: they are measured from the same origin and turn
            with it, and take part in choosing frames. Vectors, which do not move along with the
            cloud, are ``inputs``. None for those in the network's contract. With scope "structure".
        axis: that of the groups "O(2)" and "SO(2)", three numbers, z if not given: the network sees
            it where it is. Or the name of an attribute with one vector for each structure, such as
            the direction of gravity in each scan: the network sees all of them along z, and
            outputs turn with clouds and attribute together.
        translations: "all", or "across": along the axis the network sees positions as they are
            (a height above the ground), and across it from the centroid or the center.

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
        scope: ScopeName = "structure",
        reduce: Reduce | None = None,
        chunk_size: int | None = None,
        memory: int | str | None = None,
        training: Training = "all",
        generator: torch.Generator | None = None,
        prepare: Callable[[Any], Any] | None = None,
        positions: Sequence[str] | None = None,
        progress: Callable[[int, int], None] | None = None,
        axis: Sequence[int | float] | Tensor | str | None = None,
        translations: Translations = "all",
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
        # what is said not to turn
        self.unturned = {name for name, spec in inputs.items() if spec is None}
        if positions is None:
            positions = () if declared is None else declared.positions
        self.positions = names_of_positions(positions)
        self.inputs |= {name: as_representation("1o") for name in self.positions}
        self.scope: ScopeName = _one_of("scope", scope, tuple(SCOPES))
        if frames is None:
            natural = None if declared is None else SCOPES[scope].natural_cutoff(declared)
            frames = HierarchicalFrames(natural)
        check_frames(frames)
        self.frames = frames
        self.given_prepare = prepare
        # a module only to have its parameters and its device follow those of the network
        self.auxiliary = self.frames.auxiliary
        self.group: Group = _one_of("group", group, GROUPS)
        check_has_group(self.frames, group)
        self.axis = _axis_of(group, axis)
        check_translations(translations, self.axis)
        self.translations: Translations = translations
        if isinstance(self.axis, str):
            self.inputs[self.axis] = as_representation("1o")
        self.reduce = _one_of("reduce", reduce, (None, *get_args(Reduce)))
        self.train_with: Training = _one_of("training", training, get_args(Training))
        self.generator = generator
        check_options(chunk_size, memory, generator, prepare, progress)
        self.chunk_size, self.memory, self.progress = chunk_size, memory, progress
        for name in ("pos", "cell"):
            if str(self.inputs[name].irreps) != "1x1o":
                raise ValueError(
                    f"`inputs` declares {name!r} as {self.inputs[name]} but it holds polar "
                    "vectors: leave it out, or declare it '1o'"
                )
        SCOPES[scope].check(self._view, declared)
        check_reduction(reduce, self.declaration)
        self._caller = Caller(self.declaration, {*self.inputs, *self.unturned})
        warn_of_forces(self.declaration, self.frames)

    @property
    def prepare(self) -> Callable[[Any], Any] | None:
        """What is called once on the data before copies are made: as given, or the network's."""
        if self.given_prepare is not None:
            return self.given_prepare
        found: Callable[[Any], Any] | None = declared_by(self.net, "prepare")
        return found

    def extra_repr(self) -> str:
        """What is declared, where the module is printed."""
        declared = [*self.declaration.items(), *((n, None) for n in self.declaration.left_out)]
        outputs = "{" + ", ".join(f"{name!r}: {output}" for name, output in declared) + "}"
        inputs = {n: str(spec) for n, spec in self.inputs.items() if n not in ("pos", "cell")}
        unusual: dict[str, tuple[Any, Any]] = {
            "inputs": (inputs, {}),
            "reduce": (self.reduce, None),
            "chunk_size": (self.chunk_size, None),
            "memory": (self.memory, None),
            "training": (self.train_with, "all"),
            "axis": (self.axis, axis_for(self.group, None)),
            "translations": (self.translations, "all"),
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
            structure (or center), or for each point or edge where so declared. What is left out is
            absent from dicts, and None elsewhere.

        Raises:
            ValueError: if the data is not finite, of the wrong shape, or empty, or if an output
                does not fit its representation.
        """
        scene = self._scene(data)
        ensemble = self._ensemble(scene, self.train_with if self.training else "all")
        return self._averages(scene, ensemble, abroad(data)).mean()

    @property
    def contract(self) -> Contract:
        """What the symmetrized network claims: the group, and no more smoothness than its parts.

        Nothing is claimed of the smoothness of a network without a contract, nor, with scope
        "center", of one that sees points at the end of their environment: there they come and go.
        """
        declared, scope = contract_of(self.net), SCOPES[self.scope]
        order = None if declared is None else scope.order(declared)
        frames = self.frames.smoothness(self.declaration.degree)
        return Contract(
            outputs=self.declaration,
            inputs={
                name: spec
                for name, spec in self.inputs.items()
                if name not in ("pos", "cell", *self.positions)
            },
            positions=self.positions,
            group=self._claimed if self.frames.is_exact else None,
            axis=self.axis if self.frames.is_exact else None,
            translations=self.translations,
            smoothness=lowest(order, frames),
            periodic=declared is not None and declared.periodic,
            min_distance=None if declared is None else declared.min_distance,
            **scope.locality(self._view),
        )

    @property
    def _claimed(self) -> Group:
        """The group that outputs turn under; an axis among the inputs turns along with all."""
        if not isinstance(self.axis, str):
            return self.group
        return "O(3)" if has_reflections(self.group) else "SO(3)"

    def ensemble(self, data: Data) -> Ensemble:
        """The frames of each structure (or center) of the data, in the dtype of its positions."""
        scene = self._scene(data)
        return self._ensemble(scene).to(scene.source.data.pos.dtype, abroad(data))

    def evaluations(self, data: Data) -> Int[Tensor, "clouds"]:
        """How often the network is evaluated for each structure (or center) of the data.

        No more often than it has frames: those that differ by what leaves a planar or collinear
        structure as it is share one evaluation, unless the data carries gradients.
        """
        scene = self._scene(data)
        ensemble = self._ensemble(scene)
        framed = ensemble.take(torch.nonzero(~ensemble.auxiliary)[:, 0])
        seen = (framed.index, framed.rotations, framed.isotropic)
        return counts(framed.index[alike(scene.source, *seen)[0]], framed.size).to(abroad(data))

    def spread(self, data: Data) -> Any:
        """How far the network's outputs differ between frames: its own breaking of symmetry.

        ``(sum_p w_p |rho(R_p) f(A R_p) - F(A)|^2)^(1/2)`` in the norm of each irrep copy, from the
        evaluations that the average needs anyway. Zero where there is one frame only.

        Returns:
            as the network, with one column for each irrep copy (one for a Cartesian tensor), and
            one row for each structure, center, point or edge; invariant under the group.
        """
        scene = self._scene(data)
        return self._averages(scene, self._ensemble(scene), abroad(data)).spread()

    @property
    def _view(self) -> View:
        return View(
            self.inputs,
            self.positions,
            self.frames,
            self.prepare,
            self.reduce,
            self.axis,
            self.translations,
        )

    @without_autocast()
    def _scene(self, data: Data) -> Scene:
        """Structures, or environments of centers, as the network will see them."""
        return SCOPES[self.scope].scene(at_home(data), self._view)

    @without_autocast()
    def _ensemble(self, scene: Scene, which: Training = "all") -> Ensemble:
        """Frames R_p and weights w_p of each cloud: all of them, or one of each."""
        if which == "random":
            device = scene.source.vectors.device
            return random_ensemble(scene.size, device, self.group, self.generator, scene.axis)
        ensemble = scene.ensemble(self.frames, self.group, self.declaration.degree)
        if which == "sampled":
            return drawn(ensemble, self.generator)
        return audible(merged(ensemble), scene.source.data.pos.dtype)

    def _averages(self, scene: Scene, ensemble: Ensemble, device: torch.device | None) -> Averages:
        """sum_p w_p rho(R_p) f(A R_p), with the copies A R_p in chunks.

        Args:
            scene: what copies are made of.
            ensemble: its frames.
            device: where the network is called, if the scene is elsewhere.
        """
        averages = Averages(self.declaration, scene, ensemble, self.group, device)
        framed = ensemble.take(torch.nonzero(~ensemble.auxiliary)[:, 0])
        seen = (framed.index, framed.rotations, framed.isotropic)
        different, which = alike(scene.source, *seen)
        # the members of each copy, one after the other
        members = torch.argsort(which, stable=True)
        ends = offsets(counts(which, len(different)))
        turning = [part[different] for part in seen]
        for some, call in self._calls(scene.source, device, *turning):
            form, returned, copies = call
            sharing = members[ends[some.start] : ends[some.stop]]
            averages.add(form, returned, framed.take(sharing), which[sharing] - some.start, copies)
            if self.progress is not None:
                self.progress(some.stop, len(different))
        if bool(ensemble.auxiliary.any()):
            assert self.auxiliary is not None
            whole = as_they_are(scene.source).on(device)
            returned = self.declaration.named(self.auxiliary(whole.data), whole.numbers)
            averages.add_auxiliary(returned, whole)
        return averages

    def _calls(
        self,
        source: Source,
        device: torch.device | None,
        index: Tensor,
        rotations: Tensor,
        collapsed: Tensor,
    ) -> Iterator[tuple[slice, tuple[Any, dict[str, Tensor], Copies]]]:
        """Which copies each call of the network is for, what it returned, and the copies."""
        number = len(index)
        if number == 0:  # no cloud, or none that needs the network
            return
        wanted = torch.is_grad_enabled() and not is_transformed(source.vectors)
        fitting = None
        slices: Iterable[slice] = evenly(number, self.chunk_size)
        if self.memory is not None:
            points = counts(source.layout.batch, source.layout.size)[index]
            slices = fitting = Fitting(bytes_of(self.memory), points, wanted)
        for some in slices:

            def call(some: slice = some) -> tuple[Any, dict[str, Tensor], Copies]:
                with without_autocast():
                    part = index[some], rotations[some], collapsed[some]
                    copies = turned_copies(source, *part).on(device)
                return *self._caller(self.net, source, copies, self.training), copies

            if fitting is not None and fitting.is_measured:
                with fitting.watched():
                    found = call()
            elif wanted and some != slice(0, number):
                found = recomputed(self.net, call)
            else:
                found = call()
            yield some, found


def _axis_of(group: Group, axis: Any) -> Any:
    """The axis of the group, as given, or the name of an attribute."""
    if isinstance(axis, str) and not is_axial(group):
        raise ValueError(
            f"`axis` names {axis!r} but `group` is {group!r}, which treats all directions alike: "
            "take group='O(2)' or 'SO(2)'"
        )
    return axis_for(group, axis)


def _one_of(name: str, value: Any, choices: tuple[Any, ...]) -> Any:
    if value not in choices:
        raise ValueError(
            f"`{name}` is {value!r} but must be one of {', '.join(map(repr, choices))}"
        )
    return value
