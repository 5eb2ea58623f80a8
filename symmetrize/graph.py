"""Whether what a network returned leads back to the positions, in the graph of autograd.

A network whose graph is cut (``no_grad``, ``detach``, numpy) still seems to have derivatives once
it is symmetrized, those of the weights of its frames. They are not what anybody wants.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


def leads_to(values: Tensor, sources: Iterable[Tensor]) -> bool:
    """Whether values were computed from one of the sources, as far as autograd knows.

    >>> x = torch.ones(2, requires_grad=True)
    >>> y = 2 * x
    >>> leads_to(y.sin(), [y]), leads_to(y.detach().sin() * x, [y])
    (True, False)
    """
    ends = {source.grad_fn for source in sources if source.grad_fn is not None}
    waiting: list[Any] = [values.grad_fn]
    seen: set[Any] = set()
    while waiting:
        node = waiting.pop()
        if node in ends and node is not None:
            return True
        if node is not None and node not in seen:
            seen.add(node)
            waiting.extend(one for one, _ in node.next_functions)
    return False


def is_transformed(values: Tensor) -> bool:
    """Whether a transform of ``torch.func`` keeps the graph, where it cannot be seen."""
    return bool(torch._C._functorch.is_functorch_wrapped_tensor(values))


def check_leads_to_positions(name: str, values: Tensor, sources: Iterable[Tensor]) -> None:
    """Refuse an output that was cut off from the positions.

    Raises:
        ValueError: naming the output.
    """
    if leads_to(values, sources):
        return
    raise ValueError(
        f"positions carry gradients, but the graph of {name} that the network returned does not "
        "lead to them, so that its derivatives would be those of the weights of the frames alone: "
        "take torch.no_grad(), .detach() and numpy out of the way from `data.pos` to it (pos = "
        "data.pos.detach().requires_grad_() is a cut, too); for values without derivatives call "
        "the model with data.pos.detach(); leave an output out with None, as in outputs="
        "{'energy': '0e', 'forces': None}; one that does not depend on positions says so by adding "
        "0.0 * data.pos.sum()"
    )
