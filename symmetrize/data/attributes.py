"""The values of an attribute: a tensor, or several in a dict or a list, each with a path.

torch-geometric collates dicts, and lists of tensors, by what they hold. A path is the name of the
attribute, then the keys and places that lead to a value: ``"features.atomic"``, ``"layers.0"``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor


def leaves(value: Any, path: str) -> Iterator[tuple[str, str, Any]]:
    """Every value below an attribute: its path, the key that torch-geometric knows it by, itself.

    >>> list(leaves({"a": 1, "b": "two"}, "extra"))
    [('extra.a', 'a', 1), ('extra.b', 'b', 'two')]
    """
    yield from _leaves(value, path, path)


def _leaves(value: Any, path: str, key: str) -> Iterator[tuple[str, str, Any]]:
    if isinstance(value, Mapping):
        for name, one in value.items():
            yield from _leaves(one, f"{path}.{name}", str(name))
    elif is_list_of_tensors(value):
        for place, one in enumerate(value):
            yield from _leaves(one, f"{path}.{place}", key)
    else:
        yield path, key, value


def with_leaves(value: Any, path: str, made: Mapping[str, Any]) -> Any:
    """The attribute with what was made of each of its values, in dicts and lists as before.

    >>> with_leaves({"a": 1, "b": "two"}, "extra", {"extra.a": 10, "extra.b": "twenty"})
    {'a': 10, 'b': 'twenty'}
    """
    if isinstance(value, Mapping):
        return {name: with_leaves(one, f"{path}.{name}", made) for name, one in value.items()}
    if is_list_of_tensors(value):
        return [with_leaves(one, f"{path}.{place}", made) for place, one in enumerate(value)]
    return made[path]


def below(tree: Any, path: str) -> Any:
    """What stands at a path in a tree of the same form, such as slices; None if nothing does.

    >>> below({"extra": {"a": 3}}, "extra.a"), below({}, "extra.a")
    (3, None)
    """
    name, _, rest = path.partition(".")
    if isinstance(tree, Mapping):
        found = next((one for key, one in tree.items() if str(key) == name), None)
    elif isinstance(tree, Sequence) and not isinstance(tree, str) and name.isdigit():
        found = tree[int(name)] if int(name) < len(tree) else None
    else:
        found = None
    return below(found, rest) if rest else found


def is_list_of_tensors(value: Any) -> bool:
    """Whether torch-geometric collates a list item by item: one that starts with a tensor."""
    return isinstance(value, list | tuple) and len(value) > 0 and isinstance(value[0], Tensor)
