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
        damping: Float[Tensor, "rows"],
        shapes: tuple[tuple[int, int], ...],
    ) -> Float[Tensor, "rows width"]:
        """What each token gathers from its environment.

        Args:
            tokens: all blocks, one after the other.
            damping: cutoff function of each token; 1 for centers, 0 for padding.
            shapes: (environments, tokens) of each block.
        """
        projected = self.project(tokens)
        start, mixed = 0, []
        for number, width in shapes:
            rows = slice(start, start + number * width)
            start = rows.stop
            block = projected[rows].view(number, width, 3, self.heads, -1)
            queries, keys, values = block.permute(2, 0, 3, 1, 4).unbind(0)
            factor = damping[rows].view(number, 1, 1, width)
            gathered = _attend(queries, keys, values, factor)
            mixed.append(gathered.transpose(1, 2).reshape(number * width, -1))
        return self.combine(torch.cat(mixed) if mixed else tokens)


def _attend(
    queries: Float[Tensor, "environments heads tokens part"],
    keys: Float[Tensor, "environments heads tokens part"],
    values: Float[Tensor, "environments heads tokens part"],
    damping: Float[Tensor, "environments 1 1 tokens"],
) -> Float[Tensor, "environments heads tokens part"]:
    # Torch's fused attention cannot be differentiated twice, nor by its bias. The cutoff function
    # is a factor: as log f in the exponent, its third derivatives would overflow near the cutoff.
    scores = (queries * queries.size(-1) ** -0.5) @ keys.transpose(-1, -2)
    counts = damping > 0
    # the shift cancels in the ratio, so it needs no gradient
    weighed = scores.detach() + torch.where(counts, damping.detach(), 1.0).log()
    shift = torch.where(counts, weighed, -torch.inf).amax(-1, keepdim=True)
    weights = damping * torch.where(counts, scores - shift, 0.0).exp()
    return (weights / weights.sum(-1, keepdim=True)) @ values
