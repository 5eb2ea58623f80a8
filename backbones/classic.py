"""What the published classifiers have in common: layers, readout, contract.

All of them take coordinates from the centroid, not divided by anything: bring objects to a common
size first (the unit sphere, in the papers). Layers are linear, batch normalization, activation. In
training mode the normalization mixes the structures of a batch, and a batch of one cannot be
trained on; in evaluation mode structures are kept apart.
"""

from collections.abc import Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.nn import MLP

from backbones.heads import Heads
from backbones.inputs import check_features
from symmetrize import Contract, Outputs


def classifier_contract(
    outputs: Outputs, features: Mapping[str, str] | None, smoothness: int | None
) -> Contract:
    """The contract of a network with outputs of structures only, each from the whole cloud.

    Raises:
        ValueError: if an output of points or edges is declared.
    """
    check_features(features)
    contract = Contract(outputs, inputs=features, group=None, smoothness=smoothness)
    for name, output in contract.outputs.items():
        if output.rows != "structure":
            raise ValueError(
                f"`outputs` declares {name!r} for each {output.rows} but the classic forms "
                "classify whole objects: declare it of structures, or use the smooth form of the "
                "network"
            )
    return contract


def layers(*widths: int, slope: float = 0.0, dropout: float | list[float] = 0.0) -> MLP:
    """Linear, batch normalization and (leaky) ReLU, for each pair of widths."""
    return MLP(
        list(widths),
        act="leaky_relu" if slope else "relu",
        act_kwargs={"negative_slope": slope} if slope else None,
        dropout=dropout,
        plain_last=False,
    )


def scaled(width: int | float, *widths: int) -> list[int]:
    """The published widths times a factor."""
    return [max(1, round(width * each)) for each in widths]


class Readout(nn.Module):
    """Layers with dropout, then one linear map to each output.

    Args:
        contract: whose outputs these are.
        widths: features of the cloud, and after each layer.
        dropout: after each layer, or after all of them.
        slope: of the leaky ReLU; 0 for ReLU.
    """

    def __init__(
        self,
        contract: Contract,
        widths: list[int],
        dropout: float | list[float] = 0.5,
        slope: float = 0.0,
    ) -> None:
        super().__init__()
        self.layers = layers(*widths, dropout=dropout, slope=slope)
        self.heads = Heads(contract, structure=widths[-1], point=0, hidden=0)

    def forward(self, cloud: Float[Tensor, "structures features"]) -> Any:
        """The declared outputs."""
        return self.heads(self.layers(cloud), None)
