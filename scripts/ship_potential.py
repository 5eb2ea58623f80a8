"""Put the small potential where ``backbones.pretrained`` finds it: its weights, and what it can do.

    python scripts/label_structures.py comparisons
    python -m benchmarks run potential
    python scripts/ship_potential.py comparisons/potential

What training keeps beside the network, its scale and the mean of its energies, goes into the
baseline of the network. Energies are then relative to what composition alone says, so that single
precision resolves them.
"""

import argparse
import json
from pathlib import Path

import torch

from backbones import PET
from backbones.checkpoint import save
from benchmarks.compare.configuration import read
from benchmarks.compare.learning import START

SHIPPED = Path(__file__).parents[1] / "backbones" / "pretrained" / "small_pet"
SPECIES = (1, 6, 7, 8, 11, 13, 14, 17, 29)


def potential(state: dict[str, torch.Tensor]) -> PET:
    """The network of the best state, with the units of its energies."""
    (run,) = read("potential").runs()
    net = PET({"energy": "0e"}, species=SPECIES, **run.network.settings)
    weights = {name.removeprefix("net."): v for name, v in state.items() if name[:4] == "net."}
    net.load_state_dict(weights)
    scale = START * state["units.forces_scale"] / state["units.energy_unit"]
    net.baseline.energy_scale.copy_(scale)
    net.baseline.energy_weight.fill_(float(-scale * state["units.energy_first"]))
    return net.eval()


def main() -> None:
    """Write the checkpoint, and a card of the errors on the test set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    (path,) = parser.parse_args().folder.glob("*/result.json")
    found = json.loads(path.read_text())
    state = torch.load(path.with_name("state.pt"), weights_only=True)
    save(potential(state["best"]), SHIPPED)
    keep = ("date", "machine", "versions", "command", "curve", "training_seconds", "parameters")
    card = {name: found[name] for name in keep}
    card["errors"] = {form: one["errors"] for form, one in found["forms"].items()}
    card["rotation_error"] = {form: one["rotation_error"] for form, one in found["forms"].items()}
    card["evaluations"] = found["forms"]["symmetrized"]["evaluations"]
    card["structures"] = found["run"]["data"]
    card["labels"] = "GFN2-xTB by tblite for H, C, N and O; SevenNet-0 for Si, Al, Cu and NaCl"
    card["licence"] = "MIT"
    (SHIPPED / "card.json").write_text(json.dumps(card, indent=1) + "\n")
    size = sum(one.stat().st_size for one in SHIPPED.iterdir())
    print(f"{SHIPPED}: {size / 1e6:.1f} MB, errors {card['errors']}")


if __name__ == "__main__":
    main()
