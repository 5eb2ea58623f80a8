"""Hypothesis strategies over the degenerate strata: clouds, batches of them, and turns.

They draw descriptors, integers and names, and not floats: what fails is shrunk to few points, then
to a simple stratum, then to no turn, and prints as code.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from equivariance_tests.clouds.cloud import Cloud, Setting
from equivariance_tests.clouds.crystals import CRYSTALS
from equivariance_tests.clouds.rattled import DISTANCES, PERFECT
from equivariance_tests.clouds.strata import FINITE
from equivariance_tests.clouds.turns import GENERIC_ORIENTATION, UNTURNED, Turn, turns_of
from symmetrize.groups import Group, has_reflections, is_axial

LARGEST_SEED = 99
# So many times the largest number of points: a quarter of the clouds, about, lacks some points
ENOUGH = 3
# An orientation in which coordinates are exchanged, and generic ones
ORIENTATIONS = (UNTURNED, (1, 1, 1, 1), GENERIC_ORIENTATION, (1, -2, 4, 2), (5, 2, 0, -3))
SCALES = (0, 3, -3, 6, -6)
OFFSETS = (0, 3, 6)


def clouds(
    max_points: int = 12,
    min_points: int = 0,
    strata: Sequence[str] | None = None,
    periodic: bool = False,
    scaled: bool = False,
    decorated: bool = False,
) -> st.SearchStrategy[Cloud]:
    """Clouds of every stratum, with ``min_points`` to ``max_points`` points.

    Args:
        max_points: largest number of points.
        min_points: smallest number of points.
        strata: names to draw from; all finite ones if not given.
        periodic: whether to draw crystals too.
        scaled: whether to draw clouds that are far from the origin, or of another size by up to
            10^6 in either direction.
        decorated: whether to draw clouds whose species and inputs differ from point to point.

    >>> clouds(max_points=5).example()  # doctest: +SKIP
    Cloud('polygon', number=3)
    """
    names = strata
    if names is None:
        names = (*FINITE, *CRYSTALS) if periodic else tuple(FINITE)
    plain = Setting()

    @st.composite
    def draw_cloud(draw: Callable[..., Any]) -> Cloud:
        # in this order what is drawn first is made simple first: many shapes have a number of
        # points of their own, and are made smaller by leaving out the last of them
        first = draw(st.integers(min_points, max(1, ENOUGH * max_points)))
        number = draw(st.integers(max(1, min_points), max(1, max_points)))
        stratum = draw(st.sampled_from(names))
        cloud = Cloud(
            stratum,
            number,
            draw(st.integers(0, LARGEST_SEED)),
            draw(st.sampled_from(ORIENTATIONS)),
            draw(st.sampled_from(SCALES)) if scaled else 0,
            draw(st.sampled_from(OFFSETS)) if scaled else 0,
            draw(st.booleans()) if decorated else False,
            rattled=draw(st.sampled_from((0.0, *DISTANCES))) if stratum in PERFECT else 0.0,
        )
        return cloud if first >= len(plain.structure(cloud)) else replace(cloud, first=first)

    def fits(cloud: Cloud) -> bool:
        return min_points <= len(plain.structure(cloud)) <= max_points

    return draw_cloud().filter(fits)


def batches(max_structures: int = 4, max_points: int = 6) -> st.SearchStrategy[list[Cloud]]:
    """Ragged batches of structures, empty ones among them, as lists of clouds."""
    return st.lists(clouds(max_points), min_size=1, max_size=max_structures)


@st.composite
def turns(draw: Callable[..., Any], group: Group = "O(3)") -> Turn:
    """An element of the group, about z if it has an axis: a special one, or a generic one."""
    if draw(st.booleans()):
        return draw(st.sampled_from([*turns_of(group).values()]))
    whole = st.integers(-3, 3)
    improper = draw(st.booleans()) if has_reflections(group) else False
    if is_axial(group):
        one, other = draw(st.tuples(whole, whole).filter(any))
        return Turn((0, one, other, 0) if improper else (one, 0, 0, other), 0.0, improper)
    quaternion = draw(st.tuples(whole, whole, whole, whole).filter(any))
    return Turn(quaternion, 0.0, improper)
