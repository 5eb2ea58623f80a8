"""Named clouds that checks are tried on: one of each stratum, degenerate ones, unrelated ones."""

from __future__ import annotations

from dataclasses import replace

from equivariance_tests.clouds.cloud import STRATA, Cloud, Setting
from equivariance_tests.clouds.crystals import CRYSTALS
from equivariance_tests.clouds.rattled import DISTANCES, PERFECT
from equivariance_tests.clouds.turns import GENERIC_ORIENTATION, UNTURNED
from symmetrize import Contract

# Clouds whose points are told apart by more than where they are
DECORATED = [Cloud("generic", n, n, GENERIC_ORIENTATION, decorated=True) for n in (3, 6, 9)]
# Clouds that spreads are taken over, all of one size and one composition
UNRELATED, POINTS = 30, 6


def every_stratum(contract: Contract) -> list[Cloud]:
    """A cloud of each stratum in a generic orientation, then in the one of its coordinates.

    Then those next to a symmetric one.
    """
    names = [name for name in STRATA if contract.periodic or name not in CRYSTALS]
    turned = [Cloud(name, 5, 1, GENERIC_ORIENTATION) for name in names]
    return turned + [Cloud(name, 5, 1) for name in names] + rattled_clouds(contract)


def perfect_clouds(contract: Contract) -> list[Cloud]:
    """Solids, clusters, shells and crystals, in a generic orientation."""
    names = [name for name in PERFECT if contract.periodic or name not in CRYSTALS]
    return [Cloud(name, 5, 1, GENERIC_ORIENTATION) for name in names]


def rattled_clouds(contract: Contract) -> list[Cloud]:
    """The same, with their points moved: all of them by a little first."""
    perfect = perfect_clouds(contract)
    return [replace(one, rattled=distance) for distance in DISTANCES for one in perfect]


def degenerate(contract: Contract) -> list[Cloud]:
    """A cloud on each stratum, in a generic orientation."""
    return [
        cloud
        for cloud in every_stratum(contract)
        if cloud.turn != UNTURNED
        and not cloud.rattled
        and "off by" not in cloud.stratum
        and (contract.cutoff or "cutoff" not in cloud.stratum)
    ]


def small_clouds(contract: Contract, most: int) -> list[Cloud]:
    """A cloud of each stratum in a generic orientation, of no more than ``most`` points."""
    setting = Setting.of(contract)
    return [
        cloud
        for cloud in every_stratum(contract)
        if cloud.turn == GENERIC_ORIENTATION and len(setting.structure(cloud)) <= most
    ]


def unrelated(contract: Contract) -> list[Cloud]:
    """Clouds of one size, whose inputs differ too: outputs may be zero where inputs are."""
    inputs = bool(contract.inputs)
    return [Cloud("generic", POINTS, seed, decorated=inputs) for seed in range(UNRELATED)]


def unrelated_crystals(contract: Contract) -> list[Cloud]:
    """Crystals that differ as the unrelated clouds do, of a contract that understands cells."""
    return [replace(one, stratum="crystal") for one in unrelated(contract) if contract.periodic]
