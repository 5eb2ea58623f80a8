"""The call of a network, and what its errors mean where the call itself is at fault.

What a network raises for reasons of its own passes through as it is.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from traceback import walk_tb
from types import CodeType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from torch_geometric.data import Data

# How a tensor or a module is converted, where the user is told to
METHODS = {
    torch.float32: "float()",
    torch.float64: "double()",
    torch.float16: "half()",
    torch.bfloat16: "bfloat16()",
}
# Words of errors of torch that may come from a dtype or a device that does not fit
OF_DTYPES = ("dtype", "type", "float", "double", "half", "device", "cpu", "cuda", "meta")


# Whose autocast there may be
DEVICES = ("cpu", "cuda", "mps", "xpu")


@contextmanager
def without_autocast() -> Iterator[None]:
    """Geometry keeps its digits, whatever the precision that a network is evaluated in.

    Products in half precision would turn clouds with errors of 1e-3, and break the symmetry.
    """
    with ExitStack() as stack:
        for device in DEVICES:
            if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        yield


def called(net: Callable[[Any], Any], data: Data) -> Any:
    """What a network returns for data.

    Raises:
        TypeError: if the network takes something else than the data alone.
        RuntimeError: if its parameters have another dtype than the data, or are on another device,
            and it does not convert one of them.
    """
    try:
        return net(data)
    except (TypeError, AttributeError) as error:
        if isinstance(error, TypeError) and _is_not_for_one(net, error):
            raise TypeError(_of_arguments(net, data)) from error
        if any(name in str(error) for name in (type(data).__name__, "GlobalStorage")):
            error.add_note(
                f"the network was called with a {type(data).__name__} of torch_geometric, and with "
                "nothing else: if it takes positions or other attributes, wrap it as "
                'Call(net, "pos, batch") or Dense(net, "b n c -> b o"), from backbones.adapters'
            )
        raise
    except RuntimeError as error:
        said = mismatch(net, data)
        if said is None or not any(word in str(error).lower() for word in OF_DTYPES):
            raise
        raise RuntimeError(f"{said}. The network raised: {error}") from error


def mismatch(net: object, data: Data) -> str | None:
    """How parameters and data differ in dtype or device, and what mends it; None if they do not."""
    if not isinstance(net, nn.Module):
        return None
    tensors = [*net.parameters(), *net.buffers()]
    known = next((each for each in tensors if each.is_floating_point()), None)
    if known is None:
        return None
    of_net = f"the parameters of {_innermost(net)}"
    given = {name: value for name, value in data.to_dict().items() if isinstance(value, Tensor)}
    device = data.pos.device
    if device != known.device:
        return (
            f"`pos` is on {device} but {of_net} are on {known.device}: move the network, "
            f"model.to({str(device)!r}), or the data, data.to({str(known.device)!r})"
        )
    others = [
        name
        for name, value in given.items()
        if value.is_floating_point() and value.dtype != known.dtype
    ]
    if not others:
        return None
    name = "pos" if "pos" in others else others[0]
    dtype = given[name].dtype
    said = f"`{name}` is {_short(dtype)} but {of_net} are {_short(known.dtype)}: "
    to_net, to_data = METHODS.get(dtype), METHODS.get(known.dtype)
    said += f"convert the network, model.{to_net}"
    if known.dtype in (torch.float32, torch.float64):
        return f"{said}, or the data, data.{name} = data.{name}.{to_data}"
    return (
        f"{said}; frames need the digits of float32, and half precision inside the network is "
        f'had by torch.autocast("{device.type}", {known.dtype}) around the call of the model'
    )


def _is_not_for_one(net: Callable[[Any], Any], error: TypeError) -> bool:
    """Whether the error says that the network cannot be called with one argument."""
    function, code = _function(net)
    try:
        inspect.signature(function, follow_wrapped=False).bind(None)
    except TypeError:
        # raised by the call, not inside of what was called
        return code is not None and all(
            frame.f_code is not code for frame, _ in walk_tb(error.__traceback__)
        )
    except ValueError:  # has no signature
        return False
    return False


def _of_arguments(net: Callable[[Any], Any], data: Data) -> str:
    parameters = inspect.signature(_function(net)[0], follow_wrapped=False).parameters.values()
    named = [one for one in parameters if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
    # without the batch, which many can do without, structures would be mixed up
    wanted = [one for one in named if one.default is one.empty or one.name == "batch"]
    skipped = [one is not other for one, other in zip(named, wanted, strict=False)]
    written = [
        f"{one.name}={one.name}"
        if one.kind is one.KEYWORD_ONLY or any(skipped[: i + 1])
        else one.name
        for i, one in enumerate(wanted)
    ]
    name = type(net).__name__ if isinstance(net, nn.Module) else getattr(net, "__name__", "it")
    return (
        f"{name} takes ({', '.join(one.name for one in named)}) but a network is called with the "
        f"data alone: wrap it as Call(net, {', '.join(written or ['pos'])!r}) from "
        "backbones.adapters, with the attributes of the data that its arguments stand for, of "
        f"{sorted(data.keys())}"
    )


def _function(net: Callable[[Any], Any]) -> tuple[Callable[..., Any], CodeType | None]:
    """What runs when a network is called, and its code."""
    function: Any = net
    if isinstance(net, nn.Module):
        function = net.forward
    elif isinstance(net, functools.partial):
        return net, getattr(net.func, "__code__", None)
    elif not inspect.isroutine(net):
        function = net.__call__  # type: ignore[operator]
    return function, getattr(function, "__code__", None)


def _innermost(net: nn.Module) -> str:
    """The name of the network inside of adapters, which have it as their ``model``."""
    inner = getattr(net, "model", None)
    return _innermost(inner) if isinstance(inner, nn.Module) else type(net).__name__


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
