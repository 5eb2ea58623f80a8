"""How exact is a symmetrized network on more than 100,000 clouds of all degenerate strata?

Random clouds of every stratum, a twelfth of them far from the origin and a twelfth of another size
by 10^3, are turned by a generic rotation, one near a pole and an improper one. The worst
error of each stratum is that of clouds of usual size at the origin; others are judged by what the
rounding of their coordinates explains.

Run: python -m benchmarks.certify_deep [--clouds 26000]
"""

import argparse
import time
from collections import defaultdict
from itertools import islice
from typing import Any, ClassVar

import torch
from rich.progress import Progress
from torch import Tensor, nn
from torch_geometric.data import Data

from benchmarks._record import read_result, write_result
from benchmarks._text import markdown
from equivariance_tests.certification.draws import drawn
from equivariance_tests.checks.equivariance import Equivariance
from equivariance_tests.clouds.turns import TURNS, Turn
from equivariance_tests.measure.trial import Trial
from symmetrize import Contract, HierarchicalFrames, Symmetrizer

OUTPUTS = {"irreps": "0e+0o+1o+1e+2e+2o+3o", "tensor": "ij=ji"}
CUTOFF = 3.0
DTYPES = {"float64": torch.float64, "float32": torch.float32}
POINTS, AT_ONCE, SEED = 8, 64, 5


class Turned(Equivariance):
    """Equivariance under three turns, so that more clouds can be asked."""

    turns: ClassVar[dict[str, Turn]] = {
        name: TURNS[name] for name in ("generic", "near the south pole", "improper")
    }


class Points(nn.Module):
    """A sum over points, and functions of it, that no rotation leaves as they are.

    All its features are bounded, so that it adds no rounding of its own.
    """

    contract = Contract(OUTPUTS, group=None, envelope=True)

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.inner = nn.Linear(3, width)
        sizes = {name: one.representation.dim for name, one in self.contract.outputs.items()}
        self.outer = nn.ModuleDict({name: nn.Linear(width, size) for name, size in sizes.items()})

    def forward(self, data: Data) -> dict[str, Tensor]:
        """One row for each structure."""
        hidden = torch.tanh(self.inner(data.pos))
        if "envelope" in data:
            hidden = hidden * data.envelope[:, None]
        total = hidden.new_zeros(data.num_graphs, hidden.size(1))
        total = torch.sin(total.index_add(0, data.batch, hidden))
        shapes = {name: one.representation for name, one in self.contract.outputs.items()}
        return {
            name: outer(total).reshape(-1, *shapes[name].value_shape)
            for name, outer in self.outer.items()
        }


def models() -> dict[str, Symmetrizer]:
    """A network of whole clouds, and one of environments."""
    torch.manual_seed(SEED)
    return {
        "whole clouds": Symmetrizer(Points(), frames=HierarchicalFrames(length_scale=1.0)),
        "environments": Symmetrizer(
            Points(), scope="center", frames=HierarchicalFrames(CUTOFF), reduce="sum"
        ),
    }


def measured(trial: Trial, clouds: int, progress: Progress, title: str) -> dict[str, Any]:
    """The worst error of each stratum, and how many clouds broke the law."""
    check, worst = Turned(), defaultdict(float)
    number: dict[str, int] = defaultdict(int)
    failures: list[str] = []
    rest = drawn(trial.contract, [SEED, *title.encode()], POINTS, decorated=False)
    task = progress.add_task(title, total=clouds)
    start = time.perf_counter()
    for _ in range(0, clouds, AT_ONCE):
        outcomes = check.outcomes(trial, list(islice(rest, AT_ONCE)))
        for one in outcomes:
            number[one.cloud.stratum] += not one.skipped
            if not one.cloud.scale and not one.cloud.offset:
                worst[one.cloud.stratum] = max(worst[one.cloud.stratum], one.error)
            if one.failure is not None or one.skipped:
                failures.append(f"{one.cloud!r}: {one.error:.1e} > {one.bound:.1e} {one.skipped}")
        progress.update(task, advance=len(outcomes))
    return {
        "clouds": sum(number.values()),
        "seconds": round(time.perf_counter() - start, 1),
        "failures": failures,
        "worst": dict(worst),
        "number": dict(number),
    }


def measure(clouds: int) -> dict[str, Any]:
    """Both models in both precisions, on this many clouds each."""
    found: dict[str, Any] = {}
    with Progress() as progress:
        for name, model in models().items():
            for label, dtype in DTYPES.items():
                trial = Trial.of(model.eval(), dtype=dtype)
                title = f"{name}, {label}"
                found.setdefault(name, {})[label] = measured(trial, clouds, progress, title)
    return {"models": found}


def table(key: str) -> str:
    """The worst stored error of each of the "strata"."""
    assert key == "strata"
    result = read_result("certify_deep")["models"]
    columns = [(model, dtype) for model in result for dtype in DTYPES]
    total = sum(result[m][d]["clouds"] for m, d in columns)
    broken = sum(len(result[m][d]["failures"]) for m, d in columns)
    rows = []
    for stratum in sorted(result[columns[0][0]]["float64"]["worst"]):
        number = sum(result[m][d]["number"].get(stratum, 0) for m, d in columns)
        errors = [f"{result[m][d]['worst'].get(stratum, 0.0):.0e}" for m, d in columns]
        rows.append([stratum, f"{number:,}", *errors])
    worst = [f"{max(result[m][d]['worst'].values()):.0e}" for m, d in columns]
    rows.append([f"all; {broken} above rounding", f"{total:,}", *worst])
    return markdown(["stratum", "clouds", *(f"{m}, {d}" for m, d in columns)], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clouds", type=int, default=26_000, help="for each model and dtype")
    print(write_result("certify_deep", measure(parser.parse_args().clouds)))


if __name__ == "__main__":
    main()
