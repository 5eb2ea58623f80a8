"""Known-bad models, each with one fault, and the checks that must fail on it.

They show that checks work, and what their failures look like:

>>> mutant = MUTANTS["a z-specific term"]
>>> sorted(mutant.fails)[0]
'Lie derivative'
"""

from equivariance_tests.mutants import (
    averages,
    breaks,
    copies,
    forces,
    frames,
    further,
    memory,
    numbers,
    representations,
    rounds,
    symmetry,
)
from equivariance_tests.mutants.averaged import DeepSet, DirectedPairs
from equivariance_tests.mutants.mutant import Mutant
from equivariance_tests.mutants.pairs import PairNetwork

MUTANTS: dict[str, Mutant] = {
    **symmetry.MUTANTS,
    **representations.MUTANTS,
    **averages.MUTANTS,
    **frames.MUTANTS,
    **breaks.MUTANTS,
    **memory.MUTANTS,
    **copies.MUTANTS,
    **further.MUTANTS,
    **numbers.MUTANTS,
    **forces.MUTANTS,
    **rounds.MUTANTS,
}

__all__ = ["MUTANTS", "DeepSet", "DirectedPairs", "Mutant", "PairNetwork"]
