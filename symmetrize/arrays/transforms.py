"""Tensors inside of the transforms of ``torch.func``, and the numbers in them.

What is searched in numbers, as neighbors are, is outside of derivatives; a transform that maps over
many values at once has no one list of neighbors.
"""

import numpy as np
import torch
from torch import Tensor
from torch._C import _functorch as functorch
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack
from torch.autograd import forward_ad


def is_transformed(values: Tensor) -> bool:
    """Whether a transform of ``torch.func`` keeps the graph, where it cannot be seen."""
    return bool(functorch.is_functorch_wrapped_tensor(values))


def carries_derivatives(values: Tensor) -> bool:
    """Whether derivatives are asked for, backward or forward."""
    return values.requires_grad or forward_ad.unpack_dual(values).tangent is not None


def is_mapped(values: Tensor) -> bool:
    """Whether values stand for several, in ``torch.func.vmap``."""
    while functorch.is_functorch_wrapped_tensor(values):
        if functorch.is_batchedtensor(values):
            return True
        values = functorch.get_unwrapped(values)
    return False


def numbers_of(values: Tensor) -> np.ndarray:
    """The numbers of a tensor, outside of derivatives, of transforms, and of devices."""
    check_not_mapped("positions", values)
    while functorch.is_functorch_wrapped_tensor(values):
        values = functorch.get_unwrapped(values)
    with torch.no_grad(), temporarily_clear_interpreter_stack():
        return values.detach().cpu().numpy()


def check_not_mapped(name: str, values: Tensor) -> None:
    """Refuse positions over which a transform maps.

    Raises:
        ValueError: with the way out.
    """
    if is_mapped(values):
        raise ValueError(
            f"`{name}` is mapped over by torch.func.vmap, but neighbors and frames are as many as "
            "they are for each cloud: put the clouds into one batch, Batch.from_data_list(clouds); "
            "parameters can be mapped over, and derivatives by positions taken inside, as in "
            "vmap(grad(energy, argnums=1), in_dims=(0, None))"
        )
