"""What points bring along beside their positions: a species and features."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import Data

from backbones.structures import kinds_of
from symmetrize import Contract


class PointInputs(nn.Module):
    """Features and species of each point, as columns.

    Args:
        contract: whose ``inputs`` the features are, one row for each point.
        species: number of kinds of points, or 0 for a network that does not see ``z``.
        embedding: columns that stand for a species.

    >>> inputs = PointInputs(Contract("0e", inputs={"normals": "1o"}), species=10, embedding=4)
    >>> inputs.columns
    7
    >>> data = Data(pos=torch.rand(5, 3), normals=torch.rand(5, 3), z=torch.ones(5).long())
    >>> inputs(data).shape
    torch.Size([5, 7])
    """

    def __init__(self, contract: Contract, species: int = 0, embedding: int = 16) -> None:
        super().__init__()
        self.widths = {name: spec.dim for name, spec in contract.inputs.items()}
        self.kinds = nn.Embedding(species, embedding) if species else None
        self.columns = sum(self.widths.values()) + (embedding if species else 0)

    def forward(self, data: Data) -> Float[Tensor, "points columns"]:
        """The columns, in the dtype of the positions.

        Raises:
            ValueError: if a feature is missing or does not fit, or ``z`` is out of range.
        """
        parts = [self._feature(data, name, width) for name, width in self.widths.items()]
        if self.kinds is not None:
            kinds = kinds_of(data)
            known = self.kinds.num_embeddings
            if len(kinds) and not 0 <= int(kinds.min()) <= int(kinds.max()) < known:
                raise ValueError(
                    f"`z` reaches from {int(kinds.min())} to {int(kinds.max())} but the network "
                    f"knows {known} species, numbered from 0: make it with a larger `species`"
                )
            parts.append(self.kinds(kinds))
        return torch.cat(parts, 1) if parts else data.pos[:, :0]

    def _feature(self, data: Data, name: str, width: int) -> Tensor:
        values = data.get(name)
        if values is None or values.numel() != len(data.pos) * width:
            found = "is missing" if values is None else f"has shape {tuple(values.shape)}"
            raise ValueError(
                f"the feature {name!r} {found} but must have {width} columns for each of the "
                f"{len(data.pos)} points: set data.{name}, or make the network without it"
            )
        return values.reshape(len(data.pos), width).to(data.pos.dtype)


def check_sizes(**sizes: int | float) -> None:
    """Refuse sizes that make no network, by the name of the argument.

    Raises:
        ValueError: if one is not a positive, finite number.
    """
    for name, size in sizes.items():
        if not 0 < size < math.inf:
            raise ValueError(f"`{name}` is {size} but must be a positive number")
