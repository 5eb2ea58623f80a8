"""A pretrained network that scores how ligands lie in proteins: a 3-D CNN on a grid of densities.

Atoms of 14 types of receptors and 14 of ligands are drawn into a grid of 0.5 Å about the mean of
the ligand; the network was trained on randomly turned complexes, and still answers to how they lie.

Source: Francoeur et al., J. Chem. Inf. Model. 60, 4200 (2020); default2018 weights, trained on
CrossDocked2020, of gninatorch (MIT), after gnina (Apache-2.0 or GPL-2). Complex: 184L, lysozyme
with isobutylbenzene.
"""

import math
from pathlib import Path

import torch
from ase.io import read
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch_geometric.data import Data

SPACING, CELLS = 0.5, 48
HALF = SPACING * (CELLS - 1) / 2
TYPES = 28
LIGAND = 14  # the first type of ligands
# Radii in Å by element, types by element and what is bonded, as gnina has them
RADII = {"C": 1.9, "N": 1.8, "O": 1.7, "S": 2.0}
# Carbon atoms of residues that are aromatic, or bonded to another element than C and H
AROMATIC = {
    "PHE": ("CG", "CD1", "CD2", "CE1", "CE2", "CZ"),
    "TYR": ("CG", "CD1", "CD2", "CE1", "CE2", "CZ"),
    "TRP": ("CG", "CD1", "CD2", "CE2", "CE3", "CZ2", "CZ3", "CH2"),
    "HIS": ("CG", "CD2", "CE1"),
}
BONDED = {
    **{"PRO": ("CD",), "SER": ("CB",), "THR": ("CB",), "CYS": ("CB",), "MET": ("CG", "CE")},
    **{"ASP": ("CG",), "GLU": ("CD",), "ASN": ("CG",), "GLN": ("CD",), "LYS": ("CE",)},
    **{"ARG": ("CD", "CZ"), "HIS": ("CG", "CD2", "CE1"), "TYR": ("CZ",), "TRP": ("CD1", "CE2")},
}
DONORS_N = ("LYS", "ARG", "ASN", "GLN", "TRP", "HIS")
DONORS_O = ("OG", "OG1", "OH")
# A density is drawn up to this many radii, and its Gaussian part up to one
REACH = 1.5


class DockingNet(nn.Module):
    """The affinity in units of pK and the logit of a good pose."""

    def __init__(self, weights: Path) -> None:
        super().__init__()
        state = torch.load(weights, map_location="cpu", weights_only=True)
        self.weights = nn.ParameterDict(
            {name.replace(".", "_"): value for name, value in state.items()}
        )

    def forward(self, data: Data) -> dict[str, Tensor]:
        """One row for each complex."""
        is_ligand = data.z >= LIGAND
        number = data.num_graphs
        sums = data.pos.new_zeros(number, 3)
        sums = sums.index_add(0, data.batch[is_ligand], data.pos[is_ligand])
        count = torch.bincount(data.batch[is_ligand], minlength=number)
        pos = data.pos - (sums / count[:, None])[data.batch]
        grids = drawn(pos, data.z, data.radius, data.batch, number)
        found = nn.functional.avg_pool3d(grids, 2)
        for one, other in ((1, 2), (3, 4)):
            found = self._convolved(self._convolved(found, one, 1), other, 0)
            found = nn.functional.avg_pool3d(found, 2)
        flat = self._convolved(found, 5, 1).flatten(1)
        pose = self._read(flat, "pose_output")
        return {
            "affinity": self._read(flat, "affinity_output"),
            "pose": pose[:, 1:] - pose[:, :1],
        }

    def _convolved(self, values: Tensor, unit: int, padding: int) -> Tensor:
        weight, bias = (self.weights[f"unit{unit}_conv_{part}"] for part in ("weight", "bias"))
        return nn.functional.conv3d(values, weight, bias, padding=padding).relu()

    def _read(self, flat: Tensor, name: str) -> Tensor:
        return flat @ self.weights[f"{name}_weight"].T + self.weights[f"{name}_bias"]


def drawn(
    pos: Float[Tensor, "atoms 3"],
    types: Int[Tensor, "atoms"],
    radius: Float[Tensor, "atoms"],
    batch: Int[Tensor, "atoms"],
    number: int,
) -> Float[Tensor, "complexes types cells cells cells"]:
    """Densities: a Gaussian within the radius of an atom, then a parabola up to 1.5 radii."""
    reach = math.ceil(REACH * max(RADII.values()) / SPACING) + 1
    steps = torch.arange(-reach, reach + 1)
    window = torch.cartesian_prod(steps, steps, steps)
    middle = ((pos.detach() + HALF) / SPACING).round().long()
    cells = middle[:, None] + window
    away = SPACING * cells - HALF - pos[:, None]
    ratio = away.square().sum(-1).sqrt() / radius[:, None]
    # of equal value and slope at the radius
    outside = math.exp(-2) * (4 * ratio.square() - 12 * ratio + 9)
    density = torch.where(ratio < 1, (-2 * ratio.square()).exp(), outside)
    inside = ((cells >= 0) & (cells < CELLS)).all(-1) & (ratio < REACH)
    atom, place = inside.nonzero(as_tuple=True)
    x, y, z = cells[atom, place].unbind(-1)
    row = (batch * TYPES + types)[atom]
    flat = ((row * CELLS + x) * CELLS + y) * CELLS + z
    grids = pos.new_zeros(number * TYPES * CELLS**3).index_add(0, flat, density[atom, place])
    return grids.reshape(number, TYPES, CELLS, CELLS, CELLS)


def complex_of(folder: Path) -> Data:
    """Lysozyme with isobutylbenzene: all atoms that may reach into the grid, in any orientation."""
    pos, types, radius = (
        torch.cat(parts) for parts in zip(_receptor(folder), _ligand(folder), strict=True)
    )
    middle = pos[types >= LIGAND].mean(0)
    near = (pos - middle).norm(dim=1) < math.sqrt(3) * HALF + REACH * max(RADII.values())
    return Data(pos=pos[near], z=types[near], radius=radius[near])


def _receptor(folder: Path) -> tuple[Tensor, Tensor, Tensor]:
    atoms = read(folder / "184l_rec.pdb")
    names, residues = atoms.arrays["atomtypes"], atoms.arrays["residuenames"]
    kept, types, radius = [], [], []
    for i, element in enumerate(atoms.get_chemical_symbols()):
        name, residue = str(names[i]).strip(), str(residues[i]).strip()
        if element not in RADII or residue in ("HOH", "WAT"):
            continue
        if element == "C":
            bonded = name in ("C", "CA") or name in BONDED.get(residue, ())
            kind = 2 * (name in AROMATIC.get(residue, ())) + bonded
        elif element == "N":
            kind = 6 if (name == "N" and residue != "PRO") or residue in DONORS_N else 5
        elif element == "O":
            kind = 8 if name in DONORS_O else 7
        else:
            kind = 9
        kept.append(i)
        types.append(kind)
        radius.append(RADII[element])
    positions = torch.tensor(atoms.positions[kept])
    return positions, torch.tensor(types), torch.tensor(radius, dtype=torch.float64)


def _ligand(folder: Path) -> tuple[Tensor, Tensor, Tensor]:
    """A hydrocarbon: carbon atoms in its ring are aromatic, the others are not."""
    atoms = read(folder / "184l_lig.sdf")
    lines = (folder / "184l_lig.sdf").read_text().splitlines()
    start = 4 + len(atoms)
    # bonds of the file: two atoms and an order; every atom of the ring has a double one
    bonds = [
        tuple(int(line[k : k + 3]) for k in (0, 3, 6))
        for line in lines[start:]
        if len(line) >= 9 and line[:9].replace(" ", "").isdigit()
    ]
    aromatic = {
        atom - 1 for first, second, order in bonds if order in (2, 4) for atom in (first, second)
    }
    carbon = [i for i, element in enumerate(atoms.get_chemical_symbols()) if element == "C"]
    types = torch.tensor([LIGAND + 2 * (i in aromatic) for i in carbon])
    radius = torch.full((len(carbon),), RADII["C"], dtype=torch.float64)
    return torch.tensor(atoms.positions[carbon]), types, radius
