"""Models on disk: weights as safetensors, everything else as JSON; loading executes no code.

A checkpoint is a folder of two files, ``weights.safetensors`` and ``network.json``. The latter
names a network of this package and the arguments that it was made with, and for a ``Symmetrizer``
all its settings around that. Of a network of one's own it keeps the name alone: who loads it passes
what makes it, as in ``load(folder, make=MyNetwork)``.
"""

import functools
import inspect
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from symmetrize import Frames, Symmetrizer, __version__
from symmetrize.declaration import Declaration
from symmetrize.extras import DISTRIBUTION
from symmetrize.plain import Plain, fields, made_with, plain
from symmetrize.settings import settings_to_plain, wrapped

FORMAT = 2
READ = (1, 2)  # format 1 had networks of this package only
# Wrappers of torch, which have nothing to keep
PARALLEL = (nn.DataParallel, nn.parallel.DistributedDataParallel)
WEIGHTS, CONFIGURATION = "weights.safetensors", "network.json"

Network = TypeVar("Network", bound=type[nn.Module])


def configured(network: Network) -> Network:
    """Class decorator: instances keep the arguments they were made with as ``configuration``.

    All arguments, defaults included, so that a later change of a default changes no checkpoint. On
    a network of your own, ``load(folder, make=MyNetwork)`` then passes them on.
    """
    make = network.__init__
    signature = inspect.signature(make)
    # the first argument after the network itself, and without a default
    needs_outputs = [
        name for name, one in signature.parameters.items() if one.default is one.empty
    ][1:2] == ["outputs"]

    @functools.wraps(make)
    def remembering(self: nn.Module, *given: Any, **named: Any) -> None:
        if needs_outputs and len(given) == 0 and "outputs" not in named:
            raise TypeError(
                f"`outputs` is missing: {type(self).__name__} must know what it returns, and how "
                f"that turns, as in {type(self).__name__}({{'energy': '0e', 'dipole': '1o'}})"
            )
        bound = signature.bind(self, *given, **named)
        bound.apply_defaults()
        # before the network sees them: it may change what it was given
        arguments = {name: plain(value) for name, value in list(bound.arguments.items())[1:]}
        if "outputs" in arguments:
            arguments["outputs"] = Declaration.of(bound.arguments["outputs"]).plain()
        make(self, *given, **named)
        object.__setattr__(self, "configuration", arguments)

    remembering.remembers = True  # type: ignore[attr-defined]
    network.__init__ = remembering  # type: ignore[method-assign]
    return network


def save(model: Any, folder: str | Path) -> None:
    """Write a network, or one in a ``Symmetrizer``, to a folder, which is made if it is missing.

    Of a ``Symmetrizer`` everything is kept but ``generator`` and a ``prepare`` of its own. Of a
    model that is compiled or distributed, what torch wraps is saved.

    Raises:
        TypeError: if the model is no module, or holds what neither JSON nor safetensors can.
    """
    from safetensors.torch import save_file

    if not isinstance(model, nn.Module):
        raise TypeError(
            f"a {type(model).__name__} cannot be saved: it must be a torch module, which has "
            "weights, or one in a Symmetrizer"
        )
    while isinstance(model, PARALLEL) or hasattr(model, "_orig_mod"):
        model = model.module if isinstance(model, PARALLEL) else model._orig_mod
    described = {"format": FORMAT, "symmetrize": __version__, **_described(model)}
    try:
        text = json.dumps(described, indent=2) + "\n"
    except TypeError as error:
        raise TypeError(
            f"{type(model).__name__} was made with an argument that a checkpoint cannot hold "
            f"({error}): numbers, texts, lists and representations are kept"
        ) from None
    weights = {}
    for name, value in model.state_dict().items():
        if not isinstance(value, Tensor):
            raise TypeError(
                f"the state {name!r} is a {type(value).__name__} but must be a tensor: keep it as "
                "a buffer, or make it anew from the arguments of the network"
            )
        # tied weights are kept as often as they are named
        weights[name] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / WEIGHTS)
    (folder / CONFIGURATION).write_text(text)


def load(
    folder: str | Path,
    make: Callable[..., Any] | None = None,
    *,
    frames: Frames | None = None,
    prepare: Callable[[Any], Any] | None = None,
) -> nn.Module:
    """The model of a folder, in the dtypes in which it was saved, on the CPU, in evaluation mode.

    Nothing in the folder is executed: its JSON names networks and frames of this package, and the
    weights are plain tensors.

    Args:
        folder: written by ``save``.
        make: for a network that is not of this package, what makes one: its class, or a function.
            Called with the arguments that the network was made with if its class is ``configured``,
            and without arguments otherwise.
        frames: of a ``Symmetrizer``, instead of those it was saved with; needed for a family of
            your own, or with an ``auxiliary`` model of your own.
        prepare: of a ``Symmetrizer`` that was given one.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a file is not what ``save`` writes, is of a later format, or names what is
            not of this package; or if the weights do not fit what ``make`` makes.
    """
    folder = Path(folder)
    described = _read(folder)
    weights = _weights(folder)
    model = _made(described, make, frames, prepare)
    if not isinstance(model, nn.Module):
        raise ValueError(f"`make` made a {type(model).__name__} but must make a torch module")
    _set_dtypes(model, weights)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(
            f"the weights in {folder} do not fit: make the network with the arguments with which "
            f"the saved one was made. {error}"
        ) from error
    return model.eval()


# --- what a model is


def _described(model: Any) -> Plain:
    """The model as plain values: of this package, a wrapper around one, or one's own."""
    if type(model) is Symmetrizer:  # what a subclass does beside it, only its class knows
        return {
            "symmetrizer": settings_to_plain(model, _described),
            "net": _described(model.net),
        }
    name = getattr(model, "__name__", type(model).__name__)
    remembers = getattr(type(model).__init__, "remembers", False)
    arguments = model.configuration if remembers else None
    if _networks().get(name) is type(model):
        return {"network": name, "arguments": arguments}
    return {"own": name, "arguments": arguments}


def _made(
    described: Any,
    make: Callable[..., Any] | None,
    frames: Frames | None = None,
    prepare: Callable[[Any], Any] | None = None,
) -> Any:
    """The model that is described, without its weights."""
    if isinstance(described, dict) and "symmetrizer" in described:
        fields(described, {"symmetrizer", "net"}, CONFIGURATION)
        return wrapped(
            _made(described["net"], make), described["symmetrizer"], _auxiliary, frames, prepare
        )
    if frames is not None or prepare is not None:
        raise ValueError(
            "`frames` and `prepare` are for a Symmetrizer, but the folder holds a bare network: "
            "wrap what is loaded, as in Symmetrizer(load(folder), frames=..., prepare=...)"
        )
    if isinstance(described, dict) and "own" in described:
        fields(described, {"own", "arguments"}, CONFIGURATION)
        return _own(described["own"], described["arguments"], make)
    fields(described, {"network", "arguments"}, CONFIGURATION)
    name, networks = str(described["network"]), _networks()
    if name not in networks:
        raise ValueError(f"the folder holds a {name!r} but must hold one of {sorted(networks)}")
    if make is not None:
        raise ValueError(
            f"the folder holds a {name} of this package, which needs no `make`: leave it out"
        )
    return made_with(networks[name], _with_outputs(described["arguments"]), CONFIGURATION)


def _own(name: str, arguments: Any, make: Callable[..., Any] | None) -> Any:
    """A network that is not of this package, from what the user says makes it."""
    if make is None:
        raise ValueError(
            f"the folder holds the weights of {name!r}, which is not of this package: pass what "
            f"makes it, as in load(folder, make={name}), or make=lambda: {name}(...)"
        )
    if isinstance(make, nn.Module) or not callable(make):
        raise TypeError(
            f"`make` is a {type(make).__name__} but must make one when it is called: pass the "
            "class or a function, as in make=lambda: net"
        )
    return make() if arguments is None else made_with(make, _with_outputs(arguments), "`make`")


def _auxiliary(described: Plain) -> Any:
    """The auxiliary model of frames: of this package or, as a wrapper, around one."""
    if "own" in described:
        raise ValueError(
            f"the frames have an auxiliary model {described['own']!r}, which is not of this "
            "package: pass the frames again, as in load(folder, frames=PairFrames(..., "
            "auxiliary=...))"
        )
    return _made(described, None)


def _with_outputs(arguments: Any) -> Plain:
    if not isinstance(arguments, dict):
        raise ValueError(f"`arguments` is {arguments!r} but must hold arguments by name")
    if "outputs" not in arguments:
        return arguments
    return arguments | {"outputs": Declaration.of_plain(arguments["outputs"])}


def _networks() -> dict[str, type[nn.Module]]:
    import backbones

    return {name: getattr(backbones, name) for name in backbones.__all__}


# --- files


def _read(folder: Path) -> Plain:
    """The configuration of a folder, without what is said about the file itself."""
    text = _bytes(folder, CONFIGURATION)
    try:
        described = json.loads(text)
    except ValueError as error:  # of the encoding too
        raise ValueError(f"{folder / CONFIGURATION} is not JSON: {error}") from None
    if not isinstance(described, dict) or "format" not in described:
        raise ValueError(
            f"{folder / CONFIGURATION} must hold an object with `format` and what `save` writes"
        )
    if described["format"] not in READ:
        raise ValueError(
            f"{folder} has format {described['format']} but this version reads "
            f"{' and '.join(map(str, READ))}: install {DISTRIBUTION} "
            f"{described.get('symmetrize')} or newer"
        )
    return {name: one for name, one in described.items() if name not in ("format", "symmetrize")}


def _weights(folder: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load as tensors_of

    # read at once, not mapped: the file is closed, and may be overwritten
    content = _bytes(folder, WEIGHTS)
    try:
        return tensors_of(content)
    except SafetensorError as error:
        raise ValueError(
            f"{folder / WEIGHTS} is not a safetensors file ({error}), and nothing else is opened: "
            "a pickle could run anything"
        ) from None


def _bytes(folder: Path, name: str) -> bytes:
    if not (folder / name).is_file():
        found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else "no folder"
        raise FileNotFoundError(
            f"there is no {name} in {str(folder)!r}, but {found}: pass a folder that "
            "backbones.checkpoint.save wrote. Pickles (.pt, .pkl) are not opened; of their state "
            "dict, symmetrize.load_weights makes use"
        )
    return (folder / name).read_bytes()


def _set_dtypes(model: nn.Module, weights: dict[str, Tensor]) -> None:
    """Give the model the dtypes of the weights; what is not saved follows the most common one."""
    floats = Counter(value.dtype for value in weights.values() if value.is_floating_point())
    if floats:
        model.to(floats.most_common(1)[0][0])
    for name, value in model.state_dict(keep_vars=True).items():
        if name in weights and value.is_floating_point():
            value.data = value.data.to(weights[name].dtype)
