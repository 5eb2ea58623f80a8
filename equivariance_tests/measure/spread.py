"""What errors are measured in: the spread of an output.

The spread is the root mean square of each part of an output (one irrep, one Cartesian tensor) over
unrelated clouds, from its mean: neither a constant offset nor zeros make an error look small.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from equivariance_tests.clouds import Cloud, Structure
from equivariance_tests.clouds.cases import UNRELATED, unrelated, unrelated_crystals
from equivariance_tests.clouds.given import around
from equivariance_tests.model.subject import Subject

# An output that changes by less than this part of its size is the same for all clouds
VACUOUS = {torch.float64: 1e-10, torch.float32: 1e-6}
# A part of an irrep that is this much fainter than the rest is measured with the rest
FAINT = 1e-6


@dataclass(frozen=True)
class Spread:
    """The spread of each output.

    Attributes:
        scales: (dim,) of each output: the spread of the part that a column belongs to.
        vacuous: parts that are the same for all clouds, such as "energy 0e".
        undefined: the clouds without a finite answer, out of those that were tried.
    """

    scales: Mapping[str, Float[Tensor, "dim"]]
    vacuous: tuple[str, ...]
    undefined: tuple[Cloud, ...]


def spread_of(
    subject: Subject,
    answered: Callable[[Sequence[Cloud]], list[bool]],
    like: Structure | None = None,
) -> Spread:
    """The spread of each output of a model over unrelated clouds.

    It is infinite where the model answers none of them.

    Args:
        subject: the model.
        answered: whether it has an answer to each of some clouds.
        like: a structure of a user with attributes of its own: spreads are measured over structures
            like that one.
    """
    clouds = unrelated(subject.contract) if like is None else around(like, UNRELATED)
    good = answered(clouds)
    undefined = tuple(c for c, one in zip(clouds, good, strict=True) if not one)
    if len(undefined) == len(clouds):
        outputs = subject.contract.outputs.items()
        endless = {name: torch.full((one.representation.dim,), torch.inf) for name, one in outputs}
        return Spread({name: scale.double() for name, scale in endless.items()}, (), undefined)
    defined = [cloud for cloud, one in zip(clouds, good, strict=True) if one]
    species = subject.setting.species
    answers = subject([_of_species(one, species) for one in subject.structures(defined)])
    finite = answers.finite()
    scales, vacuous = {}, []
    for name, values in answers.values.items():
        kept = values[finite[answers.rows[name].owner]]
        scales[name], same = _spread(subject, name, kept)
        if same and subject.contract.periodic:
            # a stress is zero in space: it differs between crystals alone
            scales[name], same = _spread(subject, name, _in_crystals(subject, answered, name))
        vacuous += [f"{name} {label}" for label in same]
    return Spread(scales, tuple(vacuous), undefined)


def _spread(
    subject: Subject, name: str, kept: Float[Tensor, "rows dim"]
) -> tuple[Float[Tensor, "dim"], list[str]]:
    """The spread of each column of an output, and what parts of it are the same in all rows."""
    representation = subject.contract.outputs[name].representation
    scale = torch.full((kept.size(1),), torch.inf, dtype=torch.float64)
    if not len(kept):
        return scale, []
    squares = (kept - kept.mean(0)).square().mean(0)
    size, vacuous = float(kept.abs().max()), []
    for label, columns in _irreps(representation):
        whole = float(squares[columns].mean().sqrt())
        if not whole > VACUOUS[subject.dtype] * size:
            vacuous.append(label)
            continue
        for block in representation.blocks:
            if columns.start <= block.columns.start < columns.stop:
                part = float(squares[block.columns].mean().sqrt())
                scale[block.columns] = max(part, FAINT * whole)
    return scale, vacuous


def _in_crystals(
    subject: Subject, answered: Callable[[Sequence[Cloud]], list[bool]], name: str
) -> Float[Tensor, "rows dim"]:
    """The finite answers to crystals that differ as the unrelated clouds do."""
    clouds = unrelated_crystals(subject.contract)
    kept = [c for c, good in zip(clouds, answered(clouds), strict=True) if good]
    species = subject.setting.species
    crystals = [_of_species(one, species) for one in subject.structures(kept)]
    if not crystals:
        return torch.zeros(0, subject.contract.outputs[name].representation.dim).double()
    answers = subject(crystals)
    return answers.values[name][answers.finite()[answers.rows[name].owner]]


def _of_species(structure: Structure, species: Sequence[int]) -> Structure:
    """All points of the first species: energies of compositions differ by more than of shapes."""
    if structure.species is None:
        return structure
    return replace(structure, species=torch.full_like(structure.species, species[0]))


def _irreps(representation: object) -> list[tuple[str, slice]]:
    """All copies of an irrep together, or the whole Cartesian tensor."""
    found: dict[str, slice] = {}
    for block in representation.blocks:  # type: ignore[attr-defined]
        label = block.label.partition("[")[0]
        start = found[label].start if label in found else block.columns.start
        found[label] = slice(start, block.columns.stop)
    return list(found.items())
