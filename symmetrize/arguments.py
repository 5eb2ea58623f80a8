"""Arguments of the wrapper that are mistaken for others: what stood there, and what must."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch

from symmetrize.chunks import bytes_of
from symmetrize.frames import Frames
from symmetrize.outputs import Output
from symmetrize.representation import Representation, as_representation


def check_network(net: Any) -> None:
    """Refuse what cannot be called with data.

    Raises:
        TypeError: for a class, frames, a file name, a dict of weights.
    """
    if isinstance(net, type):
        raise TypeError(
            f"the network is the class {net.__name__} but must be an instance of it: make one, as "
            f"in Symmetrizer({net.__name__}(...))"
        )
    if isinstance(net, Frames) or not callable(net):
        raise TypeError(
            f"the network is {_said(net)} but must be a module or a function from data to tensors: "
            "make it, and load its weights, first"
        )


def check_frames(frames: Any) -> None:
    """Refuse what is no family of frames.

    Raises:
        TypeError: for a class, a name, a number.
    """
    if isinstance(frames, Frames):
        return
    if isinstance(frames, type) and issubclass(frames, Frames):
        way_out = f"make one, as in frames={frames.__name__}(...)"
    elif isinstance(frames, int | float) and not isinstance(frames, bool):
        way_out = f"if that is a cutoff, frames=HierarchicalFrames(cutoff={frames})"
    else:
        way_out = (
            "as in frames=HierarchicalFrames(cutoff=5.0), with preset='lean' for fewer of them; "
            "None for the default"
        )
    raise TypeError(f"`frames` is {_said(frames)} but must be an instance of Frames: {way_out}")


def representations_of(inputs: Any, argument: str = "inputs") -> dict[str, Representation]:
    """How attributes of the data turn, as the user wrote it.

    Raises:
        TypeError: if it is no mapping from names to representations.
    """
    if not isinstance(inputs, Mapping):
        names = [inputs] if isinstance(inputs, str) else inputs
        listed = isinstance(names, list | tuple | set | frozenset) and len(names) > 0
        example = {str(name): "1o" for name in names} if listed else {"field": "1o"}
        raise TypeError(
            f"`{argument}` is {_said(inputs)} but must map names to how they turn: "
            f"{argument}={example}, '1o' for a polar vector, '1e' for an axial one, 'ij' for a "
            "tensor, '0e' for what does not turn"
        )
    found = {}
    for name, spec in inputs.items():
        if spec is None:  # said not to turn
            continue
        if isinstance(spec, Output):
            plain = {name: str(spec.representation)}
            raise TypeError(
                f"`{argument}` declares {name!r} as {spec} but inputs need no per_point or "
                f"per_edge: whose rows they are is told by their number; write {argument}={plain}"
            )
        found[name] = as_representation(spec)
    return found


def warn_of_forces(outputs: Mapping[str, Output], frames: Frames) -> None:
    """Say that an energy and forces that are averaged apart do not belong together.

    The derivative of the averaged energy has a part from the weights of the frames, unless they are
    the same for all clouds.
    """
    names = {path.rpartition(".")[2]: path for path in outputs}
    derived = [names[name] for name in ("forces", "stress", "virial") if name in names]
    if "energy" not in names or not derived or frames.fixed:
        return
    energy = names["energy"]
    warnings.warn(
        f"{energy!r} and {derived} are declared side by side: averaged over frames, they are no "
        "longer each other's derivative, and forces have a torque. Take derivatives of the "
        "averaged energy instead: forces_and_stress(model, data), and leave the network's own out, "
        f"outputs={{{energy!r}: '0e', {derived[0]!r}: None}}",
        UserWarning,
        stacklevel=3,
    )


def check_reduction(reduce: str | None, outputs: Mapping[str, Output]) -> None:
    """Refuse sums over centers of what does not add up.

    Raises:
        ValueError: for log-probabilities of centers.
    """
    for name, output in outputs.items():
        if reduce is not None and output.average == "log" and output.rows == "structure":
            plain = str(output.representation)
            raise ValueError(
                f"`reduce` is {reduce!r} but {name!r} holds log-probabilities of centers, whose "
                f"{reduce} is that of no distribution: declare logits, {plain!r}, or take one row "
                "for each center, reduce=None"
            )


def check_options(
    chunk_size: Any, memory: Any, generator: Any, prepare: Any, progress: Any
) -> None:
    """Refuse values of another type than the options of the wrapper have.

    Raises:
        TypeError: naming the option.
        ValueError: if a chunk has no copies.
    """
    if chunk_size is not None and (isinstance(chunk_size, bool) or not isinstance(chunk_size, int)):
        raise TypeError(
            f"`chunk_size` is {chunk_size!r} but must be an integer, the number of copies per call "
            "of the network; None evaluates all copies in one call"
        )
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(
            f"`chunk_size` is {chunk_size} but must be at least 1 copy per call of the "
            "network; None evaluates all copies in one call"
        )
    if memory is not None:
        bytes_of(memory)
        if chunk_size is not None:
            raise ValueError(
                f"`chunk_size` is {chunk_size} and `memory` is {memory!r} but one of them is "
                "enough: leave out the other"
            )
    if progress is not None and (isinstance(progress, type) or not callable(progress)):
        raise TypeError(
            f"`progress` is {_said(progress)} but must be a function of two numbers, the copies "
            "that are done and all of them, as in progress=lambda done, total: print(done, total)"
        )
    if generator is not None and not isinstance(generator, torch.Generator):
        raise TypeError(
            f"`generator` is {_said(generator)} but must be a torch.Generator, as in "
            "torch.Generator().manual_seed(0)"
        )
    if prepare is not None and (isinstance(prepare, type) or not callable(prepare)):
        raise TypeError(
            f"`prepare` is {_said(prepare)} but must be a function from data to data, as in "
            "prepare=connect(radius=5.0)"
        )


def _said(value: Any) -> str:
    """A value with its type, or a class with its name."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    if isinstance(value, str):
        return f"the string {value!r}"
    text = repr(value) if isinstance(value, list | tuple | set | frozenset) else ""
    return f"a {type(value).__name__}" + (f", {text}" if 0 < len(text) < 60 else "")
