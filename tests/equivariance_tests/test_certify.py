"""What a user sees of the checks: reports, counterexamples, profiles, assertions, figures."""

import dataclasses
import itertools
import json
import math

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from torch_geometric.data import Data

import equivariance_tests
from equivariance_tests import (
    CHECKS,
    PROFILES,
    Cloud,
    Contract,
    Profile,
    Report,
    assert_equivariant,
    assert_law,
    assert_parity,
    assert_smooth,
    certify,
    clouds,
)
from equivariance_tests import assertions as assertions_module
from equivariance_tests.assertions import trial_of
from equivariance_tests.certification import Certification
from equivariance_tests.certification.draws import drawn
from equivariance_tests.certification.plan import Plan
from equivariance_tests.certification.shrinking import Shrinker, rank
from equivariance_tests.checks import Check, Outcome
from equivariance_tests.checks.equivariance import NotEquivariant, WrongParity
from equivariance_tests.checks.translation import NotTranslated
from equivariance_tests.clouds import STRATA, Setting
from equivariance_tests.clouds.crystals import CRYSTALS
from equivariance_tests.measure.trial import Trial
from equivariance_tests.mutants import MUTANTS, PairNetwork
from equivariance_tests.report.failures import Jump, NonFinite
from equivariance_tests.report.figure import draw
from equivariance_tests.report.text import WIDTH
from symmetrize import Symmetrizer
from tests.common.healthy import HEALTHY
from tests.common.networks import DeepSet

# Shapes are checked in other tests of certification: here they would take most of the time
pytestmark = pytest.mark.usefixtures("unchecked_shapes")

TINY = Profile("tiny", clouds=40, slow_clouds=0, slow_cases=2, shrinking=5.0)
# where only the verdict counts, whatever the cloud, and where structures are asked one by one
LARGEST = dataclasses.replace(TINY, shrinking=0)
ONE_BY_ONE = dataclasses.replace(LARGEST, clouds=10, case_points=6)
OUTPUTS = {"energy": "0e", "dipole": "1o"}
BARE, DECLARED = DeepSet(OUTPUTS), Contract(OUTPUTS)
# One check of each kind
SEVERAL = ("finiteness", "batching", "vacuity", "parity", "permutation", "gradients", "locality")


def certified(model, contract=None, **how) -> Report:
    return certify(model, contract, **{"profile": TINY, "progress": False, **how})


# --- verdicts


def test_a_healthy_model_is_certified_on_one_screen():
    report = certified(PairNetwork(), checks=SEVERAL)
    text = str(report)
    assert report.passed, text
    assert [finding.check for finding in report.findings] == list(SEVERAL)
    assert {finding.verdict for finding in report.findings} == {"passed"}
    assert text.splitlines()[-1].startswith("certified: 7 passed; ")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["deep set", "e3nn, l = 1"])
def test_a_verdict_takes_less_than_a_minute(name):
    healthy = HEALTHY[name]
    report = certified(healthy.make(), healthy.contract, profile="fast", **healthy.options)
    text = str(report)
    assert report.passed, text
    assert report.seconds < 60
    assert len(report.findings) == len(CHECKS)
    assert max(map(len, text.splitlines())) <= WIDTH
    assert len(text.splitlines()) <= 40


def test_a_symmetrized_network_is_certified_and_the_bare_one_refuted():
    assert certified(Symmetrizer(BARE, outputs=OUTPUTS), checks=["parity"]).passed
    report = certified(BARE, DECLARED, checks=["equivariance", "permutation", "translation"])
    assert not report.passed
    verdicts = {finding.check: finding.verdict for finding in report.findings}
    assert verdicts == {
        "equivariance": "failed",
        "permutation": "passed",
        "translation": "failed",
    }
    kinds = [type(failure) for failure in report.failures]
    assert kinds == [NotEquivariant, NotTranslated]
    # the screen has the sentence, and the cloud as code to paste
    text = str(report)
    assert "not equivariant: the output '" in text
    made = eval(report["equivariance"].failure.code, {"torch": torch, "Data": Data})
    assert len(made.pos) == 1


@pytest.mark.parametrize(
    ("name", "check"),
    [
        ("principal axes with signs", "equivariance"),
        ("frame averaging", "equivariance"),
        ("nearest neighbors", "path scan"),
    ],
    ids=["PCA frames", "frame averaging", "nearest neighbors"],
)
def test_counterexamples_are_small(name, check):
    mutant = MUTANTS[name]
    model = mutant.make()
    profile = dataclasses.replace(TINY, slow_cases=12, shrinking=2.0)
    report = certified(model, mutant.contract, checks=[check], profile=profile, **mutant.options)
    failure = report[check].failure
    assert failure is not None, report
    setting = Setting.of(mutant.contract)
    assert 1 <= len(setting.structure(failure.cloud)) <= 5, report


def test_the_seed_decides_which_clouds_are_drawn():
    def clouds_of(seed: int) -> list[Cloud]:
        return list(itertools.islice(drawn(DECLARED, seed, 8, decorated=True), 500))

    assert clouds_of(1) == clouds_of(1)
    assert clouds_of(1) != clouds_of(2)
    assert {cloud.decorated for cloud in clouds_of(1)} == {False, True}


def test_all_strata_are_drawn():
    periodic = Contract("0e", periodic=True)
    # of the largest a few only: one in 900 each
    several = list(itertools.islice(drawn(periodic, 0, 8, decorated=False), 8000))
    assert {cloud.stratum for cloud in several} == set(STRATA)
    assert {cloud.scale for cloud in several} == {0, 3, -3}
    # a denser crystal has more neighbors than memory holds
    assert not any(cloud.scale for cloud in several if cloud.stratum in CRYSTALS)


@pytest.mark.parametrize("periodic", [False, True], ids=["finite", "periodic"])
def test_deep_tries_100_000_inputs(periodic):
    contract = Contract(OUTPUTS, cutoff=3.0, smoothness=2 if periodic else None, periodic=periodic)
    trial, plan = Trial.of(BARE, contract), Plan(CHECKS, PROFILES["deep"], seed=0)
    laws = [check for check in CHECKS if not check.slow]
    assert sum(plan.share(check, trial) for check in laws) >= 100_000
    assert PROFILES["fast"].clouds < PROFILES["ci"].clouds < PROFILES["deep"].clouds


# --- what is found decides what comes next


class Leaking(PairNetwork):
    """Structures see the mean energy of their batch."""

    def forward(self, data):
        found = super().forward(data)
        energy = found["energy"]
        return {**found, "energy": energy + energy.mean()}


class Noisy(PairNetwork):
    """Answers differ by a thousandth each time."""

    def forward(self, data):
        found = super().forward(data)
        return {name: values + 1e-3 * torch.randn_like(values) for name, values in found.items()}


class NeverAlone(PairNetwork):
    """Answers a single point only in company."""

    def forward(self, data):
        if len(data.pos) == 1:
            raise RuntimeError("there is no pair")
        return super().forward(data)


@pytest.mark.parametrize(("model", "batched"), [(NeverAlone(), True), (Leaking(), False)])
def test_only_models_that_mix_up_their_batch_are_asked_one_by_one(model, batched):
    certification = Certification(Trial.of(model), ONE_BY_ONE)
    assert certification.finding("batching").verdict == "failed"
    assert certification.trial.subject.batched is batched
    # what it does not answer alone is told once, and not taken for a fault of symmetry
    assert certification.finding("parity").verdict == "passed"


def test_a_model_that_mixes_up_its_batch_is_evaluated_one_by_one():
    report = certified(Leaking(), checks=["batching", "vacuity", "parity"], profile=ONE_BY_ONE)
    assert report["batching"].verdict == "failed"
    assert report["parity"].verdict == "passed"


def test_a_random_model_is_not_compared_with_itself():
    names = ["determinism", "parity", "permutation"]
    report = certified(Noisy(), checks=names, profile=LARGEST)
    verdicts = [report[name].verdict for name in names]
    assert verdicts == ["failed", "failed", "skipped"]
    assert report["permutation"].reason == "the model is random"


def test_of_a_model_without_answers_finiteness_alone_is_told():
    report = certified(MUTANTS["NaN output"].make())
    assert report["finiteness"].verdict == "failed"
    others = [finding for finding in report.findings if finding.check != "finiteness"]
    assert {finding.verdict for finding in others} == {"skipped"}
    assert {finding.reason for finding in others} == {
        "the model has no finite answer to any of 30 generic clouds"
    }
    assert report.status == "refuted"
    # infinite numbers have names in JSON
    assert report["finiteness"].error == math.inf
    assert '"error": "inf"' in json.dumps(report.to_json(), allow_nan=False)


def test_a_model_that_always_raises_could_not_run():
    def wrong(data):
        raise KeyError("edge_index")

    report = certified(wrong, DECLARED)
    assert report.status == "could not run"
    assert not report.passed
    assert "KeyError: 'edge_index'" in str(report)


class Crashing(Check):
    """A check with a fault of its own."""

    name = "crashing"
    law = "no law"

    def judged(self, trial, clouds):
        raise ZeroDivisionError("in the check")


class Silent(Crashing):
    name = "silent"

    def judged(self, trial, clouds):
        return [Outcome(cloud, skipped="nothing to say about this cloud") for cloud in clouds]


class Impostor(Silent):
    name = "parity"


def test_a_check_of_ones_own_has_a_name_of_its_own():
    with pytest.raises(ValueError, match="there are two checks 'parity'"):
        certified(PairNetwork(), checks=[Impostor()])


def test_a_check_of_ones_own_may_be_known_to_fail():
    with pytest.raises(ValueError, match="there is no check 'silent'"):
        certified(PairNetwork(), checks=["parity"], known=["silent"])
    report = certified(PairNetwork(), checks=[Silent()], known=["silent"])
    assert report["silent"].verdict == "skipped"


def test_a_check_that_crashes_is_neither_hidden_nor_passed():
    report = certified(PairNetwork(), checks=[*CHECKS[:3], Crashing(), Silent()])
    assert report["crashing"].verdict == "could not run"
    assert report["crashing"].reason == "ZeroDivisionError: in the check"
    assert report["silent"].verdict == "skipped"
    assert report["silent"].reason == "nothing to say about this cloud"
    assert report.status == "refuted"
    assert "crashing could not run: ZeroDivisionError" in str(report)


def test_nothing_at_all_to_say_is_not_a_pass():
    nothing = Contract(PairNetwork.contract.outputs, group=None)
    report = certified(PairNetwork(), nothing, checks=["equivariance", "parity"])
    assert report["equivariance"].verdict == "skipped"
    assert report.status == "could not run"
    assert not report.passed


# --- known failures


def test_known_failures_are_strict():
    reason = "learned from molecules of one hand"
    how = {"checks": ["parity"], "profile": LARGEST}
    known = certified(BARE, DECLARED, known={"parity": reason}, **how)
    assert known.passed
    assert known["parity"].verdict == "known"
    assert reason in str(known)
    assert known.failures == []

    passes = certified(PairNetwork(), known=["parity"], **how)
    assert passes["parity"].verdict == "failed"
    assert "but it passes" in passes["parity"].reason
    assert not passes.passed


# --- what is refused


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"profile": "thorough"}, "`profile` is 'thorough' but must be one of fast, ci, deep"),
        ({"checks": ["symmetry"]}, "there is no check 'symmetry': the checks are finiteness"),
        ({"known": ["symmetry"]}, "there is no check 'symmetry'"),
        ({"contract": None}, "declares no contract"),
    ],
    ids=["profile", "check", "known", "contract"],
)
def test_what_is_not_understood_is_refused(how, said):
    with pytest.raises(ValueError, match=said):
        certified(BARE, **{"contract": DECLARED, **how})


# --- reports


def test_reports_are_plain_json():
    how = {"checks": ["parity", "permutation", "locality"], "profile": LARGEST}
    report = certified(BARE, DECLARED, **how)
    command = "python -m equivariance_tests /" + "home/me/contract.toml"
    found = json.loads(json.dumps(report.to_json(command), allow_nan=False))
    assert found["status"] == "refuted"
    assert found["passed"] is False
    assert found["contract"]["smoothness"] == "inf"
    assert found["contract"]["outputs"]["energy"]["representation"] == "0e"
    assert found["setting"] == {"dtype": "float64", "device": "cpu", "profile": "tiny", "seed": 0}
    assert found["provenance"]["command"] == "python -m equivariance_tests contract.toml"
    assert {"date", "machine", "versions"} <= set(found["provenance"])
    by_name = {finding["check"]: finding for finding in found["findings"]}
    assert by_name["permutation"]["verdict"] == "passed"
    assert by_name["locality"]["verdict"] == "skipped"
    failure = by_name["parity"]["failure"]
    assert failure["kind"] == "wrong parity"
    assert failure["cloud"].startswith("Cloud(")
    assert failure["code"].startswith("Data(")
    assert failure["error"] > 1e6 * failure["bound"]


def test_a_break_has_its_place_order_and_size_and_is_drawn(tmp_path):
    mutant = MUTANTS["hard cutoff"]
    report = certified(mutant.make(), mutant.contract, checks=["cutoff crossing"])
    (failure,) = [finding["failure"] for finding in report.to_json()["findings"]]
    assert failure["kind"] == "jump"
    assert failure["order"] == 0
    assert abs(failure["place"]) < 1e-2
    assert failure["size"] > 0
    assert len(failure["curve"]["x"]) == len(failure["curve"]["y"]) > 10
    draw(report, tmp_path / "out.png")
    assert (tmp_path / "out.png").stat().st_size > 20_000


def test_certify_prints_the_report(capsys):
    report = certify(PairNetwork(), profile=TINY, checks=["parity"])
    assert capsys.readouterr().out.strip() == str(report).strip()


# --- shrinking


def test_the_simplest_cloud_that_fails_alike_is_found():
    setting = Setting.of(Contract("0e"))

    def judge(several):
        # one fault for four points or more, another one for two
        outcomes = []
        for cloud in several:
            size = len(setting.structure(cloud))
            kind = NotEquivariant if size >= 4 else NonFinite if size == 2 else None
            outcomes.append(Outcome(cloud, 1.0, 0.0, kind and kind("wrong", cloud)))
        return outcomes

    first = judge([Cloud("icosahedron", 7, 5, (1, -2, 4, 2), scale=3, decorated=True)])[0]
    small = Shrinker(setting).smallest(judge, first, at_once=64, seconds=30)
    assert small.cloud == Cloud("generic")
    assert type(small.failure) is NotEquivariant
    assert len(setting.structure(small.cloud)) == 4


def test_what_no_smaller_cloud_replaces_is_made_plain():
    setting = Setting.of(Contract("0e"))

    def judge(several):
        return [
            Outcome(c, 1.0, 0.0, NotEquivariant("wrong", c) if c.offset and c.seed == 77 else None)
            for c in several
        ]

    first = judge([Cloud("prism", 6, 77, (1, -2, 4, 2), scale=3, offset=6, decorated=True)])[0]
    small = Shrinker(setting).smallest(judge, first, at_once=64, seconds=30)
    assert small.cloud == Cloud("prism", number=1, seed=77, offset=6)


def test_no_cloud_is_simpler_than_one_of_few_points():
    setting = Setting.of(Contract("0e"))
    simpler = Shrinker(setting).simpler(Cloud("cube"))
    ranks = [rank(cloud, setting) for cloud in simpler]
    assert ranks == sorted(ranks)
    assert len(setting.structure(simpler[0])) == 1
    assert Cloud("empty") not in simpler


# --- assertions


def test_every_check_has_an_assertion():
    names = {f"assert_{check.name.replace(' ', '_').lower()}" for check in CHECKS}
    names |= {"assert_equivariant", "assert_smooth", "assert_law"}
    assert names <= set(equivariance_tests.__all__)
    made = {name for name in vars(assertions_module) if name.startswith("assert_")}
    assert made == names
    for check in CHECKS:
        assertion = getattr(equivariance_tests, f"assert_{check.name.replace(' ', '_').lower()}")
        assert check.law in assertion.__doc__


def as_data(points: torch.Tensor) -> Data:
    return Data(pos=points)


@pytest.mark.parametrize("form", ["cloud", "data", "positions"])
def test_a_cloud_a_structure_or_positions_are_asserted(form):
    cloud = Cloud("generic", 5, 1)
    points = Setting.of(DECLARED).structure(cloud).positions
    given_as = {"cloud": cloud, "data": Data(pos=points), "positions": points.float()}[form]
    assert_equivariant(Symmetrizer(BARE, outputs=OUTPUTS), given_as)
    with pytest.raises(NotEquivariant) as caught:
        assert_equivariant(BARE, given_as, DECLARED)
    assert "torch.tensor([[" in str(caught.value)


def test_structures_have_what_the_contract_speaks_of():
    contract = Contract("0e", inputs={"field": "1o"}, periodic=True)
    taken = []

    def model(data):
        taken.append(data)
        return data.pos.new_zeros(data.num_graphs, 1).index_add(
            0, data.batch, (data.field[data.batch] * data.pos).sum(1, keepdim=True)
        )

    points = torch.eye(3)
    structure = Data(pos=points, z=torch.tensor([1, 8, 8]), field=torch.ones(1, 3))
    structure.cell = 5 * torch.eye(3)[None]
    with pytest.raises(NotTranslated):
        assert_law("translation", model, structure, contract, of_structures=["field"])
    # fields of the given structure, not those of random clouds
    (one,) = [data for data in taken if len(data.pos) == 3 and "z" in data][:1]
    assert one.z.tolist() == [1, 8, 8]
    assert one.cell.tolist() == (5 * torch.eye(3)[None]).tolist()
    assert bool(one.pbc.all())
    with pytest.raises(ValueError, match=r"the structure lacks \['field'\]"):
        assert_law("translation", model, points, contract, of_structures=["field"])
    with pytest.raises(ValueError, match=r"positions have shape \(3,\)"):
        assert_law("translation", model, torch.ones(3), contract, of_structures=["field"])


def test_smooth_is_asserted_at_a_cloud():
    mutant = MUTANTS["frame averaging"]
    with pytest.raises(Jump):
        assert_smooth(mutant.make(), Cloud("pyramid of equal inertia"), mutant.contract)
    assert_smooth(PairNetwork(), Cloud("generic", 3))


def test_what_the_contract_does_not_claim_is_not_asserted():
    with pytest.raises(ValueError, match="nothing to assert about parity: reflections are not"):
        assert_parity(BARE, Cloud(), Contract(OUTPUTS, group="SO(3)"))


def test_a_model_without_an_answer_fails_each_assertion():
    with pytest.raises(NonFinite):
        assert_parity(MUTANTS["NaN output"].make(), Cloud())


def test_hypothesis_finds_one_failure_and_makes_it_small():
    @settings(
        max_examples=20,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        # explaining traces every line
        phases=[Phase.generate, Phase.shrink],
    )
    @given(clouds(max_points=3, min_points=1, strata=["generic", "pair", "line"]))
    def mine(cloud: Cloud) -> None:
        assert_parity(BARE, cloud, DECLARED)

    with pytest.raises(WrongParity) as caught:
        mine()
    assert len(Setting.of(DECLARED).structure(caught.value.cloud)) == 1


def test_what_was_measured_is_kept_until_the_model_changes():
    net = PairNetwork()
    before = trial_of(net, None, False, {})
    assert trial_of(net, None, False, {}) is before
    assert trial_of(net, None, True, {}) is not before
    with torch.no_grad():
        net.outer.mul_(2.0)
    after = trial_of(net, None, False, {})
    assert after is not before
    assert trial_of(net, None, False, {"dtype": torch.float32}) is not after
    assert trial_of(net, None, False, {}) is after
