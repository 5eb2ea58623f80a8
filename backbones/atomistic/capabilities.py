"""What an exported model says of itself: which outputs, in which units, and how far it sees.

How an output turns is not part of what metatomic's capabilities say. It is read from the labels of
one evaluation, and may be declared by the user instead: a tensor as symmetric, a scalar as odd.

Source: metatomic's documentation, "Standard quantities".
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from backbones.atomistic.libraries import metatomic
from backbones.atomistic.systems import LENGTH_UNIT
from symmetrize import Contract, Output
from symmetrize.representation import as_representation

# Units of standard quantities here; any other quantity stays in the unit of the model
UNITS = {
    "energy": "eV",
    "energy_ensemble": "eV",
    "energy_uncertainty": "eV",
    "non_conservative_force": "eV/A",
    "non_conservative_stress": "eV/A^3",
}
# Standard quantities that belong to atoms, where the model has them for atoms
OF_ATOMS = {"non_conservative_force", "charge", "mass", "momentum", "position", "velocity"}
# Standard quantities that turn otherwise than their labels say
TURNS = {"non_conservative_stress": "ij=ji"}
# What has no representation to be averaged in, and names kept for engines of the past
LEFT_OUT = {"feature", "features", "non_conservative_forces", "positions", "momenta", "masses"}
LEFT_OUT |= {"velocities", "charges"}

# Names, or how outputs turn by name, as in ``Symmetrizer``
Wanted: TypeAlias = Sequence[str] | Mapping[str, Any] | None

# What may be asked for, by kind of samples: of what atoms have, structures have the sum
ROWS: dict[str | None, tuple[str, ...]] = {"system": ("structure",), "atom": ("structure", "point")}


@dataclass(frozen=True)
class Wish:
    """One output to ask the model for.

    Attributes:
        request: as metatomic is asked for it.
        per_point: whether there is one row for each atom.
        declared: how the user says that it turns, or None.
    """

    request: Any
    per_point: bool
    declared: Output | None = None

    def output(self, name: str, found: str) -> Output:
        """The declared output, or the one that was found in the labels.

        Raises:
            ValueError: if what was declared has another size than the output.
        """
        representation = as_representation(TURNS.get(_quantity(name), found))
        if self.declared is None:
            return Output(representation, "point" if self.per_point else "structure")
        if self.declared.representation.dim != representation.dim:
            raise ValueError(
                f"`outputs` declares {name!r} as {self.declared.representation}, of dimension "
                f"{self.declared.representation.dim}, but the model returns {representation}, of "
                f"dimension {representation.dim}: name it without a representation to use that"
            )
        return self.declared


def wishes(offered: Mapping[str, Any], outputs: Wanted) -> dict[str, Wish]:
    """The outputs to ask for: those named or declared by the user, or all that have a meaning.

    Raises:
        ValueError: if the model does not offer one, or only for pairs of atoms.
    """
    declared = dict(Contract(outputs).outputs) if isinstance(outputs, Mapping) else {}
    names = [name for name in offered if _quantity(name) not in LEFT_OUT and "::aux::" not in name]
    if outputs is not None:
        names = [outputs] if isinstance(outputs, str) else list(outputs)
    found = {}
    for name in names:
        kind = offered[name].sample_kind if name in offered else None
        rows = declared[name].rows if name in declared else None
        if kind not in ROWS or rows not in (None, *ROWS[kind]):
            what = "does not offer" if kind is None else f"offers for each {kind} alone"
            raise ValueError(
                f"`outputs` asks for {name!r}, which the model {what}; it has "
                f"{', '.join(sorted(offered))}"
            )
        if name in declared:
            of_atoms = declared[name].per_point
        else:
            of_atoms = kind == "atom" and _quantity(name) in OF_ATOMS
        request = metatomic.ModelOutput(
            unit=UNITS.get(_quantity(name), "") or offered[name].unit,
            sample_kind="atom" if of_atoms else "system",
        )
        found[name] = Wish(request, of_atoms, declared.get(name))
    return found


def sight(model: Any, wished: Mapping[str, Wish]) -> dict[str, Any]:
    """How far a model sees, as the arguments of a ``Contract``.

    A range beyond the largest neighbor list is that of messages, an infinite one has no cutoff.
    Energies are extensive where it is finite.
    """
    lists = [request.engine_cutoff(LENGTH_UNIT) for request in model.requested_neighbor_lists()]
    reach = model.capabilities().engine_interaction_range(LENGTH_UNIT)
    if not 0 < reach < math.inf:
        return {}
    cutoff = min(max(lists, default=reach), reach)
    whole = [name for name, wish in wished.items() if not wish.per_point]
    return {
        "cutoff": cutoff,
        "rounds": math.ceil(reach / cutoff * (1 - 1e-9)),
        "extensive": all(_quantity(name) == "energy" for name in whole),
    }


def known_smoothness(model: Any) -> int | float | None:
    """Number of continuous derivatives of metatrain's PET; None for what is not known.

    PET's activations and normalizations are C-infinity and its "Bump" cutoff is, to rounding (it is
    clamped a millionth of its width before its ends, where it differs from 0 and 1 by less than a
    unit in the last place). The "Cosine" cutoff has one continuous derivative. No claim is made of
    adaptive cutoffs, long range, or the ZBL repulsion, which is infinite where atoms coincide.
    """
    while hasattr(model, "module"):
        model = model.module
    name = getattr(model, "original_name", type(model).__name__)
    if name != "PET" or not hasattr(model, "num_neighbors_adaptive"):
        return None
    if model.num_neighbors_adaptive is not None or model.long_range:
        return None
    if len(list(model.additive_models.children())) > 1:
        return None
    return {"bump": math.inf, "cosine": 1}.get(model.cutoff_function.lower())


def _quantity(name: str) -> str:
    """``"energy"`` of the variant ``"energy/pbe0"``."""
    return name.split("/")[0]
