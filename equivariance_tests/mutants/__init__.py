"""Known-bad models, each with one fault, and the checks that must fail on it.

They show that checks work, and what their failures look like:

>>> mutant = MUTANTS["a z-specific term"]
>>> sorted(mutant.fails)[0]
'Lie derivative'
"""

from collections.abc import Iterable
from dataclasses import replace
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

from equivariance_tests.mutants.averaged import DeepSet, DirectedPairs
from equivariance_tests.mutants.mutant import Mutant
from equivariance_tests.mutants.pairs import PairNetwork

# All files of this folder, so that a new one is found. One may have ``MUTANTS``, and ``ALSO``: for
# the name of a check, mutants of other files on which it must fail, too. So a new check and all
# that is said of it stand in one file
FILES = tuple(import_module(f"{__name__}.{file.name}") for file in iter_modules(__path__))


def gathered(files: Iterable[ModuleType]) -> dict[str, Mutant]:
    """All mutants by name, each with all checks that must fail on it.

    Raises:
        ValueError: if a file says of a mutant that it is seen, and there is no such mutant.
    """
    found: dict[str, Mutant] = {}
    for file in files:
        found |= getattr(file, "MUTANTS", {})
    for file in files:
        for check, names in getattr(file, "ALSO", {}).items():
            unknown = sorted(set(names) - set(found))
            if unknown:
                raise ValueError(f"{check!r} is said to fail on {unknown}: there are {list(found)}")
            for name in names:
                found[name] = replace(found[name], fails=found[name].fails | {check})
    return found


MUTANTS: dict[str, Mutant] = gathered(FILES)

__all__ = ["MUTANTS", "DeepSet", "DirectedPairs", "Mutant", "PairNetwork"]
