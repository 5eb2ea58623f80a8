"""Models of torch-sim: one state for structures with the same periods.

Outputs go by the names that torch-sim gives them: "energy" as "0e", "forces" as per_point("1o") and
"stress" as "ij=ji", in its units. They have no derivatives.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch

from equivariance_tests.model.calculators import HYDROGEN, SHAPES, check_properties
from symmetrize import Contract
from symmetrize.extras import needed_for

# Beyond which atoms do not see each other, in Å, if the contract does not say
FAR = 100.0


class OfStates:
    """A network of data, from a model of torch-sim.

    ``data.z`` holds atomic numbers, as given by ``species=[29]``; all points are hydrogen where the
    data has none. A state is periodic in three directions, or finite, so that finite and
    periodic structures go into states of their own; those with one or two periods get a third one
    and a second one across these, so long that images do not see each other. An empty structure has
    an energy and a stress of zero, and the stress of a structure without three periods is zero.

    Args:
        model: a ``ModelInterface`` of torch-sim.
        contract: what it claims; says which outputs are compared.

    Raises:
        ValueError: if an output is not one that the model has.
    """

    def __init__(self, model: Any, contract: Contract) -> None:
        self.model, self.outputs = model, contract.outputs
        self.far = FAR if contract.cutoff is None else 2 * contract.cutoff * contract.rounds
        check_properties(model, contract)

    def __call__(self, data: Batch) -> Any:
        """What the model says of each structure, in the dtype of the positions.

        Raises:
            TypeError: if positions are more precise than the model, whose rounding would then pass
                for an error.
        """
        if torch.finfo(self.model.dtype).eps > torch.finfo(data.pos.dtype).eps:
            raise TypeError(
                f"the model computes in {self.model.dtype}, and positions are {data.pos.dtype}: "
                f"certify(model, contract, dtype={self.model.dtype})"
            )
        pbc = data.get("pbc")
        pbc = torch.zeros(data.num_graphs, 3).bool() if pbc is None else pbc.reshape(-1, 3)
        sizes = torch.bincount(data.batch, minlength=data.num_graphs)
        values = {
            name: data.pos.new_zeros(
                len(data.pos) if name == "forces" else len(sizes), *SHAPES[name]
            )
            for name in self.outputs
        }
        for periods in pbc[sizes > 0].unique(dim=0):
            chosen = (pbc == periods).all(1) & (sizes > 0)
            found = self._of_state(data, chosen, periods)
            rows = chosen[data.batch]
            for name, value in values.items():
                if name != "stress" or bool(periods.all()):
                    value[rows if name == "forces" else chosen] = (
                        found[name].to(value).reshape(-1, *SHAPES[name])
                    )
        return self.outputs.unnamed(values)

    def _of_state(self, data: Batch, chosen: Tensor, periods: Tensor) -> dict[str, Tensor]:
        """Of structures that have the same periods."""
        with needed_for("a model of torch-sim", "engines"):
            import torch_sim

        rows = chosen[data.batch]
        numbers = data.get("z")
        numbers = torch.full_like(data.batch, HYDROGEN) if numbers is None else numbers
        cell = data.get("cell")
        cell = data.pos.new_zeros(len(chosen), 3, 3) if cell is None else cell.reshape(-1, 3, 3)
        cell = self._boxes(data.pos.detach(), data.batch, cell.detach(), periods)
        places = {"dtype": self.model.dtype, "device": self.model.device}
        state = torch_sim.SimState(
            positions=data.pos.detach()[rows].to(**places),
            masses=torch.ones(int(rows.sum()), **places),
            cell=cell[chosen].mT.contiguous().to(**places),
            pbc=bool(periods.any()),
            atomic_numbers=numbers[rows].to(self.model.device),
            system_idx=(chosen.cumsum(0) - 1)[data.batch[rows]].to(self.model.device),
        )
        return {name: value.detach() for name, value in self.model(state).items()}

    def _boxes(self, pos: Tensor, batch: Tensor, cell: Tensor, periods: Tensor) -> Tensor:
        """Cells with long vectors, across all periods that there are, where there is none."""
        kept = periods.nonzero()[:, 0]
        if len(kept) == 3:
            return cell
        index, none = batch[:, None].expand_as(pos), pos.new_zeros(len(cell), 3)
        high = none.scatter_reduce(0, index, pos, "amax", include_self=False)
        low = none.scatter_reduce(0, index, pos, "amin", include_self=False)
        extent = (high - low).norm(dim=1)[:, None, None]
        across = torch.linalg.qr(cell[:, kept].mT, mode="complete").Q.mT[:, len(kept) :]
        boxes = cell.clone()
        boxes[:, ~periods] = (extent + self.far) * across
        return boxes
