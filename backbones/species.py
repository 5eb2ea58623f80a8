"""Species: which values of ``data.z`` a network knows, and the place of each among them."""

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch_geometric.data import Data

from backbones.structures import kinds_of

# Species that are named are looked up in a table of this many rows at most
MOST = 1000


class Species(nn.Module):
    """The place of the species of each point among those that a network knows.

    Args:
        species: the values of ``data.z`` that occur, such as atomic numbers; or their number, for
            values from 0 on.

    Raises:
        TypeError, ValueError: if ``species`` is neither a number nor different integers.

    >>> atoms = Species([1, 8])
    >>> atoms(Data(pos=torch.eye(3), z=torch.tensor([8, 1, 1])))
    tensor([1, 0, 0])
    >>> len(atoms), len(Species(100))
    (2, 100)
    """

    #: of each species, -1 for those that the network does not know
    place: Tensor

    def __init__(self, species: int | Sequence[int]) -> None:
        super().__init__()
        self.values = known_species(species)
        place = torch.full((max(self.values) + 1,), -1)
        place[torch.tensor(self.values)] = torch.arange(len(self.values))
        self.register_buffer("place", place, persistent=False)

    def __len__(self) -> int:
        return len(self.values)

    def forward(self, data: Data) -> Int[Tensor, "points"]:
        """Points without ``z`` are of kind 0, if that is known.

        Raises:
            ValueError: if ``z`` is missing or not integer, or has a species that is not known.
        """
        species = kinds_of(data)
        if data.get("z") is None and int(self.place[0]) < 0 and len(species):
            raise ValueError(
                f"the data has no species `z`, only {sorted(data.keys())}, but the network knows "
                f"{self}: set data.z to one of them for each point"
            )
        inside = (species >= 0) & (species < len(self.place))
        places = torch.where(inside, self.place[torch.where(inside, species, 0)], -1)
        if bool((places < 0).any()):
            unknown = species[places < 0].unique().tolist()
            raise ValueError(
                f"`z` contains {unknown} but the network knows {self}: name all in `species`"
            )
        return places

    def __str__(self) -> str:
        number = len(self.values)
        if self.values == list(range(number)) and number > 1:
            return f"{number} species, 0 to {number - 1}"
        return f"the species {sorted(self.values)}"


def known_species(species: int | Sequence[int]) -> list[int]:
    """The values of ``data.z`` that are meant.

    Raises:
        TypeError, ValueError: if that is neither a number nor different integers.

    >>> known_species(3), known_species([1, 8])
    ([0, 1, 2], [1, 8])
    """
    as_integers = "atomic numbers as in [1, 6, 8], or their number, for values from 0 on"
    given = species.tolist() if hasattr(species, "tolist") else species
    if isinstance(given, int) and not isinstance(given, bool):
        if given < 1:
            raise ValueError(
                f"`species` is {given} but must be a number of species, 1 or more, or name each "
                "value of `data.z` once, as in [1, 6, 8]"
            )
        return list(range(given))
    if isinstance(given, str | bool | float) or not hasattr(given, "__iter__"):
        raise TypeError(f"`species` is {given!r} but must be {as_integers}")
    listed = list(given)
    if not all(hasattr(one, "__index__") and not isinstance(one, bool) for one in listed):
        raise TypeError(f"`species` is {listed} but must hold integers: {as_integers}")
    values = [int(one) for one in listed]
    known = len(values) > 0 and 0 <= min(values) <= max(values) < MOST
    if not known or len(set(values)) < len(values):
        raise ValueError(
            f"`species` is {values} but must name each value of `data.z` once, each at least "
            f"0 and below {MOST}, as in [1, 6, 8]"
        )
    return values
