"""Networks of dense clouds: (B, N, 3) or (B, 3, N), with a mask or without.

So is most published PointNet code. The layout is written with letters, as in einops: ``b`` clouds,
``n`` points, ``c`` coordinates and features, ``o`` outputs.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch_geometric.data import Data

from backbones.adapters.models import check_model
from backbones.structures import structures_of
from symmetrize import Contract

BATCHED = ("b n c", "b c n", "b n c, b n", "b c n, b n")
OF_BATCHES = ("b o", "b n o", "b o n", "_")
SINGLE = "n c"
OF_SINGLES = ("o", "n o", "_")


class Dense(nn.Module):
    """A network of data, from one of dense clouds.

    Args:
        model: a module, or a plain function of positions.
        layout: what it takes and returns. It takes ``b n c`` or ``b c n``, then perhaps a mask
            ``b n``, True for points that exist; it returns one row for each cloud, ``b o``, or for
            each point, ``b n o`` or ``b o n``. A function of one cloud takes ``n c`` and returns
            ``o`` or ``n o``. Of several results, a tuple or dict, those to keep have names, as
            in ``b c n -> energy: b o, _``.
        features: attributes of the data that make the columns ``c``, one after the other.
        contract: what the model claims, if it does not say so itself.

    A model without a mask is called once for each number of points in the batch, as padding would
    change its result (in training, batch normalization then sees these groups apart); with a mask
    once, clouds padded with zeros. A function of one cloud is mapped over clouds of one size by
    ``torch.vmap``. Structures without points are passed on like others.

    Clouds are contiguous in memory, in either layout, as models that use ``view`` expect.

    Raises:
        TypeError: if the model is a class, or cannot be called.
        ValueError: if the layout is not understood.

    >>> net = Dense(lambda clouds: clouds.amax(2), "b c n -> b o")
    >>> net(Data(pos=torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]])))
    tensor([[1., 2., 0.]])
    """

    def __init__(
        self,
        model: Callable[..., Any],
        layout: str,
        features: str | Sequence[str] = ("pos",),
        contract: Contract | None = None,
    ) -> None:
        super().__init__()
        check_model(model, contract, "Dense", "'b n c -> b o'")
        if not isinstance(layout, str):
            raise TypeError(
                f"`layout` is a {type(layout).__name__} but must be a string, as in 'b n c -> b o'"
            )
        self.model, self.layout = model, layout
        self.features = (features,) if isinstance(features, str) else tuple(features)
        self.contract = getattr(model, "contract", None) if contract is None else contract
        before, _, after = layout.partition("->")
        self.takes = before.strip()
        parts = [part.rpartition(":") for part in after.split(",")]
        self.returns = [(name.strip(), kind.strip()) for name, _, kind in parts]
        known = OF_SINGLES if self.takes == SINGLE else OF_BATCHES
        kept = [name for name, kind in self.returns if kind != "_"]
        if self.takes not in (*BATCHED, SINGLE) or {k for _, k in self.returns} - {*known}:
            raise ValueError(
                f"`layout` is {layout!r} but must lead from one of {BATCHED} to some of "
                f"{OF_BATCHES}, or from {SINGLE!r} to some of {OF_SINGLES}, as in 'b c n -> b o'"
            )
        if not kept or ("" in kept and len(kept) > 1):
            raise ValueError(
                f"`layout` is {layout!r} but must keep one result, or several with names, as in "
                "'b n c -> energy: b o, forces: b n o'"
            )

    def forward(self, data: Data) -> Any:
        """One row for each structure, or for each point; a dict where results have names."""
        batch, size = structures_of(data)
        columns = torch.cat([_columns(data, name) for name in self.features], 1)
        number = torch.bincount(batch, minlength=size)
        order = torch.argsort(batch, stable=True)
        first = number.cumsum(0) - number
        if self.takes.endswith(", b n"):
            groups = [torch.arange(size, device=batch.device)]
        else:
            # sizes, not structures: few in practice, and one in a batch of equal clouds
            groups = [torch.nonzero(number == n)[:, 0] for n in number.unique()]

        found: dict[str, list[tuple[Tensor, Tensor]]] = {}
        for structures in groups:
            place = torch.arange(int(number[structures].max()), device=batch.device)
            exists = place < number[structures, None]
            rows = order[(first[structures, None] + place)[exists]]
            clouds = columns.new_zeros(*exists.shape, columns.size(1))
            clouds[exists] = columns[rows]
            for (name, kind), values in zip(self.returns, self._call(clouds, exists), strict=True):
                if kind != "_":
                    self._check(name, kind, values, clouds.shape[:2])
                if kind == "b o n":
                    values = values.transpose(1, 2)
                if kind != "_":
                    of_points = "n" in kind
                    values = values[exists] if of_points else values
                    found.setdefault(name, []).append((rows if of_points else structures, values))
        results = {name: _in_order(parts) for name, parts in found.items()}
        return results.get("", results)

    def _check(self, name: str, kind: str, values: Any, clouds: tuple[int, ...]) -> None:
        """Refuse what does not have the letters of the layout."""
        kind = kind if self.takes != SINGLE else f"b {kind}"
        letters = kind.split()
        fixed = dict(zip("bn", clouds, strict=True))
        shape = tuple(values.shape) if isinstance(values, Tensor) else ()
        # a last "o" stands for any dimensions: none for a number, two for a tensor such as ij
        free = letters[-1] == "o"
        enough = len(shape) >= len(letters) - 1 if free else len(shape) == len(letters)
        sizes = zip(letters, shape, strict=False)
        if not enough or any(size != fixed.get(letter, size) for letter, size in sizes):
            what = f"the result {name!r}" if name else "the result"
            found = f"shape {shape}" if shape else type(values).__name__
            raise ValueError(
                f"{what} has {found} but the layout {self.layout!r} says {kind!r} with b = "
                f"{clouds[0]} and n = {clouds[1]}: correct the layout, or what the model returns"
            )

    def _call(
        self, clouds: Float[Tensor, "clouds width columns"], exists: Bool[Tensor, "clouds width"]
    ) -> list[Any]:
        """What the model returns for some clouds, in the order of the layout."""
        if self.takes == SINGLE:
            returned = torch.vmap(self.model, randomness="different")(clouds)
        else:
            turned = clouds.mT.contiguous() if self.takes.startswith("b c n") else clouds
            mask = (exists,) if self.takes.endswith(", b n") else ()
            returned = self.model(turned, *mask)
        if isinstance(returned, Mapping):
            missing = [name for name, kind in self.returns if kind != "_" and name not in returned]
            if missing:
                raise ValueError(
                    f"the layout {self.layout!r} keeps {missing} but the model returned a dict of "
                    f"{sorted(returned)}: name what to keep, as in 'b n c -> energy: b o'"
                )
            return [returned[name] if kind != "_" else None for name, kind in self.returns]
        items = list(returned) if isinstance(returned, tuple | list) else [returned]
        if len(items) != len(self.returns):
            raise ValueError(
                f"the layout {self.layout!r} names {len(self.returns)} results but the model "
                f"returned {len(items)}: write one for each, `_` for those to leave out"
            )
        return items


def _in_order(parts: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Rows of all groups, each in its place."""
    where, values = (torch.cat(column) for column in zip(*parts, strict=True))
    return torch.zeros_like(values).index_copy(0, where, values)


def _columns(data: Data, name: str) -> Tensor:
    """An attribute with one row for each point, as columns in the dtype of the positions."""
    values = data.get(name)
    if values is None or len(values) != len(data.pos):
        found = "is missing" if values is None else f"has {len(values)} rows"
        raise ValueError(
            f"the feature {name!r} {found} but must have one row for each of the "
            f"{len(data.pos)} points: set data.{name}, or leave it out of `features`"
        )
    return values.reshape(len(values), values.shape[1:].numel()).to(data.pos.dtype)
