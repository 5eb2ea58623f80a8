"""Laws of the shipped molecules: symmetry of the labels, balance of forces, disjoint splits.

Stored labels are single precision except the energy, so a label of size ``a`` is off by up to
``a * eps / 2`` with ``eps`` that of float32.
"""

import copy
import inspect
from collections import Counter
from collections.abc import Callable
from importlib.resources import files

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from symmetrize.datasets import minimum_energies, molecules, molecules_info

COUNTS = {"CH4": 200, "H2O": 200, "NH3": 200, "CH3OH": 120, "H2CO": 120, "CO2": 130}
EPS = torch.finfo(torch.float32).eps

Graphs = list[Data]


@pytest.fixture(scope="module")
def graphs() -> Graphs:
    return molecules()


def normal_of_triatomic(pos: torch.Tensor) -> torch.Tensor:
    """Normal (3,) of the plane through three atoms, in units of length squared."""
    return torch.linalg.cross(pos[1] - pos[0], pos[2] - pos[0])


def is_collinear(pos: torch.Tensor) -> bool:
    # atoms are about 1 Angstrom from the origin, so each is off the axis by a few ulp
    return len(pos) == 3 and bool(normal_of_triatomic(pos).norm() < 10 * EPS)


def test_file_is_small_and_free_of_pickles() -> None:
    path = files("symmetrize.datasets") / "molecules.npz"
    with path.open("rb") as stream:
        assert len(stream.read()) < 1.5e6
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
        assert all(stored[key].dtype != object for key in stored.files)


def test_counts_and_shapes(graphs: Graphs) -> None:
    assert Counter(graph.formula for graph in graphs) == COUNTS
    for graph in graphs:
        atoms = len(graph.z)
        assert graph.pos.shape == graph.forces.shape == (atoms, 3)
        assert graph.energy.shape == (1,)
        assert graph.dipole.shape == (1, 3)
        assert graph.quadrupole.shape == graph.polarizability.shape == (1, 3, 3)


def test_atoms_match_the_formula(graphs: Graphs) -> None:
    atoms = {
        "CH4": [1, 1, 1, 1, 6],
        "H2O": [1, 1, 8],
        "NH3": [1, 1, 1, 7],
        "CH3OH": [1, 1, 1, 1, 6, 8],
        "H2CO": [1, 1, 6, 8],
        "CO2": [6, 8, 8],
    }
    for graph in graphs:
        assert sorted(graph.z.tolist()) == atoms[graph.formula]


def fingerprints(graphs: Graphs) -> set[tuple[float, ...]]:
    return {tuple(graph.pos.flatten().tolist()) for graph in graphs}


def test_splits_partition_the_data(graphs: Graphs) -> None:
    parts = [fingerprints(molecules(split)) for split in ("train", "validation", "test")]
    assert sum(map(len, parts)) == len(set.union(*parts)) == len(graphs)
    assert set.union(*parts) == fingerprints(graphs)


@pytest.mark.parametrize(
    ("split", "fraction"), [("train", 0.70), ("validation", 0.15), ("test", 0.15)]
)
def test_splits_are_stratified(split: str, fraction: float) -> None:
    part = molecules(split)
    counts = Counter(graph.formula for graph in part)
    for formula, total in COUNTS.items():
        # rounding in each of at most two strata, for two of the three splits
        assert abs(counts[formula] - fraction * total) <= 2, formula
    assert any(is_collinear(graph.pos) for graph in part)


def test_loading_twice_gives_the_same() -> None:
    for first, second in zip(molecules("test"), molecules("test"), strict=True):
        assert torch.equal(first.pos, second.pos)
        assert torch.equal(first.energy, second.energy)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_is_followed_and_positions_are_exact(dtype: torch.dtype, graphs: Graphs) -> None:
    for graph, reference in zip(molecules(dtype=dtype), graphs, strict=True):
        for key in ("pos", "forces", "energy", "dipole", "quadrupole", "polarizability"):
            assert graph[key].dtype == dtype
        assert graph.z.dtype == torch.long
        assert torch.equal(graph.pos.double(), reference.pos)


def test_forces_and_torques_balance(graphs: Graphs) -> None:
    for graph in graphs:
        # n forces, each rounded once
        tolerance = len(graph.z) * graph.forces.abs().max() * EPS / 2
        assert graph.forces.sum(0).abs().max() < tolerance
        # two products per component, with arms below 2 Angstrom
        torque = torch.linalg.cross(graph.pos, graph.forces).sum(0)
        assert torque.abs().max() < 4 * tolerance


def test_polarizability_is_symmetric_and_positive_definite(graphs: Graphs) -> None:
    for graph in graphs:
        assert torch.equal(graph.polarizability, graph.polarizability.mT)
        assert torch.linalg.eigvalsh(graph.polarizability).min() > 0


def test_quadrupole_is_symmetric_and_traceless(graphs: Graphs) -> None:
    for graph in graphs:
        quadrupole = graph.quadrupole[0]
        # three diagonal elements, each rounded once
        tolerance = 3 * EPS * quadrupole.abs().max()
        assert quadrupole.trace().abs() < tolerance
        assert (quadrupole - quadrupole.mT).abs().max() < tolerance


def test_triatomic_labels_keep_the_mirror_plane(graphs: Graphs) -> None:
    bent = [graph for graph in graphs if len(graph.z) == 3 and not is_collinear(graph.pos)]
    assert len(bent) == COUNTS["H2O"] + COUNTS["CO2"] - 20
    for graph in bent:
        area = normal_of_triatomic(graph.pos)
        normal = area / area.norm()
        # rounded positions tilt the plane, by more the closer the atoms are to a line
        tilt = 10 * EPS / area.norm()
        assert (graph.forces @ normal).abs().max() < tilt * (graph.forces.abs().max() + 1)
        assert (graph.dipole @ normal).abs().max() < tilt
        for tensor in (graph.quadrupole[0], graph.polarizability[0]):
            in_plane = torch.eye(3, dtype=normal.dtype) - torch.outer(normal, normal)
            # finite fields leave some 1e-6 Angstrom^3 in the polarizability
            assert (in_plane @ tensor @ normal).abs().max() < 10 * tilt + 1e-5


def test_collinear_molecules_are_axially_symmetric(graphs: Graphs) -> None:
    collinear = [graph for graph in graphs if is_collinear(graph.pos)]
    assert [graph.formula for graph in collinear] == 20 * ["CO2"]
    for graph in collinear:
        axis = graph.pos[1] - graph.pos[2]
        axis = axis / axis.norm()
        across = torch.eye(3, dtype=axis.dtype) - torch.outer(axis, axis)
        # a displacement of a few ulp, with a bending stiffness below 10 eV/Angstrom^2
        rounding = 100 * EPS
        assert (graph.forces @ across).abs().max() < rounding
        assert (graph.dipole @ across).abs().max() < rounding
        # finite fields leave some 1e-6 Angstrom^3 in the polarizability
        for tensor, tolerance in ((graph.quadrupole[0], rounding), (graph.polarizability[0], 1e-5)):
            along = axis @ tensor @ axis
            mean = (tensor.trace() - along) / 2
            symmetric = along * torch.outer(axis, axis) + mean * across
            assert (tensor - symmetric).abs().max() < tolerance


def water_distances(graph: Data) -> list[float]:
    """O-H, O-H and H-H distances: all there is to the shape of water."""
    (oxygen,), hydrogens = graph.pos[graph.z == 8], graph.pos[graph.z == 1]
    arms = (hydrogens - oxygen).norm(dim=1)
    return [*arms.tolist(), (hydrogens[0] - hydrogens[1]).norm().item()]


def aligning_rotation(start: torch.Tensor, end: torch.Tensor) -> torch.Tensor:
    """Proper rotation (3, 3) that brings ``start @ rotation`` closest to ``end`` (Kabsch)."""
    left, _, right = torch.linalg.svd(start.T @ end)
    sign = torch.det(left @ right).sign()
    return left @ torch.stack([torch.ones_like(sign), torch.ones_like(sign), sign]).diag() @ right


def test_forces_do_the_work_between_neighboring_waters(graphs: Graphs) -> None:
    waters = [graph for graph in graphs if graph.formula == "H2O"]
    shapes = torch.tensor([water_distances(graph) for graph in waters])
    # close enough for the trapezoidal rule, whose error is of third order in the step
    pairs = (torch.cdist(shapes, shapes) < 0.03).triu(1).nonzero().tolist()
    assert len(pairs) > 50
    for first, second in pairs:
        start, end = waters[first], waters[second]
        rotation = aligning_rotation(start.pos, end.pos)
        step = end.pos - start.pos @ rotation
        force = (start.forces @ rotation + end.forces) / 2
        # third derivatives up to 1,000 eV/Angstrom^3, over 12, times 0.03^3 Angstrom^3
        assert abs((end.energy - start.energy + (force * step).sum()).item()) < 2e-3


def mean_over(graphs: Graphs, formula: str, quantity: Callable[[Data], torch.Tensor]) -> float:
    return (
        torch.stack([quantity(graph) for graph in graphs if graph.formula == formula]).mean().item()
    )


# Hartree-Fock leaves 20 percent, distortion a few; one unit mistaken is a factor of 1.9 or more
EXPERIMENT = {"rel": 0.3}


@pytest.mark.parametrize(
    ("formula", "debye"), [("H2O", 1.85), ("NH3", 1.47), ("CH3OH", 1.70), ("H2CO", 2.33)]
)
def test_dipoles_resemble_experiment(formula: str, debye: float, graphs: Graphs) -> None:
    mean = mean_over(graphs, formula, lambda graph: graph.dipole.norm())
    assert mean == pytest.approx(debye * 0.20819, **EXPERIMENT)


def test_dipole_of_water_points_to_the_hydrogens(graphs: Graphs) -> None:
    for graph in graphs:
        if graph.formula == "H2O":
            bisector = graph.pos[graph.z == 1].mean(0) - graph.pos[graph.z == 8][0]
            assert graph.dipole[0] @ bisector > 0.2 * bisector.norm()


@pytest.mark.parametrize(
    ("formula", "volume"),
    [("CH4", 2.5), ("H2O", 1.5), ("NH3", 2.2), ("CH3OH", 3.2), ("H2CO", 2.8), ("CO2", 2.7)],
)
def test_polarizabilities_resemble_experiment(formula: str, volume: float, graphs: Graphs) -> None:
    mean = mean_over(graphs, formula, lambda graph: graph.polarizability[0].trace() / 3)
    assert mean == pytest.approx(volume, **EXPERIMENT)


def test_quadrupole_of_carbon_dioxide_resembles_experiment(graphs: Graphs) -> None:
    def along_the_axis(graph: Data) -> torch.Tensor:
        ends = graph.pos[graph.z == 8]
        axis = torch.nn.functional.normalize(ends[0] - ends[1], dim=0)
        return axis @ graph.quadrupole[0] @ axis

    # -14.3e-40 C m^2 (Chetty and Couling, 2011); the oxygen ends are negative
    assert mean_over(graphs, "CO2", along_the_axis) == pytest.approx(-0.89, **EXPERIMENT)


def test_energies_lie_above_the_minimum(graphs: Graphs) -> None:
    minima = minimum_energies()
    distortion = {formula: [] for formula in COUNTS}
    for graph in graphs:
        distortion[graph.formula].append(graph.energy.item() - minima[graph.formula])
    for formula, energies in distortion.items():
        assert min(energies) > 0, formula
        assert max(energies) < 5, formula


def test_unknown_split_is_refused() -> None:
    # users do without the type checks of the tests, which refuse the value before the loader can
    load = inspect.unwrap(molecules)
    with pytest.raises(ValueError, match=r"`split` is 'valid' .*'validation'.* or None"):
        load("valid")


def test_info_states_units_level_and_license() -> None:
    info = molecules_info()
    assert all(isinstance(value, str) for value in info.values())
    assert "eV/Angstrom" in info["units"]
    assert "RHF/aug-cc-pVDZ" in info["level of theory"]
    assert "1000 K" in info["temperature"]
    assert info["license"].startswith("MIT")


MUTANTS = {
    "net-force": (test_forces_and_torques_balance, "forces", lambda forces: forces + 1e-5),
    "net-torque": (test_forces_and_torques_balance, "forces", lambda forces: forces.roll(1, 1)),
    "asymmetric": (
        test_polarizability_is_symmetric_and_positive_definite,
        "polarizability",
        lambda tensor: tensor + 1e-6 * torch.ones(3, 3).triu(1),
    ),
    "indefinite": (
        test_polarizability_is_symmetric_and_positive_definite,
        "polarizability",
        lambda tensor: tensor - 2.5 * torch.eye(3),
    ),
    "trace": (
        test_quadrupole_is_symmetric_and_traceless,
        "quadrupole",
        lambda tensor: tensor + 1e-6 * torch.eye(3),
    ),
    "axes-of-forces": (
        test_triatomic_labels_keep_the_mirror_plane,
        "forces",
        lambda forces: forces.roll(1, 1),
    ),
    "axes-of-dipole": (
        test_triatomic_labels_keep_the_mirror_plane,
        "dipole",
        lambda dipole: dipole.roll(1, 1),
    ),
    "axes-of-quadrupole": (
        test_triatomic_labels_keep_the_mirror_plane,
        "quadrupole",
        lambda tensor: tensor.roll((1, 1), (1, 2)),
    ),
    "axes-of-polarizability": (
        test_collinear_molecules_are_axially_symmetric,
        "polarizability",
        lambda tensor: tensor.roll((1, 1), (1, 2)),
    ),
    "gradient-for-force": (
        test_forces_do_the_work_between_neighboring_waters,
        "forces",
        lambda forces: -forces,
    ),
    "forces-per-bohr": (
        test_forces_do_the_work_between_neighboring_waters,
        "forces",
        lambda forces: forces * 0.529,
    ),
    "dipole-sign": (
        test_dipole_of_water_points_to_the_hydrogens,
        "dipole",
        lambda dipole: -dipole,
    ),
    "quadrupole-sign": (
        test_quadrupole_of_carbon_dioxide_resembles_experiment,
        "quadrupole",
        lambda tensor: -tensor,
    ),
    "energy-sign": (test_energies_lie_above_the_minimum, "energy", lambda energy: -energy),
}


@pytest.mark.parametrize(("law", "key", "change"), MUTANTS.values(), ids=MUTANTS.keys())
def test_mutants_break_their_law(
    law: Callable[[Graphs], None],
    key: str,
    change: Callable[[torch.Tensor], torch.Tensor],
    graphs: Graphs,
) -> None:
    mutants = [copy.copy(graph) for graph in graphs]
    for mutant in mutants:
        mutant[key] = change(mutant[key])
    with pytest.raises(AssertionError):
        law(mutants)


def test_mutants_in_other_units_do_not_resemble_experiment(graphs: Graphs) -> None:
    mutants = [copy.copy(graph) for graph in graphs]
    for mutant in mutants:
        mutant.dipole = mutant.dipole / 0.529
        mutant.polarizability = mutant.polarizability / 0.529**3
    with pytest.raises(AssertionError):
        test_dipoles_resemble_experiment("H2O", 1.85, mutants)
    with pytest.raises(AssertionError):
        test_polarizabilities_resemble_experiment("H2O", 1.5, mutants)
