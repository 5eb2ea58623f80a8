"""Certify a model from the shell, against a contract in a TOML file.

    python -m equivariance_tests package.module:factory --contract contract.toml

Or have its tests written, with the contract that it is found to keep:

    python -m equivariance_tests write package.module:factory --output tests/test_mine.py

Exit status: 0 certified, 1 refuted, 2 could not run.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equivariance_tests.certification.profiles import PROFILES

if TYPE_CHECKING:
    from equivariance_tests.report import Report

STATUS = {"certified": 0, "refuted": 1, "could not run": 2}
DTYPES = ("float64", "float32")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, and return the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["write"]:
        return _write(_parser_of_write().parse_args(given[1:]))
    options = _parser().parse_args(given)
    try:
        report = _certified(options)
    except Exception as error:  # whatever is wrong with what was given: a message, no traceback
        print(f"could not run: {_said(error)}", file=sys.stderr)
        return STATUS["could not run"]
    if report.reason and options.quiet:
        print(f"could not run: {report.reason}", file=sys.stderr)
    command = shlex.join(["python", "-m", "equivariance_tests", *given])
    try:
        if options.report is not None:
            text = json.dumps(report.to_json(command), indent=1, allow_nan=False)
            options.report.write_text(text + "\n")
        if options.card is not None:
            options.card.write_text(report.to_markdown(command))
        if options.figure is not None:
            from equivariance_tests.report.figure import draw

            draw(report, options.figure)
    except (OSError, ImportError) as error:
        print(f"could not write: {_said(error)}", file=sys.stderr)
        return STATUS["could not run"]
    return STATUS[report.status]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m equivariance_tests",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    said = "a model, or what returns one if called; or a file of metatomic, model.pt"
    add("model", metavar="package.module:factory", help=said)
    add("--contract", type=Path, help="TOML file; not needed if the model declares a contract")
    add("--report", type=Path, help="file for everything that was found, as JSON")
    add("--card", type=Path, help="file for a section of a model card, in Markdown")
    add("--figure", type=Path, help="file for a figure of it, such as out.png")
    add("--profile", choices=tuple(PROFILES), default="fast", help="how much is tried")
    add("--checks", nargs="+", help="names of the checks to run; all if not given")
    add("--known", action="append", default=[], metavar="CHECK=REASON", help="expected to fail")
    add("--dtype", choices=DTYPES, default=DTYPES[0], help="of the positions")
    add("--device", default="cpu", help="where the model runs, such as cuda")
    add("--seed", type=int, default=0, help="of the random clouds")
    add("--call", help='how the model is called: "z, pos, batch", "b n c -> b o", "n c -> o"')
    add("--prepare", metavar="package.module:function", help="what is done to each batch first")
    add("--species", type=int, nargs="+", default=(), help="the integers that z may be")
    add("--of-structures", nargs="+", default=(), help="inputs with one row for each structure")
    add("--carries", action="append", default=[], help="what else each cloud carries: a,b")
    add("--unit", type=float, help="length that points are typically apart")
    add("--quiet", action="store_true", help="print nothing but errors")
    return parser


def _parser_of_write() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m equivariance_tests write",
        description="Write the tests of a model: the contract that it is found to keep.",
    )
    add = parser.add_argument
    add("model", metavar="package.module:factory", help="a model, or what returns one if called")
    add("--contract", type=Path, help="TOML file of what is known: outputs, inputs, cutoff")
    add("--output", type=Path, help="file to write; printed if not given")
    add("--call", help='how the model is called: "z, pos, batch", "b n c -> b o", "n c -> o"')
    add("--species", type=int, nargs="+", default=(), help="the integers that z may be")
    return parser


def _write(options: argparse.Namespace) -> int:
    """Write the tests of a model; the exit status."""
    from equivariance_tests.certification.contracts_in_toml import contract_of_toml
    from equivariance_tests.certification.writing import keeps, written

    given = {"species": tuple(options.species), "call": options.call}
    try:
        contract = None if options.contract is None else contract_of_toml(options.contract)
        place = found(options.model)
        model = made(place)
        kept = keeps(model, contract, **{k: v for k, v in given.items() if v})
        text = written(kept, options.model, is_factory=model is not place)
        if options.output is None:
            print(text, end="")
        else:
            options.output.write_text(text)
            print(f"{options.output}: {kept.report.summary}")
    except Exception as error:  # as in `main`
        print(f"could not write: {_said(error)}", file=sys.stderr)
        return STATUS["could not run"]
    return 0


def _certified(options: argparse.Namespace) -> Report:
    import torch

    from equivariance_tests.certification import certify
    from equivariance_tests.certification.contracts_in_toml import contract_of_toml

    contract = None if options.contract is None else contract_of_toml(options.contract)
    return certify(
        made(found(options.model)),
        contract,
        species=options.species,
        of_structures=options.of_structures,
        unit=options.unit,
        carries=[kind.strip() for given in options.carries for kind in given.split(",")],
        call=options.call,
        prepare=None if options.prepare is None else found(options.prepare),
        dtype=getattr(torch, options.dtype),
        device=options.device,
        profile=options.profile,
        seed=options.seed,
        checks=options.checks,
        known=_known(options.known),
        progress=not options.quiet,
    )


def found(place: str) -> Any:
    """What stands at "package.module:name", or in a file of metatomic.

    Raises:
        ValueError: if there is no such file or module, or nothing of that name in it.
    """
    from importlib import import_module

    from equivariance_tests.model.files import SUFFIXES, opened

    if Path(place).suffix in SUFFIXES and ":" not in place:
        return opened(place)
    module, _, name = place.partition(":")
    if not (module and name):
        raise ValueError(f"{place!r} is no place: give it as package.module:factory")
    try:
        value: Any = import_module(module)
    except ModuleNotFoundError as error:
        # what the module itself fails to import is another matter
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise ValueError(
            f"there is no module {error.name!r}: install it, or start from the folder that holds it"
        ) from None
    for part in name.split("."):
        if not hasattr(value, part):
            raise ValueError(f"{place!r} is not there: {module} has no {part!r}")
        value = getattr(value, part)
    return value


def made(value: Any) -> Any:
    """The model itself, or what a factory returns: a class, or a function without arguments.

    Raises:
        ValueError: if a class needs arguments.

    >>> made(dict), made(len) is len
    ({}, True)
    """
    if isinstance(value, type):
        if _needs_arguments(value):
            raise ValueError(
                f"the class {value.__name__} needs arguments: give a function without any that "
                "returns the model"
            )
        return value()
    is_function = hasattr(value, "__code__")
    return value() if is_function and not _needs_arguments(value) else value


def _needs_arguments(function: Callable[..., Any]) -> bool:
    from inspect import Parameter, signature

    try:
        parameters = signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    starred = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    return any(one.default is one.empty and one.kind not in starred for one in parameters)


def _known(given: Sequence[str]) -> dict[str, str]:
    known = {}
    for one in given:
        check, _, reason = one.partition("=")
        known[check.strip()] = reason.strip()
    return known


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    sys.exit(main())
