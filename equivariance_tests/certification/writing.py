"""Write the tests of a model: the contract that it was found to keep, and what it does not keep.

Claims are tried from the strongest on, as a patient colleague would: how each output turns, under
O(3) or SO(3), how many derivatives are continuous, how far a point sees where the network names a
cutoff. Then all checks run once; those that fail are written down as known, with what was found.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from equivariance_tests.certification.certification import certify
from equivariance_tests.checks import CHECKS
from equivariance_tests.clouds.cases import unrelated
from equivariance_tests.model.subject import Subject
from equivariance_tests.report.report import Report
from symmetrize import Contract, per_point
from symmetrize.declaration import ONLY
from symmetrize.groups import Group

# Of values of one row by their shape, the simplest last
TURNS: dict[tuple[int, ...], tuple[str, ...]] = {
    (1,): ("0e", "0o"),
    (3,): ("1o", "1e", "3x0e"),
    (3, 3): ("ij=ji", "ij", "9x0e"),
}
GROUPS: tuple[Group, ...] = ("O(3)", "SO(3)")
SMOOTH = (math.inf, 2, 1, 0, None)
ROUNDS = (1, 2, 3, 4)
# Options that a file of tests repeats
WRITTEN = ("species", "call")
# A number of structures, and of points of each, that no axis of an output has by chance
CLOUDS = 7


@dataclass(frozen=True)
class Found:
    """What a model keeps, and how it is asked.

    Attributes:
        contract: that it was found to keep.
        report: of all checks under it.
        options: of ``certify``.
    """

    contract: Contract
    report: Report
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def known(self) -> dict[str, str]:
        """Checks that fail all the same, and what was found."""
        return {
            one.check: str(one.failure).splitlines()[0]
            for one in self.report.findings
            if one.verdict == "failed"
        }


def keeps(model: Any, contract: Contract | None = None, **options: Any) -> Found:
    """The strongest contract that a model is found to keep.

    Args:
        model: see ``certify``.
        contract: outputs, inputs and whatever else is known; that of the model if not given, and
            guessed from what it returns if it declares none.
        options: of ``certify``.

    Raises:
        ValueError: if the model cannot be called, or returns what no output is.
    """
    contract = getattr(model, "contract", None) if contract is None else contract
    if contract is None:
        contract = _turning(model, options)
    else:
        contract = _strongest(model, contract, _groups(contract), "group", options)
    contract = _strongest(model, contract, _smoother(contract), "smoothness", options)
    seen = getattr(model, "cutoff", None)
    if contract.cutoff is None and isinstance(seen, int | float) and 0 < seen < math.inf:
        contract = _strongest(model, contract, _sights(contract, float(seen)), "cutoff", options)
    if contract.cutoff is not None and not contract.extensive:
        sums = replace(contract, extensive=True)
        contract = _strongest(model, contract, iter([sums]), "extensive", options)
    report = certify(model, contract, progress=False, **options)
    return Found(contract, report, options)


def written(found: Found, place: str, is_factory: bool) -> str:
    """The text of a file of tests.

    Args:
        found: by ``keeps``.
        place: of the model, "package.module:factory".
        is_factory: whether what stands there is called to make the model.
    """
    module, _, name = place.partition(":")
    top = name.partition(".")[0]
    words = [word for word in top.replace("_", " ").split() if word]
    title = "".join(word[0].upper() + word[1:] for word in words)
    lines = [
        f'"""What {place} was found to keep; run by pytest.',
        "",
        "Claim more where you know more, and take out of `known` what is mended.",
        '"""',
        "",
        *_imports(found.contract),
        "from equivariance_tests import Contract",
        "from equivariance_tests.suite import EquivarianceSuite",
        f"from {module} import {top}",
        "",
        "",
        f"class Test{title}(EquivarianceSuite):",
        f"    contract = {_said(found.contract)}",
        *(f"    {k} = {v!r}" for k, v in found.options.items() if v and k in WRITTEN),
    ]
    if found.known:
        lines += [
            "    known = {",
            *(f"        {k!r}: {v!r}," for k, v in found.known.items()),
            "    }",
        ]
    lines += [
        "",
        "    def model(self):",
        f"        return {name}{'()' if is_factory else ''}",
    ]
    return "\n".join(lines) + "\n"


# --- what may be claimed


def _turning(model: Any, options: Mapping[str, Any]) -> Contract:
    """How the outputs of a model turn that declares none."""
    shapes = _shapes(model, options)
    outputs: dict[str, Any] = {}
    group: Any = "O(3)"
    for name, (shape, of_points) in shapes.items():
        turns = TURNS.get(shape, (f"{math.prod(shape)}x0e",))
        candidates = []
        for which in GROUPS:
            for one in turns:
                turning = per_point(one) if of_points else one
                left_out = dict.fromkeys(shapes, None)
                told = turning if name == ONLY else left_out | {name: turning}
                candidates.append(Contract(told, group=which, smoothness=None))
        kept = next((c for c in candidates if _passes(model, c, "group", options)), None)
        outputs[name] = per_point(turns[0]) if of_points else turns[0]
        if kept is None:
            group = None
        else:
            outputs[name] = kept.outputs[name]
            group = "SO(3)" if kept.group == "SO(3)" and group else group
    told = outputs[ONLY] if list(outputs) == [ONLY] else outputs
    return Contract(told, group=group, smoothness=None)


def _shapes(model: Any, options: Mapping[str, Any]) -> dict[str, tuple[tuple[int, ...], bool]]:
    """Shape of one row of each output, and whether it belongs to a point."""
    how = {k: v for k, v in options.items() if k in ("species", "call", "prepare", "dtype")}
    subject = Subject.of(model, Contract("0e"), **how)
    batch = subject.batch(subject.structures(unrelated(subject.contract)[:CLOUDS]))
    returned = subject.net(subject.prepared(batch))
    given = returned if isinstance(returned, Mapping) else {ONLY: returned}
    found = {}
    for name, values in given.items():
        rows = len(values) if getattr(values, "ndim", 0) else -1
        if rows not in (batch.num_graphs, batch.num_nodes):
            raise ValueError(
                f"the output {name!r} has shape {tuple(getattr(values, 'shape', ()))} for "
                f"{batch.num_graphs} structures of {batch.num_nodes} points: one row for each is "
                "an output; give a contract of those that are"
            )
        found[name] = (tuple(values.shape[1:]) or (1,), rows == batch.num_nodes)
    return found


def _groups(contract: Contract) -> Iterator[Contract]:
    """The group that is declared, or the largest, and smaller ones."""
    if contract.axis is not None or contract.group in ("O(2)", "SO(2)"):
        yield contract
        return
    for group in GROUPS:
        if contract.group != "SO(3)" or group == "SO(3)":
            yield replace(contract, group=group)
    yield replace(contract, group=None)


def _smoother(contract: Contract) -> Iterator[Contract]:
    """From infinitely many derivatives down to no claim."""
    for order in SMOOTH:
        yield replace(contract, smoothness=order)


def _sights(contract: Contract, cutoff: float) -> Iterator[Contract]:
    """A cutoff that a network names, and rounds of messages."""
    for rounds in ROUNDS:
        yield replace(contract, cutoff=cutoff, rounds=rounds)


def _strongest(
    model: Any,
    contract: Contract,
    claims: Iterator[Contract],
    claim: str,
    options: Mapping[str, Any],
) -> Contract:
    """The first claim that holds; the contract as it is if none does."""
    return next((one for one in claims if _passes(model, one, claim, options)), contract)


def _passes(model: Any, contract: Contract, claim: str, options: Mapping[str, Any]) -> bool:
    """Whether the checks that decide one claim of a contract pass."""
    checks = [check.name for check in CHECKS if check.claim == claim]
    report = certify(model, contract, checks=checks, progress=False, **options)
    if report.reason:
        raise ValueError(report.reason)
    verdicts = {one.verdict for one in report.findings}
    # how far a point sees is claimed only if it was seen
    was_seen = "passed" in verdicts or claim not in ("cutoff", "extensive")
    return was_seen and not {"failed", "could not run"} & verdicts


# --- as code


def _imports(contract: Contract) -> list[str]:
    said = _form(contract.outputs.plain())
    names = [name for name in ("log_probabilities", "per_edge", "per_point") if f"{name}(" in said]
    lines = ["import math", ""] if contract.smoothness == math.inf else []
    return [*lines, *([f"from symmetrize import {', '.join(names)}"] if names else [])]


def _said(contract: Contract) -> str:
    """The arguments that are not the usual ones."""
    first = _form(contract.outputs.plain())
    plain = contract.plain()
    usual = Contract("0e").plain()
    named = []
    for name, value in plain.items():
        if name == "outputs" or (value == usual[name] and name != "smoothness"):
            continue
        said = getattr(contract, name)
        if name == "inputs":
            said = {key: str(one) for key, one in said.items()}
        named.append(f"{name}={'math.inf' if said == math.inf else repr(said)}")
    return f"Contract({', '.join([first, *named])})"


def _form(outputs: Any) -> str:
    """A declaration in the form in which it was made, from plain values."""
    if isinstance(outputs, list):
        return f"({''.join(f'{_form(one)}, ' for one in outputs)})"
    if not isinstance(outputs, Mapping):
        return repr(outputs)
    if "representation" in outputs and "rows" in outputs:
        text = repr(outputs["representation"])
        text = f"log_probabilities({text})" if "average" in outputs else text
        return text if outputs["rows"] == "structure" else f"per_{outputs['rows']}({text})"
    return "{" + ", ".join(f"{name!r}: {_form(value)}" for name, value in outputs.items()) + "}"
