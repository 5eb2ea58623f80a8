"""Attributes that look like vectors, that a network reads, and that nobody declared.

They are not turned with the cloud, and so break the symmetry without a sign. Whether a network
reads an attribute is seen while it is called for the first time.
"""

from __future__ import annotations

import copy
import sys
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from symmetrize.arrays.segments import counts
from symmetrize.data.rows import Layout, Rows

if TYPE_CHECKING:
    from torch_geometric.data import Data


# How far up the call that takes a structure out of a batch may be, wrappers of methods included
CALLERS = 6
# Whose calls stand between a network and the user: the last two where shapes are checked
BETWEEN = ("symmetrize", "torch", "jaxtyping", "beartype")


def look_like_vectors(data: Data, rows: Layout, known: Collection[str]) -> dict[str, str]:
    """Attributes of the shape of vectors or tensors by name, with how they might be declared.

    What is zero has no direction, and classes of points, one entry of three being 1, have none.
    """
    found = {}
    for name, value in data.to_dict().items():
        if name in known or name not in rows.rows or not isinstance(value, Tensor):
            continue
        if not value.is_floating_point() or value.layout != torch.strided:
            continue
        spec = _look(value, rows.rows[name], rows.size)
        if spec is not None and not _has_no_direction(value.detach(), rows.rows[name]):
            found[name] = spec
    return found


def _look(value: Tensor, rows: Rows, size: int) -> str | None:
    """How rows of this shape might be declared, if they look like vectors or tensors."""
    if value.ndim == 1:  # three numbers of each structure; of a single one, anything has three
        each = rows.of_structures and size > 1 and len(value) == 3 * size
        return "1o" if each and bool((counts(rows.owner, size) == 3).all()) else None
    if value.shape[-1:] != (3,):
        return None
    return "ij" if value.shape[1:] == (3, 3) else "1o"


def _has_no_direction(value: Tensor, rows: Rows) -> bool:
    if not bool(value.any()):
        return True
    if rows.kind != "point" or value.ndim != 2:
        return False
    classes = bool(((value == 0) | (value == 1)).all()) and bool((value.sum(1) == 1).all())
    return classes and bool((value != value[:1]).any())


@contextmanager
def reading(data: Data, names: Collection[str]) -> Iterator[set[str]]:
    """Which of some attributes are read, one by one and by name, inside of the context.

    In the data itself, in copies of it, in its structures, and in the dict that it becomes. What
    ``hasattr`` asks for counts as read.
    """
    seen: set[str] = set()
    store = data._store
    plain: Any = type(store)

    def see(key: str) -> None:
        seen.update({key} & {*names})

    class Watched(plain):
        def __getitem__(self, key: str) -> Any:
            structure = _taken_out()
            if structure is None:
                see(key)
            else:
                object.__setattr__(structure, "__class__", Watched)
            return super().__getitem__(key)

        def get(self, key: str, value: Any = None) -> Any:
            see(key)
            return super().get(key, value)

        def to_dict(self) -> dict[str, Any]:
            return WatchedDict(super().to_dict())

        # kept by a network and saved with it, both are as any others
        def __reduce_ex__(self, protocol: Any) -> Any:
            other = copy.copy(self)
            object.__setattr__(other, "__class__", plain)
            return copy.copy, (other,)

    class WatchedDict(dict[str, Any]):
        def __reduce_ex__(self, protocol: Any) -> Any:
            return dict, (dict(self),)

        def __getitem__(self, key: str) -> Any:
            see(key)
            return super().__getitem__(key)

        def get(self, key: str, value: Any = None) -> Any:
            see(key)
            return super().get(key, value)

    # storages keep what is set on them
    object.__setattr__(store, "__class__", Watched)
    try:
        yield seen
    finally:
        object.__setattr__(store, "__class__", plain)


def _taken_out() -> Any:
    """The storage of the structure that torch-geometric is taking out of a batch, if it is."""
    from torch_geometric.data.separate import separate

    frame = sys._getframe(1)
    for _ in range(CALLERS):
        if frame.f_code is separate.__code__:
            return frame.f_locals.get("data_store")
        if frame.f_back is None:
            break
        frame = frame.f_back
    return None


def warn_of(seen: Collection[str], look: dict[str, str]) -> None:
    """Say once that the network reads what does not turn, and both ways out, at the user's line."""
    frame, level = sys._getframe(), 1
    while frame.f_back is not None and _is_between(frame.f_globals.get("__name__", "")):
        frame, level = frame.f_back, level + 1
    for name in sorted(seen):
        spec = look[name]
        of = "a vector" if spec == "1o" else "a tensor"
        warnings.warn(
            f"the network reads {name!r}, whose rows look like {of}, but `inputs` does not say how "
            f"it turns: it is left as it is, and if it is {of}, outputs are not equivariant. "
            f"Declare it, inputs={{{name!r}: {spec!r}}} (positions=[{name!r}] for positions), or "
            f"say that it does not turn, inputs={{{name!r}: None}}",
            UserWarning,
            stacklevel=level,
        )


def _is_between(module: str) -> bool:
    """Whether calls of a module stand between a network and who calls the wrapper."""
    return module.partition(".")[0] in BETWEEN


def is_compiled(net: Any) -> bool:
    """Whether a network was compiled, and would be again for data that is watched."""
    return isinstance(net, torch.nn.Module) and hasattr(net, "_orig_mod")
