"""What do other ways to make a network invariant cost, and what is left of the symmetry?

One network (a small Point Edge Transformer, of random weights, and trained on the energies of the
embedded molecules for the structures of their elements), an energy, and O(3), by this library's
frames and by what others do, in one run: the quadratures of metatomic's ``SymmetrizedModel``
(targets of rank 0, 1 and 2) and of its ASE calculator (l_max 3, 5 and 9), made by metatomic itself;
the published pair frames (ECSE); PCA frames (frame averaging); and one random rotation for each
evaluation, as i-PI's. For each: evaluations of the network, time of an energy over that of the bare
network, the largest error as the structure is turned, the largest jump and second derivative along
straight paths, and the memory of forces.

Errors, jumps and derivatives are in units of the spread of the network over rotations. The time of
all is that of this library's machinery, which turns copies of one neighbor list.

Run: python -m benchmarks.alternatives (about 10 minutes). Writes results/alternatives.json and
the figure of docs/performance.md, and prints its tables.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from ase import Atoms
from ase.build import bulk, molecule
from torch import Tensor
from torch_geometric.data import Batch, Data

from backbones import PET
from backbones.atomistic.libraries import original_index_select
from benchmarks._alternatives_figure import draw
from benchmarks._data import acetylacetone
from benchmarks._record import read_result, write_result
from benchmarks._text import markdown, progress, short
from benchmarks._timing import medians, milliseconds
from symmetrize import (
    Ensemble,
    FrameAveraging,
    Frames,
    HierarchicalFrames,
    PairFrames,
    RandomFrames,
    Symmetrizer,
    from_ase,
)
from symmetrize.chunks import peak_memory
from symmetrize.datasets import molecules
from symmetrize.frames import Vectors, assemble, random_rotations

CUTOFF = 4.5
RATTLE = 0.03  # in Å, of the structures, which are symmetric at rest
TURNS, ROUNDS, CHUNK = 8, 5, 256
# Of straight paths of 0.3 Å: their number, points, looks at the largest step, and the atoms in all
# evaluations beyond which they are too long to follow
PATHS, PATH, LENGTH, LOOKS, FEW = 2, 101, 0.3, 6, 1000
# Between two points 1e-8 Å apart: a larger step is a jump, and no steep slope
JUMP = 1e-4
# Atoms in all evaluations of a structure beyond which they are counted and nothing else
MOST = 20_000
# Structures of the elements of the embedded molecules, and steps of training on these
TRAINED, STEPS, BATCH = ("ethanol", "CO2"), 1500, 16
RANDOM = "one random rotation (i-PI)"


class Fixed(Frames):
    """Given rotations and weights, the same for all structures."""

    is_exact, fixed = False, True

    def __init__(self, rotations: Any, weights: Any) -> None:
        self.rotations = torch.as_tensor(rotations).double()
        self.weights = torch.as_tensor(weights).double()

    def smoothness(self, degree: int) -> float:
        """All derivatives."""
        return math.inf

    def of_clouds(self, cloud: Vectors, group: Any, degree: int) -> Ensemble:
        """The same for each cloud."""
        rotations, weights = self.rotations.repeat(cloud.size, 1, 1), self.weights
        index = torch.arange(cloud.size).repeat_interleave(len(weights))
        return assemble(rotations, weights.repeat(cloud.size), index, cloud.size)


def of_metatomic(rank: int) -> Fixed:
    """The rotations of its model at its defaults, for targets of a rank."""
    with original_index_select():
        from metatomic.torch.o3._quadrature import choose_quadrature, get_rotation_quadrature

    rotations, weights = get_rotation_quadrature(*choose_quadrature(2 * rank + 1))
    matrices, weights = torch.as_tensor(rotations), torch.as_tensor(weights)
    return Fixed(torch.cat([matrices, -matrices]), torch.cat([weights, weights]))


def of_its_calculator(l_max: int) -> Fixed:
    """The rotations of its ASE calculator, inversions included."""
    with original_index_select():
        from metatomic_ase._symmetry import _choose_quadrature, _get_quadrature

    return Fixed(*_get_quadrature(*_choose_quadrature(l_max), True))


def ways() -> dict[str, Frames]:
    """Frames by what they are called in the table."""
    model = {f"metatomic model, rank {rank}": of_metatomic(rank) for rank in (0, 1, 2)}
    calculator = {f"metatomic calculator, l_max {n}": of_its_calculator(n) for n in (3, 5, 9)}
    return {
        "this library": HierarchicalFrames(CUTOFF),
        "this library, lean": HierarchicalFrames(CUTOFF, preset="lean"),
        **model,
        **calculator,
        "pair frames (ECSE)": PairFrames(CUTOFF, prune=None),
        "PCA frames": FrameAveraging(CUTOFF),
        RANDOM: RandomFrames(1),
    }


def structures() -> dict[str, Data]:
    """Molecules, a crystal and a cluster, a little out of their symmetric shapes."""

    def rattled(atoms: Atoms) -> Data:
        atoms = atoms.copy()
        atoms.rattle(RATTLE, seed=0)
        return from_ase(atoms)

    one = acetylacetone()[0]
    return {
        "water": rattled(molecule("H2O")),
        "ethanol": rattled(molecule("CH3CH2OH")),
        "CO2": rattled(molecule("CO2")),
        "benzene": rattled(molecule("C6H6")),
        "acetylacetone": Data(pos=one.pos, z=one.z),
        "silicon, 8 atoms": rattled(bulk("Si", cubic=True)),
        "C60": rattled(molecule("C60")),
    }


def network() -> PET:
    torch.manual_seed(0)
    species = [1, 6, 7, 8, 14]
    net = PET({"energy": "0e"}, species=species, cutoff=CUTOFF, width=32, hidden=32, heads=2)
    return net.double().eval()


def trained() -> tuple[PET, float]:
    """The network after some steps on energies, in sampled frames, and its error in eV."""
    net = network().train()
    kept = molecules("train")
    net.fit_baseline(Batch.from_data_list(kept))
    model = Symmetrizer(net, frames=HierarchicalFrames(CUTOFF), training="sampled")
    model.generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    generator = torch.Generator().manual_seed(0)
    model.train()
    for step in progress(range(STEPS), "training"):
        optimizer.param_groups[0]["lr"] = 1e-3 * (1 - step / STEPS)
        chosen = torch.randperm(len(kept), generator=generator)[:BATCH]
        batch = Batch.from_data_list([kept[k] for k in chosen.tolist()])
        optimizer.zero_grad()
        loss = (model(batch)["energy"][:, 0] - batch.energy).square().mean()
        loss.backward()
        optimizer.step()
    test = Batch.from_data_list(molecules("test"))
    with torch.no_grad():
        wrong = model.eval()(test)["energy"][:, 0] - test.energy
    return net.eval(), float(wrong.abs().mean())


def turned(data: Data, matrix: Tensor) -> Data:
    there = data.clone()
    there.pos = data.pos @ matrix.T
    if there.get("cell") is not None:
        there.cell = data.cell @ matrix.T
    return there


def energies(model: Callable[[Data], Any], data: list[Data]) -> Tensor:
    """Of some structures."""
    with torch.no_grad():
        return model(Batch.from_data_list(data))["energy"][:, 0]


def of_structure(data: Data, net: PET) -> dict[str, Any]:
    """What each way costs and leaves for one structure."""
    generator = torch.Generator().manual_seed(1)
    matrices = random_rotations(64, generator)
    spread = float(energies(_bare(net), [turned(data, m) for m in matrices]).std())
    directions = torch.randn(PATHS, *data.pos.shape, generator=generator, dtype=torch.float64)
    directions = directions / directions.norm(dim=-1, keepdim=True)
    elements = [*matrices[: TURNS - 1], -torch.eye(3, dtype=torch.float64)]
    found: dict[str, Any] = {}
    for name, frames in ways().items():
        model = Symmetrizer(net, frames=frames, chunk_size=CHUNK).eval()
        periodic = bool(data.get("pbc", torch.zeros(1)).any())
        if periodic and isinstance(frames, PairFrames | FrameAveraging):
            continue  # these are made of positions from the centroid, which a crystal has not
        try:
            number = int(model.evaluations(Batch.from_data_list([data]))[0])
        except ValueError as error:
            found[name] = {"refused": str(error).split(":")[0]}
            continue
        if number * len(data.pos) > MOST:
            found[name] = {"evaluations": float(number)}
            continue
        sides = {
            "bare": lambda: energies(_bare(net), [data]),
            "whole": lambda model=model: energies(model, [data]),
        }
        times = medians(milliseconds(sides, ROUNDS if number * len(data.pos) < FEW else 1))
        row = {"evaluations": number, "time_over_bare": times["whole"] / times["bare"]}
        row["rotation_error"] = _error(model, data, elements) / spread
        if number * len(data.pos) < FEW:
            each = [_along_a_path(model, data, direction) for direction in directions]
            row |= {k: max(one[k] for one in each) / spread for k in each[0]}
            row["memory_over_bare"] = _memory(model, data) / _memory(_bare(net), data)
        found[name] = {key: float(f"{value:.3g}") for key, value in row.items()}
    return found


def _bare(net: PET) -> Callable[[Data], Any]:
    return lambda data: net(net.prepare(data))


def _error(model: Symmetrizer, data: Data, elements: list[Tensor]) -> float:
    """The largest change of the energy as the structure is turned or inverted."""
    if isinstance(model.frames, RandomFrames):  # drawn anew for each evaluation
        drawn = [_seeded(model, data, k) for k in range(TURNS + 1)]
        return max(abs(e - drawn[0]) for e in drawn)
    here = energies(model, [data])
    # one by one: a thousand evaluations of each
    there = torch.cat([energies(model, [turned(data, m)]) for m in elements])
    return float((there - here).abs().max())


def _seeded(model: Symmetrizer, data: Data, seed: int) -> float:
    return float(energies(Symmetrizer(model.net, frames=RandomFrames(1, seed)).eval(), [data])[0])


def _along_a_path(model: Symmetrizer, data: Data, direction: Tensor) -> dict[str, float]:
    """The largest jump, and the largest second derivative (of what has no jump)."""

    def along(places: Tensor) -> Tensor:
        moved = []
        for place in places.tolist():
            one = data.clone()
            one.pos = data.pos + place * direction
            moved.append(one)
        if isinstance(model.frames, RandomFrames):
            return torch.tensor([_seeded(model, one, k) for k, one in enumerate(moved)])
        return energies(model, moved)

    places = torch.linspace(0, LENGTH, PATH, dtype=torch.float64)
    values = along(places)
    second = float(values.diff(n=2).abs().max() / (places[1] - places[0]) ** 2)
    # a jump stays as large however near one looks
    for _ in range(LOOKS):
        largest = int(values.diff().abs().argmax())
        places = torch.linspace(float(places[largest]), float(places[largest + 1]), 9).double()
        values = along(places)
    jump = float(values.diff().abs().max())
    return {"jump": jump, "second_derivative": second}


def _memory(model: Callable[[Data], Any], data: Data) -> float:
    """Bytes of an energy and its forces."""
    moving = Batch.from_data_list([data])
    moving.pos = moving.pos.detach().requires_grad_()
    with peak_memory(torch.device("cpu")) as peak:
        torch.autograd.grad(model(moving)["energy"].sum(), moving.pos)
    return peak[0]


def measure() -> dict[str, Any]:
    """All structures."""
    torch.set_num_threads(1)
    net = network()
    found = {name: of_structure(d, net) for name, d in progress(structures().items(), "structures")}
    net, error = trained()
    after = {
        f"{name}, trained": of_structure(structures()[name], net)
        for name in progress(TRAINED, "structures, trained")
    }
    setting = {"network": "PET, width 32", "dtype": "float64", "group": "O(3)", "threads": 1}
    setting |= {"path_angstrom": LENGTH, "trained_error_eV": error}
    return {**setting, "structures": found | after}


def table(key: str) -> str:
    """The stored evaluations of "all" structures, or all that there is of one."""
    stored: Mapping[str, Any] = read_result("alternatives")["structures"]
    key = key.replace("_", ", ")
    if key == "all":
        names = list(ways())
        stored = {name: rows for name, rows in stored.items() if "trained" not in name}
        header = ["evaluations", *stored]
        rows = [
            [name, *(_said(stored[s].get(name, {}), "evaluations") for s in stored)]
            for name in names
        ]
        return markdown(header, rows)
    header = [
        *(key, "evaluations", "time / bare", "rotation error", "largest jump"),
        *("largest second derivative (1/Å²)", "memory of forces / bare"),
    ]
    keys = ["evaluations", "time_over_bare", "rotation_error", "jump", "second_derivative"]
    rows = [
        [name, *(_said(row, k) for k in [*keys, "memory_over_bare"])]
        for name, row in stored[key].items()
    ]
    return markdown(header, rows)


def _said(row: Mapping[str, Any], key: str) -> str:
    if "refused" in row:
        return "refused"
    if key not in row:
        return "-"
    if key == "second_derivative" and row["jump"] > JUMP:
        return "jumps"
    value = row[key]
    return short(value) if value >= 0.01 or value == 0 else f"{value:.0e}"


def main() -> None:
    path = write_result("alternatives", measure())
    draw(read_result("alternatives")["structures"], ("ethanol", "ethanol, trained", "CO2"))
    for key in ("all", "ethanol", "ethanol_trained", "benzene", "CO2"):
        print(table(key), end="\n\n")
    print(path)


if __name__ == "__main__":
    main()
