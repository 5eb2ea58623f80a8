"""What composition alone says about an output, and the scale of what is left.

The invariant part of an output of structures is fitted, by linear regression, as a sum over points
of a value for each species; what a network learns is the rest, in units of its root mean square per
point. Both are kept with the network's weights.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from backbones.heads import check_rows, key_of
from backbones.structures import sum_over
from symmetrize import Contract

# Relative size below which differences of compositions and what is left of targets are rounding
RCOND = 1e-9


class Baseline(nn.Module):
    """Weights of species and scales, for each output; zero and one until they are fitted.

    Args:
        contract: whose outputs these are, of structures and points.
        species: number of species.

    Raises:
        ValueError: if an output has rows of edges.
    """

    def __init__(self, contract: Contract, species: int) -> None:
        super().__init__()
        self.outputs = contract.outputs
        for name, output in self.outputs.items():
            check_rows(name, output, "structure", "point")
            self.register_buffer(
                f"{key_of(name)}_weight", torch.zeros(species, output.representation.dim)
            )
            self.register_buffer(f"{key_of(name)}_scale", torch.ones(()))

    def forward(
        self, values: dict[str, Float[Tensor, "points dim"]], kinds: Int[Tensor, "points"]
    ) -> dict[str, Float[Tensor, "points dim"]]:
        """What each point adds to each output, in the unit of the data."""
        return {
            name: getattr(self, f"{key_of(name)}_weight")[kinds]
            + getattr(self, f"{key_of(name)}_scale") * value
            for name, value in values.items()
        }

    @torch.no_grad()
    def fit(
        self, name: str, targets: Tensor, kinds: Int[Tensor, "points"], batch: Int[Tensor, "points"]
    ) -> None:
        """Fit weights and scale of one output, in float64.

        Compositions that the data does not tell apart (one molecule in many shapes) share the
        smallest weights that explain it.

        Args:
            name: of the output.
            targets: one row for each structure, or for each point where so declared.
            kinds: place of the species of each point.
            batch: structure of each point.
        """
        output = self.outputs[name]
        representation = output.representation
        number = len(kinds) if output.per_point else int(batch.max()) + 1 if len(batch) else 0
        if targets.numel() != number * representation.dim or not bool(targets.isfinite().all()):
            raise ValueError(
                f"the target {name!r} of shape {tuple(targets.shape)} must hold {number} finite "
                f"values of {representation}: one for each "
                f"{'point' if output.per_point else 'structure'}"
            )
        rows = targets.double().reshape(number, representation.dim)
        one_hot = nn.functional.one_hot(
            kinds, len(getattr(self, f"{key_of(name)}_weight"))
        ).double()
        composition = one_hot if output.per_point else sum_over(one_hot, batch, number)
        invariant = representation.project_invariant(rows)
        # compositions may be linearly dependent: the driver must be one that expects it
        weight = torch.linalg.lstsq(composition, invariant, rcond=RCOND, driver="gelsd").solution
        left = (rows - composition @ weight) / composition.sum(1).clamp(min=1)[:, None]
        scale = left.square().mean().sqrt()
        # rounding is no unit to measure in
        rounding = RCOND * rows.square().mean().sqrt()
        getattr(self, f"{key_of(name)}_weight").copy_(weight)
        getattr(self, f"{key_of(name)}_scale").copy_(torch.where(scale > rounding, scale, 1.0))
