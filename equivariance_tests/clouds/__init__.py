"""Clouds of every degenerate stratum, and Hypothesis strategies that draw them."""

from equivariance_tests.clouds.cloud import STRATA, Cloud, Setting
from equivariance_tests.clouds.strategies import batches, clouds, turns
from equivariance_tests.clouds.structure import Structure, collate
from equivariance_tests.clouds.turns import TURNS, Turn

__all__ = [
    "STRATA",
    "TURNS",
    "Cloud",
    "Setting",
    "Structure",
    "Turn",
    "batches",
    "clouds",
    "collate",
    "turns",
]
