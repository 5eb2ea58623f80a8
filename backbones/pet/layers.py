"""A transformer layer on the tokens of environments, with an optional wider stream for centers.

Source: Pozdnyakov and Ceriotti, arXiv 2305.19302, section 6; the wider center and the gated
activation follow metatrain's PET.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from backbones.pet.attention import Attention
from backbones.pet.buckets import Buckets

Norm = Literal["LayerNorm", "RMSNorm"]
Activation = Literal["SiLU", "SwiGLU"]
NormPlace = Literal["pre", "post"]

NORMS: dict[str, type[nn.Module]] = {"LayerNorm": nn.LayerNorm, "RMSNorm": nn.RMSNorm}


class FeedForward(nn.Module):
    """Two linear layers with an activation between them; "SwiGLU" gates one half by the other."""

    def __init__(self, width: int, hidden: int, activation: Activation) -> None:
        super().__init__()
        self.gated = activation == "SwiGLU"
        self.enter = nn.Linear(width, 2 * hidden if self.gated else hidden)
        self.leave = nn.Linear(hidden, width)

    def forward(self, tokens: Float[Tensor, "rows width"]) -> Float[Tensor, "rows width"]:
        """Each row by itself."""
        entered = self.enter(tokens)
        if self.gated:
            value, gate = entered.chunk(2, dim=-1)
            return self.leave(value * torch.sigmoid(gate))
        return self.leave(nn.functional.silu(entered))


class Layer(nn.Module):
    """Attention, then feed-forward, each with a residual and a norm before ("pre") or after it.

    Args:
        width: features of a token.
        center_width: features of the stream of centers; equal to ``width`` for the layer of the
            paper, in which a center is a token like any other.
        heads: of the attention.
        hidden: width inside the feed-forward network.
    """

    def __init__(
        self,
        width: int,
        center_width: int,
        heads: int,
        hidden: int,
        norm: Norm,
        activation: Activation,
        order: NormPlace,
    ) -> None:
        super().__init__()
        self.order = order
        self.wide = center_width != width
        self.attention = Attention(width, heads)
        self.norm_attention = NORMS[norm](width)
        self.norm_feed = NORMS[norm](width)
        self.feed = FeedForward(width, hidden, activation)
        if self.wide:
            self.contract_center = nn.Linear(center_width, width)
            self.expand_center = nn.Linear(width, center_width)
            self.norm_center = NORMS[norm](center_width)
            self.feed_center = FeedForward(center_width, 2 * center_width, activation)

    def forward(
        self,
        tokens: Float[Tensor, "rows width"],
        centers: Float[Tensor, "centers center_width"] | None,
        damping: Float[Tensor, "rows"],
        where: Buckets,
    ) -> tuple[Float[Tensor, "rows width"], Float[Tensor, "centers center_width"] | None]:
        """Tokens and centers after the layer; ``centers`` is None where they are not wider."""
        if centers is not None:
            # the tokens of centers are what the wide stream says, on the way in and out
            tokens = tokens.index_copy(0, where.center, self.contract_center(centers))
        if self.order == "pre":
            mixed = self.attention(self.norm_attention(tokens), damping, where.shapes)
            tokens = tokens + mixed
            tokens = tokens + self.feed(self.norm_feed(tokens))
            back = mixed
        else:
            mixed = self.attention(tokens, damping, where.shapes)
            tokens = self.norm_attention(tokens + mixed)
            tokens = back = self.norm_feed(tokens + self.feed(tokens))
        if centers is not None:
            centers = centers + self.expand_center(back.index_select(0, where.center))
            centers = centers + self.feed_center(self.norm_center(centers))
        return tokens, centers
