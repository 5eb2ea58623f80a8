"""What one meets first: models that cannot be called, misspelled options, how long it takes."""

import copy
import itertools
import json
import pickle
import time

import pytest
import torch
import torch_geometric.typing
from torch import nn
from torch_geometric.data import Batch
from torch_geometric.nn import SchNet

from backbones.adapters import connect
from equivariance_tests import Cloud, Contract, Profile, assert_parity, certify
from equivariance_tests.certification import Certification
from equivariance_tests.certification.remaining import Remaining
from equivariance_tests.certification.shrinking import Shrinker
from equivariance_tests.checks import CHECKS, Outcome
from equivariance_tests.checks.equivariance import NotEquivariant
from equivariance_tests.clouds import Setting
from equivariance_tests.measure.trial import Trial
from equivariance_tests.model.calls import as_network
from equivariance_tests.mutants import MUTANTS, PairNetwork
from equivariance_tests.report.failures import Failure
from equivariance_tests.report.figure import draw
from equivariance_tests.suite import EquivarianceSuite

# Shapes are checked in other tests: here they would take most of the time
pytestmark = pytest.mark.usefixtures("unchecked_shapes")

ENERGY = Contract({"energy": "0e"}, cutoff=3.0)
TINY = Profile("tiny", clouds=40, slow_clouds=0, slow_cases=1, shrinking=1.0)


def summed(rows: torch.Tensor, batch: torch.Tensor, size: int) -> dict[str, torch.Tensor]:
    return {"energy": rows.new_zeros(size, 1).index_add(0, batch, rows)}


class OfSpecies(nn.Module):
    def forward(self, data):
        return summed(data.z[:, None].to(data.pos.dtype), data.batch, data.num_graphs)


class OfEdges(nn.Module):
    def forward(self, data):
        center, neighbor = data.edge_index
        squares = (data.pos[center] - data.pos[neighbor]).square().sum(1, keepdim=True)
        return summed(torch.exp(-squares), data.batch[center], data.num_graphs)


class OfBoth(nn.Module):
    def forward(self, data):
        center, neighbor = data.edge_index
        kinds = data.z[neighbor, None].to(data.pos.dtype)
        return summed(kinds, data.batch[center], data.num_graphs)


class OfOtherNames(nn.Module):
    def forward(self, coords, owner):
        return torch.exp(-coords.square().sum(1, keepdim=True)).new_zeros(int(owner.max()) + 1, 1)


def of_single_precision(data: Batch) -> dict[str, torch.Tensor]:
    return summed(data.pos @ torch.ones(3, 1), data.batch, data.num_graphs)


def of_cells(data: Batch) -> dict[str, torch.Tensor]:
    volumes = torch.linalg.det(data.cell).reshape(-1, 1)
    return {"energy": volumes}


MISSING = {
    "species": (OfSpecies, "It answers with species=(1, 6, 8)"),
    "edges": (OfEdges, "It answers with prepare=connect(radius=3)"),
    "both": (OfBoth, "prepare=connect(radius=3) from backbones.adapters and species=(1, 6, 8)"),
    "call": (OfOtherNames, 'It answers with call="pos, batch"'),
    "dtype": (lambda: of_single_precision, "It answers with dtype=torch.float32"),
    "cells": (lambda: of_cells, "It answers with a contract that says periodic=True"),
    "something else": (lambda: lambda data: data.charges, "Say what is missing: species=(1, 6, 8)"),
}


@pytest.mark.parametrize("name", MISSING)
def test_what_is_missing_is_said_once(name):
    make, said = MISSING[name]
    report = certify(make(), ENERGY, profile=TINY, progress=False)
    assert report.status == "could not run"
    assert not report.passed
    assert list(report.findings) == []
    assert said in report.reason
    # what was raised, and what the model was given
    assert report.reason.startswith("the model raises on each of 30 plain clouds: ")
    assert "a batch with" in report.reason
    assert "pos float64 (6, 3)" in report.reason
    text = " ".join(str(report).split())
    assert text.count("raises on each of") == 1
    assert " ".join(report.reason.split()) in text
    assert json.loads(json.dumps(report.to_json()))["reason"] == report.reason
    with pytest.raises(KeyError, match="there is no finding of "):
        report["parity"]


def test_the_way_out_leads_out():
    how = {"species": (1, 6, 8), "prepare": connect(radius=3.0)}
    report = certify(OfBoth(), ENERGY, checks=["permutation"], progress=False, **how)
    assert report.passed


GRAPHS = (
    'It answers with Call(model, "z, pos, batch") from backbones.adapters{}, which lends it the '
    "graph functions that pyg-lib would have while it is called"
)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"species": (1, 6), "call": "z, pos, batch"}, ' instead of call="z, pos, batch"'),
        ({"call": "z, pos, batch"}, ' instead of call="z, pos, batch"'),
        ({"species": (1, 6)}, ""),
    ],
    ids=["call and species", "call", "species"],
)
def test_a_model_that_lacks_pyg_lib_is_told_of_what_lends_it(monkeypatch, how, said):
    monkeypatch.setattr(torch_geometric.typing, "WITH_RADIUS", False)
    net = SchNet(hidden_channels=4, num_filters=4, num_interactions=1, num_gaussians=4, cutoff=3.0)
    reason = certify(net, ENERGY, progress=False, **how).reason
    expected = GRAPHS.format(said)
    if "call" not in how:
        expected = expected.replace("z, pos, batch", "z, pos, batch=batch")
    assert expected in reason
    assert ("species=(1, 6, 8): give" in reason) == ("species" not in how)
    assert "Say what is missing" not in reason


def test_options_that_are_given_are_not_asked_for():
    how = {"species": (1, 6), "call": "z, pos, batch", "prepare": connect(radius=3.0)}

    def refuses(z, pos, batch):
        raise RuntimeError("never")

    reason = certify(refuses, ENERGY, progress=False, **how).reason
    assert reason.endswith(
        "Say what is missing: dtype=torch.float32 for its precision, inputs and periodic=True in "
        "the contract for further attributes"
    )


def test_species_that_the_model_does_not_know_are_told():
    class Picky(OfSpecies):
        def forward(self, data):
            if bool((data.z != 8).any()):
                raise ValueError("only oxygen")
            return super().forward(data)

    report = certify(Picky(), ENERGY, species=(1, 8), progress=False)
    assert "only oxygen" in report.reason
    assert "It answers with species=(8,), but `z` was 1" in report.reason


def test_a_prepare_that_raises_is_told():
    def broken(batch):
        raise OSError("no such table")

    report = certify(PairNetwork(), prepare=broken, progress=False)
    assert "`prepare` raises OSError: no such table" in report.reason


def test_what_raises_on_some_clouds_only_is_a_matter_of_the_checks():
    class Alone(PairNetwork):
        def forward(self, data):
            if data.num_graphs == 1:
                raise RuntimeError("not alone")
            return super().forward(data)

    assert Certification(Trial.of(Alone())).refusal is None
    assert Certification(Trial.of(MUTANTS["NaN output"].make())).refusal is None
    assert Certification(Trial.of(PairNetwork())).refusal is None


def test_a_report_without_findings_is_drawn(tmp_path):
    draw(certify(OfSpecies(), ENERGY, progress=False), tmp_path / "out.png")
    assert (tmp_path / "out.png").stat().st_size > 1000


# --- how a model is called


@pytest.mark.parametrize("call", ["", "  ", "\n", None, "z pos", "b", "b n", "-> o", "n c -> x"])
def test_a_call_that_is_none_is_an_error_with_words(call):
    if call is None:
        assert as_network(len, ENERGY, call) is len
        return
    with pytest.raises(ValueError, match="`call` is ") as caught:
        as_network(len, ENERGY, call)
    assert repr(call) in str(caught.value)
    assert "as in" in str(caught.value)


def test_a_class_is_no_model():
    with pytest.raises(TypeError, match=r"the class PairNetwork but .* give PairNetwork\(\.\.\.\)"):
        certify(PairNetwork)


# --- options


@pytest.mark.parametrize(
    ("name", "meant"), [("specis", "species"), ("prepair", "prepare"), ("knwon", "known")]
)
def test_a_suite_refuses_attributes_that_it_does_not_know(name, meant):
    with pytest.raises(TypeError, match=f"{name!r} is none of .*is {meant!r} meant") as caught:
        type("TestMine", (EquivarianceSuite,), {name: (1, 8)})
    for known in ("species", "of_structures", "unit", "call", "prepare", "dtype", "profile"):
        assert known in str(caught.value)


def test_a_suite_refuses_options_that_it_does_not_know():
    suite = type("TestMine", (EquivarianceSuite,), {"options": {"specis": (1, 8)}})
    with pytest.raises(TypeError, match="'specis' is none of the options of TestMine"):
        suite().how()
    twice = type("TestMine", (EquivarianceSuite,), {"seed": 1, "options": {"seed": 2}})
    with pytest.raises(TypeError, match="TestMine has seed as an attribute and among"):
        twice().how()


def test_attributes_of_a_suite_arrive():
    def prepare(batch):
        return batch

    class TestMine(EquivarianceSuite):
        species = (1, 8)
        known = {"parity": "one hand"}  # noqa: RUF012
        options = {"seed": 3}  # noqa: RUF012
        WIDTH = 4
        _mine = 5

        @pytest.fixture
        def something(self):
            return 1

        def test_mine(self):
            pass

    TestMine.prepare = prepare
    how = TestMine().how()
    assert how == {
        "species": (1, 8),
        "known": {"parity": "one hand"},
        "seed": 3,
        "prepare": prepare,
    }

    class TestMethod(TestMine):
        def prepare(self, batch):
            return (self._mine, batch)

    assert TestMethod().how()["prepare"]("batch") == (5, "batch")


def test_assertions_refuse_options_that_they_do_not_know():
    with pytest.raises(TypeError, match="'specis' is none of the options of assertions"):
        assert_parity(PairNetwork(), Cloud(), specis=(1, 8))


# --- failures


def kinds(base: type[Failure] = Failure) -> list[type[Failure]]:
    return [base, *(kind for one in base.__subclasses__() for kind in kinds(one))]


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("how", ["pickled", "copied", "deeply copied"])
def test_a_failure_keeps_all_that_it_has(kind, how):
    curve = {"x": [0.0, 1.0], "y": [1.0, 2.0], "log": False}
    before = kind("wrong", Cloud("pyramid"), "Data()", 1.0, 2.0, {"order": 1}, curve)
    before.add_note("seen on a Monday")
    after = {
        "pickled": lambda one: pickle.loads(pickle.dumps(one)),
        "copied": copy.copy,
        "deeply copied": copy.deepcopy,
    }[how](before)
    assert type(after) is kind
    assert vars(after) == vars(before)
    assert after.curve == curve
    assert str(after) == str(before)


def test_a_break_is_pickled_with_its_curve():
    mutant = MUTANTS["hard cutoff"]
    report = certify(
        mutant.make(), mutant.contract, checks=["cutoff crossing"], profile=TINY, progress=False
    )
    failure = report["cutoff crossing"].failure
    assert len(failure.curve["x"]) > 10
    assert pickle.loads(pickle.dumps(failure)).curve == failure.curve


# --- time


def test_smaller_counterexamples_take_no_longer_than_they_may():
    setting = Setting.of(Contract("0e"))
    asked = []

    def slow(several):
        asked.append(len(several))
        time.sleep(0.02 * len(several))
        return [Outcome(c, 1.0, 0.0, NotEquivariant("wrong", c)) for c in several]

    first = Outcome(Cloud("icosahedron", 7, 5), 1.0, 0.0, NotEquivariant("wrong"))
    shrinker = Shrinker(setting)
    shrinker.simpler(first.cloud)  # clouds are listed once
    start = time.monotonic()
    shrinker.smallest(slow, first, at_once=64, seconds=0.5, pace=0.02)
    assert time.monotonic() - start < 1.0
    # not even one is judged that takes longer than there is time
    asked.clear()
    assert shrinker.smallest(slow, first, at_once=64, seconds=0.5, pace=10.0) is first
    assert asked == []


def test_time_for_smaller_counterexamples_is_shared(monkeypatch):
    given = []

    def smallest(self, judge, outcome, at_once, seconds, pace):
        given.append(seconds)
        return outcome

    monkeypatch.setattr(Shrinker, "smallest", smallest)
    mutant = MUTANTS["raw coordinates"]
    names = ["equivariance", "parity", "translation", "permutation"]
    certify(mutant.make(), mutant.contract, checks=names, profile=TINY, progress=False)
    assert given[0] == pytest.approx(0.25)
    assert sum(given) <= TINY.shrinking


def test_the_bar_tells_how_far_all_checks_are():
    seconds = iter(range(100))
    bar = Remaining(CHECKS, clock=lambda: float(next(seconds)))
    parts = []
    for name in ("determinism", "batching", *(check.name for check in CHECKS)):
        for done in (0, 5, 10):
            bar.tell(name, done, 10)
            parts.append(bar.part)
    assert parts[0] == 0.0
    assert parts[-1] == pytest.approx(1.0)
    assert all(later >= earlier for earlier, later in itertools.pairwise(parts))
    assert bar.seconds == pytest.approx(0.0)
    assert bar.said() == "0 s left"
