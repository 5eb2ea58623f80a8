"""Index symmetry of Cartesian tensors: from a formula to a group, its irreps and its invariants.

A formula such as "ij=-ji" stands for the group of signed index permutations that it generates;
the tensors that all of them leave alone are its space.
"""

import re
from functools import lru_cache

import numpy as np
from e3nn.math import germinate_formulas

SignedPermutations = tuple[tuple[int, tuple[int, ...]], ...]
"""Pairs of a sign and an order of the axes; a group that includes ``(1, identity)``."""


def index_symmetry(formula: str) -> SignedPermutations:
    """Return the group of signed index permutations that a formula generates, sorted.

    >>> index_symmetry("ij=-ji")
    ((1, (0, 1)), (-1, (1, 0)))
    """
    terms = formula.split("=")
    first = terms[0]
    if not (
        re.fullmatch(r"[a-z]+(=-?[a-z]+)*", formula)
        # in alphabetical order, so that no word such as "dipole" passes for six indices
        and list(first) == sorted(set(first))
        and all(sorted(term.removeprefix("-")) == sorted(first) for term in terms)
    ):
        raise ValueError(
            f"the Cartesian formula {formula!r} is not understood: write one letter per index, "
            "in alphabetical order, and then signed permutations of them, such as 'ij', 'ij=ji', "
            "'ij=-ji' or 'ijk=jik=ikj'; or irreps, such as '0e + 1o'"
        )
    _, group = germinate_formulas(formula)
    symmetry = tuple(sorted(group, key=lambda element: (element[1], element[0])))
    if (-1, tuple(range(len(first)))) in symmetry:
        raise ValueError(
            f"the Cartesian formula {formula!r} makes the tensor equal to minus itself, so only "
            "zero satisfies it: drop one of its signs"
        )
    return symmetry


@lru_cache
def decompose(symmetry: SignedPermutations) -> tuple[np.ndarray, np.ndarray]:
    """Split the tensors with the given symmetry by degree.

    The Casimir operator ``J^2`` has the eigenvalue ``l (l + 1)`` on every irrep of degree l; it is
    diagonalized within the symmetric tensors. NumPy in float64, because e3nn's own change of
    basis is rounded to the default dtype.

    Returns:
        (states,), the degree of each state, ascending; (dim, states), the states as orthonormal
        flat tensors.

    >>> decompose(index_symmetry("ij=ji"))[0]
    array([0, 2, 2, 2, 2, 2])
    """
    rank = len(symmetry[0][1])
    units = np.eye(3**rank).reshape(-1, *(3,) * rank)
    images = [sign * units.transpose(0, *(1 + a for a in axes)) for sign, axes in symmetry]
    average = np.mean(images, axis=0).reshape(3**rank, 3**rank)
    weights, vectors = np.linalg.eigh(average)  # a projector: weights are 0 or 1
    symmetric = vectors[:, weights > 0.5]
    squares, states = np.linalg.eigh(symmetric.T @ _casimir(rank) @ symmetric)
    # l (l + 1) + 1/4 = (l + 1/2)^2
    degrees = np.rint(np.sqrt(squares.clip(min=0) + 0.25) - 0.5).astype(int)
    return degrees, symmetric @ states


def _casimir(rank: int) -> np.ndarray:
    """Return ``J^2 = sum_a J_a^T J_a`` on flat tensors; J_a turns every index about axis a."""
    casimir = np.zeros((3**rank, 3**rank))
    for a in range(3):
        generator = np.cross(np.eye(3)[a], np.eye(3))
        turn_one = [
            np.kron(np.kron(np.eye(3**k), generator), np.eye(3 ** (rank - k - 1)))
            for k in range(rank)
        ]
        turn_all = np.sum(turn_one, axis=0)
        casimir += turn_all.T @ turn_all
    return casimir
