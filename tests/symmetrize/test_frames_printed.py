"""What frames print: the call that makes them again."""

import math

import pytest
from torch import nn

import symmetrize
from symmetrize import (
    Frames,
    HierarchicalFrames,
    PairFrames,
    Symmetrizer,
    per_point,
)
from symmetrize.frames import __all__ as public
from symmetrize.frames import hierarchical, settings
from symmetrize.frames.hierarchical import Preset, Selection, Steadiness
from symmetrize.frames.hierarchical.presets import PRESETS
from symmetrize.frames.pairs import Pruning
from tests.common.families import EXAMPLES

NAMES = {name: getattr(symmetrize.frames, name) for name in public}
NAMES |= {"Pruning": Pruning, "Preset": Preset, "Selection": Selection, "Steadiness": Steadiness}


def test_every_family_is_tried():
    families = [getattr(symmetrize.frames, name) for name in public]
    shipped = {f for f in families if isinstance(f, type) and issubclass(f, Frames)} - {Frames}
    assert {type(frames) for frames in EXAMPLES.values()} == shipped


@pytest.mark.parametrize("text", EXAMPLES)
def test_frames_print_the_call_that_makes_them(text):
    frames = EXAMPLES[text]
    assert repr(frames) == text
    again = eval(text, NAMES)
    assert vars(again) == vars(frames)
    assert again.settings() == frames.settings()


@pytest.mark.parametrize("text", EXAMPLES)
def test_settings_make_them_too(text):
    frames = EXAMPLES[text]
    assert vars(type(frames)(**frames.settings())) == vars(frames)


def test_a_selection_that_is_a_preset_goes_by_its_name():
    frames = HierarchicalFrames(selection=PRESETS["lean"])
    assert repr(frames) == "HierarchicalFrames(preset='lean')"


class Invariant(nn.Module):
    def forward(self, data):
        return data.pos


@pytest.mark.parametrize(
    ("auxiliary", "shown"), [(Invariant(), "Invariant(...)"), (len, "len")], ids=str
)
def test_an_auxiliary_model_goes_by_its_name(auxiliary, shown):
    frames = PairFrames(4.0, auxiliary=auxiliary)
    assert repr(frames) == f"PairFrames(cutoff=4.0, auxiliary={shown})"


class Mine(Frames):
    def __init__(self, width, hidden=1, *rest, **others):
        self.width = width

    of_clouds = None


def test_frames_of_others_print_what_they_keep():
    assert repr(Mine(math.inf, 3)) == "Mine(width=inf)"


def test_a_symmetrizer_prints_its_frames_and_what_is_unusual():
    def net(data):
        return data.pos

    usual = Symmetrizer(net, per_point("1o"), frames=HierarchicalFrames(5.0))
    printed = (
        "outputs={'output': per_point('1o')}, group='O(3)', scope='structure', "
        "frames=HierarchicalFrames(cutoff=5.0)"
    )
    assert usual.extra_repr() == printed
    model = Symmetrizer(
        net,
        "0e",
        {"field": "1o"},
        HierarchicalFrames(5.0),
        scope="center",
        reduce="sum",
        chunk_size=64,
        training="sampled",
    )
    assert model.extra_repr().endswith(
        "frames=HierarchicalFrames(cutoff=5.0), inputs={'field': '1o'}, reduce='sum', "
        "chunk_size=64, training='sampled'"
    )


@pytest.mark.parametrize("name", ["Preset", "Selection"])
def test_names_that_moved_are_found_with_a_warning(name: str) -> None:
    with pytest.warns(DeprecationWarning, match=r"import it from symmetrize.frames.hierarchical"):
        assert getattr(settings, name) is getattr(hierarchical, name)
