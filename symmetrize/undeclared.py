"""Attributes that look like vectors, that a network reads, and that nobody declared.

They are not turned with the cloud, and so break the symmetry without a sign. Whether a network
reads an attribute is seen while it is called for the first time.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from symmetrize.data.layout import Layout

if TYPE_CHECKING:
    from torch_geometric.data import Data

# What a row of vectors, or of tensors, looks like, and how it would be declared
LOOKS = {(3,): "1o", (3, 3): "ij"}


def look_like_vectors(data: Data, rows: Layout, known: Collection[str]) -> dict[str, str]:
    """Attributes of the shape of vectors or tensors by name, with how they might be declared."""
    found = {}
    for name, value in data.to_dict().items():
        if name in known or not isinstance(value, Tensor) or not value.is_floating_point():
            continue
        if name in rows.rows and tuple(value.shape[1:]) in LOOKS:
            found[name] = LOOKS[tuple(value.shape[1:])]
    return found


@contextmanager
def reading(data: Data, names: Collection[str]) -> Iterator[set[str]]:
    """Which of some attributes are read, one by one and by name, inside of the context."""
    seen: set[str] = set()
    store = data._store

    class Watched(type(store)):  # type: ignore[misc]
        def __getitem__(self, key: str) -> Any:
            seen.update({key} & {*names})
            return super().__getitem__(key)

        def get(self, key: str, value: Any = None) -> Any:
            seen.update({key} & {*names})
            return super().get(key, value)

    plain = type(store)
    # storages keep what is set on them
    object.__setattr__(store, "__class__", Watched)
    try:
        yield seen
    finally:
        object.__setattr__(store, "__class__", plain)


def warn_of(seen: Collection[str], look: dict[str, str], stacklevel: int = 2) -> None:
    """Say once that the network reads what does not turn, and both ways out."""
    for name in sorted(seen):
        spec = look[name]
        of = "a vector" if spec == "1o" else "a tensor"
        warnings.warn(
            f"the network reads {name!r}, whose rows look like {of}, but `inputs` does not say how "
            f"it turns: it is left as it is, and if it is {of}, outputs are not equivariant. "
            f"Declare it, inputs={{{name!r}: {spec!r}}} (positions=[{name!r}] for positions), or "
            f"say that it does not turn, inputs={{{name!r}: None}}",
            UserWarning,
            stacklevel=stacklevel,
        )


def is_compiled(net: Any) -> bool:
    """Whether a network was compiled, and would be again for data that is watched."""
    return isinstance(net, torch.nn.Module) and hasattr(net, "_orig_mod")
