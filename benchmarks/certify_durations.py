"""How long does certification take, profile by profile, for typical networks that are right?

One core, float64, all checks. Seconds of the processor, so that a machine with other work to do
tells the same; and how many structures the network is asked about, which no machine changes.

Run: python -m benchmarks.certify_durations [--profiles fast ci]
"""

import argparse
import time
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch_geometric.data import Batch

from backbones import PointNet
from benchmarks._messages import Messages
from benchmarks._record import read_result, write_result
from benchmarks._text import markdown
from equivariance_tests import PROFILES, certify
from equivariance_tests.model.subject import Returned, Subject
from equivariance_tests.mutants.pairs import PairNetwork
from symmetrize import HierarchicalFrames, Symmetrizer

OUTPUTS = {"energy": "0e", "vector": "1o"}
MODELS: dict[str, Callable[[], nn.Module]] = {
    "sums over pairs": PairNetwork,
    "two rounds of messages, 16 channels": Messages,
    "two rounds of messages, 64 channels": lambda: Messages(width=64),
    "PointNet, averaged over frames": lambda: Symmetrizer(
        PointNet(OUTPUTS, width=8, species=1), frames=HierarchicalFrames(length_scale=1.0)
    ),
}


@contextmanager
def counted():
    """How many structures the network is asked about, answers and derivatives alike."""
    found: Counter[str] = Counter()
    before = Subject.raw

    def raw(self: Subject, batch: Batch) -> Returned:
        found["structures"] += batch.num_graphs
        return before(self, batch)

    Subject.raw = raw
    try:
        yield found
    finally:
        Subject.raw = before


def measured(make: Callable[[], nn.Module], profile: str) -> dict[str, Any]:
    """Seconds of all checks and of each, and what the network was asked."""
    torch.manual_seed(0)
    model = make().double().eval()
    start = time.process_time()
    with counted() as asked:
        report = certify(model, profile=profile, progress=False)
    assert report.passed, str(report)
    return {
        "seconds": round(time.process_time() - start, 1),
        "clouds": report.cases,
        **asked,
        "checks": {one.check: round(one.seconds, 2) for one in report.findings},
    }


def measure(profiles: list[str]) -> dict[str, Any]:
    """All networks in each of the profiles; stored one by one."""
    torch.set_num_threads(1)
    models: dict[str, Any] = {name: {} for name in MODELS}
    for profile in profiles:
        for name, make in MODELS.items():
            models[name][profile] = measured(make, profile)
            print(profile, name, models[name][profile]["seconds"], flush=True)
            # what takes long is not lost
            write_result("certify_durations", {"models": models})
    return {"models": models}


def table(key: str) -> str:
    """Seconds in each of the stored "profiles"."""
    assert key == "profiles"
    result = read_result("certify_durations")
    profiles = [name for name in PROFILES if any(name in one for one in result["models"].values())]
    header = ["network"]
    for name in profiles:
        header += [f"{name}: seconds", "structures asked"]
    rows = []
    for name, found in result["models"].items():
        cells = [name]
        for profile in profiles:
            one = found.get(profile)
            cells += (
                ["-", "-"] if one is None else [f"{one['seconds']:.0f}", f"{one['structures']:,}"]
            )
        rows.append(cells)
    return markdown(header, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--profiles", nargs="+", default=["fast", "ci"], choices=tuple(PROFILES))
    print(write_result("certify_durations", measure(parser.parse_args().profiles)))


if __name__ == "__main__":
    main()
