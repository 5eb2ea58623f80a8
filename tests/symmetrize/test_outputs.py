"""What networks return: every form comes back as it was, and what does not fit is said in words.

The networks know distances to the centroid only, and vectors from it: their answers are right
without being wrapped, so that whatever differs is the wrapper's doing.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, NamedTuple

import jaxtyping
import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from backbones.adapters import Call
from equivariance_tests.checks.equivariance import Equivariance
from equivariance_tests.clouds import Cloud
from equivariance_tests.measure.trial import Trial
from equivariance_tests.model.subject import Subject
from symmetrize import (
    Contract,
    HierarchicalFrames,
    Symmetrizer,
    forces_and_stress,
    per_point,
)
from symmetrize.declaration import Declaration
from symmetrize.returned import described
from tests.common.strata import CASES, collate


@pytest.fixture
def as_users_run_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the checks of shapes and types that only tests switch on."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


CLOUD = collate([CASES["cube"].points(), CASES["generic"].points()])
BOTH = {"energy": "0e", "forces": per_point("1o")}


def from_centroid(data: Data) -> Tensor:
    zeros = data.pos.new_zeros(data.num_graphs, 3)
    number = torch.bincount(data.batch, minlength=data.num_graphs).clamp(min=1)
    mean = zeros.index_add(0, data.batch, data.pos) / number[:, None]
    return data.pos - mean[data.batch]


def energy(data: Data) -> Tensor:
    squares = from_centroid(data).square().sum(1, keepdim=True)
    return squares.new_zeros(data.num_graphs, 1).index_add(0, data.batch, squares.cos())


def forces(data: Data) -> Tensor:
    vectors = from_centroid(data)
    return vectors * vectors.square().sum(1, keepdim=True).sin()


class Named(NamedTuple):
    energy: Any
    forces: Any
    extra: Any = None


@dataclass
class Fields:
    energy: Any
    forces: Any = None
    extra: Any = None


@dataclass(frozen=True)
class Frozen:
    energy: Any
    forces: Any
    made: str = field(default="here", init=False)


@dataclass
class Strict:
    """Refuses to be made of what a network would not return."""

    energy: Any
    forces: Any

    def __post_init__(self) -> None:
        assert self.energy.size(-1) == 1


@dataclass
class ModelOutput(OrderedDict):
    """What transformers' models return, in short: a data class that is a mapping of its fields."""

    energy: Any = None
    forces: Any = None
    hidden_states: Any = None

    def __post_init__(self) -> None:
        for one in fields(self):
            if getattr(self, one.name) is not None:
                super().__setitem__(one.name, getattr(self, one.name))

    def __getitem__(self, key: Any) -> Any:
        return OrderedDict.__getitem__(self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        raise TypeError("not to be changed")

    def update(self, *args: Any, **kwargs: Any) -> None:
        raise TypeError("not to be changed")


class Tied(OrderedDict):
    """A mapping that knows how many rows its items must have, as of tensordict."""

    def __init__(self, **items: Tensor) -> None:
        super().__init__(items)
        self.rows = len(items["a"])

    def __copy__(self) -> "Tied":
        return Tied(**self)

    def update(self, *args: Any, **kwargs: Any) -> None:
        for each in dict(*args, **kwargs).values():
            if len(each) != self.rows:
                raise RuntimeError(f"{len(each)} rows instead of {self.rows}")


FORMS: dict[str, tuple[Callable[[Tensor, Tensor], Any], Any, Callable[[Any], Any]]] = {
    # how a network packs energies and forces, the declaration, how energies and forces are read
    "dict": (lambda e, f: {"energy": e, "forces": f}, BOTH, lambda r: (r["energy"], r["forces"])),
    "dict of one more": (
        lambda e, f: {"energy": e, "forces": f, "features": f},
        {**BOTH, "features": None},
        lambda r: (r["energy"], r["forces"]),
    ),
    "dict with None": (
        lambda e, f: {"energy": e, "forces": f, "stress": None},
        BOTH,
        lambda r: (r["energy"], r["forces"]),
    ),
    "nested": (
        lambda e, f: {"head": {"energy": e}, "forces": f},
        {"head": {"energy": "0e"}, "forces": per_point("1o")},
        lambda r: (r["head"]["energy"], r["forces"]),
    ),
    "nested, by paths": (
        lambda e, f: {"head": {"energy": e, "n": 3}, "forces": f},
        {"head.energy": "0e", "head.n": "_", "forces": per_point("1o")},
        lambda r: (r["head"]["energy"], r["forces"]),
    ),
    "names with dots": (
        lambda e, f: {"head.energy": e, "head.forces": f},
        {"head": {"energy": "0e", "forces": per_point("1o")}},
        lambda r: (r["head.energy"], r["head.forces"]),
    ),
    "a branch left out": (
        lambda e, f: {"energy": e, "forces": f, "inner": {"a": f, "b": [f, 1]}},
        {**BOTH, "inner": None},
        lambda r: (r["energy"], r["forces"]),
    ),
    "tuple": (lambda e, f: (e, f), ("0e", per_point("1o")), lambda r: r),
    "tuple, declared by a list": (lambda e, f: (e, f), ["0e", per_point("1o")], lambda r: r),
    "list": (lambda e, f: [e, f], ("0e", per_point("1o")), lambda r: r),
    "tuple of one more": (
        lambda e, f: (f, e, f),
        (None, "0e", per_point("1o")),
        lambda r: r[1:],
    ),
    "tuple with None": (lambda e, f: (e, None, f), ("0e", None, per_point("1o")), lambda r: r[::2]),
    "tuple in a dict": (
        lambda e, f: {"heads": (e, {"forces": f})},
        {"heads": ("0e", {"forces": per_point("1o")})},
        lambda r: (r["heads"][0], r["heads"][1]["forces"]),
    ),
    "named tuple": (Named, BOTH, lambda r: (r.energy, r.forces)),
    "named tuple, by place": (Named, ("0e", per_point("1o"), None), lambda r: r[:2]),
    "named tuple, declared by one": (
        Named,
        Named("0e", per_point("1o")),
        lambda r: (r.energy, r.forces),
    ),
    "data class": (Fields, BOTH, lambda r: (r.energy, r.forces)),
    "data class of one more": (
        lambda e, f: Fields(e, f, f),
        {**BOTH, "extra": None},
        lambda r: (r.energy, r.forces),
    ),
    "frozen data class": (Frozen, {**BOTH, "made": None}, lambda r: (r.energy, r.forces)),
    "strict data class": (Strict, BOTH, lambda r: (r.energy, r.forces)),
    "model output": (
        lambda e, f: ModelOutput(e, f, (f, f)),
        {**BOTH, "hidden_states": None},
        lambda r: (r["energy"], r.forces),
    ),
    "ordered dict": (
        lambda e, f: OrderedDict(energy=e, forces=f),
        BOTH,
        lambda r: (r["energy"], r["forces"]),
    ),
    "default dict": (
        lambda e, f: defaultdict(list, energy=e, forces=f),
        BOTH,
        lambda r: (r["energy"], r["forces"]),
    ),
}


@pytest.mark.parametrize("scope", ["structure", "center"])
@pytest.mark.parametrize(("pack", "outputs", "read"), FORMS.values(), ids=FORMS)
def test_outputs_come_back_in_the_form_of_the_network(pack, outputs, read, scope):
    def net(data):
        return pack(energy(data), forces(data))

    options = {"frames": HierarchicalFrames(2.0)} if scope == "center" else {}
    model = Symmetrizer(net, outputs, scope=scope, **options)
    bare, found = net(CLOUD), model(CLOUD)
    assert type(found) is type(bare)
    if scope == "structure":
        for one, other in zip(read(found), read(bare), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-13)
        assert type(model.spread(CLOUD)) is type(bare)
        # they know invariants and vectors: frames make no difference
        assert max(float(each.abs().max()) for each in read(model.spread(CLOUD))) < 1e-7
    else:
        assert [len(each) for each in read(found)] == [len(CLOUD.pos)] * 2


def test_what_is_left_out_is_absent_or_none():
    model = Symmetrizer(lambda d: {"a": energy(d), "b": 3}, {"a": "0e", "b": None})
    assert list(model(CLOUD)) == ["a"]
    model = Symmetrizer(lambda d: [energy(d), forces(d)], ("0e", "_"))
    assert model(CLOUD)[1] is None
    assert Symmetrizer(lambda d: Named(energy(d), 1), ("0e", None, None))(CLOUD)[1:] == (None, None)
    view = Symmetrizer(lambda d: MappingProxyType({"a": energy(d)}), {"a": "0e"})(CLOUD)
    assert type(view) is dict
    tied = Symmetrizer(lambda d: Tied(a=energy(d)), {"a": "0e"})(CLOUD)
    assert type(tied) is dict
    torch.testing.assert_close(tied["a"], energy(CLOUD))
    assert model.contract.outputs.left_out == {"1"}


def test_a_network_that_is_never_called_answers_as_declared():
    none = Data(pos=torch.zeros(0, 3))
    frames = HierarchicalFrames(2.0)
    model = Symmetrizer(
        lambda d: [energy(d), forces(d)], ("0e", None), scope="center", frames=frames
    )
    found = model(none)
    assert (found[0].shape, found[1]) == ((0, 1), None)
    model = Symmetrizer(lambda d: {}, {"a": {"b": "1o"}, "c": None}, scope="center", frames=frames)
    assert model(none)["a"]["b"].shape == (0, 3)


def test_mutant_rows_in_another_order_are_seen():
    """Mutant of the forms above: a network that packs what it returns the other way round."""
    model = Symmetrizer(lambda d: (forces(d), energy(d)), ("0e", per_point("1o")))
    with pytest.raises(ValueError, match="for the output '0' for a batch of"):
        model(CLOUD)


BAD: dict[str, tuple[Callable[[Data], Any], Any, str]] = {
    "None": (lambda d: None, "0e", "returned None where one tensor.*end the network with `return`"),
    "None for a dict": (
        lambda d: None,
        BOTH,
        "returned None where 'energy', 'forces' are declared",
    ),
    "None for an output": (
        lambda d: {"energy": energy(d), "forces": None},
        BOTH,
        r"a dict of \{'energy': \(\d+, 1\), 'forces': None\}.*'forces' is None and not a tensor: "
        r".*outputs=\{'energy': '0e', 'forces': ",
    ),
    "a tuple for a tensor": (
        lambda d: (energy(d), None),
        "0e",
        r"a tuple of \(\(\d+, 1\), None\) where one tensor was declared: declare a tuple, as in "
        r"outputs=\('0e', None\).*Call\(net, \"data -> energy, _\"\)",
    ),
    "a tuple of one for a tensor": (lambda d: (energy(d),), "0e", r"outputs=\('0e',\)"),
    "a list for a dict": (
        lambda d: [energy(d), forces(d), "seconds"],
        BOTH,
        r"a list of \[.*, str\] where.*outputs=\('0e', per_point\('1o'\), None\)"
        r".*Call\(net, \"data -> energy, forces, _\"\)",
    ),
    "one item more": (
        lambda d: {"energy": energy(d), "dipole": energy(d).expand(-1, 3)},
        {"energy": "0e"},
        r"nothing declares 'dipole': .*\{'energy': '0e', 'dipole': '1o'\}.*None for what is to be",
    ),
    "one item more in a tuple": (
        lambda d: (energy(d), energy(d)),
        ("0e",),
        r"nothing declares '1'.*outputs=\('0e', '0e'\)",
    ),
    "one item less": (lambda d: (energy(d),), ("0e", "1o"), r"it has no '1'.*outputs=\('0e',\)"),
    "nested": (
        lambda d: {"head": {"energy": energy(d), "stress": energy(d)[..., None].expand(-1, 3, 3)}},
        {"energy": "0e"},
        r"it has no 'energy'; nothing declares 'head.energy', 'head.stress'.*"
        r"outputs=\{'head': \{'energy': '0e', 'stress': 'ij'\}\}",
    ),
    "a branch for a tensor": (
        lambda d: {"head": {"energy": energy(d)}},
        {"head": "0e"},
        "'head' is a dict of .* and not a tensor",
    ),
    "a data class": (
        lambda d: Fields(energy(d), forces(d)),
        "0e",
        r"a Fields\(energy=\(\d+, 1\), forces=\(\d+, 3\), extra=None\) where.*"
        r"outputs=\{'energy': '0e', 'forces': per_point\('1o'\), 'extra': None\}",
    ),
    "a number": (lambda d: 3.0, "0e", "a float where one tensor.*torch.as_tensor"),
    "numpy": (lambda d: energy(d).numpy(), "0e", r"a ndarray of shape \(\d+, 1\).*torch.as_tensor"),
    "numpy in a dict": (
        lambda d: {"energy": energy(d).numpy(), "a": energy(d)},
        {"energy": "0e", "a": "0e"},
        r"'energy' is a ndarray of shape \(\d+, 1\) and not a tensor",
    ),
    "the data": (lambda d: d, "0e", "a DataBatch where one tensor.*no tensor is found in it"),
    "no tensor": (lambda d: {"n": 3}, "0e", r"a dict of \{'n': int\} where.*no tensor is found"),
    "an empty dict": (lambda d: {}, BOTH, r"a dict of \{\} where.*has no 'energy', 'forces'"),
    "integers": (
        lambda d: {"energy": energy(d), "number": d.batch},
        {"energy": "0e", "number": per_point("0e")},
        "for the output 'number' in torch.int64 but averages are floating-point",
    ),
    "a width": (
        lambda d: {"energy": energy(d).expand(-1, 4)},
        {"energy": "0e"},
        r"shape \(\d+, 4\) for the output 'energy' but .*'0e' takes",
    ),
}


@pytest.mark.parametrize(("net", "outputs", "message"), BAD.values(), ids=BAD)
def test_what_does_not_fit_is_said_with_the_declaration_that_would(net, outputs, message):
    with pytest.raises((TypeError, ValueError), match=f"(?s){message}"):
        Symmetrizer(net, outputs)(CLOUD)


@pytest.mark.parametrize("name", [name for name in FORMS if name != "a branch left out"])
def test_the_declaration_that_is_proposed_fits(name):
    pack, _, _ = FORMS[name]

    def net(data):
        return pack(energy(data), forces(data))

    with pytest.raises((TypeError, ValueError)) as caught:
        Symmetrizer(net, {"no such": "0e"})(CLOUD)
    code = str(caught.value).partition("outputs=")[2].partition(": declare every")[0]
    proposed = eval(code, {"per_point": per_point})
    assert type(Symmetrizer(net, proposed)(CLOUD)) is type(net(CLOUD))


DECLARATIONS: dict[str, tuple[Any, str]] = {
    "nothing": ({}, "`outputs` is empty"),
    "nothing in a tuple": ((), "`outputs` is empty"),
    "all left out": ({"a": None, "b": "_"}, "`outputs` is empty"),
    "twice": ({"a.b": "0e", "a": {"b": "1o"}}, r"declares 'a\.b' twice"),
    "a number": (3, "`outputs` has a int where a representation must stand"),
    "a class": ({"a": Data}, "`outputs` has the class Data where"),
    "a contract": (Contract("0e"), "a Contract where.*`contract.outputs`"),
    "shapes": ({"energy": (1, 2)}, "a int where a representation"),
}


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize(("outputs", "message"), DECLARATIONS.values(), ids=DECLARATIONS)
def test_what_declares_nothing_is_refused(outputs, message):
    for make in (Declaration.of, Contract, lambda each: Symmetrizer(energy, each)):
        with pytest.raises((TypeError, ValueError), match=f"(?s){message}"):
            make(outputs)


def test_irreps_of_e3nn_are_one_output():
    from e3nn import o3

    for spec in (o3.Irreps("0e + 1o"), o3.Irrep("1o"), "0e + 1o"):
        assert list(Declaration.of(spec)) == ["output"]
    assert Declaration.of((o3.Irreps("0e"), o3.Irreps("1o")))["1"].representation.dim == 3
    nested = Declaration.of({"head": Declaration.of(BOTH)})
    assert list(nested) == ["head.energy", "head.forces"]
    assert nested != Declaration.of({"head.energy": "0e"})


# --- adapters


@pytest.mark.parametrize(
    ("model", "signature", "names"),
    [
        (lambda d: (energy(d), None), "data -> energy, _", ["energy"]),
        (lambda d: [energy(d), 3], "data -> energy, _", ["energy"]),
        (lambda d: Named(energy(d), forces(d)), "data -> energy, forces, _", ["energy", "forces"]),
        (lambda pos, d: (d.pos, pos), "pos, data -> a, b", ["a", "b"]),
        (lambda pos, whole: (whole.pos, pos), "pos, whole=data -> a, b", ["a", "b"]),
    ],
)
def test_items_of_a_tuple_get_names(model, signature, names):
    found = Call(model, signature)(CLOUD)
    assert list(found) == names
    assert all(isinstance(each, Tensor) for each in found.values())


def test_the_data_itself_is_passed_on():
    assert Call(lambda data: data, "data")(CLOUD) is CLOUD
    found = Symmetrizer(Call(lambda d: (energy(d), None), "data -> energy, _"), {"energy": "0e"})
    torch.testing.assert_close(found(CLOUD)["energy"], energy(CLOUD))


# --- forces

SPRINGS = Data(pos=torch.tensor([[0.0, 0, 0], [0, 0, 3], [0, 1, 0]]).double())


@pytest.mark.parametrize(
    ("pack", "name"),
    [
        (lambda e: {"energy": e, "note": "x"}, "energy"),
        (lambda e: (e, None), 0),
        (lambda e: [None, e], "1"),
        (lambda e: Named(e, None), "energy"),
        (lambda e: Named(None, e), 1),
        (lambda e: Fields(e), "energy"),
        (lambda e: ModelOutput(e), "energy"),
        (lambda e: {"head": {"energy": e}}, "head.energy"),
        (lambda e: {"heads": (None, e)}, "heads.1"),
    ],
)
def test_forces_are_those_of_the_energy_wherever_it_is(pack, name):
    def plain(data):
        return energy(Batch.from_data_list([data]))

    found = forces_and_stress(lambda data: pack(plain(data)), SPRINGS, energy=name)
    assert torch.equal(found.forces, forces_and_stress(plain, SPRINGS).forces)
    assert found.forces.abs().max() > 0.1


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (lambda e: (e, None), r"a tuple of \(\(1, 1\), None\) but no 'energy'.*as in energy=0"),
        (lambda e: {"head": {"u": e}}, r"no 'energy': .*energy='head.u'"),
        (lambda e: {"energy": None, "u": e}, r"'energy': None.* but no 'energy'.*energy='u'"),
        (lambda e: Fields(None, e), r"a Fields\(energy=None.*energy='forces'"),
        (lambda e: None, "returns None but no 'energy': return a tensor"),
        (lambda e: 3.0, "returns a float but no 'energy'"),
        (lambda e: e.long(), "the energy is torch.int64 but must be floating-point"),
    ],
)
def test_an_energy_that_is_not_there_is_named(value, message):
    with pytest.raises((TypeError, ValueError), match=f"(?s){message}"):
        forces_and_stress(lambda data: value(data.pos.square().sum().reshape(1, 1)), SPRINGS)


def test_a_symmetrized_tuple_has_forces():
    model = Symmetrizer(lambda d: (energy(d), forces(d)), ("0e", None))
    found = forces_and_stress(model, CLOUD, energy=0)
    torch.testing.assert_close(found.forces, forces_and_stress(energy, CLOUD).forces)


def test_a_tuple_can_be_certified():
    contract = Contract(("0e", per_point("1o"), None), cutoff=None)
    subject = Subject.of(
        lambda data: (energy(data), forces(data), "seconds"), contract, call="data"
    )
    structures = subject.structures([Cloud("generic", 4), Cloud("empty"), Cloud("polygon", 5)])
    found = subject(structures).values
    assert {name: tuple(rows.shape) for name, rows in found.items()} == {"0": (3, 1), "1": (9, 3)}
    for model in (subject, Subject.of(Symmetrizer(subject.net, contract.outputs), contract)):
        outcomes = Equivariance().outcomes(Trial(model), [Cloud("generic", 4)])
        assert [outcome.failure for outcome in outcomes] == [None]


def test_descriptions_name_types_and_shapes():
    one = torch.zeros(2, 1)
    assert described({"a": one, "b": (one, None)}) == "a dict of {'a': (2, 1), 'b': ((2, 1), None)}"
    assert described([Named(one, 3)]) == "a list of [Named(energy=(2, 1), forces=int, extra=None)]"
    assert described((one,)) == "a tuple of ((2, 1),)"


def test_declarations_of_earlier_versions_are_read() -> None:
    earlier = {
        "energy": {"turns": "0e", "per_point": False},
        "f": {"turns": "1o", "per_point": True},
    }
    assert Declaration.of_plain(earlier) == Declaration.of({"energy": "0e", "f": per_point("1o")})


def test_declarations_survive_json() -> None:
    for outputs in (
        "0e",
        ("0e", None),
        {"turns": "1o", "b": per_point("ij")},
        {"turns": None, "a": "0e"},
    ):
        declared = Declaration.of(outputs)
        assert Declaration.of_plain(declared.plain()) == declared
