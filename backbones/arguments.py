"""Arguments that several networks share are explained once, by their base class."""

import inspect
import re
from typing import TypeVar

Network = TypeVar("Network", bound=type)

ARGUMENTS = re.compile(r"    Args:\n((?:        .*\n)+)")
ENTRY = re.compile(r"        (\w+): .*\n(?:         .*\n)*")
ELSEWHERE = re.compile(r"    (?:Arguments|Further arguments): see ``\w+``\.\n")


def explained(network: Network) -> Network:
    """Class decorator: ``help`` also shows what the base class says of the arguments.

    It stands where the class writes ``Arguments: see ``Base``.`` or, below some of its own,
    ``Further arguments: see ``Base``.``; all of them in the order of the signature.

    >>> class Base:
    ...     '''Any.
    ...
    ...     Args:
    ...         width: of each layer.
    ...     '''
    >>> @explained
    ... class Deep(Base):
    ...     '''Several layers.
    ...
    ...     Args:
    ...         layers: how many.
    ...
    ...     Further arguments: see ``Base``.
    ...     '''
    ...     def __init__(self, width, layers): ...
    >>> print(inspect.getdoc(Deep))
    Several layers.
    <BLANKLINE>
    Args:
        width: of each layer.
        layers: how many.
    """
    text = network.__doc__
    if text is None:  # python -OO
        return network
    said: dict[str, str] = {}
    for each in reversed(network.__mro__):
        for section in ARGUMENTS.findall(each.__doc__ or ""):
            said |= {entry[1]: entry[0] for entry in ENTRY.finditer(section)}
    names = [name for name in inspect.signature(network).parameters if name in said]
    section = "    Args:\n" + "".join(said[name] for name in names)
    # own arguments first, then the reference: one section in place of both
    text = re.sub(ARGUMENTS.pattern + r"\n(?=" + ELSEWHERE.pattern + ")", "", text)
    network.__doc__ = ELSEWHERE.sub(lambda _: section, text)
    return network
