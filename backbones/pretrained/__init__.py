"""A small potential that comes along, to try things with: real enough to move and to vibrate.

``small_pet()`` is a PET for molecules of H, C, N and O, their clusters, and crystals of Si, Al, Cu
and NaCl. It is a good unconstrained potential and no more: its energies depend on the orientation
by a little, which is what this library mends.
"""

import json
from pathlib import Path
from typing import Any

from backbones.checkpoint import load
from backbones.pet import PET

FOLDER = Path(__file__).parent / "small_pet"
# Atomic numbers that it knows
SPECIES = (1, 6, 7, 8, 11, 13, 14, 17, 29)


def small_pet() -> PET:
    """The potential: energies in eV of positions in Å, relative to what composition alone says.

    In single precision, as it was trained; ``small_pet().double()`` for derivatives and dynamics.
    Trained in random rotations on 2,935 structures: molecules and clusters of H, C, N and O with
    labels of GFN2-xTB, crystals of Si, Al, Cu and NaCl, strained by up to 6 % and rattled by up to
    0.25 Å, with those of SevenNet-0. Surfaces, melts, ions and other bonds than those of usual
    molecules it does not know. Errors: ``card()``. MIT licence; scripts/label_structures.py and
    scripts/ship_potential.py made it.

    >>> import torch
    >>> from symmetrize import Symmetrizer, from_ase
    >>> from ase.build import molecule
    >>> model = Symmetrizer(small_pet().double())
    >>> model(from_ase(molecule("H2O")))["energy"].shape
    torch.Size([1, 1])
    """
    net = load(FOLDER)
    assert isinstance(net, PET), "what comes along is a PET"
    return net


def card() -> dict[str, Any]:
    """What it was trained on, by whom and how, and its errors on structures that it never saw."""
    return json.loads((FOLDER / "card.json").read_text())
