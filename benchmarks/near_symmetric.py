"""What do frames do to structures that are symmetric, nearly, and hardly any more?

Crystals and clusters whose atoms are displaced at random by 0 to 0.3 Å. A perfect one ties in as
many ways as it has symmetries; a direction that only its distortion gives turns the faster, the
smaller the distortion is. So for each displacement: the frames under O(3), and the largest force
that they add, the norm of the difference between the forces of the symmetrized and of the bare
network on one atom, over the standard deviation of the network over rotations. And how much the
energy changes, in the same unit, as the structure is turned at random or inverted.

The network is random and fixed, a sum over the environments of all atoms (see ``_paths.py``).

Run: python -m benchmarks.near_symmetric (about 3 minutes on one core). Writes
results/near_symmetric.json and prints the tables of docs/frames.md.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from benchmarks._paths import RandomNetworks
from benchmarks._record import read_result, write_result
from benchmarks._text import markdown, progress, short
from symmetrize import HierarchicalFrames, neighbor_list
from symmetrize.frames import Ensemble, random_elements, random_rotations
from symmetrize.frames.hierarchical import TooManyFramesError

if TYPE_CHECKING:
    from ase import Atoms

CUTOFF = 5.0  # Å, of the network, and of the frames of crystals
RATTLES = (0.0, 1e-6, 1e-4, 1e-3, 1e-2, 0.05, 0.1, 0.2, 0.3)  # Å, rms displacement of an atom
SEEDS = 3  # displacements of each size
ROTATIONS = 100  # that show the spread of the network
CHUNK = 8  # rotations in one call
THREADS = 1


def structures() -> dict[str, "Atoms"]:
    """Crystals and clusters of high symmetry."""
    from ase.build import bulk, molecule
    from ase.cluster import Octahedron
    from ase.cluster.icosahedron import Icosahedron

    return {
        "Si, primitive": bulk("Si"),
        "Si, cubic": bulk("Si", cubic=True),
        "Cu, cubic": bulk("Cu", cubic=True),
        "NaCl, cubic": bulk("NaCl", "rocksalt", 5.64, cubic=True),
        "Fe, 2 x 2 x 2": bulk("Fe", cubic=True) * 2,
        "Mg, hcp": bulk("Mg"),
        "ZnO, wurtzite": bulk("ZnO", "wurtzite", a=3.25, c=5.2),
        "C60": molecule("C60"),
        "Cu38, octahedron": Octahedron("Cu", 4, 1),
        "Cu55, icosahedron": Icosahedron("Cu", 3),
        "CH4": molecule("CH4"),
        "C6H6": molecule("C6H6"),
    }


class Energies:
    """The bare network on one structure, turned."""

    def __init__(self, positions: Tensor, periodic: dict[str, Any]) -> None:
        self.network = RandomNetworks(CUTOFF, scale=0.5, number=1)
        self.atoms = len(positions)
        pairs = neighbor_list(positions, CUTOFF, **periodic)
        self.vectors, self.center = pairs.vectors, pairs.center
        self.fade = self.network.fade(self.vectors)

    def __call__(self, rotations: Tensor) -> Tensor:
        """(rotations,) energies of the structure in the axes of each."""
        return torch.cat([self._of_chunk(some) for some in rotations.split(CHUNK)])

    def _of_chunk(self, rotations: Tensor) -> Tensor:
        number = len(rotations)
        turned = torch.einsum("bi,fij->fbj", self.vectors, rotations).flatten(0, 1)
        first = torch.arange(number)[:, None] * self.atoms
        row = (first + self.center).flatten()
        values = self.network(turned, self.fade.repeat(number), row, number * self.atoms)
        return values.reshape(number, self.atoms).sum(1)

    @torch.no_grad()
    def spread(self) -> float:
        """Standard deviation over rotations."""
        rotations = random_rotations(ROTATIONS, torch.Generator().manual_seed(2))
        return float(self(rotations).std())


def turned(atoms: "Atoms", rattle: float, seed: int, turn: Tensor) -> tuple[Tensor, dict]:
    """Positions of a displaced structure that is turned, and its periods if it has some."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(atoms), 3, dtype=torch.float64, generator=generator) / 3**0.5
    positions = (torch.tensor(atoms.positions) + rattle * noise) @ turn.T
    if not atoms.pbc.any():
        return positions, {}
    cell = torch.tensor(atoms.cell.array) @ turn.T
    return positions, {"cell": cell[None], "pbc": torch.tensor(atoms.pbc)[None]}


def framed(atoms: "Atoms", positions: Tensor, periodic: dict[str, Any]) -> Ensemble:
    """The default frames under O(3)."""
    frames = HierarchicalFrames(CUTOFF if periodic else None)
    return frames(positions, species=torch.tensor(atoms.numbers), group="O(3)", **periodic)


def changes(atoms: "Atoms", rattle: float, seed: int) -> tuple[int, float, float] | None:
    """Frames, largest added force, and change of the energy on turning, in spreads and per Å.

    None if there are too many frames.
    """
    positions, periodic = turned(atoms, rattle, seed, torch.eye(3, dtype=torch.float64))
    positions.requires_grad_()
    energies = Energies(positions, periodic)
    try:
        ensemble = framed(atoms, positions, periodic)
    except TooManyFramesError:
        return None
    average = (ensemble.weights * energies(ensemble.rotations)).sum()
    bare = energies(torch.eye(3, dtype=torch.float64)[None]).sum()
    (added,) = torch.autograd.grad(average - bare, positions)
    with torch.no_grad():
        turn = random_elements(1, "O(3)", torch.Generator().manual_seed(3))[0]
        there = turned(atoms, rattle, seed, turn)
        other = framed(atoms, *there)
        change = (other.weights * Energies(*there)(other.rotations)).sum() - average
    spread = energies.spread()
    return len(ensemble), float(added.norm(dim=1).max()) / spread, float(change.abs()) / spread


def seen(atoms: "Atoms", rattle: float) -> dict[str, Any]:
    """The most of each that is found over the seeds; None where a structure is refused."""
    found = [changes(atoms, rattle, seed) for seed in range(SEEDS if rattle else 1)]
    kept = [one for one in found if one is not None]
    most = (None,) * 3 if len(kept) < len(found) else map(max, zip(*kept, strict=True))
    return {"rattle": rattle, **dict(zip(("frames", "added", "turned"), most, strict=True))}


def measure() -> dict[str, Any]:
    """Frames, added forces, changes on turning: structure, then displacement."""
    torch.set_num_threads(THREADS)
    return {
        "cutoff": CUTOFF,
        "structures": {
            name: [seen(atoms, rattle) for rattle in RATTLES]
            for name, atoms in progress(structures().items(), "near-symmetric structures")
        },
    }


def cell(found: dict[str, Any]) -> str:
    """Frames / added force."""
    if found["frames"] is None:
        return "refused"
    return f"{found['frames']} / {short(found['added']) if found['added'] > 1e-6 else '0'}"


def rows(stored: dict[str, Any]) -> str:
    rattles = ("perfect" if rattle == 0 else f"{rattle:g} Å" for rattle in RATTLES)
    return markdown(
        ["", *rattles, "on turning"],
        (
            [name, *map(cell, found), on_turning(found)]
            for name, found in stored["structures"].items()
        ),
    )


def on_turning(found: list[dict[str, Any]]) -> str:
    """The largest change of the energy over all displacements that are not refused."""
    changes = [one["turned"] for one in found if one["turned"] is not None]
    return f"{max(changes):.0e}" if changes else ""


TABLES: dict[str, Callable[[], str]] = {
    "added_forces": lambda: rows(read_result("near_symmetric")),
    "before": lambda: rows(read_result("near_symmetric_before")),
}


def table(key: str) -> str:
    """One of ``TABLES``: stored results, and those from before whole structures had densities."""
    return TABLES[key]()


def main() -> None:
    path = write_result("near_symmetric", measure())
    print(table("added_forces"), path, sep="\n\n")


if __name__ == "__main__":
    main()
