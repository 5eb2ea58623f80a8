"""What a network returns: which representation each output has, and whose each row is.

A declaration has the form of what is returned: one representation for a tensor; a dict by name for
a mapping, a named tuple or a data class; a tuple by order for a tuple or list; one in another where
these are nested. The name of an output is its path, ``head.energy``, which may be written so, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from e3nn import o3
from torch import Tensor

from symmetrize.data.rows import RowsOf
from symmetrize.outputs import Output, Spec
from symmetrize.representation import Representation, as_representation
from symmetrize.returned import described, items, parts, rebuilt

# An item of what is returned; None, or "_", leaves it out
Item: TypeAlias = Spec | Output | Mapping[str, Any] | tuple[Any, ...] | list[Any] | None
# How many rows of each kind there are
RowCounts: TypeAlias = Mapping[RowsOf, int]
Outputs: TypeAlias = Spec | Output | Mapping[str, Item] | tuple[Item, ...] | list[Any]

# The name under which the only output of a network that returns a plain tensor goes
ONLY = "output"


@dataclass(frozen=True)
class Declaration(Mapping[str, Output]):
    """All outputs of a network by name; a plain tensor is the one output named ``ONLY``.

    Attributes:
        by_name: each output, by its path.
        left_out: paths of items that are declared to be left out, with all beneath them.
        form: as it was declared, with paths in place of representations.

    >>> from symmetrize import per_point
    >>> Declaration.of({"energy": "0e", "forces": per_point("1o")})["forces"].per_point
    True
    >>> list(Declaration.of({"head": {"energy": "0e", "logits": None}}))
    ['head.energy']
    """

    by_name: dict[str, Output]
    left_out: frozenset[str]
    form: Any

    def __getitem__(self, name: str) -> Output:
        return self.by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.by_name)

    def __len__(self) -> int:
        return len(self.by_name)

    @classmethod
    def of(cls, outputs: Outputs) -> Declaration:
        """Read what the user wrote.

        Raises:
            ValueError: if a representation is not understood, or nothing is declared.
            TypeError: if something else than representations is declared.
        """
        if isinstance(outputs, Declaration):
            return outputs
        by_name: dict[str, Output] = {}
        left_out: set[str] = set()

        def read(spec: Any, path: str) -> Any:
            if spec is None or (isinstance(spec, str) and spec.strip() == "_"):
                left_out.add(path)
                return path
            # irreps are tuples, too
            if isinstance(spec, Mapping | tuple | list) and not isinstance(
                spec, o3.Irreps | o3.Irrep
            ):
                held = dict(spec) if isinstance(spec, Declaration) else parts(spec) or {}
                start = f"{path}." if path else ""
                form = {name: read(each, start + name) for name, each in held.items()}
                by_field = isinstance(spec, Mapping) or hasattr(spec, "_fields")
                return form if by_field else tuple(form.values())
            path = path or ONLY
            if path in by_name:
                raise ValueError(
                    f"`outputs` declares {path!r} twice: names of nested outputs are paths with "
                    "dots, and each must stand for one output"
                )
            by_name[path] = _output(spec)
            return path

        form = read(outputs, "")
        if not by_name:
            raise ValueError(
                "`outputs` is empty: declare how each output turns, as in {'energy': '0e'}"
            )
        return cls(by_name, frozenset(left_out), form)

    @property
    def degree(self) -> int:
        """Largest angular momentum of any output."""
        return max(output.representation.lmax for output in self.values())

    @property
    def paths(self) -> frozenset[str]:
        """Of all that is declared, to be kept or left out."""
        return self.left_out | set(self.by_name)

    def named(self, returned: Any, rows: RowCounts | None = None) -> dict[str, Tensor]:
        """What the network returned, by name; a tensor is what is declared, if that is one output.

        Args:
            returned: by the network.
            rows: how many structures, points and edges it was called with, to tell one from the
                others in what an error proposes.

        Raises:
            TypeError: if it has another form than the declaration, or an output is no tensor.
            ValueError: if names differ from the declared ones.
        """
        if isinstance(returned, Tensor) and len(self) == 1 and not self.left_out:
            return dict.fromkeys(self, returned)
        wanted = "one tensor was declared" if self.form == ONLY else f"{_listed(self)} declared"
        said = f"the network returned {described(returned)} where {wanted}"
        if self.form == ONLY or parts(returned) is None:
            raise TypeError(f"{said}: {self._way_out(returned, rows)}")
        found = items(returned, self.paths)
        missing = [name for name in self if name not in found]
        # what is None has nothing to turn
        fresh = [name for name in found if name not in self.paths and found[name] is not None]
        if missing or fresh:
            those = f"; it has no {_listed(missing, plain=True)}" if missing else ""
            those += f"; nothing declares {_listed(fresh, plain=True)}" if fresh else ""
            raise ValueError(f"{said}{those}: {self._way_out(returned, rows)}")
        values = {name: found[name] for name in self}
        for name, value in values.items():
            if not isinstance(value, Tensor):
                raise TypeError(
                    f"{said}, but {name!r} is {described(value)} and not a tensor: "
                    f"{self._way_out(returned, rows)}"
                )
        return values

    def unnamed(self, values: Mapping[str, Any], like: Any = None) -> Any:
        """Values by name in the form of what the network returned, or else as declared.

        Items that are left out are absent from mappings, and None in tuples, lists and objects.
        """
        if self.form == ONLY:
            return values[ONLY]
        if like is None or isinstance(like, Tensor):
            return rebuilt(self.form, values, self.paths)
        return rebuilt(like, values, self.paths)

    def plain(self) -> Any:
        """In the form of the declaration, as JSON holds it: lists for tuples, None for left out.

        >>> Declaration.of({"energy": "0e", "hidden": None}).plain()
        {'energy': {'representation': '0e', 'rows': 'structure'}, 'hidden': None}
        """

        def of(form: Any) -> Any:
            if isinstance(form, dict):
                return {name: of(one) for name, one in form.items()}
            if isinstance(form, tuple):
                return [of(one) for one in form]
            return None if form in self.left_out else self[form].plain()

        return of(self.form)

    @classmethod
    def of_plain(cls, found: Any) -> Declaration:
        """What ``plain`` wrote; representations may stand for outputs of structures.

        Raises:
            ValueError: if an output has other fields, or nothing is declared.
        """

        def read(one: Any, place: str) -> Any:
            if one is None or isinstance(one, str):
                return one
            if isinstance(one, list):
                return tuple(read(each, f"{place}.{i}") for i, each in enumerate(one))
            if isinstance(one, Mapping):
                if _is_output(one):
                    return Output.of_plain(one, f"the output {place!r}")
                return {
                    name: read(each, f"{place}.{name}" if place else name)
                    for name, each in one.items()
                }
            raise ValueError(
                f"the output {place!r} is {one!r} but must be a representation such as '0e', or "
                "{'representation': '1o', 'rows': 'point'}"
            )

        return cls.of(read(found, ""))

    def _way_out(self, returned: Any, rows: RowCounts | None) -> str:
        """What to do where this declaration does not fit: above all, the one that does."""
        tensors = [name for name, each in items(returned).items() if isinstance(each, Tensor)]
        if not tensors:
            if returned is None:
                return "end the network with `return` and a tensor, or tensors in a dict or tuple"
            return (
                "no tensor is found in it. Return a tensor, or tensors in a dict, tuple or data "
                "class; torch.as_tensor(values) makes one of numbers, though without derivatives"
            )
        known = {tensors[0]: self[ONLY]} if self.form == ONLY and len(tensors) == 1 else self
        proposed = _proposed(returned, known, rows)
        if isinstance(returned, Tensor):
            form = "dict" if isinstance(self.form, dict) else "tuple"
            return (
                f"declare one representation for one tensor, as in outputs={proposed}, or return "
                f"a {form} of tensors"
            )
        plain = isinstance(returned, tuple | list) and not hasattr(returned, "_fields")
        what = "a tuple" if plain else "a mapping"
        call = ""
        if plain:
            own = [name for name in self if name.isidentifier() and name != ONLY] or ["energy"]
            names = [own.pop(0) if own and str(i) in tensors else "_" for i in range(len(returned))]
            call = f'. Or name the items by Call(net, "data -> {", ".join(names)}")'
        return (
            f"declare {what}, as in outputs={proposed}: declare every output, so that none is left "
            f"without symmetry, and None for what is to be left out{call}"
        )


def _is_output(found: Mapping[str, Any]) -> bool:
    """Whether a mapping holds one output, and not several by name."""
    turns = any(isinstance(found.get(name), str) for name in ("representation", "turns"))
    return turns or (set(found) == {"per_point"} and isinstance(found["per_point"], bool))


def said_of(name: str) -> str:
    """An output in a sentence.

    >>> said_of("energy"), said_of(ONLY)
    ("the output 'energy'", 'the output')
    """
    return "the output" if name == ONLY else f"the output {name!r}"


def _output(spec: Any) -> Output:
    if isinstance(spec, Output):
        return spec
    if not isinstance(spec, str | o3.Irreps | o3.Irrep | Representation):
        kind = (
            f"the class {spec.__name__}" if isinstance(spec, type) else f"a {type(spec).__name__}"
        )
        hint = ": its outputs are `contract.outputs`" if hasattr(spec, "outputs") else ""
        raise TypeError(
            f"`outputs` has {kind} where a representation must stand{hint}; declare how outputs "
            "turn, as in '0e + 1o', per_point('1o'), {'energy': '0e'} or ('0e', None)"
        )
    return Output(as_representation(spec))


def _listed(names: Any, plain: bool = False) -> str:
    listed = ", ".join(map(repr, names))
    return listed if plain else f"{listed} {'are' if len(names) > 1 else 'is'}"


def _proposed(value: Any, known: Mapping[str, Output], rows: RowCounts | None, at: str = "") -> str:
    """A declaration, as code, that has the form of a value; how things turn is a guess by shape."""
    held = parts(value)
    if at in known:
        return str(known[at])
    if held is not None:
        start = f"{at}." if at else ""
        inside = {name: _proposed(e, known, rows, start + name) for name, e in held.items()}
        if isinstance(value, tuple | list) and not hasattr(value, "_fields"):
            return f"({', '.join(inside.values())}{',' * (len(inside) == 1)})"
        return "{" + ", ".join(f"{name!r}: {each}" for name, each in inside.items()) + "}"
    if not isinstance(value, Tensor):
        return "None"
    shape = tuple(value.shape[1:])
    if shape in ((), (1,)):
        spec = "'0e'"
    elif shape == (3,):
        spec = "'1o'"
    elif len(shape) > 1 and set(shape) == {3}:
        spec = repr("ijklmn"[: len(shape)])
    else:
        spec = f"'{shape[-1]}x0e'"
    number = len(value) if value.ndim > 0 else -1
    fitting = [kind for kind, there in (rows or {}).items() if there == number]
    if not fitting or "structure" in fitting:
        return spec
    return f"per_{fitting[0]}({spec})"
