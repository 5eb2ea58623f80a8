"""Contracts: what is claimed is read, refused where it cannot be, and combined honestly."""

import json
import math
from dataclasses import replace

import jaxtyping
import pytest
import torch
from torch import nn
from torch_geometric.data import Batch, Data

from symmetrize import (
    Contract,
    FrameAveraging,
    Frames,
    HierarchicalFrames,
    PairFrames,
    QuadratureFrames,
    RandomFrames,
    Symmetrizer,
    log_probabilities,
    neighbor_list,
    per_edge,
    per_point,
)
from symmetrize.scopes import center


class Declared(nn.Module):
    """A network that declares a contract; it sums the coordinates of sources over its edges."""

    def __init__(self, **claims):
        super().__init__()
        self.contract = Contract({"a": "0e"}, group=None, **claims)

    def forward(self, data):
        rows = torch.exp(data.pos).sum(-1, keepdim=True)
        return {"a": rows.new_zeros(data.num_graphs, 1).index_add(0, data.batch, rows)}


def test_outputs_are_read_once_and_by_name():
    contract = Contract({"energy": "0e", "forces": per_point("1o")}, inputs={"field": "1o"})
    assert list(contract.outputs) == ["energy", "forces"]
    assert contract.outputs["forces"].per_point
    assert contract.outputs["forces"].representation.dim == 3
    assert contract.inputs["field"].dim == 3
    assert replace(contract, smoothness=2).outputs == contract.outputs
    assert Contract("ij=ji").outputs["output"].representation.value_shape == (3, 3)


@pytest.mark.parametrize(
    ("claims", "locality", "sight"),
    [
        ({}, "global", None),
        ({"cutoff": 5.0}, "local", 5.0),
        ({"cutoff": 5.0, "rounds": 3}, "message passing", 15.0),
    ],
    ids=str,
)
def test_how_far_a_point_sees(claims, locality, sight):
    contract = Contract("0e", **claims)
    assert contract.locality == locality
    assert contract.receptive_field == sight


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({"group": "SU(2)"}, "must be 'O"),
        ({"smoothness": -1}, "number of continuous derivatives"),
        ({"smoothness": 1.5}, "number of continuous derivatives"),
        ({"smoothness": math.nan}, "number of continuous derivatives"),
        ({"cutoff": 0.0}, "must be a positive length"),
        ({"cutoff": math.inf}, "must be a positive length"),
        ({"rounds": 0}, "at least 1"),
    ],
    ids=str,
)
def test_claims_that_make_no_sense_are_refused(claims, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as users run it
    with pytest.raises(ValueError, match=message):
        Contract("0e", **claims)


def test_a_network_with_a_contract_needs_nothing_else():
    model = Symmetrizer(Declared(cutoff=4.0))
    assert model.frames.cutoff == 4.0
    assert list(model.declaration) == ["a"]
    with pytest.raises(ValueError, match="declares no contract: say how its outputs turn"):
        Symmetrizer(nn.Linear(1, 1))


@pytest.mark.parametrize(
    ("frames", "of_net", "group", "smoothness"),
    [
        (None, math.inf, "O(3)", 5),
        (None, 0, "O(3)", 0),
        (None, None, "O(3)", None),
        (HierarchicalFrames(azimuths=12), math.inf, "O(3)", 11),
        (FrameAveraging(), math.inf, None, None),
        (QuadratureFrames(3), math.inf, None, math.inf),
        (RandomFrames(3), 1, None, 1),
        (PairFrames(4.0), math.inf, "O(3)", None),
        (PairFrames(4.0, auxiliary=lambda data: None), math.inf, "O(3)", math.inf),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Frames) else str(value),
)
def test_the_wrapper_claims_no_more_than_its_parts(frames, of_net, group, smoothness):
    contract = Symmetrizer(Declared(smoothness=of_net), frames=frames).contract
    assert contract.group == group
    assert contract.smoothness == smoothness


@pytest.mark.parametrize(
    ("claims", "smoothness"),
    [({}, None), ({"cutoff": 3.0}, 5), ({"envelope": True}, 5)],
    ids=["sees all", "cutoff", "envelope"],
)
def test_environments_end_smoothly_only_for_those_who_do_not_see_it(claims, smoothness):
    model = Symmetrizer(Declared(**claims), scope="center", frames=HierarchicalFrames(3.0))
    assert model.contract.smoothness == smoothness


def pair_energies(data):
    """Repulsion within 3, and each point's own part of it: local, and invariant by itself."""
    pairs = neighbor_list(data.pos, 3.0, data.batch)
    vectors = data.pos[pairs.neighbor] - data.pos[pairs.center]
    half = (3.0 - vectors.norm(dim=1)).square() / 2
    points = data.pos.new_zeros(len(data.pos)).index_add(0, pairs.center, half)
    counted = points * data.get("is_center", torch.ones_like(points))
    return counted.new_zeros(data.num_graphs, 1).index_add(0, data.batch, counted[:, None])


@pytest.mark.parametrize("edge", [1.0, 2.0, 2.5, 2.8, 2.95, 2.999])
@pytest.mark.parametrize("points", [2, 4], ids=["pair", "tetrahedron"])
def test_by_default_environments_reach_beyond_what_the_network_sees(points, edge):
    # so that no interaction is lost where neighbors are about to leave
    corners = torch.tensor([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]).double()
    pos = corners[:points] * edge / 8**0.5
    pair_energies.contract = Contract("0e", group=None, cutoff=3.0)
    model = Symmetrizer(pair_energies, scope="center", reduce="sum")
    bare = pair_energies(Batch.from_data_list([Data(pos=pos)]))
    torch.testing.assert_close(model(Data(pos=pos)), bare, rtol=1e-12, atol=0)
    assert bare > 0


def test_mutant_environments_that_end_where_the_network_sees_lose_a_pair(monkeypatch):
    monkeypatch.setattr(center, "BEYOND", 1.0)
    pair_energies.contract = Contract("0e", group=None, cutoff=3.0)
    pair = Data(pos=torch.tensor([[0.0, 0, 0], [0, 0, 2.95]]).double())
    model = Symmetrizer(pair_energies, scope="center", reduce="sum")
    bare = pair_energies(Batch.from_data_list([pair]))
    assert (model(pair) - bare).abs() > 0.1 * bare


def test_what_is_printed_says_what_is_declared():
    text = str(Symmetrizer(Declared(cutoff=2.0), scope="center"))
    assert "outputs={'a': '0e'}" in text
    assert "scope='center', frames=HierarchicalFrames" in text


def test_edges_are_prepared_by_the_network_that_is_there():
    model = Symmetrizer(Declared())
    assert model.prepare is None
    model.net.prepare = len
    assert model.prepare is len


def test_only_sums_over_centers_are_extensive():
    for scope, reduce, extensive in (
        ("structure", None, False), ("center", "sum", True), ("center", "mean", False),
    ):  # fmt: skip
        model = Symmetrizer(Declared(cutoff=2.0), scope=scope, reduce=reduce)
        assert model.contract.extensive == extensive


@pytest.mark.parametrize("scope", ["structure", "center"])
def test_what_is_prepared_once_reaches_every_copy(scope):
    calls = []

    def prepare(data):
        calls.append(data)
        found = neighbor_list(data.pos, 1.5, data.batch)
        data = data.clone()
        data.edge_index = torch.stack([found.neighbor, found.center])
        return data

    def net(data):
        source, target = data.edge_index
        assert torch.equal(data.batch[source], data.batch[target])
        # the very edges that a search in the copy finds
        again = neighbor_list(data.pos, 1.5, data.batch)
        pairs = torch.stack([again.neighbor, again.center])
        order = [torch.argsort(p[0] * data.num_nodes + p[1]) for p in (data.edge_index, pairs)]
        assert torch.equal(data.edge_index[:, order[0]], pairs[:, order[1]])
        rows = torch.tanh(data.pos[source] - data.pos[target]).cumsum(-1)
        return rows.new_zeros(data.num_graphs, 3).index_add(0, data.batch[source], rows)

    positions = torch.rand(7, 3, generator=torch.Generator().manual_seed(0)).double() * 2
    model = Symmetrizer(net, "1o", prepare=prepare, scope=scope, frames=HierarchicalFrames(2.0))
    model(Data(pos=positions))
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"turns": "0e", "representation": "1o"}, "the output 'a' has no turns, but"),
        ({"representation": "0e", "rows": "edge", "per_point": True}, "has no per_point, but"),
        ({"representation": "0e", "rows": "edges"}, "the output 'a': `rows` is 'edges' but"),
        ({"per_point": True}, "the output 'a' is .* but must be a representation"),
        ({"representation": "0e", "unit": "eV"}, "the output 'a' has no unit, but"),
    ],
)
@pytest.mark.usefixtures("as_users_run_it")
def test_outputs_in_plain_values_are_not_guessed(given, said):
    with pytest.raises(ValueError, match=said):
        Contract.of_plain({"outputs": {"a": given}})


@pytest.mark.parametrize("name", ["envelope", "extensive", "periodic"])
@pytest.mark.usefixtures("as_users_run_it")
def test_a_claim_is_true_or_false(name):
    with pytest.raises(ValueError, match=f"`{name}` is 'yes' but must be True or False"):
        Contract.of_plain({"outputs": "0e", name: "yes"})


@pytest.mark.parametrize(
    "contract",
    [
        Contract("0e"),
        Contract(("0e", None), group=None, smoothness=None),
        Contract({"head": {"a": "ij=ji", "b": None}, "c": per_edge("1o")}, cutoff=3, rounds=2),
        Contract(log_probabilities("3x0e", rows="edge"), {"field": "1o"}, positions=["pos_2"]),
        Contract("0e", cutoff=5.0, min_distance=1.0, extensive=True, periodic=True, smoothness=2),
    ],
)
def test_contracts_survive_json(contract):
    assert Contract.of_plain(json.loads(json.dumps(contract.plain()))) == contract


def test_environments_must_reach_the_nearest_points():
    net = Declared(cutoff=None, min_distance=2.0)
    with pytest.raises(ValueError, match=r"2.0 apart but the environments .* end at 1.5"):
        Symmetrizer(net, scope="center", frames=HierarchicalFrames(1.5))
