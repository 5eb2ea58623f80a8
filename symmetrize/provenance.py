"""Where a measured number comes from: date, command, machine and versions."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import symmetrize

PACKAGES = ("torch", "torch-geometric", "e3nn", "numpy", "scipy")


def provenance(command: str) -> dict[str, Any]:
    """What to write beside a measured number, ready for JSON; no names of users or hosts.

    >>> sorted(provenance("python -m symmetrize demo"))
    ['command', 'date', 'machine', 'versions']
    """
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "command": command,
        "machine": machine(),
        "versions": versions(),
    }


def machine() -> dict[str, Any]:
    """The processor, the cores in reach, torch's threads, and the load by others."""
    reach = getattr(os, "sched_getaffinity", None)
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count() if reach is None else len(reach(0)),
        "threads": torch.get_num_threads(),
        "load_average": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers depend on."""
    # of the sources that run: what is installed under the name of the distribution may be others
    found = {"python": platform.python_version(), "symmetrize": symmetrize.__version__}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # run from sources that are not installed
            found[package] = "not installed"
    return found


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"
