"""Write docs/public.txt: every public name, with what it takes, one a line.

A change of this file is a change for users: it belongs into CHANGELOG.md, and what goes, or takes
something else, is announced for one minor version by a ``DeprecationWarning`` first.

Run: python scripts/update_public.py
"""

import importlib
import inspect
from pathlib import Path
from typing import Any

PATH = Path(__file__).parents[1] / "docs" / "public.txt"
# What is public, by page of the reference: modules, each with the names that it exports
MODULES = {
    "symmetrize": [
        *("symmetrize", "symmetrize.datasets", "symmetrize.representation", "symmetrize.groups"),
        *("symmetrize.frames", "symmetrize.arrays"),
    ],
    "engines": ["symmetrize.engines.lammps", "symmetrize.engines.torch_sim"],
    "backbones": [
        *("backbones", "backbones.pretrained", "backbones.checkpoint"),
        *("backbones.adapters", "backbones.adapters.metatomic"),
    ],
    "equivariance_tests": ["equivariance_tests", "equivariance_tests.suite"],
}


def names(module: str) -> list[str]:
    """Names that a module exports, or defines if it says nothing of that."""
    found = importlib.import_module(module)
    if hasattr(found, "__all__"):
        return sorted(found.__all__)
    return sorted(
        name
        for name, value in vars(found).items()
        if not name.startswith("_")
        and callable(value)
        and getattr(value, "__module__", "") == module
    )


def line(module: str, name: str) -> str:
    """A name with its arguments and their defaults, without types."""
    value = getattr(importlib.import_module(module), name)
    try:
        taken = inspect.signature(value)
    except (TypeError, ValueError):
        return f"{module}.{name}"
    plain = [one.replace(annotation=one.empty) for one in taken.parameters.values()]
    shown = taken.replace(parameters=plain, return_annotation=taken.empty)
    return f"{module}.{name}{_without_addresses(str(shown))}"


def _without_addresses(text: str) -> str:
    """Functions and objects that are defaults, by their names alone."""
    import re

    return re.sub(r"<(?:function |)([\w.]+).*?>", r"\1", text)


def lines() -> list[str]:
    """All of them."""
    modules = [one for several in MODULES.values() for one in several]
    return [line(module, name) for module in modules for name in names(module)]


def main() -> Any:
    PATH.write_text("\n".join(lines()) + "\n")


if __name__ == "__main__":
    main()
