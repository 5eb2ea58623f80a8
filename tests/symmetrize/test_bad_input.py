"""What is refused, with its value and a way out, before the network is called."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data

from symmetrize import (
    HierarchicalFrames,
    PairFrames,
    Symmetrizer,
    per_point,
)
from tests.common.laws import (
    configured,
    scopes,
)
from tests.common.networks import Counter, DeepSet
from tests.common.strata import (
    CASES,
    CUTOFF,
    SOLIDS,
    collate,
)

POS = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]], dtype=torch.float64)


def spoiled(value: float) -> Tensor:
    pos = POS.clone()
    pos[1, 2] = value
    return pos


BAD_DATA: dict[str, tuple[Any, str]] = {
    "NaN": (Data(pos=spoiled(math.nan)), r"`pos` is nan at \[1, 2\] but must be finite"),
    "infinity": (Data(pos=spoiled(math.inf)), r"`pos` is inf at \[1, 2\] but must be finite"),
    "no positions": (Data(x=POS), "no positions `pos`"),
    "flat positions": (Data(pos=POS.flatten()), r"shape \(9,\).*must be \(points, 3\)"),
    "two dimensions": (Data(pos=POS[:, :2]), r"shape \(3, 2\).*must be \(points, 3\)"),
    "padded": (Data(pos=POS[None]), r"shape \(1, 3, 3\).*under each other"),
    "integers": (Data(pos=POS.long()), r"torch.int64 but must be float32 or float64.*convert"),
    "half precision": (Data(pos=POS.half()), "torch.float16 but must be float32 or float64"),
    "a tensor": (POS, r"Tensor.*must be a torch_geometric Data.*Data\(pos="),
    "a list": ([Data(pos=POS)], r"list.*must be a torch_geometric Data or Batch"),
    "short batch": (Data(pos=POS, batch=torch.zeros(2).long()), r"shape \(2,\).*\(3,\)"),
    "batch of floats": (Data(pos=POS, batch=torch.zeros(3)), "float32.*must be int64"),
    "negative batch": (Data(pos=POS, batch=torch.tensor([-1, 0, 0])), "contains -1.*from 0"),
    "empty batch": (
        Data(pos=torch.zeros(0, 3), batch=torch.zeros(0).long()),
        "the batch is empty.*0 structures.*valid",
    ),
    "missing input": (Data(pos=POS, cell=torch.eye(3)), "has no 'field'.*declares"),
    "input of wrong width": (Data(pos=POS, field=torch.ones(1, 2)), r"'field' has shape \(1, 2\)"),
    "input not finite": (Data(pos=POS, field=torch.ones(1, 3) / 0), r"`field` is inf at \[0, 0\]"),
    "integer input": (Data(pos=POS, field=torch.ones(1, 3).long()), "field.*int64.*float"),
    "input of nobody": (
        Data(
            pos=POS.repeat(2, 1),
            field=torch.ones(3, 3),
            batch=torch.tensor([0, 0, 0, 1, 1, 1]),
        ),
        "neither to points nor to edges nor to the 2 structures",
    ),
    "cell not finite": (
        Data(pos=POS, field=torch.ones(1, 3), cell=torch.eye(3)[None] * math.nan),
        "`cell` is nan",
    ),
    "cell of wrong shape": (
        Data(pos=POS, field=torch.ones(1, 3), cell=torch.ones(1, 5)),
        r"`cell` has shape \(1, 5\)",
    ),
    "one cell for three structures": (
        Data(
            pos=POS,
            batch=torch.arange(3),
            field=torch.ones(3, 3),
            cell=torch.eye(3, dtype=torch.float64),
        ),
        r"`cell` has shape \(3, 3\).*for each of 3 structures",
    ),
    "scores of wrong shape": (
        Data(pos=POS, field=torch.ones(1, 3), frame_scores=torch.ones(2)),
        "`frame_scores` must hold one positive number for each of 3 points",
    ),
    "negative scores": (
        Data(pos=POS, field=torch.ones(1, 3), frame_scores=torch.tensor([1.0, 1, -1])),
        "`frame_scores`.*minimum -1",
    ),
    "scores not finite": (
        Data(pos=POS, field=torch.ones(1, 3), frame_scores=torch.tensor([1.0, math.nan, 1])),
        r"`frame_scores` is nan at \[1\] but must be finite",
    ),
    "infinite scores": (
        Data(pos=POS, field=torch.ones(1, 3), frame_scores=torch.tensor([1.0, math.inf, 1])),
        r"`frame_scores` is inf at \[1\] but must be finite",
    ),
    "periodic without a cutoff": (
        Data(pos=POS, field=torch.ones(1, 3), cell=torch.eye(3, dtype=torch.float64)[None]),
        r"periodic.*HierarchicalFrames\(cutoff=",
    ),
}


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize(("data", "message"), BAD_DATA.values(), ids=BAD_DATA)
def test_bad_data_is_refused_before_the_network_is_called(data: Any, message: str) -> None:
    net = Counter()
    with pytest.raises((ValueError, TypeError), match=f"(?s){message}"):
        Symmetrizer(net, "0e", inputs={"field": "1o"})(data)
    assert net.calls == 0


BAD_ARGUMENTS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown group": ({"group": "U(1)"}, r"`group` is 'U\(1\)'.*'O\(3\)', 'SO\(3\)'"),
    "unknown scope": ({"scope": "centre"}, "`scope` is 'centre'.*'structure', 'center'"),
    "unknown training": ({"training": "one"}, "`training` is 'one'.*'sampled'"),
    "unknown reduction": ({"scope": "center", "reduce": "max"}, "`reduce` is 'max'.*'mean'"),
    "no cutoff": ({"scope": "center"}, r"needs a cutoff.*HierarchicalFrames\(cutoff="),
    "a reduction of structures": ({"reduce": "sum"}, r'`reduce` is \'sum\'.*scope="center"'),
    "chunks of nothing": ({"chunk_size": 0}, "`chunk_size` is 0 but must be at least 1"),
    "no outputs": ({"outputs": {}}, "`outputs` is empty"),
    "unknown irrep": ({"outputs": "1x"}, "1x"),
    "scalar positions": ({"inputs": {"pos": "3x0e"}}, "'pos'.*declare it '1o'"),
}


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize(("options", "message"), BAD_ARGUMENTS.values(), ids=BAD_ARGUMENTS)
def test_bad_arguments_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=f"(?s){message}"):
        Symmetrizer(Counter(), **{"outputs": "0e", **options})


BAD_FRAMES: dict[str, tuple[Callable[[], Any], str]] = {
    "negative cutoff": (lambda: HierarchicalFrames(-1.0), "`cutoff` is -1.0.*positive"),
    "cutoff NaN": (lambda: HierarchicalFrames(math.nan), "`cutoff` is nan.*positive"),
    "length scale": (lambda: HierarchicalFrames(length_scale=0.0), "`length_scale` is 0.0"),
    "preset": (lambda: HierarchicalFrames(preset="fast"), "`preset` is 'fast'.*lean"),
    "no frames": (lambda: HierarchicalFrames(max_frames=0), "`max_frames` is 0.*at least 1"),
    "score": (lambda: HierarchicalFrames(species_scores={1: 0.0}), "species 1 the score 0.0"),
    "score NaN": (lambda: HierarchicalFrames(species_scores={1: math.nan}), "species 1.*nan"),
}


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize(("make", "message"), BAD_FRAMES.values(), ids=BAD_FRAMES)
def test_bad_frames_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"(?s){message}"):
        make()


def returning(value: Any) -> Callable[[Data], Any]:
    return lambda data: value(data) if callable(value) else value


BAD_RETURNS: dict[str, tuple[Any, Any, str]] = {
    "too wide": ("1o", lambda d: d.pos.new_zeros(d.num_graphs, 4), "4.*1o.*3"),
    "a wide scalar": ("0e", lambda d: d.pos.new_zeros(d.num_graphs, 4), "4.*0e.*1"),
    "a flat tensor": ("ij", lambda d: d.pos.new_zeros(d.num_graphs, 8), "8.*ij.*9"),
    "points for structures": ("1o", lambda d: d.pos, "one row for each.*per_point"),
    "structures for points": (
        per_point("1o"),
        lambda d: d.pos.new_zeros(d.num_graphs, 3),
        "points.*one row for each",
    ),
    "a single row": ("1o", lambda d: d.pos.new_zeros(3), "one row for each"),
    "no row": ("0e", lambda d: d.pos.sum(), "one row for each"),
    "a dict for a tensor": ("0e", lambda d: {"a": d.pos}, "dict.*declare a mapping"),
    "a tensor for a dict": ({"a": "0e", "b": "0e"}, lambda d: d.pos, "Tensor.*'a', 'b'"),
    "another name": ({"a": "0e"}, lambda d: {"b": d.pos}, "'b'.*'a'.*declare every output"),
    "integers": ("0e", lambda d: d.pos.new_zeros(d.num_graphs, 1).long(), "int64"),
}


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize(("outputs", "value", "message"), BAD_RETURNS.values(), ids=BAD_RETURNS)
def test_outputs_that_do_not_fit_are_refused(outputs: Any, value: Any, message: str) -> None:
    cloud = collate([CASES["cube"].points(), CASES["generic"].points()])
    with pytest.raises((ValueError, TypeError), match=f"(?s){message}"):
        Symmetrizer(returning(value), outputs)(cloud)


def test_too_many_frames_are_refused_with_a_way_out() -> None:
    net = Counter()
    model = Symmetrizer(net, "0e", frames=HierarchicalFrames(max_frames=10))
    with pytest.raises(ValueError, match=r"(?s)more than `max_frames` = 10.*raise `max_frames`"):
        model(collate([SOLIDS["cube"]]))
    assert net.calls == 0


def test_pair_frames_without_a_frame_say_so() -> None:
    net = Counter()
    model = Symmetrizer(net, "0e", frames=PairFrames(CUTOFF))
    with pytest.raises(ValueError, match=r"(?s)no frame.*collinear.*HierarchicalFrames.*auxiliary"):
        model(collate([CASES["line"].points()]))
    assert net.calls == 0


@scopes
def test_a_network_is_never_called_without_structures(scope: str) -> None:
    # many networks cannot pool over nothing
    net = DeepSet("0e+1o")
    model = configured(scope, "O(3)", outputs="0e+1o", net=net)
    found = model(collate([CASES["empty"].points()]))
    assert found.shape == ((1, 4) if scope == "structure" else (0, 4))
    assert 0 not in net.calls
    pairs = PairFrames(CUTOFF, auxiliary=DeepSet("0e+1o"))
    Symmetrizer(net, "0e+1o", frames=pairs)(collate([CASES["line"].points()]))
    assert 0 not in net.calls
