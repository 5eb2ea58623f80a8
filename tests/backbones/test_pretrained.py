"""The potential that comes along: small, a fair potential, and not equivariant by itself."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.optimize import BFGS

from backbones.pretrained import FOLDER, SPECIES, card, small_pet
from symmetrize import SymmetrizedCalculator, Symmetrizer, from_ase
from symmetrize.groups import random_elements


def model() -> Symmetrizer:
    return Symmetrizer(small_pet().double())


def test_it_is_small_and_says_what_it_can() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 4e6
    told = card()
    assert told["errors"]["symmetrized"]["forces"]["mae"] < 0.15
    assert told["licence"] == "MIT"
    assert tuple(small_pet().species.values) == SPECIES
    assert next(small_pet().parameters()).dtype == torch.float32


def test_it_breaks_rotations_by_a_little() -> None:
    atoms = molecule("CH3CH2OH")
    turns = random_elements(6, "O(3)", torch.Generator().manual_seed(0)).numpy()
    bare, exact = [], []
    for turn in turns:
        turned = atoms.copy()
        turned.positions = atoms.positions @ turn.T
        data = from_ase(turned)
        bare.append(small_pet().double()(data)["energy"].item())
        exact.append(model()(data)["energy"].item())
    assert 1e-5 < np.ptp(bare) < 0.1  # eV
    assert np.ptp(exact) < 1e-11


@pytest.mark.parametrize(
    ("atoms", "lengths"),
    [
        (molecule("H2O"), {(0, 1): 0.96, (1, 2): 1.54}),
        (molecule("CO2"), {(0, 1): 1.16}),
        (bulk("Si", "diamond", 5.43), {(0, 1): 2.36}),
    ],
    ids=["water", "carbon dioxide", "silicon"],
)
def test_bonds_are_as_long_as_they_should_be(
    atoms: Atoms, lengths: dict[tuple[int, int], float]
) -> None:
    atoms = atoms.copy()
    atoms.rattle(0.03, seed=0)
    atoms.calc = SymmetrizedCalculator(model())
    assert BFGS(atoms, logfile=None).run(fmax=0.01, steps=80)
    for (one, other), length in lengths.items():
        assert atoms.get_distance(one, other, mic=True) == pytest.approx(length, abs=0.03)
