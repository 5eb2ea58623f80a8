"""Networks with calling conventions of their own, symmetrized in one line.

Layers of torch-geometric stand in small networks that see absolute positions. Each breaks the
symmetry by itself, and is exact once wrapped, on generic and on degenerate clouds, in every
orientation. Models that are invariant already are left as they are.
"""

import copy
import itertools
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
import torch_geometric.typing
from torch import Tensor, nn
from torch_geometric import nn as pyg
from torch_geometric.data import Batch, Data
from torch_geometric.nn.models import DimeNet
from torch_geometric.nn.models import dimenet as dimenet_module

from backbones.adapters import Call, Dense, connect, offer_to_pyg
from backbones.graphs import fps, knn, ties
from symmetrize import Contract, HierarchicalFrames, Symmetrizer, per_point
from tests.common.strata import CASES, TURNS, Shape, turned_output

offer_to_pyg()

# As in the tests of exactness: averages over up to a few hundred copies of coordinates that are
# off by an ulp or two, in units of the spread of the output over unrelated clouds.
EXACT = {torch.float64: 1e-12, torch.float32: 2e-5}
DTYPES = pytest.mark.parametrize("dtype", EXACT, ids=["f64", "f32"])

# The clouds on which everything must be exact
HARD = (
    "atom", "pair", "line", "plane", "coincident", "generic", "point and copy", "polygon",
    "polygon and center", "prism", "pyramid", "pyramid of equal inertia", "cube", "ties",
    "empty",
)  # fmt: skip
ELEMENTS = ("generic", "improper", "quarter turn about z", "inversion")


def batch_of(clouds: list[Tensor], dtype: torch.dtype, turn: Tensor | None = None) -> Batch:
    """Points with species, and normals that turn with them."""
    items = []
    for seed, points in enumerate(clouds):
        generator = torch.Generator().manual_seed(seed)
        normals = torch.randn(len(points), 3, dtype=torch.float64, generator=generator)
        normals = normals / normals.norm(dim=1, keepdim=True)
        if turn is not None:
            points, normals = points @ turn.T, normals @ turn.T
        kinds = torch.arange(len(points)) % 3 + 1
        items.append(Data(pos=points.to(dtype), normals=normals.to(dtype), z=kinds))
    return Batch.from_data_list(items)


def law_error(
    model: Callable[[Data], Any],
    specs: Mapping[str, str],
    clouds: list[Tensor],
    dtype: torch.dtype = torch.float64,
) -> float:
    """Largest error of F(gA) = rho(g) F(A), in units of the spread over unrelated clouds."""
    clouds = [cloud.to(dtype).double() for cloud in clouds]
    with torch.no_grad():
        others = model(batch_of([Shape("generic", 6, seed).points() for seed in range(8)], dtype))
        here = model(batch_of(clouds, dtype))
        worst = 0.0
        for name in ELEMENTS:
            turn = TURNS[name].matrix()
            there = model(batch_of(clouds, dtype, turn))
            for output, spec in specs.items():
                values = others[output].double()
                spread = (values - values.mean(0)).square().mean().sqrt()
                assert spread > 1e-3  # else the law would hold vacuously
                assert torch.isfinite(there[output]).all()
                change = there[output].double() - turned_output(here[output].double(), spec, turn)
                worst = max(worst, float(change.abs().max() / spread))
    return worst


# --- layers of torch-geometric


def mlp(*widths: int) -> nn.Sequential:
    """Smooth, so that nothing but the layer is to blame."""
    layers: list[nn.Module] = []
    for inner, outer in itertools.pairwise(widths):
        layers += [nn.Linear(inner, outer), nn.Tanh()]
    return nn.Sequential(*layers)


class Layered(nn.Module):
    """One layer between species and outputs: one row for each cloud and one for each point."""

    def __init__(self, layer: nn.Module, apply: Callable[..., Tensor], width: int) -> None:
        super().__init__()
        self.kinds = nn.Embedding(5, 4)
        self.layer, self.apply_layer = layer, apply
        self.cloud, self.point = nn.Linear(width, 4), nn.Linear(width, 3)

    def forward(self, z, pos, batch, size, edge_index=None, normals=None):
        x = self.kinds(z)
        features = torch.tanh(self.apply_layer(self.layer, x, pos, batch, edge_index, normals))
        pooled = pyg.global_add_pool(features, batch, size)
        return self.cloud(torch.sin(pooled)), self.point(features)


@dataclass(frozen=True)
class Example:
    """A network of one layer, how it is called, and where it has no answer of its own."""

    layer: Callable[[], nn.Module]
    apply: Callable[..., Tensor]
    width: int = 8
    arguments: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()

    def wrapped(self, dtype: torch.dtype) -> Symmetrizer:
        torch.manual_seed(0)
        net = Layered(self.layer(), self.apply, self.width).to(dtype).eval()
        signature = f"z, pos, batch, num_graphs{self.arguments} -> cloud, points"
        return Symmetrizer(
            Call(net, signature),
            outputs={"cloud": "0e+1o", "points": per_point("1o")},
            **self.options,
        )

    @property
    def clouds(self) -> list[Tensor]:
        return [CASES[name].points() for name in HARD if name not in self.without]


SPECS = {"cloud": "0e+1o", "points": "1o"}
EDGES: dict[str, Any] = {"arguments": ", edge_index", "options": {"prepare": connect(radius=2.0)}}
NEAREST: dict[str, Any] = {"arguments": ", edge_index", "options": {"prepare": connect(k=3)}}
cat = torch.cat
# A convolution over K neighbors reshapes a table of exactly K for each point
FEW = ("atom", "pair")

LAYERS = {
    "PointNetConv": Example(
        lambda: pyg.PointNetConv(mlp(7, 8), mlp(8, 8)),
        lambda layer, x, pos, batch, edges, normals: layer(x, pos, edges),
        **EDGES,
    ),
    "EdgeConv": Example(
        lambda: pyg.EdgeConv(mlp(14, 8), aggr="max"),
        lambda layer, x, pos, batch, edges, normals: layer(cat([x, pos], 1), edges),
        **NEAREST,
    ),
    "DynamicEdgeConv": Example(
        lambda: pyg.DynamicEdgeConv(mlp(14, 8), k=3),
        lambda layer, x, pos, batch, edges, normals: layer(cat([x, pos], 1), batch),
    ),
    "PointTransformerConv": Example(
        lambda: pyg.PointTransformerConv(4, 8),
        lambda layer, x, pos, batch, edges, normals: layer(x, pos, edges),
        **EDGES,
    ),
    "PPFConv": Example(
        lambda: pyg.PPFConv(mlp(11, 8)),
        lambda layer, x, pos, batch, edges, normals: layer(
            cat([x, pos], 1), pos, normals, edges
        ),
        arguments=", edge_index, normals",
        options={"prepare": connect(radius=2.0), "inputs": {"normals": "1o"}},
    ),
    "XConv": Example(
        lambda: pyg.XConv(4, 8, dim=3, kernel_size=3, hidden_channels=4),
        lambda layer, x, pos, batch, edges, normals: layer(x, pos, batch),
        without=FEW,
    ),
    "GravNetConv": Example(
        lambda: pyg.GravNetConv(7, 8, 3, 4, k=3),
        lambda layer, x, pos, batch, edges, normals: layer(cat([x, pos], 1), batch),
    ),
    "FeaStConv": Example(
        lambda: pyg.FeaStConv(7, 8, heads=2),
        lambda layer, x, pos, batch, edges, normals: layer(cat([x, pos], 1), edges),
        **EDGES,
    ),
    "GMMConv": Example(
        lambda: pyg.GMMConv(4, 8, dim=3, kernel_size=2),
        lambda layer, x, pos, batch, edges, normals: layer(x, edges, pos[edges[0]] - pos[edges[1]]),
        **EDGES,
    ),
    "NNConv": Example(
        lambda: pyg.NNConv(4, 8, mlp(3, 32)),
        lambda layer, x, pos, batch, edges, normals: layer(x, edges, pos[edges[0]] - pos[edges[1]]),
        **EDGES,
    ),
    "PNAConv": Example(
        lambda: pyg.PNAConv(
            7, 8, ["mean", "max", "std"], ["identity", "attenuation"], torch.tensor([0, 2, 3, 2])
        ),
        lambda layer, x, pos, batch, edges, normals: layer(cat([x, pos], 1), edges),
        **EDGES,
    ),
    "GATv2Conv": Example(
        lambda: pyg.GATv2Conv(4, 8, edge_dim=3),
        lambda layer, x, pos, batch, edges, normals: layer(x, edges, pos[edges[0]] - pos[edges[1]]),
        **NEAREST,
    ),
}  # fmt: skip
layers = pytest.mark.parametrize("example", LAYERS.values(), ids=LAYERS)


@DTYPES
@layers
def test_layers_of_torch_geometric_become_exact(example, dtype):
    assert law_error(example.wrapped(dtype), SPECS, example.clouds, dtype) < EXACT[dtype]


@layers
def test_without_symmetrization_they_are_not(example):
    model = example.wrapped(torch.float64)
    prepare = model.prepare or (lambda data: data)
    clouds = [Shape("generic", 5, seed).points() for seed in range(3)]
    assert law_error(lambda data: model.net(prepare(data)), SPECS, clouds) > 0.1


@pytest.mark.parametrize("name", ["DynamicEdgeConv", "XConv", "EdgeConv"])
def test_mutant_neighbors_chosen_by_rounding_are_seen(name, monkeypatch):
    example = LAYERS[name]
    tied = [CASES[name].points() for name in ("polygon", "polygon and center", "cube", "prism")]
    monkeypatch.setattr(ties, "NOISE_ULPS", 0.0)
    monkeypatch.setattr(ties, "ORIGIN_ULPS", 0.0)
    assert law_error(example.wrapped(torch.float64), SPECS, tied) > 1e-6


# --- models that know distances and angles only


class Default64:
    """ViSNet makes a tensor in torch's default dtype, whatever that of its weights."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def __call__(self, z, pos, batch):
        before = torch.get_default_dtype()
        torch.set_default_dtype(pos.dtype)
        try:
            return self.model(z, pos, batch)
        finally:
            torch.set_default_dtype(before)


def schnet() -> Callable[..., Any]:
    return pyg.SchNet(8, 8, 2, 8, cutoff=3.0)


def dimenet() -> Callable[..., Any]:
    return DimeNet(8, 1, 1, 2, 2, 2, cutoff=3.0, output_initializer="glorot_orthogonal")


def dimenet_plus_plus() -> Callable[..., Any]:
    return pyg.DimeNetPlusPlus(
        8, 1, 1, 8, 4, 8, 2, 2, cutoff=3.0, output_initializer="glorot_orthogonal"
    )


def visnet() -> Callable[..., Any]:
    return pyg.ViSNet(
        lmax=1, num_heads=2, num_layers=2, hidden_channels=8, num_rbf=4, cutoff=3.0, reduce_op="add"
    )


# these count structures by `batch`: none sees an empty one at the end
UNSEEN = ("empty",)
COINCIDENT = (*UNSEEN, "coincident", "point and copy")
MODELS = {
    "SchNet": (schnet, "z, pos, batch", UNSEEN),
    # both divide by the distance of neighbors: NaN where two points coincide
    "DimeNet": (dimenet, "z, pos, batch", COINCIDENT),
    "DimeNetPlusPlus": (dimenet_plus_plus, "z, pos, batch", COINCIDENT),
    "ViSNet": (visnet, "z, pos, batch -> energy, _", COINCIDENT),
}


@DTYPES
@pytest.mark.parametrize(("make", "signature", "without"), MODELS.values(), ids=MODELS)
def test_invariant_models_are_left_as_they_are(make, signature, without, dtype):
    torch.manual_seed(0)
    model = make().to(dtype).eval()
    if make is visnet:
        model = Default64(model)
    bare = Call(model, signature)
    wrapped = Symmetrizer(bare, {"energy": "0e"} if "->" in signature else "0e")
    data = batch_of([CASES[name].points() for name in HARD if name not in without], dtype)
    with torch.no_grad():
        expected, found = bare(data), wrapped(data)
    if "->" in signature:
        expected, found = expected["energy"], found["energy"]
    assert expected.std() > 1e-3
    assert (found - expected).abs().max() / expected.std() < EXACT[dtype]


def test_a_model_that_does_not_see_empty_structures_is_refused():
    wrapped = Symmetrizer(Call(schnet().double(), "z, pos, batch"), "0e")
    data = batch_of([CASES["generic"].points(), CASES["empty"].points()], torch.float64)
    with pytest.raises(ValueError, match=r"one row for each.*data.num_graphs"):
        wrapped(data)


def test_a_distorted_schnet_becomes_exact():
    # the same model in a space that is stretched along x
    torch.manual_seed(0)
    model = schnet().double()
    stretch = torch.tensor([1.5, 1.0, 1.0], dtype=torch.float64)
    bare = Call(lambda z, pos, batch: {"energy": model(z, pos * stretch, batch)}, "z, pos, batch")
    clouds = [CASES[name].points() for name in HARD if name not in UNSEEN]
    assert law_error(bare, {"energy": "0e"}, clouds) > 1e-3
    wrapped = Symmetrizer(bare, {"energy": "0e"})
    assert law_error(wrapped, {"energy": "0e"}, clouds) < EXACT[torch.float64]


# --- PointNet++ on points with normals


class PointNet2(nn.Module):
    """Two levels: samples of the cloud collect their surroundings, then the cloud its samples."""

    def __init__(self, radius: float = 1.5) -> None:
        super().__init__()
        self.radius = radius
        self.first = pyg.PointNetConv(mlp(6, 8), mlp(8, 8), add_self_loops=False)
        self.second = pyg.PointNetConv(mlp(11, 8), mlp(8, 8), add_self_loops=False)
        self.back, self.last = mlp(14, 8), nn.Linear(8, 4)
        self.point = nn.Linear(8, 3)

    def forward(self, normals, pos, batch, size):
        index = pyg.fps(pos, batch, ratio=0.5)
        row, col = pyg.radius(pos, pos[index], self.radius, batch, batch[index])
        x = self.first((normals, normals[index]), (pos, pos[index]), torch.stack([col, row]))
        low_pos, low_batch = pos[index], batch[index]
        again = fps(low_pos, low_batch, ratio=0.5)
        col, row = knn(low_pos, low_pos[again], 2, low_batch, low_batch[again]).flip(0)
        x = self.second((x, x[again]), (low_pos, low_pos[again]), torch.stack([col, row]))
        pooled = pyg.global_add_pool(x, low_batch[again], size)
        points = self.back(torch.cat([pooled[batch], pos, normals], 1))
        return self.last(pooled), self.point(points)


@DTYPES
def test_pointnet_plus_plus_with_normals_becomes_exact(dtype):
    torch.manual_seed(0)
    net = Call(PointNet2().to(dtype), "normals, pos, batch, num_graphs -> cloud, points")
    clouds = [CASES[name].points() for name in HARD]
    outputs = {"cloud": "0e+1o", "points": per_point("1o")}
    wrapped = Symmetrizer(net, outputs, inputs={"normals": "1o"})
    assert law_error(wrapped, SPECS, clouds, dtype) < EXACT[dtype]
    assert law_error(net, SPECS, clouds, dtype) > 0.1


def test_mutant_normals_that_do_not_turn_are_seen():
    torch.manual_seed(0)
    net = Call(PointNet2().double(), "normals, pos, batch, num_graphs -> cloud, points")
    wrapped = Symmetrizer(net, {"cloud": "0e+1o", "points": per_point("1o")})
    with pytest.warns(UserWarning, match="reads 'normals', whose rows look like a vector"):
        assert law_error(wrapped, SPECS, [CASES["generic"].points()]) > 1e-3


# --- dense networks


class DensePointNet(nn.Module):
    """The skeleton of PointNet, with or without a mask, channels first or last."""

    def __init__(self, columns: int, first: bool, masked: bool, of_points: bool) -> None:
        super().__init__()
        self.first, self.masked, self.of_points = first, masked, of_points
        self.inner, self.outer = mlp(columns, 8), mlp(8, 8)
        self.last = nn.Linear(8, 4)

    def forward(self, clouds, mask=None):
        clouds = clouds.transpose(1, 2) if self.first else clouds
        features = self.inner(clouds)
        if self.masked:
            features = features * mask[..., None]
        pooled = torch.sin(features.sum(1, keepdim=True))
        if not self.of_points:
            return self.last(self.outer(pooled)[:, 0])
        result = self.last(self.outer(pooled + features))
        return result.transpose(1, 2) if self.first else result


LAYOUTS = {
    "b n c -> b o": (False, False, False),
    "b c n -> b o": (True, False, False),
    "b n c, b n -> b o": (False, True, False),
    "b c n, b n -> b o": (True, True, False),
    "b n c -> b n o": (False, False, True),
    "b c n -> b o n": (True, False, True),
    "b n c, b n -> b n o": (False, True, True),
    "b c n, b n -> b o n": (True, True, True),
}


@pytest.mark.parametrize(("layout", "how"), LAYOUTS.items(), ids=LAYOUTS)
def test_dense_networks_become_exact(layout, how):
    torch.manual_seed(0)
    bare = Dense(DensePointNet(6, *how).double(), layout, ["pos", "normals"])
    output = per_point("0e+1o") if how[2] else "0e+1o"
    wrapped = Symmetrizer(bare, output, inputs={"normals": "1o"})
    clouds = [CASES[name].points() for name in HARD]
    named = {"output": "0e+1o"}
    assert law_error(lambda d: {"output": wrapped(d)}, named, clouds) < EXACT[torch.float64]
    assert law_error(lambda d: {"output": bare(d)}, named, clouds) > 0.1


@pytest.mark.parametrize("sizes", [(3, 5, 3), (4, 4), (2, 0, 3), (0,), (3, 2, 0)], ids=str)
@pytest.mark.parametrize(("layout", "how"), LAYOUTS.items(), ids=LAYOUTS)
def test_dense_rows_are_those_of_single_clouds(layout, how, sizes):
    torch.manual_seed(0)
    net = DensePointNet(3, *how).double()
    clouds = [torch.randn(n, 3, dtype=torch.float64) for n in sizes]
    found = Dense(net, layout)(Batch.from_data_list([Data(pos=cloud) for cloud in clouds]))
    expected = []
    for cloud in clouds:
        given = cloud.T[None] if how[0] else cloud[None]
        row = net(given, torch.ones(1, len(cloud), dtype=torch.bool))[0]
        expected.append(row.T if how[0] and how[2] else row)
    expected = torch.cat(expected) if how[2] else torch.stack(expected)
    torch.testing.assert_close(found, expected)


def test_a_batch_in_another_order_keeps_its_rows():
    torch.manual_seed(0)
    net = Dense(DensePointNet(3, False, False, True), "b n c -> b n o")
    pos, batch = torch.randn(7, 3), torch.tensor([1, 0, 1, 2, 0, 0, 1])
    order = torch.argsort(batch, stable=True)
    found = net(Data(pos=pos, batch=batch))[order]
    torch.testing.assert_close(found, net(Data(pos=pos[order], batch=batch[order])))


def test_mutant_padding_without_a_mask_is_seen():
    # what grouping by size is for: a network that pools over padding as if it were points
    torch.manual_seed(0)
    net = DensePointNet(3, False, False, False).double()
    right = Dense(net, "b n c -> b o")
    wrong = Dense(lambda clouds, mask: net(clouds), "b n c, b n -> b o")
    data = batch_of([CASES["generic"].points(), CASES["cube"].points()], torch.float64)
    assert (right(data) - wrong(data)).abs().max() > 1e-3


def test_plain_functions_of_positions():
    def extent(pos: Tensor) -> Tensor:
        return (pos * torch.tensor([1.0, 2.0, 3.0]).to(pos)).exp().sum()

    def pull(pos: Tensor) -> Tensor:
        return (pos * torch.tensor([1.0, 2.0, 3.0]).to(pos)).exp()

    clouds = [CASES[name].points() for name in HARD]
    data = batch_of(clouds, torch.float64)
    expected = torch.stack([extent(cloud) for cloud in clouds])
    torch.testing.assert_close(Dense(extent, "n c -> o")(data), expected)
    torch.testing.assert_close(Dense(pull, "n c -> n o")(data), pull(data.pos))
    scalar = Symmetrizer(Dense(extent, "n c -> o"), "0e")
    assert law_error(lambda d: {"out": scalar(d)[:, None]}, {"out": "0e"}, clouds) < 1e-12
    vector = Symmetrizer(Dense(pull, "n c -> n o"), per_point("1o"))
    assert law_error(lambda d: {"out": vector(d)}, {"out": "1o"}, clouds) < 1e-12


@pytest.mark.parametrize("returned", ["tuple", "dict"])
def test_several_results_have_names(returned):
    def net(clouds):
        energy, forces = clouds.sum((1, 2))[:, None], 2 * clouds
        named = {"energy": energy, "forces": forces, "more": None}
        return named if returned == "dict" else (energy, forces, None)

    data = batch_of([CASES["generic"].points(), CASES["cube"].points()], torch.float64)
    found = Dense(net, "b n c -> energy: b o, forces: b n o, _")(data)
    assert set(found) == {"energy", "forces"}
    torch.testing.assert_close(found["forces"], 2 * data.pos)


# --- calls and edges


def test_arguments_are_the_attributes():
    def model(x, pos, batch, more, number):
        return x, pos, batch, more, number

    net = Call(model, "x, pos, batch, number=num_graphs, more=z -> x, pos, batch, z, number")
    data = Data(pos=torch.rand(3, 3), z=torch.ones(3, dtype=torch.int32))
    found = net(data)
    assert found["x"] is None
    assert found["pos"] is data.pos
    assert found["batch"].tolist() == [0, 0, 0]
    assert found["z"].dtype == torch.long
    assert found["number"] == 1
    found = net(Batch.from_data_list([data, Data(pos=torch.rand(0, 3), z=data.z[:0])]))
    assert found["number"] == 2


def test_adapters_are_modules():
    inner = nn.Linear(3, 2)
    for net in (Call(inner, "pos"), Dense(inner, "b n c -> b n o")):
        assert [*net.parameters()] == [*inner.parameters()]
        assert not net.eval().model.training
        assert "pos" in repr(net) or isinstance(net, Dense)
        assert net.double()(Data(pos=torch.rand(4, 3).double())).dtype == torch.float64
        inner.float()


def test_contracts_pass_through():
    contract = Contract("0e", cutoff=3.0, group=None)
    given = Call(lambda pos: pos.sum()[None], "pos", contract)
    inner = nn.Identity()
    inner.contract = contract
    for net in (given, Call(inner, "pos"), Dense(inner, "b n c -> b o")):
        assert Symmetrizer(net).contract.outputs == contract.outputs


def test_edges_are_found_once_and_the_data_is_not_changed():
    seen = []

    def model(pos, edge_index):
        seen.append(edge_index)
        messages = (pos[edge_index[0]] - pos[edge_index[1]]).exp()
        return torch.zeros_like(pos).index_add(0, edge_index[1], messages)

    data = batch_of([CASES["tetrahedron"].points()], torch.float64)
    before = copy.copy(data).to_dict()
    wrapped = Symmetrizer(
        Call(model, "pos, edge_index"), per_point("1o"), prepare=connect(radius=4.0)
    )
    wrapped(data)
    copies = len(seen[0][0]) // connect(radius=4.0)(data).edge_index.size(1)
    assert copies > 1
    assert data.to_dict().keys() == before.keys()
    prepared = connect(k=2)(data)
    assert connect(radius=4.0)(prepared) is prepared


class OverImages(nn.Module):
    """Sums a function of edge vectors that no rotation leaves as it is."""

    def forward(self, pos, edge_index, edge_shift, cell, batch, size):
        source, target = edge_index
        shift = torch.einsum(
            "ei,eij->ej", edge_shift.to(pos), cell.reshape(-1, 3, 3)[batch[target]]
        )
        vectors = pos[source] + shift - pos[target]
        fade = (1 - vectors.square().sum(1, keepdim=True) / 4).clamp(min=0) ** 3
        messages = fade * torch.tanh(vectors * torch.tensor([1.0, 2.0, 3.0]).to(pos) + 0.3)
        return pos.new_zeros(size, 3).index_add(0, batch[target], messages)


def test_periodic_edges_lead_to_images():
    generator = torch.Generator().manual_seed(0)
    cell = 2 * torch.eye(3, dtype=torch.float64) + 0.2 * torch.rand(
        3, 3, dtype=torch.float64, generator=generator
    )
    pos = torch.rand(4, 3, dtype=torch.float64, generator=generator) @ cell
    net = Call(OverImages(), "pos, edge_index, edge_shift, cell, batch, num_graphs")
    wrapped = Symmetrizer(
        net, "1o", frames=HierarchicalFrames(cutoff=2.0), prepare=connect(radius=2.0)
    )
    data = Data(pos=pos, cell=cell)
    # against all images of all points, one pair at a time
    expected, pairs = torch.zeros(1, 3, dtype=torch.float64), 0
    for i in range(4):
        for j in range(4):
            for image in torch.cartesian_prod(*[torch.arange(-3.0, 4.0)] * 3).double():
                vector = pos[j] + image @ cell - pos[i]
                if 0 < float(vector.norm()) < 2.0:
                    pairs += 1
                    fade = (1 - vector.square().sum() / 4) ** 3
                    scale = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
                    expected += fade * torch.tanh(vector * scale + 0.3)
    prepared = connect(radius=2.0)(data)
    assert prepared.edge_index.size(1) == pairs
    torch.testing.assert_close(net(prepared), expected)

    here = wrapped(data)
    for name in ELEMENTS:
        turn = TURNS[name].matrix()
        there = wrapped(Data(pos=pos @ turn.T, cell=cell @ turn.T))
        assert (there - here @ turn.T).abs().max() < 1e-12 * here.abs().max()


ONE = Data(pos=torch.zeros(2, 3))
PERIODIC = Data(pos=torch.zeros(1, 3), cell=torch.eye(3))
ERRORS: dict[str, tuple[Callable[[], Any], str]] = {
    "a signature of values": (lambda: Call(print, "x, 1"), "'x, 1' has '1' where a name"),
    "an attribute that is not there": (
        lambda: Call(print, "z, pos")(ONE),
        r"the data has no 'z' to call the model with, only \['pos'\]: set data.z",
    ),
    "no edges": (lambda: Call(print, "pos, edge_index")(ONE), r"prepare=connect\(radius="),
    "too few results": (
        lambda: Call(lambda pos: (pos, pos), "pos -> energy")(ONE),
        "names 1 results but the model returned a tuple of 2",
    ),
    "no tuple": (lambda: Call(lambda pos: pos, "pos -> a, b")(ONE), "returned a Tensor"),
    "an unknown layout": (lambda: Dense(print, "n b c -> b o"), "`layout` is 'n b c -> b o' but"),
    "nothing kept": (lambda: Dense(print, "b n c -> _"), "must keep one result"),
    "results without names": (lambda: Dense(print, "b n c -> b o, b n o"), "several with names"),
    "more results": (
        lambda: Dense(lambda c: (c, c), "b n c -> b n o")(ONE),
        "names 1 results but the model returned 2",
    ),
    "an absent feature": (
        lambda: Dense(print, "b n c -> b o", ["pos", "normals"])(ONE),
        "feature 'normals' is missing",
    ),
    "no kind of edges": (lambda: connect(), "exactly one of them must be given"),
    "two kinds of edges": (lambda: connect(radius=1.0, k=3), "exactly one of them must be given"),
    "nearest images": (lambda: connect(k=3)(PERIODIC), "are for finite structures"),
}


@pytest.mark.parametrize(("call", "message"), ERRORS.values(), ids=ERRORS)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_network_that_wants_pyg_lib_is_told_of_the_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch_geometric.typing, "WITH_RADIUS", False)
    net = Call(pyg.radius_graph, "pos, r=reach", lends=False)
    with pytest.raises(ImportError) as raised:
        net(Data(pos=torch.rand(3, 3), reach=1.0))
    assert "offer_to_pyg()" in raised.value.__notes__[0]


def test_a_network_that_wants_pyg_lib_is_lent_graphs_while_it_is_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch_geometric.typing, "WITH_RADIUS", False)
    before = dict(vars(torch_geometric.typing)), dimenet_module.triplets
    net = Call(pyg.radius_graph, "pos, r=reach")
    cloud = Data(pos=torch.rand(3, 3), reach=10.0)
    for _ in range(2):  # the first call finds out
        assert net(cloud).shape == (2, 6)
        assert (vars(torch_geometric.typing), dimenet_module.triplets) == before
    with pytest.raises(ImportError, match="pyg-lib"):
        pyg.radius_graph(cloud.pos, 1.0)


def test_what_connects_can_be_pickled() -> None:
    prepare = pickle.loads(pickle.dumps(connect(radius=2.0)))
    assert prepare == connect(radius=2.0)


@pytest.mark.parametrize(
    ("layout", "result", "message"),
    [
        ("b n c -> b o", lambda x: {"energy": x.sum(1)}, "returned a dict of"),
        ("b n c -> b n o", lambda x: x.transpose(1, 2), "says 'b n o' with b = 1 and n = 5"),
        ("b n c -> b o", lambda x: None, "has NoneType but"),
        ("n c -> n o", lambda x: x[:4], "says 'b n o' with b = 1 and n = 5"),
    ],
    ids=["dict", "transposed", "nothing", "too few"],
)
def test_dense_results_that_do_not_fit_are_refused(
    layout: str, result: Callable[[Tensor], Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Dense(result, layout)(Data(pos=torch.rand(5, 3)))
