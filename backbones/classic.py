"""What the published classifiers have in common: contract, inputs, layers, readout.

All of them take coordinates from the centroid, not divided by anything: bring objects to a common
size first (the unit sphere, in the papers). Layers are linear, batch normalization, activation. In
training mode the normalization mixes the structures of a batch, and a batch of one cannot be
trained on; in evaluation mode structures are kept apart.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.nn import MLP

from backbones.heads import Heads
from backbones.inputs import PointInputs, check_features, check_sizes
from symmetrize import Contract, Outputs


class Classifier(nn.Module):
    """What a published classifier declares, and what it knows of points beside their places.

    Args:
        outputs: as in ``Symmetrizer``, of structures only: ``"11x0e"`` for 11 class logits.
        width: factor on all numbers of features.
        dropout: after each of the last layers, in training mode.
        species: the values of ``data.z``, or their number, for values from 0 on; 0 for shapes,
            where there are none.
        features: further attributes with a row for each point, and how they turn, as in
            ``{"normals": "1o"}``.
        smoothness: that the network has, see ``Contract``.

    Raises:
        ValueError: if an output of points or edges is declared.
    """

    def __init__(
        self,
        outputs: Outputs,
        width: int | float,
        species: int | Sequence[int],
        features: Mapping[str, str] | None,
        smoothness: int | None,
    ) -> None:
        super().__init__()
        check_sizes(width=width)
        check_features(features)
        self.contract = Contract(outputs, inputs=features, group=None, smoothness=smoothness)
        for name, output in self.contract.outputs.items():
            if output.rows != "structure":
                raise ValueError(
                    f"`outputs` declares {name!r} for each {output.rows} but the classic forms "
                    "classify whole objects: declare it of structures, or use the smooth form of "
                    "the network"
                )
        self.inputs = PointInputs(self.contract, species)


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


class ClassReadout(nn.Module):
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
