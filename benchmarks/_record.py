"""Results of benchmarks, with what they were measured on."""

import json
import sys
from pathlib import Path
from typing import Any

from symmetrize.provenance import provenance

RESULTS = Path(__file__).parent / "results"


def write_result(name: str, payload: dict[str, Any], command: str | None = None) -> Path:
    """Write ``results/<name>.json``: date, command, machine and versions, then ``payload``.

    The command is the one that runs ``benchmarks.<name>`` with the present arguments, unless given.
    """
    if command is None:
        command = " ".join(["python", "-m", f"benchmarks.{name}", *sys.argv[1:]])
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(provenance(command) | payload, indent=2) + "\n")
    return path


def read_result(name: str) -> dict[str, Any]:
    """What ``write_result`` stored."""
    return json.loads((RESULTS / f"{name}.json").read_text())
