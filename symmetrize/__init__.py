"""Exact and smooth rotational symmetry for any network on point clouds."""

from typing import Any

from symmetrize.arrays.switching import cutoff_switch
from symmetrize.arrays.vectors import safe_norm
from symmetrize.atoms import from_ase, from_calculator, to_ase
from symmetrize.contract import Contract
from symmetrize.data.owners import owners
from symmetrize.data.periods import periods
from symmetrize.declaration import Outputs
from symmetrize.derivatives import Derivatives, forces_and_stress
from symmetrize.drawing import show
from symmetrize.frames import (
    Ensemble,
    FrameAveraging,
    Frames,
    HierarchicalFrames,
    PairFrames,
    QuadratureFrames,
    RandomFrames,
)
from symmetrize.hessians import hessian, hessian_vector_products
from symmetrize.outputs import Output, log_probabilities, per_edge, per_point
from symmetrize.points.neighbors import Neighbors, neighbor_list
from symmetrize.points.periods import Periods
from symmetrize.symmetrizer import Symmetrizer
from symmetrize.weights import load_weights

__all__ = [
    "Contract",
    "Derivatives",
    "Ensemble",
    "FrameAveraging",
    "Frames",
    "HierarchicalFrames",
    "Neighbors",
    "Output",
    "Outputs",
    "PairFrames",
    "Periods",
    "QuadratureFrames",
    "RandomFrames",
    "SymmetrizedCalculator",
    "Symmetrizer",
    "cutoff_switch",
    "forces_and_stress",
    "from_ase",
    "from_calculator",
    "hessian",
    "hessian_vector_products",
    "load_weights",
    "log_probabilities",
    "neighbor_list",
    "owners",
    "per_edge",
    "per_point",
    "periods",
    "safe_norm",
    "show",
    "to_ase",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # derives from a class of ase, which nobody else needs
    if name != "SymmetrizedCalculator":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from symmetrize.calculator import SymmetrizedCalculator

    return SymmetrizedCalculator
