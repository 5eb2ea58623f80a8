"""Calls a network on copies, and looks once at what no error would tell.

What a network reads that looks like vectors and is declared nowhere is warned of; outputs whose
graph does not lead to positions that carry gradients are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from torch import Tensor

from symmetrize.arrays.transforms import is_transformed
from symmetrize.data.copies import Copies, Source
from symmetrize.declaration import Declaration, said_of
from symmetrize.network.calling import called
from symmetrize.network.graph import Sources, check_leads_to_positions, is_wanted
from symmetrize.network.undeclared import is_compiled, look_like_vectors, reading, warn_of


class Caller:
    """Calls a network, and remembers what was looked at.

    Args:
        declaration: of the outputs.
        known: attributes of the data that are declared to turn, or not to.
    """

    def __init__(self, declaration: Declaration, known: Collection[str]) -> None:
        self.declaration = declaration
        self.known = set(known)
        # outputs that were found to lead to positions, in training mode and else
        self.leading: set[tuple[str, bool]] = set()

    def __call__(
        self, net: Callable[[Any], Any], source: Source, copies: Copies, training: bool
    ) -> tuple[Any, dict[str, Tensor]]:
        """What the network returns for copies, as it is and by name.

        Raises:
            TypeError, ValueError: if it is not what was declared, or its graph is cut.
        """
        # taken before the network may put other values in their place
        sources = Sources.of(copies.data) if is_wanted(copies.data) else None
        form = self._called(net, source, copies)
        returned = self.declaration.named(form, copies.numbers)
        self._check_graph(returned, sources, training)
        return form, returned

    def _called(self, net: Callable[[Any], Any], source: Source, copies: Copies) -> Any:
        """What the network returns; seen once is what it reads that nobody declared."""
        looks = look_like_vectors(source.data, source.layout, self.known)
        if not looks or is_compiled(net):
            return called(net, copies.data)
        self.known |= {*looks}
        with reading(copies.data, looks) as seen:
            returned = called(net, copies.data)
        warn_of(seen, looks)
        return returned

    def _check_graph(
        self, returned: Mapping[str, Tensor], sources: Sources | None, training: bool
    ) -> None:
        """Refuse outputs whose derivatives by positions would be those of the weights alone.

        Looked at until an output was found to depend on the positions: without neighbors it need
        not.
        """
        if sources is None:
            return
        for name, values in returned.items():
            if (name, training) in self.leading or is_transformed(values):
                continue
            check_leads_to_positions(said_of(name), values, sources)
            self.leading.add((name, training))
