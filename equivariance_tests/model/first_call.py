"""Can the model be called at all, and if not, what is missing in how it is called?

A model that raises on every plain cloud says nothing about symmetry: it lacks edges, species, or
gets its arguments in another way. What is missing is not guessed from the text of the error: each
option is tried on one cloud, and the one with which the model answers is named.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import torch
from torch import Tensor

from equivariance_tests.clouds.cases import UNRELATED, unrelated
from equivariance_tests.model.answers import RowsError
from equivariance_tests.model.calls import ATTRIBUTES, required
from equivariance_tests.model.subject import Subject
from equivariance_tests.report.failures import first_line

# Sets of integers that `z` may be, as far as a model of unknown species tells by trying
KINDS: tuple[tuple[int, ...], ...] = ((1, 6, 8), (0, 1, 2), (6,), (8,), (14,))
# What lends graph functions to a model that asks pyg-lib for them
LENDS = "which lends it the graph functions that pyg-lib would have while it is called"
# Ways to call a model, beside those that are named after its arguments
CALLS = (
    "z, pos, batch",
    "pos, batch",
    "pos, edge_index",
    "pos, edge_index, batch",
    "z, pos, edge_index, batch",
    "x=z, pos=pos, edge_index=edge_index, batch=batch",
    "pos, z, batch",
    "n c -> o",
    "b n c -> b o",
)
OTHER_DTYPE = {torch.float64: torch.float32, torch.float32: torch.float64}


def unanswered(subject: Subject) -> str | None:
    """Of a model without a finite answer to any plain cloud: why errors have no unit.

    Only finiteness then has something to say. None if it cannot be called at all.
    """
    if raised(subject) is not None:
        return None
    return f"the model has no finite answer to any of {UNRELATED} generic clouds"


def refusal(subject: Subject) -> str | None:
    """Of a model without a finite answer to any plain cloud: why it cannot be called at all.

    What it raises, what it was given, and the option that is missing. None if it does not raise on
    all of them.
    """
    error = raised(subject)
    if error is None:
        return None
    helpful = next(_helpful(subject), None)
    # rows that do not fit are told with what would
    way_out = helpful or ("" if isinstance(error, RowsError) else _ways_out(subject))
    return (
        f"the model raises on each of {UNRELATED} plain clouds: {first_line(error)}. It was given "
        f"{_given(subject)}. {way_out}"
    ).rstrip()


def raised(subject: Subject) -> Exception | None:
    """What the model raises on the first of the plain clouds, if it does on all of them."""
    first: Exception | None = None
    fresh = subject.fresh()  # what it raises now is not what it remembers
    for structure in subject.structures(unrelated(subject.contract)):
        error = _error(fresh, structure)
        if error is None:
            return None
        first = error if first is None else first
    return first


def _error(subject: Subject, structure: Any) -> Exception | None:
    try:
        subject.together([structure])
    except Exception as error:
        return error
    return None


def _helpful(subject: Subject) -> Iterator[str]:
    """Options with which the model answers one plain cloud, fewest changes first."""
    for how, said in [({}, ""), *_tries(subject)]:
        try:
            if _answers(subject, how) and said:
                yield f"It answers with {said}"
        except ImportError:
            lent = _lent(subject, how, said)
            if lent is not None:
                yield f"It answers with {lent}"
        except Exception:  # whatever it raises, that was not what is missing
            continue


def _answers(subject: Subject, how: dict[str, Any]) -> bool:
    """Whether the model answers one plain cloud, if it is asked in this way."""
    other = _with(subject, how)
    answers = other.together(other.structures(unrelated(other.contract)[:1]))
    return bool(answers.finite().all())


def _lent(subject: Subject, how: dict[str, Any], said: str) -> str | None:
    """How a model is given that answers with graph functions that are lent to it, if it does.

    Args:
        subject: the model.
        how: in which way it asks for a library that is absent.
        said: how that is written.
    """
    from backbones.adapters import Call

    call = how.get("call", subject.call)
    signature = _signature(subject) if call is None else call
    try:
        if not _answers(subject, {**how, "model": Call(subject.model, signature), "call": None}):
            return None
    except Exception:  # something else is missing, or it is called in no such way
        return None
    given = f'call="{call}"'
    instead = f" instead of {given}" if subject.call else ""
    way_out = f'Call(model, "{signature}") from backbones.adapters{instead}, {LENDS}'
    if said.startswith(given):
        return way_out + said.removeprefix(given)
    return f"{way_out}, and {said}" if said else way_out


def _signature(subject: Subject) -> str:
    """What the model is called with, as ``Call`` has it, if nobody says."""
    names, model = required(subject.model), subject.model
    known = (*ATTRIBUTES, *subject.contract.inputs)
    if not names or not all(name in known for name in names):
        return "data"
    function = model.forward if isinstance(model, torch.nn.Module) else model
    # structures are told apart by an argument that need not be given
    optional = "batch" not in names and "batch" in inspect.signature(function).parameters
    return ", ".join([*names, *["batch=batch"] * optional])


Try = tuple[dict[str, Any], str]


def _tries(subject: Subject) -> Iterator[Try]:
    """Further options, and how they are written; one, then two of them together, then three."""
    given = subject.setting.species
    species: list[Try] = [
        ({"species": kinds}, f"species={kinds}: give the integers that `z` may be")
        for kinds in ([] if given else KINDS)
    ]
    others: list[Try] = [
        ({"species": (kind,)}, f"species={(kind,)}, but `z` was {given[0]}") for kind in given[1:]
    ]
    prepared = _edges(subject)
    calls: list[Try] = [({"call": one}, f'call="{one}"') for one in CALLS if not subject.call]
    precision, rest = _precision(subject), _of_contract(subject)
    yield from (*species, *others, *prepared, *precision, *rest, *calls)
    for one in (*species, *prepared, *precision):
        for two in (*prepared, *precision, *rest, *calls):
            if not set(one[0]) & set(two[0]):
                yield {**one[0], **two[0]}, f"{two[1]} and {one[1]}"
    for one, two, call in product(species, prepared, calls):
        yield {**one[0], **two[0], **call[0]}, f"{call[1]}, {two[1]} and {one[1]}"


def _edges(subject: Subject) -> list[Try]:
    if subject.prepare is not None:
        return []
    from backbones.adapters import connect

    radius = subject.setting.cutoff
    said = f"prepare=connect(radius={radius:g}) from backbones.adapters"
    return [({"prepare": connect(radius=radius)}, said)]


def _precision(subject: Subject) -> list[Try]:
    other = OTHER_DTYPE.get(subject.dtype)
    return [({"dtype": other}, f"dtype={other}, which is its precision")] if other else []


def _of_contract(subject: Subject) -> list[Try]:
    """Inputs that belong to structures, and cells."""
    found: list[Try] = []
    inputs = sorted(subject.contract.inputs)
    if set(inputs) - subject.setting.of_structures:
        found.append(({"of_structures": inputs}, f"of_structures={inputs}"))
    if not subject.contract.periodic:
        said = "a contract that says periodic=True: the data then has `cell` and `pbc`"
        found.append(({"contract": replace(subject.contract, periodic=True)}, said))
    return found


def _with(subject: Subject, how: dict[str, Any]) -> Subject:
    """The same model, asked in another way; a copy, where one can be made."""
    given = {
        "model": subject.model,
        "contract": subject.contract,
        "species": subject.setting.species,
        "of_structures": sorted(subject.setting.of_structures),
        "unit": subject.setting.unit,
        "carries": sorted(subject.setting.carries),
        "call": subject.call,
        "prepare": subject.prepare,
        "dtype": subject.dtype,
        "device": subject.device,
    }
    return Subject.of(**{**given, **how})


def _given(subject: Subject) -> str:
    """What the model was called with."""
    batch = subject.batch(subject.structures(unrelated(subject.contract)[:1]))
    for step in subject.steps:
        try:
            batch = step(batch)
        except Exception as error:
            return f"nothing, as `prepare` raises {first_line(error)}"
    values = {name: batch[name] for name in sorted(batch.keys()) if name != "ptr"}
    shapes = [
        f"{name} {str(one.dtype).removeprefix('torch.')} {tuple(one.shape)}"
        for name, one in values.items()
        if isinstance(one, Tensor)
    ]
    return f"a batch with {', '.join(shapes)}"


def _ways_out(subject: Subject) -> str:
    """What may be said about how it is called, where no trial told."""
    names = required(subject.model)
    known = (*ATTRIBUTES, *subject.contract.inputs)
    asked = ""
    if len(names) > 1 and not all(name in known for name in names):
        asked = f"; its arguments are {', '.join(names)}, so say which attributes they are"
    hints = {
        "species=(1, 6, 8) for `z`": not subject.setting.species,
        "prepare=connect(radius=5.0) for edges": not subject.steps,
        f'call="z, pos, batch" for what it takes{asked}': not subject.call,
        "dtype=torch.float32 for its precision": subject.dtype != torch.float32,
        "inputs and periodic=True in the contract for further attributes": True,
    }
    return "Say what is missing: " + ", ".join(hint for hint, open in hints.items() if open)
