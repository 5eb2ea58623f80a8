"""Models in metatomic's format, symmetrized: metatrain's PET and a model of analytic functions.

PET has random weights here, as none can be fetched; files go the way of real ones, and the
checkpoints that metatrain keeps for its own tests were trained.
"""

import gzip
import math
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional  # noqa: UP035

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

pytest.importorskip("metatomic", reason="needs the extra `atomistic`")

from ase.build import bulk, molecule
from e3nn import o3
from scipy.special import sph_harm_y

import backbones.edges
from backbones.adapters.metatomic import MetatomicModel, from_metatomic
from backbones.atomistic.libraries import metatensor, metatomic, original_index_select
from backbones.atomistic.loading import checkpoint
from backbones.atomistic.values import _change_of_basis
from symmetrize import HierarchicalFrames, Symmetrizer, neighbor_list, per_point
from symmetrize.derivatives import forces_and_stress
from tests.common.metatrain_pet import REPRESENTATIONS, TARGETS, pet
from tests.common.strata import TURNS

with original_index_select():
    import metatrain

CHECKPOINTS = Path(metatrain.__file__).parent / "pet" / "tests" / "checkpoints"
ROTATIONS = ("generic", "improper", "inversion", "half turn about x")

# --- PET


@pytest.fixture(scope="module")
def nets() -> dict[torch.dtype, MetatomicModel]:
    return {dtype: from_metatomic(pet(dtype)) for dtype in (torch.float64, torch.float32)}


@pytest.fixture(scope="module")
def net(nets: dict[torch.dtype, MetatomicModel]) -> MetatomicModel:
    return nets[torch.float64]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "pet.pt"
    pet().export().save(str(path))
    return path


# --- structures


def as_data(atoms: Any, dtype: torch.dtype = torch.float64) -> Data:
    data = Data(pos=torch.tensor(atoms.positions, dtype=dtype), z=torch.tensor(atoms.numbers))
    if atoms.pbc.any():
        data.cell = torch.tensor(atoms.cell.array, dtype=dtype)[None]
        data.pbc = torch.tensor(atoms.pbc)[None]
    return data


def skewed() -> Any:
    atoms = bulk("CN", "zincblende", 3.57)
    shear = [[1.0, 0.2, 0.1], [0.0, 1.05, 0.3], [0.0, 0.0, 0.97]]
    atoms.set_cell(atoms.cell.array @ shear, scale_atoms=True)
    atoms.positions[1] += [0.1, 0.0, -0.05]
    return atoms


def slab() -> Any:
    atoms = bulk("C", "diamond", 3.57)
    atoms.pbc = [True, True, False]
    return atoms


STRUCTURES = {
    "nothing": lambda: molecule("C")[:0],
    "atom": lambda: molecule("C"),
    "dimer": lambda: molecule("O2"),
    "CO2, collinear": lambda: molecule("CO2"),
    "water, planar": lambda: molecule("H2O"),
    "benzene, planar": lambda: molecule("C6H6"),
    "methane, a tetrahedron": lambda: molecule("CH4"),
    "methanol": lambda: molecule("CH3OH"),
    "perfect fcc, which sees its images alone": lambda: bulk("C", "fcc", 2.9),
    "perfect diamond": lambda: bulk("C", "diamond", 3.57),
    "skewed crystal": skewed,
    "slab": slab,
}
structures = pytest.mark.parametrize("make", STRUCTURES.values(), ids=STRUCTURES)


def turned(data: Data, matrix: Tensor) -> Data:
    there = data.clone()
    for name in ("pos", "cell"):
        if data.get(name) is not None:
            there[name] = (data[name].double() @ matrix.T).to(data.pos.dtype)
    return there


def outputs_of(model: Any, data: Data) -> dict[str, Tensor]:
    """All outputs, and forces and virial of the energy."""
    found = forces_and_stress(model, data)
    return {**model(data), "forces": found.forces, "virial": found.virial}


def rotated(values: dict[str, Tensor], matrix: Tensor) -> dict[str, Tensor]:
    """By a path of its own: matrices, and e3nn's Wigner matrices for what is spherical."""
    proper = matrix * torch.linalg.det(matrix).sign()
    turned = {}
    for name, value in values.items():
        value, sign = value.double(), float(torch.linalg.det(matrix).sign())
        if name == "mtt::spherical":
            blocks = [sign * torch.eye(2, dtype=torch.float64)]
            for degree in (1, 1, 2, 2):
                # e3nn reads angles in the default dtype
                sample = torch.randn(20, 3, dtype=torch.float64)
                here = o3.spherical_harmonics(degree, sample, normalize=True)
                there = o3.spherical_harmonics(degree, sample @ proper.T, normalize=True)
                block = torch.linalg.lstsq(here, there).solution.T
                blocks.append(block * (sign if degree == 1 else 1.0))
            turned[name] = value @ torch.block_diag(*blocks).T
        elif value.ndim == 3:
            turned[name] = matrix @ value @ matrix.T
        else:
            turned[name] = value @ matrix.T if value.size(1) == 3 else value
    return turned


def largest(values: Tensor) -> float:
    return float(values.abs().max()) if values.numel() else 0.0


@pytest.fixture(scope="module")
def spreads(net: MetatomicModel) -> dict[str, float]:
    """How much each output differs between the structures here: what counts as an error of 1."""
    rows: dict[str, list[Tensor]] = {}
    for make in STRUCTURES.values():
        for name, value in outputs_of(net, as_data(make())).items():
            rows.setdefault(name, []).append(value.detach().flatten(1))
    return {name: float(torch.cat(values).std(0).max()) for name, values in rows.items()}


@structures
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["f64", "f32"])
def test_every_output_is_exactly_equivariant(
    make: Any, dtype: torch.dtype, nets: Any, spreads: dict[str, float]
) -> None:
    model, data = Symmetrizer(nets[dtype]), as_data(make(), dtype)
    here = outputs_of(model, data)
    # a few thousand, or a few hundred, units in the last place: sums over tens of frames of what
    # two layers of attention make of them
    tolerance = 1e-12 if dtype == torch.float64 else 2e-5
    for name in ROTATIONS if dtype == torch.float64 else ROTATIONS[:2]:
        matrix = TURNS[name].matrix()
        there, expected = outputs_of(model, turned(data, matrix)), rotated(here, matrix)
        for output, value in there.items():
            error = largest(value - expected[output])
            assert error <= tolerance * spreads[output], (output, name, error / spreads[output])


@pytest.mark.parametrize("name", ROTATIONS)
def test_the_bare_model_is_not_equivariant(
    name: str, net: MetatomicModel, spreads: dict[str, float]
) -> None:
    matrix, data = TURNS[name].matrix(), as_data(skewed())
    there = outputs_of(net, turned(data, matrix))
    for output, expected in rotated(outputs_of(net, data), matrix).items():
        error = largest(there[output] - expected)
        assert error > 1e-4 * spreads[output], output


# --- what is read from the model


def test_the_contract_is_read_from_the_model(net: MetatomicModel) -> None:
    contract = net.contract
    found = {name: str(out.representation) for name, out in contract.outputs.items()}
    assert found == REPRESENTATIONS
    assert {name for name, out in contract.outputs.items() if out.per_point} == {
        "non_conservative_force"
    }
    assert contract.group is None
    assert (contract.cutoff, contract.rounds, contract.periodic) == (3.0, 2, True)
    assert not contract.extensive, "a dipole of a charged fragment depends on the others"
    assert contract.smoothness == math.inf
    assert net.units == {name: unit for name, (_, unit, _, _) in TARGETS.items()}
    model = Symmetrizer(net)
    assert model.contract.group == "O(3)"
    assert model.frames.cutoff == 3.0
    assert from_metatomic(pet(), ["energy"]).contract.extensive


@pytest.mark.parametrize(
    ("hypers", "order"),
    [
        ({"cutoff_function": "Cosine"}, 1),
        ({"num_neighbors_adaptive": 8}, None),
        ({"zbl": True}, None),
    ],
    ids=["cosine", "adaptive", "repulsion"],
)
def test_smoothness_is_claimed_where_it_is_known(hypers: dict[str, Any], order: Any) -> None:
    model = pet(targets={"energy": TARGETS["energy"]}, **hypers)
    assert from_metatomic(model).contract.smoothness == order
    assert from_metatomic(model, smoothness=2).contract.smoothness == 2


def test_outputs_can_be_named_and_declared(net: MetatomicModel) -> None:
    data = as_data(molecule("CH3OH"))
    whole = net(data)
    named = from_metatomic(net.model, ["mtt::dipole"])(data)
    assert named.keys() == {"mtt::dipole"}
    assert torch.equal(named["mtt::dipole"], whole["mtt::dipole"])

    declared = {"energy": per_point("0e"), "mtt::polarizability": "ij=ji"}
    own = from_metatomic(net.model, declared)
    atoms = own(data)
    assert atoms["energy"].shape == (6, 1)
    torch.testing.assert_close(atoms["energy"].sum(0, keepdim=True), whole["energy"])
    assert str(own.contract.outputs["mtt::polarizability"].representation) == "ij=ji"
    tensor = Symmetrizer(own)(data)["mtt::polarizability"]
    torch.testing.assert_close(tensor, tensor.mT)


def test_what_cannot_be_had_is_refused(net: MetatomicModel, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"asks for 'charge', which the model does not offer.*ene"):
        from_metatomic(net.model, ["charge"])
    with pytest.raises(ValueError, match=r"declares 'energy' as 1o, of dimension 3, but.*0e"):
        from_metatomic(net.model, {"energy": "1o"})
    with pytest.raises(FileNotFoundError, match=r"no model at .*none\.pt"):
        from_metatomic(tmp_path / "none.pt")
    with pytest.raises(TypeError, match="Linear but must be a metatomic AtomisticModel"):
        from_metatomic(torch.nn.Linear(1, 1))
    with pytest.raises(ValueError, match=r"no species `z`, only \['pos'\]"):
        net(Data(pos=torch.zeros(1, 3)))
    with pytest.raises(ValueError, match="does not support the atomic type '79'"):
        net(Data(pos=torch.zeros(1, 3), z=torch.tensor([79])))


@pytest.mark.parametrize("make", [lambda: molecule("CH3OH"), skewed], ids=["molecule", "crystal"])
def test_energy_forces_and_stress_are_those_of_metatomics_own_calculator(
    make: Any, net: MetatomicModel
) -> None:
    calculator = pytest.importorskip("metatomic_ase").MetatomicCalculator(net.model)
    atoms, found = make(), forces_and_stress(net, as_data(make()))
    calculator.calculate(atoms, ["energy", "forces"], [])
    results = {name: torch.as_tensor(value) for name, value in calculator.results.items()}
    close = {"rtol": 1e-12, "atol": 1e-12}
    torch.testing.assert_close(found.energy[0, 0], results["energy"].reshape(()).double(), **close)
    torch.testing.assert_close(found.forces, results["forces"].reshape(-1, 3), **close)
    if found.stress is not None:
        # that one takes the derivative by a deformation that may turn: its symmetric part is stress
        voigt = torch.tensor([[0, 5, 4], [5, 1, 3], [4, 3, 2]])
        torch.testing.assert_close(found.stress[0], results["stress"][voigt], **close)


# --- batches, neighbor lists, environments


def test_a_batch_is_its_structures(net: MetatomicModel) -> None:
    model = Symmetrizer(net)
    rows = [as_data(STRUCTURES[n]()) for n in ("perfect diamond", "skewed crystal", "slab")]
    together = model(Batch.from_data_list(rows))
    alone = [model(row) for row in rows]
    for name, value in together.items():
        torch.testing.assert_close(value, torch.cat([a[name] for a in alone]), rtol=0, atol=1e-13)
    # a Data with structures in turns, one of them without points
    a, b = as_data(molecule("CH4")), as_data(molecule("CO2"))
    batch = torch.tensor([0] * 5 + [2] * 3)
    order = torch.tensor([0, 5, 1, 6, 2, 7, 3, 4])
    mixed = Data(pos=torch.cat([a.pos, b.pos])[order], z=torch.cat([a.z, b.z])[order])
    mixed.batch = batch[order]
    found = net(mixed)
    for name, value in net(a).items():
        if net.contract.outputs[name].per_point:
            torch.testing.assert_close(found[name][mixed.batch == 0], value)
        else:
            torch.testing.assert_close(found[name][[0, 2]], torch.cat([value, net(b)[name]]))
            assert found[name][1].abs().max() == 0


def test_neighbors_are_searched_once(net: MetatomicModel, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counted(*arguments: Any) -> Any:
        calls.append(arguments)
        return neighbor_list(*arguments)

    monkeypatch.setattr(backbones.edges, "neighbor_list", counted)
    data = as_data(bulk("C", "diamond", 3.57))
    model = Symmetrizer(net, chunk_size=7)
    model(data)
    assert len(model.ensemble(data)) >= 24
    assert len(calls) == 2, "one search for the copies, one for the frames asked for here"
    assert model(data).keys() == net(data).keys()


def test_edges_of_the_data_are_no_neighbor_list(net: MetatomicModel) -> None:
    data = as_data(molecule("CH4"))
    bonded = data.clone()
    bonded.edge_index = torch.tensor([[0], [1]])
    bonded.edge_attr = torch.ones(1, 2)
    model = Symmetrizer(net)
    torch.testing.assert_close(model(bonded)["energy"], model(data)["energy"], rtol=0, atol=0)
    assert bonded.edge_index.shape == (2, 1), "the data of the user has changed"


def test_environments_answer_for_their_centers() -> None:
    net = from_metatomic(pet(targets={"energy": TARGETS["energy"]}, cutoff=2.2))
    model = Symmetrizer(net, scope="center", reduce="sum")
    # the range of two rounds of messages, and beyond
    assert model.frames.cutoff == pytest.approx(1.3 * 4.4)
    one, other = as_data(molecule("H2O")), as_data(molecule("CO2"))
    far = Data(pos=torch.cat([one.pos, other.pos + 50]), z=torch.cat([one.z, other.z]))
    apart = model(one)["energy"] + model(other)["energy"]
    torch.testing.assert_close(model(far)["energy"], apart, rtol=0, atol=1e-12)
    matrix = TURNS["improper"].matrix()
    torch.testing.assert_close(model(turned(far, matrix)), model(far), rtol=0, atol=1e-12)
    # an environment without its other atoms would have the energy of atoms alone
    bare = Symmetrizer(net, frames=HierarchicalFrames(4.4))
    assert (model(one)["energy"] - bare(one)["energy"]).abs() < 0.1 * net(one)["energy"].abs()


def test_the_model_inside_never_trains(net: MetatomicModel) -> None:
    # mutant: without the override PET returns what its composition and scale are to be added to
    model = Symmetrizer(net).train()
    assert model.training
    assert not any(module.training for module in net.model.modules())
    torch.nn.Module.train(net, True)
    assert any(module.training for module in net.model.modules())
    net.eval()


def test_outputs_stay_in_the_dtype_of_the_model(nets: Any) -> None:
    for dtype, net in nets.items():
        for given in nets:
            energy = Symmetrizer(net)(as_data(molecule("H2O"), given))["energy"]
            assert energy.dtype == dtype


def test_a_model_keeps_the_precision_that_it_was_made_for(file: Path) -> None:
    net = from_metatomic(file)
    data = as_data(molecule("H2O"))
    before = net(data)["energy"]
    again = net.float()  # as what trains and compares networks does to all of them
    assert torch.equal(again(data)["energy"], before)
    assert {one.dtype for one in again.parameters()} == {torch.float64}


def test_a_model_in_memory_can_be_trained_further() -> None:
    net = from_metatomic(pet(targets={"energy": TARGETS["energy"]}))
    assert not any(parameter.requires_grad for parameter in net.parameters())
    net.requires_grad_()
    found = forces_and_stress(Symmetrizer(net).train(), as_data(molecule("H2O")), create_graph=True)
    found.forces.square().sum().backward()
    weight = net.model.module.backend.edge_embedder.weight
    assert weight.grad is not None
    assert 0 < float(weight.grad.abs().max()) < math.inf


def test_inputs_are_taken_from_the_data() -> None:
    net = from_metatomic(pet(targets={"energy": TARGETS["energy"]}, system_conditioning=True))
    # embeddings of charge and spin start at zero: give them something to say
    embedding = net.model.module.backend.system_conditioning
    for parameter in embedding.parameters():
        torch.nn.init.normal_(parameter)
    rows = [as_data(molecule("H2O")) for _ in range(2)]
    for row, charge in zip(rows, (0.0, 1.0), strict=True):
        row.charge, row.spin_multiplicity = torch.tensor([charge]), torch.tensor([1])
    model = Symmetrizer(net)
    neutral, charged = model(Batch.from_data_list(rows))["energy"]
    assert (neutral - charged).abs() > 1e-4
    torch.testing.assert_close(charged, model(rows[1])["energy"][0], rtol=0, atol=1e-13)
    with pytest.raises(ValueError, match=r"asks for 'charge', which is missing.*1 structures"):
        net(as_data(molecule("H2O")))


# --- files


def test_a_model_from_a_file_is_that_in_memory(file: Path, net: MetatomicModel) -> None:
    loaded = from_metatomic(file, check_consistency=True)
    assert loaded.contract == net.contract
    data = as_data(skewed())
    here, there = outputs_of(Symmetrizer(net), data), outputs_of(Symmetrizer(loaded), data)
    for name, value in here.items():
        torch.testing.assert_close(there[name], value, rtol=0, atol=1e-13)
    # as engines hold it
    script = from_metatomic(torch.jit.load(file), ["energy"])
    assert torch.equal(script(data)["energy"], net(data)["energy"])


def versions() -> list[Path]:
    """The oldest and the newest checkpoint that metatrain keeps, and one that takes a charge."""
    found = sorted(CHECKPOINTS.glob("model-v*.ckpt.gz"), key=lambda p: [*map(int, _numbers(p))])
    return [found[0], found[-1], *CHECKPOINTS.glob("*conditioning*")] if found else []


def _numbers(path: Path) -> list[str]:
    return "".join(c if c.isdigit() else " " for c in path.stem).split()


@pytest.mark.skipif(not CHECKPOINTS.is_dir(), reason="metatrain came without its checkpoints")
@pytest.mark.parametrize("path", versions(), ids=lambda path: path.name)
def test_trained_checkpoints_load_without_running_code(path: Path, tmp_path: Path) -> None:
    unpacked = tmp_path / "model.ckpt"
    unpacked.write_bytes(gzip.decompress(path.read_bytes()))
    model = Symmetrizer(from_metatomic(unpacked))
    data = as_data(molecule("CH3OH"), torch.float32)
    data.charge, data.spin_multiplicity = torch.zeros(1), torch.ones(1)
    matrix = TURNS["improper"].matrix()
    here, there = model(data)["energy"], model(turned(data, matrix))["energy"]
    assert here.abs() > 1, "the composition energies are missing"
    # single precision, of a total energy
    torch.testing.assert_close(here, there, rtol=1e-6, atol=0)


class Trap:
    """What runs code when it is unpickled."""

    sprung = False

    def __reduce__(self) -> Any:
        return Trap.spring, ()

    @staticmethod
    def spring() -> None:
        """Code that must not run."""
        Trap.sprung = True


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "trap.ckpt"
    torch.save({"architecture_name": "pet", "model_data": Trap()}, path)
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        from_metatomic(path)
    assert not Trap.sprung
    torch.save({"architecture_name": "experimental.mace"}, path)
    with pytest.raises(ValueError, match=r"architecture 'experimental\.mace' but only 'pet'"):
        checkpoint(path)


# --- conventions, on a model of analytic functions

# metatomic compares annotations with these very forms
Systems = List[metatomic.System]  # noqa: UP006
Requests = Dict[str, metatomic.ModelOutput]  # noqa: UP006
Selected = Optional[metatensor.Labels]  # noqa: UP045
Results = Dict[str, metatensor.TensorMap]  # noqa: UP006


class Analytic(torch.nn.Module):
    """Functions of pairs: through a full list, a half one, and as spherical harmonics.

    In bohr and Hartree, with neighbor lists of several cutoffs, strict and not.
    """

    def __init__(self) -> None:
        super().__init__()
        options = metatomic.NeighborListOptions
        self.full = options(cutoff=4.0, full_list=True, strict=True)
        self.half = options(cutoff=6.0, full_list=False, strict=True)
        self.near_half = options(cutoff=4.0, full_list=False, strict=False)

    def requested_neighbor_lists(self) -> list[metatomic.NeighborListOptions]:
        return [self.full, self.half, self.near_half]

    def forward(self, systems: Systems, outputs: Requests, selected_atoms: Selected) -> Results:
        rows: dict[str, list[Tensor]] = {name: [] for name in outputs}
        for system in systems:
            full, half, near = (
                system.get_neighbor_list(options).values[:, :, 0]
                for options in (self.full, self.half, self.near_half)
            )
            centers = system.get_neighbor_list(self.full).samples.values[:, 0]
            found = {
                "energy": torch.exp(-half.norm(dim=-1)).sum()[None],
                "test::full": torch.exp(-full.norm(dim=-1)).sum()[None],
                "test::half": torch.exp(-near.norm(dim=-1)).sum()[None],
                "test::harmonics": real_harmonics(vector_of(full[centers == 0])),
            }
            for name in outputs:
                rows[name].append(found[name])
        return {name: labeled(name, torch.stack(values)) for name, values in rows.items()}


def vector_of(vectors: Tensor) -> Tensor:
    """A vector that turns with the neighbors of an atom."""
    return (vectors * torch.exp(-vectors.norm(dim=-1, keepdim=True))).sum(0)


def real_harmonics(vector: Tensor) -> Tensor:
    """Solid harmonics of l = 1 and 2 about z, from m = -l to l, as textbooks have them."""
    x, y, z = vector
    root = math.sqrt(3.0)
    first = [y, z, x]
    second = [root * x * y, root * y * z, (2 * z**2 - x**2 - y**2) / 2, root * x * z]
    return torch.stack([*first, *second, root / 2 * (x**2 - y**2)])


def labeled(name: str, values: Tensor) -> Any:
    labels = metatensor.Labels
    samples = labels("system", torch.arange(len(values))[:, None])
    one = labels(name.rpartition("::")[2], torch.zeros(1, 1, dtype=torch.long))
    if name != "test::harmonics":
        keys = labels("_", torch.zeros(1, 1, dtype=torch.long))
        blocks = [metatensor.TensorBlock(values, samples, [], one)]
        return metatensor.TensorMap(keys, blocks)
    keys = labels(["o3_lambda", "o3_sigma"], torch.tensor([[1, 1], [2, 1]]))
    blocks = []
    for degree, part in zip((1, 2), values.split([3, 5], 1), strict=True):
        components = labels("o3_mu", torch.arange(-degree, degree + 1)[:, None])
        blocks.append(metatensor.TensorBlock(part[..., None], samples, [components], one))
    return metatensor.TensorMap(keys, blocks)


@pytest.fixture(scope="module")
def analytic() -> MetatomicModel:
    output = metatomic.ModelOutput
    outputs = {name: output(sample_kind="system") for name in ("test::full", "test::half")}
    outputs |= {"test::harmonics": output(), "energy": output(unit="Hartree")}
    capabilities = metatomic.ModelCapabilities(
        outputs, [1, 6, 7, 8], 6.0, "bohr", ["cpu"], "float64"
    )
    model = metatomic.AtomisticModel(Analytic().eval(), metatomic.ModelMetadata(), capabilities)
    return from_metatomic(model, check_consistency=True)


BOHR, HARTREE = 0.529177210, 27.211386


@pytest.mark.parametrize(
    "make", [lambda: molecule("CH3OH"), skewed, slab, lambda: bulk("C", "fcc", 2.3)]
)
def test_lists_are_full_or_half_and_of_their_cutoff(analytic: MetatomicModel, make: Any) -> None:
    data = as_data(make())
    found = analytic(data)
    pairs = neighbor_list(data.pos, 6.0 * BOHR, None, data.get("cell"), data.get("pbc"))
    lengths = pairs.vectors.norm(dim=-1) / BOHR
    every, near = torch.exp(-lengths), torch.exp(-lengths[lengths < 4.0])
    # constants of nature to 8 digits
    close = {"rtol": 1e-6, "atol": 0.0}
    torch.testing.assert_close(found["energy"][0, 0] / HARTREE, every.sum() / 2, **close)
    torch.testing.assert_close(found["test::full"][0, 0], near.sum(), **close)
    torch.testing.assert_close(found["test::half"][0, 0], near.sum() / 2, **close)


def test_gradients_go_through_lists_and_units(analytic: MetatomicModel) -> None:
    data = as_data(skewed())
    found, step = forces_and_stress(analytic, data), 1e-5
    values = []
    for sign in (1, -1):
        there = data.clone()
        there.pos[0, 1] += sign * step
        values.append(float(analytic(there)["energy"]))
    # central differences: step^2 times third derivatives, of order 100 eV/Å^3
    assert abs((values[0] - values[1]) / (2 * step) + float(found.forces[0, 1])) < 1e-6
    assert found.forces.abs().max() > 0.1


def test_spherical_outputs_arrive_in_the_basis_of_e3nn(analytic: MetatomicModel) -> None:
    data = as_data(skewed())
    data.pos = data.pos[:1].repeat(3, 1) + torch.tensor(
        [[0, 0, 0], [0.9, 0.1, 0.3], [-0.2, 0.7, 0]]
    )
    data.z = torch.tensor([6, 1, 8])
    spec = analytic.contract.outputs["test::harmonics"].representation
    assert str(spec) == "1o + 2e"
    pairs = neighbor_list(data.pos, 4.0 * BOHR, None, data.cell, data.pbc)
    vector = vector_of(pairs.vectors[pairs.center == 0] / BOHR)
    expected = o3.spherical_harmonics("1o + 2e", vector, normalize=False, normalization="norm")
    found = analytic(data)["test::harmonics"][0]
    torch.testing.assert_close(found[:3], vector, rtol=1e-6, atol=1e-12)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-12)
    assert vector.abs().min() > 1e-3
    # an exactly equivariant output is left as it is
    whole = Symmetrizer(analytic)(data)["test::harmonics"][0]
    torch.testing.assert_close(whole, found, rtol=0, atol=1e-12)
    assert Symmetrizer(analytic).spread(data)["test::harmonics"].max() < 1e-6


@pytest.mark.parametrize("degree", range(6))
def test_the_change_of_basis_is_that_of_scipys_harmonics(degree: int) -> None:
    points = torch.randn(9, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    points = points / points.norm(dim=-1, keepdim=True)
    x, y, z = points.unbind(-1)
    azimuth, polar = torch.atan2(y, x), torch.arccos(z)
    rows = []
    for m in range(-degree, degree + 1):
        value = torch.as_tensor(sph_harm_y(degree, abs(m), polar.numpy(), azimuth.numpy()))
        # real harmonics without the phase of Condon and Shortley
        part = value.imag if m < 0 else value.real
        rows.append(part * (-1) ** m * (math.sqrt(2) if m else 1))
    scale = math.sqrt(4 * math.pi / (2 * degree + 1))
    expected = o3.spherical_harmonics(degree, points, normalize=True, normalization="norm")
    found = scale * torch.stack(rows, 1) @ _change_of_basis(degree).T
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-13)


# --- import order

NAIVE = "import torch_geometric, metatomic.torch"
ORDERS = {
    "PyG first": (
        "import sys, torch, torch_geometric.data, symmetrize, backbones\n"
        "assert 'metatensor' not in sys.modules and 'metatomic' not in sys.modules\n"
        "replaced = torch.index_select\n"
        "from backbones.adapters.metatomic import from_metatomic\n"
        "assert torch.index_select is replaced\n"
        "import metatrain.pet"
    ),
    "metatensor first": (
        "import metatomic.torch, torch_geometric.data\n"
        "from backbones.adapters.metatomic import from_metatomic"
    ),
    "adapter first": (
        "from backbones.adapters.metatomic import from_metatomic\n"
        "import torch_geometric.data, metatomic.torch"
    ),
}


def run(code: str) -> subprocess.CompletedProcess:
    # warnings of torch.jit are upstream's
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )


@pytest.mark.parametrize("code", ORDERS.values(), ids=ORDERS)
def test_imports_work_in_either_order(code: str) -> None:
    done = run(code)
    assert done.returncode == 0, done.stderr


def test_mutant_the_order_matters_without_our_care() -> None:
    done = run(NAIVE)
    if done.returncode == 0:
        pytest.skip("repaired in torch_geometric or metatensor: our care is no longer needed")
    assert "index_select" in done.stderr
