"""metatrain's PET beside ours: the same weights under other names, and one call for both."""

import re

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from backbones.adapters.metatomic import from_metatomic
from backbones.atomistic.libraries import original_index_select
from backbones.pet import PET
from backbones.structures import structures_of

with original_index_select():  # metatrain compiles code that calls it
    from metatrain.pet.modules.backend import PETBackend
    from metatrain.utils.architectures import get_default_hypers

RENAMED = (
    (r"^edge_embedder", "first_message"),
    (r"^node_embedders\.(\d+)", r"rounds.\1.center"),
    (r"^gnn_layers\.(\d+)\.trans\.layers", r"rounds.\1.layers"),
    (r"^gnn_layers\.(\d+)\.edge_embedder", r"rounds.\1.geometry"),
    (r"^gnn_layers\.(\d+)\.compress", r"rounds.\1.compress"),
    (r"^gnn_layers\.(\d+)\.neighbor_embedder", r"rounds.\1.neighbor"),
    (r"^(node|edge)_heads\.(\w+)\.(\d+)", r"readouts.\2.\3.\1"),
    (r"^(node|edge)_last_layers\.(\w+)\.(\d+)\.\w+", r"readouts.\2.\3.read_\1"),
    (r"\.(read_)?node\.", r".\1center."),
    (r"attention\.input_linear", "attention.project"),
    (r"attention\.output_linear", "attention.combine"),
    (r"norm_mlp", "norm_feed"),
    (r"center_mlp", "feed_center"),
    (r"norm_center_features", "norm_center"),
    (r"center_contraction", "contract_center"),
    (r"center_expansion", "expand_center"),
    (r"\bmlp\.", "feed."),
    (r"w_in", "enter"),
    (r"w_out", "leave"),
)


class Metatrain(nn.Module):
    """metatrain's PET backend with random weights, for one invariant output of points.

    Args:
        species: atomic numbers.
        changes: of metatrain's default settings.
    """

    def __init__(self, species: list[int], **changes: object) -> None:
        super().__init__()
        self.settings = get_default_hypers("pet")["model"] | changes
        self.backend = PETBackend(self.settings, species)
        self.backend.add_output("energy", {"value": [1]})

    def forward(self, data: Data) -> Tensor:
        """(P, 1), the energy of each point of structures with edges."""
        neighbor, center = data.edge_index
        owner, size = structures_of(data)
        cell = data.get("cell")
        cell = data.pos.new_zeros(size, 3, 3) if cell is None else cell.reshape(size, 3, 3)
        shift = data.get("edge_shift")
        shift = (
            torch.zeros_like(data.edge_index[0])[:, None].expand(-1, 3) if shift is None else shift
        )
        prepared = self.backend.preprocess(
            data.pos, center, neighbor, data.z, cell, shift, owner, 1.0
        )
        nodes, edges = self.backend.calculate_features(prepared)
        values, _, _ = self.backend.predict(nodes, edges, prepared, cell, owner, ["energy"])
        return values["energy"][0]


def metatrain_pet(species: list[int]) -> nn.Module:
    """The whole model with metatrain's defaults and random weights, by the adapter for metatomic.

    What it adds to the backend is what it does with its units, targets and neighbor lists.
    """
    from metatrain import pet
    from metatrain.utils.data import DatasetInfo
    from metatrain.utils.data.target_info import get_energy_target_info

    unit = {"quantity": "energy", "unit": "eV", "description": ""}
    targets = {"energy": get_energy_target_info("energy", unit)}
    info = DatasetInfo("angstrom", atomic_types=species, targets=targets)
    return from_metatomic(pet.PET(get_default_hypers("pet")["model"], info))


def ours(species: list[int], **changes: object) -> PET:
    """Our PET of the size of metatrain's default."""
    sizes: dict = {"center_width": 256, "heads": 8, "hidden": 256, "cutoff": 4.5}
    styles: dict = {"cutoff_width": 0.5, "norm": "RMSNorm", "activation": "SwiGLU"}
    return PET({"energy": "0e"}, species, **(sizes | styles | changes))


def with_weights_of(net: PET, other: Metatrain) -> PET:
    """Our network with the weights of metatrain's, which must read out in every round."""
    weights = {}
    for name, value in other.backend.state_dict().items():
        if name == "species_to_species_index":
            continue
        for pattern, replacement in RENAMED:
            name = re.sub(pattern, replacement, name)
        weights[name] = value
    net.load_state_dict(
        weights | {k: v for k, v in net.state_dict().items() if k.startswith("baseline.")}
    )
    return net
