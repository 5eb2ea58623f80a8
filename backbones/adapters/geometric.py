"""Networks that are called with some attributes of the data instead of the data.

Most torch-geometric models are: ``model(x, pos, batch)``, ``model(z, pos, batch)``, ``model(pos,
edge_index)``. The call is written as in ``torch_geometric.nn.Sequential``. A ``model(data)`` needs
no adapter, but may have one to name the items of a tuple: ``data -> energy, _``.
"""

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn
from torch_geometric.data import Data

from backbones.adapters.models import check_model
from backbones.pyg_ops import lent_to_pyg
from backbones.structures import structures_of
from symmetrize import Contract

# What torch-geometric's networks take None for
OPTIONAL = ("x", "edge_attr", "edge_weight")
# What torch-geometric does not know of: a way out without a compiled library
WITHOUT_PYG_LIB = (
    "without pyg-lib, this library has the function: from backbones.adapters import offer_to_pyg; "
    "offer_to_pyg()"
)
# What DimeNet says where torch-sparse is absent, and the others where pyg-lib is
LACKING = ("pyg-lib", "torch-sparse", "torch_sparse")


class Call(nn.Module):
    """A network of data, from one of some of its attributes.

    Args:
        model: a module, or any callable.
        signature: attributes of the data, in the order of the model's arguments, by keyword where
            written ``keyword=attribute``; ``data`` is the data itself. After ``->`` names of what
            it returns, if that is a tuple or list; ``_`` leaves an item out.
        contract: what the model claims, if it does not say so itself.
        lends: whether a model that asks for graph functions of pyg-lib, where there is none, is
            lent those of ``offer_to_pyg`` for the time of each call: nothing outside of it changes.

    Of the attributes, ``batch`` is always there, zeros for a single structure; ``z`` comes as
    int64; ``num_graphs`` is the number of structures, empty ones included; ``x``, ``edge_attr`` and
    ``edge_weight`` are None where the data has none. Anything else must be there. A model that
    counts structures by ``batch`` alone does not see empty ones at the end of the batch, and the
    symmetrizer refuses it for the rows that are missing: let it pool with the size ``num_graphs``.

    Raises:
        TypeError: if the model is a class, or cannot be called.
        ValueError: if the signature is not understood.

    >>> import torch
    >>> from torch_geometric.nn import global_add_pool
    >>> net = Call(global_add_pool, "pos, batch, size=num_graphs")
    >>> net(Data(pos=torch.ones(4, 3)))
    tensor([[4., 4., 4.]])
    >>> Call(lambda pos: (pos, None), "pos -> shift, _")(Data(pos=torch.ones(1, 3)))
    {'shift': tensor([[1., 1., 1.]])}
    >>> Call(lambda data: [data.pos.sum(), "s"], "data -> total, _")(Data(pos=torch.ones(1, 3)))
    {'total': tensor(3.)}
    """

    def __init__(
        self,
        model: Callable[..., Any],
        signature: str,
        contract: Contract | None = None,
        lends: bool = True,
    ) -> None:
        super().__init__()
        check_model(model, contract, "Call", "'pos, batch'")
        if not isinstance(signature, str) or not signature.partition("->")[0].strip():
            raise ValueError(
                f"the signature is {signature!r} but must name what the model is called with: "
                "attributes of the data as in 'x, pos, batch', or 'data' for the data itself"
            )
        self.model = model
        self.signature = signature
        self.lends = lends
        self._asks = False  # for graph functions that are absent, as far as it is known
        self.contract = getattr(model, "contract", None) if contract is None else contract
        self.prepare = getattr(model, "prepare", None)
        before, arrow, after = signature.partition("->")
        pairs = [name.strip().rpartition("=") for name in before.split(",")]
        self.positional = [name for keyword, _, name in pairs if not keyword]
        self.keywords = {keyword: name for keyword, _, name in pairs if keyword}
        self.returns = [name.strip() for name in after.split(",")] if arrow else []
        for name in (*self.positional, *self.keywords, *self.keywords.values(), *self.returns):
            if not name.isidentifier():
                raise ValueError(
                    f"the signature {signature!r} has {name!r} where a name must stand: write "
                    "attributes of the data as in 'x, pos, batch' or 'pos, batch -> energy, forces'"
                )

    def forward(self, data: Data) -> Any:
        """What the model returns; a dict if the signature names what that is."""
        arguments = [_attribute(data, name) for name in self.positional]
        named = {keyword: _attribute(data, name) for keyword, name in self.keywords.items()}
        try:
            returned = self._returned(arguments, named)
        except TypeError as error:
            error.add_note(f"the model was called as its signature {self.signature!r} says")
            raise
        if not self.returns:
            return returned
        is_plain = isinstance(returned, tuple | list)
        if not is_plain or len(returned) != len(self.returns):
            kind = type(returned).__name__
            found = f"a {kind} of {len(returned)}" if is_plain else f"a {kind}"
            way_out = "write no `->` for a single result"
            if isinstance(returned, Mapping):
                found += f" of {sorted(map(str, returned))}"
                way_out = (
                    "write no `->` for a dict, and declare those to leave out as None, in "
                    "outputs={'energy': '0e', 'extra': None}"
                )
            before = self.signature.partition("->")[0].strip()
            names = ", ".join(
                [*self.returns, *"_" * len(returned)][: len(returned)] if is_plain else []
            )
            proposed = f", as in '{before} -> {names}'" if names else ""
            raise ValueError(
                f"the signature {self.signature!r} names {len(self.returns)} results but the model "
                f"returned {found}: name each item of the tuple that it returns, `_` for those to "
                f"leave out{proposed}, or {way_out}"
            )
        items = zip(self.returns, returned, strict=True)
        return {name: item for name, item in items if name != "_"}

    def _returned(self, arguments: list[Any], named: dict[str, Any]) -> Any:
        """What the model returns, with graph functions if it asks for them."""
        if self._asks:
            with lent_to_pyg():
                return self.model(*arguments, **named)
        try:
            return self.model(*arguments, **named)
        except ImportError as error:
            if not any(name in str(error) for name in LACKING):
                raise
            if not self.lends:
                error.add_note(WITHOUT_PYG_LIB)
                raise
        self._asks = True
        return self._returned(arguments, named)

    def extra_repr(self) -> str:
        """The signature, where the module is printed."""
        return repr(self.signature)


def _attribute(data: Data, name: str) -> Any:
    if name == "data":
        return data
    if name in ("batch", "num_graphs"):
        return structures_of(data)[name == "num_graphs"]
    value = data.get(name)
    if value is None and name not in OPTIONAL:
        way_out = (
            "connect the points by Symmetrizer(..., prepare=connect(radius=...))"
            if name.startswith("edge")
            else f"set data.{name}, or write a signature without it"
        )
        raise ValueError(
            f"the data has no {name!r} to call the model with, only {sorted(data.keys())}: "
            f"{way_out}"
        )
    return value.long() if name == "z" else value
