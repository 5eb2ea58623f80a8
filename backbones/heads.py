"""From features to declared outputs: one small network for each output, reshaped to its values."""

from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from backbones.structures import sum_over
from symmetrize import Contract, Output


def key_of(name: str) -> str:
    """The name of an output as torch takes it for a module: without dots, and no method's.

    >>> key_of("energy"), key_of("head.energy"), key_of("values")
    ('energy', 'head/energy', 'values/')
    """
    key = name.replace(".", "/")
    return f"{key}/" if hasattr(nn.ModuleDict(), key) else key


def shaped(values: Float[Tensor, "rows dim"], output: Output) -> Tensor:
    """Values of an output as they are declared; log-probabilities from logits of several classes.

    >>> import torch
    >>> from symmetrize import log_probabilities
    >>> shaped(torch.tensor([[1.0, 1.0]]), log_probabilities("2x0e")).exp()
    tensor([[0.5000, 0.5000]])
    """
    if output.average == "log" and output.representation.dim > 1:
        values = values.log_softmax(-1)
    return values.reshape(-1, *output.representation.value_shape)


def check_rows(name: str, output: Output, *kinds: str) -> None:
    """Refuse an output whose rows stand for what a network has no features of.

    Raises:
        ValueError: naming the output.
    """
    if output.rows not in kinds:
        has = " and ".join(f"{kind}s" for kind in kinds)
        raise ValueError(
            f"`outputs` declares {name!r} for each {output.rows} but this network has features of "
            f"{has} only: declare it of these, or put a head of your own on what it returns"
        )


class Heads(nn.Module):
    """One small network for each output of a contract.

    Args:
        contract: whose outputs these are, of structures and points.
        structure: number of features of a structure, or 0 if outputs of structures are sums over
            their points.
        point: number of features of a point.
        hidden: features in between; 0 for one linear map.
        activation: smooth or not, as the contract says.

    Raises:
        ValueError: if an output has rows of edges.

    >>> import torch
    >>> heads = Heads(Contract({"energy": "0e", "stress": "ij=ji"}), structure=8, point=8)
    >>> {name: tuple(value.shape) for name, value in heads(torch.rand(2, 8), None).items()}
    {'energy': (2, 1), 'stress': (2, 3, 3)}
    """

    def __init__(
        self,
        contract: Contract,
        structure: int,
        point: int,
        hidden: int = 128,
        activation: type[nn.Module] = nn.SiLU,
    ) -> None:
        super().__init__()
        self.outputs = contract.outputs
        self.by_name = nn.ModuleDict()
        for name, output in self.outputs.items():
            check_rows(name, output, "structure", "point")
            width = point if output.per_point or structure == 0 else structure
            values = output.representation.dim
            self.by_name[key_of(name)] = (
                nn.Sequential(nn.Linear(width, hidden), activation(), nn.Linear(hidden, values))
                if hidden
                else nn.Linear(width, values)
            )

    def forward(
        self,
        structure: Float[Tensor, "structures features"] | None,
        point: Float[Tensor, "points columns"] | None,
    ) -> Any:
        """Outputs of structures from their features, outputs of points from theirs."""
        values = {}
        for name, output in self.outputs.items():
            rows = point if output.per_point else structure
            values[name] = self._shaped(name, self.by_name[key_of(name)](rows))
        return self.outputs.unnamed(values)

    def of_points(
        self,
        point: Float[Tensor, "points features"],
        batch: Int[Tensor, "points"],
        size: int,
        weights: Tensor | None = None,
    ) -> Any:
        """Outputs of points, and outputs of structures as weighted sums over their points."""
        values = {}
        for name, output in self.outputs.items():
            value = self.by_name[key_of(name)](point)
            if not output.per_point:
                value = sum_over(value, batch, size, None if weights is None else weights.to(value))
            values[name] = self._shaped(name, value)
        return self.outputs.unnamed(values)

    def _shaped(self, name: str, values: Tensor) -> Tensor:
        return shaped(values, self.outputs[name])
