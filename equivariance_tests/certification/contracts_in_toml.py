"""A contract as a TOML file: its plain values, and nothing that is executed.

group = "O(3)"
smoothness = "inf"            # or a number, or "none"
cutoff = 5.0

[outputs]
energy = "0e"
forces = {representation = "1o", rows = "point"}
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from symmetrize import Contract


def contract_of_toml(path: Path) -> Contract:
    """Read a contract.

    Raises:
        OSError: if it cannot be read.
        ValueError: if there is no such file, it is no TOML, or a value is not one of a contract.
    """
    try:
        table = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise ValueError(f"the contract file {str(path)!r} is not there") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path.name} is not TOML: {error}") from None
    return Contract.of_plain(table)
