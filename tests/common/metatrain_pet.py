"""metatrain's PET with random weights, as none can be fetched, and outputs of many kinds."""

from typing import Any

import torch

from backbones.atomistic.libraries import original_index_select

with original_index_select():
    from metatrain.pet import PET
    from metatrain.utils.architectures import get_default_hypers
    from metatrain.utils.data import DatasetInfo
    from metatrain.utils.data.target_info import get_generic_target_info

VECTOR, TENSOR = {"cartesian": {"rank": 1}}, {"cartesian": {"rank": 2}}
SPHERICAL = {
    "spherical": {
        "irreps": [
            {"o3_lambda": 0, "o3_sigma": -1},
            {"o3_lambda": 1, "o3_sigma": 1},
            {"o3_lambda": 2, "o3_sigma": 1},
        ]
    }
}
# name: type, unit, number, whether for atoms
TARGETS: dict[str, tuple[Any, str, int, bool]] = {
    "energy": ("scalar", "eV", 1, False),
    "non_conservative_force": (VECTOR, "eV/A", 1, True),
    "non_conservative_stress": (TENSOR, "eV/A^3", 1, False),
    "mtt::dipole": (VECTOR, "e*A", 1, False),
    "mtt::polarizability": (TENSOR, "", 1, False),
    "mtt::spherical": (SPHERICAL, "", 2, False),
}
REPRESENTATIONS = {
    "energy": "0e",
    "non_conservative_force": "1o",
    "non_conservative_stress": "ij=ji",
    "mtt::dipole": "1o",
    "mtt::polarizability": "ij",
    "mtt::spherical": "2x0o + 2x1o + 2x2e",
}


def pet(dtype: torch.dtype = torch.float64, targets: Any = TARGETS, **hypers: Any) -> Any:
    """A small PET of two layers with random weights."""
    torch.manual_seed(0)
    model = get_default_hypers("pet")["model"]
    model |= {"d_pet": 16, "d_head": 16, "d_node": 16, "d_feedforward": 16, "num_heads": 2}
    model |= {"num_attention_layers": 1, "num_gnn_layers": 2, "cutoff": 3.0, **hypers}
    layouts = {}
    for name, (kind, unit, number, of_atoms) in targets.items():
        described = {"type": kind, "unit": unit, "num_subtargets": number, "quantity": ""}
        described |= {"sample_kind": "atom" if of_atoms else "system", "description": ""}
        layouts[name] = get_generic_target_info(name, described)
    info = DatasetInfo(length_unit="angstrom", atomic_types=[1, 6, 7, 8], targets=layouts)
    return PET(model, info).to(dtype).eval()
