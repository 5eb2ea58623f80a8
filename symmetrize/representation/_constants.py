"""Tensors that never change, handed out per dtype and device."""

import torch
from jaxtyping import Float
from torch import Tensor


class Constant:
    """A tensor that never changes: exact once, rounded and moved once per dtype and device.

    Args:
        exact: the tensor in float64, on the CPU.
    """

    def __init__(self, exact: Float[Tensor, "*shape"]) -> None:
        self.exact = exact
        self.kept: dict[tuple[torch.dtype, torch.device], Tensor] = {}

    def to(self, dtype: torch.dtype, device: torch.device) -> Float[Tensor, "*shape"]:
        """Return the tensor as asked. It is shared: do not write to it."""
        if (dtype, device) in self.kept:
            return self.kept[dtype, device]
        if torch.compiler.is_compiling():
            return self.exact.to(dtype=dtype, device=device)  # becomes a part of the graph
        # what is made in inference mode could never take part in a backward pass
        with torch.inference_mode(False):
            tensor = self.exact.to(dtype=dtype, device=device)
        # a fake tensor, as tracers use, is of no use to the next caller
        if type(tensor) is Tensor:
            self.kept[dtype, device] = tensor
        return tensor
