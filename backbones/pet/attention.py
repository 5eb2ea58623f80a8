"""Attention within environments, where a token counts as much as its cutoff function allows.

The weights of all tokens are multiplied by their cutoff functions and renormalized,

    w_kj = f_j exp(q_k . k_j / sqrt(d)) / sum_l f_l exp(q_k . k_l / sqrt(d))

so that a neighbor at the cutoff has no weight. The center has f = 1: the sum does not vanish.

Source: Pozdnyakov and Ceriotti, arXiv 2305.19302, section 6.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Attention(nn.Module):
    """Multi-head self-attention in blocks of environments; can be differentiated twice.

    Args:
        width: features of a token.
        heads: must divide ``width``.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads != 0:
            raise ValueError(
                f"`heads` is {heads} but must divide `width`, {width}: each head has its own part "
                "of the features"
            )
        self.heads = heads
        self.project = nn.Linear(width, 3 * width)
        self.combine = nn.Linear(width, width)

    def forward(
        self,
        tokens: Float[Tensor, "rows width"],
        log_cutoff: Float[Tensor, "rows"],
        shapes: tuple[tuple[int, int], ...],
    ) -> Float[Tensor, "rows width"]:
        """What each token gathers from its environment.

        Args:
            tokens: all blocks, one after the other.
            log_cutoff: logarithm of the cutoff function; -inf for padding.
            shapes: (environments, tokens) of each block.
        """
        projected = self.project(tokens)
        start, mixed = 0, []
        for number, width in shapes:
            rows = slice(start, start + number * width)
            start = rows.stop
            block = projected[rows].view(number, width, 3, self.heads, -1)
            queries, keys, values = block.permute(2, 0, 3, 1, 4).unbind(0)
            bias = log_cutoff[rows].view(number, 1, 1, width)
            gathered = _attend(queries, keys, values, bias)
            mixed.append(gathered.transpose(1, 2).reshape(number * width, -1))
        return self.combine(torch.cat(mixed) if mixed else tokens)


def _attend(
    queries: Float[Tensor, "environments heads tokens part"],
    keys: Float[Tensor, "environments heads tokens part"],
    values: Float[Tensor, "environments heads tokens part"],
    bias: Float[Tensor, "environments 1 1 tokens"],
) -> Float[Tensor, "environments heads tokens part"]:
    # torch's fused attention cannot be differentiated twice, nor with respect to its bias
    scores = (queries * queries.size(-1) ** -0.5) @ keys.transpose(-1, -2)
    return (scores + bias).softmax(-1) @ values
