"""Exactness and smoothness of trained networks, in every family of frames.

Networks that learned energies and forces of acetylacetone in random rotations, and the potential
that comes along, by themselves and in frames, are held to exact O(3) and to smoothness by
``equivariance_tests``: on degenerate clouds whose points keep 0.7 Å apart. And how much steeper
energies are than those of the bare network where points of test molecules move straight by 0.3 Å.

Run: python -m benchmarks.train_certified (40 minutes on one core), after benchmarks.train_accuracy,
whose states stand in comparisons/accuracy. Writes results/train_certified.json, model by model.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from backbones.pretrained import small_pet
from benchmarks._families import AVERAGING, CUTOFF, LEAN, PRUNED, SMOOTH
from benchmarks._record import RESULTS, read_result, write_result
from benchmarks._text import markdown, progress, short
from benchmarks.compare.configuration import read
from benchmarks.compare.runs import trained
from equivariance_tests import Contract, Profile, certify
from symmetrize import (
    FrameAveraging,
    Frames,
    HierarchicalFrames,
    PairFrames,
    QuadratureFrames,
    Symmetrizer,
)

FOLDER = Path("comparisons/accuracy")  # of benchmarks.train_accuracy
SET, SPECIES = "acetylacetone", (1, 6, 8)
SHIPPED, BARE, QUADRATURE = "the potential that comes along", "bare", "quadrature, degree 3"
CONTRACT = Contract({"energy": "0e"}, smoothness=float("inf"), min_distance=0.7)
CHECKS = ("equivariance", "path scan", "steepness")
PROFILE = Profile("few", clouds=40, slow_clouds=1, slow_cases=5, case_points=7, shrinking=0)
PATHS, GRID, LENGTH = 8, 201, 0.3  # Å


def auxiliary(data: Data) -> dict[str, Tensor]:
    """A sum over pairs, invariant by itself, for clouds in which pairs make no frame."""
    apart = data.pos[:, None] - data.pos
    same = data.batch[:, None] == data.batch
    pairs = torch.where(same, torch.exp(-apart.square().sum(-1) / 4), 0.0).sum(1)
    energy = pairs.new_zeros(data.num_graphs).index_add(0, data.batch, pairs)
    return {"energy": energy[:, None]}


FAMILIES: dict[str, Callable[[], Frames | None]] = {
    BARE: lambda: None,
    QUADRATURE: lambda: QuadratureFrames(3),
    AVERAGING: lambda: FrameAveraging(),
    PRUNED: lambda: PairFrames(CUTOFF, auxiliary=auxiliary),
    LEAN: lambda: HierarchicalFrames(CUTOFF, preset="lean"),
    SMOOTH: lambda: HierarchicalFrames(CUTOFF),
}


def networks() -> dict[str, tuple[Any, list[Data]]]:
    """Trained networks in double precision, and test molecules.

    Raises:
        SystemExit: if they are not trained.
    """
    found: dict[str, tuple[Any, list[Data]]] = {}
    for run in read("accuracy").runs():
        if run.data.set != SET or not run.network.symmetrized or run.seed > 0:
            continue
        training, parts = trained(run, FOLDER)
        found[run.network.make] = training.best_model()[0].double(), parts.test[:PATHS]
    molecules = next(iter(found.values()))[1]
    return {SHIPPED: (small_pet().double(), molecules)} | found


def steepness(model: Any, molecules: list[Data]) -> list[float]:
    """The largest second derivative on the path of each molecule, eV/Å²."""
    generator = torch.Generator().manual_seed(3)
    times = torch.linspace(0, LENGTH, GRID, dtype=torch.float64)
    found = []
    for one in molecules:
        shift = torch.randn(one.pos.shape, generator=generator, dtype=torch.float64)
        shift = shift / shift.norm(dim=1, keepdim=True)
        images = [Data(pos=one.pos + time * shift, z=one.z) for time in times]
        with torch.no_grad():
            energy = model(Batch.from_data_list(images))["energy"][:, 0]
        second = (energy[2:] - 2 * energy[1:-1] + energy[:-2]) / (times[1] - times[0]) ** 2
        found.append(float(second.abs().max()))
    return found


def measured(net: Any, family: str, molecules: list[Data]) -> dict[str, Any]:
    """What the checks find, and the largest second derivatives."""
    frames = FAMILIES[family]()
    model = net if frames is None else Symmetrizer(net, frames=frames)
    # an average over fixed rotations is as smooth as the network
    checks = CHECKS[:1] if frames is not None and frames.fixed else CHECKS
    report = certify(
        model, CONTRACT, species=SPECIES, checks=checks, profile=PROFILE, progress=False
    )
    return {"second": steepness(model, molecules)} | report.to_json()


def measure(names: list[str]) -> dict[str, Any]:
    """All families around these networks, and what is stored of the others; stored one by one."""
    torch.set_num_threads(1)
    stored = (RESULTS / "train_certified.json").exists()
    results = read_result("train_certified")["networks"] if stored else {}
    chosen = {name: found for name, found in networks().items() if not names or name in names}
    sides = [(name, family) for name in chosen for family in FAMILIES]
    for name, family in progress(sides, "trained networks"):
        net, molecules = chosen[name]
        results.setdefault(name, {})[family] = measured(net, family, molecules)
        write_result("train_certified", {"networks": results})
    return {"networks": results}


def table(key: str) -> str:
    """Of each network in each family: rotation error, worst break, steepness of the frames."""
    assert key == "trained"
    rows = []
    left = {"verdict": "-", "failure": None}
    for name, by_family in read_result("train_certified")["networks"].items():
        for family, one in by_family.items():
            findings = dict.fromkeys(CHECKS, left)
            findings |= {finding["check"]: finding for finding in one["findings"]}
            second = [a / b for a, b in zip(one["second"], by_family[BARE]["second"], strict=True)]
            rows.append(
                [
                    *(name, family, _size(findings["equivariance"])),
                    *(_break(findings["path scan"]), _size(findings["steepness"])),
                    f"{sum(second) / len(second):.2f}, {max(second):.2f}",
                ]
            )
    header = [
        *("network", "frames", "rotation error", "break on a path"),
        *("added to the gradient", "second derivative / bare, mean, largest"),
    ]
    return markdown(header, rows)


def _size(finding: dict[str, Any]) -> str:
    if finding["verdict"] not in ("passed", "failed"):
        return "-"
    return short(finding["error"]) if finding["error"] > 1e-3 else f"{finding['error']:.0e}"


def _break(finding: dict[str, Any]) -> str:
    failure = finding["failure"]
    if failure is None:
        return "none" if finding["verdict"] == "passed" else finding["verdict"]
    size = f" of {_size(finding)}" if isinstance(finding["error"], float) else ""
    order = {0: "jump", 1: "kink", 2: "jump of the second derivative"}.get(failure["order"])
    return f"{order or failure['kind']}{size}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=[], help="names of networks")
    print(write_result("train_certified", measure(parser.parse_args().only)))
    print(table("trained"))


if __name__ == "__main__":
    main()
