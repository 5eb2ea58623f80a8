"""A contract as a TOML file: plain values, and nothing that is executed.

group = "O(3)"
smoothness = "inf"            # or a number, or "none"
cutoff = 5.0

[outputs]
energy = "0e"
forces = {representation = "1o", per_point = true}
"""

from __future__ import annotations

import inspect
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from symmetrize import Contract, Output, per_point

FIELDS = tuple(inspect.signature(Contract).parameters)
OF_OUTPUTS = ("representation", "per_point")
# Words for what TOML has no value for
WORDS: dict[str, dict[str, float | None]] = {
    "group": {"none": None},
    "smoothness": {"inf": math.inf, "none": None},
}


def contract_of_toml(path: Path) -> Contract:
    """Read a contract.

    Raises:
        OSError: if there is no such file.
        ValueError: if it is no TOML, or a value is not one of a contract.
    """
    try:
        table = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path.name} is not TOML: {error}") from None
    return contract_of_table(table)


def contract_of_table(table: Mapping[str, Any]) -> Contract:
    """A contract from the fields of a table.

    Raises:
        ValueError: if a field is unknown or missing, or its value is none of a contract.

    >>> contract_of_table({"outputs": {"energy": "0e"}, "smoothness": "none"}).smoothness is None
    True
    """
    _refuse_unknown(table, FIELDS, "a contract")
    if "outputs" not in table:
        raise ValueError(
            'the contract has no `outputs`: say how each turns, as in outputs = {energy = "0e"}'
        )
    given = {name: _worded(name, value) for name, value in table.items()}
    outputs = given["outputs"]
    if isinstance(outputs, Mapping):
        given["outputs"] = {name: _output(name, value) for name, value in outputs.items()}
    try:
        return Contract(**given)
    except TypeError as error:
        raise ValueError(f"a value of the contract has the wrong type: {error}") from error


def _output(name: str, value: Any) -> str | Output:
    if isinstance(value, str):
        return value
    if not isinstance(value, Mapping) or "representation" not in value:
        raise ValueError(
            f'the output {name!r} is {value!r} but must be a representation such as "0e", or '
            '{representation = "1o", per_point = true}'
        )
    _refuse_unknown(value, OF_OUTPUTS, f"the output {name!r}")
    spec = value["representation"]
    return per_point(spec) if value.get("per_point", False) else spec


def _worded(name: str, value: Any) -> Any:
    return WORDS.get(name, {}).get(value, value) if isinstance(value, str) else value


def _refuse_unknown(table: Mapping[str, Any], known: tuple[str, ...], what: str) -> None:
    unknown = sorted(set(table) - set(known))
    if unknown:
        raise ValueError(f"{what} has no {', '.join(unknown)}, but: {', '.join(known)}")
