"""Networks on disk: weights as safetensors, configuration as JSON; loading executes no code.

A checkpoint is a folder of two files: ``weights.safetensors`` and ``network.json``, which names the
network and the arguments that it was made with. Only networks of this package can be named.
"""

import functools
import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from symmetrize import Contract, Outputs, __version__, per_point
from symmetrize.extras import DISTRIBUTION

FORMAT = 1
WEIGHTS, CONFIGURATION = "weights.safetensors", "network.json"

Network = TypeVar("Network", bound=type[nn.Module])


def configured(network: Network) -> Network:
    """Class decorator: instances keep the arguments they were made with as ``configuration``.

    All arguments, defaults included, so that a later change of a default changes no checkpoint.
    """
    make = network.__init__
    signature = inspect.signature(make)

    @functools.wraps(make)
    def remembering(self: nn.Module, *given: Any, **named: Any) -> None:
        bound = signature.bind(self, *given, **named)
        bound.apply_defaults()
        make(self, *given, **named)
        arguments = {name: _plain(value) for name, value in list(bound.arguments.items())[1:]}
        arguments["outputs"] = outputs_to_json(bound.arguments["outputs"])
        object.__setattr__(self, "configuration", arguments)

    network.__init__ = remembering  # type: ignore[method-assign]
    return network


def save(net: nn.Module, folder: str | Path) -> None:
    """Write a network of this package to a folder, which is made if it is missing.

    Raises:
        TypeError: if the network is not of this package.
    """
    from safetensors.torch import save_file

    if type(net).__name__ not in _networks() or not hasattr(net, "configuration"):
        raise TypeError(
            f"{type(net).__name__} cannot be saved: it must be one of {sorted(_networks())}; a "
            "symmetrized network is saved as model.net"
        )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    described = {
        "format": FORMAT,
        "symmetrize": __version__,
        "network": type(net).__name__,
        "arguments": net.configuration,
    }
    (folder / CONFIGURATION).write_text(json.dumps(described, indent=2) + "\n")
    weights = {name: value.contiguous() for name, value in net.state_dict().items()}
    save_file(weights, folder / WEIGHTS)


def load(folder: str | Path) -> nn.Module:
    """The network of a folder, in the dtype in which it was saved, on the CPU, in evaluation mode.

    Nothing in the folder is executed: the configuration is JSON, the weights are plain tensors.

    Raises:
        ValueError: if the folder names no network of this package or is of a later format.
    """
    from safetensors.torch import load_file

    folder = Path(folder)
    described = json.loads((folder / CONFIGURATION).read_text())
    if not isinstance(described, dict) or not {"format", "network", "arguments"} <= set(described):
        raise ValueError(
            f"{folder / CONFIGURATION} must hold an object with `format`, `network` and "
            "`arguments`, as `save` writes it"
        )
    if described["format"] != FORMAT:
        raise ValueError(
            f"{folder} has format {described['format']} but this version reads {FORMAT}: "
            f"install {DISTRIBUTION} {described.get('symmetrize')} or newer"
        )
    networks = _networks()
    if str(described["network"]) not in networks:
        raise ValueError(
            f"{folder} holds a {described['network']!r} but must hold one of {sorted(networks)}"
        )
    arguments = dict(described["arguments"])
    arguments["outputs"] = outputs_from_json(arguments["outputs"])
    weights = load_file(folder / WEIGHTS)
    net = networks[described["network"]](**arguments)
    dtypes = {value.dtype for value in weights.values() if value.is_floating_point()}
    for dtype in dtypes:
        net.to(dtype)
    net.load_state_dict(weights)
    return net.eval()


def outputs_to_json(outputs: Outputs) -> Any:
    """Declared outputs as plain values: how each turns, and whether it belongs to points."""
    declared = Contract(outputs).outputs
    plain = {
        name: {"turns": str(output.representation), "per_point": output.per_point}
        for name, output in declared.items()
    }
    return plain if declared.is_mapping else next(iter(plain.values()))


def outputs_from_json(plain: Any) -> Outputs:
    """What ``outputs_to_json`` wrote."""
    if "turns" in plain and not isinstance(plain["turns"], dict):
        return per_point(plain["turns"]) if plain["per_point"] else plain["turns"]
    return {name: outputs_from_json(one) for name, one in plain.items()}


def _plain(value: Any) -> Any:
    """A value as JSON knows it: numpy and torch numbers as Python's, sequences as lists."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, Sequence):
        return [_plain(one) for one in value]
    return str(value)


def _networks() -> dict[str, type[nn.Module]]:
    import backbones

    return {name: getattr(backbones, name) for name in backbones.__all__}
