"""Any atomistic model in metatomic's format, such as metatrain's PET, as a network to symmetrize.

    model = Symmetrizer(from_metatomic("model.pt"))

Importing this module imports metatensor and metatomic and settles their conflict with
torch_geometric: it may come before or after ``import torch_geometric``, but before ``metatrain``.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from backbones.atomistic.capabilities import Wanted, known_smoothness, sight, wishes
from backbones.atomistic.libraries import metatensor, metatomic
from backbones.atomistic.loading import exported, load
from backbones.atomistic.systems import (
    LENGTH_UNIT,
    Places,
    add_inputs,
    systems_of,
    with_neighbors,
)
from backbones.atomistic.values import representation_of, tensor_of
from backbones.structures import structures_of
from symmetrize import Contract


def from_metatomic(
    model: Any,
    outputs: Wanted = None,
    smoothness: int | float | None = None,
    extensions_directory: str | Path | None = None,
    check_consistency: bool = False,
) -> "MetatomicModel":
    """A network from a file of metatomic or metatrain, or from a model in memory.

    Args:
        model: path of an exported model (``.pt``: a program, see ``backbones.atomistic.loading``)
            or of a checkpoint of metatrain's PET (``.ckpt``: read without running code); or an
            ``AtomisticModel``, or a model of metatrain.
        outputs: see ``MetatomicModel``; None for all that can be averaged.
        smoothness: see ``MetatomicModel``.
        extensions_directory: where to look for compiled extensions that an exported model names.
        check_consistency: whether metatomic checks all inputs and outputs.

    Raises:
        FileNotFoundError, ValueError, TypeError: if there is no such model, or no such output.
    """
    if isinstance(model, str | Path):
        model = load(Path(model), extensions_directory)
    return MetatomicModel(exported(model), outputs, smoothness, check_consistency)


class MetatomicModel(nn.Module):
    """A metatomic model that takes ``Data`` and returns a dict of tensors.

    The data has ``pos`` in Å; ``z``, atomic numbers; ``cell`` and ``pbc`` where it is periodic; and
    each scalar that the model asks for, such as ``charge``. Positions are cast to the dtype of the
    model, in which its outputs stay, whatever the module is cast to; forces and stress are
    derivatives of the energy, as from ``forces_and_stress``. In an environment (``is_center``) the
    center alone is selected. metatomic freezes the parameters of its models: to train those of a
    model in memory, set their ``requires_grad`` again.

    Args:
        model: an ``AtomisticModel``.
        outputs: names of outputs; or a mapping to how they turn, as in ``Symmetrizer``, where
            ``per_point`` asks for one row for each atom (``{"energy": per_point("0e")}``). None for
            all but features and auxiliary ones, with one row for each structure but for standard
            quantities of atoms, such as ``non_conservative_force``.
        smoothness: see ``Contract``; None for what is known of PET, and no claim for other models.
        check_consistency: whether metatomic checks all inputs and outputs.

    Attributes:
        contract: the outputs, as found by one evaluation of two atoms where they are not declared;
            the range, as a cutoff and a number of rounds; no group.
        units: of each output; eV and Å for standard ones, else as the author of the model says.

    Raises:
        ValueError: if an output is not offered, or turns in no way that is known here.
    """

    def __init__(
        self,
        model: Any,
        outputs: Wanted = None,
        smoothness: int | float | None = None,
        check_consistency: bool = False,
    ) -> None:
        super().__init__()
        self.model = model.eval()
        self.check_consistency = check_consistency
        capabilities = model.capabilities()
        self.dtype = {"float32": torch.float32, "float64": torch.float64}[capabilities.dtype]
        self.neighbor_lists = list(model.requested_neighbor_lists())
        self.inputs = dict(model.requested_inputs(use_new_names=True))
        wished = wishes(capabilities.outputs, outputs)
        self.requests = {name: wish.request for name, wish in wished.items()}
        self.units = {name: request.unit for name, request in self.requests.items()}

        found = self._evaluate(self._pair(capabilities.atomic_types[0]))[0]
        self.contract = Contract(
            {
                name: wish.output(name, representation_of(name, found[name]))
                for name, wish in wished.items()
            },
            group=None,
            smoothness=known_smoothness(model) if smoothness is None else smoothness,
            periodic=True,
            **sight(model, wished),
        )

    def prepare(self, data: Data) -> Data:
        """A shallow copy with the neighbor lists that the model asks for, all in one."""
        return with_neighbors(data, self.neighbor_lists)

    def forward(self, data: Data) -> dict[str, Tensor]:
        """Each output, with one row for each structure, or for each point where so declared.

        Raises:
            ValueError: if ``z`` or an input of the model is missing, or it does not know a species.
        """
        outputs = self.contract.outputs
        if len(data.pos) == 0:  # not even a system to ask for
            size = structures_of(data)[1]
            return {
                name: data.pos.new_zeros(
                    0 if output.per_point else size, *output.representation.value_shape
                ).to(self.dtype)
                for name, output in outputs.items()
            }
        values, places = self._evaluate(data)
        return {name: tensor_of(values[name], out, places) for name, out in outputs.items()}

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "MetatomicModel":
        """Whatever is done to all tensors, as by ``to``, but for their precision: the model's own.

        It has one that it was exported for, and refuses others; inputs are cast to it.
        """

        def done(tensor: Tensor) -> Tensor:
            tried = fn(tensor.new_empty(0))
            return fn(tensor) if tried.dtype == tensor.dtype else tensor.to(tried.device)

        return super()._apply(done, recurse)

    def train(self, mode: bool = True) -> "MetatomicModel":
        """Training mode, but for the model inside: those of metatrain then leave out a part.

        In training mode they return residuals, without composition energies and scale.
        """
        super().train(mode)
        self.model.eval()
        return self

    def _evaluate(self, data: Data) -> tuple[dict[str, Any], Places]:
        if data.get("z") is None:
            raise ValueError(
                f"the data has no species `z`, only {sorted(data.keys())}: set data.z to the "
                "atomic number of each point"
            )
        if data.get("edge_lists") is None:
            data = self.prepare(data)
        places = Places.of(data)
        systems = systems_of(data, places, self.neighbor_lists, self.dtype)
        add_inputs(systems, data, places, self.inputs, self.dtype)
        selected = None
        if data.get("is_center") is not None:
            atoms = torch.stack([places.system, places.place], 1)[data.is_center]
            selected = metatensor.Labels(["system", "atom"], atoms.int())
        options = metatomic.ModelEvaluationOptions(LENGTH_UNIT, self.requests, selected)
        return self.model(systems, options, self.check_consistency), places

    def _pair(self, species: int) -> Data:
        """Two atoms at 1.5 Å, with 1 for each input that the model asks for."""
        tensors = [*self.model.parameters(), *self.model.buffers(), torch.zeros(0)]
        pos = torch.tensor([[0.0, 0, 0], [0, 0, 1.5]], dtype=self.dtype, device=tensors[0].device)
        data = Data(pos=pos, z=torch.full_like(pos[:, 0], species, dtype=torch.long))
        for name, request in self.inputs.items():
            data[name] = pos.new_ones(2 if request.sample_kind == "atom" else 1)
        return data
