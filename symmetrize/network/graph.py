"""Whether what a network returned leads back to the positions, in the graph of autograd.

A network whose graph is cut (``no_grad``, ``detach``, numpy) still seems to have derivatives once
it is symmetrized, those of the weights of its frames. They are not what anybody wants.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from symmetrize.arrays.transforms import is_transformed

if TYPE_CHECKING:
    from torch_geometric.data import Data


@dataclass(frozen=True)
class Sources:
    """What carries the gradients of positions in data, before a network is called with it.

    Attributes:
        tensors: those that were computed.
        nodes: where they stand in the graph of autograd.
    """

    tensors: list[Tensor]
    nodes: frozenset[Any]

    @classmethod
    def of(cls, data: Data) -> Sources:
        """All of them; cells lead to positions as little as they come from them."""
        tensors = [
            value
            for name, value in data.to_dict().items()
            if name != "cell" and isinstance(value, Tensor) and value.grad_fn is not None
        ]
        return cls(tensors, frozenset(value.grad_fn for value in tensors))

    def lead_to(self, values: Tensor) -> bool:
        """Whether values were computed from one of them, as far as autograd knows.

        >>> x = torch.ones(2, requires_grad=True)
        >>> y = 2 * x
        >>> sources = Sources([y], frozenset([y.grad_fn]))
        >>> sources.lead_to(y.sin()), sources.lead_to(y.detach().sin() * x)
        (True, False)
        """
        # what was changed in place stands elsewhere now
        ends = self.nodes | {source.grad_fn for source in self.tensors}
        waiting: list[Any] = [values.grad_fn]
        seen: set[Any] = {None}
        while waiting:
            node = waiting.pop()
            if node in seen:
                continue
            if node in ends:
                return True
            seen.add(node)
            waiting.extend(one for one, _ in node.next_functions)
        return False


def is_wanted(data: Data) -> bool:
    """Whether outputs must depend on positions: single points have nothing to depend on."""
    pos = data.pos
    if not (pos.requires_grad and torch.is_grad_enabled()) or is_transformed(pos):
        return False
    return len(pos) > 0 and int(data.ptr.diff().max()) > 1


def check_leads_to_positions(name: str, values: Tensor, sources: Sources) -> None:
    """Refuse an output that was cut off from the positions.

    Raises:
        ValueError: naming the output.
    """
    if sources.lead_to(values):
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
