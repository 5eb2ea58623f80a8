"""Breaks along a path: found with place, order and size, and only where there are any."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from equivariance_tests.measure.scan import find_breaks


def smooth(t: Tensor) -> Tensor:
    return torch.sin(3 * t) + t.square()


class Counted:
    """A function that knows how often it was evaluated."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self.function, self.evaluations = function, 0

    def __call__(self, t: Tensor) -> Tensor:
        self.evaluations += len(t)
        return self.function(t)[:, None]


PLACE = 0.3137
BROKEN = {
    "jump": (lambda t: smooth(t) + 1.0 * (t > PLACE), 0, 1.0),
    "jump of 1e-10": (lambda t: smooth(t) + 1e-10 * (t > PLACE), 0, 1e-10),
    "kink": (lambda t: smooth(t) + (t - PLACE).abs(), 1, 2.0),
    "kink of 1e-6": (lambda t: smooth(t) + 5e-7 * (t - PLACE).abs(), 1, 1e-6),
    "break of the curvature": (lambda t: smooth(t) + (t - PLACE).clamp(min=0) ** 2, 2, 2.0),
    "kink in tiny units": (lambda t: 1e-30 * (t - PLACE).abs(), 1, 2e-30),
    "kink on a large offset": (lambda t: 1e3 + (t - PLACE).abs(), 1, 2.0),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_break_is_found_with_its_place_order_and_size(name):
    function, order, size = BROKEN[name]
    counted = Counted(function)
    (found,) = find_breaks(counted, -1.0, 1.0)
    assert found.order == order
    assert abs(found.place - PLACE) < 1e-3
    assert found.size == pytest.approx(size, rel=0.05)
    assert counted.evaluations < 2500


@pytest.mark.parametrize("place", [0.25, 0.3125, 0.0])
def test_a_break_where_panels_meet_is_found_once(place):
    """Also by panels that are followed together."""
    (found,) = find_breaks(lambda t: (t - place).abs()[:, None], -1.0, 1.0)
    assert found.order == 1
    assert found.place == pytest.approx(place, abs=1e-3)


def test_breaks_of_several_panels_are_found_together():
    places = [-0.7137, -0.2, 0.3137, 0.81]
    found = find_breaks(lambda t: sum((t - place).abs() for place in places)[:, None], -1.0, 1.0)
    assert [one.place for one in found] == pytest.approx(places, abs=1e-3)


SMOOTH = {
    "constant": lambda t: 0 * t + 1.0,
    "zero": lambda t: 0 * t,
    "a tanh of width 1e-6": lambda t: torch.tanh(1e6 * (t - PLACE)),
    "a tanh of width 1e-3": lambda t: smooth(t) + torch.tanh(1e3 * (t - PLACE)),
    "a bump that begins": lambda t: torch.where(
        t > PLACE, torch.exp(-1 / (t - PLACE).clamp(min=1e-300)), 0 * t
    ),
    "a steep bump that begins": lambda t: torch.where(
        t > PLACE, torch.exp(-1e-3 / (t - PLACE).clamp(min=1e-300)), 0 * t
    ),
    "a large offset": lambda t: 1e6 + smooth(t),
    "rounding noise": lambda t: smooth(t) + 1e-14 * torch.sin(1e15 * t),
    "a fast oscillation": lambda t: torch.sin(300 * t),
    "a break of the third derivative": lambda t: smooth(t) + (t - PLACE).clamp(min=0) ** 3,
}


@pytest.mark.parametrize("name", SMOOTH)
def test_what_is_smooth_raises_no_alarm(name):
    assert find_breaks(Counted(SMOOTH[name]), -1.0, 1.0) == []


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2),
    st.floats(-0.95, 0.95),
    st.floats(-4.0, 1.0),
    st.sampled_from([1.0, 1e-6, 1e6]),
)
def test_breaks_anywhere_of_any_order(order, place, exponent, unit):
    size = 10.0**exponent

    def function(t: Tensor) -> Tensor:
        x = t / unit - place
        broken = torch.where(x > 0, x**order, torch.zeros_like(x)) / math.factorial(order)
        return smooth(t / unit) + size * broken

    found = find_breaks(Counted(function), -unit, unit)
    assert [one.order for one in found] == [order]
    assert abs(found[0].place / unit - place) < 1e-2
    assert found[0].size * unit**order == pytest.approx(size, rel=0.1)


def test_several_breaks_and_several_values():
    def function(t: Tensor) -> Tensor:
        kinked = smooth(t) + (t - 0.6).abs()
        return torch.stack([kinked, 0.1 * (t < -0.7), smooth(t)], 1)

    found = find_breaks(function, -1.0, 1.0)
    assert [(one.name, round(one.place, 3)) for one in found] == [("jump", -0.7), ("kink", 0.6)]


def test_a_root_is_no_worse_than_it_is():
    # continuous, with an infinite slope
    (found,) = find_breaks(Counted(lambda t: (t - PLACE).abs() ** 0.75), -1.0, 1.0)
    assert found.order == 1


@pytest.mark.parametrize("end", [-1.0, 1.0])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_order_is_right_at_the_ends_of_a_path(order, end):
    """No panel within the path has such a break in its middle."""
    for off in (0.0, 1e-6, 1e-3, 4e-3):
        place = end - math.copysign(off, end)

        def function(t: Tensor, place: float = place) -> Tensor:
            return smooth(t) + (t - place).clamp(min=0) ** order

        found = find_breaks(Counted(function), -1.0, 1.0)
        assert [one.order for one in found] == ([order] if order < 3 else [])


def test_a_value_that_is_off_has_a_size():
    """Where both sides agree, and only in one place there is another value."""
    (found,) = find_breaks(Counted(lambda t: smooth(t) + 0.25 * (t.abs() < 1e-12)), -1.0, 1.0)
    assert found.order == 0
    assert found.size == pytest.approx(0.25, rel=0.05)
